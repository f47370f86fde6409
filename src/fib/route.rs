//! What a kernel route is to us: prefix, target, metric. The table and the protocol number are the
//! same for all of ours, and therefore the kernel room's business.

use std::net::IpAddr;

use crate::prefix::Prefix;

/// One way out for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextHop {
    /// The router to hand packets to; of either family (an IPv6 router for an IPv4 route is
    /// RFC 8950).
    pub via: IpAddr,
    /// Index of the interface it is reached through. The kernel finds it where absent; a
    /// link-local `via` needs it.
    pub interface: Option<u32>,
    /// Its share of the packets, relative to those of the route's other next hops: from 1. Says nothing
    /// where it is the only one, and is 1 then.
    pub weight: u8,
}

/// Where packets for a prefix go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// To these next hops, in shares by weight: sorted, without duplicates, never empty.
    Via(Vec<NextHop>),
    /// Nowhere, with an ICMP unreachable to the sender.
    Unreachable,
}

/// A route, desired or installed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    /// Destination.
    pub prefix: Prefix,
    /// Where packets go.
    pub target: Target,
    /// The kernel's priority: lower is preferred.
    pub metric: u32,
}

/// One change to ask of the kernel. Applies to routes with our protocol number in our table alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Add the route, or replace ours for the same prefix and metric.
    Install(Route),
    /// Remove ours for this prefix and metric. That it is already gone is success.
    Remove {
        /// Destination.
        prefix: Prefix,
        /// The metric it was installed with.
        metric: u32,
    },
}

impl Change {
    /// The destination the change is about.
    pub fn prefix(&self) -> Prefix {
        match self {
            Change::Install(route) => route.prefix,
            Change::Remove { prefix, .. } => *prefix,
        }
    }
}
