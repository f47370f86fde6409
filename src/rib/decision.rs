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

use std::cmp::Ordering;
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
    pub equal: Equals,
}

/// Indexes of paths that are equally good. Mostly that is one alone.
#[derive(Debug, Clone)]
pub enum Equals {
    /// The best has no equal.
    Alone(usize),
    /// All of them, two or more.
    Several(Vec<usize>),
}

impl std::ops::Deref for Equals {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        match self {
            Equals::Alone(index) => std::slice::from_ref(index),
            Equals::Several(indexes) => indexes,
        }
    }
}

impl std::ops::DerefMut for Equals {
    fn deref_mut(&mut self) -> &mut [usize] {
        match self {
            Equals::Alone(index) => std::slice::from_mut(index),
            Equals::Several(indexes) => indexes,
        }
    }
}

impl From<Vec<usize>> for Equals {
    fn from(indexes: Vec<usize>) -> Equals {
        match indexes[..] {
            [index] => Equals::Alone(index),
            _ => Equals::Several(indexes),
        }
    }
}

impl PartialEq for Equals {
    fn eq(&self, other: &Equals) -> bool {
        **self == **other
    }
}

impl Eq for Equals {}

/// Chooses among `candidates`; `None` if there are none.
///
/// The outcome does not depend on the order of the candidates.
pub fn decide(candidates: &[Candidate<'_>]) -> Option<Decision> {
    match candidates {
        [] => None,
        [_] => Some(Decision { best: 0, rule: Rule::OnlyPath, equal: Equals::Alone(0) }),
        [one, other] => Some(decide_between(one, other)),
        _ => Some(decide_among(candidates)),
    }
}

/// Chooses between two, which is most of what there is to choose, in one pass and without a list.
fn decide_between(one: &Candidate<'_>, other: &Candidate<'_>) -> Decision {
    let by = |rule, order: Ordering| (order != Ordering::Equal).then_some((rule, order.is_gt()));
    let (a, b) = (one.attributes, other.attributes);
    let has_other_as = a.as_path.neighbor() != b.as_path.neighbor();
    let med = || if has_other_as { None } else { by(Rule::Med, one.med().cmp(&other.med())) };
    let alone = by(Rule::NotLongStale, one.is_long_stale().cmp(&other.is_long_stale()))
        .or_else(|| by(Rule::LocallyOriginated, one.is_learned().cmp(&other.is_learned())))
        .or_else(|| by(Rule::LocalPref, other.local_pref().cmp(&one.local_pref())))
        .or_else(|| by(Rule::AsPathLength, a.as_path.hops().cmp(&b.as_path.hops())))
        .or_else(|| by(Rule::Origin, a.origin.cmp(&b.origin)))
        .or_else(med)
        .or_else(|| by(Rule::ExternalOverInternal, one.kind.cmp(&other.kind)))
        .or_else(|| by(Rule::InteriorCost, one.interior_cost.cmp(&other.interior_cost)));
    if let Some((rule, is_other)) = alone {
        let best = usize::from(is_other);
        return Decision { best, rule, equal: Equals::Alone(best) };
    }
    let (rule, is_other) = by(Rule::RouterId, one.originator().cmp(&other.originator()))
        .or_else(|| by(Rule::ClusterListLength, one.clusters().cmp(&other.clusters())))
        .or_else(|| by(Rule::PeerAddress, one.peer_address.cmp(&other.peer_address)))
        .or_else(|| by(Rule::PathId, one.path_id.cmp(&other.path_id)))
        .unwrap_or((Rule::PathId, false));
    let best = usize::from(is_other);
    Decision { best, rule, equal: Equals::Several(vec![best, 1 - best]) }
}

/// Chooses among any number.
fn decide_among(candidates: &[Candidate<'_>]) -> Decision {
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut decided_by = (left.len() == 1).then_some(Rule::OnlyPath);
    let mut apply = |left: &mut Vec<usize>, rule: Rule, filter: &dyn Fn(&mut Vec<usize>)| {
        if left.len() > 1 {
            filter(left);
            if left.len() == 1 {
                decided_by = Some(rule);
            }
        }
    };
    let c = |i: usize| &candidates[i];
    apply(&mut left, Rule::NotLongStale, &|l| keep_least(l, |i| c(i).is_long_stale()));

    apply(&mut left, Rule::LocallyOriginated, &|l| keep_least(l, |i| c(i).is_learned()));
    apply(&mut left, Rule::LocalPref, &|l| keep_least(l, |i| std::cmp::Reverse(c(i).local_pref())));
    apply(&mut left, Rule::AsPathLength, &|l| keep_least(l, |i| c(i).attributes.as_path.hops()));
    apply(&mut left, Rule::Origin, &|l| keep_least(l, |i| c(i).attributes.origin));
    apply(&mut left, Rule::Med, &|l| keep_lowest_med_of_each_as(l, candidates));
    apply(&mut left, Rule::ExternalOverInternal, &|l| keep_least(l, |i| c(i).kind));
    apply(&mut left, Rule::InteriorCost, &|l| keep_least(l, |i| c(i).interior_cost));
    let mut equal = left.clone();
    apply(&mut left, Rule::RouterId, &|l| keep_least(l, |i| c(i).originator()));
    apply(&mut left, Rule::ClusterListLength, &|l| keep_least(l, |i| c(i).clusters()));
    apply(&mut left, Rule::PeerAddress, &|l| keep_least(l, |i| c(i).peer_address));
    apply(&mut left, Rule::PathId, &|l| keep_least(l, |i| c(i).path_id));
    equal.sort_by_key(|i| (c(*i).originator(), c(*i).clusters(), c(*i).peer_address, c(*i).path_id));

    Decision { best: left[0], rule: decided_by.unwrap_or(Rule::PathId), equal: equal.into() }
}

/// What the rules compare, where it takes a word to say.
impl Candidate<'_> {
    fn is_long_stale(&self) -> bool {
        bears(self.attributes, LLGR_STALE)
    }

    fn is_learned(&self) -> bool {
        self.kind != Kind::Local
    }

    fn local_pref(&self) -> u32 {
        self.attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)
    }

    /// A missing MED counts as zero, the lowest.
    fn med(&self) -> u32 {
        self.attributes.med.unwrap_or(0)
    }

    fn originator(&self) -> Ipv4Addr {
        self.attributes.rare.originator_id.unwrap_or(self.router_id)
    }

    fn clusters(&self) -> usize {
        self.attributes.rare.cluster_list.len()
    }
}

/// Keeps those of `left` whose key is least.
fn keep_least<K: Ord>(left: &mut Vec<usize>, key: impl Fn(usize) -> K) {
    if let Some(least) = left.iter().map(|i| key(*i)).min() {
        left.retain(|i| key(*i) == least);
    }
}

/// RFC 4271 §9.1.2.2 c: a path goes when another of the same neighbouring AS has a lower MED. A path with no
/// neighbouring AS (local, or originated inside our AS) is compared with its like.
fn keep_lowest_med_of_each_as(left: &mut Vec<usize>, candidates: &[Candidate<'_>]) {
    let neighbor = |i: usize| candidates[i].attributes.as_path.neighbor();
    let med = |i: usize| candidates[i].med();
    let beaten = |i: usize| left.iter().any(|j| neighbor(*j) == neighbor(i) && med(*j) < med(i));
    let kept = left.iter().copied().filter(|i| !beaten(*i)).collect();
    *left = kept;
}
