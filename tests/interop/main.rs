//! The daemon against the BGP speakers of Debian: FRR, BIRD 2, GoBGP and OpenBGPD, each over IPv4 and
//! over IPv6. One table of scenarios, in [`scenarios`], is played against each. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "real processes are polled; the table is printed"
)]

mod bird;
mod frr;
mod gobgp;
mod openbgpd;
mod rig;
mod scenarios;
mod speaker;

#[test]
fn frr() {
    scenarios::play(&frr::Frr);
}

#[test]
fn bird() {
    scenarios::play(&bird::Bird);
}

#[test]
fn gobgp() {
    scenarios::play(&gobgp::GoBgp);
}

#[test]
fn openbgpd() {
    scenarios::play(&openbgpd::OpenBgpd);
}
