//! Export: what a peer is told of a best path (RFC 4271 §5.1, §9.2; RFC 4456; RFC 1997).

use std::net::{IpAddr, Ipv4Addr};

use super::PeerId;
use super::as_path_rules::AsPathRules;
use super::decision::{DEFAULT_LOCAL_PREF, Kind};
use super::next_hop::Underlay;
use super::only_to_customer::OnlyToCustomer;
use super::path::{Path, Source};
use super::policy::{Policy, insert};
use super::well_known::{NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED};
use crate::bgp::{Community, PathAttributes};
use crate::prefix::{Family, Prefix};

/// Which next hop a peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NextHopRule {
    /// As RFC 4271 §5.1.3 has it: ourselves towards external peers, save for a next hop on the
    /// subnet shared with them; towards internal ones as received.
    #[default]
    Standard,
    /// Ourselves, towards internal peers too.
    Own,
    /// As received, towards external peers too. What begins here has ourselves.
    Unchanged,
    /// This address, for prefixes of its family; the others as in `Standard`.
    Address(IpAddr),
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
}

/// The peer that is to be told, and what its configuration asks for.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// The peer.
    pub peer: PeerId,
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
    /// For next hops that may stay as they are towards an external peer.
    pub underlay: &'a Underlay,
}

impl Export<'_> {
    /// The attributes to announce `prefix` with; `None` if the peer is not to be told.
    pub fn attributes(&self, prefix: Prefix, best: &Path, from: Provenance) -> Option<PathAttributes> {
        if best.source == Source::Peer(self.peer)
            || self.forbidden_by_community(&best.attributes)
            || self.only_to_customer.forbids(&best.attributes)
        {
            return None;
        }
        let changes = self.policy.judge(prefix, &best.attributes)?;
        let mut attributes = (*best.attributes).clone();
        attributes.next_hop = self.next_hop(prefix.family(), &best.attributes, from)?;
        if attributes.next_hop != best.attributes.next_hop {
            attributes.link_local_next_hop = None;
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
            insert(&mut attributes.communities, community);
        }
        self.only_to_customer.mark_told(&mut attributes);
        if self.external {
            attributes.local_pref = None;
        }
        Some(attributes)
    }

    fn forbidden_by_community(&self, attributes: &PathAttributes) -> bool {
        attributes.communities.iter().any(|community| match *community {
            NO_ADVERTISE => true,
            NO_EXPORT | NO_EXPORT_SUBCONFED => self.external,
            _ => false,
        })
    }

    /// RFC 4271 §5.1.3. Towards an external peer a next hop on the subnet we share with it may stay
    /// ("third party"): the ToR then hands packets for another node's pods to that node and not to
    /// us, who would only send them back over the same wire.
    fn next_hop(&self, family: Family, attributes: &PathAttributes, from: Provenance) -> Option<IpAddr> {
        let keep = match (self.next_hop, from.kind) {
            (NextHopRule::Address(address), _) if Family::of(address) == family => return Some(address),
            (NextHopRule::Own, _) | (_, Kind::Local) => false,
            (NextHopRule::Unchanged, _) => true,
            _ if self.external => self.underlay.shared_subnet(attributes.next_hop, self.peer_address),
            _ => true,
        };
        if keep { Some(attributes.next_hop) } else { self.own_next_hop[family as usize] }
    }

    fn rewrite_for_external(&self, attributes: &mut PathAttributes, from: Provenance) {
        attributes.as_path = self.as_path.export(&attributes.as_path, self.local_asn, self.peer_asn);
        attributes.originator_id = None;
        attributes.cluster_list.clear();
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
            attributes.originator_id.get_or_insert(from.router_id);
            attributes.cluster_list.insert(0, self.cluster_id);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bgp::AsPath;
    use crate::rib::next_hop::UnderlayRoute;
    use crate::rib::policy::PrefixRule;

    const PREFIX: &str = "10.244.2.0/24";

    fn path() -> Path {
        let attributes = PathAttributes {
            med: Some(7),
            local_pref: Some(150),
            ..PathAttributes::originated("192.168.1.12".parse().unwrap())
        };
        Path {
            source: Source::Peer(PeerId(2)),
            attributes: Arc::new(attributes),
            received: None,
            rejected: None,
        }
    }

    fn from(kind: Kind) -> Provenance {
        Provenance { kind, from_client: false, router_id: Ipv4Addr::new(192, 168, 1, 12) }
    }

    /// Exports to a peer at 192.168.1.1 with an accept-everything policy, after `change`.
    fn export(path: &Path, from: Provenance, change: impl FnOnce(&mut Export<'_>)) -> Option<PathAttributes> {
        let policy = Policy::accepting([PrefixRule::within("0.0.0.0/0".parse().unwrap())]);
        let underlay = Underlay::new([UnderlayRoute {
            prefix: "192.168.1.0/24".parse().unwrap(),
            via: None,
            interface: Some(2),
            metric: 0,
        }]);
        let mut export = Export {
            peer: PeerId(1),
            peer_address: "192.168.1.1".parse().unwrap(),
            external: false,
            client: false,
            local_asn: 64512,
            peer_asn: 65000,
            cluster_id: Ipv4Addr::new(192, 168, 1, 11),
            own_next_hop: [Some("192.168.1.11".parse().unwrap()), None],
            next_hop: NextHopRule::Standard,
            as_path: AsPathRules::default(),
            only_to_customer: OnlyToCustomer::NONE,
            communities: &[],
            policy: &policy,
            underlay: &underlay,
        };
        change(&mut export);
        export.attributes(PREFIX.parse().unwrap(), path, from)
    }

    #[test]
    fn towards_an_external_peer() {
        let told = export(&path(), from(Kind::Local), |e| e.external = true).unwrap();
        assert_eq!(told.as_path, AsPath::sequence([64512]));
        assert_eq!((told.local_pref, told.med), (None, Some(7)), "our own MED may cross the border");
        assert_eq!(told.next_hop.to_string(), "192.168.1.11");
        let told = export(&path(), from(Kind::Internal), |e| e.external = true).unwrap();
        assert_eq!(told.med, None, "somebody else's may not");
        assert_eq!(told.next_hop.to_string(), "192.168.1.12", "third party on the shared subnet");
        let elsewhere = |e: &mut Export<'_>| {
            e.external = true;
            e.peer_address = "203.0.113.1".parse().unwrap();
        };
        let told = export(&path(), from(Kind::Internal), elsewhere).unwrap();
        assert_eq!(told.next_hop.to_string(), "192.168.1.11");
    }

    #[test]
    fn towards_an_internal_peer() {
        let told = export(&path(), from(Kind::External), |_| ()).unwrap();
        assert_eq!(told.next_hop.to_string(), "192.168.1.12");
        assert_eq!((told.local_pref, told.as_path.hops()), (Some(150), 0));
        let told = export(&path(), from(Kind::External), |e| e.next_hop = NextHopRule::Own).unwrap();
        assert_eq!(told.next_hop.to_string(), "192.168.1.11");
        assert_eq!(export(&path(), from(Kind::Internal), |_| ()), None, "no reflection without clients");
    }

    #[test]
    fn reflection_to_and_from_clients_stamps_the_path() {
        let from_client = Provenance { from_client: true, ..from(Kind::Internal) };
        let to_non_client = export(&path(), from_client, |_| ()).unwrap();
        let to_client = export(&path(), from(Kind::Internal), |e| e.client = true).unwrap();
        for told in [to_non_client, to_client] {
            assert_eq!(told.originator_id, Some(Ipv4Addr::new(192, 168, 1, 12)));
            assert_eq!(told.cluster_list, [Ipv4Addr::new(192, 168, 1, 11)]);
            assert_eq!(told.next_hop.to_string(), "192.168.1.12");
        }
    }

    #[test]
    fn never_back_to_its_source_nor_past_policy_or_communities() {
        assert_eq!(export(&path(), from(Kind::External), |e| e.peer = PeerId(2)), None);
        static DENY: Policy = Policy { rules: vec![] };
        assert_eq!(export(&path(), from(Kind::External), |e| e.policy = &DENY), None);
        let mut tagged = path();
        let attributes = Arc::make_mut(&mut tagged.attributes);
        attributes.communities = vec![NO_EXPORT];
        assert_eq!(export(&tagged, from(Kind::Local), |e| e.external = true), None);
        assert!(export(&tagged, from(Kind::Local), |_| ()).is_some());
        Arc::make_mut(&mut tagged.attributes).communities = vec![NO_ADVERTISE];
        assert_eq!(export(&tagged, from(Kind::Local), |_| ()), None);
    }

    #[test]
    fn without_an_address_of_the_family_we_cannot_be_the_next_hop() {
        assert_eq!(export(&path(), from(Kind::Local), |e| e.own_next_hop = [None, None]), None);
    }

    #[test]
    fn configured_communities_are_added_once() {
        let mut tagged = path();
        Arc::make_mut(&mut tagged.attributes).communities = vec![Community(1)];
        let told = export(&tagged, from(Kind::Local), |e| e.communities = &[1, 2]).unwrap();
        assert_eq!(told.communities, [Community(1), Community(2)]);
    }
}
