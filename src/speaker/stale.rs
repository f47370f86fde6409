//! Stale paths: those that a peer has announced and is yet to announce again.
//!
//! They forward like any other. What makes them stale is a refresh of the peer's (RFC 7313) or the fall
//! of its session (RFC 4724); what they wait for is the same in both, and so is their end.

use std::collections::BTreeSet;

use super::Speaker;
use super::peer::Peer;
use crate::bgp::{PathId, PathNlri, Update};
use crate::prefix::{Family, Prefix};
use crate::rib::{PeerId, Source};

impl Speaker {
    /// Marks all that the peer has announced of a family, and returns how many paths that are.
    pub(super) fn mark_stale(&mut self, id: PeerId, family: Family) -> usize {
        let source = Source::Peer(id);
        let all = self.rib.ordered(family, |_| true).into_iter();
        let stale: BTreeSet<PathNlri> = all
            .flat_map(|(prefix, destination)| {
                let of_peer = destination.paths().iter().filter(|path| path.source == source);
                of_peer.map(move |path| PathNlri { prefix, id: path.path_id })
            })
            .collect();
        let count = stale.len();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stale.insert(family, stale);
        }
        count
    }

    /// Lets go of what the peer has not announced again, and returns how many paths that were.
    pub(super) fn withdraw_stale(&mut self, id: PeerId, family: Family) -> usize {
        let Some(peer) = self.peers.get_mut(&id) else { return 0 };
        let stale = peer.stale.remove(&family).unwrap_or_default();
        for path in &stale {
            self.rib.withdraw(path.prefix, Source::Peer(id), path.id);
        }
        stale.len()
    }
}

impl Peer {
    /// Takes note of what an UPDATE confirms.
    pub(super) fn confirm(&mut self, update: &Update) {
        let confirm_in = |stale: &mut BTreeSet<PathNlri>, prefixes: &[Prefix], paths: &[PathNlri]| {
            let prefixes = prefixes.iter().map(|prefix| PathNlri { prefix: *prefix, id: PathId::NONE });
            for path in prefixes.chain(paths.iter().copied()) {
                stale.remove(&path);
            }
        };
        for stale in self.stale.values_mut() {
            confirm_in(stale, &update.withdrawn, &update.withdrawn_paths);
            for announcement in &update.announced {
                confirm_in(stale, &announcement.prefixes, &announcement.paths);
            }
        }
    }

    /// Whether the peer is yet to announce this path again.
    pub(super) fn is_stale(&self, path: PathNlri) -> bool {
        self.stale.get(&path.prefix.family()).is_some_and(|stale| stale.contains(&path))
    }
}
