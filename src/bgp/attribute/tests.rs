//! Values of attributes in both directions. What is malformed has a table of its own in
//! `tests/malformed_bgp`.

use std::net::Ipv6Addr;

use super::*;
use crate::bgp::as_path::AsWidth;
use crate::bgp::{Codec, Segment};
use crate::prefix::Family;

fn codec(four_octet_as: bool) -> Codec {
    Codec { four_octet_as, external: false, families: Family::ALL.to_vec(), ..Codec::initial() }
}

fn decode(four_octet_as: bool, attributes: &[&[u8]]) -> PathAttributes {
    let block = AttributeBlock::decode(&codec(four_octet_as), &attributes.concat()).unwrap();
    assert_eq!(block.faults, []);
    block.attributes
}

fn encoded(attributes: &PathAttributes, width: AsWidth) -> Vec<u8> {
    let mut out = vec![];
    encode(attributes, None, width, &mut out);
    out
}

/// Flags and type codes of an encoded field, in order.
fn heads(field: &[u8]) -> Vec<(u8, u8)> {
    walk::Walk::new(field).map(|raw| raw.unwrap()).map(|raw| (raw.flags, raw.code)).collect()
}

#[test]
fn values() {
    let found = decode(
        true,
        &[
            &[0x40, 1, 1, 1],
            &[0x80, 4, 4, 0, 0, 0, 50],
            &[0x40, 5, 4, 0, 0, 0, 200],
            &[0x40, 6, 0],
            &[0xc0, 7, 8, 0, 1, 0x11, 0x70, 10, 0, 0, 1],
            &[0xc0, 8, 12, 0, 2, 0, 2, 0, 1, 0, 1, 0, 2, 0, 2],
            &[0x80, 9, 4, 10, 0, 0, 2],
            &[0x80, 10, 8, 10, 0, 0, 4, 10, 0, 0, 3],
            &[0xc0, 16, 8, 0, 2, 0xfc, 0, 0, 0, 0, 7],
            &[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
            &[0xc0, 35, 4, 0, 0, 0xfc, 0],
        ],
    );
    let large = LargeCommunity { global_administrator: 1, local_data_1: 2, local_data_2: 3 };
    let expected = PathAttributes {
        origin: Origin::Egp,
        med: Some(50),
        local_pref: Some(200),
        communities: [Community(0x0001_0001), Community(0x0002_0002)].into(),
        rare: RareAttributes {
            atomic_aggregate: true,
            aggregator: Some(Aggregator { asn: 70000, router_id: Ipv4Addr::new(10, 0, 0, 1) }),
            originator_id: Some(Ipv4Addr::new(10, 0, 0, 2)),
            cluster_list: [Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(10, 0, 0, 3)].into(),
            extended_communities: [[0, 2, 0xfc, 0, 0, 0, 0, 7]].into(),
            large_communities: [large].into(),
            only_to_customer: Some(64512),
            ..RareAttributes::NONE
        }
        .into(),
        ..PathAttributes::originated(Ipv4Addr::UNSPECIFIED.into())
    };
    assert_eq!(found, expected);
}

#[test]
fn what_we_do_not_interpret_is_passed_on_marked_or_dropped() {
    // An extended length and unused bits belong to the sender's way of writing, not to the attribute.
    let found = decode(true, &[&[0xdf, 99, 0, 1, 7], &[0x80, 98, 1, 8], &[0xe0, 20, 0]]);
    let unknown = |code, value: &[u8]| UnknownAttribute { flags: 0xe0, code, value: value.to_vec() };
    assert_eq!(found.rare.unknown, [unknown(20, &[]), unknown(99, &[7])]);
}

#[test]
fn partial_stays_set() {
    let found =
        decode(true, &[&[0xe0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3], &[0xe0, 8, 4, 0, 1, 0, 1]]);
    assert_eq!(found.rare.partial, [8, 32]);
    let again = encoded(&found, AsWidth::Four);
    assert_eq!(heads(&again), [(0x40, 1), (0x40, 2), (0xe0, 8), (0xe0, 32)]);
    let cleared = PathAttributes { communities: ExactList::EMPTY, ..found };
    assert_eq!(heads(&encoded(&cleared, AsWidth::Four)), [(0x40, 1), (0x40, 2), (0xe0, 32)]);
}

#[test]
fn attributes_are_written_in_the_order_of_their_codes() {
    let unknown = |code| UnknownAttribute { flags: 0xe0, code, value: vec![0; 256] };
    let large = LargeCommunity { global_administrator: 1, local_data_1: 2, local_data_2: 3 };
    let attributes = PathAttributes {
        as_path: AsPath::sequence([70000]),
        med: Some(1),
        local_pref: Some(1),
        communities: [Community(1)].into(),
        rare: RareAttributes {
            atomic_aggregate: true,
            aggregator: Some(Aggregator { asn: 70000, router_id: Ipv4Addr::new(10, 0, 0, 1) }),
            originator_id: Some(Ipv4Addr::new(10, 0, 0, 2)),
            cluster_list: [Ipv4Addr::new(10, 0, 0, 3)].into(),
            extended_communities: [[0; 8]].into(),
            large_communities: [large].into(),
            only_to_customer: Some(1),
            unknown: [11, 20, 33, 128].map(unknown).into(),
            ..RareAttributes::NONE
        }
        .into(),
        ..PathAttributes::originated(Ipv4Addr::UNSPECIFIED.into())
    };
    let mut field = vec![];
    encode(&attributes, Some(Ipv4Addr::new(10, 0, 0, 9)), AsWidth::Two, &mut field);
    let codes: Vec<u8> = heads(&field).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 20, 32, 33, 35, 128]);
    assert!(heads(&field).contains(&(0xf0, 11)), "more than 255 octets take the extended length");
}

#[test]
fn as4_attributes_go_only_where_they_are_needed() {
    let path = |asns: &[u32], aggregator| PathAttributes {
        as_path: AsPath::sequence(asns),
        rare: RareAttributes {
            aggregator: Some(Aggregator { asn: aggregator, router_id: Ipv4Addr::new(10, 0, 0, 1) }),
            ..RareAttributes::NONE
        }
        .into(),
        ..PathAttributes::originated(Ipv4Addr::UNSPECIFIED.into())
    };
    let codes = |attributes: &PathAttributes, width| -> Vec<u8> {
        heads(&encoded(attributes, width)).into_iter().map(|(_, code)| code).collect()
    };
    assert_eq!(codes(&path(&[1, 65535], 1), AsWidth::Two), [1, 2, 7]);
    assert_eq!(codes(&path(&[1, 65536], 1), AsWidth::Two), [1, 2, 7, 17]);
    assert_eq!(codes(&path(&[1], 65536), AsWidth::Two), [1, 2, 7, 18]);
    assert_eq!(codes(&path(&[65536], 65536), AsWidth::Four), [1, 2, 7]);

    let mixed = AsPath::from_iter([Segment::ConfedSequence(&[70000]), Segment::Sequence(&[70001])]);
    let field = encoded(&PathAttributes { as_path: mixed, ..path(&[], 1) }, AsWidth::Two);
    assert!(field.ends_with(&[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x71]), "AS4_PATH has no confederation");
}

#[test]
fn as4_attributes_count_only_while_the_aggregator_is_unknown_to_them() {
    let as_path: &[u8] = &[0x40, 2, 6, 2, 2, 0, 1, 0x5b, 0xa0];
    let as4_path: &[u8] = &[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70];
    let as4_aggregator: &[u8] = &[0xc0, 18, 8, 0, 1, 0x11, 0x70, 10, 0, 0, 1];
    let trans: &[u8] = &[0xc0, 7, 6, 0x5b, 0xa0, 10, 0, 0, 2];
    let later: &[u8] = &[0xc0, 7, 6, 0, 9, 10, 0, 0, 3];
    let outcome = |attributes: &[&[u8]]| {
        let found = decode(false, attributes);
        (found.as_path.to_string(), found.rare.aggregator.map(|aggregator| aggregator.asn))
    };
    assert_eq!(outcome(&[as_path, as4_path]), ("1 70000".into(), None));
    assert_eq!(outcome(&[as_path, trans, as4_path, as4_aggregator]), ("1 70000".into(), Some(70000)));
    assert_eq!(outcome(&[as_path, later, as4_path, as4_aggregator]), ("1 23456".into(), Some(9)));
    assert_eq!(outcome(&[as_path, later, as4_path]), ("1 70000".into(), Some(9)));
    assert_eq!(outcome(&[as_path, as4_aggregator]), ("1 23456".into(), None));
}

#[test]
fn next_hops_of_ipv6() {
    let (global, link_local, zero) = ("fd00::1", "fe80::1", "::");
    let table = [
        (vec![global], global, None),
        (vec![link_local], link_local, None),
        (vec![global, link_local], global, Some(link_local)),
        (vec![link_local, link_local], link_local, Some(link_local)),
        (vec![zero, link_local], link_local, None),
        (vec![global, zero], global, None),
        (vec![global, global], global, None),
    ];
    let address = |text: &str| text.parse::<Ipv6Addr>().unwrap();
    for (sent, next_hop, link_local) in table {
        let octets: Vec<u8> = sent.iter().flat_map(|text| address(text).octets()).collect();
        let length = octets.len() as u8;
        let attribute = [&[0x80, 14, length + 6, 0, 2, 1, length], &octets[..], &[0, 0]].concat();
        let block = AttributeBlock::decode(&codec(true), &attribute).unwrap();
        let reach = block.reach.unwrap();
        assert_eq!(reach.next_hop, address(next_hop), "{sent:?}");
        assert_eq!(reach.link_local_next_hop, link_local.map(address), "{sent:?}");
        assert_eq!(block.faults, [], "{sent:?}");
    }
}
