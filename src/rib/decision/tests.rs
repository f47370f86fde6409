//! The decision process: each rule by itself, and every order of the paths.

use proptest::prelude::*;

use super::*;
use crate::bgp::{AsPath, Origin, Rare, RareAttributes};

fn attributes() -> PathAttributes {
    PathAttributes {
        as_path: AsPath::sequence([65000]),
        ..PathAttributes::originated("192.0.2.1".parse().unwrap())
    }
}

/// What a path has that one reflector has passed on.
fn reflected() -> Rare {
    let cluster_list = [Ipv4Addr::new(1, 1, 1, 1)].into();
    RareAttributes { cluster_list, ..RareAttributes::NONE }.into()
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
        assert_eq!(decision, decide_among(&shuffled), "however many, by the same rules");
        let equal: Vec<usize> = decision.equal.iter().map(|i| order[*i]).collect();
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
    let reflected = PathAttributes { rare: reflected(), ..base.clone() };
    let c = candidate;
    let long_stale = PathAttributes { communities: [LLGR_STALE].into(), ..preferred.clone() };
    let table = [
        (Rule::NotLongStale, c(&base), Candidate { kind: Kind::Local, ..c(&long_stale) }),
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

/// The values of one generated path that the rules look at, few of each so that ties abound.
#[derive(Debug, Clone)]
struct Drawn {
    local_pref: Option<u32>,
    as_path: Vec<u32>,
    origin: Origin,
    med: Option<u32>,
    kind: Kind,
    interior_cost: u32,
    originator: Option<u8>,
    clusters: usize,
    router_id: u8,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let attributes = (
        prop_oneof![Just(None), Just(Some(100)), Just(Some(200))],
        prop::collection::vec(65000..65003_u32, 0..3),
        prop_oneof![4 => Just(Origin::Igp), 1 => Just(Origin::Incomplete)],
        prop_oneof![Just(None), Just(Some(0)), Just(Some(5)), Just(Some(10))],
    );
    let kind = prop_oneof![1 => Just(Kind::Local), 4 => Just(Kind::External), 4 => Just(Kind::Internal)];
    let peer = (kind, 0..2_u32, prop::option::of(1..3_u8), 0..3_usize, 1..4_u8);
    (attributes, peer).prop_map(|(attributes, peer)| {
        let (local_pref, as_path, origin, med) = attributes;
        let (kind, interior_cost, originator, clusters, router_id) = peer;
        Drawn { local_pref, as_path, origin, med, kind, interior_cost, originator, clusters, router_id }
    })
}

impl Drawn {
    fn attributes(&self) -> PathAttributes {
        PathAttributes {
            local_pref: self.local_pref,
            as_path: AsPath::sequence(self.as_path.clone()),
            origin: self.origin,
            med: self.med,
            rare: RareAttributes {
                originator_id: self.originator.map(|id| Ipv4Addr::new(10, 0, 0, id)),
                cluster_list: vec![Ipv4Addr::new(1, 1, 1, 1); self.clusters].into(),
                ..RareAttributes::NONE
            }
            .into(),
            ..attributes()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_up_to_six_paths_makes_a_difference(paths in prop::collection::vec(drawn(), 1..=6)) {
        let attributes: Vec<PathAttributes> = paths.iter().map(Drawn::attributes).collect();
        // A node has one path of its own.
        let mut local = false;
        let kind = |kind| match kind {
            Kind::Local if std::mem::replace(&mut local, true) => Kind::Internal,
            kind => kind,
        };
        let kinds: Vec<Kind> = paths.iter().map(|path| path.kind).map(kind).collect();
        let candidate = |i: usize| Candidate {
            attributes: &attributes[i],
            kind: kinds[i],
            interior_cost: paths[i].interior_cost,
            router_id: Ipv4Addr::new(10, 0, 0, paths[i].router_id),
            // Two paths of one peer each.
            peer_address: (kinds[i] != Kind::Local).then(|| [10, 0, 1, i as u8 / 2].into()),
            path_id: PathId(i as u32 % 2),
        };
        let candidates: Vec<Candidate<'_>> = (0..paths.len()).map(candidate).collect();
        let (best, _, equal) = decide_permuted(&candidates);
        prop_assert_eq!(equal.first(), Some(&best));
        // Within the neighbouring AS of the best path, nobody who got as far has a lower MED.
        let of = |i: usize| (candidates[i].attributes, candidates[i].attributes.med.unwrap_or(0));
        for rival in 0..paths.len() {
            let level = |a: &PathAttributes| {
                (a.local_pref.unwrap_or(100), a.as_path.hops(), a.origin, a.as_path.neighbor())
            };
            let rivals = level(of(rival).0) == level(of(best).0);
            let local = kinds[best] == Kind::Local || kinds[rival] == Kind::Local;
            prop_assert!(local || !rivals || of(best).1 <= of(rival).1);
        }
    }
}

#[test]
fn paths_that_multipath_may_use_stand_in_the_order_of_the_rules_that_follow() {
    let base = attributes();
    let reflected = PathAttributes { rare: reflected(), ..base.clone() };
    let with = |attributes, id, address: u8| Candidate {
        router_id: Ipv4Addr::new(10, 0, 0, id),
        peer_address: Some([10, 0, 0, address].into()),
        ..candidate(attributes)
    };
    let candidates = [with(&base, 2, 1), with(&base, 1, 4), with(&reflected, 1, 2), with(&base, 1, 3)];
    assert_eq!(decide_permuted(&candidates), (3, Rule::PeerAddress, vec![3, 1, 2, 0]));
}

#[test]
fn what_arrives_or_leaves_in_any_order_ends_in_one_choice() {
    // With a comparison path by path, as some routers have it, the winner of these three hangs on
    // their order: A beats B by router ID, B beats C by external over internal, C beats A by MED.
    let a = PathAttributes { med: Some(10), ..attributes() };
    let b = PathAttributes { as_path: AsPath::sequence([65001]), ..attributes() };
    let c = PathAttributes { med: Some(5), ..attributes() };
    let external = |attributes, id| Candidate {
        kind: Kind::External,
        router_id: Ipv4Addr::new(10, 0, 0, id),
        ..candidate(attributes)
    };
    let candidates = [external(&a, 1), external(&b, 2), Candidate { ..candidate(&c) }];
    let pair = |i: usize, j: usize| [i, j][decide(&[candidates[i], candidates[j]]).unwrap().best];
    assert_eq!((pair(0, 1), pair(1, 2), pair(2, 0)), (0, 1, 2), "no pair tells who is best");
    assert_eq!(decide_permuted(&candidates), (1, Rule::ExternalOverInternal, vec![1]));
}

#[test]
fn originator_id_stands_in_for_the_router_id() {
    let rare = RareAttributes { originator_id: Some(Ipv4Addr::new(10, 0, 0, 1)), ..RareAttributes::NONE };
    let reflected = PathAttributes { rare: rare.into(), ..attributes() };
    let plain = attributes();
    assert_eq!(decide_permuted(&[candidate(&plain), candidate(&reflected)]).0, 1);
}
