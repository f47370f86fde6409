//! The kernel room against the real kernel, in network namespaces that each test makes for itself
//! and that vanish with it. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod groups;
mod links;
mod mirror;
mod mixed_families;
mod nftables;
mod pace;
mod rig;
mod routes;
mod rules;
mod settings;
mod sockets;
mod watch;
mod writer;
