//! How most scenarios begin, and what they ask in passing.

use std::fmt::Debug;

use crate::rig::Lab;
use crate::speaker::{Family, Seen, Setup, Speaker};

/// Every prefix, as policy in a manifest accepts it.
pub const ALL: &str = "[{prefix: \"0.0.0.0/0\", le: 32}, {prefix: \"::/0\", le: 128}]";

/// Our first prefix.
pub fn ours(family: Family) -> String {
    family.prefix(10, 0xfd10, 0)
}

/// Both run, and each has the route of the other. `more` is of our BgpPeer object.
pub fn joined<'a>(speaker: &'a dyn Speaker, setup: Setup, more: &str) -> Lab<'a> {
    let lab = Lab::new(speaker, setup);
    lab.start_us(&[ours(lab.setup.carried())], more);
    lab.start_them();
    await_joined(&lab);
    lab
}

/// Waits until each has the route of the other.
pub fn await_joined(lab: &Lab<'_>) {
    lab.await_established();
    let theirs = lab.setup.routes[0].clone();
    lab.eventually("their route in our kernel", || lab.path(&theirs).is_some() && lab.installed() > 0);
    await_seen(lab, &ours(lab.setup.carried()));
}

/// Waits for a route in their table.
pub fn await_seen(lab: &Lab<'_>, prefix: &str) -> Seen {
    let mut seen = None;
    lab.eventually(&format!("{prefix} in their table"), || {
        seen = lab.speaker.seen(&lab.them, &lab.setup, prefix);
        seen.is_some()
    });
    seen.unwrap()
}

/// Ends the scenario with all that both sides know unless the value is as expected.
pub fn check<T: PartialEq + Debug>(lab: &Lab<'_>, what: &str, found: &T, expected: &T) {
    if found != expected {
        lab.fail(&format!("{what}: {found:?}, expected {expected:?}"));
    }
}
