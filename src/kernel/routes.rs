//! Where a route enters the kernel: our routes in one table, told apart by protocol number.

use super::{Error, Netlink};
use crate::fib::{Change, Route};

/// Which kernel routes are ours. Routes outside are read by nobody here and touched by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// Routing table id; 254 is `main`.
    pub table: u32,
    /// Protocol number (`rtm_protocol`).
    pub protocol: u8,
}

impl Netlink {
    /// Applies a batch of changes and returns one result for each, in order. A failed change does
    /// not hold back the rest.
    pub async fn apply_routes(&self, ownership: Ownership, changes: &[Change]) -> Vec<Result<(), Error>> {
        let _ = (ownership, changes);
        todo!()
    }

    /// All routes of ours, of both families.
    ///
    /// # Errors
    /// The dump failed or was interrupted too often to be consistent.
    pub async fn our_routes(&self, ownership: Ownership) -> Result<Vec<Route>, Error> {
        let _ = ownership;
        todo!()
    }
}
