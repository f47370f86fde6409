//! Octets from other speakers that pass on what they have learned: OpenBGPD 7.7, BIRD 2.0.12, FRR 8.4.4
//! and GoBGP 3.10, each of AS 64512 between a feeder of AS 4200000000 and a collector of AS 65000.
//!
//! The feeder announced one path with every kind of community, an aggregator and a MED; one with an
//! AS_PATH of 300 AS numbers in two segments; one with an attribute that nobody knows; one with 80
//! communities; and two IPv6 prefixes. All this was captured as the collector got it.
//!
//! What we have read, we write down as the same octets, up to what is a matter of taste: the order of
//! attributes and of communities, and a length in two octets where one would do.

use routelet::bgp::{Capability, Codec, Message, Open, PathAttributes, Segment, Update, header};
use routelet::prefix::Family;

use crate::golden::from_hex;

/// What each speaker sent, and whether with four-octet AS numbers.
pub const CAPTURES: [(&str, bool, &str); 5] = [
    ("OpenBGPD", true, include_str!("golden/openbgpd-four-octet.hex")),
    ("OpenBGPD", false, include_str!("golden/openbgpd-two-octet.hex")),
    ("BIRD", true, include_str!("golden/bird-passed-on.hex")),
    ("FRR", true, include_str!("golden/frr-passed-on.hex")),
    ("GoBGP", true, include_str!("golden/gobgp-passed-on.hex")),
];

/// The same with several paths for each prefix (RFC 7911) and with IPv6 next hops for IPv4 (RFC 8950),
/// which the session of those captures had agreed on.
const EXTENSIONS: [&str; 7] = [
    include_str!("golden/openbgpd-add-path.hex"),
    include_str!("golden/bird-add-path.hex"),
    include_str!("golden/frr-add-path.hex"),
    include_str!("golden/gobgp-add-path.hex"),
    include_str!("golden/bird-extended-next-hop.hex"),
    include_str!("golden/frr-extended-next-hop.hex"),
    include_str!("golden/gobgp-extended-next-hop.hex"),
];

fn codec(four_octet_as: bool) -> Codec {
    Codec { four_octet_as, external: true, families: Family::ALL.to_vec(), ..Codec::initial() }
}

fn update(codec: &Codec, octets: &[u8]) -> Update {
    match codec.decode(octets) {
        Ok(Message::Update(update)) => update,
        other => panic!("{other:?}"),
    }
}

/// The UPDATEs of a capture.
fn updates(hex: &str) -> impl Iterator<Item = Vec<u8>> {
    hex.lines().map(from_hex).filter(|octets| octets[18] == 2)
}

#[test]
fn what_was_read_is_written_as_it_was() {
    for (speaker, four_octet_as, hex) in CAPTURES {
        let codec = codec(four_octet_as);
        let mut announcements = 0;
        for octets in updates(hex) {
            let update = update(&codec, &octets);
            if has_loopback_next_hop(&update) {
                continue;
            }
            assert!(update.faults.is_empty() && update.withdrawn.is_empty(), "{speaker}: {update:?}");
            let mut written = vec![];
            match (&update.announced[..], update.end_of_rib) {
                ([one], None) => {
                    announcements += 1;
                    assert_eq!(codec.encode_announcements(&one.attributes, &one.prefixes, &mut written), 1);
                }
                ([], Some(family)) => codec.encode_end_of_rib(family, &mut written),
                other => panic!("{speaker}: {other:?}"),
            }
            assert_eq!(canonical(&written), canonical(&octets), "{speaker}");
        }
        assert!(announcements >= 4, "{speaker}: {announcements} announcements");
    }
}

const LOOPBACK: [&str; 3] = ["fd00:244:9::/48", "fd00:244:1::/48", "fd00:244:2::1/128"];

/// OpenBGPD announces IPv6 prefixes through `::1` where the session runs over IPv4. That is
/// no address of a peer, so they are treated as withdrawn.
fn has_loopback_next_hop(update: &Update) -> bool {
    matches!(&update.faults[..], [fault] if fault.what == "MP_REACH_NLRI: ::1 is no next hop")
}

#[test]
fn a_loopback_next_hop_is_treated_as_withdrawn() {
    for (speaker, four_octet_as, hex) in CAPTURES {
        let all = updates(hex).map(|octets| update(&codec(four_octet_as), &octets));
        let withdrawn: Vec<String> =
            all.filter(has_loopback_next_hop).flat_map(|u| u.withdrawn).map(|p| p.to_string()).collect();
        let expected: &[&str] = if speaker == "OpenBGPD" { &LOOPBACK } else { &[] };
        assert_eq!(withdrawn, expected, "{speaker}");
    }
}

/// An UPDATE with its attributes in the order of their codes, each with the shortest length, and lists
/// whose order means nothing sorted.
fn canonical(octets: &[u8]) -> Vec<Vec<u8>> {
    let field = |at: usize| usize::from(u16::from_be_bytes([octets[at], octets[at + 1]]));
    let withdrawn = field(19);
    let start = 21 + withdrawn + 2;
    let end = start + field(start - 2);
    let mut attributes = vec![];
    let mut rest = &octets[start..end];
    while let [flags, code, tail @ ..] = rest {
        let (length, value) = match flags & 0x10 {
            0 => (usize::from(tail[0]), &tail[1..]),
            _ => (usize::from(u16::from_be_bytes([tail[0], tail[1]])), &tail[2..]),
        };
        let (value, after) = value.split_at(length);
        attributes.push(attribute(flags & 0xe0, *code, value));
        rest = after;
    }
    attributes.sort();
    [vec![octets[21..21 + withdrawn].to_vec()], attributes, vec![octets[end..].to_vec()]].concat()
}

fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let unit = match code {
        8 => 4,
        16 => 8,
        32 => 12,
        _ => value.len().max(1),
    };
    // AS4_PATH and AS4_AGGREGATOR are made anew by each speaker, which need not set Partial as OpenBGPD
    // does.
    let flags = if matches!(code, 17 | 18) { flags & 0xc0 } else { flags };
    let mut items: Vec<&[u8]> = value.chunks(unit).collect();
    items.sort();
    [&[code, flags], &items.concat()[..]].concat()
}

#[test]
fn each_speaker_tells_what_the_feeder_announced() {
    for (speaker, four_octet_as, hex) in CAPTURES {
        let codec = codec(four_octet_as);
        let announced: Vec<(String, PathAttributes)> = updates(hex)
            .flat_map(|octets| update(&codec, &octets).announced)
            .flat_map(|a| {
                a.prefixes.into_iter().map(move |prefix| (prefix.to_string(), a.attributes.clone()))
            })
            .collect();
        let of = |prefix: &str| {
            let found = announced.iter().find(|(announced, _)| announced == prefix);
            &found.unwrap_or_else(|| panic!("{speaker}: no {prefix} in {announced:?}")).1
        };
        let rich = ["10.244.1.0/24", "10.244.2.128/25", "fd00:244:1::/48", "fd00:244:2::1/128"];
        for prefix in rich.into_iter().filter(|prefix| speaker != "OpenBGPD" || !LOOPBACK.contains(prefix)) {
            let path = of(prefix);
            assert_eq!(path.as_path.to_string(), "64512 4200000000 65010", "{speaker} {prefix}");
            assert_eq!(path.communities.len(), 3, "{speaker} {prefix}");
            assert_eq!(path.rare.large_communities.len(), 2, "{speaker} {prefix}");
            assert!(
                path.rare.extended_communities.contains(&[0, 2, 0xfc, 0, 0, 0, 0, 7]),
                "{speaker} {prefix}"
            );
            assert_eq!(path.rare.aggregator.map(|a| a.asn), Some(4_200_000_001), "{speaker} {prefix}");
            assert!(path.rare.atomic_aggregate, "{speaker} {prefix}");
        }
        assert_eq!(of("10.244.3.0/24").as_path.hops(), 301, "{speaker}");
        let unread = &of("10.244.4.1/32").rare.unknown[..];
        assert!(matches!(unread, [one] if one.code == 99 && one.value == b"unread"), "{speaker}: {unread:?}");
        assert_eq!(of("10.244.5.0/24").communities.len(), 80, "{speaker}");
    }
}

#[test]
fn opens_are_written_as_they_were() {
    let all = CAPTURES.iter().map(|(.., hex)| *hex).chain(EXTENSIONS);
    for octets in all.filter_map(|hex| hex.lines().next()).map(from_hex) {
        let Ok(Message::Open(open)) = Codec::initial().decode(&octets) else { panic!("{octets:?}") };
        let Ok(Message::Open(again)) = Codec::initial().decode(&Codec::initial().encode_open(&open)) else {
            panic!("{open:?}");
        };
        assert_eq!(again, open);
        let one = |capability: &Capability| {
            let alone = Open { capabilities: vec![capability.clone()], ..open.clone() };
            Codec::initial().encode_open(&alone)[31..].to_vec()
        };
        for capability in open.capabilities.iter().map(one) {
            assert!(octets.windows(capability.len()).any(|part| part == capability), "{capability:?}");
        }
    }
}

/// Where an extension was not agreed on, its octets do no harm, and it is said what they are.
#[test]
fn what_was_not_agreed_on_is_taken_in_good_order() {
    for hex in EXTENSIONS {
        for octets in updates(hex) {
            assert_eq!(header::message_length(&octets), Ok(Some(octets.len())));
            match codec(true).decode(&octets) {
                Ok(Message::Update(update)) => {
                    let mut segments = update.announced.iter().flat_map(|a| a.attributes.as_path.segments());
                    assert!(segments.all(|s| matches!(s, Segment::Sequence(_))));
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => assert_eq!(error.notification.code, 3, "{error}"),
            }
        }
    }
}
