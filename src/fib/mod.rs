//! The FIB: desired routes against installed routes, and the smallest set of changes between them.
//!
//! Owns the memory of what the kernel has been asked for and what it answered. Pure: the kernel is
//! reached by handing out [`Change`]s and taking in results. Does not know BGP.

mod answers;
mod audit;
mod destinations;
mod draft;
mod entries;
mod failover;
mod groups;
pub mod plan;
mod resync;
pub mod route;
pub mod table;
#[cfg(test)]
mod tests;

pub use audit::Difference;
pub use plan::{Failure, Fate, Leg, Plan, Ways};
pub use route::{Batch, BatchId, Change, Found, Group, GroupId, NextHop, Refusal, Route, Target};
pub use table::{AGGREGATE_METRIC, Fib, Listed, Standing};
