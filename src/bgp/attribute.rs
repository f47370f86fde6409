//! Path attributes (RFC 4271 §4.3, §5) as one decoded, comparable set.
//!
//! This file owns what the rest of the program sees. Below it, in the order in which octets pass:
//! `walk` takes the field apart, `rules` is the guard that checks flags and lengths, `decode`
//! reads the values and keeps the faults, `multiprotocol` the prefixes that stand in attributes;
//! `encode` is the way back.
//!
//! Behind the guard, the zettabgp package decodes the values of ORIGINATOR_ID, CLUSTER_LIST, extended and
//! large communities. Its lists of communities are sets, which suits us: the order of communities means
//! nothing (RFC 1997, RFC 8092 §5), and equal sets then share one interned copy.
//!
//! ORIGIN, NEXT_HOP, MULTI_EXIT_DISC, LOCAL_PREF and COMMUNITIES are in nearly every message of a full
//! table. We read them ourselves, in a line each: through zettabgp's attribute items and tree sets they
//! were half the time that such a message took.
//!
//! The rest is ours, because zettabgp's version of it must not meet octets from a peer or is wrong:
//! its decoders trust lengths and panic, its AS_PATH decoder can loop for ever, its AS_PATH encoder
//! swaps sets and sequences, AGGREGATOR and ATOMIC_AGGREGATE go out with stray octets, and none of it
//! knows RFC 7606. Encoding is ours throughout: zettabgp writes into a buffer whose size it does not
//! check, we append to one that grows.

mod decode;
mod encode;
mod list;
mod multiprotocol;
mod rare;
mod rules;
#[cfg(test)]
mod tests;
mod walk;

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use super::AsPath;
use crate::prefix::Address;
pub(super) use decode::AttributeBlock;
pub(super) use encode::encode;
pub use list::ExactList;
pub(super) use multiprotocol::{Reach, is_host_address};
pub use rare::{Rare, RareAttributes};
pub(super) use rules::{code, flag};
pub(super) use walk::fault;

/// ORIGIN (RFC 4271 §5.1.1). Ordered as the decision process prefers: lower wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Interior to the originating AS.
    Igp,
    /// Learned through EGP.
    Egp,
    /// Learned by other means.
    Incomplete,
}

/// A community (RFC 1997): AS in the high half, value in the low half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Community(pub u32);

/// A large community (RFC 8092).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LargeCommunity {
    /// The AS that gives the rest its meaning.
    pub global_administrator: u32,
    /// Operator-defined, first half.
    pub local_data_1: u32,
    /// Operator-defined, second half.
    pub local_data_2: u32,
}

/// AGGREGATOR (RFC 4271 §5.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aggregator {
    /// AS of the speaker that aggregated.
    pub asn: u32,
    /// BGP identifier of that speaker.
    pub router_id: Ipv4Addr,
}

/// An optional transitive attribute this speaker does not interpret, passed on with Partial set
/// (RFC 4271 §5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnknownAttribute {
    /// Optional, Transitive and Partial: the last is set by whoever passes the attribute on unread.
    pub flags: u8,
    /// Type code.
    pub code: u8,
    /// The value, uninterpreted.
    pub value: Vec<u8>,
}

/// Everything a path says of itself, next hop included. Two paths with equal attributes share one
/// interned copy in `rib`.
///
/// What nearly every path has stands here, the rest behind one pointer in `rare`; changed copies are made
/// by struct update.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathAttributes {
    /// ORIGIN.
    pub origin: Origin,
    /// NEXT_HOP, or the global next hop of MP_REACH_NLRI.
    pub next_hop: IpAddr,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF; never present on a path from an external peer.
    pub local_pref: Option<u32>,
    /// AS_PATH, merged with AS4_PATH where the peer is a two-octet speaker (RFC 6793 §4.2.3).
    pub as_path: AsPath,
    /// COMMUNITIES; from a peer ascending and each once.
    pub communities: ExactList<Community>,
    /// All others.
    pub rare: Rare,
}

/// There are hundreds of thousands of sets. With the counts of an `Arc`, an AS_PATH of five and three
/// communities, this comes to 132 octets.
const _: () = assert!(size_of::<PathAttributes>() == 80, "an attribute set has grown");

/// In as few words as there can be: every received set is hashed once, and every exported one.
impl Hash for PathAttributes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [high, low] = match self.next_hop {
            IpAddr::V4(address) => address.words(),
            IpAddr::V6(address) => address.words(),
        };
        let pair = |high: Option<u32>, low: Option<u32>| {
            u64::from(high.unwrap_or_default()) << 32 | u64::from(low.unwrap_or_default())
        };
        state.write_u64(high);
        state.write_u64(low ^ u64::from(self.origin as u8) << 32);
        state.write_u64(pair(self.med, self.local_pref));
        self.as_path.hash(state);
        for two in self.communities.chunks(2) {
            state.write_u64(pair(two.first().map(|c| c.0), two.get(1).map(|c| c.0)));
        }
        if !self.rare.is_none() {
            self.rare.hash(state);
        }
    }
}

impl PathAttributes {
    /// The attributes of a path that begins here: ORIGIN IGP, an empty AS_PATH, the given next hop.
    pub fn originated(next_hop: IpAddr) -> PathAttributes {
        PathAttributes {
            origin: Origin::Igp,
            next_hop,
            med: None,
            local_pref: None,
            as_path: AsPath::default(),
            communities: ExactList::EMPTY,
            rare: Rare::default(),
        }
    }
}
