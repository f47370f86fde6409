//! Single path attributes from an external peer with four-octet AS numbers.

use super::Expect::{self, Announced, Ignored, Lacks, Withdrawn};
use super::{Place, Row, carries, reset};
use crate::side::Side;

type Given = (&'static str, &'static str, &'static [u8], Expect);

pub fn rows(place: Place) -> Vec<Row> {
    let tables = [well_known(), path(), aggregation(), communities(), reflection(), unknown()];
    let row =
        |(what, rfc, given, expect): Given| place.with_attribute(Side::External, (what, rfc), given, expect);
    tables.into_iter().flatten().map(row).collect()
}

fn well_known() -> Vec<Given> {
    vec![
        ("ORIGIN of no octets", "RFC 7606 §7.1", &[0x40, 1, 0], Withdrawn),
        ("ORIGIN of two", "RFC 7606 §7.1", &[0x40, 1, 2, 0, 0], Withdrawn),
        ("ORIGIN undefined", "RFC 7606 §7.1", &[0x40, 1, 1, 3], Withdrawn),
        ("ORIGIN optional", "RFC 7606 §3 c", &[0xc0, 1, 1, 0], Withdrawn),
        ("ORIGIN not transitive", "RFC 7606 §3 c", &[0, 1, 1, 0], Withdrawn),
        ("ORIGIN with unused bits", "RFC 4271 §4.3", &[0x4f, 1, 1, 0], Announced),
        ("ORIGIN with an extended length", "RFC 4271 §4.3", &[0x50, 1, 0, 1, 0], Announced),
        ("ORIGIN EGP passed on as it is", "RFC 4271 §5.1.1", &[0x40, 1, 1, 1], carries(&[0x40, 1, 1, 1])),
        ("ORIGIN twice: the first counts", "RFC 7606 §3 g", &[0x40, 1, 1, 0, 0x40, 1, 1, 9], Announced),
        ("NEXT_HOP of no octets", "RFC 7606 §7.3", &[0x40, 3, 0], Withdrawn),
        ("NEXT_HOP of five", "RFC 7606 §7.3", &[0x40, 3, 5, 1, 1, 1, 1, 1], Withdrawn),
        (
            "NEXT_HOP of sixteen",
            "RFC 7606 §7.3",
            &[0x40, 3, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            Withdrawn,
        ),
        ("NEXT_HOP optional", "RFC 7606 §3 c", &[0xc0, 3, 4, 172, 20, 9, 9], Withdrawn),
        ("NEXT_HOP 0.0.0.0", "RFC 4271 §6.3", &[0x40, 3, 4, 0, 0, 0, 0], Withdrawn),
        ("NEXT_HOP multicast", "RFC 4271 §6.3", &[0x40, 3, 4, 224, 0, 0, 5], Withdrawn),
        ("NEXT_HOP broadcast", "RFC 4271 §6.3", &[0x40, 3, 4, 255, 255, 255, 255], Withdrawn),
        ("NEXT_HOP our own", "RFC 4271 §6.3", &[0x40, 3, 4, 172, 20, 0, 1], Withdrawn),
        ("NEXT_HOP of our loopback", "RFC 4271 §6.3", &[0x40, 3, 4, 127, 0, 0, 1], Withdrawn),
        ("NEXT_HOP that nothing leads to", "RFC 4271 §9.1.2", &[0x40, 3, 4, 203, 0, 113, 1], Withdrawn),
        ("MED of three octets", "RFC 7606 §7.4", &[0x80, 4, 3, 0, 0, 0], Withdrawn),
        ("MED of no octets", "RFC 7606 §7.4", &[0x80, 4, 0], Withdrawn),
        ("MED transitive", "RFC 7606 §3 c", &[0xc0, 4, 4, 0, 0, 0, 1], Withdrawn),
        ("MED is not passed on between ASes", "RFC 4271 §5.1.4", &[0x80, 4, 4, 0, 0, 0, 1], Lacks(4)),
        ("LOCAL_PREF from outside", "RFC 7606 §7.5", &[0x40, 5, 4, 0, 0, 0, 1], Lacks(5)),
        ("LOCAL_PREF malformed from outside", "RFC 7606 §7.5", &[0x40, 5, 0], Lacks(5)),
    ]
}

fn path() -> Vec<Given> {
    vec![
        ("AS_PATH with a stray octet", "RFC 7606 §7.2", &[0x40, 2, 1, 2], Withdrawn),
        (
            "AS_PATH with one behind a segment",
            "RFC 7606 §7.2",
            &[0x40, 2, 7, 2, 1, 0, 0, 0xfd, 0xe8, 2],
            Withdrawn,
        ),
        ("AS_PATH with an empty segment", "RFC 7606 §7.2", &[0x40, 2, 2, 2, 0], Withdrawn),
        ("AS_PATH segment past the end", "RFC 7606 §7.2", &[0x40, 2, 6, 2, 2, 0, 0, 0, 1], Withdrawn),
        ("AS_PATH of an unknown segment", "RFC 7606 §7.2", &[0x40, 2, 6, 5, 1, 0, 0, 0, 1], Withdrawn),
        ("AS_PATH of segment type 0", "RFC 7606 §7.2", &[0x40, 2, 6, 0, 1, 0, 0, 0, 1], Withdrawn),
        ("AS_PATH in two octets", "RFC 7606 §7.2", &[0x40, 2, 4, 2, 1, 0xfd, 0xe8], Withdrawn),
        ("AS_PATH with AS 0", "RFC 7607 §2", &[0x40, 2, 6, 2, 1, 0, 0, 0, 0], Withdrawn),
        ("AS_PATH with AS_CONFED_SEQUENCE", "RFC 5065 §5", &[0x40, 2, 6, 3, 1, 0, 0, 0, 1], Withdrawn),
        ("AS_PATH with AS_CONFED_SET", "RFC 5065 §5", &[0x40, 2, 6, 4, 1, 0, 0, 0, 1], Withdrawn),
        (
            "AS_PATH with an AS_SET",
            "RFC 9774 §3",
            &[0x40, 2, 12, 2, 1, 0, 0, 0xfd, 0xe8, 1, 1, 0, 0, 0, 9],
            Withdrawn,
        ),
        (
            "AS_PATH with our own AS",
            "RFC 4271 §9.1.2",
            &[0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xe8, 0, 0, 0xfc, 0],
            Withdrawn,
        ),
        ("AS_PATH optional", "RFC 7606 §3 c", &[0xc0, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8], Withdrawn),
        (
            "AS_PATH gets our AS in front",
            "RFC 4271 §5.1.2",
            &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8],
            carries(&[0x40, 2, 10, 2, 2, 0, 0, 0xfc, 0, 0, 0, 0xfd, 0xe8]),
        ),
        (
            "AS4_PATH between four-octet speakers",
            "RFC 6793 §6",
            &[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70],
            Lacks(17),
        ),
        ("AS4_PATH of no octets", "RFC 6793 §6", &[0xc0, 17, 0], Lacks(17)),
        ("AS4_AGGREGATOR likewise", "RFC 6793 §6", &[0xc0, 18, 8, 0, 0, 0, 1, 10, 0, 0, 1], Lacks(18)),
    ]
}

fn aggregation() -> Vec<Given> {
    vec![
        ("ATOMIC_AGGREGATE", "RFC 4271 §5.1.6", &[0x40, 6, 0], carries(&[0x40, 6, 0])),
        ("ATOMIC_AGGREGATE with a value", "RFC 7606 §7.6", &[0x40, 6, 1, 0], Lacks(6)),
        ("ATOMIC_AGGREGATE optional", "RFC 7606 §3 c", &[0xc0, 6, 0], Withdrawn),
        (
            "AGGREGATOR",
            "RFC 4271 §5.1.7",
            &[0xc0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1],
            carries(&[0xc0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1]),
        ),
        (
            "AGGREGATOR, partial",
            "RFC 4271 §5",
            &[0xe0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1],
            carries(&[0xe0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1]),
        ),
        ("AGGREGATOR of six octets", "RFC 7606 §7.7", &[0xc0, 7, 6, 0, 1, 10, 0, 0, 1], Lacks(7)),
        ("AGGREGATOR of none", "RFC 7606 §7.7", &[0xc0, 7, 0], Lacks(7)),
        ("AGGREGATOR of AS 0", "RFC 7607 §2", &[0xc0, 7, 8, 0, 0, 0, 0, 10, 0, 0, 1], Lacks(7)),
        ("AGGREGATOR well-known", "RFC 7606 §3 c", &[0x40, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1], Withdrawn),
        ("two errors: the stronger counts", "RFC 7606 §3 h", &[0xc0, 7, 0, 0xc0, 8, 0], Withdrawn),
        (
            "a bad one before a good one",
            "RFC 7606 §3 h",
            &[0xc0, 7, 0, 0xc0, 8, 4, 0, 1, 0, 2],
            carries(&[8, 4, 0, 1, 0, 2]),
        ),
    ]
}

fn communities() -> Vec<Given> {
    vec![
        ("COMMUNITIES of no octets", "RFC 7606 §7.8", &[0xc0, 8, 0], Withdrawn),
        ("COMMUNITIES of five", "RFC 7606 §7.8", &[0xc0, 8, 5, 0, 0, 0, 0, 0], Withdrawn),
        ("COMMUNITIES not transitive", "RFC 7606 §3 c", &[0x80, 8, 4, 0, 0, 0, 1], Withdrawn),
        ("COMMUNITIES", "RFC 1997", &[0xc0, 8, 4, 0, 1, 0, 2], carries(&[0xc0, 8, 4, 0, 1, 0, 2])),
        (
            "COMMUNITIES, partial",
            "RFC 4271 §5",
            &[0xe0, 8, 4, 0, 1, 0, 2],
            carries(&[0xe0, 8, 4, 0, 1, 0, 2]),
        ),
        (
            "COMMUNITIES twice: the first counts",
            "RFC 7606 §3 g",
            &[0xc0, 8, 4, 0, 1, 0, 2, 0xc0, 8, 1, 0],
            carries(&[8, 4, 0, 1, 0, 2]),
        ),
        ("NO_EXPORT", "RFC 1997", &[0xc0, 8, 4, 0xff, 0xff, 0xff, 1], Ignored),
        ("NO_ADVERTISE", "RFC 1997", &[0xc0, 8, 4, 0xff, 0xff, 0xff, 2], Ignored),
        ("NO_EXPORT_SUBCONFED", "RFC 1997", &[0xc0, 8, 4, 0xff, 0xff, 0xff, 3], Ignored),
        ("BLACKHOLE that nobody has allowed", "RFC 7999 §3.3", &[0xc0, 8, 4, 0xff, 0xff, 2, 0x9a], Withdrawn),
        ("extended communities of four octets", "RFC 7606 §7.14", &[0xc0, 16, 4, 0, 0, 0, 0], Withdrawn),
        ("extended communities of none", "RFC 7606 §7.14", &[0xc0, 16, 0], Withdrawn),
        (
            "extended communities well-known",
            "RFC 7606 §3 c",
            &[0x40, 16, 8, 0, 2, 0, 1, 0, 0, 0, 1],
            Withdrawn,
        ),
        (
            "extended communities of an unknown type",
            "RFC 4360 §6",
            &[0xc0, 16, 8, 0x3f, 0x7f, 1, 2, 3, 4, 5, 6],
            carries(&[0xc0, 16, 8, 0x3f, 0x7f, 1, 2, 3, 4, 5, 6]),
        ),
        ("large communities of no octets", "RFC 8092 §5", &[0xc0, 32, 0], Withdrawn),
        (
            "large communities of eleven",
            "RFC 8092 §5",
            &[0xc0, 32, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Withdrawn,
        ),
        (
            "large communities not transitive",
            "RFC 7606 §3 c",
            &[0x80, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
            Withdrawn,
        ),
        (
            "large communities",
            "RFC 8092 §3",
            &[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
            carries(&[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]),
        ),
    ]
}

fn reflection() -> Vec<Given> {
    vec![
        ("ORIGINATOR_ID from outside", "RFC 7606 §7.9", &[0x80, 9, 4, 1, 1, 1, 1], Lacks(9)),
        ("ORIGINATOR_ID of no octets", "RFC 7606 §7.9", &[0x80, 9, 0], Lacks(9)),
        ("ORIGINATOR_ID of ours, from outside", "RFC 7606 §7.9", &[0x80, 9, 4, 172, 20, 0, 1], Announced),
        ("CLUSTER_LIST from outside", "RFC 7606 §7.10", &[0x80, 10, 4, 1, 1, 1, 1], Lacks(10)),
        ("CLUSTER_LIST of three octets", "RFC 7606 §7.10", &[0x80, 10, 3, 0, 0, 0], Lacks(10)),
    ]
}

fn unknown() -> Vec<Given> {
    vec![
        ("unknown transitive", "RFC 4271 §5", &[0xc0, 99, 2, 7, 8], carries(&[0xe0, 99, 2, 7, 8])),
        ("unknown transitive, partial", "RFC 4271 §5", &[0xe0, 99, 2, 7, 8], carries(&[0xe0, 99, 2, 7, 8])),
        ("unknown transitive of no octets", "RFC 4271 §5", &[0xc0, 99, 0], carries(&[0xe0, 99, 0])),
        (
            "unknown transitive, length in two octets",
            "RFC 4271 §4.3",
            &[0xd0, 99, 0, 2, 7, 8],
            carries(&[0xe0, 99, 2, 7, 8]),
        ),
        (
            "unknown transitive twice: the first counts",
            "RFC 7606 §3 g",
            &[0xc0, 99, 1, 7, 0xc0, 99, 1, 8],
            carries(&[0xe0, 99, 1, 7]),
        ),
        ("unknown transitive of code 255", "RFC 4271 §5", &[0xc0, 255, 1, 7], carries(&[0xe0, 255, 1, 7])),
        ("unknown transitive of code 0", "RFC 4271 §5", &[0xc0, 0, 1, 7], carries(&[0xe0, 0, 1, 7])),
        ("unknown non-transitive", "RFC 4271 §5", &[0x80, 99, 2, 7, 8], Lacks(99)),
        ("unknown non-transitive of no octets", "RFC 4271 §5", &[0x80, 99, 0], Lacks(99)),
        ("unknown well-known", "RFC 4271 §6.3", &[0x40, 99, 2, 7, 8], reset(3, 2, &[0x40, 99, 2, 7, 8])),
        ("unknown well-known of no octets", "RFC 4271 §6.3", &[0, 99, 0], reset(3, 2, &[0, 99, 0])),
        ("the last one cut off", "RFC 7606 §4", &[0x40, 5, 4, 0, 0], Withdrawn),
        ("the last one without its length", "RFC 7606 §4", &[0xc0, 99], Withdrawn),
        ("half an extended length", "RFC 7606 §4", &[0xd0, 99, 0], Withdrawn),
        ("a stray octet at the end", "RFC 7606 §4", &[0xc0, 8, 4, 0, 1, 0, 2, 0], Withdrawn),
    ]
}
