//! Routelet: every Kubernetes node is a router.

// The core: pure. No tokio, no socket, no clock, no file.
pub mod bgp;
pub mod fib;
pub mod prefix;
pub mod speaker;
pub mod time;

// The shell: does what the core asks.
#[cfg(feature = "shell")]
pub mod kernel;
