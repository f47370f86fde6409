//! The table: what a peer sends in which state, and the reaction that is required.

use crate::peer::{Peer, message, open, update};

/// How far the session has come, from the daemon's point of view.
#[derive(Debug, Clone, Copy)]
pub enum Stage {
    OpenSent,
    OpenConfirm,
    Established,
}

/// What is required.
#[derive(Debug, PartialEq)]
pub enum Expect {
    /// NOTIFICATION with this code and subcode.
    Reset(u8, u8),
    /// The connection ends without one.
    Closed,
    /// The session is kept and the prefix, announced before, withdrawn from the observer.
    Withdrawn,
    /// The session is kept and nothing announced.
    Ignored,
    /// The prefix reaches the observer.
    Announced,
    /// It does with these octets among its attributes.
    Carries(&'static [u8]),
    /// It does without an attribute of this code.
    Lacks(u8),
}

pub struct Row {
    pub what: &'static str,
    pub stage: Stage,
    pub octets: Vec<u8>,
    pub expect: Expect,
}

use Expect::{Announced, Carries, Closed, Ignored, Lacks, Reset, Withdrawn};
use Stage::{Established, OpenConfirm, OpenSent};

/// All rows, for the peer of this address and number.
pub fn all(address: [u8; 4], number: u8) -> Vec<Row> {
    let mut rows = attributes(address, number);
    rows.extend(messages(address, number));
    rows.extend(opens(address));
    rows
}

fn attributes(address: [u8; 4], number: u8) -> Vec<Row> {
    let next_hop = [&[0x40, 3, 4][..], &address].concat();
    let nlri = [24, 10, 100, number];
    let table: Vec<(&'static str, &'static [u8], Expect)> = vec![
        ("ORIGIN of no octets", &[0x40, 1, 0], Withdrawn),
        ("ORIGIN of two", &[0x40, 1, 2, 0, 0], Withdrawn),
        ("ORIGIN undefined", &[0x40, 1, 1, 3], Withdrawn),
        ("ORIGIN optional", &[0xc0, 1, 1, 0], Withdrawn),
        ("ORIGIN not transitive", &[0, 1, 1, 0], Withdrawn),
        ("ORIGIN with unused bits", &[0x4f, 1, 1, 0], Announced),
        ("ORIGIN with an extended length", &[0x50, 1, 0, 1, 0], Announced),
        ("AS_PATH with a stray octet", &[0x40, 2, 1, 2], Withdrawn),
        ("AS_PATH with an empty segment", &[0x40, 2, 2, 2, 0], Withdrawn),
        ("AS_PATH segment past the end", &[0x40, 2, 6, 2, 2, 0, 0, 0, 1], Withdrawn),
        ("AS_PATH of an unknown segment", &[0x40, 2, 6, 5, 1, 0, 0, 0, 1], Withdrawn),
        ("AS_PATH with AS 0", &[0x40, 2, 6, 2, 1, 0, 0, 0, 0], Withdrawn),
        ("AS_PATH of a confederation", &[0x40, 2, 6, 3, 1, 0, 0, 0, 1], Withdrawn),
        ("AS_PATH with our own AS", &[0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xe8, 0, 0, 0xfc, 0], Withdrawn),
        ("NEXT_HOP of no octets", &[0x40, 3, 0], Withdrawn),
        ("NEXT_HOP of five", &[0x40, 3, 5, 1, 1, 1, 1, 1], Withdrawn),
        ("NEXT_HOP 0.0.0.0", &[0x40, 3, 4, 0, 0, 0, 0], Withdrawn),
        ("NEXT_HOP multicast", &[0x40, 3, 4, 224, 0, 0, 5], Withdrawn),
        ("NEXT_HOP broadcast", &[0x40, 3, 4, 255, 255, 255, 255], Withdrawn),
        ("NEXT_HOP our own", &[0x40, 3, 4, 172, 20, 0, 1], Withdrawn),
        ("MED of three octets", &[0x80, 4, 3, 0, 0, 0], Withdrawn),
        ("MED of no octets", &[0x80, 4, 0], Withdrawn),
        ("MED transitive", &[0xc0, 4, 4, 0, 0, 0, 1], Withdrawn),
        ("MED is not passed on between ASes", &[0x80, 4, 4, 0, 0, 0, 1], Lacks(4)),
        ("LOCAL_PREF from outside", &[0x40, 5, 4, 0, 0, 0, 1], Lacks(5)),
        ("LOCAL_PREF malformed from outside", &[0x40, 5, 0], Lacks(5)),
        ("ATOMIC_AGGREGATE", &[0x40, 6, 0], Carries(&[0x40, 6, 0])),
        ("ATOMIC_AGGREGATE with a value", &[0x40, 6, 1, 0], Lacks(6)),
        ("ATOMIC_AGGREGATE optional", &[0xc0, 6, 0], Lacks(6)),
        ("AGGREGATOR of six octets", &[0xc0, 7, 6, 0, 1, 10, 0, 0, 1], Lacks(7)),
        ("AGGREGATOR of none", &[0xc0, 7, 0], Lacks(7)),
        ("AGGREGATOR of AS 0", &[0xc0, 7, 8, 0, 0, 0, 0, 10, 0, 0, 1], Lacks(7)),
        ("AGGREGATOR well-known", &[0x40, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1], Lacks(7)),
        ("COMMUNITIES of no octets", &[0xc0, 8, 0], Withdrawn),
        ("COMMUNITIES of five", &[0xc0, 8, 5, 0, 0, 0, 0, 0], Withdrawn),
        ("COMMUNITIES not transitive", &[0x80, 8, 4, 0, 0, 0, 1], Withdrawn),
        ("COMMUNITIES", &[0xc0, 8, 4, 0, 1, 0, 2], Carries(&[8, 4, 0, 1, 0, 2])),
        ("COMMUNITIES twice", &[0xc0, 8, 4, 0, 1, 0, 2, 0xc0, 8, 1, 0], Carries(&[8, 4, 0, 1, 0, 2])),
        ("NO_EXPORT", &[0xc0, 8, 4, 0xff, 0xff, 0xff, 1], Ignored),
        ("NO_ADVERTISE", &[0xc0, 8, 4, 0xff, 0xff, 0xff, 2], Ignored),
        ("ORIGINATOR_ID from outside", &[0x80, 9, 4, 1, 1, 1, 1], Lacks(9)),
        ("ORIGINATOR_ID of no octets", &[0x80, 9, 0], Lacks(9)),
        ("CLUSTER_LIST from outside", &[0x80, 10, 4, 1, 1, 1, 1], Lacks(10)),
        ("CLUSTER_LIST of three octets", &[0x80, 10, 3, 0, 0, 0], Lacks(10)),
        ("extended communities of four octets", &[0xc0, 16, 4, 0, 0, 0, 0], Withdrawn),
        ("extended communities of none", &[0xc0, 16, 0], Withdrawn),
        ("AS4_PATH between four-octet speakers", &[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70], Lacks(17)),
        ("AS4_PATH of no octets", &[0xc0, 17, 0], Lacks(17)),
        ("AS4_AGGREGATOR likewise", &[0xc0, 18, 8, 0, 0, 0, 1, 10, 0, 0, 1], Lacks(18)),
        ("large communities of no octets", &[0xc0, 32, 0], Withdrawn),
        ("large communities of eleven", &[0xc0, 32, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Withdrawn),
        ("ONLY_TO_CUSTOMER of two octets", &[0xc0, 35, 2, 0, 1], Withdrawn),
        ("unknown transitive", &[0xc0, 99, 2, 7, 8], Carries(&[0xe0, 99, 2, 7, 8])),
        ("unknown transitive, partial", &[0xe0, 99, 2, 7, 8], Carries(&[0xe0, 99, 2, 7, 8])),
        ("unknown transitive of no octets", &[0xc0, 99, 0], Carries(&[0xe0, 99, 0])),
        ("unknown non-transitive", &[0x80, 99, 2, 7, 8], Lacks(99)),
        ("unknown well-known", &[0x40, 99, 2, 7, 8], Reset(3, 2)),
        ("two errors: the stronger counts", &[0xc0, 7, 0, 0xc0, 8, 0], Withdrawn),
        ("a bad one before a good one", &[0xc0, 7, 0, 0xc0, 8, 4, 0, 1, 0, 2], Carries(&[8, 4, 0, 1, 0, 2])),
        ("the last one cut off", &[0x40, 5, 4, 0, 0], Withdrawn),
        ("a stray octet at the end", &[0xc0, 8, 4, 0, 1, 0, 2, 0], Withdrawn),
        ("MP_REACH_NLRI of no octets", &[0x80, 14, 0], Reset(3, 9)),
        ("MP_UNREACH_NLRI of two", &[0x80, 15, 2, 0, 2], Reset(3, 9)),
    ];
    let row = |(what, attribute, expect): (&'static str, &'static [u8], Expect)| {
        let sound: [&[u8]; 3] = [&[0x40, 1, 1, 0], &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8], &next_hop];
        let mut list: Vec<&[u8]> = sound.into_iter().filter(|a| a[1] != attribute[1]).collect();
        list.push(attribute);
        Row { what, stage: Established, octets: update(&[], &list, &nlri), expect }
    };
    table.into_iter().map(row).collect()
}

fn messages(address: [u8; 4], number: u8) -> Vec<Row> {
    let raw =
        |marker: u8, length: u16, kind: u8| [&[marker; 16], &length.to_be_bytes()[..], &[kind]].concat();
    let nlri = [24, 10, 100, number];
    let table: Vec<(&'static str, Stage, Vec<u8>, Expect)> = vec![
        ("a marker of zeros", Established, raw(0, 19, 4), Reset(1, 1)),
        ("a length of 18", Established, raw(0xff, 18, 4), Reset(1, 2)),
        ("a length of 0", Established, raw(0xff, 0, 4), Reset(1, 2)),
        ("a length of 4097", Established, raw(0xff, 4097, 2), Reset(1, 2)),
        ("a length of 65535", OpenSent, raw(0xff, 65535, 1), Reset(1, 2)),
        ("an UPDATE too short", Established, raw(0xff, 22, 2), Reset(1, 2)),
        ("a NOTIFICATION too short", Established, raw(0xff, 20, 3), Reset(1, 2)),
        ("a KEEPALIVE with a body", Established, message(4, &[0]), Reset(1, 2)),
        ("an unknown type", Established, message(6, &[1]), Reset(1, 3)),
        ("type 0", Established, message(0, &[]), Reset(1, 3)),
        ("10,000 KEEPALIVEs", Established, message(4, &[]).repeat(10_000), Ignored),
        ("ROUTE-REFRESH of VPNv4", Established, message(5, &[0, 1, 0, 128]), Ignored),
        ("a second OPEN", Established, Peer::open(address), Reset(5, 3)),
        ("KEEPALIVE in OpenSent", OpenSent, message(4, &[]), Reset(5, 1)),
        ("UPDATE in OpenSent", OpenSent, update(&[], &[], &[]), Reset(5, 1)),
        ("ROUTE-REFRESH in OpenSent", OpenSent, message(5, &[0, 1, 0, 1]), Reset(5, 1)),
        ("UPDATE in OpenConfirm", OpenConfirm, update(&[], &[], &[]), Reset(5, 2)),
        ("ROUTE-REFRESH in OpenConfirm", OpenConfirm, message(5, &[0, 1, 0, 1]), Reset(5, 2)),
        ("NOTIFICATION without data", Established, message(3, &[6, 4]), Closed),
        ("NOTIFICATION of 4096 octets", Established, message(3, &[6; 4077]), Closed),
        ("NOTIFICATION in OpenSent", OpenSent, message(3, &[2, 1, 0, 4]), Closed),
        ("NOTIFICATION nobody knows", OpenConfirm, message(3, &[77, 88, 99]), Closed),
        ("withdrawn routes past the end", Established, message(2, &[0, 5, 0, 0]), Reset(3, 1)),
        ("attributes past the end", Established, message(2, &[0, 0, 0, 9, 0x40, 1, 1, 0]), Reset(3, 1)),
        ("a withdrawn prefix of 33 bits", Established, update(&[33, 1, 1, 1, 1, 1], &[], &[]), Reset(3, 10)),
        ("a prefix past the end", Established, update(&[], &[], &[24, 10]), Reset(3, 10)),
        ("a withdrawal", Established, update(&nlri, &[], &[]), Withdrawn),
        ("a prefix without attributes", Established, update(&[], &[], &nlri), Withdrawn),
        ("only unknown attributes", Established, update(&[], &[&[0xc0, 99, 0]], &nlri), Withdrawn),
        ("End-of-RIB", Established, update(&[], &[], &[]), Ignored),
        (
            "MP_UNREACH of IPv4",
            Established,
            update(&[], &[&[0x80, 15, 7, 0, 1, 1, 24, 10, 100, number]], &[]),
            Withdrawn,
        ),
    ];
    table.into_iter().map(|(what, stage, octets, expect)| Row { what, stage, octets, expect }).collect()
}

fn opens(address: [u8; 4]) -> Vec<Row> {
    let front = |body: &[u8]| message(1, body);
    let hold_of_3 = [open(address, 3, &[8, 2, 6, 65, 4, 0, 0, 0xfd, 0xe8]), message(4, &[])].concat();
    let table: Vec<(&'static str, Vec<u8>, Expect)> = vec![
        ("version 3", front(&[3, 0xfd, 0xe8, 0, 90, 1, 1, 1, 1, 0]), Reset(2, 1)),
        ("version 5", front(&[5, 0xfd, 0xe8, 0, 90, 1, 1, 1, 1, 0]), Reset(2, 1)),
        ("AS 0", front(&[4, 0, 0, 0, 90, 1, 1, 1, 1, 0]), Reset(2, 2)),
        ("another AS", front(&[4, 0xfd, 0xe9, 0, 90, 1, 1, 1, 1, 0]), Reset(2, 2)),
        ("four-octet AS 0", open(address, 90, &[8, 2, 6, 65, 4, 0, 0, 0, 0]), Reset(2, 2)),
        ("hold time 1", open(address, 1, &[0]), Reset(2, 6)),
        ("hold time 2", open(address, 2, &[0]), Reset(2, 6)),
        ("identifier 0.0.0.0", open([0; 4], 90, &[0]), Reset(2, 3)),
        ("the authentication parameter of old", open(address, 90, &[3, 1, 1, 0]), Reset(2, 4)),
        ("parameters past the end", open(address, 90, &[4, 2, 0]), Reset(2, 0)),
        ("a parameter past the end", open(address, 90, &[3, 2, 200, 1]), Reset(2, 0)),
        ("an extended parameter past the end", open(address, 90, &[255, 255, 0, 4, 2, 1, 0, 2]), Reset(2, 0)),
        ("a capability past the end", open(address, 90, &[4, 2, 2, 73, 9]), Reset(2, 0)),
        ("a four-octet AS of no octets", open(address, 90, &[4, 2, 2, 65, 0]), Reset(2, 0)),
        ("silence with a hold time of 3 s", hold_of_3, Reset(4, 0)),
    ];
    table.into_iter().map(|(what, octets, expect)| Row { what, stage: OpenSent, octets, expect }).collect()
}
