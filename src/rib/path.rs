//! A path: attributes for one prefix from one source.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::bgp::{PathAttributes, PathId};

/// A peer, as the tables know it: a small number that its owner gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(NonZeroU32);

impl PeerId {
    /// The peer of that number.
    pub const fn new(number: u32) -> PeerId {
        // Held one greater, so that no peer at all fits into the same octets.
        PeerId(NonZeroU32::MIN.saturating_add(number))
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0.get() - 1
    }
}

/// Where a path comes from. A source tells its paths for one prefix apart by their [`PathId`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Originated here.
    Local,
    /// Learned from a peer.
    Peer(PeerId),
}

/// Why a path takes no part in the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejection {
    /// Our AS is in the AS_PATH (RFC 4271 §9.1.2).
    AsLoop,
    /// AS_SET or AS_CONFED_SET is in the AS_PATH (RFC 9774 §3: treat as withdrawn).
    AsSet,
    /// ORIGINATOR_ID is ours (RFC 4456 §8).
    OriginatorLoop,
    /// Our cluster id is in the CLUSTER_LIST (RFC 4456 §8).
    ClusterLoop,
    /// The prefix is a pod CIDR or address of this cluster's own, or a Service CIDR.
    Protected,
    /// The prefix is of multicast addresses, which unicast routes do not lead to (RFC 4271 §6.3).
    Multicast,
    /// It asks for packets to be discarded (RFC 7999), and the peer is not one that may.
    Blackhole,
    /// No rule of the import policy accepts it (RFC 8212).
    ImportPolicy,
    /// The next hop is one of our own addresses (RFC 4271 §5.1.3).
    OwnNextHop,
    /// It may only go to customers, and came from elsewhere (RFC 9234 §5).
    RouteLeak,
}

impl Rejection {
    /// The reason in words, for people.
    pub fn name(self) -> &'static str {
        match self {
            Rejection::AsLoop => "our AS is in its AS_PATH",
            Rejection::AsSet => "AS_SET in its AS_PATH",
            Rejection::OriginatorLoop => "we originated it",
            Rejection::ClusterLoop => "our cluster id is in its CLUSTER_LIST",
            Rejection::Protected => "the prefix is protected",
            Rejection::Multicast => "the prefix is multicast",
            Rejection::Blackhole => "its peer may not ask for a blackhole",
            Rejection::ImportPolicy => "no import rule accepts it",
            Rejection::OwnNextHop => "its next hop is ourselves",
            Rejection::RouteLeak => "it is a route leak: only to customers",
        }
    }
}

/// One path. The prefix is the key it is stored under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Where it comes from.
    pub source: Source,
    /// What it says, as import policy has changed it; interned.
    pub attributes: Arc<PathAttributes>,
    /// What it said when it was received, where policy has changed that; interned.
    pub received: Option<Arc<PathAttributes>>,
    /// Which of the source's paths for the prefix it is (RFC 7911).
    pub path_id: PathId,
    /// What peers with path identifiers are told it by: no other path for the prefix has the same, and
    /// it stays while the path lives. The table gives it out; zero before, and where the table has run
    /// out of them.
    pub told_as: u16,
    /// Why it takes no part in the decision. Kept all the same, so that a change of policy needs no
    /// help from the peer.
    pub rejected: Option<Rejection>,
}

/// There are millions of paths. Identifiers fit into what alignment leaves unused.
const _: () = assert!(size_of::<Path>() == 32, "a path has grown");

impl Path {
    /// What it said when it was received.
    pub fn received(&self) -> &Arc<PathAttributes> {
        self.received.as_ref().unwrap_or(&self.attributes)
    }
}
