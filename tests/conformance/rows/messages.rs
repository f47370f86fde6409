//! Headers, message types, messages in the wrong state, NOTIFICATION and ROUTE-REFRESH.

use super::Expect::{self, Closed, Ignored, Kept, Withdrawn};
use super::Stage::{Established, OpenConfirm, OpenSent};
use super::{Place, Row, Stage, reset};
use crate::peer::{message, update};
use crate::side::Side;

type Sent = (&'static str, &'static str, Stage, Vec<u8>, Expect);

pub fn rows(place: Place) -> Vec<Row> {
    let tables = [headers(), states(place), notifications()];
    let row = |(what, rfc, stage, octets, expect): Sent| Row {
        stage,
        ..place.row(Side::External, (what, rfc), octets, expect)
    };
    let mut rows: Vec<Row> = tables.into_iter().flatten().map(row).collect();
    rows.extend(refreshes(place));
    rows.push(
        place.row(
            Side::Limited,
            ("three prefixes where two are allowed", "RFC 4486 §4"),
            [place.prefix(1), place.prefix(2)]
                .map(|prefix| Side::Limited.announce(place.address, &prefix))
                .concat(),
            reset(6, 1, &[0, 1, 1, 0, 0, 0, 2]),
        ),
    );
    rows
}

/// A header and nothing behind it.
fn header(marker: u8, length: u16, kind: u8) -> Vec<u8> {
    [&[marker; 16], &length.to_be_bytes()[..], &[kind]].concat()
}

fn headers() -> Vec<Sent> {
    let raw = |length, kind| header(0xff, length, kind);
    let mut last_octet = raw(19, 4);
    last_octet[15] = 0xfe;
    let length = |length: u16| reset(1, 2, &length.to_be_bytes());
    let rfc = "RFC 4271 §6.1";
    vec![
        ("a marker of zeros", rfc, Established, header(0, 19, 4), reset(1, 1, &[])),
        ("a marker with one bit missing", rfc, Established, last_octet, reset(1, 1, &[])),
        ("a marker of zeros in OpenSent", rfc, OpenSent, header(0, 29, 1), reset(1, 1, &[])),
        ("a marker of zeros in OpenConfirm", rfc, OpenConfirm, header(0, 19, 4), reset(1, 1, &[])),
        ("a length of 18", rfc, Established, raw(18, 4), length(18)),
        ("a length of 18 in OpenSent", rfc, OpenSent, raw(18, 1), length(18)),
        ("a length of 18 in OpenConfirm", rfc, OpenConfirm, raw(18, 4), length(18)),
        ("a length of 0", rfc, Established, raw(0, 4), length(0)),
        ("a length of 4,097", rfc, Established, raw(4097, 2), length(4097)),
        ("a length of 65,535", rfc, OpenSent, raw(65535, 1), length(65535)),
        ("an OPEN too short", rfc, OpenSent, raw(28, 1), length(28)),
        ("an UPDATE too short", rfc, Established, raw(22, 2), length(22)),
        ("a NOTIFICATION too short", rfc, Established, raw(20, 3), length(20)),
        ("a KEEPALIVE with a body", rfc, Established, message(4, &[0]), length(20)),
        ("a KEEPALIVE with a body in OpenConfirm", rfc, OpenConfirm, message(4, &[0]), length(20)),
        ("an unknown type", rfc, Established, message(6, &[1]), reset(1, 3, &[6])),
        ("type 0", rfc, Established, message(0, &[]), reset(1, 3, &[0])),
        ("type 255 in OpenSent", rfc, OpenSent, message(255, &[]), reset(1, 3, &[255])),
        ("type 128 in OpenConfirm", rfc, OpenConfirm, message(128, &[]), reset(1, 3, &[128])),
        ("10,000 KEEPALIVEs", "RFC 4271 §8.2.2", Established, message(4, &[]).repeat(10_000), Ignored),
    ]
}

fn states(place: Place) -> Vec<Sent> {
    let open = || Side::External.open(place.address);
    let malformed_open = message(1, &[3, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    let malformed_update = message(2, &[0, 9, 0, 0]);
    vec![
        ("KEEPALIVE in OpenSent", "RFC 6608 §4", OpenSent, message(4, &[]), reset(5, 1, &[4])),
        ("UPDATE in OpenSent", "RFC 6608 §4", OpenSent, update(&[], &[], &[]), reset(5, 1, &[2])),
        (
            "a malformed UPDATE in OpenSent",
            "RFC 6608 §4",
            OpenSent,
            malformed_update.clone(),
            reset(5, 1, &[2]),
        ),
        ("ROUTE-REFRESH in OpenSent", "RFC 6608 §4", OpenSent, message(5, &[0, 1, 0, 1]), reset(5, 1, &[5])),
        ("a second OPEN in OpenConfirm", "RFC 6608 §4", OpenConfirm, open(), reset(5, 2, &[1])),
        ("UPDATE in OpenConfirm", "RFC 6608 §4", OpenConfirm, update(&[], &[], &[]), reset(5, 2, &[2])),
        (
            "a malformed UPDATE in OpenConfirm",
            "RFC 6608 §4",
            OpenConfirm,
            malformed_update,
            reset(5, 2, &[2]),
        ),
        (
            "ROUTE-REFRESH in OpenConfirm",
            "RFC 6608 §4",
            OpenConfirm,
            message(5, &[0, 1, 0, 1]),
            reset(5, 2, &[5]),
        ),
        ("a second OPEN in Established", "RFC 6608 §4", Established, open(), reset(5, 3, &[1])),
        ("a malformed OPEN in Established", "RFC 6608 §4", Established, malformed_open, reset(5, 3, &[1])),
    ]
}

fn notifications() -> Vec<Sent> {
    let communication = |length: u8, text: &[u8]| message(3, &[&[6, 2, length], text].concat());
    vec![
        ("NOTIFICATION without data", "RFC 4271 §6.4", Established, message(3, &[6, 4]), Closed),
        ("NOTIFICATION of 4,096 octets", "RFC 4271 §6.4", Established, message(3, &[6; 4077]), Closed),
        ("NOTIFICATION in OpenSent", "RFC 4271 §8.2.2", OpenSent, message(3, &[2, 1, 0, 4]), Closed),
        ("another in OpenSent", "RFC 4271 §6.4", OpenSent, message(3, &[6, 5]), Closed),
        ("a version error in OpenConfirm", "RFC 4271 §8.2.2", OpenConfirm, message(3, &[2, 1, 0, 4]), Closed),
        ("NOTIFICATION nobody knows", "RFC 4271 §6.4", OpenConfirm, message(3, &[77, 88, 99]), Closed),
        ("NOTIFICATION 0/0", "RFC 4271 §6.4", Established, message(3, &[0, 0]), Closed),
        (
            "a NOTIFICATION about a NOTIFICATION",
            "RFC 4271 §6.4",
            Established,
            message(3, &[3, 1]).repeat(2),
            Closed,
        ),
        ("a shutdown text", "RFC 9003 §2", Established, communication(3, b"bye"), Closed),
        (
            "a shutdown text of invalid UTF-8",
            "RFC 9003 §2",
            Established,
            communication(3, &[0xff, 0xfe, 0xc0]),
            Closed,
        ),
        ("a shutdown text past the end", "RFC 9003 §2", Established, communication(200, b"bye"), Closed),
        ("a shutdown text that ends early", "RFC 9003 §2", Established, communication(1, b"bye"), Closed),
        (
            "a shutdown text of 255 octets",
            "RFC 9003 §2",
            Established,
            communication(255, &[b'x'; 255]),
            Closed,
        ),
        ("a shutdown text with line ends", "RFC 9003 §4", Established, communication(4, b"\nERR"), Closed),
    ]
}

fn refreshes(place: Place) -> Vec<Row> {
    let refresh = |subtype, afi, safi| message(5, &[0, afi, subtype, safi]);
    let short = |subtype| message(5, &[0, 1, subtype]);
    let long = |subtype| message(5, &[0, 1, subtype, 1, 0]);
    let quoted = |octets: Vec<u8>| (octets.clone(), reset(7, 1, &octets));
    let both = [refresh(1, 1, 1), refresh(2, 1, 1)].concat();
    let announced_between =
        [refresh(1, 1, 1), Side::Enhanced.announce(place.address, &place.prefix(0)), refresh(2, 1, 1)]
            .concat();
    let (short_begin, quotes_short) = quoted(short(1));
    let (long_end, quotes_long) = quoted(long(2));
    let table = [
        (Side::External, "ROUTE-REFRESH of VPNv4", "RFC 2918 §4", refresh(0, 1, 128), Kept),
        (Side::Enhanced, "ROUTE-REFRESH of IPv6, not agreed on", "RFC 2918 §4", refresh(0, 2, 1), Kept),
        (Side::Enhanced, "ROUTE-REFRESH", "RFC 2918 §4", refresh(0, 1, 1), Kept),
        (Side::Enhanced, "ROUTE-REFRESH of subtype 3", "RFC 7313 §5", refresh(3, 1, 1), Kept),
        (Side::Enhanced, "ROUTE-REFRESH of subtype 255", "RFC 7313 §5", refresh(255, 1, 1), Kept),
        (Side::Enhanced, "a refresh that leaves the prefix out", "RFC 7313 §4", both.clone(), Withdrawn),
        (Side::Enhanced, "a refresh with the prefix", "RFC 7313 §4", announced_between, Kept),
        (Side::Enhanced, "an end without a beginning", "RFC 7313 §4", refresh(2, 1, 1), Kept),
        (
            Side::Enhanced,
            "marks of a family not agreed on",
            "RFC 7313 §4",
            [refresh(1, 2, 1), refresh(2, 2, 1)].concat(),
            Kept,
        ),
        (Side::External, "marks that were not agreed on", "RFC 7313 §3.2", both, Kept),
        (Side::Enhanced, "a beginning of three octets", "RFC 7313 §5", short_begin, quotes_short),
        (Side::Enhanced, "an end of five", "RFC 7313 §5", long_end, quotes_long),
        (Side::Enhanced, "a request of five", "RFC 4271 §6.1", long(0), reset(1, 2, &[0, 24])),
        (Side::External, "a request of none", "RFC 4271 §6.1", message(5, &[]), reset(1, 2, &[0, 19])),
    ];
    table
        .into_iter()
        .map(|(side, what, rfc, octets, expect)| place.row(side, (what, rfc), octets, expect))
        .collect()
}
