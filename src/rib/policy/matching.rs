//! What a rule asks of a path.

use std::collections::BTreeSet;

use super::{PrefixSet, work};
use crate::bgp::as_path::Segment;
use crate::bgp::{AsPath, Community, ExtendedCommunity, ExtendedKind, LargeCommunity, PathAttributes};
use crate::prefix::Prefix;

/// What a path must be like: all that is given here. Nothing given matches every path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Match {
    /// The prefix is one of these.
    pub prefixes: Option<PrefixSet>,
    /// About the AS_PATH.
    pub as_path: AsPathMatch,
    /// About communities of any kind.
    pub communities: CommunityMatch,
    /// The next hop, as a prefix of full length, is one of these.
    pub next_hop: Option<PrefixSet>,
}

/// What an AS_PATH must be like: all that is given here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsPathMatch {
    /// This AS occurs in it.
    pub contains: Option<u32>,
    /// This AS is its first, the one nearest to us.
    pub starts_with: Option<u32>,
    /// This AS is its last, the one the path began in.
    pub originated_by: Option<u32>,
    /// It has at most so many hops, counted as the decision process does (RFC 4271 §9.1.2.2 a).
    pub max_length: Option<u32>,
}

/// A community as policy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnyCommunity {
    /// RFC 1997.
    Plain(Community),
    /// RFC 8092.
    Large(LargeCommunity),
    /// RFC 4360.
    Extended(ExtendedCommunity),
    /// Every extended community of a kind; can be asked for and removed, and not added.
    Kind(ExtendedKind),
}

/// Which communities a path must bear: all that is given here, and an empty set asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommunityMatch {
    /// At least one of these.
    pub any: BTreeSet<AnyCommunity>,
    /// Each of these.
    pub all: BTreeSet<AnyCommunity>,
    /// None of these.
    pub none: BTreeSet<AnyCommunity>,
}

impl Match {
    /// Whether a path is meant.
    pub fn matches(&self, prefix: Prefix, attributes: &PathAttributes) -> bool {
        self.matches_prefix(prefix) && self.matches_but_for_prefix(attributes)
    }

    /// Whether paths to a prefix can be meant.
    pub(super) fn matches_prefix(&self, prefix: Prefix) -> bool {
        self.prefixes.as_ref().is_none_or(|set| set.matches(prefix))
    }

    /// Whether paths with these attributes can be meant.
    pub(super) fn matches_but_for_prefix(&self, attributes: &PathAttributes) -> bool {
        let next_hop = || Prefix::host(attributes.next_hop);
        self.as_path.matches(&attributes.as_path)
            && self.communities.matches(attributes)
            && self.next_hop.as_ref().is_none_or(|set| set.matches(next_hop()))
    }
}

impl AsPathMatch {
    fn matches(&self, path: &AsPath) -> bool {
        let last = || match path.segments().last() {
            Some(Segment::Sequence(asns)) => asns.last().copied(),
            _ => None,
        };
        self.contains.is_none_or(|asn| path.contains(asn))
            && self.starts_with.is_none_or(|asn| path.neighbor() == Some(asn))
            && self.originated_by.is_none_or(|asn| last() == Some(asn))
            && self.max_length.is_none_or(|most| path.hops() <= most as usize)
    }
}

impl CommunityMatch {
    fn matches(&self, attributes: &PathAttributes) -> bool {
        // The sets of a rule may be long and a path bears few, so the path's are looked up in the
        // rule's and not the other way round; `all` cannot be longer than what the path bears.
        (self.any.is_empty() || bears(attributes, |community| self.any.contains(&community)))
            && (self.none.is_empty() || !bears(attributes, |community| self.none.contains(&community)))
            && self.all.iter().all(|wanted| bears(attributes, |community| community == *wanted))
    }
}

/// Whether a path bears a community that is `wanted`; an extended one is asked about by its kind too.
fn bears(attributes: &PathAttributes, wanted: impl Fn(AnyCommunity) -> bool) -> bool {
    let wanted = |community| {
        work::step();
        wanted(community)
    };
    attributes.communities.iter().any(|plain| wanted(AnyCommunity::Plain(*plain)))
        || attributes.rare.large_communities.iter().any(|large| wanted(AnyCommunity::Large(*large)))
        || attributes.rare.extended_communities.iter().any(|octets| {
            let community = ExtendedCommunity(*octets);
            wanted(AnyCommunity::Extended(community))
                || community.kind().is_some_and(|kind| wanted(AnyCommunity::Kind(kind)))
        })
}
