//! Re-homing: when other nodes reflect than before, new sessions come first and old ones go last
//! (RFC 4456 leaves that to us).
//!
//! Every node finds the mesh by itself, and learns of a change when it learns of it. A session that the mesh
//! has no more therefore stays for a while, with the policies that it had. We leave it when all that the mesh
//! has now is in step: Established, and its End-of-RIB seen. A reflector does not leave its former clients;
//! it waits until they have left. Both ends let go of it at once when it ends, and after [`LONGEST`] anyway.
//!
//! This is for nodes that are still there. The session with a Node that has been deleted goes at once: its
//! pod CIDR may be given to another.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::configure::Change;
use super::intent::{Intent, PeerIntent, PeerOrigin};
use super::peer::Peer;
use super::{Notice, Speaker};
use crate::bgp::Reason;
use crate::prefix::Prefix;
use crate::rib::PeerId;
use crate::time::Instant;

/// For how long others may yet have to hear of a change that we have heard of: so long a former reflector
/// stays, if all is in step before.
const OTHERS_HEAR: Duration = Duration::from_secs(5);
/// How long a session stays at the most, whoever is down that should be in step.
const LONGEST: Duration = Duration::from_secs(60);

/// Sessions that the mesh has no more.
#[derive(Debug, Default)]
pub(super) struct Rehoming(BTreeMap<PeerId, Stay>);

#[derive(Debug, Clone, Copy)]
struct Stay {
    at_least: Instant,
    at_most: Instant,
}

impl Rehoming {
    /// When it goes on without any news.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let next = |stay: &Stay| if now < stay.at_least { stay.at_least } else { stay.at_most };
        self.0.values().map(next).min()
    }

    /// Whether a peer is none of the intent's any more.
    pub(super) fn has(&self, id: PeerId) -> bool {
        self.0.contains_key(&id)
    }

    /// Peers that are none of the intent's any more.
    pub(super) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.0.keys().copied()
    }

    pub(super) fn forget(&mut self, id: PeerId) {
        self.0.remove(&id);
    }
}

impl Speaker {
    /// Takes leave of a peer that the new intent does not have: now, or when others are in step.
    pub(super) fn dismiss(&mut self, name: &str, before: &PeerIntent, change: &Change<'_>) {
        let Some(id) = self.names.get(name).copied() else { return };
        let established = self.peers.get(&id).is_some_and(|peer| peer.established().is_some());
        if established && self.leaving.is_none() && may_stay(before, change) {
            let stay = Stay { at_least: self.now + OTHERS_HEAR, at_most: self.now + LONGEST };
            self.rehoming.0.insert(id, stay);
            self.notice(Notice::Rehoming { peer: name.to_owned() });
        } else {
            self.remove_peer(name);
        }
    }

    /// Looks again at the peers that an intent before this one had.
    pub(super) fn reconsider_dismissed(&mut self, change: &Change<'_>) {
        for id in self.rehoming.peers().collect::<Vec<_>>() {
            let name = self.peer_name(id);
            let Some(before) = self.peers.get(&id).map(|peer| peer.intent.clone()) else { continue };
            if !change.new.peers.contains_key(&name) && !may_stay(&before, change) {
                self.remove_peer(&name);
            }
        }
    }

    /// Leaves the sessions that need not stay any longer; `false` if there is none.
    pub(super) fn advance_rehoming(&mut self) -> bool {
        if self.rehoming.0.is_empty() {
            return false;
        }
        let in_step = self.mesh_is_in_step();
        let over = |(id, stay): (&PeerId, &Stay)| {
            let waits = self.peers.get(id).is_some_and(|peer| peer.intent.route_reflector_client);
            let done = in_step && !waits && stay.at_least <= self.now;
            (done || stay.at_most <= self.now).then_some(*id)
        };
        let over: Vec<PeerId> = self.rehoming.0.iter().filter_map(over).collect();
        for id in &over {
            self.remove_peer(&self.peer_name(*id));
        }
        !over.is_empty()
    }

    /// Forgets a peer of a former mesh whose session has ended.
    pub(super) fn forget_if_left(&mut self, id: PeerId) {
        let ended = self.peers.get(&id).is_some_and(|peer| peer.established().is_none());
        if ended && self.rehoming.has(id) {
            self.remove_peer(&self.peer_name(id));
        }
    }

    /// Ends the sessions of a peer and forgets it.
    pub(super) fn remove_peer(&mut self, name: &str) {
        let Some(id) = self.names.remove(name) else { return };
        self.rehoming.forget(id);
        self.stop_sessions(id, Reason::PEER_DECONFIGURED, "the peer is no longer configured");
        self.forget_peer(id);
    }

    /// Whether every session of the mesh is up and has said all there is.
    fn mesh_is_in_step(&self) -> bool {
        let Some(intent) = &self.intent else { return false };
        let mut mesh = intent.peers.iter().filter(|(_, peer)| peer.origin == PeerOrigin::Mesh);
        mesh.all(|(name, _)| self.names.get(name).and_then(|id| self.peers.get(id)).is_some_and(is_in_step))
    }
}

fn is_in_step(peer: &Peer) -> bool {
    let negotiated = peer.established().and_then(|session| session.negotiated());
    negotiated.is_some_and(|n| n.codec.families.iter().all(|family| peer.end_of_rib_seen.contains(family)))
}

/// Whether a session that the new intent does not have may stay for a while: both nodes are there, there is
/// a mesh, and neither the session nor the address is another's now.
fn may_stay(before: &PeerIntent, change: &Change<'_>) -> bool {
    let Change { old, new, .. } = *change;
    let mut peers = new.peers.values();
    before.origin == PeerOrigin::Mesh
        && is_node(new, before.address)
        && peers.clone().any(|peer| peer.origin == PeerOrigin::Mesh)
        && !peers.any(|peer| peer.address == before.address)
        && (old.asn, old.router_id, &old.addresses) == (new.asn, new.router_id, &new.addresses)
}

/// Whether there is a Node of that address: those of all Nodes are protected.
fn is_node(intent: &Intent, address: IpAddr) -> bool {
    intent.protected.contains(&Prefix::host(address))
}
