//! Export: what a peer is told of a best path (RFC 4271 §5.1, §9.2; RFC 4456; RFC 1997).

use std::net::{IpAddr, Ipv4Addr};

use super::as_path_rules::AsPathRules;
use super::decision::{DEFAULT_LOCAL_PREF, Kind};
use super::next_hop::{Underlay, is_link_local};
use super::only_to_customer::OnlyToCustomer;
use super::policy::{Changes, Policy, insert};
use super::well_known::{GRACEFUL_SHUTDOWN, LLGR_STALE, NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED, bears};
use crate::bgp::{Community, ExtendedCommunity, PathAttributes};
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
}

impl<'a> Export<'a> {
    /// Whether policy lets the peer be told of `prefix` at all, and with which changes.
    pub fn permits(&self, prefix: Prefix, received: &PathAttributes) -> Option<Changes<'a>> {
        if self.presence == Presence::Gone {
            return None;
        }
        self.policy.judge(prefix, received)
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
        if self.forbidden_by_community(received) || self.only_to_customer.forbids(received) {
            return None;
        }
        let mut attributes = received.clone();
        attributes.next_hop = self.next_hop(family, received, from)?;
        // RFC 2545 §3: it is for those who share a link with that router, which nobody has looked at.
        attributes.link_local_next_hop = None;
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
        if self.presence == Presence::Leaving {
            // Internal peers, too, may not know the community: LOCAL_PREF says the same to all.
            insert(&mut attributes.communities, GRACEFUL_SHUTDOWN);
            attributes.local_pref = Some(0);
        }
        if self.partial_deployment && bears(received, LLGR_STALE) {
            // In place of the mark, for whoever does not know it; and to those who do, so that all choose
            // alike. Another AS would not see the former.
            attributes.local_pref = Some(0);
            if !self.long_lived {
                insert(&mut attributes.communities, NO_EXPORT);
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
            && self.presence == other.presence
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
        attributes.as_path = self.as_path.export(&attributes.as_path, self.local_asn, self.peer_asn);
        attributes.originator_id = None;
        attributes.cluster_list.clear();
        // RFC 4360 §6: what is not transitive stays in the AS. Policy may add some for this border alone.
        attributes.extended_communities.retain(|octets| ExtendedCommunity(*octets).is_transitive());
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
    use super::*;
    use crate::bgp::AsPath;
    use crate::rib::next_hop::UnderlayRoute;
    use crate::rib::policy::{Action, AnyCommunity, PrefixRule, Rule, Set};

    const PREFIX: &str = "10.244.2.0/24";

    fn received() -> PathAttributes {
        PathAttributes {
            med: Some(7),
            local_pref: Some(150),
            ..PathAttributes::originated("192.168.1.12".parse().unwrap())
        }
    }

    fn from(kind: Kind) -> Provenance {
        Provenance { kind, from_client: false, router_id: Ipv4Addr::new(192, 168, 1, 12) }
    }

    /// Exports to a peer at 192.168.1.1 with an accept-everything policy, after `change`.
    fn export(
        received: &PathAttributes,
        from: Provenance,
        change: impl FnOnce(&mut Export<'_>),
    ) -> Option<PathAttributes> {
        export_by(&any(), received, from, change)
    }

    fn any() -> Policy {
        Policy::accepting([PrefixRule::within("0.0.0.0/0".parse().unwrap())])
    }

    fn export_by(
        policy: &Policy,
        received: &PathAttributes,
        from: Provenance,
        change: impl FnOnce(&mut Export<'_>),
    ) -> Option<PathAttributes> {
        let underlay = Underlay::new([UnderlayRoute {
            prefix: "192.168.1.0/24".parse().unwrap(),
            via: None,
            interface: Some(2),
            metric: 0,
        }]);
        let mut export = Export {
            peer_address: "192.168.1.1".parse().unwrap(),
            external: false,
            client: false,
            local_asn: 64512,
            peer_asn: 65000,
            cluster_id: Ipv4Addr::new(192, 168, 1, 11),
            own_next_hop: [Some("192.168.1.11".parse().unwrap()), None],
            extended_next_hop: false,
            long_lived: false,
            partial_deployment: false,
            next_hop: NextHopRule::Standard,
            as_path: AsPathRules::default(),
            only_to_customer: OnlyToCustomer::NONE,
            communities: &[],
            policy,
            presence: Presence::Staying,
            underlay: &underlay,
        };
        change(&mut export);
        let changes = export.permits(PREFIX.parse().unwrap(), received)?;
        export.attributes(Family::Ipv4Unicast, received, from, &changes)
    }

    #[test]
    fn towards_an_external_peer() {
        let told = export(&received(), from(Kind::Local), |e| e.external = true).unwrap();
        assert_eq!(told.as_path, AsPath::sequence([64512]));
        assert_eq!((told.local_pref, told.med), (None, Some(7)), "our own MED may cross the border");
        assert_eq!(told.next_hop.to_string(), "192.168.1.11");
        let told = export(&received(), from(Kind::Internal), |e| e.external = true).unwrap();
        assert_eq!(told.med, None, "somebody else's may not");
        assert_eq!(told.next_hop.to_string(), "192.168.1.12", "third party on the shared subnet");
        let elsewhere = |e: &mut Export<'_>| {
            e.external = true;
            e.peer_address = "203.0.113.1".parse().unwrap();
        };
        let told = export(&received(), from(Kind::Internal), elsewhere).unwrap();
        assert_eq!(told.next_hop.to_string(), "192.168.1.11");
    }

    #[test]
    fn towards_an_internal_peer() {
        let told = export(&received(), from(Kind::External), |_| ()).unwrap();
        assert_eq!(told.next_hop.to_string(), "192.168.1.12");
        assert_eq!((told.local_pref, told.as_path.hops()), (Some(150), 0));
        let told = export(&received(), from(Kind::External), |e| e.next_hop = NextHopRule::Own).unwrap();
        assert_eq!(told.next_hop.to_string(), "192.168.1.11");
        assert_eq!(export(&received(), from(Kind::Internal), |_| ()), None, "no reflection without clients");
    }

    #[test]
    fn reflection_to_and_from_clients_stamps_the_path() {
        let from_client = Provenance { from_client: true, ..from(Kind::Internal) };
        let to_non_client = export(&received(), from_client, |_| ()).unwrap();
        let to_client = export(&received(), from(Kind::Internal), |e| e.client = true).unwrap();
        for told in [to_non_client, to_client] {
            assert_eq!(told.originator_id, Some(Ipv4Addr::new(192, 168, 1, 12)));
            assert_eq!(told.cluster_list, [Ipv4Addr::new(192, 168, 1, 11)]);
            assert_eq!(told.next_hop.to_string(), "192.168.1.12");
        }
        let own = |e: &mut Export<'_>| (e.client, e.next_hop) = (true, NextHopRule::Own);
        let told = export(&received(), from(Kind::Internal), own).unwrap();
        assert_eq!(told.next_hop.to_string(), "192.168.1.12", "two reflectors that changed it would loop");
    }

    #[test]
    fn never_past_communities() {
        let mut tagged = PathAttributes { communities: vec![NO_EXPORT], ..received() };
        assert_eq!(export(&tagged, from(Kind::Local), |e| e.external = true), None);
        assert!(export(&tagged, from(Kind::Local), |_| ()).is_some());
        tagged.communities = vec![NO_ADVERTISE];
        assert_eq!(export(&tagged, from(Kind::Local), |_| ()), None);
    }

    #[test]
    fn last_resorts_go_to_those_who_know_their_mark_and_where_asked_for_to_other_internal_peers() {
        let marked = PathAttributes { communities: vec![LLGR_STALE], ..received() };
        let told = |external, long_lived, partial_deployment| {
            let configure = |e: &mut Export<'_>| {
                (e.external, e.long_lived, e.partial_deployment) = (external, long_lived, partial_deployment);
            };
            let told = export(&marked, from(Kind::External), configure)?;
            Some((told.local_pref, told.communities.contains(&NO_EXPORT)))
        };
        for partial in [false, true] {
            assert_eq!(told(true, false, partial), None);
            assert_eq!(told(true, true, partial), Some((None, false)));
        }
        assert_eq!(told(false, false, false), None);
        assert_eq!(told(false, true, false), Some((Some(150), false)));
        assert_eq!(told(false, false, true), Some((Some(0), true)));
        assert_eq!(told(false, true, true), Some((Some(0), false)), "all of the AS choose alike");
        let fresh = export(&received(), from(Kind::External), |e| e.partial_deployment = true).unwrap();
        assert_eq!(fresh.local_pref, Some(150));
    }

    #[test]
    fn without_an_address_of_the_family_we_cannot_be_the_next_hop() {
        assert_eq!(export(&received(), from(Kind::Local), |e| e.own_next_hop = [None, None]), None);
    }

    #[test]
    fn a_next_hop_that_the_peer_could_not_use_is_replaced_by_ours() {
        let told = |next_hop: &str, extended| {
            let received = PathAttributes { next_hop: next_hop.parse().unwrap(), ..received() };
            let configure = |e: &mut Export<'_>| e.extended_next_hop = extended;
            export(&received, from(Kind::External), configure).unwrap().next_hop.to_string()
        };
        assert_eq!(told("2001:db8::1", true), "2001:db8::1");
        assert_eq!(told("2001:db8::1", false), "192.168.1.11", "it has no form without RFC 8950");
        assert_eq!(told("fe80::1", true), "192.168.1.11", "it is somebody else on the peer's link");
    }

    #[test]
    fn configured_communities_are_added_once() {
        let tagged = PathAttributes { communities: vec![Community(1)], ..received() };
        let told = export(&tagged, from(Kind::Local), |e| e.communities = &[1, 2]).unwrap();
        assert_eq!(told.communities, [Community(1), Community(2)]);
    }

    /// A policy that makes these changes to everything.
    fn setting(set: Set) -> Policy {
        Policy { rules: vec![Rule { set, action: Some(Action::Accept), ..Rule::default() }] }
    }

    #[test]
    fn policy_has_the_last_word_but_for_local_pref_towards_external_peers() {
        let set = Set { local_pref: Some(300), med: Some(9), prepend: 2, ..Set::default() };
        let told = export_by(&setting(set.clone()), &received(), from(Kind::External), |e| e.external = true);
        let told = told.unwrap();
        assert_eq!(told.as_path, AsPath::sequence([64512; 3]));
        assert_eq!((told.local_pref, told.med), (None, Some(9)), "a MED that is ours by policy");
        let told = export_by(&setting(set), &received(), from(Kind::External), |_| ()).unwrap();
        assert_eq!((told.local_pref, told.med, told.as_path.hops()), (Some(300), Some(9), 0));
        assert_eq!(export_by(&Policy::default(), &received(), from(Kind::Local), |_| ()), None);
    }

    #[test]
    fn no_export_set_by_policy_is_told_and_does_not_keep_the_path_here() {
        let add_communities = [AnyCommunity::Plain(NO_EXPORT)].into();
        let policy = setting(Set { add_communities, ..Set::default() });
        let told = export_by(&policy, &received(), from(Kind::Local), |e| e.external = true).unwrap();
        assert_eq!(told.communities, [NO_EXPORT]);
    }

    #[test]
    fn the_next_hop_as_configured() {
        let told = |kind, external, rule| {
            let configure = |e: &mut Export<'_>| {
                (e.external, e.next_hop) = (external, rule);
                e.peer_address = "203.0.113.1".parse().unwrap();
            };
            export(&received(), from(kind), configure).unwrap().next_hop.to_string()
        };
        let given = NextHopRule::Address("192.168.1.100".parse().unwrap());
        let other_family = NextHopRule::Address("fd00::1".parse().unwrap());
        for (kind, external, rule, expected) in [
            (Kind::Internal, true, NextHopRule::Standard, "192.168.1.11"),
            (Kind::Internal, true, NextHopRule::Unchanged, "192.168.1.12"),
            (Kind::Local, true, NextHopRule::Unchanged, "192.168.1.11"),
            (Kind::External, false, NextHopRule::Own, "192.168.1.11"),
            (Kind::Internal, true, NextHopRule::Own, "192.168.1.11"),
            (Kind::External, false, given, "192.168.1.100"),
            (Kind::Local, true, given, "192.168.1.100"),
            (Kind::External, false, other_family, "192.168.1.12"),
        ] {
            assert_eq!(told(kind, external, rule), expected, "{kind:?} {external} {rule:?}");
        }
    }

    #[test]
    fn peers_are_alike_when_nothing_tells_them_apart() {
        static ANY: Policy = Policy { rules: vec![] };
        let underlay = Underlay::new(["192.168.1.0/24", "10.0.0.0/8"].map(|prefix| UnderlayRoute {
            prefix: prefix.parse().unwrap(),
            via: None,
            interface: Some(2),
            metric: 0,
        }));
        let one = Export {
            peer_address: "192.168.1.1".parse().unwrap(),
            external: true,
            client: false,
            local_asn: 64512,
            peer_asn: 65000,
            cluster_id: Ipv4Addr::new(192, 168, 1, 11),
            own_next_hop: [None, None],
            extended_next_hop: false,
            long_lived: false,
            partial_deployment: false,
            next_hop: NextHopRule::Standard,
            as_path: AsPathRules::default(),
            only_to_customer: OnlyToCustomer::NONE,
            communities: &[],
            policy: &ANY,
            presence: Presence::Staying,
            underlay: &underlay,
        };
        let at = |address: &str| Export { peer_address: address.parse().unwrap(), ..one };
        assert!(one.is_like(&at("192.168.1.2")), "both can reach the same third parties");
        assert!(!one.is_like(&at("10.0.0.1")));
        let internal = |address| Export { external: false, ..at(address) };
        assert!(internal("192.168.1.1").is_like(&internal("10.0.0.1")), "where it is does not matter");
        assert!(!one.is_like(&Export { communities: &[1], ..one }));
        assert!(!one.is_like(&Export { presence: Presence::Leaving, ..one }));
        assert!(!one.is_like(&Export { client: true, ..one }));
        assert!(one.is_like(&Export { peer_asn: 65001, ..one }));
        let overriding = |peer_asn| {
            let as_path = AsPathRules { override_peer: true, ..AsPathRules::default() };
            Export { peer_asn, as_path, ..one }
        };
        assert!(!overriding(65000).is_like(&overriding(65001)), "each has its own AS replaced");
    }
}
