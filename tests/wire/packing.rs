//! How messages are filled: to the brim, and never past it.

use std::net::Ipv4Addr;

use routelet::bgp::attribute::UnknownAttribute;
use routelet::bgp::{AsPath, Codec, PathAttributes, RareAttributes, header};
use routelet::prefix::{Family, Prefix};

use crate::{announced, internal, updates};

/// The lengths of the messages in a stream.
fn lengths(mut stream: &[u8]) -> Vec<usize> {
    let mut lengths = vec![];
    while let Some(length) = header::message_length(stream).unwrap() {
        lengths.push(length);
        stream = &stream[length..];
    }
    assert!(stream.is_empty());
    lengths
}

fn originated(family: Family) -> PathAttributes {
    PathAttributes::originated(match family {
        Family::Ipv4Unicast => "192.168.1.11".parse().unwrap(),
        Family::Ipv6Unicast => "fd00::11".parse().unwrap(),
    })
}

fn hosts(family: Family, count: u32) -> Vec<Prefix> {
    (0..count)
        .map(|host| {
            Prefix::host(match family {
                Family::Ipv4Unicast => Ipv4Addr::from(0x0a00_0000 + host).into(),
                Family::Ipv6Unicast => std::net::Ipv6Addr::from((0xfd00 << 112) + u128::from(host)).into(),
            })
        })
        .collect()
}

/// Attributes of which one takes exactly `size` octets more.
fn padded(family: Family, size: usize) -> PathAttributes {
    let unknown = UnknownAttribute { flags: 0xe0, code: 200, value: vec![0; size - 4] };
    let rare = RareAttributes { unknown: [unknown].into(), ..RareAttributes::NONE };
    PathAttributes { rare: rare.into(), ..originated(family) }
}

#[test]
fn messages_are_full() {
    for (family, prefix_size) in [(Family::Ipv4Unicast, 5), (Family::Ipv6Unicast, 17)] {
        for codec in [internal(true), internal(false)] {
            let prefixes = hosts(family, 5000);
            let (mut announcements, mut withdrawals) = (vec![], vec![]);
            codec.encode_announcements(&originated(family), &prefixes, &mut announcements);
            codec.encode_withdrawals(&prefixes, &mut withdrawals);
            for stream in [announcements, withdrawals] {
                let lengths = lengths(&stream);
                let full = &lengths[..lengths.len() - 1];
                assert!(full.iter().all(|l| *l <= 4096 && l + prefix_size > 4096), "{lengths:?}");
            }
        }
    }
}

#[test]
fn attributes_leave_room_for_a_prefix_or_nothing_is_written() {
    // What a message with one host prefix takes beside the padding.
    let fixed = |family| {
        let mut out = vec![];
        internal(true).encode_announcements(&originated(family), &hosts(family, 1), &mut out);
        out.len()
    };
    for family in Family::ALL {
        let room = 4096 - fixed(family);
        let prefixes = hosts(family, 3);
        let mut out = vec![0xee];
        let count = internal(true).encode_announcements(&padded(family, room), &prefixes, &mut out);
        assert_eq!(count, 3, "one prefix to a message");
        assert_eq!(lengths(&out[1..]), [4096; 3]);
        assert_eq!(announced(&updates(&internal(true), &out[1..])), prefixes);

        let mut out = vec![0xee];
        let count = internal(true).encode_announcements(&padded(family, room + 1), &prefixes, &mut out);
        assert_eq!((count, &out[..]), (0, &[0xee][..]));
    }
}

#[test]
fn endless_paths_are_refused_in_peace() {
    for asns in [1100, 20_000, 70_000] {
        let mut out = vec![];
        let attributes = PathAttributes {
            as_path: AsPath::sequence(vec![70000; asns]),
            ..originated(Family::Ipv4Unicast)
        };
        for codec in [internal(true), internal(false)] {
            assert_eq!(codec.encode_announcements(&attributes, &hosts(Family::Ipv4Unicast, 1), &mut out), 0);
        }
        assert!(out.is_empty());
    }
}

#[test]
fn long_paths_are_split_into_segments_and_arrive_whole() {
    let asns: Vec<u32> = (1..=900).collect();
    let attributes =
        PathAttributes { as_path: AsPath::sequence(asns.clone()), ..originated(Family::Ipv6Unicast) };
    for codec in [internal(true), internal(false)] {
        let mut out = vec![];
        assert_eq!(codec.encode_announcements(&attributes, &hosts(Family::Ipv6Unicast, 1), &mut out), 1);
        let updates = updates(&codec, &out);
        let path = &updates[0].announced[0].attributes.as_path;
        assert_eq!(path.asns().collect::<Vec<_>>(), asns);
        assert_eq!(path.segments().count(), 4);
    }
}

#[test]
fn a_next_hop_of_the_other_family_writes_nothing() {
    for (family, other) in
        [(Family::Ipv4Unicast, Family::Ipv6Unicast), (Family::Ipv6Unicast, Family::Ipv4Unicast)]
    {
        let mut out = vec![];
        assert_eq!(internal(true).encode_announcements(&originated(other), &hosts(family, 1), &mut out), 0);
        assert!(out.is_empty());
    }
}

#[test]
fn ipv4_with_an_ipv6_next_hop_stands_in_mp_reach_nlri() {
    let codec = Codec { extended_next_hop: true, ..internal(true) };
    let next_hop = "2001:db8::1".parse().unwrap();
    let attributes = PathAttributes {
        rare: RareAttributes {
            link_local_next_hop: Some("fe80::1".parse().unwrap()),
            ..RareAttributes::NONE
        }
        .into(),
        ..PathAttributes::originated(next_hop)
    };
    let mut out = vec![];
    let prefix: Prefix = "10.244.1.0/24".parse().unwrap();
    assert_eq!(codec.encode_announcements(&attributes, &[prefix], &mut out), 1);
    // RFC 8950 §3: AFI 1, SAFI 1, a next hop of 32 octets, the reserved octet, NLRI.
    let reach = [&[0x90, 14, 0, 41, 0, 1, 1, 32][..], &[0x20, 1, 0x0d, 0xb8]].concat();
    assert!(out[23..].starts_with(&reach), "{out:?}");
    assert!(out[23 + 8 + 32..].starts_with(&[0, 24, 10, 244, 1]), "{out:?}");
    let other = Family::Ipv4Unicast;
    assert_eq!(codec.encode_announcements(&originated(other), &hosts(Family::Ipv6Unicast, 1), &mut out), 0);
}

#[test]
fn nothing_to_say_is_no_message() {
    let mut out = vec![];
    assert_eq!(
        internal(true).encode_announcements::<Prefix>(&originated(Family::Ipv4Unicast), &[], &mut out),
        0
    );
    assert_eq!(internal(true).encode_withdrawals::<Prefix>(&[], &mut out), 0);
    assert!(out.is_empty());
}
