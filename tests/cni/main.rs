//! The plugin as a runtime sees it: the built binary, executed with the standard environment, in a
//! namespace that plays the node, for namespaces that play pods. What it did is read back from the
//! kernel and the disk. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attach;
mod bridge;
mod chain;
mod chained;
mod crowd;
mod exchange;
mod failures;
mod faults;
mod gone;
mod killed;
mod left_behind;
mod migration;
mod options;
mod reboot;
mod reference;
mod rig;
mod routed;
mod side_by_side;
mod spec;
mod steps;
mod storms;
mod translation;
