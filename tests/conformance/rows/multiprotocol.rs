//! MP_REACH_NLRI and MP_UNREACH_NLRI. The rows are about an IPv6 prefix where it says so.

use super::Expect::{self, Announced, Kept, Withdrawn};
use super::{Place, Row, carries, reset};
use crate::peer::{attribute, update};
use crate::side::{Side, next_hop, reach};

type Sent = (&'static str, &'static str, Vec<u8>, Expect);

pub fn rows(place: Place) -> Vec<Row> {
    let mut rows = ipv6(place, next_hops(place));
    rows.extend(ipv6(place, form(place)));
    rows.extend(ipv6(place, unreached(place)));
    rows.extend(ipv6(place, unreadable(place)));
    rows.extend(ipv6(place, beside_others(place)));
    let ipv4 = |(what, rfc, octets, expect): Sent| place.row(Side::External, (what, rfc), octets, expect);
    rows.extend(of_ipv4(place).into_iter().map(ipv4));
    rows
}

fn ipv6(place: Place, table: Vec<Sent>) -> Vec<Row> {
    let row = |(what, rfc, octets, expect): Sent| Row {
        nlri: place.ipv6_prefix(),
        ..place.row(Side::Dual, (what, rfc), octets, expect)
    };
    table.into_iter().map(row).collect()
}

/// ORIGIN and AS_PATH, then the attributes given.
fn with(given: &[&[u8]]) -> Vec<u8> {
    let base = Side::Dual.base().concat();
    update(&[], &[&[&base[..]], given].concat(), &[])
}

/// A reset that quotes the attribute.
fn quoted(given: Vec<u8>) -> (Vec<u8>, Expect) {
    (with(&[&given]), reset(3, 9, &given))
}

fn next_hops(place: Place) -> Vec<Sent> {
    let prefix = place.ipv6_prefix();
    let global = next_hop(place.address);
    let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let to = |octets: &[u8]| with(&[&reach(octets, &prefix)]);
    let of_length = |length: usize| quoted(reach(&vec![1; length], &prefix));
    let mut table = vec![
        ("IPv6", "RFC 2545 §3", to(&global), Announced),
        (
            "a link-local next hop beside the global",
            "RFC 2545 §3",
            to(&[global, link_local].concat()),
            Announced,
        ),
        ("two global next hops: the first counts", "RFC 2545 §3", to(&[global, global].concat()), Announced),
        ("the next hop ::", "RFC 7606 §7.11", to(&[0; 16]), Withdrawn),
        ("a multicast next hop", "RFC 7606 §7.11", to(&[0xff; 16]), Withdrawn),
        (
            "our own next hop",
            "RFC 4271 §6.3",
            to(&[0xfd, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 1]),
            Withdrawn,
        ),
        ("a next hop that nothing leads to", "RFC 4271 §9.1.2", to(&[0x20; 16]), Withdrawn),
    ];
    for (what, length) in [
        ("a next hop of no octets", 0),
        ("one of 4", 4),
        ("one of 15", 15),
        ("one of 17", 17),
        ("one of 24, as with a route distinguisher", 24),
        ("one of 33", 33),
    ] {
        let (octets, expect) = of_length(length);
        table.push((what, "RFC 7606 §7.11", octets, expect));
    }
    table
}

fn form(place: Place) -> Vec<Sent> {
    let prefix = place.ipv6_prefix();
    let global = next_hop(place.address);
    let sound = reach(&global, &prefix);
    let changed = |at: usize, octet| {
        let mut changed = sound.clone();
        changed[at] = octet;
        with(&[&changed])
    };
    let extended = [&[0x90, 14, 0][..], &sound[2..]].concat();
    let community = [0xc0, 8, 4, 0, 1, 0, 2];
    let and_multicast = reach(&global, &[&prefix[..], &[16, 0xff, 2]].concat());
    let foreign = [0x80, 14, 6, 0, 99, 7, 0, 0, 9];
    vec![
        ("a reserved octet that is not 0", "RFC 4760 §3", changed(23, 99), Announced),
        ("MP_REACH_NLRI transitive", "RFC 7606 §3 c", changed(0, 0xc0), Withdrawn),
        ("MP_REACH_NLRI of a length in two octets", "RFC 4271 §4.3", with(&[&extended]), Announced),
        ("MP_REACH_NLRI without prefixes", "RFC 4760 §3", with(&[&reach(&global, &[])]), Kept),
        ("MP_REACH_NLRI twice", "RFC 7606 §3 g", with(&[&sound, &sound]), reset(3, 1, &[])),
        (
            "MP_REACH_NLRI behind the others",
            "RFC 7606 §5.1",
            with(&[&community, &sound]),
            carries(&community),
        ),
        ("MP_REACH_NLRI cut off", "RFC 7606 §5.2", with(&[&sound[..20]]), reset(3, 9, &sound[..20])),
        ("a multicast IPv6 prefix beside a good one", "RFC 4271 §6.3", with(&[&and_multicast]), Announced),
        ("MP_REACH_NLRI of an unknown family", "RFC 4760 §7", with(&[&foreign]), Kept),
    ]
}

fn unreached(place: Place) -> Vec<Sent> {
    let prefix = place.ipv6_prefix();
    let sound = reach(&next_hop(place.address), &prefix);
    let unreach = attribute(0x80, 15, &[&[0, 2, 1], &prefix[..]].concat());
    let transitive = attribute(0xc0, 15, &[&[0, 2, 1], &prefix[..]].concat());
    let empty = [0x80, 15, 3, 0, 2, 1];
    let alone = |given: &[u8]| update(&[], &[given], &[]);
    vec![
        ("MP_UNREACH_NLRI", "RFC 4760 §4", with(&[&unreach]), Withdrawn),
        ("MP_UNREACH_NLRI alone", "RFC 4760 §4", alone(&unreach), Withdrawn),
        ("MP_UNREACH_NLRI transitive", "RFC 7606 §3 c", alone(&transitive), Withdrawn),
        ("MP_UNREACH_NLRI twice", "RFC 7606 §3 g", with(&[&empty, &empty]), reset(3, 1, &[])),
        ("the same prefix reached and unreached", "RFC 4760 §4", with(&[&sound, &unreach]), Announced),
        ("End-of-RIB of IPv6", "RFC 4724 §2", alone(&empty), Kept),
        ("a lookalike of End-of-RIB, with an ORIGIN", "RFC 4724 §2", with(&[&empty]), Kept),
        ("a lookalike of an unknown family", "RFC 4760 §7", alone(&[0x80, 15, 3, 0, 99, 1]), Kept),
    ]
}

/// What hides which prefixes to withdraw.
fn unreadable(place: Place) -> Vec<Sent> {
    let prefix = place.ipv6_prefix();
    let global = next_hop(place.address);
    let long = [&[129][..], &[1; 17]].concat();
    let without_reserved = attribute(0x80, 14, &[&[0, 2, 1, 16], &global[..]].concat());
    let table = [
        ("an IPv6 prefix of 129 bits", reach(&global, &long)),
        ("an IPv6 prefix past the end", reach(&global, &prefix[..8])),
        ("MP_REACH_NLRI of no octets", vec![0x80, 14, 0]),
        ("MP_REACH_NLRI that ends in its family", vec![0x80, 14, 2, 0, 2]),
        ("MP_REACH_NLRI that ends before its next hop", vec![0x80, 14, 3, 0, 2, 1]),
        ("MP_REACH_NLRI that ends within its next hop", vec![0x80, 14, 6, 0, 2, 1, 16, 1, 2]),
        ("MP_REACH_NLRI without the reserved octet", without_reserved),
        ("MP_UNREACH_NLRI of two octets", vec![0x80, 15, 2, 0, 2]),
        ("MP_UNREACH_NLRI of no octets", vec![0x80, 15, 0]),
        ("an unreached IPv6 prefix of 129 bits", attribute(0x80, 15, &[&[0, 2, 1], &long[..]].concat())),
    ];
    let row = |(what, given)| {
        let (octets, expect) = quoted(given);
        (what, "RFC 7606 §5.3", octets, expect)
    };
    table.into_iter().map(row).collect()
}

fn beside_others(place: Place) -> Vec<Sent> {
    let (prefix, body) = (place.ipv6_prefix(), place.prefix(3));
    let sound = reach(&next_hop(place.address), &prefix);
    let base = Side::Dual.base().concat();
    let next_hop = attribute(0x40, 3, &place.address);
    let both = |given: &[&[u8]]| update(&[], &[&[&base[..]], given].concat(), &body);
    vec![
        (
            "NEXT_HOP 0.0.0.0 where nothing needs it",
            "RFC 4760 §3",
            with(&[&sound, &[0x40, 3, 4, 0, 0, 0, 0]]),
            Announced,
        ),
        ("prefixes in the body too", "RFC 4760 §3", both(&[&next_hop, &sound]), Announced),
        ("prefixes in the body too, no NEXT_HOP", "RFC 7606 §3 d", both(&[&sound]), Withdrawn),
        (
            "a malformed attribute withdraws both",
            "RFC 7606 §2",
            both(&[&next_hop, &sound, &[0xc0, 8, 0]]),
            Withdrawn,
        ),
        ("AS_PATH missing", "RFC 7606 §3 d", update(&[], &[&[0x40, 1, 1, 0], &sound], &[]), Withdrawn),
        ("ORIGIN missing", "RFC 7606 §3 d", update(&[], &[&base[4..], &sound], &[]), Withdrawn),
        (
            "a malformed community beside IPv6",
            "RFC 7606 §7.8",
            with(&[&sound, &[0xc0, 8, 3, 0, 0, 0]]),
            Withdrawn,
        ),
        (
            "an unknown transitive beside IPv6",
            "RFC 4271 §5",
            with(&[&sound, &[0xc0, 99, 1, 7]]),
            carries(&[0xe0, 99, 1, 7]),
        ),
    ]
}

/// About the IPv4 prefix, on a session of IPv4 alone.
fn of_ipv4(place: Place) -> Vec<Sent> {
    let prefix = place.prefix(0);
    let unreach = attribute(0x80, 15, &[&[0, 1, 1], &prefix[..]].concat());
    let reach_by = |next_hop: &[u8]| {
        let length = u8::try_from(next_hop.len()).unwrap();
        attribute(0x80, 14, &[&[0, 1, 1, length], next_hop, &[0], &prefix[..]].concat())
    };
    let (by_ipv6, by_ipv6_expect) = quoted(reach_by(&next_hop(place.address)));
    vec![
        ("MP_UNREACH_NLRI of IPv4", "RFC 4760 §4", update(&[], &[&unreach], &[]), Withdrawn),
        ("MP_REACH_NLRI of IPv4", "RFC 4760 §3", with(&[&reach_by(&place.address)]), Announced),
        ("MP_REACH_NLRI of IPv4, next hop of IPv6", "RFC 8950 §4", by_ipv6, by_ipv6_expect),
        ("MP_UNREACH_NLRI of IPv4, empty", "RFC 4760 §4", update(&[], &[&[0x80, 15, 3, 0, 1, 1]], &[]), Kept),
        (
            "IPv6 that was not agreed on",
            "RFC 4760 §7",
            with(&[&reach(&next_hop(place.address), &place.ipv6_prefix())]),
            Kept,
        ),
        (
            "IPv6 unreached that was not agreed on",
            "RFC 4760 §7",
            update(&[], &[&[0x80, 15, 3, 0, 2, 1]], &[]),
            Kept,
        ),
    ]
}
