//! UPDATE as a whole: lengths, prefixes, what is missing, End-of-RIB and its lookalikes.

use routelet::bgp::Codec;
use routelet::bgp::capability::AddPath;
use routelet::prefix::Family;

use crate::{AS_PATH, NEXT_HOP, NLRI, ORIGIN, REACH, check, external, message, update};

const SOUND: [&[u8]; 3] = [ORIGIN, AS_PATH, NEXT_HOP];

#[test]
fn lengths_and_prefixes() {
    let long_reach = [&REACH[..24], &[129][..], &REACH[25..]].concat();
    check(
        &external(),
        vec![
            (
                "withdrawn routes past the end",
                message(2, &[0, 5, 0, 0]),
                "reset 3/1 []: withdrawn routes of 5 octets, 2 octets before the end \
                 (Update Message Error: Malformed Attribute List)",
            ),
            (
                "withdrawn routes up to the end",
                message(2, &[0, 2, 8, 10]),
                "reset 3/1 []: the UPDATE ends before its path attributes \
                 (Update Message Error: Malformed Attribute List)",
            ),
            (
                "attributes past the end",
                message(2, &[0, 0, 0, 9, 0x40, 1, 1, 0]),
                "reset 3/1 []: path attributes of 9 octets, 4 octets before the end \
                 (Update Message Error: Malformed Attribute List)",
            ),
            (
                "a prefix too long",
                update(&[], &SOUND, &[33, 10, 0, 0, 0, 0]),
                "reset 3/10 []: NLRI: prefix length 33 at octet 0 exceeds 32 \
                 (Update Message Error: Invalid Network Field)",
            ),
            (
                "a prefix past the end",
                update(&[], &SOUND, &[8, 10, 24, 10]),
                "reset 3/10 []: NLRI: the prefix of length 24 at octet 2 needs 2 more octets than there are \
                 (Update Message Error: Invalid Network Field)",
            ),
            (
                "a withdrawn prefix past the end",
                update(&[16, 10], &[], &[]),
                "reset 3/10 []: withdrawn routes: the prefix of length 16 at octet 0 needs 1 more octets \
                 than there are (Update Message Error: Invalid Network Field)",
            ),
            (
                "an IPv6 prefix too long",
                update(&[], &[ORIGIN, AS_PATH, &long_reach], &[]),
                "reset 3/9 [128, 14, 28, 0, 2, 1, 16, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, \
                 129, 253, 0, 2, 68, 0, 1]: MP_REACH_NLRI: prefix length 129 at octet 0 exceeds 128 \
                 (Update Message Error: Optional Attribute Error)",
            ),
            (
                "the same prefix withdrawn and announced",
                update(&NLRI, &SOUND, &NLRI),
                "announce [10.244.1.0/24]; withdraw [10.244.1.0/24]",
            ),
        ],
    );
}

#[test]
fn attributes_that_are_missing() {
    check(
        &external(),
        vec![
            (
                "no attributes at all",
                update(&[], &[], &NLRI),
                "withdraw [10.244.1.0/24]; treat-as-withdraw (1) ORIGIN is missing; \
                 treat-as-withdraw (2) AS_PATH is missing; treat-as-withdraw (3) NEXT_HOP is missing",
            ),
            (
                "only an unknown one",
                update(&[], &[&[0xc0, 99, 0]], &NLRI),
                "withdraw [10.244.1.0/24]; treat-as-withdraw (1) ORIGIN is missing; \
                 treat-as-withdraw (2) AS_PATH is missing; treat-as-withdraw (3) NEXT_HOP is missing",
            ),
            (
                "IPv6 needs no NEXT_HOP",
                update(&[], &[REACH, ORIGIN, AS_PATH], &[]),
                "announce [fd00:244:1::/48]",
            ),
            (
                "IPv6 needs the others",
                update(&[], &[REACH, ORIGIN], &[]),
                "withdraw [fd00:244:1::/48]; treat-as-withdraw (2) AS_PATH is missing",
            ),
            (
                "both families at once",
                update(&[], &[REACH, ORIGIN, AS_PATH, NEXT_HOP], &NLRI),
                "announce [10.244.1.0/24]; announce [fd00:244:1::/48]",
            ),
            (
                "IPv4 beside IPv6 without NEXT_HOP",
                update(&[], &[REACH, ORIGIN, AS_PATH], &NLRI),
                "withdraw [10.244.1.0/24, fd00:244:1::/48]; treat-as-withdraw (3) NEXT_HOP is missing",
            ),
        ],
    );
}

#[test]
fn attributes_that_are_cut_off_or_stand_alone() {
    let cut = [0x40, 5, 4, 0, 0];
    check(
        &external(),
        vec![
            (
                "the last attribute cut off",
                update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &cut], &NLRI),
                "withdraw [10.244.1.0/24]; treat-as-withdraw (5) \
                 attribute 5 overruns the path attributes, 5 octets before their end",
            ),
            (
                "a stray octet behind the last attribute",
                update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &[0]], &NLRI),
                "withdraw [10.244.1.0/24]; treat-as-withdraw (0) \
                 an attribute overruns the path attributes, 1 octets before their end",
            ),
            (
                "MP_REACH_NLRI cut off: its prefixes are lost",
                update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &REACH[..8]], &NLRI),
                "reset 3/9 [128, 14, 28, 0, 2, 1, 16, 253]: \
                 attribute 14 overruns the path attributes, 8 octets before their end \
                 (Update Message Error: Optional Attribute Error)",
            ),
            (
                "cut off, and nothing reachable was found (RFC 7606 §5.2)",
                update(&[8, 10], &[ORIGIN, &cut], &[]),
                "reset 3/1 []: no reachable prefix was found beside malformed attributes: \
                 attribute 5 overruns the path attributes, 5 octets before their end \
                 (Update Message Error: Malformed Attribute List)",
            ),
            (
                "malformed without a prefix (RFC 7606 §5.2)",
                update(&[], &[&[0x40, 1, 1, 7]], &[]),
                "reset 3/1 []: no reachable prefix was found beside malformed attributes: \
                 ORIGIN: value [7] is undefined (Update Message Error: Malformed Attribute List)",
            ),
            (
                "discarded without a prefix",
                update(&[8, 10], &[&[0xc0, 7, 0]], &[]),
                "withdraw [10.0.0.0/8]; discard (7) AGGREGATOR: 0 octets instead of 8",
            ),
            ("sound attributes for nothing", update(&[], &[ORIGIN], &[]), "nothing"),
        ],
    );
}

#[test]
fn end_of_rib_and_its_lookalikes() {
    let ipv4: &[u8] = &[0x80, 15, 3, 0, 1, 1];
    let ipv6: &[u8] = &[0x80, 15, 3, 0, 2, 1];
    check(
        &external(),
        vec![
            ("IPv4", update(&[], &[], &[]), "End-of-RIB ipv4Unicast"),
            ("IPv6", update(&[], &[ipv6], &[]), "End-of-RIB ipv6Unicast"),
            (
                "IPv6, extended length",
                update(&[], &[&[0x90, 15, 0, 3, 0, 2, 1]], &[]),
                "End-of-RIB ipv6Unicast",
            ),
            ("IPv4 in the form of the others", update(&[], &[ipv4], &[]), "End-of-RIB ipv4Unicast"),
            ("with a withdrawal", update(&[8, 10], &[ipv6], &[]), "withdraw [10.0.0.0/8]"),
            ("with another attribute", update(&[], &[ipv6, ORIGIN], &[]), "nothing"),
            ("with an unknown attribute", update(&[], &[ipv6, &[0xc0, 99, 0]], &[]), "nothing"),
            (
                "with wrong flags",
                update(&[], &[&[0xc0, 15, 3, 0, 2, 1]], &[]),
                "treat-as-withdraw (15) MP_UNREACH_NLRI: flags 0xc0 on an attribute \
                 that is optional non-transitive",
            ),
            ("a withdrawal", update(&[], &[&[0x80, 15, 4, 0, 2, 1, 0]], &[]), "withdraw [::/0]"),
            (
                "MP_REACH_NLRI of nothing",
                update(&[], &[&[0x80, 14, 9, 0, 1, 1, 4, 10, 0, 0, 1, 0], ORIGIN, AS_PATH], &[]),
                "nothing",
            ),
            (
                "of a family not negotiated",
                update(&[], &[&[0x80, 15, 3, 0, 1, 128]], &[]),
                "discard (15) MP_UNREACH_NLRI: AFI 1 SAFI 128 was not negotiated; its NLRI is ignored",
            ),
        ],
    );
}

#[test]
fn families_not_negotiated() {
    let only = |family| Codec { families: vec![family], ..external() };
    check(
        &only(Family::Ipv4Unicast),
        vec![
            (
                "IPv6 beside IPv4",
                update(&[], &[REACH, ORIGIN, AS_PATH, NEXT_HOP], &NLRI),
                "announce [10.244.1.0/24]; \
                 discard (14) MP_REACH_NLRI: ipv6Unicast was not negotiated; its NLRI is ignored",
            ),
            (
                "IPv6 alone, and malformed",
                update(&[], &[REACH, &[0x40, 1, 1, 7], AS_PATH], &[]),
                "discard (14) MP_REACH_NLRI: ipv6Unicast was not negotiated; its NLRI is ignored; \
                 treat-as-withdraw (1) ORIGIN: value [7] is undefined",
            ),
        ],
    );
    check(
        &only(Family::Ipv6Unicast),
        vec![
            (
                "IPv4 beside IPv6",
                update(&[8, 10], &[REACH, ORIGIN, AS_PATH, NEXT_HOP], &NLRI),
                "announce [fd00:244:1::/48]; discard (0) ipv4Unicast was not negotiated; its NLRI is ignored",
            ),
            ("End-of-RIB of IPv4", update(&[], &[], &[]), "nothing"),
        ],
    );
}

/// RFC 7911 §3: where path identifiers were agreed on, every prefix has one, and what is cut off in one
/// is as wrong as what is cut off in a prefix.
#[test]
fn path_identifiers() {
    let codec = Codec { add_path: [AddPath { receive: true, send: false }; 2], ..external() };
    let id = [0, 0, 0, 7];
    let one = [&id[..], &NLRI].concat();
    let reach = [&REACH[..2], &[32], &REACH[3..24], &[0, 0, 0, 9], &REACH[24..]].concat();
    let cut = [&REACH[..2], &[23], &REACH[3..24], &[0, 0]].concat();
    check(
        &codec,
        vec![
            (
                "two paths for one prefix",
                update(&[], &SOUND, &[&one[..], &[0, 0, 0, 8], &NLRI].concat()),
                "announce 10.244.1.0/24#7 10.244.1.0/24#8",
            ),
            (
                "one goes and another comes",
                update(&one, &SOUND, &[&[0, 0, 0, 0], &NLRI[..]].concat()),
                "announce 10.244.1.0/24#0; withdraw 10.244.1.0/24#7",
            ),
            ("in MP_REACH_NLRI", update(&[], &[&reach, ORIGIN, AS_PATH], &[]), "announce fd00:244:1::/48#9"),
            (
                "in MP_UNREACH_NLRI",
                update(&[], &[&[0x80, 15, 9, 0, 2, 1, 0, 0, 0, 9, 8, 0xfd]], &[]),
                "withdraw fd00::/8#9",
            ),
            (
                "treated as withdrawn by its identifier",
                update(&[], &[&[0x40, 1, 1, 7], AS_PATH, NEXT_HOP], &one),
                "withdraw 10.244.1.0/24#7; treat-as-withdraw (1) ORIGIN: value [7] is undefined",
            ),
            ("End-of-RIB", update(&[], &[], &[]), "End-of-RIB ipv4Unicast"),
            (
                "an identifier cut off",
                update(&[], &SOUND, &[&one[..], &[0, 0]].concat()),
                "reset 3/10 []: NLRI: the path identifier at octet 8 needs 3 more octets than there are \
                 (Update Message Error: Invalid Network Field)",
            ),
            (
                "an identifier without a prefix",
                update(&id, &SOUND, &[]),
                "reset 3/10 []: withdrawn routes: the path identifier at octet 0 needs 1 more octets than \
                 there are (Update Message Error: Invalid Network Field)",
            ),
            (
                "prefixes without identifiers",
                update(&[], &SOUND, &NLRI),
                "reset 3/10 []: NLRI: the path identifier at octet 0 needs 1 more octets than there are \
                 (Update Message Error: Invalid Network Field)",
            ),
            (
                "an identifier cut off in MP_REACH_NLRI",
                update(&[], &[&cut, ORIGIN, AS_PATH], &[]),
                "reset 3/9 [128, 14, 23, 0, 2, 1, 16, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, \
                 0]: MP_REACH_NLRI: the path identifier at octet 0 needs 3 more octets than there are \
                 (Update Message Error: Optional Attribute Error)",
            ),
        ],
    );
}
