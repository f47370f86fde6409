//! A sheet: news for all members of a group that are in step, encoded once for all of them.
//!
//! Most members are sent the same octets, of which there is one copy. Who is not to hear all of it is sent the
//! slices of the same copy that he is to hear, and what is for him alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;

use crate::bgp::{Codec, Nlri, PathAttributes};
use crate::prefix::Prefix;
use crate::rib::PeerId;
use crate::rib::news::{Audience, News};

/// News that are being encoded.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    common: Text,
    /// What is for one member alone.
    own: Text,
    /// Parts of the former that a member is not to hear, in order.
    without: BTreeMap<PeerId, Vec<Part>>,
    /// Parts of the latter for each.
    only: BTreeMap<PeerId, Vec<Part>>,
}

/// Encoded news.
#[derive(Debug)]
pub(super) struct Copies {
    common: Bytes,
    messages: usize,
    own: Bytes,
    without: BTreeMap<PeerId, Vec<Part>>,
    only: BTreeMap<PeerId, Vec<Part>>,
}

/// Whole messages.
#[derive(Debug, Default)]
struct Text {
    octets: Vec<u8>,
    messages: usize,
}

/// Some of them, which follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    octets: Range<usize>,
    messages: Range<usize>,
}

impl Text {
    /// Encodes one piece of news. Returns where it stands, and whether it could not be announced.
    fn write<T: Nlri>(
        &mut self,
        codec: &Codec,
        attributes: Option<&PathAttributes>,
        nlri: &[T],
    ) -> (Part, bool) {
        let (octets, messages) = (self.octets.len(), self.messages);
        let (count, lost) = encode(codec, attributes, nlri, &mut self.octets);
        self.messages += count;
        (Part { octets: octets..self.octets.len(), messages: messages..self.messages }, lost)
    }
}

/// Appends the announcement of these, or without attributes their withdrawal, to `octets`: as withdrawals too
/// where the attributes do not fit into a message. Returns how many messages that made, and whether that
/// happened.
pub(super) fn encode<T: Nlri>(
    codec: &Codec,
    attributes: Option<&PathAttributes>,
    nlri: &[T],
    octets: &mut Vec<u8>,
) -> (usize, bool) {
    let Some(attributes) = attributes else { return (codec.encode_withdrawals(nlri, octets), false) };
    match codec.encode_announcements(attributes, nlri, octets) {
        0 => (codec.encode_withdrawals(nlri, octets), true),
        count => (count, false),
    }
}

impl Sheet {
    /// Adds news of these prefixes. `false` if they could not be announced, because the attributes do not fit
    /// into a message: they are withdrawn instead.
    pub(super) fn write(&mut self, codec: &Codec, news: &News, prefixes: &[Prefix]) -> bool {
        let attributes = news.attributes.as_ref().map(|(attributes, _)| &**attributes);
        let nobody = BTreeSet::new();
        let (text, but) = match &news.audience {
            Audience::All => (&mut self.common, &nobody),
            Audience::AllBut(peers) => (&mut self.common, peers),
            Audience::Only(_) => (&mut self.own, &nobody),
        };
        let (part, lost) = text.write(codec, attributes, prefixes);
        for peer in but {
            add(self.without.entry(*peer).or_default(), part.clone());
        }
        if let Audience::Only(peer) = news.audience {
            add(self.only.entry(peer).or_default(), part);
        }
        !lost
    }

    /// Ends the sheet.
    pub(super) fn finish(self) -> Copies {
        let Sheet { common, own, without, only } = self;
        let Text { octets, messages } = common;
        Copies { common: octets.into(), messages, own: own.octets.into(), without, only }
    }
}

/// Adds a part, to the last one where it follows that.
fn add(parts: &mut Vec<Part>, part: Part) {
    match parts.last_mut() {
        Some(last) if last.octets.end == part.octets.start => {
            last.octets.end = part.octets.end;
            last.messages.end = part.messages.end;
        }
        _ => parts.push(part),
    }
}

impl Copies {
    /// What a member is sent, in pieces of whole messages, with how many of them each has.
    pub(super) fn of(&self, peer: PeerId) -> impl Iterator<Item = (Bytes, usize)> {
        let without = self.without.get(&peer).into_iter().flatten();
        // From the end of each that is left out to the beginning of the next.
        let ends = without.clone().map(|part| (part.octets.end, part.messages.end));
        let starts = without.map(|part| (part.octets.start, part.messages.start));
        let starts = starts.chain([(self.common.len(), self.messages)]);
        let common = std::iter::once((0, 0)).chain(ends).zip(starts);
        let common = common.filter(|(from, to)| from.0 < to.0);
        let common = common.map(|(from, to)| (self.common.slice(from.0..to.0), to.1 - from.1));
        let own = self.only.get(&peer).into_iter().flatten();
        common.chain(own.map(|part| (self.own.slice(part.octets.clone()), part.messages.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::header::message_length_within;
    use crate::prefix::Family;

    fn codec() -> Codec {
        Codec { four_octet_as: true, families: vec![Family::Ipv4Unicast], ..Codec::initial() }
    }

    /// How many prefixes each piece withdraws: four octets each, behind 23 of header and lengths.
    fn heard(copies: &Copies, peer: u32) -> Vec<Vec<usize>> {
        let piece = |(octets, count): (Bytes, usize)| {
            let mut rest = &octets[..];
            let mut prefixes = vec![];
            while let Ok(Some(length)) = message_length_within(4096, rest) {
                prefixes.push((length - 23) / 4);
                rest = &rest[length..];
            }
            assert_eq!((prefixes.len(), rest.len()), (count, 0));
            prefixes
        };
        copies.of(PeerId::new(peer)).map(piece).collect()
    }

    #[test]
    fn members_hear_slices_of_one_text_and_what_is_theirs() {
        let mut sheet = Sheet::default();
        let mut write = |count: u8, audience| {
            let prefixes: Vec<Prefix> =
                (0..count).map(|i| format!("10.0.{i}.0/24").parse().unwrap()).collect();
            let news = News { attributes: None, family: Family::Ipv4Unicast, places: vec![], audience };
            assert!(sheet.write(&codec(), &news, &prefixes));
        };
        let all_but = |peers: &[u32]| Audience::AllBut(peers.iter().map(|id| PeerId::new(*id)).collect());
        write(1, all_but(&[1]));
        write(2, all_but(&[1, 2]));
        write(9, Audience::Only(PeerId::new(2)));
        write(3, Audience::All);
        write(4, all_but(&[3]));
        write(8, Audience::Only(PeerId::new(2)));
        let copies = sheet.finish();
        assert_eq!(heard(&copies, 1), [[3, 4]]);
        assert_eq!(heard(&copies, 2), [vec![1], vec![3, 4], vec![9, 8]]);
        assert_eq!(heard(&copies, 3), [[1, 2, 3]]);
        assert_eq!(heard(&copies, 4), [[1, 2, 3, 4]]);
        let [whole, other] = [4, 5].map(|peer| copies.of(PeerId::new(peer)).next().unwrap().0);
        assert_eq!(whole.as_ptr(), other.as_ptr(), "one copy");
    }
}
