//! Settling: decide dirty prefixes, then tell the FIB and the peers.
//!
//! Work is done in portions, so that no table size keeps a timer or another peer waiting for long.
//! Nothing here depends on what changed: for a dirty prefix the wanted state is computed afresh, and
//! FIB and Adj-RIB-Out find out for themselves whether that is news.

use super::intent::Intent;
use super::peer::Peer;
use super::{Action, Notice, Speaker};
use crate::bgp::session::Negotiated;
use crate::fib::{NextHop, Target};
use crate::prefix::{Family, Prefix};
use crate::rib::adj_rib_out::Batch;
use crate::rib::decision::{Candidate, Decision, Kind, decide};
use crate::rib::export::{Export, Provenance};
use crate::rib::loc_rib::Destination;
use crate::rib::next_hop::{NextHops, Resolution};
use crate::rib::well_known::{BLACKHOLE, bears};
use crate::rib::{Path, PeerId, Source};

/// Prefixes decided, walked or sent in one portion.
const PORTION: usize = 512;
/// A peer is given no more while this many octets wait for its socket.
const UNSENT_MOST: usize = 256 * 1024;

impl Speaker {
    /// Does one portion of what is left to do; `false` if there was nothing.
    pub(super) fn settle_some(&mut self) -> bool {
        let decided = self.settle_dirty();
        let changes = self.fib.poll_changes(PORTION);
        let changed = !changes.is_empty();
        if changed {
            self.actions.push_back(Action::ChangeRoutes(changes));
        }
        let mut told = false;
        for id in std::mem::take(&mut self.busy) {
            told |= self.tell(id);
        }
        decided || changed || told
    }

    /// Decides one portion of the dirty prefixes; `false` if there was none.
    pub(super) fn settle_dirty(&mut self) -> bool {
        let mut any = false;
        for _ in 0..PORTION {
            let Some(prefix) = self.rib.pop_dirty() else { break };
            self.settle(prefix);
            any = true;
        }
        any
    }

    fn settle(&mut self, prefix: Prefix) {
        let Some(intent) = &self.intent else { return };
        let Some(destination) = self.rib.destination_mut(prefix) else { return };
        for path in destination.paths() {
            self.next_hops.resolve(path.attributes.next_hop);
        }
        let facts = Facts { intent, peers: &self.peers, next_hops: &self.next_hops };
        let outcome = facts.decide(destination);
        let target = outcome.as_ref().and_then(|o| o.target(intent));
        destination.set_best(outcome.as_ref().map(|o| &o.decision));
        if intent.fib.install {
            self.fib.desire(prefix, intent.fib.metric, target);
        }
        let told: Vec<PeerId> = self.established_peers().map(|(id, _)| id).collect();
        for id in told {
            self.export(id, prefix);
        }
        self.rib.drop_if_empty(prefix);
    }

    /// Puts what `id` should know of `prefix` into its Adj-RIB-Out.
    fn export(&mut self, id: PeerId, prefix: Prefix) {
        let (Some(intent), Some(peer)) = (&self.intent, self.peers.get(&id)) else { return };
        let Some(negotiated) = peer.established().and_then(|s| s.negotiated()) else { return };
        if !negotiated.codec.families.contains(&prefix.family()) {
            return;
        }
        let facts = Facts { intent, peers: &self.peers, next_hops: &self.next_hops };
        let attributes =
            self.rib.destination(prefix).and_then(Destination::best).and_then(|best| {
                facts.export(peer, negotiated).attributes(prefix, best, facts.provenance(best))
            });
        let attributes = attributes.map(|a| self.interner.intern(a));
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.out.set(prefix, attributes);
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
        let Some((peer, negotiated)) = self.established_session(id) else { return false };
        if peer.first.connection.as_ref().is_none_or(|c| c.unsent > UNSENT_MOST) {
            return false;
        }
        let mut not_encodable = None;
        let batches = peer.out.poll_batches(PORTION);
        let sent_any = !batches.is_empty();
        let codec = &negotiated.codec;
        let (mut octets, mut messages) = (vec![], 0);
        for batch in batches {
            messages += match batch {
                Batch::Withdraw(prefixes) => codec.encode_withdrawals(&prefixes, &mut octets),
                Batch::Announce(attributes, prefixes) => {
                    match codec.encode_announcements(&attributes, &prefixes, &mut octets) {
                        0 => {
                            peer.out.forget(&prefixes);
                            not_encodable = prefixes.first().copied();
                            codec.encode_withdrawals(&prefixes, &mut octets)
                        }
                        count => count,
                    }
                }
            };
        }
        if peer.out.is_in_step() {
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
        if walked || sent_any {
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
        let portion: Vec<Prefix> =
            self.rib.walk(family, after).map(|(prefix, _)| prefix).take(PORTION).collect();
        for prefix in &portion {
            self.export(id, *prefix);
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            match portion.last() {
                Some(last) if portion.len() == PORTION => peer.walks.insert(family, Some(*last)),
                _ => peer.walks.remove(&family),
            };
        }
        true
    }
}

/// What deciding and exporting look at besides the table, borrowed together.
pub(super) struct Facts<'a> {
    pub(super) intent: &'a Intent,
    pub(super) peers: &'a std::collections::BTreeMap<PeerId, Peer>,
    pub(super) next_hops: &'a NextHops,
}

/// A decision over the eligible paths of one destination.
pub(super) struct Outcome {
    /// Indexes refer to the destination's paths.
    pub(super) decision: Decision,
    /// The next hops of all equal paths, the best path's first; empty for a local best path.
    next_hops: Vec<Resolution>,
    /// The best path asks for packets to be discarded (RFC 7999).
    blackhole: bool,
}

impl Facts<'_> {
    /// Decides among the eligible paths of a destination, whose next hops have been resolved.
    pub(super) fn decide(&self, destination: &Destination) -> Option<Outcome> {
        let paths = destination.paths();
        let (indexes, candidates): (Vec<usize>, Vec<Candidate<'_>>) =
            paths.iter().enumerate().filter_map(|(i, p)| Some((i, self.candidate(p).ok()?))).unzip();
        let mut decision = decide(&candidates)?;
        let best = decision.best;
        let mut equal = std::mem::take(&mut decision.equal);
        equal.sort_by_key(|i| *i != best);
        let next_hops = equal
            .iter()
            .filter(|i| candidates[**i].kind != Kind::Local)
            .filter_map(|i| self.next_hops.resolved(candidates[*i].attributes.next_hop))
            .collect();
        let Candidate { attributes, kind, .. } = &candidates[best];
        let blackhole = *kind != Kind::Local && bears(attributes, BLACKHOLE);
        decision.best = indexes[best];
        decision.equal = equal.into_iter().map(|i| indexes[i]).collect();
        Some(Outcome { decision, next_hops, blackhole })
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
            });
        };
        let resolution = self.next_hops.resolved(attributes.next_hop);
        let interior_cost = resolution.ok_or("its next hop is unreachable")?.cost;
        let peer = self.peers.get(&id).ok_or("its peer is gone")?;
        let negotiated = peer.established().and_then(|s| s.negotiated()).ok_or("its session is down")?;
        Ok(Candidate {
            attributes,
            kind: if negotiated.external() { Kind::External } else { Kind::Internal },
            interior_cost,
            router_id: negotiated.router_id,
            peer_address: Some(peer.intent.address),
        })
    }

    fn provenance(&self, best: &Path) -> Provenance {
        let local = Provenance { kind: Kind::Local, from_client: false, router_id: self.intent.router_id };
        let Source::Peer(id) = best.source else { return local };
        let Some(peer) = self.peers.get(&id) else { return local };
        let Some(negotiated) = peer.established().and_then(|s| s.negotiated()) else { return local };
        Provenance {
            kind: if negotiated.external() { Kind::External } else { Kind::Internal },
            from_client: peer.intent.route_reflector_client,
            router_id: negotiated.router_id,
        }
    }

    fn export<'a>(&'a self, peer: &'a Peer, negotiated: &Negotiated) -> Export<'a> {
        let local = peer.first.connection.as_ref().and_then(|c| c.local).map(|l| l.ip());
        let own_next_hop = Family::ALL.map(|family| {
            let of_family = |address: &std::net::IpAddr| Family::of(*address) == family;
            local.filter(of_family).or_else(|| self.intent.addresses.iter().copied().find(of_family))
        });
        Export {
            peer: peer.id,
            peer_address: peer.intent.address,
            external: negotiated.external(),
            client: peer.intent.route_reflector_client,
            local_asn: self.intent.asn,
            peer_asn: negotiated.asn,
            cluster_id: self.intent.cluster_id.unwrap_or(self.intent.router_id),
            own_next_hop,
            next_hop: peer.intent.next_hop,
            as_path: peer.intent.as_path,
            only_to_customer: peer.intent.only_to_customer(self.intent.asn, negotiated.asn),
            communities: &peer.intent.export_communities,
            policy: &peer.intent.export,
            underlay: self.next_hops.underlay(),
        }
    }
}

impl Outcome {
    /// The FIB target of the winning paths: the best path's next hop and those of its equals, as far
    /// as multipath goes. `None` for a path originated here.
    pub(super) fn target(&self, intent: &Intent) -> Option<Target> {
        if self.blackhole {
            return Some(Target::Unreachable);
        }
        let most = usize::from(intent.fib.max_paths.max(1));
        let mut hops: Vec<NextHop> = vec![];
        for resolution in &self.next_hops {
            let hop = NextHop { via: resolution.via, interface: resolution.interface };
            if !hops.contains(&hop) && hops.len() < most {
                hops.push(hop);
            }
        }
        hops.sort_unstable();
        (!hops.is_empty()).then_some(Target::Via(hops))
    }
}
