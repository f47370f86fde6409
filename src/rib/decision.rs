//! The decision process: which path wins for one prefix (RFC 4271 §9.1).
//!
//! Looks at nothing but the paths it is given: no clock, no kernel, no other prefix. Next hops
//! arrive already resolved. The rule that settled the matter is returned with the winner, so that
//! an operator can ask "why this path?".
//!
//! The rules are a chain of filters. Each looks at the candidates the ones before have left and
//! keeps the best of them; the first that leaves a single one has decided.

use std::net::{IpAddr, Ipv4Addr};

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
    /// Indexes of all paths as good as the best up to and including interior cost, the best among
    /// them: those that multipath may use together.
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

    apply(&mut left, Rule::LocallyOriginated, &|l| keep_least(l, |i| c(i).kind != Kind::Local));
    apply(&mut left, Rule::LocalPref, &|l| {
        keep_least(l, |i| std::cmp::Reverse(c(i).attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)));
    });
    apply(&mut left, Rule::AsPathLength, &|l| keep_least(l, |i| c(i).attributes.as_path.hops()));
    apply(&mut left, Rule::Origin, &|l| keep_least(l, |i| c(i).attributes.origin));
    apply(&mut left, Rule::Med, &|l| keep_lowest_med_of_each_as(l, candidates));
    apply(&mut left, Rule::ExternalOverInternal, &|l| keep_least(l, |i| c(i).kind));
    apply(&mut left, Rule::InteriorCost, &|l| keep_least(l, |i| c(i).interior_cost));
    let equal = left.clone();
    apply(&mut left, Rule::RouterId, &|l| {
        keep_least(l, |i| c(i).attributes.originator_id.unwrap_or(c(i).router_id));
    });
    apply(&mut left, Rule::ClusterListLength, &|l| keep_least(l, |i| c(i).attributes.cluster_list.len()));
    apply(&mut left, Rule::PeerAddress, &|l| keep_least(l, |i| c(i).peer_address));
    apply(&mut left, Rule::PathId, &|l| keep_least(l, |i| c(i).path_id));

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::{AsPath, Origin};

    fn attributes() -> PathAttributes {
        PathAttributes {
            as_path: AsPath::sequence([65000]),
            ..PathAttributes::originated("192.0.2.1".parse().unwrap())
        }
    }

    fn candidate(attributes: &PathAttributes) -> Candidate<'_> {
        Candidate {
            attributes,
            kind: Kind::Internal,
            interior_cost: 10,
            router_id: Ipv4Addr::new(10, 0, 0, 9),
            peer_address: Some("10.0.0.9".parse().unwrap()),
            path_id: PathId(2),
        }
    }

    /// Decides over every permutation of the candidates and checks that the same one wins by the
    /// same rule each time.
    fn decide_permuted(candidates: &[Candidate<'_>]) -> (usize, Rule, Vec<usize>) {
        let mut outcomes = permutations(candidates.len()).into_iter().map(|order| {
            let shuffled: Vec<_> = order.iter().map(|i| candidates[*i]).collect();
            let decision = decide(&shuffled).unwrap();
            let mut equal: Vec<usize> = decision.equal.iter().map(|i| order[*i]).collect();
            equal.sort_unstable();
            (order[decision.best], decision.rule, equal)
        });
        let first = outcomes.next().unwrap();
        for other in outcomes {
            assert_eq!(other, first);
        }
        first
    }

    fn permutations(n: usize) -> Vec<Vec<usize>> {
        if n == 0 {
            return vec![vec![]];
        }
        let mut all = vec![];
        for shorter in permutations(n - 1) {
            for at in 0..n {
                let mut order = shorter.clone();
                order.insert(at, n - 1);
                all.push(order);
            }
        }
        all
    }

    #[test]
    fn no_path_no_decision() {
        assert_eq!(decide(&[]), None);
    }

    #[test]
    fn each_rule_decides_when_the_ones_before_are_level() {
        let base = attributes();
        let preferred = PathAttributes { local_pref: Some(200), ..base.clone() };
        let longer = PathAttributes { as_path: AsPath::sequence([65000, 65001]), ..base.clone() };
        let incomplete = PathAttributes { origin: Origin::Incomplete, ..base.clone() };
        let med = PathAttributes { med: Some(1), ..base.clone() };
        let reflected = PathAttributes { cluster_list: vec![Ipv4Addr::new(1, 1, 1, 1)], ..base.clone() };
        let c = candidate;
        let table = [
            (Rule::LocallyOriginated, Candidate { kind: Kind::Local, ..c(&base) }, c(&preferred)),
            (Rule::LocalPref, c(&preferred), c(&base)),
            (Rule::AsPathLength, c(&base), c(&longer)),
            (Rule::Origin, c(&base), c(&incomplete)),
            (Rule::Med, c(&base), c(&med)),
            (Rule::ExternalOverInternal, Candidate { kind: Kind::External, ..c(&base) }, c(&base)),
            (Rule::InteriorCost, Candidate { interior_cost: 9, ..c(&base) }, c(&base)),
            (Rule::RouterId, Candidate { router_id: Ipv4Addr::new(10, 0, 0, 8), ..c(&base) }, c(&base)),
            (Rule::ClusterListLength, c(&base), c(&reflected)),
            (Rule::PeerAddress, c(&base), {
                Candidate { peer_address: Some("10.0.0.10".parse().unwrap()), ..c(&base) }
            }),
            (Rule::PathId, Candidate { path_id: PathId(1), ..c(&base) }, c(&base)),
        ];
        for (rule, winner, loser) in table {
            let (best, by, equal) = decide_permuted(&[winner, loser]);
            assert_eq!((best, by), (0, rule));
            assert_eq!(equal.len(), if rule > Rule::InteriorCost { 2 } else { 1 }, "{rule:?}");
            assert_eq!(decide_permuted(&[winner]).1, Rule::OnlyPath);
        }
    }

    #[test]
    fn med_is_compared_within_one_neighboring_as_only() {
        // The textbook case: A and B come from AS 65000, C from AS 65001. B beats A by MED, though
        // A has the lowest router ID of the three and would win without the comparison.
        let a = PathAttributes { med: Some(10), ..attributes() };
        let b = PathAttributes { med: Some(5), ..attributes() };
        let c = PathAttributes { med: Some(100), as_path: AsPath::sequence([65001]), ..attributes() };
        let with_id =
            |attributes, id| Candidate { router_id: Ipv4Addr::new(10, 0, 0, id), ..candidate(attributes) };
        let candidates = [with_id(&a, 1), with_id(&b, 2), with_id(&c, 3)];
        assert_eq!(decide_permuted(&candidates), (1, Rule::RouterId, vec![1, 2]));
    }

    #[test]
    fn originator_id_stands_in_for_the_router_id() {
        let reflected = PathAttributes { originator_id: Some(Ipv4Addr::new(10, 0, 0, 1)), ..attributes() };
        let plain = attributes();
        assert_eq!(decide_permuted(&[candidate(&plain), candidate(&reflected)]).0, 1);
    }
}
