//! Several paths for one prefix through a reflector (RFC 7911): its client shares packets among them,
//! and knows each by a name that stays.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use routelet::bgp::PathId;
use routelet::prefix::Prefix;
use routelet::speaker::Intent;
use routelet::speaker::intent::{AddPathIntent, SendPaths};

use crate::plan::{Families, Member, Plan};
use crate::world::World;

const MOMENT: Duration = Duration::from_secs(1);

/// Three nodes behind the reflector node1 that all lead to one service, and node2 that wants to know.
fn plan() -> (Plan, Prefix) {
    let mut plan = Plan::with_reflector(Families::Ipv4);
    plan.members.retain(|member| !member.is_tor());
    let service: Prefix = "10.99.0.0/24".parse().unwrap();
    for (name, host) in [("node4", 14), ("node5", 15)] {
        let addresses = vec![IpAddr::from([192, 168, 1, host])];
        plan.members.push(Member { name, addresses, prefixes: vec![service] });
    }
    plan.members.iter_mut().find(|member| member.name == "node3").unwrap().prefixes.push(service);
    (plan, service)
}

/// The reflector sends, node2 receives; either side alone changes nothing.
fn reflector(plan: &Plan, send: Option<SendPaths>) -> Intent {
    let mut intent = plan.intent("node1");
    intent.peers.get_mut("node2").unwrap().add_path = AddPathIntent { receive: true, send };
    intent
}

fn client(plan: &Plan) -> Intent {
    let mut intent = plan.intent("node2");
    intent.peers.get_mut("node1").unwrap().add_path.receive = true;
    intent
}

fn next_hops(world: &World, service: Prefix) -> BTreeSet<u8> {
    let routes = world.learned_routes("node2");
    let last = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => 0,
    };
    routes.get(&service).into_iter().flatten().map(last).collect()
}

/// Identifier and next hop of each path that node2 has to the service.
fn names(world: &World) -> BTreeSet<(PathId, IpAddr)> {
    let of_service = |path: &routelet::speaker::view::PathView| {
        let last = path.attributes.next_hop.to_string().ends_with(['3', '4', '5']);
        (last && path.peer.is_some()).then_some((path.path_id?, path.attributes.next_hop))
    };
    world.paths("node2").iter().filter_map(of_service).collect()
}

#[test]
fn a_client_shares_packets_among_all_that_the_reflector_knows() {
    let (plan, service) = plan();
    let mut world = World::new(&plan, 1);
    world.start_all();
    world.run_for(Duration::from_secs(10));
    assert_eq!(next_hops(&world, service).len(), 1, "the best alone");

    world.configure("node1", reflector(&plan, Some(SendPaths::All)));
    world.run_for(Duration::from_secs(10));
    assert_eq!(next_hops(&world, service).len(), 1, "the client has not asked for more");
    world.configure("node2", client(&plan));
    world.run_for(Duration::from_secs(10));
    assert_eq!(next_hops(&world, service), [13, 14, 15].into());
    assert_eq!(world.learned_routes("node3").get(&service), None, "it leads there itself");

    // One of them goes, and comes back: the others are the same paths as before.
    let before = names(&world);
    let mut silent = plan.intent("node4");
    silent.pod_cidrs.clear();
    world.configure("node4", silent);
    world.run_for(MOMENT);
    assert_eq!(next_hops(&world, service), [13, 15].into());
    let left = names(&world);
    assert!(left.is_subset(&before) && left.len() + 1 == before.len(), "{left:?} of {before:?}");
    world.configure("node4", plan.intent("node4"));
    world.run_for(MOMENT);
    assert_eq!(next_hops(&world, service), [13, 14, 15].into());
    assert!(left.is_subset(&names(&world)));

    world.stop("node5");
    world.run_for(MOMENT);
    assert_eq!(next_hops(&world, service), [13, 14].into());
}

#[test]
fn so_many_of_the_best_and_a_change_of_how_many_resets_nothing() {
    let (plan, service) = plan();
    let mut world = World::new(&plan, 2);
    let best = |count| reflector(&plan, Some(SendPaths::Best(NonZeroU16::new(count).unwrap())));
    world.start_all();
    world.configure("node1", best(1));
    world.configure("node2", client(&plan));
    world.run_for(Duration::from_secs(20));
    assert_eq!(next_hops(&world, service), [13].into());
    let resets = world.seen("went down");
    for (intent, expected) in [
        (best(2), [13, 14].into()),
        (reflector(&plan, Some(SendPaths::All)), BTreeSet::from([13, 14, 15])),
        (best(1), [13].into()),
    ] {
        world.configure("node1", intent);
        world.run_for(MOMENT);
        assert_eq!(next_hops(&world, service), expected);
    }
    // The best goes, and the next one takes its place.
    world.configure("node1", best(2));
    let mut silent = plan.intent("node3");
    silent.pod_cidrs.retain(|prefix| *prefix != service);
    world.configure("node3", silent);
    world.run_for(MOMENT);
    assert_eq!(next_hops(&world, service), [14, 15].into());
    assert_eq!(world.seen("went down"), resets);
}

#[test]
fn what_a_client_has_said_itself_is_not_told_to_it() {
    let (plan, service) = plan();
    let mut world = World::new(&plan, 3);
    world.start_all();
    let mut everyone = plan.intent("node1");
    for peer in everyone.peers.values_mut() {
        peer.add_path = AddPathIntent { receive: true, send: Some(SendPaths::All) };
    }
    world.configure("node1", everyone);
    for name in ["node2", "node3", "node4", "node5"] {
        let mut intent = plan.intent(name);
        intent.peers.get_mut("node1").unwrap().add_path =
            AddPathIntent { receive: true, send: Some(SendPaths::All) };
        world.configure(name, intent);
    }
    world.run_for(Duration::from_secs(20));
    assert_eq!(next_hops(&world, service), [13, 14, 15].into());
    for (name, own) in [("node3", 13), ("node4", 14), ("node5", 15)] {
        let path = |path: &routelet::speaker::view::PathView| path.attributes.next_hop;
        let paths: Vec<IpAddr> = world.paths(name).iter().filter(|p| p.peer.is_some()).map(path).collect();
        assert!(!paths.contains(&[192, 168, 1, own].into()), "{name} has {paths:?}");
    }
}
