//! Targets: everything a peer's octets are decoded by.

use std::sync::LazyLock;

use routelet::bgp::capability::AddPath;
use routelet::bgp::update::Treatment;
use routelet::bgp::{Announcement, Codec, Message, MessageError, Notification, Segment, Update, header};
use routelet::prefix::Family;

use crate::engine::{Features, Target};
use crate::mutate::{self, frame, update_body};
use crate::seeds;

/// What a message of `longest` octets may cost: the decoded form of an octet takes some dozen times as
/// much (a prefix of length zero is one octet), and there is one codec after the other.
const MEMORY: usize = 16 << 20;
const LONGEST: usize = 20_000;

pub const HEADER: Target = Target {
    name: "header",
    seeds: seeds::messages,
    mutate: mutate::plain_input,
    run: header,
    executions: 10_000,
    longest: LONGEST,
    memory: MEMORY,
};
pub const OPEN: Target =
    Target { name: "open", seeds: seeds::opens, mutate: mutate::message_input, run: message, ..HEADER };
pub const UPDATE: Target =
    Target { name: "update", seeds: seeds::updates, run: message, executions: 2_500, ..OPEN };
pub const NOTIFICATION: Target =
    Target { name: "notification", seeds: seeds::notifications, executions: 6_000, ..OPEN };
pub const REFRESH: Target = Target { name: "refresh", seeds: seeds::refreshes, executions: 5_000, ..OPEN };
pub const MESSAGE: Target = Target { name: "message", seeds: seeds::messages, executions: 2_500, ..OPEN };
pub const CAPABILITIES: Target = Target {
    name: "capabilities",
    seeds: seeds::capabilities,
    mutate: mutate::capabilities_input,
    run: capabilities,
    executions: 5_000,
    ..OPEN
};
pub const ATTRIBUTES: Target = Target {
    name: "attributes",
    seeds: seeds::attributes,
    mutate: mutate::attributes_input,
    run: attributes,
    executions: 1_200,
    ..UPDATE
};
pub const NLRI: Target = Target {
    name: "nlri",
    seeds: seeds::prefixes,
    mutate: mutate::plain_input,
    run: nlri,
    executions: 800,
    ..UPDATE
};

/// Every codec that an OPEN exchange can lead to, as far as decoding differs.
static CODECS: LazyLock<Vec<Codec>> = LazyLock::new(|| {
    let families: [&[Family]; 3] = [&Family::ALL, &Family::ALL[..1], &Family::ALL[1..]];
    let mut codecs = vec![Codec::initial()];
    for bits in 0..8 {
        let [four_octet_as, external, extended] = [1, 2, 4].map(|bit| bits & bit != 0);
        codecs.extend(families.map(|families| Codec {
            four_octet_as,
            external,
            families: families.to_vec(),
            extended_messages: extended,
            enhanced_refresh: extended,
            ..Codec::initial()
        }));
    }
    // Path identifiers in either family, and IPv6 next hops for IPv4 prefixes.
    for bits in 0..16 {
        let [external, extended_next_hop, ipv4, ipv6] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        if !(extended_next_hop || ipv4 || ipv6) {
            continue;
        }
        codecs.push(Codec {
            // Each of both widths is seen with and without identifiers.
            four_octet_as: ipv4 || external,
            external,
            families: Family::ALL.to_vec(),
            extended_messages: ipv4 != ipv6,
            extended_next_hop,
            // What was read is written again, so that both directions have them.
            add_path: [ipv4, ipv6].map(|agreed| AddPath { receive: agreed, send: agreed }),
            ..Codec::initial()
        });
    }
    codecs
});

/// A stream that arrives octet by octet is cut as one that arrives at once.
fn header(stream: &[u8], features: &mut Features) {
    for most in [header::MAX_MESSAGE_LENGTH, header::MAX_EXTENDED_LENGTH] {
        let mut at = 0;
        let error = loop {
            match header::message_length_within(most, &stream[at..]) {
                Ok(Some(length)) => {
                    assert!((19..=most).contains(&length) && at + length <= stream.len());
                    let short = header::message_length_within(most, &stream[at..at + length - 1]);
                    assert_eq!(short, Ok(None), "a message is whole only at its end");
                    at += length;
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = &error {
            check_error(error, features);
            let early = header::message_length_within(most, &stream[at..at + 19]);
            assert_eq!(early.as_ref(), Err(error), "the header alone tells");
        }
        features.add((most, at > 0, error.is_some()));
    }
}

fn message(octets: &[u8], features: &mut Features) {
    for codec in CODECS.iter() {
        decode(codec, octets, features);
    }
}

fn capabilities(value: &[u8], features: &mut Features) {
    let fixed = [4, 0xfd, 0xe8, 0, 90, 192, 168, 1, 1];
    message(&frame(1, &mutate::open_body(&fixed, value)), features);
}

/// A field of attributes with a prefix that they are for, and without.
fn attributes(field: &[u8], features: &mut Features) {
    message(&frame(2, &update_body(&[], field, &[24, 10, 244, 1])), features);
    message(&frame(2, &update_body(&[], field, &[])), features);
}

/// A list of prefixes in each of the places that such a list can stand in.
fn nlri(list: &[u8], features: &mut Features) {
    const MANDATORY: [u8; 20] =
        [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8, 0x40, 3, 4, 192, 168, 1, 1];
    let multiprotocol = |code: u8, fixed: &[u8]| {
        let length = ((fixed.len() + list.len()) as u16).to_be_bytes();
        [&[0x90, code], &length[..], fixed, list, &MANDATORY].concat()
    };
    let mut next_hop = [0; 21];
    (next_hop[1], next_hop[2], next_hop[3], next_hop[4]) = (2, 1, 16, 0xfd);
    for body in [
        update_body(&[], &MANDATORY, list),
        update_body(list, &[], &[]),
        update_body(&[], &multiprotocol(14, &next_hop), &[]),
        update_body(&[], &multiprotocol(14, &[0, 1, 1, 4, 192, 168, 1, 1, 0]), &[]),
        update_body(&[], &multiprotocol(15, &[0, 2, 1]), &[]),
        update_body(&[], &multiprotocol(15, &[0, 1, 1]), &[]),
    ] {
        message(&frame(2, &body), features);
    }
}

/// Decodes a message and holds the outcome to what is promised of any.
fn decode(codec: &Codec, octets: &[u8], features: &mut Features) {
    match codec.decode(octets) {
        Ok(Message::Update(update)) => check_update(codec, &update, octets.len(), features),
        Ok(Message::Open(open)) => {
            open.capabilities.iter().for_each(|capability| features.add(std::mem::discriminant(capability)));
            assert!(open.asn != 0 && !open.router_id.is_unspecified() && !matches!(open.hold_time, 1 | 2));
            let families = open.families();
            assert!(families.is_sorted() && families.len() <= Family::ALL.len());
            let again = codec.decode(&codec.encode_open(&open));
            assert_eq!(again, Ok(Message::Open(open)), "an OPEN read is an OPEN that can be written");
        }
        Ok(Message::Notification(notification)) => check_notification(codec, &notification, features),
        Ok(other) => features.add(std::mem::discriminant(&other)),
        Err(error) => {
            check_error(&error, features);
            check_notification(codec, &error.notification, features);
        }
    }
}

/// What goes into a log is one line of it.
fn check_text(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}

fn check_error(error: &MessageError, features: &mut Features) {
    check_text(&error.to_string());
    features.add((error.notification.code, error.notification.subcode));
    features.add_kind(&error.what);
}

fn check_notification(codec: &Codec, notification: &Notification, features: &mut Features) {
    check_text(&notification.to_string());
    features.add((
        notification.code.min(9),
        notification.subcode.min(12),
        notification.communication().is_some(),
    ));
    let octets = codec.encode_notification(notification);
    assert!(octets.len() <= header::MAX_MESSAGE_LENGTH);
    let Ok(Message::Notification(again)) = codec.decode(&octets) else { panic!("{notification:?}") };
    assert!(notification.data.starts_with(&again.data));
    assert!(again.data == notification.data || octets.len() == header::MAX_MESSAGE_LENGTH);
}

fn check_update(codec: &Codec, update: &Update, length: usize, features: &mut Features) {
    for fault in &update.faults {
        check_text(&fault.what);
        assert!(fault.bytes.len() <= 64);
        features.add((fault.code, fault.treatment));
        features.add_kind(&fault.what);
    }
    let announced = update.announced.iter().map(|a| a.prefixes.len() + a.paths.len()).sum::<usize>();
    let count = announced + update.withdrawn.len() + update.withdrawn_paths.len();
    assert!(count <= length, "{count} prefixes out of {length} octets");
    let withdrawn = update.faults.iter().any(|fault| fault.treatment == Treatment::TreatAsWithdraw);
    assert!(!withdrawn || update.announced.is_empty(), "treated as withdrawn, and announced");
    assert!(update.end_of_rib.is_none_or(|family| count == 0 && codec.families.contains(&family)));
    features.add((update.end_of_rib, update.announced.len(), update.withdrawn.len().min(2), withdrawn));
    for announcement in &update.announced {
        let attributes = &announcement.attributes;
        let identified = announcement.paths.iter().map(|path| path.prefix);
        let mut all = announcement.prefixes.iter().copied().chain(identified);
        let family = all.next().expect("announces something").family();
        assert!(all.all(|prefix| prefix.family() == family));
        assert!(codec.families.contains(&family), "{family} was not negotiated");
        let identifiers = codec.add_path[family as usize].receive;
        assert_eq!(
            (announcement.prefixes.is_empty(), announcement.paths.is_empty()),
            (identifiers, !identifiers)
        );
        let same = attributes.next_hop.is_ipv4() == (family == Family::Ipv4Unicast);
        assert!(same || codec.extended_next_hop && attributes.next_hop.is_ipv6(), "{}", attributes.next_hop);
        features.add((identifiers, same));
        let internal = attributes.local_pref.is_some()
            || attributes.rare.originator_id.is_some()
            || !attributes.rare.cluster_list.is_empty();
        assert!(!(codec.external && internal), "internal attributes of an external peer");
        assert!(attributes.as_path.segments().all(|s| !s.asns().is_empty() && !s.asns().contains(&0)));
        let kinds: Vec<_> =
            attributes.as_path.segments().map(|s| std::mem::discriminant(&s)).take(4).collect();
        features.add((kinds, attributes.rare.unknown.len().min(2), attributes.rare.partial.len().min(2)));
        features.add(set(attributes));
        check_again(codec, announcement, length);
    }
}

/// Which optional attributes there are.
fn set(attributes: &routelet::bgp::PathAttributes) -> [bool; 9] {
    [
        attributes.med.is_some(),
        attributes.local_pref.is_some(),
        attributes.rare.aggregator.is_some(),
        attributes.communities.is_empty(),
        attributes.rare.cluster_list.is_empty(),
        attributes.rare.extended_communities.is_empty(),
        attributes.rare.large_communities.is_empty(),
        attributes.rare.only_to_customer.is_some(),
        attributes.rare.link_local_next_hop.is_some(),
    ]
}

/// What has been read can be written, and then reads the same.
fn check_again(codec: &Codec, announcement: &Announcement, length: usize) {
    let confederation = |s: Segment| matches!(s, Segment::ConfedSequence(_) | Segment::ConfedSet(_));
    if !codec.four_octet_as && announcement.attributes.as_path.segments().any(confederation) {
        // AS4_PATH leaves them out (RFC 6793 §3), so where they stood is lost on the way.
        return;
    }
    let mut octets = vec![];
    let Announcement { attributes, prefixes, paths } = announcement;
    let count = match paths.is_empty() {
        true => codec.encode_announcements(attributes, prefixes, &mut octets),
        false => codec.encode_announcements(attributes, paths, &mut octets),
    };
    assert!(count > 0 || length > 1_500, "a path that cannot be passed on");
    let (mut rest, mut again) = (&octets[..], (vec![], vec![]));
    while !rest.is_empty() {
        let whole = header::message_length_within(codec.max_message_length(), rest).unwrap().unwrap();
        let Ok(Message::Update(update)) = codec.decode(&rest[..whole]) else {
            panic!("{:?}", &rest[..whole])
        };
        assert!(update.faults.is_empty(), "{:?}", update.faults);
        assert_eq!(&update.announced[0].attributes, attributes);
        for read in update.announced {
            again.0.extend(read.prefixes);
            again.1.extend(read.paths);
        }
        rest = &rest[whole..];
    }
    assert!(count == 0 || (&again.0, &again.1) == (prefixes, paths));
}
