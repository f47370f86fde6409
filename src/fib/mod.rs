//! The FIB: desired routes against installed routes, and the smallest set of changes between them.
//!
//! Owns the memory of what the kernel has been asked for and what it answered. Pure: the kernel is
//! reached by handing out [`Change`]s and taking in results. Does not know BGP.

pub mod route;
pub mod table;

pub use route::{Batch, BatchId, Change, Found, Group, GroupId, NextHop, Refusal, Route, Target};
pub use table::{AGGREGATE_METRIC, Fib, Standing};
