//! Octets from an enemy: nothing panics, nothing loops, and no prefix is lost in silence.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use routelet::bgp::{Capability, Codec, Message, Notification, Open};
use routelet::prefix::{Family, Prefix};

use crate::strategies::{attributes, family, prefix};
use crate::{decode_stream, internal};

fn codec() -> impl Strategy<Value = Codec> {
    (any::<bool>(), any::<bool>(), prop::sample::subsequence(Family::ALL.to_vec(), 0..=2)).prop_map(
        |(four_octet_as, external, families)| Codec { four_octet_as, external, families, ..Codec::initial() },
    )
}

/// A message with a sound header and anything behind it.
fn framed() -> impl Strategy<Value = Vec<u8>> {
    (1..=5_u8, vec(any::<u8>(), 0..200)).prop_map(|(kind, body)| frame(kind, &body))
}

/// An UPDATE whose fields have the right lengths, with attributes that are likely to be known.
fn plausible_update() -> impl Strategy<Value = Vec<u8>> {
    let attribute = (any::<u8>(), 0..40_u8, vec(any::<u8>(), 0..24));
    (vec(0..40_u8, 0..20), vec(attribute, 0..8), vec(0..40_u8, 0..20)).prop_map(
        |(withdrawn, attributes, nlri)| {
            let attributes = attributes.into_iter().flat_map(|(flags, code, value)| {
                [vec![flags & 0xef, code, value.len() as u8], value].concat()
            });
            update(&withdrawn, &attributes.collect::<Vec<u8>>(), &nlri)
        },
    )
}

/// One sound message of any type.
pub fn sound() -> impl Strategy<Value = Vec<u8>> {
    let announcement = (any::<bool>(), family()).prop_flat_map(|(four_octet_as, family)| {
        (attributes(family), vec(prefix(family), 1..40)).prop_map(move |(attributes, prefixes)| {
            let mut out = vec![];
            internal(four_octet_as).encode_announcements(&attributes, &prefixes, &mut out);
            out
        })
    });
    let withdrawal = family().prop_flat_map(|family| vec(prefix(family), 1..40)).prop_map(|prefixes| {
        let mut out = vec![];
        internal(true).encode_withdrawals(&prefixes, &mut out);
        out
    });
    let open = vec((0..80_u8, vec(any::<u8>(), 0..12)), 0..8).prop_map(|capabilities| {
        let capabilities =
            capabilities.into_iter().map(|(code, data)| Capability::Unknown { code, data }).collect();
        internal(true).encode_open(&Open {
            asn: 64512,
            hold_time: 90,
            router_id: "192.168.1.11".parse().unwrap(),
            capabilities,
        })
    });
    let notification = (any::<u8>(), 0..10_u8, vec(any::<u8>(), 0..40)).prop_map(|(code, subcode, data)| {
        internal(true).encode_notification(&Notification { code, subcode, data })
    });
    prop_oneof![4 => announcement, 1 => withdrawal, 2 => open, 1 => notification]
}

/// Sound messages with octets behind the header changed, cut out or put in, their length corrected.
pub fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), any::<u8>(), 0..4_u8);
    (sound(), vec(change, 1..8)).prop_map(|(message, changes)| {
        let Some((head, body)) = message.split_at_checked(19) else {
            return vec![];
        };
        let mut body = body.to_vec();
        for (index, octet, action) in changes {
            let at = index.index(body.len() + 1);
            match action {
                0 if at < body.len() => drop(body.remove(at)),
                1 => body.insert(at, octet),
                _ => body.iter_mut().skip(at).take(1).for_each(|o| *o = octet),
            }
        }
        frame(head[18], &body)
    })
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (19 + body.len()) as u16;
    [&[0xff; 16], &length.to_be_bytes()[..], &[kind], body].concat()
}

fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = |field: &[u8]| (field.len() as u16).to_be_bytes();
    frame(2, &[&length(withdrawn), withdrawn, &length(attributes), attributes, nlri].concat())
}

/// Flags that are mostly optional: what calls itself well-known and is not resets the session, and
/// then there is nothing to lose.
fn flags() -> impl Strategy<Value = u8> {
    prop_oneof![5 => Just(0xc0), 3 => Just(0x80), 1 => Just(0x40), 1 => any::<u8>()]
}

/// Every prefix that the decoder accounts for; `None` when it resets the session.
fn accounted_for(codec: &Codec, message: &[u8]) -> Option<BTreeSet<Prefix>> {
    let Message::Update(update) = codec.decode(message).ok()? else {
        return None;
    };
    let announced = update.announced.into_iter().flat_map(|announcement| announcement.prefixes);
    Some(announced.chain(update.withdrawn).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn arbitrary_octets(codec in codec(), octets in vec(any::<u8>(), 0..200)) {
        let _ = decode_stream(&codec, &octets);
        let _ = codec.decode(&octets);
    }

    #[test]
    fn arbitrary_bodies(codec in codec(), messages in vec(framed(), 1..4)) {
        let _ = decode_stream(&codec, &messages.concat());
    }

    #[test]
    fn arbitrary_attributes(codec in codec(), message in plausible_update()) {
        let _ = decode_stream(&codec, &message);
    }

    #[test]
    fn mutations_of_sound_messages(codec in codec(), message in mutated()) {
        // What survives is said in words somewhere; that must not panic either.
        if let Err(error) = decode_stream(&codec, &message) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

/// Sound prefixes in both places they can stand in, attributes of any kind, and then perhaps
/// something that is none.
fn damaged() -> impl Strategy<Value = (Vec<Prefix>, Vec<u8>)> {
    (
        vec(prefix(Family::Ipv4Unicast), 1..10),
        vec(prefix(Family::Ipv6Unicast), 1..10),
        vec((flags(), 0..40_u8, vec(any::<u8>(), 0..24)), 0..6),
        prop_oneof![Just(vec![]), vec(any::<u8>(), 0..6)],
    )
        .prop_map(|(ipv4, ipv6, attributes, tail)| {
            let reach = nlri(&ipv6);
            let mut block = vec![0x90, 14];
            block.extend((reach.len() as u16 + 21).to_be_bytes());
            block.extend([0, 2, 1, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
            block.extend(reach);
            for (flags, code, value) in attributes {
                block.extend([flags & 0xef, code, value.len() as u8]);
                block.extend(value);
            }
            block.extend(tail);
            let message = update(&[], &block, &nlri(&ipv4));
            ([ipv4, ipv6].concat(), message)
        })
}

#[test]
fn a_fault_loses_no_prefix() {
    let survived = Cell::new(0);
    let strategy = (any::<bool>(), any::<bool>(), damaged());
    TestRunner::new(ProptestConfig::with_cases(10_000))
        .run(&strategy, |(four_octet_as, external, (prefixes, message))| {
            let codec = Codec { external, ..internal(four_octet_as) };
            if let Some(found) = accounted_for(&codec, &message) {
                survived.set(survived.get() + 1);
                prop_assert!(prefixes.iter().all(|prefix| found.contains(prefix)));
            }
            Ok(())
        })
        .unwrap();
    // A session reset loses nothing either, but were it the rule, this test would say little.
    assert!(survived.get() > 5_000, "only {} messages were accepted", survived.get());
}

fn nlri(prefixes: &[Prefix]) -> Vec<u8> {
    let mut octets = vec![];
    for prefix in prefixes {
        octets.push(prefix.length());
        let size = usize::from(prefix.length()).div_ceil(8);
        match prefix {
            Prefix::V4(net) => octets.extend(&net.address().octets()[..size]),
            Prefix::V6(net) => octets.extend(&net.address().octets()[..size]),
        }
    }
    octets
}
