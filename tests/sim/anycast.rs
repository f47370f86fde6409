//! Addresses of Services, which several nodes originate: announced with what they are to bear, exchanged by
//! the nodes and nobody else, and changed without touching a session.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use routelet::bgp::{Community, ExtendedCommunity, LargeCommunity};
use routelet::prefix::{Family, Prefix};
use routelet::rib::policy::PrefixRule;
use routelet::speaker::Intent;
use routelet::speaker::intent::{Origination, Scope};
use routelet::speaker::view::PathView;

use crate::plan::{Families, Plan};
use crate::world::World;
use crate::{each, each_of, oracle};

/// An address of a Service in each family that the cluster uses, or an aggregate of such.
fn prefixes(plan: &Plan, v4: &str, v6: &str) -> Vec<Prefix> {
    let families: BTreeSet<Family> =
        plan.member("node1").addresses.iter().map(|address| Family::of(*address)).collect();
    let both: [Prefix; 2] = [v4.parse().unwrap(), v6.parse().unwrap()];
    both.into_iter().filter(|prefix| families.contains(&prefix.family())).collect()
}

fn address(plan: &Plan) -> Vec<Prefix> {
    prefixes(plan, "198.51.100.10/32", "2001:db8:5::10/128")
}

fn everybody() -> Scope {
    Scope { mesh: true, peers: None }
}

fn plain() -> Origination {
    Origination {
        scope: everybody(),
        communities: vec![],
        large_communities: vec![],
        local_pref: None,
        weight: None,
        aggregate: false,
    }
}

/// What a member is told where all nodes share `shared`, and it originates them with `own` if that is given.
fn intent(plan: &Plan, name: &str, shared: &[Prefix], own: Option<&Origination>) -> Intent {
    let mut intent = plan.intent(name);
    let accepted = ["198.51.100.0/24", "2001:db8:5::/64"].map(|p| PrefixRule::within(p.parse().unwrap()));
    for (other, peer) in &mut intent.peers {
        if name.starts_with("tor") {
            peer.import.accept(accepted);
        } else if other.starts_with("tor") {
            peer.export.accept(accepted);
            peer.scope_name = Some(other.clone());
        }
    }
    if !name.starts_with("tor") {
        let scope = Arc::new(own.map_or_else(everybody, |own| own.scope.clone()));
        intent.scopes = Arc::new(shared.iter().map(|prefix| (*prefix, scope.clone())).collect());
        if let Some(own) = own {
            let own = Arc::new(own.clone());
            intent.originated = Arc::new(shared.iter().map(|prefix| (*prefix, own.clone())).collect());
        }
    }
    intent
}

/// Starts the cluster with node1 as the one that originates.
fn start(world: &mut World, plan: &Plan, shared: &[Prefix], own: &Origination) {
    for member in plan.members.iter().map(|m| m.name) {
        world.set_intent(member, intent(plan, member, shared, (member == "node1").then_some(own)));
    }
    world.start_all();
    world.run_for(Duration::from_secs(10));
}

/// The paths that a member has to a prefix.
fn paths(world: &World, name: &str, prefix: Prefix) -> Vec<PathView> {
    let routes = world.routes(name).into_iter().filter(|route| route.prefix == prefix);
    routes.flat_map(|route| route.paths).collect()
}

#[test]
fn an_address_goes_out_with_its_attributes_and_nobody_in_the_mesh_installs_it() {
    each(|world, plan| {
        let large = LargeCommunity { global_administrator: 64512, local_data_1: 1, local_data_2: 2 };
        let own = Origination {
            communities: vec![Community(1), Community(2)],
            large_communities: vec![large],
            local_pref: Some(200),
            weight: Some(3),
            ..plain()
        };
        let shared = address(plan);
        start(world, plan, &shared, &own);
        for prefix in shared {
            let at_tor = paths(world, "tor", prefix);
            let [path] = at_tor.as_slice() else { panic!("{prefix}: {at_tor:?}") };
            assert_eq!(path.peer.as_deref(), Some("node1"), "others have it, too, and keep it to themselves");
            assert_eq!(path.attributes.communities[..], own.communities);
            assert_eq!(path.attributes.rare.large_communities, [large]);
            let bandwidth = ExtendedCommunity::link_bandwidth(64512, 375_000.0, true);
            assert_eq!(path.attributes.rare.extended_communities, [bandwidth.0], "it has crossed the border");
            assert_eq!(path.attributes.local_pref, None);
            assert!(world.learned_routes("tor").contains_key(&prefix));
            for node in ["node2", "node3"] {
                let learned = paths(world, node, prefix);
                assert_eq!(learned.len(), 1, "{node}: {learned:?}");
                assert!(learned[0].best && learned[0].attributes.local_pref == Some(200));
                assert!(!world.learned_routes(node).contains_key(&prefix), "{node} answers for it itself");
            }
            assert!(!world.learned_routes("node1").contains_key(&prefix));
        }
    });
}

#[test]
fn a_reflector_passes_it_on_as_it_came() {
    each_of(Plan::with_reflector, |world, plan| {
        let shared = address(plan);
        for member in plan.members.iter().map(|m| m.name) {
            world.set_intent(member, intent(plan, member, &shared, (member == "node2").then_some(&plain())));
        }
        world.start_all();
        world.run_for(Duration::from_secs(10));
        for prefix in shared {
            let learned = paths(world, "node3", prefix);
            assert_eq!(learned.len(), 1, "{learned:?}");
            assert_eq!(learned[0].peer.as_deref(), Some("node1"));
            let node2 = &plan.member("node2").addresses;
            assert!(node2.contains(&learned[0].attributes.next_hop));
            // node2 tells the ToR itself, and the reflector what it was told by its client.
            let at_tor = paths(world, "tor", prefix);
            assert!(at_tor.iter().all(|path| node2.contains(&path.attributes.next_hop)), "{at_tor:?}");
            // Of another family than the session's it cannot tell whether they share a subnet.
            let session = Family::of(plan.member("tor").addresses[0]);
            assert_eq!(at_tor.len(), if prefix.family() == session { 2 } else { 1 });
        }
    });
}

#[test]
fn a_change_of_attributes_or_of_the_audience_concerns_that_address_alone() {
    each(|world, plan| {
        let shared = address(plan);
        start(world, plan, &shared, &plain());
        let change = |world: &mut World, own: &Origination| {
            for node in ["node1", "node2", "node3"] {
                let intent = intent(plan, node, &shared, (node == "node1").then_some(own));
                world.configure(node, Intent { scopes: scopes(&shared, &own.scope), ..intent });
            }
            world.run_for(Duration::from_secs(1));
        };
        change(world, &Origination { communities: vec![Community(7)], ..plain() });
        for prefix in &shared {
            assert_eq!(paths(world, "tor", *prefix)[0].attributes.communities, [Community(7)]);
        }
        // Not the ToR, then not the mesh, and everybody again.
        for (mesh, peers, at_tor, at_node2) in [
            (true, Some(vec![]), 0, 1),
            (false, Some(vec!["tor"]), 1, 0),
            (false, None, 1, 0),
            (true, None, 1, 1),
        ] {
            let peers = peers.map(|names| names.into_iter().map(str::to_owned).collect());
            let scope = Scope { mesh, peers };
            change(world, &Origination { scope: scope.clone(), ..plain() });
            for prefix in &shared {
                assert_eq!(paths(world, "tor", *prefix).len(), at_tor, "{scope:?}");
                assert_eq!(paths(world, "node2", *prefix).len(), at_node2, "{scope:?}");
            }
        }
        assert_eq!(world.seen("went down"), 0);
        let none = |name| intent(plan, name, &[], None);
        for name in ["node1", "node2", "node3", "tor"] {
            world.configure(name, none(name));
        }
        world.run_for(Duration::from_secs(1));
        oracle::check(world, plan);
        assert_eq!(world.seen("went down"), 0);
    });
}

fn scopes(shared: &[Prefix], scope: &Scope) -> Arc<routelet::speaker::intent::Scopes> {
    let scope = Arc::new(scope.clone());
    Arc::new(shared.iter().map(|prefix| (*prefix, scope.clone())).collect())
}

#[test]
fn a_node_accepts_what_it_knows_to_be_shared_and_nothing_else() {
    each(|world, plan| {
        let shared = address(plan);
        start(world, plan, &[], &plain());
        world.configure("node1", intent(plan, "node1", &shared, Some(&plain())));
        world.run_for(Duration::from_secs(1));
        for prefix in &shared {
            let refused = paths(world, "node2", *prefix);
            assert_eq!(refused.len(), 1);
            assert!(!refused[0].best, "{refused:?}");
            assert_eq!(refused[0].ineligible.as_deref(), Some("no import rule accepts it"));
        }
        world.configure("node2", intent(plan, "node2", &shared, None));
        world.run_for(Duration::from_secs(1));
        for prefix in &shared {
            assert!(paths(world, "node2", *prefix)[0].best, "judged again");
            assert!(!paths(world, "node3", *prefix)[0].best);
        }
        world.configure("node2", intent(plan, "node2", &[], None));
        world.run_for(Duration::from_secs(1));
        assert!(shared.iter().all(|prefix| !paths(world, "node2", *prefix)[0].best));
        assert_eq!(world.seen("went down"), 0);
    });
}

#[test]
fn who_originates_it_prefers_itself_and_the_rack_hears_of_both() {
    each(|world, plan| {
        let shared = address(plan);
        start(world, plan, &shared, &plain());
        let preferred = Origination { local_pref: Some(500), ..plain() };
        world.configure("node2", intent(plan, "node2", &shared, Some(&preferred)));
        world.run_for(Duration::from_secs(1));
        for prefix in &shared {
            for node in ["node1", "node2"] {
                let best: Vec<PathView> =
                    paths(world, node, *prefix).into_iter().filter(|p| p.best).collect();
                assert_eq!(best.len(), 1);
            }
            assert_eq!(paths(world, "node2", *prefix)[0].peer, None);
            assert!(!world.learned_routes("node1").contains_key(prefix));
            assert_eq!(world.learned_routes("tor")[prefix].len(), 2, "multipath");
        }
        // Endpoints have moved away from node1.
        world.configure("node1", intent(plan, "node1", &shared, None));
        world.run_for(Duration::from_secs(1));
        let node2 = &plan.member("node2").addresses;
        for prefix in &shared {
            assert!(world.learned_routes("tor")[prefix].iter().all(|via| node2.contains(via)));
        }
        assert_eq!(world.seen("went down"), 0);
    });
}

#[test]
fn an_aggregate_is_announced_once_the_kernel_discards_the_rest_and_as_long() {
    each(|world, plan| {
        let pool = prefixes(plan, "198.51.100.0/24", "2001:db8:5::/64");
        let aggregate = Origination { aggregate: true, ..plain() };
        start(world, plan, &[], &plain());
        world.set_refusing("node1", true);
        world.configure("node1", intent(plan, "node1", &pool, Some(&aggregate)));
        world.run_for(Duration::from_secs(1));
        assert!(pool.iter().all(|prefix| paths(world, "tor", *prefix).is_empty()), "nothing discards yet");
        world.set_refusing("node1", false);
        world.run_for(Duration::from_secs(60));
        for prefix in &pool {
            assert!(world.unreachable_routes("node1").contains(prefix));
            assert_eq!(paths(world, "tor", *prefix).len(), 1);
        }
        world.set_bridge("node1", false);
        world.run_for(Duration::from_secs(1));
        assert!(pool.iter().all(|prefix| paths(world, "tor", *prefix).is_empty()));
        world.set_bridge("node1", true);
        world.run_for(Duration::from_secs(1));
        assert!(pool.iter().all(|prefix| paths(world, "tor", *prefix).len() == 1));
        world.configure("node1", intent(plan, "node1", &[], None));
        world.run_for(Duration::from_secs(1));
        for prefix in &pool {
            assert!(paths(world, "tor", *prefix).is_empty());
            assert!(!world.unreachable_routes("node1").contains(prefix));
        }
        assert_eq!(world.seen("went down"), 0);
    });
}

/// Ten thousand addresses, one of which moves: the others are not told again.
#[test]
fn one_of_many_that_changes_is_told_alone() {
    let plan = Plan::reference(Families::Ipv4);
    let mut world = World::new(&plan, 1);
    let all: Vec<Prefix> =
        (0..10_000u32).map(|i| Prefix::host(std::net::Ipv4Addr::from(0xC633_6400 + i).into())).collect();
    let accepted = PrefixRule::within("198.51.0.0/16".parse().unwrap());
    let with = |name: &str, own: bool, changed: Option<Prefix>| {
        let mut intent = intent(&plan, name, &all, own.then(plain).as_ref());
        for peer in intent.peers.values_mut().filter(|_| name == "tor") {
            peer.import.accept([accepted]);
        }
        if let Some(peer) = intent.peers.get_mut("tor") {
            peer.export.accept([accepted]);
        }
        if let Some(prefix) = changed {
            let changed = Arc::new(Origination { communities: vec![Community(9)], ..plain() });
            Arc::make_mut(&mut intent.originated).insert(prefix, changed);
        }
        intent
    };
    for member in plan.members.iter().map(|m| m.name) {
        world.set_intent(member, with(member, member == "node1", None));
    }
    world.start_all();
    world.run_for(Duration::from_secs(30));
    let told = |world: &World| {
        let node1 = world.peers("tor").into_iter().find(|peer| peer.name == "node1").unwrap();
        (node1.families.iter().map(|family| family.received).sum::<u64>(), node1.counters.updates_in)
    };
    let before = told(&world);
    assert!(before.0 > 10_000);
    world.configure("node1", with("node1", true, Some(all[5_000])));
    world.run_for(Duration::from_secs(1));
    assert_eq!(paths(&world, "tor", all[5_000])[0].attributes.communities, [Community(9)]);
    assert_eq!(told(&world).1, before.1 + 1, "one UPDATE for one address");
}
