//! A session comes up, goes down, fails or gives way to another: what that does to the peer and the
//! table.

use std::sync::Arc;

use super::peer::{Slot, Which};
use super::{Action, Notice, Speaker};
use crate::bgp::session::{Fall, Negotiated, Output, RestartBits, State};
use crate::prefix::Family;
use crate::rib::PeerId;

impl Speaker {
    pub(super) fn peer_up(&mut self, id: PeerId, which: Which, negotiated: &Arc<Negotiated>) {
        if which == Which::Second {
            self.promote_or_drop_second(id);
        }
        self.welcome_back(id, negotiated);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.forget_session_state();
        peer.agreed = Some(negotiated.clone());
        peer.note_link();
        peer.walks = peer.families_of_paths().map(|family| (family, None)).collect();
        peer.end_of_rib_due.extend(&negotiated.codec.families);
        self.groups.leave(id);
        self.groups.reconsider(id);
        // From here on, a session that falls is all that happens: packets are forwarded meanwhile.
        let restarting = self.restart.is_deferring();
        peer.set_restart_bits(RestartBits { restarting, forwarding: [true; Family::ALL.len()] });
        self.busy.insert(id);
        if let Some(connection) = &peer.first.connection {
            let terms = peer.terms(negotiated);
            self.actions.push_back(Action::Keep { connection: connection.id, terms });
        }
        let peer = self.peer_name(id);
        self.notice(Notice::PeerUp { peer, asn: negotiated.asn });
        self.note_told(id);
        self.advance_restart();
    }

    pub(super) fn peer_down(&mut self, id: PeerId, fall: Fall) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.flaps += 1;
        peer.path_is_new = false;
        peer.forget_session_state();
        self.groups.leave(id);
        let failure = peer.first.session.last_failure().cloned().unwrap_or("unknown".into());
        let reason = failure.words.clone();
        peer.last_failure = Some(failure);
        let peer = self.peer_name(id);
        self.notice(Notice::PeerDown { peer, reason });
        self.note_told(id);
        self.keep_over_fall(id, fall);
    }

    /// Reports a session that did not come up, unless the other one of a collision may still.
    pub(super) fn peer_failed(&mut self, id: PeerId, which: Which) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let other = if which == Which::First { Which::Second } else { Which::First };
        if peer.slot(other).is_some_and(|slot| slot.connection.is_some()) {
            return;
        }
        let failure = peer.slot(which).and_then(|s| s.session.last_failure().cloned());
        let failure = failure.unwrap_or("unknown".into());
        let reason = failure.words.clone();
        peer.last_failure = Some(failure);
        let peer = self.peer_name(id);
        self.notice(Notice::PeerFailed { peer, reason });
    }

    /// A second session that has come to OpenConfirm while the first has no connection takes its
    /// place; one that has lost its connection is dropped.
    pub(super) fn promote_or_drop_second(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let first_is_behind =
            matches!(peer.first.session.state(), State::Idle | State::Connect | State::Active);
        let Some(second) = peer.second.take() else { return };
        match second.session.state() {
            _ if second.connection.is_none() => peer.retire(&second.session),
            state if state == State::Established || (state == State::OpenConfirm && first_is_behind) => {
                let first = std::mem::replace(&mut peer.first, second);
                self.discard(id, first);
            }
            _ => peer.second = Some(second),
        }
    }

    /// Closes what a session that is no longer wanted has open, with a Cease if the peer knows of it.
    pub(super) fn discard(&mut self, id: PeerId, mut slot: Box<Slot>) {
        slot.session.handle_collision_dump(self.now);
        while let Some(output) = slot.session.poll_output() {
            if let (Output::Send(octets), Some(connection)) = (output, &slot.connection) {
                self.actions.push_back(Action::Send { connection: connection.id, octets });
            }
        }
        if let Some(connection) = slot.connection.take() {
            self.connections.remove(&connection.id);
            self.actions.push_back(Action::Close { connection: connection.id });
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.retire(&slot.session);
        }
    }
}
