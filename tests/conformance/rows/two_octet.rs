//! Speakers without four-octet AS numbers: what is put together of AS_PATH and AS4_PATH, and what
//! they are told.

use super::Expect::{self, Announced, Lacks, Withdrawn};
use super::{Place, Row, carries};
use crate::side::Side;
use crate::stage::Rig;

/// AS_PATH 65000 AS_TRANS.
const TRANS: [u8; 9] = [0x40, 2, 6, 2, 2, 0xfd, 0xe8, 0x5b, 0xa0];
/// AS4_PATH 65000 70000.
const WHOLE: [u8; 13] = [0xc0, 17, 10, 2, 2, 0, 0, 0xfd, 0xe8, 0, 1, 0x11, 0x70];

type Given = (&'static str, &'static str, Vec<u8>, Expect);

pub fn rows(place: Place) -> Vec<Row> {
    let tables = [put_together(), malformed_as4_path(), aggregators()];
    let row =
        |(what, rfc, given, expect): Given| place.with_attribute(Side::TwoOctet, (what, rfc), &given, expect);
    let mut rows: Vec<Row> = tables.into_iter().flatten().map(row).collect();
    rows.extend(told(place));
    rows
}

fn behind_trans(given: &[u8]) -> Vec<u8> {
    [&TRANS[..], given].concat()
}

/// 64512 65000 AS_TRANS.
fn as_it_is() -> Expect {
    carries(&[2, 3, 0, 0, 0xfc, 0, 0, 0, 0xfd, 0xe8, 0, 0, 0x5b, 0xa0])
}

/// 64512 65000 70000.
fn restored() -> Expect {
    carries(&[2, 3, 0, 0, 0xfc, 0, 0, 0, 0xfd, 0xe8, 0, 1, 0x11, 0x70])
}

fn put_together() -> Vec<Given> {
    let rfc = "RFC 6793 §4.2.3";
    let longer = [0xc0, 17, 14, 2, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0x11, 0x70];
    let own = behind_trans(&[0xc0, 17, 6, 2, 1, 0, 0, 0xfc, 0]);
    vec![
        ("AS_TRANS alone", rfc, TRANS.to_vec(), as_it_is()),
        ("AS4_PATH of the same length", rfc, behind_trans(&WHOLE), restored()),
        (
            "AS4_PATH that is shorter: the tail",
            rfc,
            behind_trans(&[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70]),
            restored(),
        ),
        ("AS4_PATH that is longer: ignored", rfc, behind_trans(&longer), as_it_is()),
        ("AS4_PATH with our own AS", "RFC 4271 §9.1.2", own, Withdrawn),
        ("AS4_PATH is not passed on", rfc, behind_trans(&WHOLE), Lacks(17)),
        ("AS_PATH in four octets", "RFC 7606 §7.2", vec![0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8], Withdrawn),
        ("AS_PATH in two", "RFC 6793 §4.1", vec![0x40, 2, 4, 2, 1, 0xfd, 0xe8], Announced),
    ]
}

fn malformed_as4_path() -> Vec<Given> {
    let confederation = [0xc0, 17, 12, 3, 1, 0, 0, 0, 9, 2, 1, 0, 1, 0x11, 0x70];
    let ignored: [(&str, &str, &[u8]); 6] = [
        ("AS4_PATH of no octets", "RFC 6793 §6", &[0xc0, 17, 0]),
        ("AS4_PATH with a stray octet", "RFC 6793 §6", &[0xc0, 17, 7, 2, 1, 0, 1, 0x11, 0x70, 2]),
        ("AS4_PATH segment past the end", "RFC 6793 §6", &[0xc0, 17, 6, 2, 2, 0, 1, 0x11, 0x70]),
        ("AS4_PATH with an empty segment", "RFC 6793 §6", &[0xc0, 17, 2, 2, 0]),
        ("AS4_PATH of an unknown segment", "RFC 6793 §6", &[0xc0, 17, 6, 9, 1, 0, 1, 0x11, 0x70]),
        ("AS4_PATH with AS 0", "RFC 7607 §2", &[0xc0, 17, 6, 2, 1, 0, 0, 0, 0]),
    ];
    let mut table: Vec<Given> =
        ignored.map(|(what, rfc, given)| (what, rfc, behind_trans(given), as_it_is())).into();
    table.push((
        "AS4_PATH with a confederation segment: without it",
        "RFC 6793 §6",
        behind_trans(&confederation),
        restored(),
    ));
    let flags = [0x80, 17, 6, 2, 1, 0, 1, 0x11, 0x70];
    table.push(("AS4_PATH not transitive", "RFC 7606 §3 c", behind_trans(&flags), Withdrawn));
    table
}

fn aggregators() -> Vec<Given> {
    let by = |asn: [u8; 2]| [&[0xc0, 7, 6][..], &asn, &[10, 0, 0, 1]].concat();
    let trans = || by([0x5b, 0xa0]);
    let four = [0xc0, 18, 8, 0, 1, 0x11, 0x70, 10, 0, 0, 2];
    let short = [0xc0, 18, 7, 0, 1, 0x11, 0x70, 10, 0, 0];
    let rfc = "RFC 6793 §4.2.3";
    vec![
        ("AGGREGATOR of eight octets", "RFC 7606 §7.7", vec![0xc0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1], Lacks(7)),
        ("AGGREGATOR of six", "RFC 6793 §4.1", by([0, 9]), carries(&[0xc0, 7, 8, 0, 0, 0, 9, 10, 0, 0, 1])),
        (
            "AS4_AGGREGATOR for AS_TRANS",
            rfc,
            [&trans()[..], &four].concat(),
            carries(&[0xc0, 7, 8, 0, 1, 0x11, 0x70, 10, 0, 0, 2]),
        ),
        (
            "AS4_AGGREGATOR of seven octets",
            "RFC 6793 §6",
            [&trans()[..], &short].concat(),
            carries(&[0xc0, 7, 8, 0, 0, 0x5b, 0xa0, 10, 0, 0, 1]),
        ),
        (
            "an AGGREGATOR newer than AS4_PATH",
            rfc,
            [&TRANS[..], &WHOLE, &by([0, 9]), &four].concat(),
            as_it_is(),
        ),
        ("AS4_AGGREGATOR alone", rfc, four.to_vec(), Lacks(7)),
    ]
}

/// What a two-octet speaker is told.
fn told(place: Place) -> Vec<Row> {
    let narrow = |what, rfc, given: &[u8], expect| Row {
        observer: Rig::NARROW,
        ..place.with_attribute(Side::External, (what, rfc), given, expect)
    };
    let large = [0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xe8, 0, 1, 0x11, 0x70];
    let aggregator = [0xc0, 7, 8, 0, 1, 0x11, 0x70, 10, 0, 0, 1];
    vec![
        narrow(
            "AS_TRANS is told in place of a large AS",
            "RFC 6793 §4.2.2",
            &large,
            carries(&[0x40, 2, 8, 2, 3, 0xfc, 0, 0xfd, 0xe8, 0x5b, 0xa0]),
        ),
        narrow(
            "and AS4_PATH beside it",
            "RFC 6793 §4.2.2",
            &large,
            carries(&[0xc0, 17, 14, 2, 3, 0, 0, 0xfc, 0, 0, 0, 0xfd, 0xe8, 0, 1, 0x11, 0x70]),
        ),
        narrow("AS4_PATH is not told where nothing is large", "RFC 6793 §4.2.2", &[0xc0, 99, 0], Lacks(17)),
        narrow(
            "AS4_AGGREGATOR is told beside AS_TRANS",
            "RFC 6793 §4.2.2",
            &aggregator,
            carries(&[0xc0, 18, 8, 0, 1, 0x11, 0x70, 10, 0, 0, 1]),
        ),
        place.with_attribute(
            Side::InternalTwoOctet,
            ("AS4_PATH from inside", "RFC 6793 §4.2.3"),
            &[0x40, 2, 4, 2, 1, 0x5b, 0xa0, 0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70],
            carries(&[0x40, 2, 6, 2, 1, 0, 1, 0x11, 0x70]),
        ),
    ]
}
