//! What an UPDATE does to the table (RFC 4271 §9): withdrawals, import, End-of-RIB, faults counted and
//! reported, and the limit on prefixes.

use super::intent::{Intent, PeerIntent};
use super::{Notice, Speaker, refresh};
use crate::bgp::update::Announcement;
use crate::bgp::{Reason, Update};
use crate::rib::import::Import;
use crate::rib::{PeerId, Source};

impl Speaker {
    /// Applies one UPDATE to the table, as the import policy lets it.
    pub(super) fn apply_update(&mut self, id: PeerId, update: Update) {
        let source = Source::Peer(id);
        self.report_faults(id, &update);
        if let Some(peer) = self.peers.get_mut(&id) {
            refresh::confirm(peer, &update);
        }
        for prefix in &update.withdrawn {
            self.rib.withdraw(*prefix, source);
        }
        if let (Some(peer), Some(intent)) = (self.peers.get(&id), &self.intent) {
            let import = import(intent, &peer.intent, peer.shown_asn());
            for Announcement { attributes, prefixes } in update.announced {
                let mut arrival = import.arrival(source, self.interner.intern(attributes));
                for prefix in prefixes {
                    self.rib.insert(prefix, arrival.path(prefix, &mut self.interner));
                }
            }
        }
        if let Some(family) = update.end_of_rib
            && let Some(peer) = self.peers.get_mut(&id)
        {
            peer.end_of_rib_seen.insert(family);
            self.sweep_when_all_told();
        }
        self.enforce_max_prefixes(id);
    }

    /// Counts malformed attributes and reports each kind once per session: a peer that sends a
    /// thousand of them must not fill the log.
    fn report_faults(&mut self, id: PeerId, update: &Update) {
        for fault in &update.faults {
            let Some(peer) = self.peers.get_mut(&id) else { return };
            peer.faults += 1;
            if peer.faults_reported.insert(fault.code) {
                let peer = self.peer_name(id);
                self.notice(Notice::Malformed { peer, fault: fault.clone() });
            }
        }
    }

    pub(super) fn enforce_max_prefixes(&mut self, id: PeerId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(limit) = peer.intent.max_prefixes else { return };
        let families = peer.intent.families.iter();
        let exceeded =
            families.copied().find(|f| self.rib.count(Source::Peer(id), *f).accepted > u64::from(limit));
        if let Some(family) = exceeded {
            let why = format!("more than {limit} prefixes of {family} accepted");
            peer.first.session.handle_reset(now, Reason::MAXIMUM_PREFIXES, &why);
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
    }
}
