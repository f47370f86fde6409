//! From a decision to a plan for the FIB: the winning paths' next hops, what they depend on, and where
//! packets would go were they to fail.

use std::net::IpAddr;

use super::settle::{Facts, next_hop};
use super::shares::{Offer, bandwidth, shared_out};
use crate::fib::{Fate, Leg, NextHop, Plan, Ways};
use crate::prefix::Family;
use crate::rib::decision::{Candidate, Decision, decide};
use crate::rib::loc_rib::Destination;
use crate::rib::well_known::{BLACKHOLE, bears};
use crate::rib::{Path, PeerId, Source};

/// What next hops depend on that a peer alone offers to a family.
pub(super) fn fate(peer: PeerId, family: Family) -> Fate {
    Fate(peer.number() << 1 | u32::from(family == Family::Ipv6Unicast))
}

impl Facts<'_> {
    /// What the kernel is to do with packets for a destination: hand them to the best path's next hop and
    /// those of its equals, as far as multipath goes; nothing for a best path that asks for a blackhole
    /// (RFC 7999). `None` for a path originated here.
    pub(super) fn plan(
        &self,
        family: Family,
        destination: &Destination,
        decision: &Decision,
    ) -> Option<Plan> {
        let paths = destination.paths();
        let best = &paths[decision.best];
        if best.source != Source::Local && bears(&best.attributes, BLACKHOLE) {
            return Some(Plan::Unreachable);
        }
        let most = usize::from(self.intent.fib.max_paths.max(1));
        let used: Vec<(&Path, Offer)> = (decision.equal.iter())
            .filter_map(|index| Some((&paths[*index], self.offer(&paths[*index])?)))
            .collect();
        let hops = shared_out(used.iter().map(|(_, offer)| *offer), most);
        let mut legs: Vec<Leg> = hops.into_iter().map(|hop| self.leg(family, hop, &used)).collect();
        if legs.is_empty() {
            return None;
        }
        let (mut backup, mut more) = (None, false);
        if paths.len() > used.len() && self.intent.fib.next_hop_groups {
            let others = self.others(destination, &used);
            more = !others.is_empty();
            if let ([leg], Some(next)) = (legs.as_mut_slice(), self.best_leg(family, &others)) {
                if goes_through(&next.hop, &leg.hop) {
                    // Whoever of the two goes, packets stay where they are.
                    leg.fate = None;
                } else {
                    backup = Some(next);
                    more = others.len() > 1;
                }
            }
        }
        Some(Plan::Via(Ways { legs, backup, more }))
    }

    /// Paths that could be used and are not, of sources that are not used either.
    fn others<'p>(
        &self,
        destination: &'p Destination,
        used: &[(&Path, Offer)],
    ) -> Vec<(&'p Path, Candidate<'p>)> {
        let is_used = |path: &Path| used.iter().any(|(used, _)| used.source == path.source);
        let paths = destination.paths().iter().filter(|path| path.source != Source::Local && !is_used(path));
        paths.filter_map(|path| Some((path, self.candidate(path).ok()?))).collect()
    }

    fn best_leg(&self, family: Family, others: &[(&Path, Candidate<'_>)]) -> Option<Leg> {
        let candidates: Vec<Candidate<'_>> = others.iter().map(|(_, candidate)| *candidate).collect();
        let (path, _) = others.get(decide(&candidates)?.best)?;
        if bears(&path.attributes, BLACKHOLE) {
            return None;
        }
        let offer = self.offer(path)?;
        let hop = NextHop { via: offer.via, interface: offer.interface, weight: 1 };
        Some(self.leg(family, hop, &[(path, offer)]))
    }

    /// A next hop, and the peer that it depends on where that is a single one.
    fn leg(&self, family: Family, hop: NextHop, used: &[(&Path, Offer)]) -> Leg {
        let mut sources: Vec<Source> =
            used.iter().filter(|(_, offer)| is_of(offer, &hop)).map(|(path, _)| path.source).collect();
        sources.dedup();
        let fate = match sources.as_slice() {
            [Source::Peer(peer)] => Some(fate(*peer, family)),
            _ => None,
        };
        Leg { hop, fate }
    }

    fn offer(&self, path: &Path) -> Option<Offer> {
        if path.source == Source::Local {
            return None;
        }
        let resolution = self.next_hops.resolved(next_hop(self.peers, path))?;
        let bandwidth = bandwidth(&path.attributes);
        Some(Offer { via: resolution.via, interface: resolution.interface, bandwidth })
    }
}

fn is_of(offer: &Offer, hop: &NextHop) -> bool {
    let (via, interface): (IpAddr, Option<u32>) = (offer.via, offer.interface);
    (via, interface) == (hop.via, hop.interface)
}

fn goes_through(a: &NextHop, b: &NextHop) -> bool {
    (a.via, a.interface) == (b.via, b.interface)
}
