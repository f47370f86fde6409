//! Export: what a peer is told of a best path (RFC 4271 §5.1, §9.2; RFC 4456; RFC 1997).

use std::net::{IpAddr, Ipv4Addr};

use super::anycast::{Exchange, Listener, Originations, Scopes};
use super::as_path_rules::AsPathRules;
use super::decision::{DEFAULT_LOCAL_PREF, Kind};
use super::next_hop::{Underlay, is_link_local};
use super::only_to_customer::OnlyToCustomer;
use super::policy::{Changes, Judged, Policy};
use super::well_known::{GRACEFUL_SHUTDOWN, LLGR_STALE, NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED, bears};
use crate::bgp::{Community, ExactList, ExtendedCommunity, PathAttributes};
use crate::prefix::{Family, Prefix};

/// Which next hop a peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NextHopRule {
    /// As RFC 4271 §5.1.3 has it: ourselves towards external peers, save for a next hop on the
    /// subnet shared with them; towards internal ones as received.
    #[default]
    Standard,
    /// Ourselves, towards internal peers too; but what is reflected stays as received, for RFC 4456
    /// §10 warns of loops.
    Own,
    /// As received, towards external peers too. What begins here has ourselves.
    Unchanged,
    /// This address, for prefixes of its family; the others as in `Standard`.
    Address(IpAddr),
}

/// What peers are to see of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// It is there.
    #[default]
    Staying,
    /// It is about to leave: any other path is to be preferred (RFC 8326 §4).
    Leaving,
    /// It announces nothing.
    Gone,
}

/// Where the best path comes from, as far as export asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance {
    /// Local, external or internal.
    pub kind: Kind,
    /// It comes from a route reflection client of ours.
    pub from_client: bool,
    /// BGP identifier of the peer it comes from; our own for a local path.
    pub router_id: Ipv4Addr,
    /// Its prefix is anycast. One that was not originated here is told an external peer by a reflector for
    /// its clients alone, and only where packets go to the client without passing us, who might keep them.
    pub anycast: bool,
}

/// The peer that is to be told, and what its configuration asks for.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// The peer's address.
    pub peer_address: IpAddr,
    /// It belongs to another AS.
    pub external: bool,
    /// It is a route reflection client of ours.
    pub client: bool,
    /// The local AS.
    pub local_asn: u32,
    /// The peer's AS.
    pub peer_asn: u32,
    /// The local cluster id (RFC 4456 §7).
    pub cluster_id: Ipv4Addr,
    /// Our address as a next hop, by family; `None` where we have none and cannot be one.
    pub own_next_hop: [Option<IpAddr>; 2],
    /// It takes IPv6 next hops for IPv4 prefixes (RFC 8950).
    pub extended_next_hop: bool,
    /// It keeps paths beyond a restart, and knows those that are by their mark (RFC 9494).
    pub long_lived: bool,
    /// Internal peers that do not know the mark are told of such paths, too (RFC 9494 §4.6).
    pub partial_deployment: bool,
    /// Which next hop to name.
    pub next_hop: NextHopRule,
    /// What to do to AS_PATHs towards an external peer.
    pub as_path: AsPathRules,
    /// What the peer's role makes of routes for customers only.
    pub only_to_customer: OnlyToCustomer,
    /// Communities to add.
    pub communities: &'a [u32],
    /// What may be announced, and what is changed about it.
    pub policy: &'a Policy,
    /// What the peer is to see of this node.
    pub presence: Presence,
    /// For next hops that may stay as they are towards an external peer.
    pub underlay: &'a Underlay,
    /// What scopes know the peer as.
    pub listener: Listener<'a>,
    /// Who is told of what is originated here besides ordinary prefixes.
    pub originations: &'a Originations,
    /// Who is told of what others may originate as well.
    pub scopes: &'a Scopes,
}

impl<'a> Export<'a> {
    /// Whether scope and policy let the peer be told of `prefix` at all, and with which changes; these have
    /// no meaning where it is not. `local` says that the path begins here, `policy` what the peer's has left
    /// to ask of prefixes with its attributes.
    pub fn permits(
        &self,
        prefix: Prefix,
        local: bool,
        policy: &Judged<'a>,
        changes: &mut Changes<'a>,
    ) -> bool {
        if self.presence == Presence::Gone {
            return false;
        }
        let shared = self.scopes.get(&prefix).map(|scope| &**scope);
        let own = local.then(|| self.originations.get(&prefix)).flatten().map(|own| &own.scope);
        let Some(scope) = own.or(shared) else { return policy.accepts(prefix, changes) };
        if !scope.tells(self.listener) {
            return false;
        }
        let exchange = self.listener.exchange;
        if exchange == Exchange::ByPolicy {
            return policy.accepts(prefix, changes);
        }
        *changes = Changes::default();
        // Nobody in the mesh accepts what is not shared, a cluster address, say.
        shared.is_some() && (exchange == Exchange::All || local)
    }

    /// The attributes to announce a prefix of `family` with, which are the same for all prefixes that
    /// bring the same along and to which policy makes the same `changes`; `None` if the peer is not to
    /// be told.
    pub fn attributes(
        &self,
        family: Family,
        received: &PathAttributes,
        from: Provenance,
        changes: &Changes<'_>,
    ) -> Option<PathAttributes> {
        // Whoever originates it has told its own peers, and a second path would weigh twice.
        if from.anycast && self.external && from.kind != Kind::Local && !from.from_client {
            return None;
        }
        if self.forbidden_by_community(received) || self.only_to_customer.forbids(received) {
            return None;
        }
        let next_hop = self.next_hop(family, received, from)?;
        let as_path = if self.external {
            self.as_path.export(&received.as_path, self.local_asn, self.peer_asn)
        } else {
            received.as_path.clone()
        };
        let (communities, rare) = (received.communities.clone(), received.rare.clone());
        let mut attributes = PathAttributes { next_hop, as_path, communities, rare, ..*received };
        // RFC 2545 §3: it is for those who share a link with that router, which nobody has looked at.
        if attributes.rare.link_local_next_hop.is_some() {
            attributes.rare.change(|rare| rare.link_local_next_hop = None);
        }
        if self.external {
            self.rewrite_for_external(&mut attributes, from);
        } else {
            self.rewrite_for_internal(&mut attributes, from)?;
        }
        // Policy has the last word: what it sets is not somebody else's MED, and what it prepends
        // stands in front.
        let nearest = self.external.then(|| self.as_path.shown_as(self.local_asn));
        changes.apply(&mut attributes, nearest);
        for community in self.communities.iter().copied().map(Community) {
            attributes.communities.insert_sorted(community);
        }
        // What begins here may also leave by itself.
        let leaves = from.kind == Kind::Local && bears(received, GRACEFUL_SHUTDOWN);
        if self.presence == Presence::Leaving || leaves {
            // Internal peers, too, may not know the community: LOCAL_PREF says the same to all.
            attributes.communities.insert_sorted(GRACEFUL_SHUTDOWN);
            attributes.local_pref = Some(0);
        }
        if self.partial_deployment && bears(received, LLGR_STALE) {
            // In place of the mark, for whoever does not know it; and to those who do, so that all choose
            // alike. Another AS would not see the former.
            attributes.local_pref = Some(0);
            if !self.long_lived {
                attributes.communities.insert_sorted(NO_EXPORT);
            }
        }
        self.only_to_customer.mark_told(&mut attributes);
        if self.external {
            attributes.local_pref = None;
        }
        Some(attributes)
    }

    /// Whether a peer like `other` is told the same of everything, but for what either has said itself.
    pub fn is_like(&self, other: &Export<'_>) -> bool {
        let facts = |e: &Export<'_>| {
            let peer_asn = e.as_path.override_peer.then_some(e.peer_asn);
            let next_hops = (e.own_next_hop, e.extended_next_hop, e.next_hop);
            let last_resorts = (e.long_lived, e.partial_deployment);
            (e.external, e.client, e.local_asn, peer_asn, e.cluster_id, e.as_path, next_hops, last_resorts)
        };
        facts(self) == facts(other)
            && (self.only_to_customer, self.communities) == (other.only_to_customer, other.communities)
            && (self.presence, self.listener) == (other.presence, other.listener)
            && (std::ptr::eq(self.policy, other.policy) || self.policy == other.policy)
            // An external peer's address decides which next hops it can reach by itself.
            && (!self.external || self.underlay.reached_alike(self.peer_address, other.peer_address))
    }

    fn forbidden_by_community(&self, attributes: &PathAttributes) -> bool {
        attributes.communities.iter().any(|community| match *community {
            NO_ADVERTISE => true,
            NO_EXPORT | NO_EXPORT_SUBCONFED => self.external,
            // RFC 9494 §4.3: who does not know the mark would take the path for a good one.
            LLGR_STALE => !self.long_lived && (self.external || !self.partial_deployment),
            _ => false,
        })
    }

    /// RFC 4271 §5.1.3. Towards an external peer a next hop on the subnet we share with it may stay
    /// ("third party"): the ToR then hands packets for another node's pods to that node and not to
    /// us, who would only send them back over the same wire.
    fn next_hop(&self, family: Family, attributes: &PathAttributes, from: Provenance) -> Option<IpAddr> {
        let keep = match (self.next_hop, from.kind) {
            (NextHopRule::Address(address), _) if Family::of(address) == family => return Some(address),
            (_, Kind::Local) => false,
            (NextHopRule::Own, kind) => !self.external && kind == Kind::Internal,
            (NextHopRule::Unchanged, _) => true,
            _ if self.external => self.underlay.shared_subnet(attributes.next_hop, self.peer_address),
            _ => true,
        };
        if keep && self.can_be_told(family, attributes.next_hop) {
            Some(attributes.next_hop)
        } else if from.anycast && from.kind != Kind::Local {
            None
        } else {
            self.own_next_hop[family as usize]
        }
    }

    /// Whether a next hop means the same to the peer as to us, and has a form on its session.
    fn can_be_told(&self, family: Family, next_hop: IpAddr) -> bool {
        let has_form = Family::of(next_hop) == family || (next_hop.is_ipv6() && self.extended_next_hop);
        has_form && !is_link_local(next_hop)
    }

    fn rewrite_for_external(&self, attributes: &mut PathAttributes, from: Provenance) {
        if !attributes.rare.is_none() {
            attributes.rare.change(|rare| {
                rare.originator_id = None;
                rare.cluster_list = ExactList::EMPTY;
                // RFC 4360 §6: what is not transitive stays in the AS. Policy may add some for this border
                // alone.
                rare.extended_communities.retain(|octets| ExtendedCommunity(*octets).is_transitive());
            });
        }
        // RFC 4271 §5.1.4: a MED received from one AS is not passed on to another.
        if from.kind != Kind::Local {
            attributes.med = None;
        }
    }

    /// `None` when an internal path may not be told to an internal peer: neither is our client
    /// (RFC 4271 §9.2.1 read with RFC 4456 §6).
    fn rewrite_for_internal(&self, attributes: &mut PathAttributes, from: Provenance) -> Option<()> {
        attributes.local_pref.get_or_insert(DEFAULT_LOCAL_PREF);
        if from.kind == Kind::Internal {
            if !self.client && !from.from_client {
                return None;
            }
            attributes.rare.change(|rare| {
                rare.originator_id.get_or_insert(from.router_id);
                rare.cluster_list.insert(0, self.cluster_id);
            });
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
