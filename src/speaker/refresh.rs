//! Route refresh (RFC 2918) and the marks around it (RFC 7313): ours when a peer asks for its routes
//! again, and the peer's when it announces all of a family again.

use std::collections::BTreeSet;

use super::Speaker;
use super::peer::Peer;
use crate::bgp::{Capability, PathId, PathNlri, Session, Update};
use crate::prefix::{Family, Prefix};
use crate::rib::{PeerId, Source};

impl Speaker {
    /// The peer asks for all of a family again.
    pub(super) fn handle_route_refresh(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.end_of_rib_due.contains(&family) && marks_refreshes(peer) {
            // RFC 7313 §4: no refresh begins before the End-of-RIB of the first announcement.
            peer.refresh_asked.insert(family);
        } else {
            begin_refresh(peer, family);
        }
        self.busy.insert(id);
        self.drain(id);
    }

    /// Marks the end of refreshes that are complete, and begins those that had to wait.
    pub(super) fn mark_refreshes(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.out.is_in_step() {
            let walks = &peer.walks;
            for family in peer.refreshing.extract_if(.., |family| !walks.contains_key(family)) {
                peer.first.session.send_end_of_refresh(family);
            }
        }
        for family in std::mem::take(&mut peer.refresh_asked) {
            if peer.end_of_rib_due.contains(&family) {
                peer.refresh_asked.insert(family);
            } else {
                begin_refresh(peer, family);
                self.busy.insert(id);
            }
        }
    }

    /// The peer begins to announce all of a family again: what it has announced so far is stale until
    /// it does so again.
    pub(super) fn handle_begin_of_refresh(&mut self, id: PeerId, family: Family) {
        let source = Source::Peer(id);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // RFC 7313 §4: a mark before the End-of-RIB that graceful restart promises is ignored.
        if promises_end_of_rib(peer) && !peer.end_of_rib_seen.contains(&family) {
            return;
        }
        let all = self.rib.ordered(family, |_| true).into_iter();
        let of_peer = all.flat_map(|(prefix, destination)| {
            let paths = destination.paths().iter().filter(|p| p.source == source);
            paths.map(move |path| PathNlri { prefix, id: path.path_id })
        });
        peer.stale.insert(family, of_peer.collect());
    }

    /// The peer has announced all of a family again: what it left out is gone.
    pub(super) fn handle_end_of_refresh(&mut self, id: PeerId, family: Family) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        for path in peer.stale.remove(&family).unwrap_or_default() {
            self.rib.withdraw(path.prefix, Source::Peer(id), path.id);
        }
    }
}

/// Takes note of what an UPDATE confirms while its peer refreshes a family.
pub(super) fn confirm(peer: &mut Peer, update: &Update) {
    let confirm_in = |stale: &mut BTreeSet<PathNlri>, prefixes: &[Prefix], paths: &[PathNlri]| {
        let prefixes = prefixes.iter().map(|prefix| PathNlri { prefix: *prefix, id: PathId::NONE });
        for path in prefixes.chain(paths.iter().copied()) {
            stale.remove(&path);
        }
    };
    for stale in peer.stale.values_mut() {
        confirm_in(stale, &update.withdrawn, &update.withdrawn_paths);
        for announcement in &update.announced {
            confirm_in(stale, &announcement.prefixes, &announcement.paths);
        }
    }
}

fn begin_refresh(peer: &mut Peer, family: Family) {
    if peer.first.session.send_begin_of_refresh(family) {
        peer.refreshing.insert(family);
    } else {
        peer.end_of_rib_due.insert(family);
    }
    peer.out.resend(family);
    peer.walks.insert(family, None);
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
