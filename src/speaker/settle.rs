//! Settling: decide dirty prefixes, tell the FIB, and set what groups of peers are to be told.
//!
//! Work is done in portions, so that no table size keeps a timer or another peer waiting for long.
//! Nothing here depends on what changed: for a dirty prefix the wanted state is computed afresh, and
//! FIB and update groups find out for themselves whether that is news.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::audience::{Exported, ToldPaths};
use super::groups::{GroupId, Groups};
use super::intent::{Intent, SendPaths};
use super::peer::Peer;
use super::standing::Recent;
use super::{Action, Speaker};
use crate::rib::decision::{Candidate, Decision, Kind, decide};
use crate::rib::export::Presence;
use crate::rib::loc_rib::{Destination, Place};
use crate::rib::next_hop::{NextHops, OnLink, is_link_local};
use crate::rib::{Path, PeerId, Source};

/// Prefixes decided, walked or sent in one portion.
pub(super) const PORTION: usize = 512;

impl Speaker {
    /// Decides, and tells of, one portion of what is dirty; `false` if there was nothing.
    pub(super) fn settle_some(&mut self) -> bool {
        self.actions.extend(self.fib.poll_urgent().map(Action::ChangeRoutes));
        if !self.actions.is_empty() {
            return true;
        }
        self.clear_up();
        if std::mem::take(&mut self.aggregates_changed) {
            self.originate_waiting_anycast();
            self.originate_what_is_deliverable();
        }
        let decided = self.settle_dirty();
        let settled = self.rib.is_settled();
        let batch = self.fib.poll_batch(PORTION, settled);
        let changed = batch.is_some();
        self.actions.extend(batch.map(Action::ChangeRoutes));
        let walked = self.walk_groups();
        let told = self.tell_groups() | self.tell_busy();
        self.let_places_go();
        // What is told may be no more than an end, of a table or of a refresh.
        let any = decided || changed || walked || told || !self.actions.is_empty() || self.interner.tidy();
        if !any {
            self.merge_groups();
        }
        any
    }

    /// Decides one portion of the dirty destinations; `false` if there was none.
    pub(super) fn settle_dirty(&mut self) -> bool {
        self.regroup();
        // Before any of them can be dropped for being empty, and the table shrinks under it.
        self.let_places_go();
        let Some(intent) = &self.intent else { return false };
        let walked = !self.rib.is_busy() && self.rib.advance();
        let mut places: Vec<Place> = std::iter::from_fn(|| self.rib.pop_dirty()).take(PORTION).collect();
        let any = walked || !places.is_empty();
        self.interner.note_changes(places.len());
        let put_off: Vec<Place> = places.extract_if(.., |place| !self.may_decide(*place)).collect();
        self.groups.retract(&put_off);
        let mut resolved = None;
        for path in places.iter().flat_map(|place| self.rib.at(*place).1.paths()) {
            let next_hop = next_hop(&self.peers, path);
            if resolved.replace(next_hop) != Some(next_hop) {
                self.next_hops.resolve(next_hop);
            }
        }
        let facts = Facts::new(intent, &self.peers, &self.next_hops, self.presence());
        for place in &places {
            let (prefix, destination) = self.rib.at_mut(*place);
            let decision = facts.decide(destination);
            if intent.fib.install {
                // The node answers for Services itself, before it looks for a route.
                let routed = decision.as_ref().filter(|_| !intent.scopes.contains_key(&prefix));
                let plan = routed.and_then(|d| facts.plan(prefix.family(), destination, d));
                self.fib.desire(prefix, intent.fib.metric, plan.as_ref());
            }
            destination.set_best(decision.as_ref());
        }
        self.export(&places, None);
        for place in places.iter().filter(|place| !self.groups.holds.has(**place)) {
            self.rib.drop_if_empty(*place);
        }
        any
    }

    /// Has groups of peers know what they should of these destinations: one group, or all.
    pub(super) fn export(&mut self, places: &[Place], to: Option<GroupId>) {
        let presence = self.presence();
        let Some(intent) = self.intent.as_ref().filter(|_| !places.is_empty()) else { return };
        let facts = Facts::new(intent, &self.peers, &self.next_hops, presence);
        let Groups { all, holds, .. } = &mut self.groups;
        let mut paths = vec![];
        for (_, group) in all.iter_mut().filter(|(id, _)| to.is_none_or(|to| to == **id)) {
            // They are alike.
            let Some(terms) = group.out.members().find_map(|peer| facts.terms(peer)) else { continue };
            let mut exported = Exported::new(&facts, &terms, &mut self.interner);
            let mut named = vec![];
            for place in places {
                let (prefix, destination) = self.rib.at(*place);
                match terms.tells(place.family()) {
                    Some(None) => {
                        let best = destination.best();
                        let told =
                            best.and_then(|best| Some((exported.announced(prefix, best)?, best.source)));
                        group.out.set(*place, told, holds);
                    }
                    Some(Some(send)) if to.is_none() => named.push(exported.paths(prefix, destination, send)),
                    _ => {}
                }
            }
            if !named.is_empty() {
                paths.push((group.out.members().collect::<Vec<PeerId>>(), named));
            }
            self.busy.extend(group.out.apart());
        }
        for (members, named) in paths {
            members.into_iter().for_each(|peer| self.export_paths(peer, &named));
        }
    }

    /// Puts what a peer with path identifiers should know into its Adj-RIB-Out.
    fn export_paths(&mut self, id: PeerId, told: &[ToldPaths]) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // Nobody is told what it has said itself.
        let own = Source::Peer(id);
        for told in told {
            let others = told.paths.iter().filter(|path| path.source != own);
            peer.out.set(told.prefix, others.map(|path| (path.id, path.attributes.clone())));
        }
        self.busy.insert(id);
    }

    /// Advances a peer's table walk by one portion, of a family with path identifiers; `false` if there is
    /// none.
    pub(super) fn walk_paths(&mut self, id: PeerId) -> bool {
        let next = self.peers.get(&id).and_then(|p| p.walks.first_key_value());
        let Some((family, after)) = next.map(|(f, a)| (*f, *a)) else { return false };
        let portion = self.rib.walk(family, after, PORTION);
        let presence = self.presence();
        let Some(intent) = self.intent.as_ref() else { return false };
        let facts = Facts::new(intent, &self.peers, &self.next_hops, presence);
        let mut told = vec![];
        if let Some(terms) = facts.terms(id)
            && let Some(Some(send)) = terms.tells(family)
        {
            let mut exported = Exported::new(&facts, &terms, &mut self.interner);
            let destinations = portion.iter().map(|place| self.rib.at(*place));
            told.extend(destinations.map(|(prefix, found)| exported.paths(prefix, found, send)));
        }
        self.export_paths(id, &told);
        if let Some(peer) = self.peers.get_mut(&id) {
            match portion.last() {
                Some(last) if portion.len() == PORTION => peer.walks.insert(family, Some(*last)),
                _ => peer.walks.remove(&family),
            };
        }
        true
    }

    /// Compares all that a peer has been told with what it should be, in portions.
    pub(super) fn walk_again(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.established().is_some()) else { return };
        peer.walks = peer.families_of_paths().map(|family| (family, None)).collect();
        self.groups.walk_again(id);
        self.busy.insert(id);
    }
}

/// Where packets that take a path are handed to. A link-local next hop is on the link that the session
/// with the peer runs over; where that session is between link-local addresses, the one beside a global
/// next hop comes first (RFC 2545 §3 has it for forwarding).
pub(super) fn next_hop(peers: &BTreeMap<PeerId, Peer>, path: &Path) -> OnLink {
    let attributes = &path.attributes;
    let (next_hop, beside) = (attributes.next_hop, attributes.rare.link_local_next_hop);
    if beside.is_none() && !is_link_local(next_hop) {
        return next_hop.into();
    }
    let Source::Peer(id) = path.source else { return next_hop.into() };
    let link = peers.get(&id).and_then(|peer| peer.link);
    match (next_hop, beside) {
        (IpAddr::V6(address), _) if address.is_unicast_link_local() => OnLink::link_local(address, link),
        (_, Some(address)) if link.is_some() => OnLink::link_local(address, link),
        _ => next_hop.into(),
    }
}

/// What deciding and exporting look at besides the table, borrowed together.
pub(super) struct Facts<'a> {
    pub(super) intent: &'a Intent,
    pub(super) peers: &'a BTreeMap<PeerId, Peer>,
    pub(super) next_hops: &'a NextHops,
    pub(super) presence: Presence,
    /// What was found out last about the paths looked at.
    pub(super) recent: Recent,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        intent: &'a Intent,
        peers: &'a BTreeMap<PeerId, Peer>,
        next_hops: &'a NextHops,
        presence: Presence,
    ) -> Facts<'a> {
        Facts { intent, peers, next_hops, presence, recent: Recent::default() }
    }
    /// Decides among the eligible paths of a destination, whose next hops have been resolved. Indexes
    /// refer to the destination's paths.
    pub(super) fn decide(&self, destination: &Destination) -> Option<Decision> {
        let paths = destination.paths();
        // Most destinations have one path or two, and need no lists.
        match paths {
            [path] => return decide(&[self.candidate(path).ok()?]),
            [one, other] => {
                if let (Ok(one), Ok(other)) = (self.candidate(one), self.candidate(other)) {
                    return decide(&[one, other]);
                }
            }
            _ => {}
        }
        let (indexes, candidates): (Vec<usize>, Vec<Candidate<'_>>) =
            paths.iter().enumerate().filter_map(|(i, p)| Some((i, self.candidate(p).ok()?))).unzip();
        let mut decision = decide(&candidates)?;
        decision.equal.iter_mut().for_each(|i| *i = indexes[*i]);
        decision.best = indexes[decision.best];
        Some(decision)
    }

    /// The eligible paths of a destination that a peer with path identifiers is told of. Which are the
    /// best so many, is found by deciding again among those that are left.
    pub(super) fn best_of<'p>(&self, destination: &'p Destination, send: SendPaths) -> Vec<&'p Path> {
        let paths = destination.paths().iter();
        let eligible = paths.filter_map(|path| Some((path, self.candidate(path).ok()?)));
        let most = match send {
            SendPaths::All => return eligible.map(|(path, _)| path).collect(),
            SendPaths::Best(most) => usize::from(most.get()),
        };
        let (mut paths, mut candidates): (Vec<&Path>, Vec<Candidate<'_>>) = eligible.unzip();
        let mut best = vec![];
        while best.len() < most
            && let Some(decision) = decide(&candidates)
        {
            candidates.remove(decision.best);
            best.push(paths.remove(decision.best));
        }
        best
    }

    /// What the decision process sees of a path, or why it does not.
    pub(super) fn candidate<'p>(&self, path: &'p Path) -> Result<Candidate<'p>, &'static str> {
        if let Some(rejection) = path.rejected {
            return Err(rejection.name());
        }
        let attributes = &*path.attributes;
        let Source::Peer(id) = path.source else {
            return Ok(Candidate {
                attributes,
                kind: Kind::Local,
                interior_cost: 0,
                router_id: self.intent.router_id,
                peer_address: None,
                path_id: path.path_id,
            });
        };
        let standing = self.standing(id, path)?;
        Ok(Candidate {
            attributes,
            kind: standing.kind,
            interior_cost: standing.interior_cost,
            router_id: standing.router_id,
            peer_address: Some(standing.peer_address),
            path_id: path.path_id,
        })
    }
}
