//! What an UPDATE does to the table (RFC 4271 §9): withdrawals, import, End-of-RIB, faults counted and
//! reported. The limit on prefixes is [`super::prefix_limit`]'s.

use super::intent::{Intent, PeerIntent};
use super::prefix_limit::has_room;
use super::{Notice, Speaker};
use crate::bgp::update::Announcement;
use crate::bgp::{PathId, Update};
use crate::rib::anycast::Exchange;
use crate::rib::import::Import;
use crate::rib::{Path, PeerId, Source};

impl Speaker {
    /// Applies one UPDATE to the table, as the import policy lets it.
    pub(super) fn apply_update(&mut self, id: PeerId, update: Update) {
        let source = Source::Peer(id);
        self.clear_up();
        self.report_faults(id, &update);
        self.note_news(&update);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.confirm(&update);
        }
        self.rib.look_ahead(update.withdrawn.iter().copied());
        for prefix in &update.withdrawn {
            self.rib.withdraw(*prefix, source, PathId::NONE);
        }
        for path in &update.withdrawn_paths {
            self.rib.withdraw(path.prefix, source, path.id);
        }
        if let (Some(peer), Some(intent)) = (self.peers.get_mut(&id), &self.intent) {
            let import = import(intent, &peer.intent, peer.shown_asn());
            for Announcement { attributes, prefixes, paths } in update.announced {
                let mut arrival = import.arrival(source, self.interner.intern(attributes));
                self.rib.look_ahead(prefixes.iter().copied());
                let prefixes = prefixes.into_iter().map(|prefix| (prefix, PathId::NONE));
                for (prefix, path_id) in prefixes.chain(paths.into_iter().map(|path| (path.prefix, path.id)))
                {
                    let path = Path { path_id, ..arrival.path(prefix, &mut self.interner) };
                    if has_room(&self.rib, peer.intent.max_prefixes, prefix, &path) {
                        self.rib.insert(prefix, path);
                    } else {
                        // What was known and not accepted is known no more: the peer has replaced it.
                        self.rib.withdraw(prefix, source, path_id);
                        peer.limits.count_discarded(prefix.family());
                    }
                }
            }
        }
        if let Some(family) = update.end_of_rib
            && let Some(peer) = self.peers.get_mut(&id)
        {
            peer.end_of_rib_seen.insert(family);
            self.note_told(id);
            self.let_go_stale(id, family);
            self.advance_restart();
        }
        self.enforce_max_prefixes(id);
    }

    /// Counts and keeps malformed attributes, and reports each kind once.
    fn report_faults(&mut self, id: PeerId, update: &Update) {
        for fault in &update.faults {
            let Some(peer) = self.peers.get_mut(&id) else { return };
            if peer.faults.note(self.now, fault) {
                let peer = self.peer_name(id);
                self.notice(Notice::Malformed { peer, fault: fault.clone() });
            }
        }
    }
}

/// What import depends on for one peer, which has shown `peer_asn` as its AS.
pub(super) fn import<'a>(intent: &'a Intent, peer: &'a PeerIntent, peer_asn: u32) -> Import<'a> {
    Import {
        local_asn: intent.asn,
        router_id: intent.router_id,
        cluster_id: intent.cluster_id.unwrap_or(intent.router_id),
        addresses: &intent.addresses,
        protected: &intent.protected,
        external: peer.is_external(intent.asn),
        as_path: peer.as_path,
        accept_blackhole: peer.accept_blackhole,
        only_to_customer: peer.only_to_customer(intent.asn, peer_asn),
        policy: &peer.import,
        anycast: (peer.anycast != Exchange::ByPolicy).then_some(&*intent.scopes),
    }
}
