//! From one intent to the next, touching only what differs.
//!
//! A session is reset only where the protocol leaves no choice: what its OPEN said or what its
//! socket was made with has changed. A change of import policy judges the kept paths again; a change
//! of export policy compares the peer's Adj-RIB-Out with what it should be.

use std::collections::BTreeSet;

use super::intent::{Intent, PeerIntent};
use super::peer::{Peer, session_config};
use super::updates::import;
use super::{Departure, Speaker};
use crate::bgp::Reason;
use crate::fib::{AGGREGATE_METRIC, Fib, Plan};
use crate::prefix::Prefix;
use crate::rib::{PeerId, Source};
use crate::time::Instant;

impl Speaker {
    /// Takes a new configuration in place of the one before.
    pub fn handle_intent(&mut self, now: Instant, intent: Intent) {
        self.now = now;
        self.clear_up();
        self.links.asked = Some(intent.clone());
        let intent = self.links.resolve_all(intent);
        let new = intent.clone();
        let Some(old) = self.intent.replace(intent) else {
            self.configure_first_time();
            return;
        };
        if old == new {
            return;
        }
        self.configure_ranges(&old, &new);
        for name in old.peers.keys().filter(|name| !new.peers.contains_key(*name)) {
            self.remove_peer(name);
        }
        for (name, peer) in &new.peers {
            match old.peers.get(name) {
                None => self.add_peer(name, peer),
                Some(before) => self.change_peer(name, (&old, before), (&new, peer)),
            }
        }
        self.configure_fib(&old, &new);
        self.watch_paths();
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
        self.intent = None;
        self.links.asked = None;
    }

    fn configure_first_time(&mut self) {
        let Some(intent) = self.intent.clone() else { return };
        self.begin_restart();
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
        self.configure_anycast_first_time(&intent);
        self.originate_what_is_deliverable();
        self.advance_restart();
    }

    fn add_peer(&mut self, name: &str, peer: &PeerIntent) {
        let Some(intent) = &self.intent else { return };
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        let mut peer = Peer::new(id, peer.clone(), intent, self.seed);
        peer.set_restart_bits(self.restart.bits());
        self.peers.insert(id, peer);
        self.names.insert(name.to_owned(), id);
        self.start_session(id);
    }

    fn remove_peer(&mut self, name: &str) {
        let Some(id) = self.names.remove(name) else { return };
        self.stop_sessions(id, Reason::PEER_DECONFIGURED, "the peer is no longer configured");
        self.forget_peer(id);
    }

    /// Forgets a peer whose sessions have ended.
    pub(super) fn forget_peer(&mut self, id: PeerId) {
        self.let_go_all(id);
        if let Some(peer) = self.peers.remove(&id) {
            self.forget_wake(id, peer.wake);
        }
        self.busy.remove(&id);
        self.advance_restart();
    }

    pub(super) fn change_peer(
        &mut self,
        name: &str,
        old: (&Intent, &PeerIntent),
        new: (&Intent, &PeerIntent),
    ) {
        let Some(id) = self.names.get(name).copied() else { return };
        let config = session_config(new.0, new.1);
        let can_go_on = config.differs_in_pauses_alone(&session_config(old.0, old.1));
        if !can_go_on || socket_differs(old.1, new.1) {
            let why = "a configuration change needs a new session";
            if is_same_router(old.1, new.1) {
                self.stop_sessions(id, Reason::OTHER_CONFIGURATION_CHANGE, why);
            } else {
                self.stop_sessions(id, Reason::PEER_DECONFIGURED, why);
                self.let_go_all(id);
            }
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.intent = new.1.clone();
                let session = peer.new_session(new.0, self.seed);
                let before = std::mem::replace(&mut peer.first.session, session);
                peer.retire(&before);
            }
            self.start_session(id);
            return;
        }
        let waited = self.peers.get(&id).is_some_and(Peer::waits_for_path);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.intent = new.1.clone();
            peer.first.session.set_pauses(&config);
        }
        if waited {
            self.start_session(id);
        }
        if old.1 != new.1 && self.peers.get(&id).is_some_and(|peer| peer.first.session.rests()) {
            self.start_session(id);
        }
        if import_differs(old, new) {
            let peer_asn = self.peers.get(&id).map_or(0, Peer::shown_asn);
            let (import, interner) = (import(new.0, new.1, peer_asn), &mut self.interner);
            self.rib.reconsider(Source::Peer(id), |prefix, path| {
                import.arrival(path.source, path.received().clone()).path(prefix, interner)
            });
            self.mark_last_resorts(id);
        }
        if old.1.max_prefixes != new.1.max_prefixes {
            self.ask_for_what_was_discarded(id);
        }
        if old.1.route_reflector_client != new.1.route_reflector_client {
            // Others may now be told of a client's paths, or no longer (RFC 4456 §6).
            self.rib.mark_dirty(|path| path.source == Source::Peer(id));
        }
        self.enforce_max_prefixes(id);
        self.drain(id);
        if export_differs(old, new) {
            self.walk_again(id);
        }
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

fn import_differs(old: (&Intent, &PeerIntent), new: (&Intent, &PeerIntent)) -> bool {
    let peer = |p: &PeerIntent| (p.as_path, p.accept_blackhole, p.anycast);
    old.1.import != new.1.import
        || peer(old.1) != peer(new.1)
        || (old.0.asn, &old.0.protected, &old.0.addresses, old.0.cluster_id)
            != (new.0.asn, &new.0.protected, &new.0.addresses, new.0.cluster_id)
}

fn export_differs(old: (&Intent, &PeerIntent), new: (&Intent, &PeerIntent)) -> bool {
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
    old.1.export != new.1.export
        || peer(old.1) != peer(new.1)
        // A session under another AS of ours outlives a change of the real one.
        || old.0.asn != new.0.asn
        || old.0.addresses != new.0.addresses
        || old.0.cluster_id != new.0.cluster_id
}
