//! Settling: decide dirty prefixes, then tell the FIB and the peers.
//!
//! Work is done in portions, so that no table size keeps a timer or another peer waiting for long.
//! Nothing here depends on what changed: for a dirty prefix the wanted state is computed afresh, and
//! FIB and Adj-RIB-Out find out for themselves whether that is news.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::audience::Audience;
use super::intent::{Intent, SendPaths};
use super::peer::Peer;
use super::{Action, Notice, Speaker};
use crate::bgp::{Codec, Nlri};
use crate::rib::adj_rib_out::Batch;
use crate::rib::decision::{Candidate, Decision, Kind, Rule, decide};
use crate::rib::export::Presence;
use crate::rib::loc_rib::{Destination, Place};
use crate::rib::next_hop::{NextHops, OnLink, is_link_local};
use crate::rib::{Path, PeerId, Source};

/// Prefixes decided, walked or sent in one portion.
const PORTION: usize = 512;
/// A peer is given no more while this many octets wait for its socket.
const UNSENT_MOST: usize = 256 * 1024;

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
        let mut told = false;
        for id in std::mem::take(&mut self.busy) {
            told |= self.tell(id);
        }
        // What is told may be no more than an end, of a table or of a refresh.
        decided || changed || told || !self.actions.is_empty() || self.interner.tidy()
    }

    /// Decides one portion of the dirty destinations; `false` if there was none.
    pub(super) fn settle_dirty(&mut self) -> bool {
        let Some(intent) = &self.intent else { return false };
        let mut places: Vec<Place> = std::iter::from_fn(|| self.rib.pop_dirty()).take(PORTION).collect();
        let any = !places.is_empty();
        self.interner.note_changes(places.len());
        places.retain(|place| self.may_decide(*place));
        let mut resolved = None;
        for path in places.iter().flat_map(|place| self.rib.at(*place).1.paths()) {
            let next_hop = next_hop(&self.peers, path);
            if resolved.replace(next_hop) != Some(next_hop) {
                self.next_hops.resolve(next_hop);
            }
        }
        let facts =
            Facts { intent, peers: &self.peers, next_hops: &self.next_hops, presence: self.presence() };
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
        self.export(&places, |_| true);
        for place in &places {
            self.rib.drop_if_empty(*place);
        }
        any
    }

    /// Puts what the peers that are `concerned` should know of these destinations into their
    /// Adj-RIBs-Out.
    fn export(&mut self, places: &[Place], concerned: impl Fn(PeerId) -> bool) {
        let Some(intent) = &self.intent else { return };
        if places.is_empty() {
            return;
        }
        let facts =
            Facts { intent, peers: &self.peers, next_hops: &self.next_hops, presence: self.presence() };
        let audience = Audience::new(&facts, concerned);
        let groups = audience.told(&facts, places.iter().map(|p| self.rib.at(*p)), &mut self.interner);
        let groups_of_peers = audience.into_groups_of_peers();
        for (id, group) in groups_of_peers {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            // Nobody is told what it has said itself.
            let own = Source::Peer(id);
            for told in &groups[group].best {
                let attributes = told.attributes.clone().filter(|_| told.source != Some(own));
                peer.out.set(told.prefix, attributes);
            }
            for told in &groups[group].paths {
                let others = told.paths.iter().filter(|path| path.source != own);
                peer.out.set_paths(told.prefix, others.map(|path| (path.id, path.attributes.clone())));
            }
            self.busy.insert(id);
        }
    }

    /// Compares a peer's whole Adj-RIB-Out with what it should be, in portions.
    pub(super) fn walk_again(&mut self, id: PeerId) {
        if let Some((peer, negotiated)) = self.established_session(id) {
            peer.walks = negotiated.codec.families.iter().map(|f| (*f, None)).collect();
            self.busy.insert(id);
        }
    }

    /// Gives a peer one portion of what it is still to be told; `false` if there was nothing, or no
    /// room.
    fn tell(&mut self, id: PeerId) -> bool {
        let walked = self.walk(id);
        // What is dirty must have been announced, too, before we say that this is all.
        let settled = self.rib.is_settled();
        let may_end = settled && !self.holds_end_of_rib();
        let Some((peer, negotiated)) = self.established_session(id) else { return false };
        if peer.first.connection.as_ref().is_none_or(|c| c.unsent > UNSENT_MOST) {
            return false;
        }
        let mut not_encodable = None;
        let codec = &negotiated.codec;
        let (mut octets, mut messages) = (vec![], 0);
        for batch in peer.out.poll_batches(PORTION) {
            let (count, lost) = encode(codec, &batch, &mut octets);
            messages += count;
            peer.out.forget(lost);
            not_encodable = lost.first().copied().or(not_encodable);
        }
        for batch in peer.out.poll_path_batches(PORTION) {
            let (count, lost) = encode(codec, &batch, &mut octets);
            messages += count;
            peer.out.forget_paths(lost);
            not_encodable = lost.first().map(|path| path.prefix).or(not_encodable);
        }
        let sent_any = messages > 0;
        let ends_later = !settled && !peer.end_of_rib_due.is_empty();
        if may_end && peer.out.is_in_step() {
            for family in std::mem::take(&mut peer.end_of_rib_due) {
                if peer.walks.contains_key(&family) {
                    peer.end_of_rib_due.insert(family);
                } else {
                    codec.encode_end_of_rib(family, &mut octets);
                    messages += 1;
                }
            }
        }
        peer.first.session.send_updates(octets, messages);
        self.mark_refreshes(id);
        if walked || sent_any || ends_later {
            self.busy.insert(id);
        }
        self.drain(id);
        if let Some(prefix) = not_encodable {
            let peer = self.peer_name(id);
            self.notice(Notice::NotEncodable { peer, prefix });
        }
        walked || sent_any
    }

    /// Advances a peer's table walk by one portion; `false` if there is none.
    fn walk(&mut self, id: PeerId) -> bool {
        let next = self.peers.get(&id).and_then(|p| p.walks.first_key_value());
        let Some((family, after)) = next.map(|(f, a)| (*f, *a)) else { return false };
        let portion = self.rib.walk(family, after, PORTION);
        self.export(&portion, |peer| peer == id);
        if let Some(peer) = self.peers.get_mut(&id) {
            match portion.last() {
                Some(last) if portion.len() == PORTION => peer.walks.insert(family, Some(*last)),
                _ => peer.walks.remove(&family),
            };
        }
        true
    }
}

/// Encodes a batch, as withdrawals where its announcements do not fit into a message. Returns how many
/// messages that made, and what could not be announced.
fn encode<'b, T: Nlri>(codec: &Codec, batch: &'b Batch<T>, octets: &mut Vec<u8>) -> (usize, &'b [T]) {
    match batch {
        Batch::Withdraw(prefixes) => (codec.encode_withdrawals(prefixes, octets), &[]),
        Batch::Announce(attributes, prefixes) => {
            match codec.encode_announcements(attributes, prefixes, octets) {
                0 => (codec.encode_withdrawals(prefixes, octets), prefixes),
                count => (count, &[]),
            }
        }
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
}

impl Facts<'_> {
    /// Decides among the eligible paths of a destination, whose next hops have been resolved. Indexes
    /// refer to the destination's paths.
    pub(super) fn decide(&self, destination: &Destination) -> Option<Decision> {
        let paths = destination.paths();
        if let [path] = paths {
            self.candidate(path).ok()?;
            return Some(Decision { best: 0, rule: Rule::OnlyPath, equal: vec![0] });
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
        let resolution = self.next_hops.resolved(next_hop(self.peers, path));
        let interior_cost = resolution.ok_or("its next hop is unreachable")?.cost;
        let peer = self.peers.get(&id).ok_or("its peer is gone")?;
        let negotiated = peer.agreed.as_ref().ok_or("its session is down")?;
        Ok(Candidate {
            attributes,
            kind: if negotiated.external() { Kind::External } else { Kind::Internal },
            interior_cost,
            router_id: negotiated.router_id,
            peer_address: Some(peer.intent.address),
            path_id: path.path_id,
        })
    }
}
