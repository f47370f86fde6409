//! Several paths for one prefix through a reflector (RFC 7911): its client shares packets among them,
//! and knows each by a name that stays.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use routelet::bgp::capability::{AddPath, AddPathFamily};
use routelet::bgp::{Capability, PathId, PathNlri};
use routelet::prefix::{Family, Prefix};
use routelet::speaker::Intent;
use routelet::speaker::intent::{AddPathIntent, SendPaths};

use crate::plan::{Families, Member, Plan};
use crate::scripted::{Rig, accept_all};
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

/// A ToR that gives and takes several paths.
fn scripted(change: impl FnOnce(&mut Intent)) -> Rig {
    let both = AddPath { receive: true, send: true };
    let ipv4 = AddPathFamily::unicast(Family::Ipv4Unicast, both);
    Rig::new(&[Capability::AddPath(vec![ipv4]), Capability::EnhancedRouteRefresh], |intent| {
        accept_all(intent);
        let add_path = AddPathIntent { receive: true, send: Some(SendPaths::All) };
        intent.peers.get_mut("tor").unwrap().add_path = add_path;
        change(intent);
    })
}

fn paths(ids: &[u32]) -> Vec<PathNlri> {
    let prefix = "172.16.0.0/24".parse().unwrap();
    ids.iter().map(|id| PathNlri { prefix, id: PathId(*id) }).collect()
}

fn known(rig: &Rig) -> Vec<u32> {
    let routes = rig.speaker.routes(|prefix| prefix == "172.16.0.0/24".parse().unwrap());
    let mut ids: Vec<u32> =
        routes.iter().flat_map(|route| &route.paths).filter_map(|path| Some(path.path_id?.0)).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn each_path_is_replaced_refreshed_and_withdrawn_by_its_identifier() {
    let mut rig = scripted(|_| ());
    rig.announce_nlri(&paths(&[0, 1, 7]), |_| ());
    rig.announce_nlri(&paths(&[7]), |attributes| attributes.med = Some(5));
    assert_eq!(known(&rig), [0, 1, 7]);
    let best = rig.speaker.routes(|_| true).into_iter().find(|r| r.paths.len() == 3).unwrap();
    assert_eq!(best.decided_by, Some("lowest path identifier"));
    assert_eq!(best.paths[0].path_id, Some(PathId(0)));
    assert_eq!(best.paths[2].attributes.med, Some(5));

    let family = Family::Ipv4Unicast;
    rig.say(rig.codec.encode_begin_of_refresh(family));
    rig.announce_nlri(&paths(&[1, 7]), |_| ());
    assert_eq!(known(&rig), [0, 1, 7], "stale, and there until the end");
    rig.say(rig.codec.encode_end_of_refresh(family));
    assert_eq!(known(&rig), [1, 7]);

    let mut octets = vec![];
    rig.codec.encode_withdrawals(&paths(&[1, 2]), &mut octets);
    rig.say(octets);
    assert_eq!(known(&rig), [7]);
    let counts = rig.speaker.peers(rig.now).pop().unwrap().families;
    assert_eq!((counts[0].received, counts[0].accepted), (1, 1));
}

#[test]
fn our_own_prefix_is_told_by_a_name_and_told_again_when_asked() {
    let mut rig = scripted(|_| ());
    let told = |rig: &mut Rig| {
        let heard = std::mem::take(&mut rig.heard).into_iter();
        let updates = heard.filter_map(|message| match message {
            routelet::bgp::Message::Update(update) => Some(update),
            _ => None,
        });
        updates.flat_map(|update| update.announced).flat_map(|announced| announced.paths).collect::<Vec<_>>()
    };
    let own = [PathNlri { prefix: "10.244.1.0/24".parse().unwrap(), id: PathId(1) }];
    assert_eq!(told(&mut rig), own);
    rig.say(rig.codec.encode_route_refresh(Family::Ipv4Unicast));
    assert_eq!(told(&mut rig), own);
    let counts = rig.speaker.peers(rig.now).pop().unwrap().families;
    assert_eq!(counts[0].advertised, 1);
}
