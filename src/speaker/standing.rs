//! What the decision process asks of a path besides its attributes: how its next hop is reached, and what
//! its peer is to us (RFC 4271 §9.1.2).
//!
//! Paths that are decided together mostly come from a few peers and name the same next hops, so that
//! what was found out is at hand for the next.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::settle::{Facts, next_hop};
use crate::rib::decision::Kind;
use crate::rib::{Path, PeerId};

/// How many answers are at hand.
const REMEMBERED: usize = 8;

/// What a path that may be used brings along.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) kind: Kind,
    pub(super) interior_cost: u32,
    /// The peer's BGP identifier.
    pub(super) router_id: Ipv4Addr,
    pub(super) peer_address: IpAddr,
}

/// The answers that were given last, of peers with different numbers. Good for as long as nothing changes
/// that they depend on.
#[derive(Debug, Default)]
pub(super) struct Recent([Cell<Option<(Question, Answer)>>; REMEMBERED]);

/// A peer, and the next hops that a path of its names.
type Question = (PeerId, IpAddr, Option<Ipv6Addr>);

/// Or why the path may not be used.
type Answer = Result<Standing, &'static str>;

impl Facts<'_> {
    /// How a path of a peer's stands.
    pub(super) fn standing(&self, id: PeerId, path: &Path) -> Answer {
        let question = (id, path.attributes.next_hop, path.attributes.rare.link_local_next_hop);
        let remembered = &self.recent.0[id.number() as usize % REMEMBERED];
        if let Some((known, answer)) = remembered.get()
            && known == question
        {
            return answer;
        }
        let answer = self.find_standing(id, path);
        remembered.set(Some((question, answer)));
        answer
    }

    fn find_standing(&self, id: PeerId, path: &Path) -> Answer {
        let resolution = self.next_hops.resolved(next_hop(self.peers, path));
        let interior_cost = resolution.ok_or("its next hop is unreachable")?.cost;
        let peer = self.peers.get(&id).ok_or("its peer is gone")?;
        let negotiated = peer.agreed.as_ref().ok_or("its session is down")?;
        Ok(Standing {
            kind: if negotiated.external() { Kind::External } else { Kind::Internal },
            interior_cost,
            router_id: negotiated.router_id,
            peer_address: peer.intent.address,
        })
    }
}
