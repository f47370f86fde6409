//! What a BGP speaker may get to read, and what it makes of it: message → reaction, as text.
//!
//! The reactions are those of RFC 4271 §6 and RFC 7606. A row reads: what is special about the
//! message, its octets, and what the decoder says. Unless a row says otherwise the peer is external
//! and speaks four-octet AS numbers, and both unicast families are negotiated.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod attributes;
mod messages;
mod updates;

use routelet::bgp::update::Treatment;
use routelet::bgp::{Codec, Message, Update, header};
use routelet::prefix::Family;

/// 10.244.1.0/24 as NLRI.
const NLRI: [u8; 4] = [24, 10, 244, 1];
/// Sound attributes that every announcement in the message body needs.
const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 168, 1, 1];
/// MP_REACH_NLRI of fd00:244:1::/48 through fd00::1.
const REACH: &[u8] = &[
    0x80, 14, 28, 0, 2, 1, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 48, 0xfd, 0, 2, 0x44, 0,
    1,
];

/// What is special, the octets, the reaction.
type Row = (&'static str, Vec<u8>, &'static str);

fn external() -> Codec {
    Codec { four_octet_as: true, external: true, families: Family::ALL.to_vec(), ..Codec::initial() }
}

fn check(codec: &Codec, rows: Vec<Row>) {
    let wrong: Vec<String> = rows
        .into_iter()
        .map(|(what, octets, expected)| (what, expected, reaction(codec, &octets)))
        .filter(|(_, expected, found)| expected != found)
        .map(|(what, expected, found)| format!("{what}\n  expected {expected}\n  found    {found}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What the decoder does with the first message of a stream.
fn reaction(codec: &Codec, stream: &[u8]) -> String {
    let decoded = match header::message_length_within(codec.max_message_length(), stream) {
        Ok(None) => return "wait for more".into(),
        Ok(Some(length)) => codec.decode(&stream[..length]),
        Err(error) => Err(error),
    };
    match decoded {
        Ok(Message::Update(update)) => describe(&update),
        Ok(Message::Notification(notification)) => format!("closed by the peer: {notification}"),
        Ok(other) => format!("{other:?}"),
        Err(error) => {
            let notification = &error.notification;
            format!("reset {}/{} {:?}: {error}", notification.code, notification.subcode, notification.data)
        }
    }
}

fn describe(update: &Update) -> String {
    let mut parts = vec![];
    for announcement in &update.announced {
        let paths = announcement.paths.iter().map(|path| format!(" {}#{}", path.prefix, path.id.0));
        match paths.collect::<String>() {
            none if none.is_empty() => parts.push(format!("announce {:?}", announcement.prefixes)),
            paths => parts.push(format!("announce{paths}")),
        }
    }
    if !update.withdrawn.is_empty() {
        parts.push(format!("withdraw {:?}", update.withdrawn));
    }
    if !update.withdrawn_paths.is_empty() {
        let paths = update.withdrawn_paths.iter().map(|path| format!(" {}#{}", path.prefix, path.id.0));
        parts.push(format!("withdraw{}", paths.collect::<String>()));
    }
    parts.extend(update.end_of_rib.map(|family| format!("End-of-RIB {family}")));
    for fault in &update.faults {
        let treatment = match fault.treatment {
            Treatment::TreatAsWithdraw => "treat-as-withdraw",
            Treatment::AttributeDiscard => "discard",
        };
        parts.push(format!("{treatment} ({}) {}", fault.code, fault.what));
    }
    if parts.is_empty() { "nothing".into() } else { parts.join("; ") }
}

/// A message of the given type with a correct length.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).unwrap().to_be_bytes();
    [&[0xff; 16], &length[..], &[kind], body].concat()
}

/// An UPDATE whose lengths are right.
fn update(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let length = |field: &[u8]| u16::try_from(field.len()).unwrap().to_be_bytes();
    message(2, &[&length(withdrawn), withdrawn, &length(&attributes), &attributes, nlri].concat())
}

/// The announcement of 10.244.1.0/24 with one attribute in addition, or in place of the sound one.
fn with(attribute: &[u8]) -> Vec<u8> {
    let sound = [ORIGIN, AS_PATH, NEXT_HOP];
    let mut attributes: Vec<&[u8]> = sound.into_iter().filter(|a| a[1] != attribute[1]).collect();
    attributes.push(attribute);
    update(&[], &attributes, &NLRI)
}
