//! Telling: what groups of peers should know is encoded and handed to their sessions.
//!
//! Members of a group that are in step are told together, as fast as the first of them takes it. One that has
//! far more waiting for its socket than the others falls out of step: what is to be told then waits for it by
//! itself, as a list of places that is bounded by the table, until its socket has room again; when it has
//! caught up it is told with the others again. So a slow member holds nobody up, and what waits in memory for
//! sockets is bounded, for the members in step share it.

use std::collections::BTreeMap;

use super::groups::GroupId;
use super::peer::Peer;
use super::settle::PORTION;
use super::sheet::{Sheet, encode};
use super::{Notice, Speaker};
use crate::bgp::PathAttributes;
use crate::prefix::{Family, Prefix};
use crate::rib::loc_rib::Place;
use crate::rib::{PeerId, Source};

/// A peer is given no more while this many octets wait for its socket.
const UNSENT_MOST: usize = 256 * 1024;
/// A member that more waits for than this is in step with the others no more.
const BEHIND: usize = 4 * 1024 * 1024;
/// A walk does not go on while so many places wait to be told of.
const WAITING_MOST: usize = 64 * 1024;

/// What one peer is about to be sent.
#[derive(Default)]
struct Letter {
    octets: Vec<u8>,
    messages: usize,
    /// The first prefix that could not be announced.
    lost: Option<Prefix>,
}

impl Speaker {
    /// Advances the walk of each group by one portion; `false` if there is none.
    pub(super) fn walk_groups(&mut self) -> bool {
        let next = |(id, group): (&GroupId, &super::groups::Group)| {
            let (family, after) = group.walks.first_key_value()?;
            (group.out.waiting() < WAITING_MOST).then_some((*id, *family, *after))
        };
        let walks: Vec<_> = self.groups.all.iter().filter_map(next).collect();
        for (id, family, after) in &walks {
            let portion = self.rib.walk(*family, *after, PORTION);
            // What is dirty is told once it has been decided: what was best may not be eligible any more.
            let decided: Vec<Place> =
                portion.iter().copied().filter(|place| !self.rib.is_dirty(*place)).collect();
            self.export(&decided, Some(*id));
            if let Some(group) = self.groups.all.get_mut(id) {
                match portion.last() {
                    Some(last) if portion.len() == PORTION => group.walks.insert(*family, Some(*last)),
                    _ => group.walks.remove(family),
                };
            }
        }
        !walks.is_empty()
    }

    /// Tells each group one portion of what its members in step are to be told; `false` if there was nothing
    /// or no room.
    pub(super) fn tell_groups(&mut self) -> bool {
        let waiting = self.groups.all.iter().filter(|(_, group)| group.out.waiting() > 0);
        let waiting: Vec<GroupId> = waiting.map(|(id, _)| *id).collect();
        waiting.into_iter().fold(false, |told, id| self.tell_group(id) | told)
    }

    /// Gives each peer that may be told something by itself one portion of that; `false` if there was nothing
    /// or no room.
    pub(super) fn tell_busy(&mut self) -> bool {
        std::mem::take(&mut self.busy).into_iter().fold(false, |told, id| self.tell(id) | told)
    }

    fn tell_group(&mut self, id: GroupId) -> bool {
        if !self.may_tell(id) {
            return false;
        }
        let groups = &mut self.groups;
        let Some(group) = groups.all.get_mut(&id) else { return false };
        let mut sheet = Sheet::default();
        let mut lost = None;
        for news in group.out.poll_crowd(PORTION, &mut groups.holds) {
            let prefixes: Vec<Prefix> = news.places.iter().map(|place| self.rib.at(*place).0).collect();
            if !sheet.write(&group.codec, &news, &prefixes)
                && let Some((_, statement)) = news.attributes
            {
                group.out.forget(None, statement, news.family, prefixes.len());
                lost = lost.or(prefixes.first().copied());
            }
        }
        let copies = sheet.finish();
        for peer in group.out.in_step().collect::<Vec<_>>() {
            for (octets, messages) in copies.of(peer) {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.first.session.send_updates(octets, messages);
                }
            }
            self.drain(peer);
            if unsent(&self.peers, peer) > BEHIND
                && let Some((group, holds)) = self.groups.of_mut(peer)
            {
                group.out.fall_behind(peer, holds);
                self.busy.insert(peer);
            }
            self.note_lost(peer, lost);
        }
        if let Some(group) = self.groups.all.get_mut(&id) {
            let has_room = |peer: &PeerId| unsent(&self.peers, *peer) <= UNSENT_MOST;
            let back: Vec<PeerId> = group.out.caught_up().filter(has_room).collect();
            back.into_iter().for_each(|peer| group.out.fall_in(peer));
        }
        true
    }

    /// Whether one of those in step takes more. Who has said what is told next is not asked: he would take
    /// it all.
    fn may_tell(&self, id: GroupId) -> bool {
        let Some(group) = self.groups.all.get(&id) else { return false };
        let author = group.out.next_source();
        let mut listeners = group.out.in_step().filter(|peer| author != Some(Source::Peer(*peer))).peekable();
        listeners.peek().is_none() || listeners.any(|peer| unsent(&self.peers, peer) <= UNSENT_MOST)
    }

    /// Gives a peer one portion of what it is told by itself, and the ends of what it has been told; `false`
    /// if there was nothing, or no room.
    fn tell(&mut self, id: PeerId) -> bool {
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.established().is_some()) else {
            return false;
        };
        let is_due = !peer.end_of_rib_due.is_empty() || peer.has_refreshes();
        let has_own = !peer.walks.is_empty() || !peer.out.is_in_step() || self.groups.tell_alone(id);
        if !is_due && !has_own {
            return false;
        }
        let walked = self.walk_paths(id);
        if unsent(&self.peers, id) > UNSENT_MOST {
            return false;
        }
        let mut letter = Letter::default();
        self.write_news(id, &mut letter);
        self.write_paths(id, &mut letter);
        let told = letter.messages > 0;
        let ended = self.write_ends(id, &mut letter);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.first.session.send_updates(letter.octets.into(), letter.messages);
        }
        self.mark_refreshes(id);
        if walked || told || !ended {
            self.busy.insert(id);
        }
        self.drain(id);
        self.note_lost(id, letter.lost);
        walked || told
    }

    /// News of its group for a member that is told by itself, and has room for them.
    fn write_news(&mut self, id: PeerId, letter: &mut Letter) {
        let rib = &self.rib;
        let Some((group, holds)) = self.groups.of_mut(id) else { return };
        if !group.out.is_apart(id) {
            return;
        }
        for news in group.out.poll_member(id, PORTION, holds) {
            let prefixes: Vec<Prefix> = news.places.iter().map(|place| rib.at(*place).0).collect();
            let attributes = news.attributes.as_ref().map(|(attributes, _)| &**attributes);
            let (count, lost) = encode(&group.codec, attributes, &prefixes, &mut letter.octets);
            letter.messages += count;
            if let Some((_, statement)) = news.attributes.filter(|_| lost) {
                group.out.forget(Some(id), statement, news.family, prefixes.len());
                letter.lost = letter.lost.or(prefixes.first().copied());
            }
        }
        group.out.fall_in(id);
    }

    /// Paths with identifiers.
    fn write_paths(&mut self, id: PeerId, letter: &mut Letter) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(negotiated) = peer.first.session.negotiated().filter(|_| !peer.out.is_in_step()) else {
            return;
        };
        for batch in peer.out.poll_batches(PORTION) {
            let attributes: Option<&PathAttributes> = batch.attributes.as_deref();
            let (count, lost) = encode(&negotiated.codec, attributes, &batch.paths, &mut letter.octets);
            letter.messages += count;
            if lost {
                peer.out.forget(&batch.paths);
                letter.lost = letter.lost.or(batch.paths.first().map(|path| path.prefix));
            }
        }
    }

    /// End-of-RIB of families that the peer has been told all of. `false` if some are due yet, and not put off.
    fn write_ends(&mut self, id: PeerId, letter: &mut Letter) -> bool {
        if self.holds_end_of_rib() {
            return self.rib.is_settled();
        }
        // What is dirty must have been announced, too, before we say that this is all.
        let told = |family: &Family| self.rib.is_settled() && self.has_told_all(id, *family);
        let ended: Vec<Family> = Family::ALL.into_iter().filter(told).collect();
        let Some(peer) = self.peers.get_mut(&id) else { return true };
        let Some(negotiated) = peer.first.session.negotiated() else { return true };
        for family in ended {
            if peer.end_of_rib_due.remove(&family) {
                negotiated.codec.encode_end_of_rib(family, &mut letter.octets);
                letter.messages += 1;
            }
        }
        peer.end_of_rib_due.is_empty() && !peer.has_refreshes()
    }

    fn note_lost(&mut self, id: PeerId, lost: Option<Prefix>) {
        if let Some(prefix) = lost {
            let peer = self.peer_name(id);
            self.notice(Notice::NotEncodable { peer, prefix });
        }
    }
}

/// How many octets wait for a peer's socket.
fn unsent(peers: &BTreeMap<PeerId, Peer>, id: PeerId) -> usize {
    let connection = peers.get(&id).and_then(|peer| peer.first.connection.as_ref());
    connection.map_or(0, |connection| connection.unsent)
}
