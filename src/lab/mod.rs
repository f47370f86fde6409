//! A containerlab topology in network namespaces on one machine: the real daemon, the real CNI
//! plugin, a real router, the real kernel; no Docker, no images, no root file systems.
//!
//! ```text
//!  FILE ─► topology ─► plan ─► manifests, tor   (pure: what to build, and with which words)
//!                        │
//!                        ▼
//!  stage, sandbox, hold ─► cabling ─► programs ─► pods ─► matrix, report   (up: doing it)
//! ```
//!
//! Owns namespaces, cables and processes while it runs, and nothing afterwards: files are in memory
//! that only its processes see ([`stage`]), every process hangs on a pipe ([`sandbox`]), and its name
//! is a socket that ends with it ([`claim`]). Decides nothing about routing; that is what is
//! being watched.

pub mod binaries;
pub mod binds;
pub mod cabling;
pub mod check;
pub mod claim;
pub mod exec_line;
pub mod hold;
pub mod manifests;
pub mod matrix;
pub mod options;
pub mod output;
pub mod plan;
pub mod pods;
pub mod probe;
pub mod programs;
pub mod report;
pub mod sandbox;
pub mod stage;
pub mod topology;
pub mod tor;
pub mod up;
pub mod visit;

pub use options::UpOptions;

/// The command by which the lab starts a node's process 1.
pub const HOLD: &str = "hold-node";

/// The command by which the lab makes a pod's namespace, on a node.
pub const MAKE_NETNS: &str = "make-netns";
