//! Packets lost while daemons restart, ToRs die, links flap and routes are deleted: streams of 1,000 packets a
//! second from pod to pod across nodes, and between a pod and a host behind two ToRs. Needs root.
//!
//! As a test, ours is put to what must lose nothing, and to what it must recover from. `TABLE=1`, which
//! `tests/bench/losses` sets, plays every row, with BIRD and FRR in our place too, and prints the table for the
//! documentation. `SCENARIO=ToR` plays the rows whose name has that in it, `ROUTER=FRR` one router alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "real packets take real time; the table is printed"
)]

// The network and its traffic.
mod check;
mod host;
mod network;
mod shape;
mod stream;
mod tor;

// What runs on the nodes.
mod bird;
mod frr;
mod routelet;
mod router;

// The rows, and how they are played.
mod play;
mod restarts;
mod row;
mod tampering;
mod tors;

fn main() -> std::process::ExitCode {
    check::the_count_is_exact();
    let table = [restarts::ROWS, tors::ROWS, tampering::ROWS];
    play::play(&table, &[&routelet::Routelet, &bird::Bird, &frr::Frr])
}
