//! Routelet: every Kubernetes node is a router.

// The core: pure. No tokio, no socket, no clock, no file.
pub mod bgp;
pub mod fib;
pub mod prefix;
pub mod rib;
pub mod speaker;
pub mod time;

// The shell: does what the core asks.
#[cfg(feature = "shell")]
pub mod api;
#[cfg(feature = "shell")]
pub mod cli;
#[cfg(feature = "shell")]
pub mod cluster;
#[cfg(feature = "shell")]
pub mod cni;
#[cfg(feature = "shell")]
pub mod daemon;
#[cfg(feature = "shell")]
pub mod ipam;
#[cfg(feature = "shell")]
pub mod kernel;
#[cfg(feature = "shell")]
pub mod lab;
