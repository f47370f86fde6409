//! What happens in a cluster while packets flow: Secrets, Nodes and labels change in the manifests, addresses and
//! reflectors go. The network, its streams of 1,000 packets a second with an exact count, and its ToRs, FRR and BIRD,
//! are those of `tests/losses`. Needs root.
//!
//! `SCENARIO=password` plays the rows whose name has that in it, and `SHOW=1` tells what everybody logged where
//! packets were lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "real packets take real time; the table is printed"
)]

// The network and its traffic.
#[path = "../losses/host.rs"]
#[allow(dead_code, reason = "shared with the losses")]
mod host;
#[path = "../losses/network.rs"]
#[allow(dead_code, reason = "shared with the losses")]
mod network;
#[path = "../losses/shape.rs"]
mod shape;
#[path = "../losses/stream.rs"]
mod stream;
#[path = "../losses/tor.rs"]
#[allow(dead_code, reason = "shared with the losses")]
mod tor;

// What runs on the nodes.
#[path = "../losses/frr.rs"]
#[allow(dead_code, reason = "the losses have it on nodes, too")]
mod frr;
#[path = "../losses/routelet.rs"]
mod routelet;
#[path = "../losses/router.rs"]
#[allow(dead_code, reason = "shared with the losses")]
mod router;

// The rows, and how they are played.
#[path = "../losses/play.rs"]
mod play;
#[path = "../losses/row.rs"]
#[allow(dead_code, reason = "shared with the losses")]
mod row;

mod addresses;
mod manifests;
mod passwords;
mod pods;
mod reflectors;
mod services;

fn main() -> std::process::ExitCode {
    let table = [passwords::ROWS, pods::ROWS, services::ROWS, reflectors::ROWS, addresses::ROWS];
    play::play(&table, &[&routelet::Routelet])
}
