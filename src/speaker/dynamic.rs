//! Dynamic peers: whoever connects from a range of addresses, without a configuration of his own.
//!
//! Such a peer is made when its connection is accepted, waits for it as a passive one does, and is gone
//! when its session has ended for good: once it has neither a connection, nor a pause in Idle to sit
//! out, nor paths that outlive its session. Until then it keeps its place among those that the range may
//! have. A configured peer comes before a range, and a longer range before a shorter one.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::configure::{Change, Rework};
use super::intent::{Intent, RangeIntent};
use super::peer::{Peer, transport};
use super::view::RangeView;
use super::{Action, ConnectionId, Notice, Speaker, Transport};
use crate::bgp::session::{State, Timer};
use crate::bgp::{Codec, Notification, Reason};
use crate::rib::PeerId;

/// The peers of one range.
#[derive(Debug, Default)]
pub(super) struct Range {
    members: BTreeSet<PeerId>,
    /// Connections refused because the range was full, since the daemon started.
    refused: u64,
    /// That it is full has been said, and it has been so since.
    full: bool,
}

/// What becomes of a connection that no peer waits for.
pub(super) enum Admission {
    /// It is for this peer, which is new.
    Peer(PeerId),
    /// It is told that there are too many, and closed.
    Refused(ConnectionId, Transport),
}

impl Speaker {
    /// Makes a peer for a connection, if a range has a place for it; `None` if no range means it.
    pub(super) fn admit(&mut self, local: SocketAddr, remote: SocketAddr) -> Option<Admission> {
        let intent = self.intent.as_ref()?;
        let (name, wanted) = longest_range(intent, Some(local.ip()), remote.ip())?;
        let name = name.to_owned();
        let range = self.ranges.entry(name.clone()).or_default();
        if range.members.len() >= wanted.limit as usize {
            let limit = wanted.limit;
            let transport = transport(&wanted.peer(remote.ip()), intent);
            range.refused += 1;
            if !std::mem::replace(&mut range.full, true) {
                self.notice(Notice::RangeFull { range: name, limit, refused: remote.ip() });
            }
            return Some(Admission::Refused(self.refuse(), transport));
        }
        let id = PeerId::new(self.next_peer);
        self.next_peer += 1;
        range.members.insert(id);
        let peer_name = format!("{name}/{}", remote.ip());
        let mut peer = Peer::new(id, peer_name, wanted.peer(remote.ip()), intent, self.seed);
        let watched = peer.intent.bfd.is_some();
        peer.first.session.handle_start(self.now);
        peer.range = Some(name);
        self.insert_peer(peer);
        if watched {
            self.watch_paths();
        }
        Some(Admission::Peer(id))
    }

    /// Queues what a connection is told that is not taken (RFC 4486 §4), and its end.
    fn refuse(&mut self) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let octets = Codec::initial().encode_notification(&Notification::from(Reason::CONNECTION_REJECTED));
        self.actions.push_back(Action::Send { connection, octets: octets.into() });
        self.actions.push_back(Action::Close { connection });
        connection
    }

    /// Forgets a dynamic peer whose session has ended for good.
    pub(super) fn forget_if_gone(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else { return };
        let Some(range) = &peer.range else { return };
        let session = &peer.first.session;
        let waits = match session.state() {
            State::Idle => session.rests() || matches!(session.poll_timeout(), Some((_, Timer::IdleHold))),
            _ => peer.first.connection.is_some(),
        };
        // One whose paths have outlived its session is expected back.
        if waits || peer.second.is_some() || !peer.kept.is_empty() {
            return;
        }
        let watched = peer.intent.bfd.is_some();
        if let Some(range) = self.ranges.get_mut(range) {
            range.members.remove(&id);
            range.full = false;
        }
        self.names.remove(&peer.name);
        self.forget_peer(id);
        if watched {
            self.watch_paths();
        }
    }

    /// Keeps the dynamic peers that the new intent has a place for, changed where it differs, and takes
    /// leave of the others. A range that has become too small keeps whom it has.
    pub(super) fn configure_ranges(&mut self, change: &Change<'_>, rework: &mut Rework) {
        let Change { old, new, .. } = *change;
        let dynamic = |peer: &Peer| {
            let local = peer.first.connection.as_ref().and_then(|c| c.local).map(|local| local.ip());
            Some((peer.id, peer.range.clone()?, local, peer.intent.address))
        };
        let peers: Vec<_> = self.peers.values().filter_map(dynamic).collect();
        for (id, range, local, address) in peers {
            let configured = new.peers.values().any(|peer| peer.address == address);
            let found = longest_range(new, local, address).filter(|(name, _)| !configured && *name == range);
            match (found, old.ranges.get(&range)) {
                (Some((_, now)), Some(before)) => {
                    let name = format!("{range}/{address}");
                    self.change_peer(&name, change, [&before.peer(address), &now.peer(address)], rework);
                }
                _ => {
                    self.stop_sessions(id, Reason::PEER_DECONFIGURED, "the peer is no longer configured");
                    self.let_go_all(id);
                    self.forget_if_gone(id);
                }
            }
        }
        self.ranges.retain(|name, range| new.ranges.contains_key(name) || !range.members.is_empty());
    }

    /// Every range, by name.
    pub(super) fn range_views(&self, intent: &Intent) -> Vec<RangeView> {
        let empty = Range::default();
        let view = |(name, range): (&String, &RangeIntent)| {
            let state = self.ranges.get(name).unwrap_or(&empty);
            let (peers, refused) = (state.members.len() as u64, state.refused);
            RangeView { name: name.clone(), range: range.range, limit: range.limit, peers, refused }
        };
        intent.ranges.iter().map(view).collect()
    }
}

/// The longest range around an address, of those that mean the local one.
fn longest_range(intent: &Intent, local: Option<IpAddr>, remote: IpAddr) -> Option<(&str, &RangeIntent)> {
    let means = |range: &RangeIntent| {
        let source = range.template.source;
        range.range.contains_address(remote) && (source.is_none() || local.is_none() || source == local)
    };
    let ranges = intent.ranges.iter().filter(|(_, range)| means(range));
    // Of two of one length, the one that names the local address means it more.
    let longest = ranges.max_by_key(|(_, range)| (range.range.length(), range.template.source.is_some()));
    longest.map(|(name, range)| (name.as_str(), range))
}
