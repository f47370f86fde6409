//! Path attributes one by one: RFC 7606 §3, §7 and each attribute's own RFC.

use routelet::bgp::Codec;

use crate::{AS_PATH, NEXT_HOP, NLRI, ORIGIN, REACH, Row, check, external, update, with};

/// The reaction that withdraws the one prefix.
macro_rules! withdrawn {
    ($what:literal) => {
        concat!("withdraw [10.244.1.0/24]; treat-as-withdraw ", $what)
    };
}

/// The reaction that loses the attribute alone.
macro_rules! discarded {
    ($what:literal) => {
        concat!("announce [10.244.1.0/24]; discard ", $what)
    };
}

const FINE: &str = "announce [10.244.1.0/24]";

fn internal() -> Codec {
    Codec { external: false, ..external() }
}

#[test]
fn origin_and_as_path() {
    let rows: Vec<Row> = vec![
        ("ORIGIN of no octets", with(&[0x40, 1, 0]), withdrawn!("(1) ORIGIN: 0 octets instead of 1")),
        ("ORIGIN of two", with(&[0x40, 1, 2, 0, 0]), withdrawn!("(1) ORIGIN: 2 octets instead of 1")),
        ("ORIGIN undefined", with(&[0x40, 1, 1, 3]), withdrawn!("(1) ORIGIN: value [3] is undefined")),
        (
            "ORIGIN optional",
            with(&[0xc0, 1, 1, 0]),
            withdrawn!("(1) ORIGIN: flags 0xc0 on an attribute that is well-known"),
        ),
        (
            "ORIGIN not transitive",
            with(&[0x00, 1, 1, 0]),
            withdrawn!("(1) ORIGIN: flags 0x00 on an attribute that is well-known"),
        ),
        ("ORIGIN partial, and with unused bits", with(&[0x6f, 1, 1, 0]), FINE),
        ("ORIGIN with an extended length", with(&[0x50, 1, 0, 1, 0]), FINE),
        ("AS_PATH of no octets", with(&[0x40, 2, 0]), FINE),
        ("AS_PATH with a stray octet", with(&[0x40, 2, 1, 2]), {
            withdrawn!("(2) AS_PATH: one octet is left after the last segment")
        }),
        ("AS_PATH with an empty segment", with(&[0x40, 2, 2, 2, 0]), {
            withdrawn!("(2) AS_PATH: a segment is empty")
        }),
        (
            "AS_PATH with a segment past the end",
            with(&[0x40, 2, 6, 2, 2, 0, 0, 0, 1]),
            withdrawn!("(2) AS_PATH: a segment of 2 AS numbers overruns the 4 octets left"),
        ),
        (
            "AS_PATH with an unknown segment",
            with(&[0x40, 2, 6, 5, 1, 0, 0, 0, 1]),
            withdrawn!("(2) AS_PATH: there is no segment type 5"),
        ),
        ("AS_PATH with AS 0", with(&[0x40, 2, 6, 2, 1, 0, 0, 0, 0]), withdrawn!("(2) AS_PATH: AS 0")),
        (
            "AS_PATH with a confederation, from outside",
            with(&[0x40, 2, 6, 3, 1, 0, 0, 0, 1]),
            withdrawn!("(2) AS_PATH: a confederation segment, and we are in no confederation"),
        ),
    ];
    check(&external(), rows);
    check(
        &internal(),
        vec![(
            "AS_PATH with a confederation, from inside",
            with(&[0x40, 2, 6, 3, 1, 0, 0, 0, 1]),
            withdrawn!("(2) AS_PATH: a confederation segment, and we are in no confederation"),
        )],
    );
}

#[test]
fn the_other_well_known() {
    let rows: Vec<Row> = vec![
        ("NEXT_HOP of 16 octets", with(&[[0x40, 3, 16].as_slice(), &[1; 16]].concat()), {
            withdrawn!("(3) NEXT_HOP: 16 octets instead of 4")
        }),
        ("NEXT_HOP of no octets", with(&[0x40, 3, 0]), withdrawn!("(3) NEXT_HOP: 0 octets instead of 4")),
        ("NEXT_HOP 0.0.0.0", with(&[0x40, 3, 4, 0, 0, 0, 0]), {
            withdrawn!("(3) NEXT_HOP: 0.0.0.0 is no next hop")
        }),
        ("NEXT_HOP multicast", with(&[0x40, 3, 4, 224, 0, 0, 5]), {
            withdrawn!("(3) NEXT_HOP: 224.0.0.5 is no next hop")
        }),
        ("NEXT_HOP loopback", with(&[0x40, 3, 4, 127, 0, 0, 1]), {
            withdrawn!("(3) NEXT_HOP: 127.0.0.1 is no next hop")
        }),
        ("NEXT_HOP broadcast", with(&[0x40, 3, 4, 255, 255, 255, 255]), {
            withdrawn!("(3) NEXT_HOP: 255.255.255.255 is no next hop")
        }),
        ("ATOMIC_AGGREGATE", with(&[0x40, 6, 0]), FINE),
        ("ATOMIC_AGGREGATE with a value", with(&[0x40, 6, 1, 0]), {
            discarded!("(6) ATOMIC_AGGREGATE: 1 octets instead of 0")
        }),
        ("ATOMIC_AGGREGATE optional", with(&[0xc0, 6, 0]), {
            withdrawn!("(6) ATOMIC_AGGREGATE: flags 0xc0 on an attribute that is well-known")
        }),
        (
            "an unknown attribute that calls itself well-known",
            with(&[0x40, 99, 2, 7, 8]),
            "reset 3/2 [64, 99, 2, 7, 8]: attribute 99 calls itself well-known, but we do not know it \
             (Update Message Error: Unrecognized Well-known Attribute)",
        ),
    ];
    check(&external(), rows);
}

#[test]
fn optional() {
    let rows: Vec<Row> = vec![
        ("MED of three octets", with(&[0x80, 4, 3, 0, 0, 0]), {
            withdrawn!("(4) MULTI_EXIT_DISC: 3 octets instead of 4")
        }),
        ("MED transitive", with(&[0xc0, 4, 4, 0, 0, 0, 1]), {
            withdrawn!("(4) MULTI_EXIT_DISC: flags 0xc0 on an attribute that is optional non-transitive")
        }),
        ("AGGREGATOR of six octets", with(&[0xc0, 7, 6, 0, 1, 10, 0, 0, 1]), {
            discarded!("(7) AGGREGATOR: 6 octets instead of 8")
        }),
        ("AGGREGATOR of AS 0", with(&[0xc0, 7, 8, 0, 0, 0, 0, 10, 0, 0, 1]), {
            discarded!("(7) AGGREGATOR: AS 0")
        }),
        ("AGGREGATOR well-known", with(&[0x40, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1]), {
            withdrawn!("(7) AGGREGATOR: flags 0x40 on an attribute that is optional transitive")
        }),
        ("COMMUNITIES of no octets", with(&[0xc0, 8, 0]), {
            withdrawn!("(8) COMMUNITIES: 0 octets, which is not a positive multiple of 4")
        }),
        ("COMMUNITIES of five octets", with(&[0xc0, 8, 5, 0, 0, 0, 0, 0]), {
            withdrawn!("(8) COMMUNITIES: 5 octets, which is not a positive multiple of 4")
        }),
        ("COMMUNITIES not transitive", with(&[0x80, 8, 4, 0, 0, 0, 0]), {
            withdrawn!("(8) COMMUNITIES: flags 0x80 on an attribute that is optional transitive")
        }),
        ("extended communities of four octets", with(&[0xc0, 16, 4, 0, 0, 0, 0]), {
            withdrawn!("(16) EXTENDED_COMMUNITIES: 4 octets, which is not a positive multiple of 8")
        }),
        ("large communities of no octets", with(&[0xc0, 32, 0]), {
            withdrawn!("(32) LARGE_COMMUNITY: 0 octets, which is not a positive multiple of 12")
        }),
        ("ONLY_TO_CUSTOMER of two octets", with(&[0xc0, 35, 2, 0, 1]), {
            withdrawn!("(35) ONLY_TO_CUSTOMER: 2 octets instead of 4")
        }),
        ("AIGP of no octets, which we do not interpret", with(&[0x80, 26, 0]), FINE),
        (
            "COMMUNITIES twice: the first counts, sound or not",
            {
                let twice = [&[0xc0, 8, 4, 0, 0, 0, 1][..], &[0xc0, 8, 1, 0]].concat();
                with(&twice)
            },
            discarded!("(8) COMMUNITIES: repeated; only the first counts"),
        ),
        (
            "an unknown attribute twice",
            with(&[0xc0, 99, 0, 0xc0, 99, 0]),
            discarded!("(99) attribute 99: repeated; only the first counts"),
        ),
        (
            "two errors: the stronger reaction",
            with(&[0xc0, 7, 0, 0xc0, 8, 0]),
            "withdraw [10.244.1.0/24]; discard (7) AGGREGATOR: 0 octets instead of 8; \
             treat-as-withdraw (8) COMMUNITIES: 0 octets, which is not a positive multiple of 4",
        ),
    ];
    check(&external(), rows);
}

#[test]
fn for_internal_peers_only() {
    let (local_pref, originator, clusters) = ([0x40, 5, 3, 0, 0, 0], [0x80, 9, 0], [0x80, 10, 3, 0, 0, 0]);
    check(
        &external(),
        vec![
            (
                "LOCAL_PREF",
                with(&local_pref),
                discarded!("(5) LOCAL_PREF: not accepted from an external peer"),
            ),
            ("ORIGINATOR_ID", with(&originator), {
                discarded!("(9) ORIGINATOR_ID: not accepted from an external peer")
            }),
            ("CLUSTER_LIST", with(&clusters), {
                discarded!("(10) CLUSTER_LIST: not accepted from an external peer")
            }),
        ],
    );
    check(
        &internal(),
        vec![
            ("LOCAL_PREF", with(&local_pref), withdrawn!("(5) LOCAL_PREF: 3 octets instead of 4")),
            ("ORIGINATOR_ID", with(&originator), withdrawn!("(9) ORIGINATOR_ID: 0 octets instead of 4")),
            ("CLUSTER_LIST", with(&clusters), {
                withdrawn!("(10) CLUSTER_LIST: 3 octets, which is not a positive multiple of 4")
            }),
        ],
    );
}

#[test]
fn four_octet_as_numbers() {
    let as4_path = [0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70];
    check(
        &external(),
        vec![
            ("AS4_PATH between four-octet speakers", with(&as4_path), {
                discarded!("(17) AS4_PATH: not accepted from a four-octet speaker")
            }),
            ("AS4_AGGREGATOR likewise", with(&[0xc0, 18, 8, 0, 0, 0, 1, 10, 0, 0, 1]), {
                discarded!("(18) AS4_AGGREGATOR: not accepted from a four-octet speaker")
            }),
        ],
    );
    let short_path: &[u8] = &[0x40, 2, 4, 2, 1, 0xfd, 0xe8];
    let two_octet = |attribute: &[u8]| update(&[], &[ORIGIN, short_path, NEXT_HOP, attribute], &NLRI);
    check(
        &Codec { four_octet_as: false, ..external() },
        vec![
            ("AS4_PATH", two_octet(&as4_path), FINE),
            ("AS4_PATH of no octets", two_octet(&[0xc0, 17, 0]), discarded!("(17) AS4_PATH: no octets")),
            ("AS4_PATH with an empty segment", two_octet(&[0xc0, 17, 2, 2, 0]), {
                discarded!("(17) AS4_PATH: a segment is empty")
            }),
            ("AS4_PATH with AS 0", two_octet(&[0xc0, 17, 6, 2, 1, 0, 0, 0, 0]), {
                discarded!("(17) AS4_PATH: AS 0")
            }),
            ("AS4_AGGREGATOR of six octets", two_octet(&[0xc0, 18, 6, 0, 1, 10, 0, 0, 1]), {
                discarded!("(18) AS4_AGGREGATOR: 6 octets instead of 8")
            }),
            ("AGGREGATOR of eight octets", two_octet(&[0xc0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1]), {
                discarded!("(7) AGGREGATOR: 8 octets instead of 6")
            }),
        ],
    );
}

#[test]
fn multiprotocol() {
    let ipv6 = |reach: &[u8]| update(&[], &[reach, ORIGIN, AS_PATH], &[]);
    let mut multicast = REACH.to_vec();
    multicast[7..9].copy_from_slice(&[0xff, 0x02]);
    check(
        &external(),
        vec![
            (
                "MP_REACH_NLRI of no octets",
                ipv6(&[0x80, 14, 0]),
                "reset 3/9 [128, 14, 0]: attribute 14 of 0 octets ends within its fixed fields \
                 (Update Message Error: Optional Attribute Error)",
            ),
            (
                "a next hop past the end",
                ipv6(&[0x80, 14, 5, 0, 2, 1, 16, 0]),
                "reset 3/9 [128, 14, 5, 0, 2, 1, 16, 0]: attribute 14 of 5 octets ends within its fixed fields \
                 (Update Message Error: Optional Attribute Error)",
            ),
            (
                "an IPv6 next hop of four octets",
                ipv6(&[0x80, 14, 9, 0, 2, 1, 4, 10, 0, 0, 1, 0]),
                "reset 3/9 [128, 14, 9, 0, 2, 1, 4, 10, 0, 0, 1, 0]: \
                 MP_REACH_NLRI: next hop of 4 octets for ipv6Unicast \
                 (Update Message Error: Optional Attribute Error)",
            ),
            (
                "MP_UNREACH_NLRI of two octets",
                update(&[], &[&[0x80, 15, 2, 0, 2]], &[]),
                "reset 3/9 [128, 15, 2, 0, 2]: attribute 15 of 2 octets ends within its fixed fields \
                 (Update Message Error: Optional Attribute Error)",
            ),
            (
                "MP_REACH_NLRI twice",
                update(&[], &[REACH, ORIGIN, AS_PATH, REACH], &[]),
                "reset 3/1 []: MP_REACH_NLRI stands in the message twice \
                 (Update Message Error: Malformed Attribute List)",
            ),
            (
                "MP_REACH_NLRI transitive: withdrawn, for its prefixes can be read",
                ipv6(&[&[0xc0], &REACH[1..]].concat()),
                "withdraw [fd00:244:1::/48]; treat-as-withdraw (14) MP_REACH_NLRI: flags 0xc0 \
                 on an attribute that is optional non-transitive",
            ),
            (
                "the loopback address as next hop",
                ipv6(&[&REACH[..7], &[0; 15], &REACH[22..]].concat()),
                "withdraw [fd00:244:1::/48]; treat-as-withdraw (14) MP_REACH_NLRI: ::1 is no next hop",
            ),
            (
                "a multicast next hop",
                ipv6(&multicast),
                "withdraw [fd00:244:1::/48]; treat-as-withdraw (14) MP_REACH_NLRI: ff02::1 is no next hop",
            ),
            (
                "IPv4 in MP_REACH_NLRI",
                ipv6(&[0x80, 14, 13, 0, 1, 1, 4, 10, 0, 0, 1, 0, 24, 10, 244, 1]),
                FINE,
            ),
            (
                "IPv4 in MP_UNREACH_NLRI",
                update(&[], &[&[0x80, 15, 7, 0, 1, 1, 24, 10, 244, 1]], &[]),
                "withdraw [10.244.1.0/24]",
            ),
        ],
    );
}

/// RFC 8950 §4, with RFC 7606 §7.11: the length of the next hop is one that the family cannot have.
#[test]
fn extended_next_hop() {
    check(
        &external(),
        vec![(
            "an IPv6 next hop for IPv4 that nobody agreed on",
            update(&[], &[&[&[0x80, 14, 23, 0, 1, 1, 16][..], &[0xfd; 16], &[0, 8, 10]].concat()], &[]),
            "reset 3/9 [128, 14, 23, 0, 1, 1, 16, 253, 253, 253, 253, 253, 253, 253, 253, 253, 253, 253, \
                 253, 253, 253, 253, 253, 0, 8, 10]: MP_REACH_NLRI: next hop of 16 octets for ipv4Unicast \
                 (Update Message Error: Optional Attribute Error)",
        )],
    );
}
