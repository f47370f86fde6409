//! How a session comes up, stays up and ends.

use crate::joined::{await_joined, check, joined, ours};
use crate::rig::{Host, Lab};
use crate::speaker::{Family, Setup, Speaker, words};
use crate::table::{Row, each, except};

pub const ROWS: &[Row] = &[
    each("hold time of 3 s proposed by them", their_hold_time),
    each("hold time of 3 s proposed by us", our_hold_time),
    each("they shut down with a text", shutdown),
    each("they are passive", they_are_passive),
    each("we are passive", we_are_passive),
    except(
        "both connect at once: one connection stays",
        collision,
        &[
            ("GoBGP", "closes what comes in while its own is in OpenSent: two connections never stand"),
            ("OpenBGPD", "resets what comes in while its own is in OpenSent: two connections never stand"),
        ],
    ),
    except(
        "extended messages, with a thousand prefixes in one",
        extended_messages,
        &[
            (
                "GoBGP",
                "3.10 does not know extended messages: its OPEN has no capability 6, nor an option for it",
            ),
            (
                "OpenBGPD",
                "7.7 does not know extended messages: its OPEN has no capability 6, nor an option for it",
            ),
        ],
    ),
    each("they are killed and return", killed),
];

fn their_hold_time(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup { hold: 3, ..Setup::new(family) }, "");
    outlasts_hold_time(&lab);
}

fn our_hold_time(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "timers: {hold: 3s, connectRetry: 1s}");
    outlasts_hold_time(&lab);
}

fn outlasts_hold_time(lab: &Lab<'_>) {
    check(lab, "hold time", &lab.session()["holdTimeSeconds"], &3.into());
    lab.eventually("a session of 5 s", || lab.session()["establishedSeconds"].as_u64() >= Some(5));
    check(lab, "flaps", &lab.session()["flaps"], &0.into());
}

fn shutdown(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    speaker.shut_down(&lab.them, &lab.setup, "maintenance");
    lab.eventually("no route", || lab.installed() == 0);
    let log = || std::fs::read_to_string(lab.us.directory.join("log")).unwrap();
    lab.eventually("their text in lastError or the log", || {
        let said = |text: &str| text.contains("Administrative Shutdown") && text.contains("maintenance");
        said(&lab.session()["lastError"].to_string()) || log().lines().any(said)
    });
}

fn they_are_passive(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup { passive: true, ..Setup::new(family) }, "");
}

fn we_are_passive(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup::new(family), "passive: true");
}

fn killed(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "gracefulRestart: {enabled: false}");
    lab.them.kill();
    lab.eventually("no route of the dead", || lab.installed() == 0 && !lab.established());
    lab.start_them();
    await_joined(&lab);
}

fn extended_messages(speaker: &dyn Speaker, family: Family) {
    let mut setup = Setup::new(family);
    if speaker.name() == "BIRD" {
        setup.extra.peer.push("enable extended messages yes;".to_owned());
    }
    let pods: Vec<String> = (0..1000).map(|i| family.prefix(10, 0xfd10, i)).collect();
    let lab = Lab::new(speaker, setup);
    lab.start_us(&pods, "");
    lab.start_them();
    await_joined(&lab);
    if !lab.session()["capabilities"].to_string().contains("extended message") {
        lab.fail("they do not say that they take extended messages");
    }
    lab.eventually("all ours in their table", || speaker.count(&lab.them, &lab.setup) == pods.len());
    check(&lab, "flaps", &lab.flaps(), &0);
}

/// Nothing but handshakes passes until each has a connection to the other: both OPENs are then on their
/// way on both (RFC 4271 §6.8).
fn collision(speaker: &dyn Speaker, family: Family) {
    let lab = Lab::new(speaker, Setup::new(family));
    let nft = |rules: &str| lab.us.run(&["nft".to_owned(), rules.to_owned()]);
    let established = || {
        let listed =
            lab.us.run(&words(&["ss", "-Htn", "state", "established", "( sport = :179 or dport = :179 )"]));
        listed.lines().count()
    };
    nft("add table inet hold; add chain inet hold in { type filter hook input priority 0; policy drop; }; \
         add rule inet hold in icmpv6 type != 1 accept");
    lab.start_us(&[ours(family)], "timers: {connectRetry: 30s}");
    lab.start_them();
    let dials = |host: &Host| !host.run(&words(&["ss", "-Htn", "state", "syn-sent"])).is_empty();
    lab.eventually("both dialling", || dials(&lab.us) && dials(&lab.them));
    // Theirs comes first: who has accepted a connection no longer dials.
    nft("add rule inet hold in tcp flags psh drop; add rule inet hold in tcp dport 179 accept");
    lab.eventually("their connection", || established() == 1);
    nft("add rule inet hold in accept");
    lab.eventually("a connection each way", || established() == 2);
    nft("delete table inet hold");
    await_joined(&lab);
    lab.eventually("one connection", || established() == 1);
    check(&lab, "flaps", &lab.session()["flaps"], &0.into());
}
