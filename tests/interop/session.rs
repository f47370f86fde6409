//! How a session comes up, stays up and ends.

use crate::joined::{await_joined, check, joined, ours};
use crate::rig::Lab;
use crate::speaker::{Family, Setup, Speaker};
use crate::table::{Row, each, except};

pub const ROWS: &[Row] = &[
    except(
        "MD5: a right password, a wrong one, a right one again",
        md5,
        &[("OpenBGPD", "Debian's build has no TCP MD5 (\"md5sig configured but not available\")")],
    ),
    each("TTL security", ttl_security),
    each("multihop", multihop),
    each("hold time of 3 s proposed by them", their_hold_time),
    each("hold time of 3 s proposed by us", our_hold_time),
    each("they shut down with a text", shutdown),
    each("they are passive", they_are_passive),
    each("we are passive", we_are_passive),
    each("they are killed and return", killed),
];

fn md5(speaker: &dyn Speaker, family: Family) {
    let secret = |name: &str| format!("passwordSecretRef: {{name: {name}, key: password}}");
    let lab = joined(speaker, Setup { password: Some("right"), ..Setup::new(family) }, &secret("right"));
    let before = lab.md5_failures();
    lab.configure_us(&[ours(family)], &secret("wrong"));
    lab.eventually("no session", || !lab.established() && lab.installed() == 0);
    lab.eventually("a wrong signature", || lab.md5_failures() > before);
    lab.configure_us(&[ours(family)], &secret("right"));
    await_joined(&lab);
}

fn ttl_security(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup { ttl_security: true, ..Setup::new(family) }, "ttlSecurity: {hops: 1}");
}

fn multihop(speaker: &dyn Speaker, family: Family) {
    joined(speaker, Setup { multihop: true, ..Setup::new(family) }, "multihop: 2");
}

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
