//! `routelet fib`: the routes meant for the kernel, and how they stand with it; with `--audit`, where the
//! kernel, read back, differs from them.

use std::io::Write;

use super::{Ask, Error, Format, Table, ask};
use crate::api::proto::{FibDifference, FibRoute, FibState, FibTarget, FibWay, NextHop};
use crate::api::{Answers, Client, Word};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read the kernel's routes back, and show where they differ from what is desired; then the exit code
    /// is 1
    #[arg(long)]
    audit: bool,
    #[command(flatten)]
    ask: Ask,
}

pub async fn run(args: Args, out: &mut impl Write) -> Result<(), Error> {
    let mut client = args.ask.connect().await?;
    if args.audit {
        return audit(client, args.ask.output, out).await;
    }
    let mut routes = client.fib().await?;
    match args.ask.output {
        Format::Json => ask::json_list(&mut routes, out).await.map(drop),
        Format::Table => table(&mut routes, out).await,
    }
}

async fn audit(mut client: Client, format: Format, out: &mut impl Write) -> Result<(), Error> {
    let mut differences = client.audit().await?;
    let mut count = 0;
    match format {
        Format::Json => count = ask::json_list(&mut differences, out).await?,
        Format::Table => {
            while let Some(difference) = differences.next().await? {
                writeln!(out, "{}", sentence(&difference))?;
                count += 1;
            }
            if count == 0 {
                let routes = client.summary().await?.fib_installed;
                writeln!(out, "The kernel holds what is desired: {routes} routes")?;
            }
        }
    }
    if count == 0 { Ok(()) } else { Err(Error::Differences(count)) }
}

fn sentence(difference: &FibDifference) -> String {
    let FibDifference { prefix, metric, desired, held } = difference;
    let desired = desired.as_ref().map_or_else(|| "nothing".to_owned(), way);
    let held = held.as_ref().map_or_else(|| "nothing of ours".to_owned(), way);
    format!("{prefix} metric {metric}: should be {desired}, the kernel has {held}")
}

fn way(way: &FibWay) -> String {
    let word = FibTarget::word_of(way.target);
    if way.next_hops.is_empty() { word.to_owned() } else { format!("{word} {}", next_hops(&way.next_hops)) }
}

async fn table(routes: &mut Answers<FibRoute>, out: &mut impl Write) -> Result<(), Error> {
    let mut table = Table::new(out, &["PREFIX", "NEXT HOPS", "METRIC", "STATE"]);
    while let Some(route) = routes.next().await? {
        table.row([route.prefix.clone(), target(&route), route.metric.to_string(), state(&route)])?;
    }
    Ok(table.finish()?)
}

fn target(route: &FibRoute) -> String {
    match FibTarget::try_from(route.target) {
        Ok(FibTarget::Via) => next_hops(&route.next_hops),
        Ok(FibTarget::None) => "(being removed)".to_owned(),
        _ => FibTarget::word_of(route.target).to_owned(),
    }
}

fn next_hops(next_hops: &[NextHop]) -> String {
    next_hops.iter().map(next_hop).collect::<Vec<_>>().join(", ")
}

/// `fe80::1%3`: an address with its interface, as RFC 4007 §11 writes it; and its weight where it is to
/// have more than the smallest share.
fn next_hop(next_hop: &NextHop) -> String {
    let weight = if next_hop.weight > 1 { format!(" weight {}", next_hop.weight) } else { String::new() };
    match next_hop.interface {
        Some(interface) => format!("{}%{interface}{weight}", next_hop.via),
        None => format!("{}{weight}", next_hop.via),
    }
}

fn state(route: &FibRoute) -> String {
    let word = FibState::word_of(route.state);
    match &route.error {
        Some(error) => format!("{word}: {error}"),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::api::fixture::Fixture;
    use crate::api::tests::Served;
    use crate::cli::tests::run;

    #[tokio::test]
    async fn an_audit_says_what_differs_and_fails() {
        let served = Served::new("audit", Fixture::Node1);
        let (out, error) = run("fib --audit", &served.socket()).await;
        let expected = "
10.9.0.0/16 metric 20: should be nothing, the kernel has unreachable
10.244.2.0/24 metric 20: should be via 192.168.1.12, the kernel has nothing of ours
172.16.0.0/24 metric 20: should be via 192.168.1.1%3, fe80::1%3, the kernel has via 192.168.1.9%3
";
        assert_eq!(format!("\n{out}"), expected);
        assert_eq!(error.as_deref(), Some("the kernel differs from what is desired in 3 places"));

        let (out, error) = run("fib --audit -o json", &served.socket()).await;
        let hop = |via| serde_json::json!({"via": via, "interface": 3, "weight": 1});
        let expected = serde_json::json!([
            {"prefix": "10.9.0.0/16", "metric": 20, "held": {"target": "unreachable", "nextHops": []}},
            {"prefix": "10.244.2.0/24", "metric": 20,
             "desired": {"target": "via", "nextHops": [{"via": "192.168.1.12", "weight": 1}]}},
            {"prefix": "172.16.0.0/24", "metric": 20,
             "desired": {"target": "via", "nextHops": [hop("192.168.1.1"), hop("fe80::1")]},
             "held": {"target": "via", "nextHops": [hop("192.168.1.9")]}},
        ]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), expected);
        assert!(error.is_some());
    }

    #[tokio::test]
    async fn an_audit_that_finds_nothing_says_so() {
        let served = Served::new("audit-clean", Fixture::Draining(Arc::default()));
        let said = "The kernel holds what is desired: 3 routes\n".to_owned();
        assert_eq!(run("fib --audit", &served.socket()).await, (said, None));
        assert_eq!(run("fib --audit -o json", &served.socket()).await, ("[]\n".to_owned(), None));
    }
}
