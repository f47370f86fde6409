//! The decision process: which path wins for one prefix (RFC 4271 §9.1).
//!
//! Looks at nothing but the paths it is given: no clock, no kernel, no other prefix. Next hops
//! arrive already resolved. The rule that settled the matter is returned with the winner, so that
//! an operator can ask "why this path?".
//!
//! The rules are a chain of filters. Each looks at the candidates the ones before have left and
//! keeps the best of them; the first that leaves a single one has decided.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};

use super::well_known::{LLGR_STALE, bears};
use crate::bgp::{PathAttributes, PathId};

/// LOCAL_PREF of a path that brings none along (RFC 4271 §9.1.1 leaves it to the configuration;
/// every speaker uses 100).
pub const DEFAULT_LOCAL_PREF: u32 = 100;

/// Where a path was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Originated here.
    Local,
    /// From a peer in another AS.
    External,
    /// From a peer in our AS.
    Internal,
}

/// One eligible path, with what the rules ask of its peer.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The path's attributes.
    pub attributes: &'a PathAttributes,
    /// Where it was learned.
    pub kind: Kind,
    /// Cost of reaching the next hop (RFC 4271 §9.1.2.2 e).
    pub interior_cost: u32,
    /// The peer's BGP identifier; our own for a local path.
    pub router_id: Ipv4Addr,
    /// The peer's address; `None` for a local path, which is preferred.
    pub peer_address: Option<IpAddr>,
    /// Which of the peer's paths it is (RFC 7911).
    pub path_id: PathId,
}

/// The rules, in the order they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// There was one path only.
    OnlyPath,
    /// Not kept beyond its peer's restart (RFC 9494 §4.3, LLGR_STALE).
    NotLongStale,
    /// Originated here before learned, as every speaker does; the RFC does not say.
    LocallyOriginated,
    /// Highest degree of preference (RFC 4271 §9.1.1).
    LocalPref,
    /// Shortest AS_PATH (§9.1.2.2 a).
    AsPathLength,
    /// Lowest ORIGIN (§9.1.2.2 b).
    Origin,
    /// Lowest MULTI_EXIT_DISC among paths of the same neighbouring AS (§9.1.2.2 c).
    Med,
    /// External before internal (§9.1.2.2 d).
    ExternalOverInternal,
    /// Lowest interior cost to the next hop (§9.1.2.2 e).
    InteriorCost,
    /// Lowest BGP identifier, or ORIGINATOR_ID where there is one (§9.1.2.2 f; RFC 4456 §9).
    RouterId,
    /// Shortest CLUSTER_LIST (RFC 4456 §9).
    ClusterListLength,
    /// Lowest peer address (§9.1.2.2 g).
    PeerAddress,
    /// Lowest path identifier, between two paths from one peer (RFC 7911 leaves it open).
    PathId,
}

impl Rule {
    /// The rule in words, for people.
    pub fn name(self) -> &'static str {
        match self {
            Rule::OnlyPath => "only path",
            Rule::NotLongStale => "not kept beyond a restart",
            Rule::LocallyOriginated => "locally originated",
            Rule::LocalPref => "highest LOCAL_PREF",
            Rule::AsPathLength => "shortest AS_PATH",
            Rule::Origin => "lowest ORIGIN",
            Rule::Med => "lowest MED",
            Rule::ExternalOverInternal => "external over internal",
            Rule::InteriorCost => "lowest interior cost",
            Rule::RouterId => "lowest router ID",
            Rule::ClusterListLength => "shortest CLUSTER_LIST",
            Rule::PeerAddress => "lowest peer address",
            Rule::PathId => "lowest path identifier",
        }
    }
}

/// The outcome for one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Index of the best path.
    pub best: usize,
    /// The rule that left it alone.
    pub rule: Rule,
    /// Indexes of all paths as good as the best up to and including interior cost: those that
    /// multipath may use together. In the order in which the rules after that prefer them, the best
    /// first, so that multipath over fewer paths than there are does not hang on who spoke first.
    pub equal: Vec<usize>,
}

/// Chooses among `candidates`; `None` if there are none.
///
/// The outcome does not depend on the order of the candidates.
pub fn decide(candidates: &[Candidate<'_>]) -> Option<Decision> {
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut decided_by = match left.len() {
        0 => return None,
        1 => Some(Rule::OnlyPath),
        _ => None,
    };
    let mut apply = |left: &mut Vec<usize>, rule: Rule, filter: &dyn Fn(&mut Vec<usize>)| {
        if left.len() > 1 {
            filter(left);
            if left.len() == 1 {
                decided_by = Some(rule);
            }
        }
    };
    let c = |i: usize| &candidates[i];
    apply(&mut left, Rule::NotLongStale, &|l| keep_least(l, |i| bears(c(i).attributes, LLGR_STALE)));

    apply(&mut left, Rule::LocallyOriginated, &|l| keep_least(l, |i| c(i).kind != Kind::Local));
    apply(&mut left, Rule::LocalPref, &|l| {
        keep_least(l, |i| std::cmp::Reverse(c(i).attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)));
    });
    apply(&mut left, Rule::AsPathLength, &|l| keep_least(l, |i| c(i).attributes.as_path.hops()));
    apply(&mut left, Rule::Origin, &|l| keep_least(l, |i| c(i).attributes.origin));
    apply(&mut left, Rule::Med, &|l| keep_lowest_med_of_each_as(l, candidates));
    apply(&mut left, Rule::ExternalOverInternal, &|l| keep_least(l, |i| c(i).kind));
    apply(&mut left, Rule::InteriorCost, &|l| keep_least(l, |i| c(i).interior_cost));
    let mut equal = left.clone();
    let router_id = |i: usize| c(i).attributes.rare.originator_id.unwrap_or(c(i).router_id);
    let clusters = |i: usize| c(i).attributes.rare.cluster_list.len();
    apply(&mut left, Rule::RouterId, &|l| keep_least(l, router_id));
    apply(&mut left, Rule::ClusterListLength, &|l| keep_least(l, clusters));
    apply(&mut left, Rule::PeerAddress, &|l| keep_least(l, |i| c(i).peer_address));
    apply(&mut left, Rule::PathId, &|l| keep_least(l, |i| c(i).path_id));
    equal.sort_by_key(|i| (router_id(*i), clusters(*i), c(*i).peer_address, c(*i).path_id));

    Some(Decision { best: left[0], rule: decided_by.unwrap_or(Rule::PathId), equal })
}

/// Keeps those of `left` whose key is least.
fn keep_least<K: Ord>(left: &mut Vec<usize>, key: impl Fn(usize) -> K) {
    if let Some(least) = left.iter().map(|i| key(*i)).min() {
        left.retain(|i| key(*i) == least);
    }
}

/// RFC 4271 §9.1.2.2 c: a path goes when another of the same neighbouring AS has a lower MED. A
/// missing MED counts as zero, the lowest. A path with no neighbouring AS (local, or originated
/// inside our AS) is compared with its like.
fn keep_lowest_med_of_each_as(left: &mut Vec<usize>, candidates: &[Candidate<'_>]) {
    let neighbor = |i: usize| candidates[i].attributes.as_path.neighbor();
    let med = |i: usize| candidates[i].attributes.med.unwrap_or(0);
    let beaten = |i: usize| left.iter().any(|j| neighbor(*j) == neighbor(i) && med(*j) < med(i));
    let kept = left.iter().copied().filter(|i| !beaten(*i)).collect();
    *left = kept;
}
