//! OPEN: what is refused, and what must not be.

use super::Expect::{self, Announced};
use super::{Place, Row, Stage, reset};
use crate::peer::{message, open, parameters};
use crate::side::{AS4, IPV4, Side};
use crate::stage::Rig;

type Sent = (&'static str, &'static str, Vec<u8>, Expect);

/// What is refused.
pub fn rows(place: Place) -> Vec<Row> {
    let in_open_sent = |side: Side, (what, rfc, octets, expect): Sent| Row {
        stage: Stage::OpenSent,
        ..place.row(side, (what, rfc), octets, expect)
    };
    let address = place.address;
    let tables = [fixed_fields(address), framing(address), capabilities(address), silence(address)];
    let mut rows: Vec<Row> =
        tables.into_iter().flatten().map(|sent| in_open_sent(Side::External, sent)).collect();
    rows.extend(internal(address).into_iter().map(|sent| in_open_sent(Side::Internal, sent)));
    rows
}

/// An external peer's OPEN with these octets where the length of the parameters stands.
fn with(address: [u8; 4], parameters: &[u8]) -> Vec<u8> {
    open(65000, address, 90, parameters)
}

fn fixed_fields(address: [u8; 4]) -> Vec<Sent> {
    let front = |body: &[u8]| message(1, body);
    let rfc = "RFC 4271 §6.2";
    let version = reset(2, 1, &[0, 4]);
    vec![
        ("version 0", rfc, front(&[0, 0xfd, 0xe8, 0, 90, 1, 1, 1, 1, 0]), reset(2, 1, &[0, 4])),
        ("version 3", rfc, front(&[3, 0xfd, 0xe8, 0, 90, 1, 1, 1, 1, 0]), reset(2, 1, &[0, 4])),
        ("version 5", rfc, front(&[5, 0xfd, 0xe8, 0, 90, 1, 1, 1, 1, 0]), version),
        ("AS 0", "RFC 7607 §2", open(0, address, 90, &[0]), reset(2, 2, &[])),
        (
            "AS 0 beside a four-octet AS",
            "RFC 7607 §2",
            open(0, address, 90, &parameters(&AS4)),
            reset(2, 2, &[]),
        ),
        ("another AS", rfc, open(65001, address, 90, &[0]), reset(2, 2, &[])),
        ("our own AS", rfc, open(64512, address, 90, &[0]), reset(2, 2, &[])),
        (
            "AS_TRANS and no four-octet AS",
            "RFC 6793 §4.2.1",
            open(23456, address, 90, &[0]),
            reset(2, 2, &[]),
        ),
        (
            "another four-octet AS",
            "RFC 6793 §4.2.1",
            with(address, &parameters(&[65, 4, 0, 1, 0, 0])),
            reset(2, 2, &[]),
        ),
        (
            "four-octet AS 0",
            "RFC 7607 §2",
            with(address, &parameters(&[65, 4, 0, 0, 0, 0])),
            reset(2, 2, &[]),
        ),
        ("hold time 1", rfc, open(65000, address, 1, &[0]), reset(2, 6, &[])),
        ("hold time 2", rfc, open(65000, address, 2, &[0]), reset(2, 6, &[])),
        ("identifier 0.0.0.0", "RFC 6286 §2.2", open(65000, [0; 4], 90, &[0]), reset(2, 3, &[])),
    ]
}

fn framing(address: [u8; 4]) -> Vec<Sent> {
    let malformed =
        |what, parameters: &[u8]| (what, "RFC 4271 §6.2", with(address, parameters), reset(2, 0, &[]));
    let extended =
        |what, parameters: &[u8]| (what, "RFC 9072 §2", with(address, parameters), reset(2, 0, &[]));
    vec![
        (
            "the authentication parameter of old",
            "RFC 4271 §6.2",
            with(address, &[3, 1, 1, 0]),
            reset(2, 4, &[]),
        ),
        ("an unknown parameter", "RFC 4271 §6.2", with(address, &[3, 77, 1, 0]), reset(2, 4, &[])),
        malformed("parameters past the end", &[4, 2, 0]),
        malformed("octets behind the parameters", &[0, 0]),
        malformed("a parameter past the end", &[3, 2, 200, 1]),
        malformed("a parameter without its length", &[1, 2]),
        extended("an extended parameter past the end", &[255, 255, 0, 4, 2, 1, 0, 2]),
        extended("extended parameters without their length", &[255, 255]),
        extended("extended parameters past the end", &[255, 255, 1, 0, 2, 0, 0]),
        extended("an extended parameter with half a length", &[255, 255, 0, 2, 2, 0]),
        (
            "an unknown extended parameter",
            "RFC 9072 §2",
            with(address, &[255, 255, 0, 3, 77, 0, 0]),
            reset(2, 4, &[]),
        ),
    ]
}

fn capabilities(address: [u8; 4]) -> Vec<Sent> {
    let malformed =
        |what, given: &[u8]| (what, "RFC 4271 §6.2", with(address, &parameters(given)), reset(2, 0, &[]));
    let ours = [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1];
    vec![
        malformed("a capability past the end", &[73, 9]),
        malformed("a capability without its length", &[2, 0, 65]),
        malformed("a four-octet AS of no octets", &[65, 0]),
        malformed("a four-octet AS of two", &[65, 2, 0xfd, 0xe8]),
        malformed("a four-octet AS of five", &[65, 5, 0, 0, 0xfd, 0xe8, 0]),
        malformed("a family of three octets", &[1, 3, 0, 1, 0]),
        malformed("a family of no octets", &[1, 0]),
        (
            "no family in common",
            "RFC 5492 §5",
            with(address, &parameters(&[1, 4, 0, 25, 0, 70])),
            reset(2, 7, &ours),
        ),
    ]
}

fn silence(address: [u8; 4]) -> Vec<Sent> {
    let hold_of_3 = open(65000, address, 3, &parameters(&[&IPV4[..], &AS4].concat()));
    let expired = || reset(4, 0, &[]);
    let established = [hold_of_3.clone(), message(4, &[])].concat();
    vec![
        ("silence in OpenConfirm with a hold time of 3 s", "RFC 4271 §6.5", hold_of_3, expired()),
        ("half a header, then silence", "RFC 4271 §6.5", [&established[..], &[0xff; 9]].concat(), expired()),
        (
            "half an UPDATE, then silence",
            "RFC 4271 §6.5",
            [&established[..], &[0xff; 16], &[0, 60, 2, 0]].concat(),
            expired(),
        ),
    ]
}

fn internal(address: [u8; 4]) -> Vec<Sent> {
    vec![
        ("our own identifier inside", "RFC 6286 §2.2", Side::Internal.open(Rig::DAEMON), reset(2, 3, &[])),
        ("identifier 0.0.0.0 inside", "RFC 6286 §2.2", Side::Internal.open([0; 4]), reset(2, 3, &[])),
        ("another AS inside", "RFC 4271 §6.2", open(65000, address, 90, &[0]), reset(2, 2, &[])),
    ]
}

/// What must not be refused: the session comes up and a prefix gets through.
pub fn accepted(place: Place) -> Vec<Row> {
    let address = place.address;
    let sound = [&IPV4[..], &AS4].concat();
    let among = |given: &[u8]| with(address, &parameters(&[&sound[..], given].concat()));
    let extended = |parameters: &[u8]| {
        let length = u16::try_from(parameters.len()).unwrap().to_be_bytes();
        with(address, &[&[255, 255], &length[..], parameters].concat())
    };
    let one_extended = [&[2, 0, 12][..], &sound].concat();
    let long_extended = [&one_extended[..], &[2, 1, 1, 99, 255], &[7; 255]].concat();
    let each_in_its_own = with(address, &[&[16, 2, 6][..], &IPV4, &[2, 6], &AS4].concat());
    let disregarded = [&[1, 255, 0, 15][..], &one_extended].concat();
    let table = vec![
        ("hold time 0", "RFC 4271 §4.2", open(65000, address, 0, &parameters(&sound))),
        ("hold time 3", "RFC 4271 §4.2", open(65000, address, 3, &parameters(&sound))),
        ("our own identifier outside", "RFC 6286 §2.1", Side::External.open(Rig::DAEMON)),
        ("an identifier that is no host address", "RFC 6286 §2.1", Side::External.open([255; 4])),
        ("a parameter for each capability", "RFC 5492 §4", each_in_its_own),
        ("an empty parameter", "RFC 5492 §4", with(address, &[&[16, 2, 0, 2, 12][..], &sound].concat())),
        ("extended parameters that would fit otherwise", "RFC 9072 §2", extended(&one_extended)),
        ("extended parameters of 274 octets", "RFC 9072 §2", extended(&long_extended)),
        ("extended parameters behind another length", "RFC 9072 §2", with(address, &disregarded)),
        ("capabilities twice", "RFC 5492 §4", among(&sound)),
        ("an unknown capability", "RFC 5492 §3", among(&[200, 3, 1, 2, 3])),
        ("an unknown capability of no octets", "RFC 5492 §3", among(&[200, 0])),
        ("a family that nobody knows", "RFC 4760 §8", among(&[1, 4, 99, 99, 0, 99])),
        (
            "a reserved octet that is not 0",
            "RFC 4760 §8",
            with(address, &parameters(&[&[1, 4, 0, 1, 7, 1], &AS4[..]].concat())),
        ),
        ("a host name past the end", "RFC 5492 §3", among(&[73, 3, 9, b'a', 0])),
        ("a host name of invalid UTF-8", "RFC 5492 §3", among(&[73, 3, 1, 0xff, 0])),
        ("a name of no octets", "RFC 5492 §3", among(&[73, 0])),
        ("graceful restart of one octet", "RFC 5492 §3", among(&[64, 1, 0])),
        ("a role where none is asked for", "RFC 9234 §4.2", among(&[9, 1, 77])),
        ("no family: IPv4", "RFC 4760 §8", with(address, &parameters(&AS4))),
    ];
    let announce = Side::External.announce(address, &place.prefix(0));
    let row = |(what, rfc, octets): (&'static str, &'static str, Vec<u8>)| Row {
        open: Some(octets),
        ..place.row(Side::External, (what, rfc), announce.clone(), Announced)
    };
    let mut rows: Vec<Row> = table.into_iter().map(row).collect();
    let bare = with(address, &[0]);
    let announce = Side::TwoOctet.announce(address, &place.prefix(0));
    let without = place.row(Side::TwoOctet, ("no capability at all", "RFC 4271 §4.2"), announce, Announced);
    rows.push(Row { open: Some(bare), ..without });
    rows
}
