//! The wire as properties: what is encoded is decoded unchanged, and no octet does harm.
//!
//! Golden octets from other speakers stand beside the properties, for both directions could be wrong
//! in the same way.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod differential;
mod golden;
mod hostile;
mod packing;
mod passed_on;
mod round_trip;
mod strategies;

use routelet::bgp::{Codec, Message, MessageError, Update, header};
use routelet::prefix::{Family, Prefix};

/// A peer inside the AS, so that every attribute is accepted.
fn internal(four_octet_as: bool) -> Codec {
    Codec { four_octet_as, external: false, families: Family::ALL.to_vec(), ..Codec::initial() }
}

/// Cuts a stream into messages and decodes each, as a session would; stops at the first error.
fn decode_stream(codec: &Codec, mut stream: &[u8]) -> Result<Vec<Message>, MessageError> {
    let mut messages = vec![];
    while let Some(length) = header::message_length(stream)? {
        let (message, rest) = stream.split_at(length);
        messages.push(codec.decode(message)?);
        stream = rest;
    }
    Ok(messages)
}

/// The UPDATEs in a stream that we have encoded ourselves.
fn updates(codec: &Codec, stream: &[u8]) -> Vec<Update> {
    let messages = decode_stream(codec, stream).unwrap();
    let all = messages.len();
    let updates: Vec<Update> = messages
        .into_iter()
        .filter_map(|message| if let Message::Update(update) = message { Some(update) } else { None })
        .collect();
    assert_eq!(updates.len(), all, "only UPDATEs were expected");
    updates
}

fn announced(updates: &[Update]) -> Vec<Prefix> {
    updates.iter().flat_map(|u| &u.announced).flat_map(|a| a.prefixes.iter().copied()).collect()
}

fn withdrawn(updates: &[Update]) -> Vec<Prefix> {
    updates.iter().flat_map(|update| update.withdrawn.iter().copied()).collect()
}
