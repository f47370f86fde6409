//! Routes told again without a reset (RFC 2918, RFC 7313).

use crate::joined::{await_seen, check, joined, ours};
use crate::speaker::{Family, Setup, Speaker};
use crate::table::{Row, except};

pub const ROWS: &[Row] = &[except(
    "they ask for our routes again",
    refresh,
    &[("GoBGP", "softresetin looks again at what it kept and never asks")],
)];

fn refresh(speaker: &dyn Speaker, family: Family) {
    let lab = joined(speaker, Setup::new(family), "");
    let updates = || lab.session()["counters"]["updatesOut"].as_u64().unwrap_or(0);
    let before = updates();
    speaker.refresh(&lab.them, &lab.setup);
    lab.eventually("our routes once more", || updates() > before);
    check(&lab, "flaps", &lab.session()["flaps"], &0.into());
    await_seen(&lab, &ours(family));
}
