//! Arbitrary attributes and prefixes, valid by construction.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use routelet::bgp::attribute::{Aggregator, UnknownAttribute};
use routelet::bgp::{
    AsPath, Community, ExactList, LargeCommunity, Origin, PathAttributes, RareAttributes, Segment,
};
use routelet::prefix::{Family, Prefix};

pub fn prefix(family: Family) -> BoxedStrategy<Prefix> {
    match family {
        Family::Ipv4Unicast => (any::<u32>(), 0..=32_u8)
            .prop_map(|(bits, length)| Prefix::new(Ipv4Addr::from(bits).into(), length).unwrap())
            .boxed(),
        Family::Ipv6Unicast => (any::<u128>(), 0..=128_u8)
            .prop_map(|(bits, length)| Prefix::new(Ipv6Addr::from(bits).into(), length).unwrap())
            .boxed(),
    }
}

pub fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::ALL.to_vec())
}

/// Attributes for a path of the family.
pub fn attributes(family: Family) -> impl Strategy<Value = PathAttributes> {
    let scalars = (
        prop::sample::select(vec![Origin::Igp, Origin::Egp, Origin::Incomplete]),
        as_path(),
        next_hop(family),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        any::<bool>(),
        option::of((asn(), any::<Ipv4Addr>())),
        option::of(any::<Ipv4Addr>()),
        option::of(any::<u32>()),
    );
    let lists = (
        btree_set(any::<u32>(), 0..100),
        vec(any::<Ipv4Addr>(), 0..4),
        btree_set(any::<[u8; 8]>(), 0..40),
        btree_set(any::<[u32; 3]>(), 0..30),
        btree_map(36..=255_u8, vec(any::<u8>(), 0..300), 0..4),
        btree_map(11..=13_u8, vec(any::<u8>(), 0..4), 0..2),
        btree_set(prop::sample::select(vec![7_u8, 8, 16, 32, 35]), 0..4),
    );
    (scalars, lists).prop_map(|(scalars, lists)| {
        let (
            origin,
            as_path,
            (next_hop, link_local_next_hop),
            med,
            local_pref,
            atomic,
            aggregator,
            originator,
            otc,
        ) = scalars;
        let (communities, cluster_list, extended, large, unknown, low_unknown, partial) = lists;
        let attributes = PathAttributes {
            origin,
            as_path,
            med,
            local_pref,
            communities: communities.into_iter().map(Community).collect(),
            rare: RareAttributes {
                link_local_next_hop,
                atomic_aggregate: atomic,
                aggregator: aggregator.map(|(asn, router_id)| Aggregator { asn, router_id }),
                originator_id: originator,
                cluster_list: cluster_list.into(),
                extended_communities: extended.into_iter().collect(),
                large_communities: large.into_iter().map(large_community).collect(),
                only_to_customer: otc,
                unknown: [low_unknown, unknown].into_iter().flat_map(unknown_attributes).collect(),
                partial: ExactList::EMPTY,
            }
            .into(),
            ..PathAttributes::originated(next_hop)
        };
        let partial = partial_of(&attributes, partial);
        let mut attributes = attributes;
        attributes.rare.change(|rare| rare.partial = partial);
        attributes
    })
}

fn asn() -> impl Strategy<Value = u32> {
    prop_oneof![1..=65535_u32, 65536..=u32::MAX, Just(23456)]
}

/// Without confederation segments, which no peer of ours may send (RFC 5065 §5).
fn as_path() -> impl Strategy<Value = AsPath> {
    let asns = || prop_oneof![9 => vec(asn(), 1..8), 1 => vec(asn(), 200..=255)];
    vec((asns(), any::<bool>()), 0..5).prop_map(|segments| {
        let segments = segments.iter();
        segments.map(|(asns, set)| if *set { Segment::Set(asns) } else { Segment::Sequence(asns) }).collect()
    })
}

fn next_hop(family: Family) -> BoxedStrategy<(IpAddr, Option<Ipv6Addr>)> {
    match family {
        Family::Ipv4Unicast => prop_oneof![0x0100_0000..0x7f00_0000_u32, 0x8000_0000..0xe000_0000_u32]
            .prop_map(|bits| (Ipv4Addr::from(bits).into(), None))
            .boxed(),
        Family::Ipv6Unicast => (2..0xff00_u128 << 112, option::of(any::<u64>()))
            .prop_map(|(global, host)| {
                let link_local = host.map(|host| Ipv6Addr::from((0xfe80 << 112) | u128::from(host)));
                (Ipv6Addr::from(global).into(), link_local)
            })
            .boxed(),
    }
}

fn large_community([global_administrator, local_data_1, local_data_2]: [u32; 3]) -> LargeCommunity {
    LargeCommunity { global_administrator, local_data_1, local_data_2 }
}

fn unknown_attributes(values: BTreeMap<u8, Vec<u8>>) -> impl Iterator<Item = UnknownAttribute> {
    values.into_iter().map(|(code, value)| UnknownAttribute { flags: 0xe0, code, value })
}

/// Those codes whose attribute is there.
fn partial_of(attributes: &PathAttributes, codes: BTreeSet<u8>) -> ExactList<u8> {
    let rare = &*attributes.rare;
    let present = |code: &u8| match code {
        7 => rare.aggregator.is_some(),
        8 => !attributes.communities.is_empty(),
        16 => !rare.extended_communities.is_empty(),
        32 => !rare.large_communities.is_empty(),
        _ => rare.only_to_customer.is_some(),
    };
    codes.into_iter().filter(present).collect()
}
