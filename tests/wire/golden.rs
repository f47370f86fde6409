//! Octets from other speakers: BIRD 2.0.12, FRR 8.4.4 and GoBGP 3.10, each of AS 64512, captured as
//! they set up a session and announced the same routes, once to a peer that speaks four-octet AS
//! numbers and once to one that does not.
//!
//! Both captures of a speaker must tell the same story, and our own way of writing it down must tell
//! it once more.

use std::net::Ipv4Addr;

use routelet::bgp::attribute::Aggregator;
use routelet::bgp::{
    AsPath, Capability, Codec, Community, LargeCommunity, Message, Open, PathAttributes, RareAttributes,
    Update,
};
use routelet::prefix::Family;

use crate::decode_stream;

const CAPTURES: [(&str, bool, &str); 6] = [
    ("BIRD", true, include_str!("golden/bird-four-octet.hex")),
    ("BIRD", false, include_str!("golden/bird-two-octet.hex")),
    ("FRR", true, include_str!("golden/frr-four-octet.hex")),
    ("FRR", false, include_str!("golden/frr-two-octet.hex")),
    ("GoBGP", true, include_str!("golden/gobgp-four-octet.hex")),
    ("GoBGP", false, include_str!("golden/gobgp-two-octet.hex")),
];

/// Every captured message.
pub fn octets() -> Vec<Vec<u8>> {
    let captures = CAPTURES.into_iter().chain(crate::passed_on::CAPTURES);
    let lines = captures.flat_map(|(_, _, hex)| hex.lines());
    lines.map(from_hex).collect()
}

pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// An external peer with both families.
fn external(four_octet_as: bool) -> Codec {
    Codec { four_octet_as, external: true, families: Family::ALL.to_vec(), ..Codec::initial() }
}

fn messages(codec: &Codec, hex: &str) -> Vec<Message> {
    decode_stream(codec, &from_hex(hex)).unwrap()
}

/// What each speaker was configured to announce: prefixes, attributes.
fn announced(speaker: &str) -> Vec<(Vec<&'static str>, PathAttributes)> {
    let prepended = match speaker {
        "FRR" => AsPath::sequence([64512, 4_200_000_000, 64512]),
        _ => AsPath::sequence([64512, 4_200_000_000]),
    };
    let no_export = Community(0xffff_ff01);
    let mut communities = vec![Community(65000 << 16 | 100)];
    communities.extend((speaker != "BIRD").then_some(no_export));
    let large = LargeCommunity { global_administrator: 64512, local_data_1: 1, local_data_2: 2 };
    let rare = RareAttributes {
        extended_communities: [[0, 2, 0xfc, 0, 0, 0, 0, 7]].into(),
        large_communities: [large].into(),
        ..RareAttributes::NONE
    };
    let ipv4 = PathAttributes {
        as_path: prepended,
        med: Some(50),
        communities: communities.into(),
        rare: rare.clone().into(),
        ..PathAttributes::originated("10.9.0.2".parse().unwrap())
    };
    let aggregator = |asn, router_id| Some(Aggregator { asn, router_id });
    let ipv6 = PathAttributes {
        as_path: AsPath::sequence([64512]),
        ..PathAttributes::originated("fd00:9::2".parse().unwrap())
    };
    match speaker {
        "BIRD" => {
            let link_local_next_hop = Some("fe80::446c:f2ff:feeb:c40c".parse().unwrap());
            let ipv6 = PathAttributes {
                rare: RareAttributes { link_local_next_hop, ..RareAttributes::NONE }.into(),
                ..ipv6
            };
            vec![(vec!["10.244.1.0/24", "10.244.2.0/24"], ipv4), (vec!["fd00:244:1::/48"], ipv6)]
        }
        "FRR" => {
            let aggregator = aggregator(64512, Ipv4Addr::new(10, 9, 0, 2));
            let rare = RareAttributes { atomic_aggregate: true, aggregator, ..rare };
            let aggregate = PathAttributes { rare: rare.into(), ..ipv4.clone() };
            vec![
                (vec!["10.200.0.0/16"], aggregate),
                (vec!["fd00:244:1::/48"], PathAttributes { med: Some(0), ..ipv6 }),
                (vec!["10.244.1.0/24", "10.244.2.0/24"], ipv4),
            ]
        }
        _ => {
            let aggregator = aggregator(4_200_000_001, Ipv4Addr::new(10, 9, 0, 9));
            let origin = routelet::bgp::Origin::Incomplete;
            vec![
                (
                    vec!["10.244.1.0/24"],
                    PathAttributes { origin, rare: RareAttributes { aggregator, ..rare }.into(), ..ipv4 },
                ),
                (vec!["fd00:244:1::/48"], PathAttributes { origin, ..ipv6 }),
            ]
        }
    }
}

#[test]
fn opens() {
    for (speaker, _, hex) in CAPTURES {
        let messages = messages(&Codec::initial(), hex.lines().next().unwrap());
        let [Message::Open(Open { asn, hold_time, router_id, capabilities })] = &messages[..] else {
            panic!("{speaker}: {messages:?}");
        };
        assert_eq!((*asn, *router_id), (64512, Ipv4Addr::new(10, 9, 0, 2)), "{speaker}");
        let hold = match speaker {
            "BIRD" => 240,
            "FRR" => 180,
            _ => 90,
        };
        assert_eq!(*hold_time, hold, "{speaker}");
        for expected in [
            Capability::Multiprotocol(Family::Ipv4Unicast),
            Capability::Multiprotocol(Family::Ipv6Unicast),
            Capability::RouteRefresh,
            Capability::FourOctetAs(64512),
        ] {
            assert!(capabilities.contains(&expected), "{speaker}: {expected:?}");
        }
    }
}

#[test]
fn updates_tell_what_was_configured() {
    for (speaker, four_octet_as, hex) in CAPTURES {
        let messages = messages(&external(four_octet_as), hex);
        assert_eq!(messages[1], Message::Keepalive);
        let mut found = vec![];
        for message in &messages[2..] {
            let Message::Update(Update { withdrawn, announced, end_of_rib, faults, .. }) = message else {
                panic!("{speaker}: {message:?}");
            };
            assert!(withdrawn.is_empty() && faults.is_empty(), "{speaker}: {message:?}");
            assert_eq!(announced.is_empty(), end_of_rib.is_some(), "{speaker}: {message:?}");
            for announcement in announced {
                let prefixes: Vec<String> = announcement.prefixes.iter().map(ToString::to_string).collect();
                found.push((prefixes, announcement.attributes.clone()));
            }
        }
        let expected: Vec<_> = announced(speaker)
            .into_iter()
            .map(|(prefixes, attributes)| (prefixes.iter().map(ToString::to_string).collect(), attributes))
            .collect();
        assert_eq!(found, expected, "{speaker}, four-octet AS {four_octet_as}");
    }
}

#[test]
fn bird_marks_the_end_of_each_family() {
    let messages = messages(&external(true), CAPTURES[0].2);
    let ends: Vec<Family> = messages
        .iter()
        .filter_map(|message| if let Message::Update(update) = message { update.end_of_rib } else { None })
        .collect();
    assert_eq!(ends, Family::ALL);
}

/// The octets BIRD wrote for IPv6 hold nothing that is a matter of taste: we write the same.
#[test]
fn we_write_what_bird_writes() {
    for (_, four_octet_as, hex) in &CAPTURES[..2] {
        let codec = external(*four_octet_as);
        for line in hex.lines().filter(|line| line.contains("900e002c")) {
            let Some(Message::Update(update)) = messages(&codec, line).pop() else { panic!() };
            let announcement = &update.announced[0];
            let mut out = vec![];
            codec.encode_announcements(&announcement.attributes, &announcement.prefixes, &mut out);
            let written: String = out.iter().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!(written, line);
        }
    }
}
