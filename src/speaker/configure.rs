//! From one intent to the next, touching only what differs.
//!
//! A session is reset only where the protocol leaves no choice: what its OPEN said or what its
//! socket was made with has changed. A change of import policy judges the kept paths again; a change
//! of export policy compares the peer's Adj-RIB-Out with what it should be.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::intent::{Intent, PeerIntent};
use super::peer::{Peer, session_config};
use super::rehoming::Rehoming;
use super::rework::sharing;
pub(super) use super::rework::{Change, Rework};
use super::{Departure, Speaker};
use crate::bgp::Reason;
use crate::fib::{AGGREGATE_METRIC, Fib, Plan};
use crate::prefix::Prefix;
use crate::rib::PeerId;
use crate::time::Instant;

impl Speaker {
    /// Takes a new configuration in place of the one before. It is not copied where it is used as it is: with
    /// thousands of peers it is large.
    pub fn handle_intent(&mut self, now: Instant, intent: impl Into<Arc<Intent>>) {
        self.now = now;
        self.clear_up();
        let intent = intent.into();
        self.links.asked = Some(intent.clone());
        let intent = match self.intent.as_ref().filter(|_| self.leaving.is_none()) {
            Some(old) => {
                let shared = sharing(old, Arc::unwrap_or_clone(intent));
                Arc::new(self.rehoming.widened(now, old, shared))
            }
            None => intent,
        };
        self.apply_intent(intent);
    }

    /// Goes over to an intent from the one before.
    pub(super) fn apply_intent(&mut self, intent: Arc<Intent>) {
        let mut intent = self.links.resolve_all(intent);
        if let Some(old) = &self.intent {
            intent = Arc::new(sharing(old, Arc::unwrap_or_clone(intent)));
        }
        let new = intent.clone();
        let Some(old) = self.intent.replace(intent) else {
            self.configure_first_time();
            return;
        };
        if old == new {
            return;
        }
        let change = Change::between(&old, &new);
        let mut rework = Rework::of(&change);
        self.configure_ranges(&change, &mut rework);
        self.reconsider_dismissed(&change);
        for (name, peer) in old.peers.iter().filter(|(name, _)| !new.peers.contains_key(*name)) {
            self.dismiss(name, peer, &change);
        }
        for (name, peer) in &new.peers {
            let dismissed = self.dismissed(name);
            match old.peers.get(name).or(dismissed.as_ref()) {
                None => self.add_peer(name, peer),
                Some(before) => self.change_peer(name, &change, [before, peer], &mut rework),
            }
        }
        self.rework(rework);
        self.configure_fib(&old, &new);
        self.watch_paths();
        self.follow_retreat();
        self.configure_anycast(&old, &new);
        self.originate_what_is_deliverable();
    }

    /// Takes leave of every peer, of those that will keep our routes without a word if we are to come
    /// back. Kernel routes stay: a daemon that is being replaced must not stop the packets.
    pub fn handle_shutdown(&mut self, now: Instant, departure: Departure) {
        self.now = now;
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            let kept = self.peers.get(&id).is_some_and(Peer::keeps_our_routes);
            if departure == Departure::Restart && kept {
                self.abandon_session(id, "routelet is restarting");
            }
            self.stop_sessions(id, Reason::ADMINISTRATIVE_SHUTDOWN, "routelet is stopping");
        }
        self.fib = Fib::default();
        self.rehoming = Rehoming::default();
        self.intent = None;
        self.links.asked = None;
    }

    fn configure_first_time(&mut self) {
        let Some(intent) = self.intent.clone() else { return };
        self.begin_restart();
        self.begin_gate();
        self.fib.configure(intent.fib.next_hop_groups, intent.fib.install_backup);
        for (name, peer) in &intent.peers {
            self.add_peer(name, peer);
        }
        if intent.fib.install {
            for prefix in &intent.pod_cidrs {
                self.fib.desire(*prefix, AGGREGATE_METRIC, Some(&Plan::Unreachable));
            }
        }
        self.watch_paths();
        self.follow_retreat();
        self.configure_anycast_first_time(&intent);
        self.originate_what_is_deliverable();
        self.advance_restart();
    }

    fn add_peer(&mut self, name: &str, peer: &PeerIntent) {
        let Some(intent) = &self.intent else { return };
        let id = PeerId::new(self.next_peer);
        self.next_peer += 1;
        let peer = Peer::new(id, name.to_owned(), peer.clone(), intent, self.seed);
        self.insert_peer(peer);
        self.start_session(id);
    }

    pub(super) fn insert_peer(&mut self, mut peer: Peer) {
        peer.set_restart_bits(self.restart.bits());
        self.names.insert(peer.name.clone(), peer.id);
        self.by_address.insert((peer.intent.address, peer.id));
        let id = peer.id;
        self.peers.insert(id, peer);
        self.note_told(id);
    }

    /// A peer that an intent before had and this one has again.
    fn dismissed(&mut self, name: &str) -> Option<PeerIntent> {
        let id = self.names.get(name).copied().filter(|id| self.rehoming.has(*id))?;
        self.rehoming.forget(id);
        self.peers.get(&id).map(|peer| peer.intent.clone())
    }

    /// Forgets a peer whose sessions have ended.
    pub(super) fn forget_peer(&mut self, id: PeerId) {
        self.let_go_all(id);
        if let Some(peer) = self.peers.remove(&id) {
            self.forget_wake(id, peer.wake);
            self.by_address.remove(&(peer.intent.address, id));
            self.wait_no_more_for(&peer.name);
        }
        self.busy.remove(&id);
        self.groups.leave(id);
        self.advance_restart();
    }

    /// Takes what is new about one peer, but for what it takes walks through the table to do.
    pub(super) fn change_peer(
        &mut self,
        name: &str,
        change: &Change<'_>,
        [before, peer]: [&PeerIntent; 2],
        rework: &mut Rework,
    ) {
        let Some(id) = self.names.get(name).copied() else { return };
        let config = session_config(change.new, peer);
        let can_go_on = config.differs_in_pauses_alone(&session_config(change.old, before));
        if !can_go_on || socket_differs(before, peer) {
            self.change_session(id, before, peer);
            return;
        }
        let waited = self.peers.get(&id).is_some_and(Peer::waits_for_path);
        if let Some(known) = self.peers.get_mut(&id) {
            known.intent = peer.clone();
            known.first.session.set_pauses(&config);
            self.groups.reconsider(id);
        }
        if waited {
            self.start_session(id);
        }
        if before != peer && self.peers.get(&id).is_some_and(|peer| peer.first.session.rests()) {
            self.start_session(id);
        }
        if change.import || import_differs(before, peer) {
            rework.judged.insert(id);
        }
        if before.max_prefixes != peer.max_prefixes {
            self.ask_for_what_was_discarded(id);
        }
        if before.route_reflector_client != peer.route_reflector_client {
            // Others may now be told of a client's paths, or no longer (RFC 4456 §6).
            rework.retold.insert(id);
        }
        if change.export || export_differs(before, peer) {
            rework.walked.insert(id);
        } else {
            match rework.compared(&before.export, &peer.export) {
                Some(prefixes) => rework.prefixes.extend(prefixes),
                None => drop(rework.walked.insert(id)),
            }
        }
        rework.changed.push(id);
    }

    /// What is new about a peer can only be had with a new session.
    fn change_session(&mut self, id: PeerId, before: &PeerIntent, new: &PeerIntent) {
        let why = "a configuration change needs a new session";
        if is_same_router(before, new) {
            self.stop_sessions(id, Reason::OTHER_CONFIGURATION_CHANGE, why);
        } else {
            self.stop_sessions(id, Reason::PEER_DECONFIGURED, why);
            self.let_go_all(id);
        }
        if let (Some(peer), Some(intent)) = (self.peers.get_mut(&id), &self.intent) {
            self.by_address.remove(&(peer.intent.address, id));
            self.by_address.insert((new.address, id));
            peer.intent = new.clone();
            let session = peer.new_session(intent, self.seed);
            let before = std::mem::replace(&mut peer.first.session, session);
            peer.retire(&before);
        }
        self.start_session(id);
    }

    fn configure_fib(&mut self, old: &Intent, new: &Intent) {
        let kept: BTreeSet<Prefix> = new.pod_cidrs.iter().copied().collect();
        for prefix in &old.pod_cidrs {
            if !kept.contains(prefix) || !new.fib.install {
                self.fib.desire(*prefix, AGGREGATE_METRIC, None);
            }
        }
        if new.fib.install {
            for prefix in &new.pod_cidrs {
                self.fib.desire(*prefix, AGGREGATE_METRIC, Some(&Plan::Unreachable));
            }
        }
        if old.fib.metric != new.fib.metric || old.fib.install != new.fib.install {
            self.fib.desire_none_under(old.fib.metric);
        }
        if old.fib != new.fib {
            self.fib.configure(new.fib.next_hop_groups, new.fib.install_backup);
            self.rib.mark_dirty(|_| true);
        }
    }
}

/// Whether what the one has announced may be kept until the other does.
fn is_same_router(old: &PeerIntent, new: &PeerIntent) -> bool {
    (old.address, &old.interface, old.asn) == (new.address, &new.interface, new.asn)
}

/// Whether the difference can only be had with a new connection.
fn socket_differs(old: &PeerIntent, new: &PeerIntent) -> bool {
    let of = |peer: &PeerIntent| {
        let ends =
            (peer.address, peer.interface.clone(), peer.port, peer.source, peer.source_interface.clone());
        (ends, peer.password.clone(), peer.distance)
    };
    of(old) != of(new)
}

fn import_differs(old: &PeerIntent, new: &PeerIntent) -> bool {
    let peer = |p: &PeerIntent| (p.as_path, p.accept_blackhole, p.anycast);
    old.import != new.import || peer(old) != peer(new)
}

/// Whether a peer is to be told otherwise for any reason but its export policy.
fn export_differs(old: &PeerIntent, new: &PeerIntent) -> bool {
    let peer = |p: &PeerIntent| {
        (
            p.export_communities.clone(),
            p.next_hop,
            p.extended_next_hop,
            p.add_path.send,
            p.as_path,
            p.route_reflector_client,
            p.graceful_restart.map(|g| g.partial_deployment),
            (p.anycast, p.scope_name.clone()),
        )
    };
    peer(old) != peer(new)
}
