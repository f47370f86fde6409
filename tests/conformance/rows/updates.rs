//! Whole UPDATEs: their fields, which attributes stand in them, and how much fits.

use super::Expect::{Announced, Ignored, Kept, Withdrawn};
use super::{Expect, Place, Row, carries, reset};
use crate::peer::{attribute, message, update};
use crate::side::Side;

pub fn rows(place: Place) -> Vec<Row> {
    let mut rows = fields(place);
    rows.extend(multicast(place));
    rows.extend(mandatory(place));
    rows.extend(sizes(place));
    rows
}

fn table(place: Place, side: Side, table: Vec<(&'static str, &'static str, Vec<u8>, Expect)>) -> Vec<Row> {
    table
        .into_iter()
        .map(|(what, rfc, octets, expect)| place.row(side, (what, rfc), octets, expect))
        .collect()
}

/// The mandatory attributes of an external peer.
fn sound(place: Place) -> Vec<u8> {
    [Side::External.base().concat(), attribute(0x40, 3, &place.address)].concat()
}

fn fields(place: Place) -> Vec<Row> {
    let (prefix, sound) = (place.prefix(0), sound(place));
    let with_host_bits = [&[20][..], &prefix[1..3], &[0xff]].concat();
    let multicast = [&prefix[..], &[8, 232]].concat();
    table(
        place,
        Side::External,
        vec![
            ("withdrawn routes past the end", "RFC 4271 §6.3", message(2, &[0, 5, 0, 0]), reset(3, 1, &[])),
            (
                "attributes past the end",
                "RFC 4271 §6.3",
                message(2, &[0, 0, 0, 9, 0x40, 1, 1, 0]),
                reset(3, 1, &[]),
            ),
            ("attributes of 65,535 octets", "RFC 4271 §6.3", message(2, &[0, 0, 255, 255]), reset(3, 1, &[])),
            (
                "a withdrawn prefix of 33 bits",
                "RFC 7606 §5.3",
                update(&[33, 1, 1, 1, 1, 1], &[], &[]),
                reset(3, 10, &[]),
            ),
            (
                "an announced prefix of 33 bits",
                "RFC 7606 §5.3",
                update(&[], &[&sound], &[33, 1, 1, 1, 1, 1]),
                reset(3, 10, &[]),
            ),
            ("a prefix past the end", "RFC 7606 §5.3", update(&[], &[&sound], &[24, 10]), reset(3, 10, &[])),
            (
                "a withdrawn prefix past the end",
                "RFC 7606 §5.3",
                update(&[24, 10], &[], &[]),
                reset(3, 10, &[]),
            ),
            ("a withdrawal", "RFC 4271 §4.3", update(&prefix, &[], &[]), Withdrawn),
            ("a withdrawal of what was never there", "RFC 4271 §9", update(&[24, 10, 9, 9], &[], &[]), Kept),
            (
                "withdrawn and announced at once",
                "RFC 4271 §4.3",
                update(&prefix, &[&sound], &prefix),
                Announced,
            ),
            ("the same prefix twice", "RFC 4271 §4.3", update(&[], &[&sound], &prefix.repeat(2)), Announced),
            (
                "bits past the prefix length",
                "RFC 4271 §4.3",
                update(&[], &[&sound], &with_host_bits),
                Ignored,
            ),
            (
                "a multicast prefix beside a good one",
                "RFC 4271 §6.3",
                update(&[], &[&sound], &multicast),
                Announced,
            ),
            ("our own pod CIDR", "RFC 4271 §9.1", update(&[], &[&sound], &[24, 10, 244, 1]), Ignored),
            ("a node's address", "RFC 4271 §9.1", update(&[], &[&sound], &[32, 172, 20, 0, 1]), Ignored),
            ("End-of-RIB", "RFC 4724 §2", update(&[], &[], &[]), Kept),
            ("attributes and no prefix", "RFC 4271 §4.3", update(&[], &[&sound], &[]), Kept),
            ("an ORIGIN alone and no prefix", "RFC 4271 §4.3", update(&[], &[&[0x40, 1, 1, 0]], &[]), Kept),
            ("a withdrawal beside attributes", "RFC 4271 §4.3", update(&prefix, &[&sound], &[]), Withdrawn),
        ],
    )
}

/// Prefixes that no unicast route may lead to, beside a good one.
fn multicast(place: Place) -> Vec<Row> {
    let row = |what, nlri: &[u8]| Row {
        nlri: nlri.to_vec(),
        ..place.row(
            Side::External,
            (what, "RFC 4271 §6.3"),
            update(&[], &[&sound(place)], &[&place.prefix(0), nlri].concat()),
            Ignored,
        )
    };
    vec![row("a multicast prefix", &[8, 232]), row("all of multicast", &[4, 224])]
}

fn mandatory(place: Place) -> Vec<Row> {
    let prefix = place.prefix(0);
    let (origin, as_path): (&[u8], &[u8]) = (&[0x40, 1, 1, 0], &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8]);
    let next_hop = attribute(0x40, 3, &place.address);
    let announce = |attributes: &[&[u8]]| update(&[], attributes, &prefix);
    table(
        place,
        Side::External,
        vec![
            ("a prefix without attributes", "RFC 7606 §3 d", announce(&[]), Withdrawn),
            ("only unknown attributes", "RFC 7606 §3 d", announce(&[&[0xc0, 99, 0]]), Withdrawn),
            ("ORIGIN missing", "RFC 7606 §3 d", announce(&[as_path, &next_hop]), Withdrawn),
            ("AS_PATH missing", "RFC 7606 §3 d", announce(&[origin, &next_hop]), Withdrawn),
            ("NEXT_HOP missing", "RFC 7606 §3 d", announce(&[origin, as_path]), Withdrawn),
            (
                "attributes in reverse order",
                "RFC 4271 §5",
                announce(&[&next_hop, as_path, origin]),
                Announced,
            ),
            (
                "malformed attributes and no prefix",
                "RFC 7606 §5.2",
                update(&[], &[&[0x40, 1, 1, 9], as_path], &[]),
                reset(3, 1, &[]),
            ),
            (
                "discarded attributes and no prefix",
                "RFC 7606 §5.2",
                update(&[], &[origin, as_path, &[0xc0, 7, 0]], &[]),
                Kept,
            ),
            (
                "a malformed attribute beside a withdrawal alone",
                "RFC 7606 §5.2",
                update(&[24, 10, 9, 9], &[&[0x40, 1, 1, 9]], &[]),
                reset(3, 1, &[]),
            ),
        ],
    )
}

fn sizes(place: Place) -> Vec<Row> {
    let (prefix, sound) = (place.prefix(0), sound(place));
    let hops = |count: u8, length: usize| {
        let segment = [&[2, count][..], &[0, 1, 0x11, 0x70].repeat(count.into())].concat();
        attribute(0x40, 2, &segment.repeat(length))
    };
    let rest = [&[0x40, 1, 1, 0][..], &attribute(0x40, 3, &place.address)].concat();
    let announce = |attributes: &[u8]| update(&[], &[attributes], &prefix);
    let long_path = announce(&[&rest[..], &hops(250, 3)].concat());
    // What our AS number in front takes, four octets, is not there.
    let full = |most: usize| {
        let taken = announce(&sound).len() + 4;
        announce(&[&sound[..], &attribute(0xc0, 99, &vec![7; most - taken])].concat())
    };
    let many: Vec<u8> = (0..2000u16).flat_map(|n| [24, 11, n.to_be_bytes()[0], n.to_be_bytes()[1]]).collect();
    let many = update(&[], &[&sound], &[prefix.clone(), many].concat());
    let mut rows = table(
        place,
        Side::External,
        vec![
            ("an AS_PATH of 750 hops", "RFC 4271 §5.1.2", long_path, carries(&[0x50, 2])),
            (
                "an AS_PATH segment of 255, full",
                "RFC 4271 §5.1.2",
                announce(&[&rest[..], &hops(255, 1)].concat()),
                carries(&[2, 1, 0, 0, 0xfc, 0, 2, 255, 0, 1, 0x11, 0x70]),
            ),
            ("4,096 octets, too many with our AS in front", "RFC 4271 §9.2", full(4096), Withdrawn),
            ("4,091 octets, just enough", "RFC 4271 §9.2", full(4091), carries(&[7; 300])),
        ],
    );
    rows.extend(table(
        place,
        Side::Extended,
        vec![
            ("an UPDATE of 4,097 octets that was agreed on", "RFC 8654 §4", full(4097), Withdrawn),
            ("one of 65,535", "RFC 8654 §4", full(65535), Withdrawn),
            ("2,000 prefixes, told in parts", "RFC 8654 §4", many, Announced),
            (
                "an extended message with an attribute cut off",
                "RFC 7606 §4",
                announce(&[&sound[..], &attribute(0xc0, 99, &[7; 5000]), &[0xc0, 98, 200]].concat()),
                Withdrawn,
            ),
        ],
    ));
    let plain = announce(&[&sound[..], &attribute(0xc0, 99, &[7; 4100])].concat());
    let length = plain[16..18].to_vec();
    rows.extend(table(
        place,
        Side::External,
        vec![("an extended message that was not", "RFC 8654 §5", plain, reset(1, 2, &length))],
    ));
    rows
}
