//! Connections in, session outputs out: which session an input belongs to, and who wins a collision.

use std::net::SocketAddr;

use super::dynamic::Admission;
use super::peer::{Collision, Connection, Peer, Slot, Which};
use super::{Action, ConnectionId, Speaker, Transport};
use crate::bgp::session::{Failure, Output, State, Timer};
use crate::bgp::{Message, MessageError, Reason};
use crate::rib::PeerId;
use crate::time::Instant;

impl Speaker {
    /// A connection came in. Returns its id and what its socket must have, or `None` if nobody wants
    /// it and the shell is to close it. One that a full range refuses gets an id too, for the actions
    /// that tell it so and close it.
    pub fn handle_accepted(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Option<(ConnectionId, Transport)> {
        self.now = now;
        if self.is_closed() {
            return None;
        }
        let is_it = |p: &&Peer| p.matches(local.ip(), remote.ip()) && self.links.is_on_link(p, remote);
        let at_address = (remote.ip(), PeerId::new(0))..;
        let there = self.by_address.range(at_address).take_while(|(address, _)| *address == remote.ip());
        let known = there.filter_map(|(_, id)| self.peers.get(id)).find(is_it).map(|p| p.id);
        let id = match known {
            Some(id) => id,
            None => match self.admit(local, remote)? {
                Admission::Peer(id) => id,
                Admission::Refused(connection, transport) => return Some((connection, transport)),
            },
        };
        // Of two connections that the peer opened, the older is the one it has forgotten.
        if let Some(older) = self.peers.get_mut(&id)?.second.take() {
            self.discard(id, older);
        }
        let intent = self.intent.as_ref()?;
        let peer = self.peers.get_mut(&id)?;
        let which = match peer.first.session.state() {
            State::Idle => return None,
            State::Active => Which::First,
            _ => {
                let mut session = peer.new_session(intent, self.seed);
                session.handle_start_passive(now);
                peer.second = Some(Box::new(Slot { session, connection: None }));
                Which::Second
            }
        };
        let transport = peer.transport(intent);
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(connection, id);
        if let Some(slot) = peer.slot(which) {
            slot.connection =
                Some(Connection { id: connection, outgoing: false, local: Some(local), unsent: 0 });
            slot.session.handle_accepted(now);
        }
        self.drain(id);
        Some((connection, transport))
    }

    /// A connection attempt succeeded.
    pub fn handle_connected(&mut self, now: Instant, connection: ConnectionId, local: SocketAddr) {
        self.with_session(now, connection, |slot| {
            if let Some(connection) = &mut slot.connection {
                connection.local = Some(local);
            }
            slot.session.handle_connected(now);
        });
    }

    /// A connection closed, or the attempt to make one failed.
    pub fn handle_closed(&mut self, now: Instant, connection: ConnectionId, why: impl Into<Failure>) {
        self.with_session(now, connection, |slot| {
            slot.connection = None;
            slot.session.handle_closed(now, why);
        });
        self.connections.remove(&connection);
    }

    /// Connections of peers that have a timer due. Who still has words of theirs says so by
    /// [`Speaker::handle_heard`] before [`Speaker::handle_timeout`].
    pub fn due_connections(&self, now: Instant) -> impl Iterator<Item = ConnectionId> {
        let due = self.wakes.iter().take_while(move |(at, ..)| *at <= now);
        let peers = due.filter_map(|(_, id, _)| self.peers.get(id));
        let slots = peers.flat_map(|peer| std::iter::once(&peer.first).chain(&peer.second));
        slots.filter_map(|slot| Some(slot.connection.as_ref()?.id))
    }

    /// The peer said something at that time which is still to be handed in, or is not to be: so many
    /// KEEPALIVEs, in an Established session. Its silence is ours.
    pub fn handle_heard(&mut self, connection: ConnectionId, at: Instant, keepalives: u64) {
        if let Some((_, slot)) = self.slot_of(connection) {
            // A timer is put off by it, and no more.
            slot.session.handle_heard(at, keepalives);
        }
    }

    /// The kernel has taken this many octets of what was to be sent.
    pub fn handle_sent(&mut self, now: Instant, connection: ConnectionId, octets: usize) {
        self.now = now;
        let Some((id, slot)) = self.slot_of(connection) else { return };
        slot.session.handle_sent(now);
        let Some(connection) = &mut slot.connection else { return };
        connection.unsent = connection.unsent.saturating_sub(octets);
        self.busy.insert(id);
    }

    /// One whole message arrived, as [`crate::bgp::header::message_length_within`] cut it out, or bytes that
    /// are none.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        frame: Result<&[u8], MessageError>,
    ) {
        let Some((_, slot)) = self.slot_of(connection) else { return };
        let message = frame.and_then(|octets| slot.session.decode(octets));
        self.handle_message(now, connection, message);
    }

    /// The same of a message that has been decoded already, by what the session has agreed on
    /// ([`super::Terms::agreed`]).
    pub fn handle_message(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        message: Result<Message, MessageError>,
    ) {
        self.now = now;
        let Some(id) = self.connections.get(&connection).copied() else { return };
        let (Some(peer), Some(intent)) = (self.peers.get_mut(&id), &self.intent) else { return };
        let Some(which) = peer.which(connection) else { return };
        let Some(slot) = peer.slot(which) else { return };
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                slot.session.handle_message_error(now, error);
                self.drain(id);
                return;
            }
        };
        let collision = match &message {
            Message::Open(open) => peer.collision(now, which, open, intent),
            _ => Collision::None,
        };
        let other = if which == Which::First { Which::Second } else { Which::First };
        match collision {
            Collision::None => {}
            Collision::OtherLoses => {
                if let Some(slot) = peer.slot(other) {
                    slot.session.handle_collision_dump(now);
                }
            }
            Collision::OtherIsForgotten => {
                if let Some(slot) = peer.slot(other) {
                    slot.session.handle_abandon(now, "the peer has opened a new connection");
                }
            }
            Collision::ThisLoses => {
                if let Some(slot) = peer.slot(which) {
                    slot.session.handle_collision_dump(now);
                }
                self.drain(id);
                return;
            }
        }
        if let Some(slot) = peer.slot(which) {
            slot.session.handle_message(now, message);
        }
        self.drain(id);
    }

    pub(super) fn handle_session_timeouts(&mut self, id: PeerId) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.first.session.handle_timeout(now);
            if let Some(second) = &mut peer.second {
                second.session.handle_timeout(now);
            }
        }
        self.drain(id);
    }

    pub(super) fn start_session(&mut self, id: PeerId) {
        let now = self.now;
        let may_start = !self.is_closed();
        if let Some(peer) = self.peers.get_mut(&id).filter(|peer| may_start && !peer.waits_for_path()) {
            peer.first.session.handle_start(now);
        }
        self.drain(id);
    }

    /// Ends both sessions of a peer with a NOTIFICATION of this reason.
    pub(super) fn stop_sessions(&mut self, id: PeerId, reason: Reason, why: &str) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.first.session.handle_stop(now, reason, why);
            if let Some(second) = &mut peer.second {
                second.session.handle_stop(now, reason, why);
            }
        }
        self.drain(id);
    }

    /// Gives the session of a peer up without a word.
    pub(super) fn abandon_session(&mut self, id: PeerId, why: &str) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.first.session.handle_abandon(now, why);
        }
        self.drain(id);
    }

    fn with_session(&mut self, now: Instant, connection: ConnectionId, f: impl FnOnce(&mut Slot)) {
        self.now = now;
        if let Some((id, slot)) = self.slot_of(connection) {
            f(slot);
            self.drain(id);
        }
    }

    /// The session that holds a connection, and whose it is.
    fn slot_of(&mut self, connection: ConnectionId) -> Option<(PeerId, &mut Slot)> {
        let id = *self.connections.get(&connection)?;
        let peer = self.peers.get_mut(&id)?;
        let which = peer.which(connection)?;
        Some((id, peer.slot(which)?))
    }

    /// Carries out what a peer's sessions want done, then tidies up after collisions.
    pub(super) fn drain(&mut self, id: PeerId) {
        while let Some((which, output)) = self.next_output(id) {
            self.carry_out(id, which, output);
        }
        self.promote_or_drop_second(id);
        self.note_wake(id);
        self.forget_if_gone(id);
        self.forget_if_left(id);
    }

    /// Notes when a peer's sessions are next due, unless they are to be looked at before. Only what ends in
    /// [`Speaker::drain`] moves a timer to an earlier time.
    fn note_wake(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let wake = peer.poll_timeout();
        if let (Some((noted, _)), Some((at, _))) = (peer.wake, wake)
            && noted <= at
        {
            return;
        }
        let noted = std::mem::replace(&mut peer.wake, wake);
        self.forget_wake(id, noted);
        self.wakes.extend(wake.map(|(at, timer)| (at, id, timer)));
    }

    /// Peers whose sessions are to be looked at now; they are noted no more.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<PeerId> {
        let mut due = vec![];
        while let Some(first) = self.wakes.first().copied().filter(|(at, ..)| *at <= now) {
            self.wakes.remove(&first);
            let (_, id, _) = first;
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.wake = None;
                due.push(id);
            }
        }
        due
    }

    pub(super) fn forget_wake(&mut self, id: PeerId, noted: Option<(Instant, Timer)>) {
        if let Some((at, timer)) = noted {
            self.wakes.remove(&(at, id, timer));
        }
    }

    fn next_output(&mut self, id: PeerId) -> Option<(Which, Output)> {
        let peer = self.peers.get_mut(&id)?;
        [Which::First, Which::Second]
            .into_iter()
            .find_map(|which| Some((which, peer.slot(which)?.session.poll_output()?)))
    }

    fn carry_out(&mut self, id: PeerId, which: Which, output: Output) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match output {
            Output::Dial => self.dial(id, which),
            Output::Close => {
                if let Some(connection) = peer.slot(which).and_then(|slot| slot.connection.take()) {
                    self.connections.remove(&connection.id);
                    self.actions.push_back(Action::Close { connection: connection.id });
                }
            }
            Output::Failed => self.peer_failed(id, which),
            Output::Send(octets) => {
                if let Some(connection) = peer.slot(which).and_then(|slot| slot.connection.as_mut()) {
                    connection.unsent += octets.len();
                    let connection = connection.id;
                    self.actions.push_back(Action::Send { connection, octets });
                }
            }
            Output::Up(negotiated) => self.peer_up(id, which, &negotiated),
            Output::Down(fall) => self.peer_down(id, fall),
            Output::Update(update) => self.apply_update(id, update),
            Output::AcceptExtended => {
                if let Some(connection) = peer.slot(which).and_then(|slot| slot.connection.as_ref()) {
                    let connection = connection.id;
                    self.actions.push_back(Action::AcceptExtended { connection });
                }
            }
            Output::RouteRefresh(family) => self.handle_route_refresh(id, family),
            Output::BeginOfRefresh(family) => self.handle_begin_of_refresh(id, family),
            Output::EndOfRefresh(family) => self.handle_end_of_refresh(id, family),
        }
    }

    fn dial(&mut self, id: PeerId, which: Which) {
        let (Some(peer), Some(intent)) = (self.peers.get_mut(&id), &self.intent) else { return };
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(connection, id);
        let action = Action::Dial {
            connection,
            remote: SocketAddr::new(peer.intent.address, peer.intent.port),
            interface: peer.intent.interface.clone(),
            transport: peer.transport(intent),
        };
        if let Some(slot) = peer.slot(which) {
            slot.connection = Some(Connection { id: connection, outgoing: true, local: None, unsent: 0 });
        }
        self.actions.push_back(action);
    }

    pub(super) fn peer_name(&self, id: PeerId) -> String {
        self.peers.get(&id).map_or_else(|| format!("#{}", id.number()), |peer| peer.name.clone())
    }
}
