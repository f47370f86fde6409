//! `routelet drain`: takes the node out of the network without losing a packet, and `routelet undrain`.

use std::io::Write;
use std::time::Duration;

use super::{Ask, Error, Format, ask};
use crate::api::proto::{Drain, DrainStage, Leaving, StartDrainRequest};
use crate::cluster::objects::duration::Span;

/// Peers are asked to prefer other paths (GRACEFUL_SHUTDOWN, RFC 8326). Once they have moved, all that was
/// announced is withdrawn, and all sessions are closed with a Cease. The node goes on forwarding meanwhile,
/// and keeps the routes that it has learned. It stays drained until `routelet undrain` or until the daemon is
/// started again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long peers have, all in all, to be asked and to move [default: 30s]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// Peers have moved when none has had news of our prefixes for so long [default: 5s]
    #[arg(long, value_name = "TIME")]
    settle: Option<Span>,
    /// What peers are told with the Cease (RFC 9003)
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Begin and return at once; without this, Ctrl-C does the same, and the drain goes on
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    ask: Ask,
}

/// Sessions come up again, and all is announced as before. A drain that the Node object asks for goes on until it asks
/// no more.
#[derive(Debug, clap::Args)]
pub struct UndrainArgs {
    #[command(flatten)]
    ask: Ask,
}

pub async fn run(args: Args, out: &mut impl Write) -> Result<(), Error> {
    let milliseconds =
        |time: Option<Span>| time.map(|Span(time)| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let request = StartDrainRequest {
        settle_milliseconds: milliseconds(args.settle),
        timeout_milliseconds: milliseconds(args.timeout),
        reason: args.reason,
    };
    let mut client = args.ask.connect().await?;
    let started = client.start_drain(request).await?;
    let mut drain = started.drain.ok_or(Error::DrainTakenBack)?;
    let mut told = (args.ask.output == Format::Table).then_some(DrainStage::Unspecified);
    if told.is_some() && !started.begun {
        writeln!(out, "a drain has begun before, and goes on with its own terms")?;
    }
    tell(&drain, &mut told, out)?;
    if !args.no_wait {
        let mut changes = client.watch_drain().await?;
        while let Some(change) = changes.next().await? {
            drain = change;
            tell(&drain, &mut told, out)?;
        }
        if drain.stage() != DrainStage::Drained {
            return Err(Error::DrainTakenBack);
        }
    }
    match args.ask.output {
        Format::Json => ask::json(&drain, out),
        Format::Table => Ok(()),
    }
}

pub async fn undrain(args: UndrainArgs, out: &mut impl Write) -> Result<(), Error> {
    let undrained = args.ask.connect().await?.undrain().await?;
    match args.ask.output {
        Format::Json => ask::json(&undrained, out),
        Format::Table if undrained.ended => Ok(writeln!(out, "the drain is taken back")?),
        Format::Table => {
            let said = match undrained.kept_by {
                Some(why) => {
                    format!("the drain goes on, for not only you have asked for it: {}", why.escape_debug())
                }
                None => "there is no drain to take back".to_owned(),
            };
            Ok(writeln!(out, "{said}")?)
        }
    }
}

/// What `routelet status` says of a drain.
pub fn summary(drain: &Drain) -> String {
    let words = match drain.stage() {
        DrainStage::Unspecified => "of an unknown stage",
        DrainStage::Asking => "peers are being asked to prefer other paths",
        DrainStage::Settling => "peers have been asked to prefer other paths, and move",
        DrainStage::Withdrawing => "all that was announced is being withdrawn",
        DrainStage::Closing => "sessions are being closed",
        DrainStage::Drained => "all sessions are closed, until undrain or a restart",
    };
    let held = drain.holds.join(", ");
    let held = if held.is_empty() { held } else { format!("; holding on, for nobody else announces {held}") };
    format!("{words} ({}){held}", drain.reason.escape_debug())
}

/// What `routelet status` says of service addresses that leave.
pub fn services(leaving: &Leaving) -> String {
    let Leaving { why, asked, withdrawn, held } = leaving;
    let held = held.join(", ");
    let held = if held.is_empty() { held } else { format!("; holding on, for nobody else announces {held}") };
    format!("{}: of service addresses, {asked} move and {withdrawn} are withdrawn{held}", why.escape_debug())
}

/// Says what the stages do that have begun since it was last `told`, and what came of those before. Each line
/// reaches the reader, who waits, at once.
fn tell(drain: &Drain, told: &mut Option<DrainStage>, out: &mut impl Write) -> Result<(), Error> {
    use DrainStage::{Asking, Closing, Drained, Settling, Withdrawing};
    let Some(last) = told.as_mut().filter(|last| **last < drain.stage()) else { return Ok(()) };
    let time = |milliseconds| Span(Duration::from_millis(milliseconds)).to_string();
    let (settle, timeout) = (time(drain.settle_milliseconds), time(drain.timeout_milliseconds));
    let reason = drain.reason.escape_debug();
    let stages = [Asking, Settling, Withdrawing, Closing, Drained].into_iter();
    for stage in stages.filter(|stage| *stage > *last && *stage <= drain.stage()) {
        match stage {
            DrainStage::Unspecified => {}
            Asking => writeln!(out, "asking peers to prefer other paths: GRACEFUL_SHUTDOWN, LOCAL_PREF 0")?,
            Settling => writeln!(
                out,
                "waiting until none has had news of our prefixes for {settle}, but {timeout} in all at most"
            )?,
            Withdrawing => {
                if drain.timed_out {
                    writeln!(out, "time is up: some peers may not have moved")?;
                }
                writeln!(out, "withdrawing all that was announced")?;
            }
            Closing => {
                if !drain.cut_off.is_empty() {
                    writeln!(out, "not all was taken by {}", drain.cut_off.join(", "))?;
                }
                writeln!(out, "closing all sessions: Cease, Administrative Shutdown, \"{reason}\"")?;
            }
            Drained => {
                writeln!(
                    out,
                    "drained until `routelet undrain` or a restart; learned routes stay in the kernel"
                )?;
            }
        }
    }
    *last = drain.stage();
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::api::fixture::Fixture;
    use crate::api::proto::Leaving;
    use crate::api::tests::Served;
    use crate::cli::tests::run;

    /// A daemon that has come so far with a drain; 0 is none.
    fn served(test: &str, stage: usize) -> (Served, Arc<AtomicUsize>) {
        let stage = Arc::new(AtomicUsize::new(stage));
        (Served::new(test, Fixture::Draining(stage.clone())), stage)
    }

    #[tokio::test]
    async fn each_stage_is_told_when_it_begins() {
        let (served, _) = served("drain", 0);
        let expected = "
asking peers to prefer other paths: GRACEFUL_SHUTDOWN, LOCAL_PREF 0
waiting until none has had news of our prefixes for 5s, but 30s in all at most
time is up: some peers may not have moved
withdrawing all that was announced
not all was taken by node3
closing all sessions: Cease, Administrative Shutdown, \"new switch\"
drained until `routelet undrain` or a restart; learned routes stay in the kernel
";
        let (out, error) = run("drain --timeout 30s --reason maintenance", &served.socket()).await;
        assert_eq!((error, format!("\n{out}").as_str()), (None, expected), "{out}");
    }

    #[tokio::test]
    async fn a_second_drain_joins_the_first_and_undrain_ends_both() {
        let (served, stage) = served("drain-twice", 2);
        let (out, error) = run("drain --no-wait", &served.socket()).await;
        let expected = "
a drain has begun before, and goes on with its own terms
asking peers to prefer other paths: GRACEFUL_SHUTDOWN, LOCAL_PREF 0
waiting until none has had news of our prefixes for 5s, but 30s in all at most
";
        assert_eq!((error, format!("\n{out}").as_str()), (None, expected), "{out}");
        for expected in ["the drain is taken back\n", "there is no drain to take back\n"] {
            assert_eq!(run("undrain", &served.socket()).await, (expected.to_owned(), None));
        }
        assert_eq!(stage.load(Ordering::Relaxed), 0);
        let (out, _) = run("undrain -o json", &served.socket()).await;
        assert_eq!(out, "{\n  \"ended\": false\n}\n", "nothing keeps it");
    }

    #[tokio::test]
    async fn a_drain_that_somebody_else_takes_back_has_failed() {
        let (served, stage) = served("drain-lost", 0);
        let socket = served.socket();
        let waiting = run("drain", &socket);
        let taken_back = async {
            while stage.load(Ordering::Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
            stage.store(0, Ordering::Relaxed);
        };
        let ((_, error), ()) = tokio::join!(waiting, taken_back);
        assert_eq!(error.as_deref(), Some("the drain has been taken back meanwhile"));
    }

    #[tokio::test]
    async fn a_drain_in_json_is_its_last_stage() {
        let (served, _) = served("drain-json", 0);
        let (out, error) = run("drain -o json", &served.socket()).await;
        let expected = r#"
{
  "stage": "drained",
  "settleMilliseconds": 5000,
  "timeoutMilliseconds": 30000,
  "reason": "new switch",
  "waitsFor": [],
  "cutOff": [
    "node3"
  ],
  "timedOut": true,
  "holds": [],
  "askedByObjects": false
}
"#;
        assert_eq!((error, format!("\n{out}").as_str()), (None, expected), "{out}");
    }

    #[tokio::test]
    async fn a_reason_that_a_cease_cannot_carry_is_refused() {
        let (served, stage) = served("drain-reason", 0);
        let (_, error) = run(&format!("drain --reason {}", "x".repeat(256)), &served.socket()).await;
        let expected = "the daemon answers: reason: 256 octets are more than the 255 that a Cease can carry";
        assert_eq!((error.as_deref(), stage.load(Ordering::Relaxed)), (Some(expected), 0));
    }

    #[test]
    fn service_addresses_that_leave_are_counted_and_those_held_are_named() {
        let why = "the Node is cordoned".to_owned();
        let mut leaving = Leaving { why, asked: 1, withdrawn: 2, held: vec![] };
        let shown = "the Node is cordoned: of service addresses, 1 move and 2 are withdrawn";
        assert_eq!(super::services(&leaving), shown);
        leaving.held = vec!["198.51.100.7/32".to_owned()];
        let held = format!("{shown}; holding on, for nobody else announces 198.51.100.7/32");
        assert_eq!(super::services(&leaving), held);
    }

    #[tokio::test]
    async fn status_shows_how_far_it_is() {
        let (served, _) = served("drain-status", 5);
        let (out, _) = run("status", &served.socket()).await;
        let shown = out.lines().find(|line| line.starts_with("Drain ")).unwrap();
        assert_eq!(shown, "Drain          all sessions are closed, until undrain or a restart (new switch)");
    }
}
