//! What mutation starts from: what other speakers have sent, and messages with one of everything.

use routelet::bgp::header::message_length;

use crate::engine::from_hex;
use crate::mutate::{capabilities_of, fields, frame, update_body};

/// One attribute of each kind, and some that nobody knows: flags, code, length, value.
const ATTRIBUTES: [&str; 26] = [
    "400101 00",
    "400101 02",
    "400200",
    "400206 0201 0000fde8",
    "40020e 0202 0000fde8 0000fde9 0101 0000000a",
    "40020a 0201 0000fde8 0301 00000007",
    "400204 0201 fde8",
    "400304 c0a80101",
    "800404 00000064",
    "400504 00000064",
    "400600",
    "c00708 0000fde8 c0a80101",
    "c00706 fde8 c0a80101",
    "c00808 fde80064 ffffff01",
    "800904 c0a80101",
    "800a08 c0a80101 c0a80102",
    "800e1c 0002 01 10 fd000000000000000000000000000001 00 30 fd0002440001",
    "800e2c 0002 01 20 fd000000000000000000000000000001 fe800000000000000000000000000001 00 30 fd0002440001",
    "800e0d 0001 01 04 c0a80101 00 18 0af402",
    "800e1d 0001 01 10 fd000000000000000000000000000001 00 18 0af402 00",
    "800f0a 0002 01 30 fd0002440001",
    "c01010 0002fc0000000007 4004fc004cbebc20",
    "c01106 0201 000186a0",
    "c01208 000186a0 c0a80101",
    "c02018 0000fc000000000100000002 0000fc000000000100000003",
    "c02304 0000fde8",
];
const UNKNOWN: [&str; 4] = ["e0630401020304", "80640101", "40650101", "f066010000"];

/// Capabilities that speakers send: code, length, value.
const CAPABILITIES: [&str; 20] = [
    "0104 0001 00 01",
    "0104 0002 00 01",
    "0104 0019 00 46",
    "0200",
    "0506 0001 0001 0002",
    "0600",
    "0901 03",
    "0901 05",
    "4002 0078",
    "4006 c078 0001 01 80",
    "400a 0078 0001 01 80 0002 01 00",
    "4104 0000fde8",
    "4600",
    "4504 0001 01 03",
    "4508 0001 01 01 0002 01 02",
    "4707 0001 01 80 000e10",
    "4907 05 6e6f646531 00",
    "4909 02 6162 05 6162636465",
    "4b05 04 74657374",
    "8000",
];

/// Every message captured from another speaker; see `tests/wire/golden.rs`.
pub fn golden() -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/golden");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut messages = vec![];
    for file in files {
        let octets = from_hex(&std::fs::read_to_string(file).unwrap());
        let mut rest = &octets[..];
        while let Ok(Some(length)) = message_length(rest) {
            messages.push(rest[..length].to_vec());
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "a capture ends within a message");
    }
    messages
}

fn golden_of(kind: u8) -> Vec<Vec<u8>> {
    golden().into_iter().filter(|message| message[18] == kind).collect()
}

/// UPDATEs: the captured ones, and one around each attribute.
pub fn updates() -> Vec<Vec<u8>> {
    let around = |attribute: &str| {
        let code = from_hex(attribute)[1];
        let mandatory = ["400101 00", "400206 0201 0000fde8", "400304 c0a80101"];
        let rest = mandatory.into_iter().filter(|m| from_hex(m)[1] != code);
        let all: Vec<u8> = rest.chain([attribute]).flat_map(from_hex).collect();
        frame(2, &update_body(&[], &all, &[24, 10, 244, 1]))
    };
    let made = ATTRIBUTES.into_iter().chain(UNKNOWN).map(around);
    let withdrawals = frame(2, &update_body(&[24, 10, 244, 1, 0, 32, 10, 0, 0, 1], &[], &[]));
    golden_of(2).into_iter().chain(made).chain([withdrawals]).chain(identified()).collect()
}

/// UPDATEs with path identifiers (RFC 7911) in each place that can have them, and a long one.
pub fn identified() -> Vec<Vec<u8>> {
    let mandatory = from_hex("400101 00 400206 0201 0000fde8 400304 c0a80101");
    let internal = from_hex("400101 00 400200 400504 00000064");
    let with = |attribute: &str, rest: &[u8]| [&from_hex(attribute), rest].concat();
    let two = from_hex("00000001 18 0af401 00000002 18 0af401 00000001 20 0a000001");
    let many: Vec<u8> = (0..600_u16).flat_map(|n| [0, 0, 0, 1, 24, 10, (n >> 8) as u8, n as u8]).collect();
    let reach = "800e20 0002 01 10 fd000000000000000000000000000001 00 00000007 30 fd0002440001";
    let extended = "800e1d 0001 01 10 fd000000000000000000000000000001 00 00000001 18 0af402";
    let unreach = "800f0e 0002 01 00000007 30 fd0002440001";
    [
        update_body(&[], &mandatory, &two),
        update_body(&two, &[], &[]),
        update_body(&two[..8], &mandatory, &two[8..]),
        update_body(&[], &mandatory, &two[..7]),
        update_body(&[], &mandatory, &many),
        update_body(&[], &with(reach, &mandatory), &[]),
        update_body(&[], &with(reach, &internal), &[]),
        update_body(&[], &with(extended, &internal), &[]),
        update_body(&[], &from_hex(unreach), &[]),
        // Without identifiers where there ought to be some.
        update_body(&[], &mandatory, &[24, 10, 244, 1]),
    ]
    .map(|body| frame(2, &body))
    .into()
}

/// OPENs: the captured ones, and one of each capability.
pub fn opens() -> Vec<Vec<u8>> {
    let fixed = from_hex("04 fde8 005a c0a80101");
    let one = |capability: &[u8]| frame(1, &crate::mutate::open_body(&fixed, capability));
    let all: Vec<u8> = capabilities().concat();
    let made = capabilities().into_iter().map(|capability| one(&capability)).collect::<Vec<_>>();
    let long = one(&[&all[..], &[200, 255], &[7; 255]].concat());
    golden_of(1).into_iter().chain(made).chain([one(&all), long, one(&[])]).collect()
}

/// Values of a capabilities parameter.
pub fn capabilities() -> Vec<Vec<u8>> {
    let captured = golden_of(1).into_iter().map(|open| capabilities_of(&open[19..]));
    CAPABILITIES.into_iter().map(from_hex).chain(captured).collect()
}

/// Path attributes fields.
pub fn attributes() -> Vec<Vec<u8>> {
    let captured = golden_of(2).into_iter().filter_map(|update| Some(fields(&update[19..])?[1].to_vec()));
    ATTRIBUTES.into_iter().chain(UNKNOWN).map(from_hex).chain(captured).collect()
}

/// Lists of prefixes.
pub fn prefixes() -> Vec<Vec<u8>> {
    [
        "",
        "00",
        "18 0af401",
        "20 0a000001 09 0a80",
        "30 fd0002440001",
        "80 fd000000000000000000000000000001",
        "00000001 00",
        "00000001 18 0af401 00000002 18 0af401",
        "ffffffff 30 fd0002440001 00000000 80 fd000000000000000000000000000001",
    ]
    .into_iter()
    .map(from_hex)
    .collect()
}

/// NOTIFICATIONs, with and without a text.
pub fn notifications() -> Vec<Vec<u8>> {
    [
        "0602 0568656c6c6f",
        "0604 ff68656c6c6f",
        "0302",
        "0601 0001 01 00000064",
        "0609 0602",
        "0303 01",
        "ffff",
    ]
    .into_iter()
    .map(|body| frame(3, &from_hex(body)))
    .collect()
}

/// ROUTE-REFRESHes: a request, both marks, an outbound filter.
pub fn refreshes() -> Vec<Vec<u8>> {
    ["00010001", "00020101", "00020201", "0001ff01", "00010001 01 40 0007 00 00000001 08 20 0a", ""]
        .into_iter()
        .map(|body| frame(5, &from_hex(body)))
        .collect()
}

/// Any message.
pub fn messages() -> Vec<Vec<u8>> {
    [updates(), opens(), notifications(), refreshes(), vec![frame(4, &[])]].concat()
}
