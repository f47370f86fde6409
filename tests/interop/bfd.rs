//! BFD with those that have it: up, silent paths noticed long before the hold time, strict peers, keys.
//!
//! Turning it off while the session stays cannot be played: FRR and BIRD end the session when we say
//! AdminDown (RFC 5882 §3.2 would keep it), and when it is they who turn it off, BIRD falls silent and FRR
//! says Down, which to us is a failure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::joined::{await_joined, joined, ours};
use crate::rig::Lab;
use crate::speaker::{Extra, Family, Setup, Speaker, words};
use crate::table::{Row, except};

pub const ROWS: &[Row] = &[
    except("BFD: a path that falls silent", silent, NO_BFD),
    except("BFD: packets that somebody drops", dropped, NO_BFD),
    except("BFD: strict, no session before the path is up", strict, NO_BFD),
    except("BFD: a key on both sides", keyed, NO_KEYS),
];

/// A speaker, and why a row is not for it.
pub type Exclusion = (&'static str, &'static str);

pub const NO_BFD: &[Exclusion] = &[
    ("GoBGP", "it has no BFD: its configuration model names none and it opens no UDP port"),
    ("OpenBGPD", "it has no BFD: bgpd.conf(5) of 7.7 knows no such keyword"),
];

const NO_KEYS: &[Exclusion] = &[
    NO_BFD[0],
    NO_BFD[1],
    (
        "FRR",
        "its bfdd has no authentication (\"bfdd currently does not support authentication\" in its manual)",
    ),
];

pub const OURS: &str = "bfd: {minTx: 100ms, minRx: 100ms, multiplier: 3}";

pub fn watching(speaker: &dyn Speaker, family: Family, key: &str) -> Setup {
    let extra = if speaker.name() == "BIRD" {
        let interval = "min rx interval 100 ms; min tx interval 100 ms; idle tx interval 1 s; multiplier 3;";
        Extra {
            top: format!("protocol bfd bfd1 {{ interface \"*\" {{ {interval} {key} }}; }}\n"),
            peer: vec!["bfd yes;".to_owned()],
            ..Extra::default()
        }
    } else {
        Extra { peer: vec!["bfd 3 100 100".to_owned()], ..Extra::default() }
    };
    Setup { extra, ..Setup::new(family) }
}

pub fn await_up(lab: &Lab<'_>) {
    lab.eventually("BFD up at the agreed rate", || {
        let bfd = &lab.session()["bfd"];
        bfd["state"] == "Up" && bfd["detectionTimeMicroseconds"] == 300_000
    });
}

/// Cuts or mends the segment in a way that no carrier shows.
fn set_segment(lab: &Lab<'_>, whole: bool) {
    let master = if whole { "master lan" } else { "nomaster" };
    let line = format!("ip link set port1 {master}");
    lab.them.run(&words(&line.split(' ').collect::<Vec<_>>()));
}

fn last_error(lab: &Lab<'_>) -> String {
    lab.session()["lastError"].as_str().unwrap_or_default().to_owned()
}

fn silent(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, watching(speaker, family, ""), OURS);
    await_up(&lab);
    set_segment(&lab, false);
    // The hold time is 90 s: nothing but BFD can be so quick.
    lab.eventually("the session to fall", || !lab.established() && lab.installed() == 0);
    let why = last_error(&lab);
    assert!(why.starts_with("BFD: Control Detection Time Expired"), "{why}");
    set_segment(&lab, true);
    await_joined(&lab);
    await_up(&lab);
}

/// The time of day now, and that of the first line of our log about a path found dead.
fn times(lab: &Lab<'_>) -> (Duration, Option<Duration>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let log = lab.us.log();
    let line = log.lines().find(|line| line.contains("went down: BFD: ")).and_then(|line| line.get(11..26));
    let seconds = line.map(|time| {
        let fields = time.split(':').map(|field| field.parse::<f64>().unwrap());
        Duration::from_secs_f64(fields.fold(0.0, |sum, field| sum * 60.0 + field))
    });
    (Duration::new(now.as_secs() % 86_400, now.subsec_nanos()), seconds)
}

/// Their packets alone, then those of either side: a filter on their segment drops what crosses it. What it took
/// until we noticed is printed, and judged by nobody: it depends on what else the machine does.
fn dropped(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, watching(speaker, family, ""), OURS);
    for hooks in [&["output"][..], &["input", "output"]] {
        await_up(&lab);
        lab.us.forget_log();
        let chain = |hook| format!("chain {hook} {{ type filter hook {hook} priority 0; policy drop; }};");
        let chains: String = hooks.iter().map(chain).collect();
        lab.them.run(&words(&["nft", &format!("table bridge cut {{ {chains} }}")]));
        let (cut, _) = times(&lab);
        lab.eventually("the session to fall", || !lab.established() && lab.installed() == 0);
        let why = last_error(&lab);
        assert!(why.starts_with("BFD: Control Detection Time Expired"), "{why}");
        let (_, noticed) = times(&lab);
        let took = noticed.unwrap_or_default().saturating_sub(cut).as_millis();
        println!(
            "BFD 3 x 100 ms, {}, {family:?}: noticed {took} ms after the cut ({hooks:?})",
            speaker.name()
        );
        lab.them.run(&words(&["nft", "delete table bridge cut"]));
        await_joined(&lab);
    }
}

fn strict(speaker: &dyn Speaker, family: Family) {
    let lab = Lab::new(speaker, watching(speaker, family, ""));
    set_segment(&lab, false);
    lab.start_them();
    lab.start_us(&[ours(family)], &OURS.replace("}", ", strict: true}"));
    lab.eventually("a session that waits", || lab.session()["state"] == "Idle");
    set_segment(&lab, true);
    await_joined(&lab);
    await_up(&lab);
}

fn keyed(speaker: &dyn Speaker, family: Family) {
    let key = "authentication meticulous keyed sha1; password \"right\" { id 1; };";
    let with = |name: &str| {
        OURS.replace(
            "}",
            &format!(", authentication: {{keyId: 1, secretRef: {{name: {name}, key: password}}}}}}"),
        )
    };
    let lab = joined(speaker, watching(speaker, family, key), &with("right"));
    await_up(&lab);
    lab.configure_us(&[ours(family)], &with("wrong"));
    lab.eventually("a wrong key to be noticed", || lab.session()["bfd"]["state"] == "Down");
    lab.configure_us(&[ours(family)], &with("right"));
    await_up(&lab);
}
