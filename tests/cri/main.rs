//! Pods made by a real container runtime: containerd and runc of Debian on three nodes of the lab, driven through CRI
//! as a kubelet drives them, and by `ctr run --cni`. Routelet attaches the pods and carries their packets. Needs root.
//!
//! The nodes are those of the reference cluster, with the lab's own namespaces and cables around them; the image is
//! made on the spot from busybox. Nothing outlives the test, however it ends: whatever runs on a node ends with the
//! node's process 1, and all files are in memory (`routelet::lab::sandbox`).
//!
//! `SCENARIO=storm` plays the rows whose name has that in it. It has no harness: the rows share the cluster, the table
//! is printed by every run, and the same program is process 1 of each node.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "real processes are polled; the table is printed"
)]

// The cluster, and what runs on it.
mod cluster;
mod image;
mod node;
mod pod;
mod runtime;
mod stream;
mod traces;
mod wait;

// CRI.
mod client;
mod messages;

// The rows, and how they are played.
mod attached;
mod leaving;
mod migration;
mod play;
mod ports;
mod ready;
mod reboot;
mod restarts;
mod storm;
mod torn;

use std::process::ExitCode;

use routelet::lab::{self, hold, stage};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == lab::HOLD) {
        return hold::run(&arguments.collect::<Vec<_>>());
    }
    stage::require_root().unwrap();
    stage::enter().unwrap();
    play::play()
}
