//! Re-homing: when other nodes reflect than before, new sessions come first and old ones go last
//! (RFC 4456 leaves that to us).
//!
//! Every node finds the mesh by itself, and learns of a change when it learns of it. So what the mesh has no
//! more stays for a while: sessions, with the policies that they had; and on sessions that go on, what was
//! exchanged before of pods that are still there, beside what is exchanged now. We let go of both when
//! all that the mesh has now is in step: Established, and its End-of-RIB seen. A reflector does not leave its
//! former clients; it waits until they have left. Both ends let go of a session at once when it ends, and of
//! everything after [`LONGEST`] anyway.
//!
//! This is for nodes that are still there. The session with a Node that has been deleted goes at once, and what
//! is said of its pods: its pod CIDR may be given to another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::configure::Change;
use super::intent::{Intent, PeerIntent, PeerOrigin, Policy, PrefixRule};
use super::peer::Peer;
use super::{Notice, Speaker};
use crate::bgp::Reason;
use crate::prefix::Prefix;
use crate::rib::PeerId;
use crate::rib::policy::PrefixSet;
use crate::time::Instant;

/// For how long others may yet have to hear of a change that we have heard of: so long a former reflector
/// stays, if all is in step before.
const OTHERS_HEAR: Duration = Duration::from_secs(5);
/// How long a session stays at the most, whoever is down that should be in step.
const LONGEST: Duration = Duration::from_secs(60);

/// What the mesh has no more.
#[derive(Debug, Default)]
pub(super) struct Rehoming {
    /// Sessions.
    kept: BTreeMap<PeerId, Stay>,
    /// Policies that let through what they let through before.
    widened: Option<Stay>,
}

#[derive(Debug, Clone, Copy)]
struct Stay {
    at_least: Instant,
    at_most: Instant,
}

impl Stay {
    fn from(now: Instant) -> Stay {
        Stay { at_least: now + OTHERS_HEAR, at_most: now + LONGEST }
    }
}

impl Rehoming {
    /// When it goes on without any news.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let next = |stay: &Stay| if now < stay.at_least { stay.at_least } else { stay.at_most };
        self.kept.values().chain(&self.widened).map(next).min()
    }

    /// Whether a peer is none of the intent's any more.
    pub(super) fn has(&self, id: PeerId) -> bool {
        self.kept.contains_key(&id)
    }

    pub(super) fn forget(&mut self, id: PeerId) {
        self.kept.remove(&id);
    }

    /// The new intent, but that sessions of the mesh which go on let through what they have let through.
    pub(super) fn widened(&mut self, now: Instant, old: &Intent, mut new: Intent) -> Intent {
        let mut there: Option<BTreeSet<PrefixRule>> = None;
        let mut last: Option<([Policy; 2], Option<Policy>)> = None;
        let mut wide = |before: &Policy, now: &Policy, new: &Intent| {
            if before == now {
                return None;
            }
            // Those of a mesh are the same for thousands of peers.
            if let Some((_, wide)) = last.as_ref().filter(|([a, b], _)| a == before && b == now) {
                return wide.clone();
            }
            let there = there.get_or_insert_with(|| exchanged(new));
            let kept: BTreeSet<PrefixRule> = listed(now).collect();
            let lost = listed(before).filter(|rule| there.contains(rule) && !kept.contains(rule));
            let lost: Vec<PrefixRule> = lost.collect();
            let wide = (!lost.is_empty()).then(|| Policy::accepting(lost.into_iter().chain(kept)));
            last = Some(([before.clone(), now.clone()], wide.clone()));
            wide
        };
        let mut policies = vec![];
        for (name, peer) in new.peers.iter().filter(|(_, peer)| peer.origin == PeerOrigin::Mesh) {
            let Some(before) = old.peers.get(name).filter(|before| before.address == peer.address) else {
                continue;
            };
            let import = wide(&before.import, &peer.import, &new);
            let export = wide(&before.export, &peer.export, &new);
            if import.is_some() || export.is_some() {
                policies.push((name.clone(), import, export, before.route_reflector_client));
            }
        }
        self.widened = (!policies.is_empty()).then(|| self.widened.unwrap_or(Stay::from(now)));
        for (name, import, export, client) in policies {
            if let Some(peer) = new.peers.get_mut(&name) {
                peer.route_reflector_client |= client;
                peer.import = import.unwrap_or_else(|| peer.import.clone());
                peer.export = export.unwrap_or_else(|| peer.export.clone());
            }
        }
        new
    }
}

/// What a policy of the mesh lets through: lists alone.
fn listed(policy: &Policy) -> impl Iterator<Item = PrefixRule> {
    let lists = policy.rules.iter().filter_map(|rule| rule.matches.prefixes.as_ref());
    lists.flat_map(PrefixSet::rules).copied()
}

/// All pods that a mesh is about: what its nodes accept from each other, and what they have themselves.
fn exchanged(intent: &Intent) -> BTreeSet<PrefixRule> {
    let mesh = intent.peers.values().filter(|peer| peer.origin == PeerOrigin::Mesh);
    let own = intent.pod_cidrs.iter().copied().map(PrefixRule::exactly);
    let mut last: Option<&Policy> = None;
    let mut all: BTreeSet<PrefixRule> = own.collect();
    for peer in mesh {
        if last.replace(&peer.import) != Some(&peer.import) {
            all.extend(listed(&peer.import));
        }
    }
    all
}

impl Speaker {
    /// Takes leave of a peer that the new intent does not have: now, or when others are in step.
    pub(super) fn dismiss(&mut self, name: &str, before: &PeerIntent, change: &Change<'_>) {
        let Some(id) = self.names.get(name).copied() else { return };
        let established = self.peers.get(&id).is_some_and(|peer| peer.established().is_some());
        if established && self.leaving.is_none() && may_stay(before, change) {
            self.rehoming.kept.insert(id, Stay::from(self.now));
            self.notice(Notice::Rehoming { peer: name.to_owned() });
        } else {
            self.remove_peer(name);
        }
    }

    /// Looks again at the peers that an intent before this one had.
    pub(super) fn reconsider_dismissed(&mut self, change: &Change<'_>) {
        for id in self.rehoming.kept.keys().copied().collect::<Vec<_>>() {
            let name = self.peer_name(id);
            let Some(before) = self.peers.get(&id).map(|peer| peer.intent.clone()) else { continue };
            if !change.new.peers.contains_key(&name) && !may_stay(&before, change) {
                self.remove_peer(&name);
            }
        }
    }

    /// Lets go of what need not stay any longer; `false` if there is nothing.
    pub(super) fn advance_rehoming(&mut self) -> bool {
        let Rehoming { kept, widened } = &self.rehoming;
        // Most often there is nothing, and nothing goes before others have had their time to hear.
        if kept.values().chain(widened).all(|stay| stay.at_least > self.now) {
            return false;
        }
        let in_step = self.mesh_is_in_step();
        let is_client =
            |id: &PeerId| self.peers.get(id).is_some_and(|peer| peer.intent.route_reflector_client);
        let over = |stay: &Stay, waits: bool| {
            stay.at_most <= self.now || (in_step && !waits && stay.at_least <= self.now)
        };
        let left = kept.iter().filter(|(id, stay)| over(stay, is_client(id)));
        let left: Vec<PeerId> = left.map(|(id, _)| *id).collect();
        let narrowed = widened.is_some_and(|stay| over(&stay, kept.keys().any(is_client)));
        for id in &left {
            self.remove_peer(&self.peer_name(*id));
        }
        if !left.is_empty() {
            self.watch_paths();
        }
        if narrowed {
            self.rehoming.widened = None;
            self.links.asked.clone().into_iter().for_each(|asked| self.apply_intent(asked));
        }
        narrowed || !left.is_empty()
    }

    /// Forgets a peer of a former mesh whose session has ended.
    pub(super) fn forget_if_left(&mut self, id: PeerId) {
        if !self.rehoming.has(id) {
            return;
        }
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.established().is_none()) else { return };
        let watched = peer.intent.bfd.is_some();
        self.remove_peer(&self.peer_name(id));
        if watched {
            self.watch_paths();
        }
    }

    /// Ends the sessions of a peer and forgets it.
    pub(super) fn remove_peer(&mut self, name: &str) {
        let Some(id) = self.names.get(name).copied() else { return };
        self.rehoming.forget(id);
        self.stop_sessions(id, Reason::PEER_DECONFIGURED, "the peer is no longer configured");
        // Until here, notices call it by its name.
        self.names.remove(name);
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
