//! Path attributes (RFC 4271 §4.3, §5) as one decoded, comparable set.
//!
//! This file owns what the rest of the program sees. Below it, in the order in which octets pass:
//! `walk` takes the field apart, `rules` is the guard that checks flags and lengths, `decode`
//! reads the values and keeps the faults, `multiprotocol` the prefixes that stand in attributes;
//! `encode` is the way back.
//!
//! Behind the guard, the zettabgp package decodes the values of ORIGIN, NEXT_HOP, MULTI_EXIT_DISC,
//! LOCAL_PREF, COMMUNITIES, ORIGINATOR_ID, CLUSTER_LIST, extended and large communities. Its lists of
//! communities are sets, which suits us: the order of communities means nothing (RFC 1997, RFC 8092
//! §5), and equal sets then share one interned copy.
//!
//! The rest is ours, because zettabgp's version of it must not meet octets from a peer or is wrong:
//! its decoders trust lengths and panic, its AS_PATH decoder can loop for ever, its AS_PATH encoder
//! swaps sets and sequences, AGGREGATOR and ATOMIC_AGGREGATE go out with stray octets, and none of it
//! knows RFC 7606. Encoding is ours throughout: zettabgp writes into a buffer whose size it does not
//! check, we append to one that grows.

mod decode;
mod encode;
mod multiprotocol;
mod rules;
#[cfg(test)]
mod tests;
mod walk;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::AsPath;
pub(super) use decode::AttributeBlock;
pub(super) use encode::encode;
pub(super) use multiprotocol::{Reach, is_host_address};
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathAttributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH, merged with AS4_PATH where the peer is a two-octet speaker (RFC 6793 §4.2.3).
    pub as_path: AsPath,
    /// NEXT_HOP, or the global next hop of MP_REACH_NLRI.
    pub next_hop: IpAddr,
    /// The link-local next hop that RFC 2545 §3 lets stand beside the global one.
    pub link_local_next_hop: Option<Ipv6Addr>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF; never present on a path from an external peer.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES; from a peer ascending and each once.
    pub communities: Vec<Community>,
    /// ORIGINATOR_ID (RFC 4456 §8).
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST (RFC 4456 §8), most recent first.
    pub cluster_list: Vec<Ipv4Addr>,
    /// EXTENDED COMMUNITIES (RFC 4360), each as its eight octets; from a peer as above.
    pub extended_communities: Vec<[u8; 8]>,
    /// LARGE_COMMUNITY (RFC 8092); from a peer as above.
    pub large_communities: Vec<LargeCommunity>,
    /// ONLY_TO_CUSTOMER (RFC 9234).
    pub only_to_customer: Option<u32>,
    /// Unknown transitive attributes, by type code.
    pub unknown: Vec<UnknownAttribute>,
    /// Type codes, ascending, of the attributes above whose Partial bit another speaker has set: it
    /// must stay set when they are passed on (RFC 4271 §5).
    pub partial: Vec<u8>,
}

impl PathAttributes {
    /// The attributes of a path that begins here: ORIGIN IGP, an empty AS_PATH, the given next hop.
    pub fn originated(next_hop: IpAddr) -> PathAttributes {
        PathAttributes {
            origin: Origin::Igp,
            as_path: AsPath::default(),
            next_hop,
            link_local_next_hop: None,
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: vec![],
            originator_id: None,
            cluster_list: vec![],
            extended_communities: vec![],
            large_communities: vec![],
            only_to_customer: None,
            unknown: vec![],
            partial: vec![],
        }
    }
}
