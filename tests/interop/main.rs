//! The daemon against the BGP speakers of Debian: FRR, BIRD 2, GoBGP and OpenBGPD, each over IPv4 and
//! over IPv6. One table of scenarios, in [`table`], is played against each. Needs root.
//!
//! `SCENARIO=MD5` plays the rows whose name has that in it, `SPEAKER=FRR` one speaker alone. It has no
//! harness: the table of what passed, and of what is excluded for which reason, is printed by every run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "real processes are polled; the table is printed"
)]

// How it is played.
mod joined;
mod play;
mod rig;
mod table;

// The speakers.
mod bird;
mod frr;
mod gobgp;
mod openbgpd;
mod speaker;

// The rows.
mod add_path;
mod as_numbers;
mod bfd;
mod drain;
mod graceful;
mod limits;
mod next_hops;
mod policy;
mod reflection;
mod refresh;
mod routes;
mod security;
mod services;
mod session;
mod unnumbered;
mod watched_restart;

fn main() -> std::process::ExitCode {
    play::play(&[&frr::Frr, &bird::Bird, &gobgp::GoBgp, &openbgpd::OpenBgpd])
}
