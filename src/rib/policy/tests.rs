//! Policy against a naive evaluator that reads like the documentation, and facts that must hold for
//! every policy.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::bgp::{Community, ExactList, ExtendedCommunity, ExtendedKind, LargeCommunity, Segment};

/// Small worlds, so that rules and paths meet often.
fn prefix() -> impl Strategy<Value = Prefix> {
    let v4 = (0..16_u32, 0..=32_u8).prop_map(|(bits, length)| {
        Prefix::new(std::net::Ipv4Addr::from(bits << 28 | bits << 6).into(), length).unwrap()
    });
    let v6 = (0..16_u128, 0..=128_u8).prop_map(|(bits, length)| {
        Prefix::new(std::net::Ipv6Addr::from(bits << 124 | bits << 40).into(), length).unwrap()
    });
    prop_oneof![3 => v4, 1 => v6]
}

fn prefix_rule() -> impl Strategy<Value = PrefixRule> {
    (prefix(), any::<(u8, u8)>()).prop_map(|(prefix, (a, b))| {
        let most = Prefix::host(prefix.address()).length();
        let room = most - prefix.length() + 1;
        let (a, b) = (prefix.length() + a % room, prefix.length() + b % room);
        PrefixRule { prefix, ge: a.min(b), le: a.max(b) }
    })
}

/// Communities that a path can bear.
fn community() -> impl Strategy<Value = AnyCommunity> {
    let large = |n| LargeCommunity { global_administrator: 1, local_data_1: 2, local_data_2: n };
    let target = |n| ExtendedCommunity([0, 2, 0, 1, 0, 0, 0, n]);
    let bandwidth = |(rate, transitive)| ExtendedCommunity::link_bandwidth(1, rate, transitive);
    prop_oneof![
        (0..6_u32).prop_map(|n| AnyCommunity::Plain(Community(n))),
        (0..4_u32).prop_map(move |n| AnyCommunity::Large(large(n))),
        (0..3_u8).prop_map(move |n| AnyCommunity::Extended(target(n))),
        (1.0..2.0_f32, any::<bool>()).prop_map(move |b| AnyCommunity::Extended(bandwidth(b))),
    ]
}

fn communities(most: usize) -> impl Strategy<Value = std::collections::BTreeSet<AnyCommunity>> {
    btree_set(community(), 0..most)
}

/// What a rule can ask for or remove: those, and whole kinds.
fn meant(most: usize) -> impl Strategy<Value = std::collections::BTreeSet<AnyCommunity>> {
    let kind = prop_oneof![Just(ExtendedKind::RouteTarget), Just(ExtendedKind::LinkBandwidth)];
    btree_set(prop_oneof![4 => community(), 1 => kind.prop_map(AnyCommunity::Kind)], 0..most)
}

fn asn() -> impl Strategy<Value = u32> {
    1..5_u32
}

fn attributes() -> impl Strategy<Value = PathAttributes> {
    let segment = (vec(asn(), 1..4), any::<bool>());
    let scalars = (option::of(0..3_u32), option::of(0..3_u32), 0..16_u32);
    (vec(segment, 0..3), communities(4), scalars).prop_map(
        |(segments, communities, (med, local_pref, hop))| {
            let mut attributes = PathAttributes {
                as_path: segments
                    .iter()
                    .map(|(asns, set)| if *set { Segment::Set(asns) } else { Segment::Sequence(asns) })
                    .collect(),
                med,
                local_pref,
                ..PathAttributes::originated(std::net::Ipv4Addr::from(hop << 28 | 1).into())
            };
            bear(&mut attributes, communities);
            attributes
        },
    )
}

fn matches() -> impl Strategy<Value = Match> {
    let prefixes = || option::of(vec(prefix_rule(), 1..4).prop_map(|rules| rules.into_iter().collect()));
    let as_path = (option::of(asn()), option::of(asn()), option::of(asn()), option::of(0..5_u32)).prop_map(
        |(contains, starts_with, originated_by, max_length)| AsPathMatch {
            contains,
            starts_with,
            originated_by,
            max_length,
        },
    );
    let as_path = as_path.boxed();
    let communities =
        (meant(3), meant(2), meant(2)).prop_map(|(any, all, none)| CommunityMatch { any, all, none }).boxed();
    // Most rules ask for one thing or two: those that ask for all match next to nothing.
    let default = || Just(Match::default());
    prop_oneof![
        2 => default(),
        4 => prefixes().prop_map(|prefixes| Match { prefixes, ..Match::default() }),
        2 => as_path.clone().prop_map(|as_path| Match { as_path, ..Match::default() }),
        3 => communities.clone().prop_map(|communities| Match { communities, ..Match::default() }),
        1 => prefixes().prop_map(|next_hop| Match { next_hop, ..Match::default() }),
        1 => (prefixes(), as_path, communities, prefixes()).prop_map(
            |(prefixes, as_path, communities, next_hop)| Match { prefixes, as_path, communities, next_hop }
        ),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    let numbers = (option::of(0..4_u32), option::of(0..4_u32), 0..3_u8);
    (numbers, meant(3), communities(3)).prop_map(|((local_pref, med, prepend), remove, add)| Set {
        local_pref,
        med,
        remove_communities: remove.difference(&add).copied().collect(),
        add_communities: add,
        prepend,
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let action = option::of(prop_oneof![Just(Action::Accept), Just(Action::Reject)]);
    let rule = (matches(), set(), action).prop_map(|(matches, set, action)| Rule { matches, set, action });
    (vec(rule, 0..6), vec(prefix_rule(), 0..4)).prop_map(|(rules, accept)| {
        let mut policy = Policy { rules };
        policy.accept(accept);
        policy
    })
}

/// What is accepted, as it comes out; by the words of the documentation and nothing clever.
fn naive(policy: &Policy, prefix: Prefix, path: &PathAttributes, nearest: u32) -> Option<PathAttributes> {
    let mut out = path.clone();
    for Rule { matches, set, action } in &policy.rules {
        if !naively_matches(matches, prefix, path) {
            continue;
        }
        if *action == Some(Action::Reject) {
            return None;
        }
        out.local_pref = set.local_pref.or(out.local_pref);
        out.med = set.med.or(out.med);
        let mut all = borne(&out);
        all.retain(|community| !set.remove_communities.iter().any(|removed| means(*removed, *community)));
        let bandwidth = AnyCommunity::Kind(ExtendedKind::LinkBandwidth);
        for added in set.add_communities.iter().copied() {
            if means(bandwidth, added) {
                all.retain(|community| !means(bandwidth, *community));
            }
            all.push(added);
        }
        all.sort_unstable();
        all.dedup();
        out.communities = ExactList::EMPTY;
        out.rare.change(|rare| {
            (rare.large_communities, rare.extended_communities) = Default::default();
        });
        bear(&mut out, all);
        for _ in 0..set.prepend {
            out.as_path = out.as_path.prepended(nearest, 1);
        }
        if *action == Some(Action::Accept) {
            return Some(out);
        }
    }
    None
}

fn borne(path: &PathAttributes) -> Vec<AnyCommunity> {
    let plain = path.communities.iter().copied().map(AnyCommunity::Plain);
    let large = path.rare.large_communities.iter().copied().map(AnyCommunity::Large);
    let extended = path.rare.extended_communities.iter().copied().map(ExtendedCommunity);
    plain.chain(large).chain(extended.map(AnyCommunity::Extended)).collect()
}

fn bear(path: &mut PathAttributes, communities: impl IntoIterator<Item = AnyCommunity>) {
    for community in communities {
        match community {
            AnyCommunity::Plain(community) => path.communities.insert(path.communities.len(), community),
            AnyCommunity::Large(community) => path.rare.change(|rare| {
                rare.large_communities.insert(rare.large_communities.len(), community);
            }),
            AnyCommunity::Extended(community) => path.rare.change(|rare| {
                rare.extended_communities.insert(rare.extended_communities.len(), community.0);
            }),
            AnyCommunity::Kind(kind) => unreachable!("{kind} is no community"),
        }
    }
}

/// Whether a rule that names `wanted` means `community`.
fn means(wanted: AnyCommunity, community: AnyCommunity) -> bool {
    match (wanted, community) {
        (AnyCommunity::Kind(kind), AnyCommunity::Extended(community)) => community.kind() == Some(kind),
        _ => wanted == community,
    }
}

fn naively_matches(wanted: &Match, prefix: Prefix, path: &PathAttributes) -> bool {
    let scan = |set: &PrefixSet, prefix| set.rules().iter().any(|rule| rule.matches(prefix));
    let mut good = true;
    if let Some(set) = &wanted.prefixes {
        good &= scan(set, prefix);
    }
    if let Some(set) = &wanted.next_hop {
        good &= scan(set, Prefix::host(path.next_hop));
    }
    let AsPathMatch { contains, starts_with, originated_by, max_length } = wanted.as_path;
    let mut segments = path.as_path.segments();
    if let Some(asn) = contains {
        good &= segments.clone().flat_map(Segment::asns).any(|a| *a == asn);
    }
    if let Some(most) = max_length {
        let hops = |segment: Segment<'_>| if let Segment::Sequence(asns) = segment { asns.len() } else { 1 };
        good &= segments.clone().map(hops).sum::<usize>() <= most as usize;
    }
    if let Some(asn) = originated_by {
        let last = segments.clone().last();
        good &= matches!(last, Some(Segment::Sequence(asns)) if asns[asns.len() - 1] == asn);
    }
    if let Some(asn) = starts_with {
        good &= matches!(segments.next(), Some(Segment::Sequence(asns)) if asns[0] == asn);
    }
    let CommunityMatch { any, all, none } = &wanted.communities;
    let borne = borne(path);
    let bears = |wanted: &AnyCommunity| borne.iter().any(|community| means(*wanted, *community));
    good &= any.is_empty() || any.iter().any(bears);
    good && all.iter().all(bears) && !none.iter().any(bears)
}

fn outcome(policy: &Policy, prefix: Prefix, path: &PathAttributes, nearest: u32) -> Option<PathAttributes> {
    let changes = policy.judge(prefix, path)?;
    let mut out = path.clone();
    changes.apply(&mut out, Some(nearest));
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn evaluation_is_as_documented(policy in policy(), prefix in prefix(), path in attributes()) {
        prop_assert_eq!(outcome(&policy, prefix, &path, 9), naive(&policy, prefix, &path, 9));
    }

    #[test]
    fn prefixes_judged_together_fare_as_each_by_itself(
        policy in policy(),
        prefixes in vec(prefix(), 1..8),
        path in attributes(),
    ) {
        let judged = policy.judged(&path);
        let mut changes = Changes::default();
        for prefix in prefixes {
            let accepted = judged.accepts(prefix, &mut changes).then(|| changes.clone());
            prop_assert_eq!(accepted, policy.judge(prefix, &path));
        }
    }

    #[test]
    fn the_index_of_a_prefix_set_finds_what_a_scan_finds(
        rules in vec(prefix_rule(), 0..40),
        prefixes in vec(prefix(), 1..40),
    ) {
        let set: PrefixSet = rules.iter().copied().collect();
        for prefix in prefixes.into_iter().chain(rules.iter().map(|rule| rule.prefix)) {
            prop_assert_eq!(set.matches(prefix), rules.iter().any(|rule| rule.matches(prefix)), "{}", prefix);
        }
        let reversed: PrefixSet = rules.iter().rev().copied().collect();
        prop_assert_eq!(set, reversed);
    }

    /// Re-evaluation starts from what was received; and apart from prepending, changes made twice are
    /// changes made once.
    #[test]
    fn changes_are_idempotent_but_for_prepending(policy in policy(), prefix in prefix(), path in attributes()) {
        let Some(changes) = policy.judge(prefix, &path) else { return Ok(()) };
        let (mut once, mut twice) = (path.clone(), path.clone());
        changes.apply(&mut once, None);
        changes.apply(&mut twice, None);
        changes.apply(&mut twice, None);
        prop_assert_eq!(&once, &twice);
        prop_assert!(once.communities.is_sorted() && once.rare.large_communities.is_sorted());
        prop_assert!(once.rare.extended_communities.is_sorted());
        if changes.is_empty() {
            prop_assert_eq!(once, path);
        }
    }

    /// A prefix list in front of another policy is the same as behind it where neither rejects.
    #[test]
    fn what_an_accept_list_names_is_accepted_unless_a_rule_rejects_it(
        policy in policy(),
        accept in vec(prefix_rule(), 1..4),
        prefix in prefix(),
        path in attributes(),
    ) {
        let mut wider = policy.clone();
        wider.accept(accept.iter().copied());
        if policy.judge(prefix, &path).is_some() {
            prop_assert_eq!(wider.judge(prefix, &path), policy.judge(prefix, &path));
        } else if wider.judge(prefix, &path).is_some() {
            prop_assert!(accept.iter().any(|rule| rule.matches(prefix)));
        }
    }
}

proptest! {
    /// The rule that is named as having rejected a path has: without it, and those before it that only
    /// change, the path's fate is decided by others.
    #[test]
    fn the_rule_that_rejects_is_named(policy in policy(), prefix in prefix(), path in attributes()) {
        match policy.rejected_by(prefix, &path) {
            Some(index) => {
                prop_assert_eq!(policy.judge(prefix, &path), None);
                prop_assert_eq!(policy.rules[index].action, Some(Action::Reject));
                prop_assert!(naively_matches(&policy.rules[index].matches, prefix, &path));
                let mut before = policy.clone();
                before.rules.truncate(index);
                prop_assert_eq!(before.judge(prefix, &path), None, "nobody had accepted it before");
            }
            None => {
                let matched = |rule: &Rule| rule.action.is_some() && naively_matches(&rule.matches, prefix, &path);
                prop_assert_eq!(policy.judge(prefix, &path).is_some(), policy.rules.iter().any(matched));
            }
        }
    }
}

#[test]
fn an_empty_policy_denies_everything() {
    let path = PathAttributes::originated("192.0.2.1".parse().unwrap());
    assert_eq!(Policy::default().judge("10.0.0.0/8".parse().unwrap(), &path), None);
    assert_eq!(Policy::accepting([]), Policy::default());
}

/// A full table must not wait for policy: a list of a thousand prefixes costs a binary search, and a
/// hundred rules with ten communities each a look at what the path bears, once for each rule.
#[test]
fn long_policies_take_few_steps() {
    const BORNE: [u32; 3] = [5, 777, 65_000 << 16];
    let tagged = |n: u32| Rule {
        matches: Match {
            communities: CommunityMatch {
                any: (0..10).map(|i| AnyCommunity::Plain(Community(n * 10 + i))).collect(),
                ..CommunityMatch::default()
            },
            ..Match::default()
        },
        set: Set { local_pref: Some(n), ..Set::default() },
        action: None,
    };
    let mut policy = Policy { rules: (0..100).map(tagged).collect() };
    let listed = |i: u32| Prefix::new(std::net::Ipv4Addr::from(10 << 24 | i << 8).into(), 24).unwrap();
    policy.accept((0..1000).map(|i| listed(2 * i)).map(PrefixRule::within));
    let path = PathAttributes {
        communities: BORNE.map(Community).into(),
        ..PathAttributes::originated("192.0.2.1".parse().unwrap())
    };
    // A binary search among the beginnings and ends of a thousand takes eleven comparisons or twelve.
    let search = 2000_usize.ilog2() as usize + 2;
    let (once, verdict) = work::steps_of(|| policy.judged(&path));
    let each = |i| work::steps_of(|| verdict.accepts(listed(i), &mut Changes::default())).0;
    let most_each = (0..20_000).map(each).max();
    assert!(once >= 100 * (BORNE.len() - 1), "{once} steps");
    assert!(most_each.is_some_and(|most| (1..=search).contains(&most)), "{most_each:?} steps");
    let judged = |i| work::steps_of(|| policy.judge(listed(i), &path).is_some());
    let verdicts: Vec<(usize, bool)> = (0..20_000).map(judged).collect();
    assert_eq!(verdicts.iter().filter(|(_, accepted)| *accepted).count(), 1000);
    let most = verdicts.iter().map(|(steps, _)| *steps).max();
    let least = 100 * (BORNE.len() - 1);
    assert!(most.is_some_and(|most| (least..=100 * BORNE.len() + search).contains(&most)), "{most:?} steps");
}
