//! What peers are like, as far as it decides what they are told, and what that is.
//!
//! What a peer is told of a best path depends on a few facts about the peer. For peers that share them the
//! attributes to be announced are worked out once.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::intent::{ExtendedNextHop, SendPaths};
use super::peer::Peer;
use super::settle::Facts;
use crate::bgp::session::Negotiated;
use crate::bgp::{Codec, PathAttributes, PathId};
use crate::prefix::{Family, Prefix};
use crate::rib::anycast::Listener;
use crate::rib::decision::Kind;
use crate::rib::export::{Export, Provenance};
use crate::rib::loc_rib::Destination;
use crate::rib::policy::{Changes, Judged};
use crate::rib::{Interner, Path, PeerId, Source};

/// What peers have in common that are told the same, but for what they have said themselves.
pub(super) struct Terms<'a> {
    export: Export<'a>,
    pub(super) codec: &'a Codec,
    /// What is sent of each family with path identifiers (RFC 7911); `None` for the best path without.
    send: [Option<SendPaths>; 2],
}

/// What a peer with path identifiers is to know of one destination.
pub(super) struct ToldPaths {
    pub(super) prefix: Prefix,
    pub(super) paths: Vec<ToldPath>,
}

/// One path that a peer with path identifiers is to know.
pub(super) struct ToldPath {
    pub(super) id: PathId,
    pub(super) source: Source,
    pub(super) attributes: Arc<PathAttributes>,
}

impl Terms<'_> {
    /// Whether peers with either are told the same octets.
    pub(super) fn is_like(&self, other: &Terms<'_>) -> bool {
        let wire = |codec: &Codec| (codec.four_octet_as, codec.extended_messages, codec.extended_next_hop);
        (&self.codec.families, self.send) == (&other.codec.families, other.send)
            && wire(self.codec) == wire(other.codec)
            && self.export.is_like(&other.export)
    }

    /// Families of which the best path is told, without path identifiers.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        let without = |family: &Family| self.send[*family as usize].is_none();
        self.codec.families.iter().copied().filter(without)
    }

    /// How paths of a family are told, if they are: all that are wanted, or the best without identifier.
    pub(super) fn tells(&self, family: Family) -> Option<Option<SendPaths>> {
        self.codec.families.contains(&family).then_some(self.send[family as usize])
    }
}

/// How many rewritten attribute sets are remembered: as many as a prefix commonly has paths.
const RECENT: usize = 8;

/// Export by the same terms, with a memory: prefixes that arrived together mostly share their attributes.
pub(super) struct Exported<'a> {
    facts: &'a Facts<'a>,
    export: &'a Export<'a>,
    interner: &'a mut Interner,
    /// The attributes last looked at, and what policy has left to ask of prefixes that bring them along.
    judged: Option<(&'a Arc<PathAttributes>, Judged<'a>)>,
    /// What the prefix last looked at is to undergo.
    changes: Changes<'a>,
    /// The latest last.
    recent: VecDeque<Rewrite<'a>>,
}

/// Received attributes and what became of them.
struct Rewrite<'a> {
    family: Family,
    source: Source,
    received: &'a Arc<PathAttributes>,
    changes: Changes<'a>,
    anycast: bool,
    announced: Option<Arc<PathAttributes>>,
}

impl<'a> Exported<'a> {
    pub(super) fn new(
        facts: &'a Facts<'a>,
        terms: &'a Terms<'a>,
        interner: &'a mut Interner,
    ) -> Exported<'a> {
        let (changes, recent) = (Changes::default(), VecDeque::new());
        Exported { facts, export: &terms.export, interner, judged: None, changes, recent }
    }

    /// What is announced of a destination with path identifiers.
    pub(super) fn paths(
        &mut self,
        prefix: Prefix,
        destination: &'a Destination,
        send: SendPaths,
    ) -> ToldPaths {
        // The table may have run out of names.
        let named = self.facts.best_of(destination, send).into_iter().filter(|path| path.told_as != 0);
        let told = |path: &'a Path| {
            let attributes = self.announced(prefix, path)?.clone();
            Some(ToldPath { id: PathId(path.told_as.into()), source: path.source, attributes })
        };
        ToldPaths { prefix, paths: named.filter_map(told).collect() }
    }

    /// What is announced of a path, if it is.
    pub(super) fn announced(&mut self, prefix: Prefix, path: &'a Path) -> Option<&Arc<PathAttributes>> {
        let received = &path.attributes;
        let judged = self.judged.take().filter(|(last, _)| Arc::ptr_eq(last, received));
        let (_, judged) =
            self.judged.insert(judged.unwrap_or_else(|| (received, self.export.policy.judged(received))));
        if !self.export.permits(prefix, path.source == Source::Local, judged, &mut self.changes) {
            return None;
        }
        let anycast = self.export.scopes.contains_key(&prefix);
        let known = self.recent.iter().rposition(|recent| {
            Arc::ptr_eq(recent.received, received)
                && (recent.family, recent.source, recent.anycast) == (prefix.family(), path.source, anycast)
                && recent.changes == self.changes
        });
        let at = known.unwrap_or_else(|| self.remember(prefix.family(), path, anycast));
        self.recent[at].announced.as_ref()
    }

    /// Works out what becomes of a path, in place of what was worked out the longest ago. Returns its place
    /// among the recent.
    fn remember(&mut self, family: Family, path: &'a Path, anycast: bool) -> usize {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        let changes = self.changes.clone();
        let rewrite = self.rewrite(family, path, changes, anycast);
        self.recent.push_back(rewrite);
        self.recent.len() - 1
    }

    fn rewrite(
        &mut self,
        family: Family,
        best: &'a Path,
        changes: Changes<'a>,
        anycast: bool,
    ) -> Rewrite<'a> {
        let from = Provenance { anycast, ..self.facts.provenance(best) };
        let announced = self.export.attributes(family, &best.attributes, from, &changes);
        let announced = announced.map(|attributes| self.interner.intern(attributes));
        Rewrite { family, source: best.source, received: &best.attributes, changes, anycast, announced }
    }
}

impl<'a> Facts<'a> {
    /// By which terms an established peer is told.
    pub(super) fn terms(&self, id: PeerId) -> Option<Terms<'a>> {
        let peer = self.peers.get(&id)?;
        let negotiated = peer.established()?.negotiated()?;
        let codec = &negotiated.codec;
        let send = codec.add_path.map(|agreed| peer.intent.add_path.send.filter(|_| agreed.send));
        Some(Terms { export: self.export(peer, negotiated), codec, send })
    }

    fn provenance(&self, best: &Path) -> Provenance {
        let local = Provenance {
            kind: Kind::Local,
            from_client: false,
            router_id: self.intent.router_id,
            anycast: false,
        };
        let Source::Peer(id) = best.source else { return local };
        let Some(peer) = self.peers.get(&id) else { return local };
        let Some(negotiated) = &peer.agreed else { return local };
        Provenance {
            kind: if negotiated.external() { Kind::External } else { Kind::Internal },
            from_client: peer.intent.route_reflector_client,
            router_id: negotiated.router_id,
            anycast: false,
        }
    }

    fn export(&self, peer: &'a Peer, negotiated: &Negotiated) -> Export<'a> {
        Export {
            peer_address: peer.intent.address,
            external: negotiated.external(),
            client: peer.intent.route_reflector_client,
            local_asn: self.intent.asn,
            peer_asn: negotiated.asn,
            cluster_id: self.intent.cluster_id.unwrap_or(self.intent.router_id),
            own_next_hop: Family::ALL.map(|family| self.own_next_hop(family, peer, negotiated)),
            extended_next_hop: negotiated.codec.extended_next_hop,
            long_lived: Family::ALL.iter().any(|family| negotiated.long_lived(*family).is_some()),
            partial_deployment: peer.intent.graceful_restart.is_some_and(|g| g.partial_deployment),
            next_hop: peer.intent.next_hop,
            as_path: peer.intent.as_path,
            only_to_customer: peer.intent.only_to_customer(self.intent.asn, negotiated.asn),
            communities: &peer.intent.export_communities,
            policy: &peer.intent.export,
            presence: self.presence,
            underlay: self.next_hops.underlay(),
            listener: Listener { exchange: peer.intent.anycast, name: peer.intent.scope_name.as_deref() },
            originations: &self.intent.originated,
            scopes: &self.intent.scopes,
        }
    }

    /// Our address as the next hop of a family: our end of the session, else the node's first address
    /// of that family; for IPv4 our end of an IPv6 session, where that was agreed on (RFC 8950) and is
    /// wanted or there is nothing else.
    fn own_next_hop(&self, family: Family, peer: &Peer, negotiated: &Negotiated) -> Option<IpAddr> {
        let local = peer.first.connection.as_ref().and_then(|c| c.local).map(|l| l.ip());
        let of_family = |address: &IpAddr| Family::of(*address) == family;
        let ordinary =
            local.filter(of_family).or_else(|| self.intent.addresses.iter().copied().find(of_family));
        let extended = local.filter(|local| local.is_ipv6() && negotiated.codec.extended_next_hop);
        match peer.intent.extended_next_hop {
            ExtendedNextHop::Always => extended.filter(|_| family == Family::Ipv4Unicast).or(ordinary),
            _ => ordinary.or(extended),
        }
    }
}
