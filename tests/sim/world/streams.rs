//! Streams between members: to dial, to send, to break off; and the messages in what arrives.

use std::net::SocketAddr;

use bytes::Bytes;
use routelet::bgp::header::{MAX_EXTENDED_LENGTH, message_length_within};
use routelet::speaker::{ConnectionId, Speaker};
use routelet::time::Instant;

use super::{End, Event, World};

impl World {
    pub(super) fn dial(&mut self, from: End, remote: SocketAddr) {
        let own = &self.members[from.0].setup.addresses;
        let local = own.iter().copied().find(|a| a.is_ipv4() == remote.is_ipv4()).unwrap();
        let local = SocketAddr::new(local, 40_000 + from.1.0 as u16);
        let delay = self.delay();
        self.attempts.insert(from);
        self.schedule(self.now + delay, Event::Dialled { from, local, remote });
    }

    pub(super) fn send(&mut self, from: End, mut octets: Bytes) {
        if let Some(to) = self.streams.get(&from).copied() {
            while self.pieces && octets.len() > 1 && self.draw(4) == 0 {
                let piece = 1 + self.draw(octets.len() as u64 - 1) as usize;
                let at = self.arrival_at(to);
                self.schedule(at, Event::Octets { to, octets: octets.split_to(piece) });
            }
            let at = self.arrival_at(to);
            self.schedule(at, Event::Octets { to, octets });
        }
    }

    /// Closes a stream from one end; the other learns of it after what was sent before.
    pub(super) fn break_stream(&mut self, end: End) {
        self.attempts.remove(&end);
        if let Some(other) = self.streams.remove(&end) {
            let at = self.arrival_at(other);
            self.schedule(at, Event::Closed { end: other, why: "the peer closed the connection" });
        }
    }

    pub(super) fn arrival_at(&mut self, to: End) -> Instant {
        let at = self.now + self.delay();
        let last = self.arrival.entry(to).or_insert(at);
        *last = at.max(*last);
        *last
    }
}

/// Hands a speaker the messages that have arrived in full.
pub(super) fn hear(speaker: &mut Speaker, now: Instant, connection: ConnectionId, partial: &mut Vec<u8>) {
    loop {
        match message_length_within(MAX_EXTENDED_LENGTH, partial) {
            Ok(Some(length)) => {
                let frame: Vec<u8> = partial.drain(..length).collect();
                speaker.handle_frame(now, connection, Ok(&frame));
            }
            Ok(None) => return,
            Err(error) => {
                partial.clear();
                speaker.handle_frame(now, connection, Err(error));
                return;
            }
        }
    }
}
