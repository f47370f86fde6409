//! What a kernel route is to us: prefix, target, metric. The table and the protocol number are the
//! same for all of ours, and therefore the kernel room's business.

use std::fmt;
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

/// Number of a nexthop group in the kernel (`nhid` of `ip route`): many routes refer to one, and change
/// with it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u32);

/// A nexthop group of ours: next hops that routes share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// Where packets go: sorted, without duplicates, never empty.
    pub members: Vec<NextHop>,
    /// Who takes over inside the kernel, at once, when the interface of the last of `members` goes down.
    /// Gets no packets before. Mostly empty.
    pub standby: Vec<NextHop>,
}

/// What the kernel holds of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Routes; each that refers to a group has that group's members as its target.
    pub routes: Vec<Route>,
    /// Groups, also those without routes; `None` where the kernel knows no nexthop groups.
    pub groups: Option<Vec<Group>>,
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
    /// The group that the route refers to, whose members are its `target`; none where the next hops
    /// are the route's own.
    pub group: Option<GroupId>,
}

/// One change to ask of the kernel. Applies to what bears our protocol number, in our table, alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Add the route, or replace ours for the same prefix and metric. What stands there is not known:
    /// anybody else's stays, and the change fails.
    Install(Route),
    /// Replace ours for the same prefix and metric, which is known to stand there; or add it.
    Replace(Route),
    /// Remove ours for this prefix and metric. That it is already gone is success.
    Remove {
        /// Destination.
        prefix: Prefix,
        /// The metric it was installed with.
        metric: u32,
    },
    /// Add the group, or give ours of this number other members: every route that refers to it moves
    /// at once.
    SetGroup(Group),
    /// Remove the group, and with it, in the kernel, every route that refers to it. That it is already
    /// gone is success.
    RemoveGroup(GroupId),
}

/// Changes asked for together. They are made in order, and answered together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Names the batch in its answer.
    pub id: BatchId,
    /// Packets are being lost: to be made before all that waits.
    pub urgent: bool,
    /// The changes. A prefix and metric occur once, a group may be set and referred to later.
    pub changes: Vec<Change>,
}

/// Names a batch of changes. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// A change that the kernel refused. All others of its batch were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its place in the batch.
    pub index: usize,
    /// The kernel's reason, for people.
    pub reason: String,
    /// Somebody else's route stands there.
    pub conflict: bool,
}

impl Change {
    /// The destination the change is about; none for a group.
    pub fn prefix(&self) -> Option<Prefix> {
        match self {
            Change::Install(route) | Change::Replace(route) => Some(route.prefix),
            Change::Remove { prefix, .. } => Some(*prefix),
            Change::SetGroup(_) | Change::RemoveGroup(_) => None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Install(route) | Change::Replace(route) => write!(f, "install {route}"),
            Change::Remove { prefix, metric } => write!(f, "remove {prefix} metric {metric}"),
            Change::SetGroup(group) => {
                write!(f, "set nexthop group {}", group.id.0)?;
                write_hops(f, &group.members)
            }
            Change::RemoveGroup(id) => write!(f, "remove nexthop group {}", id.0),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Unreachable => write!(f, "unreachable {} metric {}", self.prefix, self.metric),
            Target::Via(hops) => {
                write!(f, "{} metric {}", self.prefix, self.metric)?;
                write_hops(f, hops)
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target::Via(hops) = self else { return write!(f, "unreachable") };
        for (i, hop) in hops.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "via " } else { ", " }, hop.via)?;
        }
        Ok(())
    }
}

fn write_hops(f: &mut fmt::Formatter<'_>, hops: &[NextHop]) -> fmt::Result {
    hops.iter().try_for_each(|hop| write!(f, " via {}", hop.via))
}
