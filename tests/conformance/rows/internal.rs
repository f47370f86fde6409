//! Attributes from an internal peer, a client of the daemon's or not; a client looks.

use super::Expect::{self, Announced, Ignored, Withdrawn};
use super::{Place, Row, carries};
use crate::peer::attribute;
use crate::side::Side;
use crate::stage::Rig;

pub fn rows(place: Place) -> Vec<Row> {
    let table: Vec<(&'static str, &'static str, &[u8], Expect)> = vec![
        (
            "LOCAL_PREF is passed on",
            "RFC 4271 §5.1.5",
            &[0x40, 5, 4, 0, 0, 0, 7],
            carries(&[0x40, 5, 4, 0, 0, 0, 7]),
        ),
        ("LOCAL_PREF of no octets", "RFC 7606 §7.5", &[0x40, 5, 0], Withdrawn),
        ("LOCAL_PREF of three", "RFC 7606 §7.5", &[0x40, 5, 3, 0, 0, 0], Withdrawn),
        ("LOCAL_PREF optional", "RFC 7606 §3 c", &[0xc0, 5, 4, 0, 0, 0, 7], Withdrawn),
        (
            "MED is passed on",
            "RFC 4271 §5.1.4",
            &[0x80, 4, 4, 0, 0, 0, 7],
            carries(&[0x80, 4, 4, 0, 0, 0, 7]),
        ),
        (
            "ORIGINATOR_ID is kept",
            "RFC 4456 §8",
            &[0x80, 9, 4, 1, 1, 1, 1],
            carries(&[0x80, 9, 4, 1, 1, 1, 1]),
        ),
        ("ORIGINATOR_ID of no octets", "RFC 7606 §7.9", &[0x80, 9, 0], Withdrawn),
        ("ORIGINATOR_ID of five", "RFC 7606 §7.9", &[0x80, 9, 5, 1, 1, 1, 1, 1], Withdrawn),
        ("ORIGINATOR_ID transitive", "RFC 7606 §3 c", &[0xc0, 9, 4, 1, 1, 1, 1], Withdrawn),
        ("ORIGINATOR_ID of ours", "RFC 4456 §8", &[0x80, 9, 4, 172, 20, 0, 1], Withdrawn),
        (
            "CLUSTER_LIST gets our cluster in front",
            "RFC 4456 §8",
            &[0x80, 10, 4, 1, 1, 1, 1],
            carries(&[0x80, 10, 8, 172, 20, 0, 1, 1, 1, 1, 1]),
        ),
        ("CLUSTER_LIST of no octets", "RFC 7606 §7.10", &[0x80, 10, 0], Withdrawn),
        ("CLUSTER_LIST of three", "RFC 7606 §7.10", &[0x80, 10, 3, 0, 0, 0], Withdrawn),
        (
            "CLUSTER_LIST with our cluster",
            "RFC 4456 §8",
            &[0x80, 10, 8, 1, 1, 1, 1, 172, 20, 0, 1],
            Withdrawn,
        ),
        ("AS_PATH of no segment", "RFC 4271 §5.1.2", &[0x40, 2, 0], carries(&[0x40, 2, 0])),
        ("AS_PATH with our own AS", "RFC 4271 §9.1.2", &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0], Withdrawn),
        ("AS_PATH with an AS_SET", "RFC 9774 §3", &[0x40, 2, 6, 1, 1, 0, 0, 0, 9], Withdrawn),
        ("AS_PATH with AS_CONFED_SEQUENCE", "RFC 5065 §5", &[0x40, 2, 6, 3, 1, 0, 0, 0, 9], Withdrawn),
        ("AS_PATH with AS_CONFED_SET", "RFC 5065 §5", &[0x40, 2, 6, 4, 1, 0, 0, 0, 9], Withdrawn),
        ("NO_EXPORT stays inside", "RFC 1997", &[0xc0, 8, 4, 0xff, 0xff, 0xff, 1], Announced),
        ("NO_ADVERTISE goes nowhere", "RFC 1997", &[0xc0, 8, 4, 0xff, 0xff, 0xff, 2], Ignored),
        ("ONLY_TO_CUSTOMER of no octets", "RFC 9234 §5", &[0xc0, 35, 0], Withdrawn),
        ("an unknown transitive", "RFC 4271 §5", &[0xc0, 99, 1, 7], carries(&[0xe0, 99, 1, 7])),
        ("an unknown non-transitive", "RFC 4271 §5", &[0x80, 99, 1, 7], Expect::Lacks(99)),
    ];
    let row = |(what, rfc, given, expect): (&'static str, &'static str, &[u8], Expect)| {
        place.with_attribute(Side::Internal, (what, rfc), given, expect)
    };
    let mut rows: Vec<Row> = table.into_iter().map(row).collect();
    rows.extend(told(place));
    rows
}

fn told(place: Place) -> Vec<Row> {
    let announce = |side: Side| side.announce(place.address, &place.prefix(0));
    let originator = attribute(0x80, 9, &place.address);
    let plain = |side: Side, what, rfc, expect| place.row(side, (what, rfc), announce(side), expect);
    let outside = |row: Row| Row { observer: Rig::OUTSIDE, ..row };
    let local_pref = [0x40, 5, 4, 0, 0, 0, 100];
    vec![
        plain(Side::Internal, "ORIGINATOR_ID is put in", "RFC 4456 §8", carries(&originator)),
        plain(Side::Client, "and for a client", "RFC 4456 §8", carries(&originator)),
        plain(
            Side::External,
            "LOCAL_PREF is put in for a path from outside",
            "RFC 4271 §5.1.5",
            carries(&local_pref),
        ),
        outside(plain(
            Side::Internal,
            "LOCAL_PREF does not leave the AS",
            "RFC 4271 §5.1.5",
            Expect::Lacks(5),
        )),
        outside(place.with_attribute(
            Side::Internal,
            ("CLUSTER_LIST does not leave the AS", "RFC 4456 §8"),
            &[0x80, 10, 4, 1, 1, 1, 1],
            Expect::Lacks(10),
        )),
        outside(place.with_attribute(
            Side::Internal,
            ("MED does not leave the AS", "RFC 4271 §5.1.4"),
            &[0x80, 4, 4, 0, 0, 0, 7],
            Expect::Lacks(4),
        )),
        outside(place.with_attribute(
            Side::Internal,
            ("NO_EXPORT does not leave the AS", "RFC 1997"),
            &[0xc0, 8, 4, 0xff, 0xff, 0xff, 1],
            Ignored,
        )),
    ]
    .into_iter()
    .map(|row| {
        if row.what.starts_with("LOCAL_PREF is put in") { Row { observer: Rig::INSIDE, ..row } } else { row }
    })
    .collect()
}
