//! What peers of every kind are told, and what they are not.

use std::sync::Arc;

use super::*;
use crate::bgp::AsPath;
use crate::rib::anycast::Scope;
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
    Provenance { kind, from_client: false, router_id: Ipv4Addr::new(192, 168, 1, 12), anycast: false }
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
    with_export(policy, &Scopes::new(), |mut export| {
        change(&mut export);
        let changes = permitted(&export, received, from.kind)?;
        export.attributes(Family::Ipv4Unicast, received, from, &changes)
    })
}

/// The changes that the prefix of all these tests undergoes, if it may be told of.
fn permitted<'a>(export: &Export<'a>, received: &PathAttributes, kind: Kind) -> Option<Changes<'a>> {
    let mut changes = Changes::default();
    let policy = export.policy.judged(received);
    let permitted = export.permits(PREFIX.parse().unwrap(), kind == Kind::Local, &policy, &mut changes);
    permitted.then_some(changes)
}

fn with_export<T>(policy: &Policy, scopes: &Scopes, use_it: impl FnOnce(Export<'_>) -> T) -> T {
    let underlay = Underlay::new([UnderlayRoute {
        prefix: "192.168.1.0/24".parse().unwrap(),
        via: None,
        interface: Some(2),
        metric: 0,
    }]);
    use_it(Export {
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
        listener: Listener { exchange: Exchange::ByPolicy, name: None },
        originations: &Originations::new(),
        scopes,
    })
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
        assert_eq!(told.rare.originator_id, Some(Ipv4Addr::new(192, 168, 1, 12)));
        assert_eq!(told.rare.cluster_list, [Ipv4Addr::new(192, 168, 1, 11)]);
        assert_eq!(told.next_hop.to_string(), "192.168.1.12");
    }
    let own = |e: &mut Export<'_>| (e.client, e.next_hop) = (true, NextHopRule::Own);
    let told = export(&received(), from(Kind::Internal), own).unwrap();
    assert_eq!(told.next_hop.to_string(), "192.168.1.12", "two reflectors that changed it would loop");
}

#[test]
fn never_past_communities() {
    let mut tagged = PathAttributes { communities: [NO_EXPORT].into(), ..received() };
    assert_eq!(export(&tagged, from(Kind::Local), |e| e.external = true), None);
    assert!(export(&tagged, from(Kind::Local), |_| ()).is_some());
    tagged.communities = [NO_ADVERTISE].into();
    assert_eq!(export(&tagged, from(Kind::Local), |_| ()), None);
}

#[test]
fn last_resorts_go_to_those_who_know_their_mark_and_where_asked_for_to_other_internal_peers() {
    let marked = PathAttributes { communities: [LLGR_STALE].into(), ..received() };
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

/// The prefix of all these tests, as one that the nodes may all originate.
fn shared(mesh: bool, peers: Option<&[&str]>) -> Scopes {
    let peers = peers.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    Scopes::from([(PREFIX.parse().unwrap(), Arc::new(Scope { mesh, peers }))])
}

#[test]
fn the_scope_of_an_anycast_prefix_comes_before_policy() {
    let told = |scopes: &Scopes, kind, exchange, name| {
        let policy = if exchange == Exchange::ByPolicy { any() } else { Policy::default() };
        with_export(&policy, scopes, |mut export| {
            export.listener = Listener { exchange, name };
            permitted(&export, &received(), kind).is_some()
        })
    };
    let (by_policy, own, all) = (Exchange::ByPolicy, Exchange::Own, Exchange::All);
    for (scopes, kind, exchange, name, expected) in [
        (shared(true, None), Kind::Local, own, None, true),
        (shared(true, None), Kind::Internal, own, None, false),
        (shared(true, None), Kind::Internal, all, None, true),
        (shared(false, None), Kind::Local, own, None, false),
        (shared(false, None), Kind::Local, by_policy, None, true),
        (shared(true, Some(&["tor"])), Kind::Local, by_policy, None, false),
        (shared(true, Some(&["tor"])), Kind::Local, by_policy, Some("tor"), true),
        (Scopes::new(), Kind::Local, own, None, false),
    ] {
        let case = format!("{scopes:?} {kind:?} {exchange:?} {name:?}");
        assert_eq!(told(&scopes, kind, exchange, name), expected, "{case}");
    }
}

/// Its node may drop what is not handed to it directly: under the traffic policy Local, another does.
#[test]
fn an_anycast_prefix_of_another_node_goes_out_with_its_next_hop_or_not_at_all() {
    let heard = Provenance { anycast: true, ..from(Kind::Internal) };
    assert_eq!(export(&received(), heard, |e| e.external = true), None, "its node is no client of ours");
    let of_another = Provenance { from_client: true, ..heard };
    let told = export(&received(), of_another, |e| e.external = true).unwrap();
    assert_eq!(told.next_hop.to_string(), "192.168.1.12", "the peer is on the same subnet");
    let elsewhere = |e: &mut Export<'_>| {
        (e.external, e.peer_address) = (true, "203.0.113.1".parse().unwrap());
    };
    assert_eq!(export(&received(), of_another, elsewhere), None);
    let own = Provenance { anycast: true, ..from(Kind::Local) };
    assert_eq!(export(&received(), own, elsewhere).unwrap().next_hop.to_string(), "192.168.1.11");
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
    let tagged = PathAttributes { communities: [Community(1)].into(), ..received() };
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
    let (originations, scopes) = (Originations::new(), Scopes::new());
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
        listener: Listener { exchange: Exchange::ByPolicy, name: None },
        originations: &originations,
        scopes: &scopes,
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
