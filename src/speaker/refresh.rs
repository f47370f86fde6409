//! Route refresh (RFC 2918) and the marks around it (RFC 7313): ours when a peer asks for its routes
//! again, and the peer's when it announces all of a family again.

use super::Speaker;
use super::peer::Peer;
use crate::bgp::{Capability, Session};
use crate::prefix::Family;
use crate::rib::PeerId;

impl Speaker {
    /// The peer asks for all of a family again.
    pub(super) fn handle_route_refresh(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let one_under_way = peer.end_of_rib_due.contains(&family) || peer.refreshing.contains(&family);
        if one_under_way && marks_refreshes(peer) {
            // RFC 7313 §4: no refresh begins before the End-of-RIB of the first announcement. Nor does
            // one before the last has ended, which waits for room in the socket: the marks for a peer
            // that asks without end and reads nothing would fill the memory.
            peer.refresh_asked.insert(family);
        } else {
            self.begin_refresh(id, family);
        }
        self.busy.insert(id);
        self.drain(id);
    }

    fn begin_refresh(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.first.session.send_begin_of_refresh(family) {
            peer.refreshing.insert(family);
        } else {
            peer.end_of_rib_due.insert(family);
        }
        peer.out.resend(family);
        if peer.families_of_paths().any(|of_paths| of_paths == family) {
            peer.walks.insert(family, None);
        } else if let Some((group, holds)) = self.groups.of_mut(id) {
            group.out.tell_again(id, family, holds);
        }
    }

    /// Marks the end of refreshes that are complete, and begins those that had to wait.
    pub(super) fn mark_refreshes(&mut self, id: PeerId) {
        if !self.peers.get(&id).is_some_and(Peer::has_refreshes) {
            return;
        }
        let over: Vec<Family> =
            Family::ALL.into_iter().filter(|family| self.has_told_all(id, *family)).collect();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        for family in over {
            if peer.refreshing.remove(&family) {
                peer.first.session.send_end_of_refresh(family);
            }
        }
        let waits = |peer: &Peer, family: &Family| {
            peer.end_of_rib_due.contains(family) || peer.refreshing.contains(family)
        };
        let begin: Vec<Family> =
            peer.refresh_asked.iter().copied().filter(|family| !waits(peer, family)).collect();
        peer.refresh_asked.retain(|family| !begin.contains(family));
        for family in begin {
            self.begin_refresh(id, family);
            self.busy.insert(id);
        }
    }

    /// The peer begins to announce all of a family again: what it has announced so far is stale until
    /// it does so again.
    pub(super) fn handle_begin_of_refresh(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peers.get(&id) else { return };
        // RFC 7313 §4: a mark before the End-of-RIB that graceful restart promises is ignored.
        if promises_end_of_rib(peer) && !peer.end_of_rib_seen.contains(&family) {
            return;
        }
        self.mark_stale(id, family);
    }

    /// The peer has announced all of a family again: what it left out is gone.
    pub(super) fn handle_end_of_refresh(&mut self, id: PeerId, family: Family) {
        self.withdraw_stale(id, family);
    }
}

fn marks_refreshes(peer: &Peer) -> bool {
    let negotiated = peer.established().and_then(Session::negotiated);
    negotiated.is_some_and(|n| n.codec.enhanced_refresh)
}

fn promises_end_of_rib(peer: &Peer) -> bool {
    let negotiated = peer.established().and_then(Session::negotiated);
    let promise = |capability: &Capability| matches!(capability, Capability::GracefulRestart(_));
    negotiated.is_some_and(|n| n.capabilities.iter().any(promise))
}
