//! Graceful restart: forwarding goes on while a speaker restarts, on its side and on its peers'.

use std::time::Duration;

use routelet::prefix::Prefix;
use routelet::speaker::intent::{PeerIntent, PeerOrigin, RangeIntent};

use crate::oracle;
use crate::plan::{Families, Plan};
use crate::world::World;
use crate::{SETTLED, each_of};

/// A running cluster at rest.
fn each(scenario: impl Fn(&mut World, &Plan)) {
    each_of(Plan::graceful, |world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        oracle::check(world, plan);
        world.clear_trace();
        scenario(world, plan);
        assert_eq!(world.awaited_ends(), [""; 0]);
    });
}

#[test]
fn a_killed_member_that_returns_moves_no_route_anywhere() {
    for name in ["node2", "tor"] {
        each(|world, plan| {
            world.stop(name);
            world.run_for(Duration::from_secs(5));
            assert_eq!(world.kept(), 3 * plan.member(name).prefixes.len(), "its peers keep its paths");
            world.start(name);
            world.run_for(SETTLED);
            assert_eq!(world.seen("letting go"), 0);
            assert_eq!(world.route_changes(), [""; 0], "{name} was killed");
            oracle::check(world, plan);
        });
    }
}

#[test]
fn an_upgraded_member_says_nothing_and_moves_no_route_anywhere() {
    each(|world, plan| {
        world.restart("node2", Duration::from_secs(2));
        world.run_for(SETTLED);
        assert_eq!(world.sent_notifications(6, 2) + world.sent_notifications(6, 9), 0);
        assert_eq!(world.route_changes(), [""; 0]);
        oracle::check(world, plan);
    });
}

#[test]
fn all_members_restart_at_once() {
    each(|world, plan| {
        for member in &plan.members {
            world.stop(member.name);
        }
        world.run_for(Duration::from_secs(2));
        world.start_together();
        world.run_for(SETTLED);
        assert_eq!(world.route_changes(), [""; 0]);
        oracle::check(world, plan);
    });
}

#[test]
fn a_member_whose_bridge_comes_late_does_not_say_before_that_it_has_told_all() {
    each(|world, plan| {
        world.stop("node2");
        world.run_for(Duration::from_secs(2));
        world.set_bridge("node2", false);
        world.start("node2");
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.awaited_ends().len(), 3 * plan.member("node2").prefixes.len());
        world.set_bridge("node2", true);
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.route_changes(), [""; 0]);
    });
}

#[test]
fn a_second_restart_during_the_first() {
    each(|world, plan| {
        world.stop("node2");
        world.run_for(Duration::from_secs(3));
        world.start("node2");
        world.run_for(Duration::from_millis(300));
        world.stop("node2");
        world.run_for(Duration::from_secs(3));
        world.start("node2");
        world.run_for(SETTLED);
        assert_eq!(world.route_changes(), [""; 0]);
        oracle::check(world, plan);
    });
}

#[test]
fn a_member_that_does_not_return_is_forgotten_after_its_restart_time() {
    each(|world, plan| {
        world.stop("node2");
        world.run_for(Duration::from_secs(119));
        assert_eq!(world.route_changes(), [""; 0]);
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.seen("letting go"), 3 * plan.member("node2").prefixes.len());
        oracle::check(world, plan);
    });
}

#[test]
fn a_rebooted_member_has_not_kept_forwarding_and_is_forgotten_when_it_is_back() {
    each(|world, plan| {
        world.stop("node2");
        world.wipe("node2");
        world.start("node2");
        world.run_for(Duration::from_secs(20));
        assert_eq!(world.seen("letting go"), 3 * plan.member("node2").prefixes.len());
        oracle::check(world, plan);
    });
}

#[test]
fn a_reset_or_silent_session_is_outlived_by_its_routes() {
    each(|world, plan| {
        for pair in world.connected_pairs() {
            world.reset(pair);
        }
        world.run_for(SETTLED);
        world.isolate("node3");
        world.run_for(Duration::from_secs(95));
        assert!(world.seen("hold timer expired") > 0, "noticed");
        world.heal();
        world.run_for(SETTLED);
        assert_eq!(world.route_changes(), [""; 0]);
        oracle::check(world, plan);
    });
}

#[test]
fn who_leaves_for_good_is_forgotten_at_once() {
    each(|world, plan| {
        world.leave("node2");
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.kept(), 0);
        oracle::check(world, plan);
    });
}

#[test]
fn a_restarted_member_is_not_held_up_by_one_that_is_down() {
    each(|world, plan| {
        world.stop("node3");
        world.run_for(Duration::from_secs(150));
        oracle::check(world, plan);
        world.clear_trace();
        world.restart("node2", Duration::from_secs(1));
        world.run_for(Duration::from_secs(19));
        assert_eq!(world.seen("choosing paths"), 0);
        world.run_for(Duration::from_secs(3));
        assert_eq!(world.seen("choosing paths"), 1);
        assert_eq!(world.route_changes(), [""; 0]);
        oracle::check(world, plan);
    });
}

#[test]
fn a_restarted_reflector_tells_its_clients_all_before_it_says_so() {
    let plan = |families| {
        let mut plan = Plan::with_reflector(families);
        plan.graceful_restart = Plan::graceful(families).graceful_restart;
        plan
    };
    for install in [true, false] {
        each_of(plan, |world, plan| {
            let mut reflector = plan.intent("node1");
            reflector.fib.install = install;
            world.set_intent("node1", reflector);
            world.start_all();
            world.run_for(SETTLED);
            world.clear_trace();
            world.stop("node1");
            world.run_for(Duration::from_secs(2));
            world.start("node1");
            world.run_for(SETTLED);
            assert_eq!(world.route_changes(), [""; 0], "installs routes: {install}");
        });
    }
}

#[test]
fn a_client_that_knows_no_last_resorts_is_told_of_them_where_asked_for() {
    for asked in [false, true] {
        let mut plan = Plan::with_reflector(Families::Ipv4);
        plan.graceful_restart = Plan::graceful(Families::Ipv4).graceful_restart;
        let mut world = World::new(&plan, 1);
        for (name, peer) in [("node1", "node2"), ("node2", "node1")] {
            let mut intent = plan.intent(name);
            let restart = intent.peers.get_mut(peer).unwrap().graceful_restart.as_mut().unwrap();
            restart.long_lived_time = Duration::from_secs(3600);
            if let Some(client) = intent.peers.get_mut("node3") {
                client.graceful_restart.as_mut().unwrap().partial_deployment = asked;
            }
            world.set_intent(name, intent);
        }
        world.start_all();
        world.run_for(SETTLED);
        world.stop("node2");
        world.run_for(Duration::from_secs(130));
        let route = plan.member("node2").prefixes[0];
        let routes = world.routes("node3");
        let paths = routes.iter().filter(|known| known.prefix == route).flat_map(|known| &known.paths);
        let preferences: Vec<Option<u32>> = paths.map(|path| path.attributes.local_pref).collect();
        assert_eq!(preferences, if asked { vec![Some(0)] } else { vec![] }, "asked for: {asked}");
    }
}

#[test]
fn families_are_kept_each_by_itself() {
    let plan = Plan::graceful(Families::Dual);
    let mut world = World::new(&plan, 1);
    world.start_all();
    world.run_for(Duration::from_secs(10));
    world.stop("node2");
    world.meddle("node2", |kernel| kernel.retain(|(prefix, _), _| prefix.address().is_ipv4()));
    world.clear_trace();
    world.start("node2");
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.seen("letting go of 1 stale ipv6Unicast"), 3);
    assert_eq!(world.seen("letting go of 1 stale ipv4Unicast"), 0);
    oracle::check(&world, &plan);
}

#[test]
fn dynamic_peers_are_expected_back_and_told_that_forwarding_was_kept() {
    for seed in 1..=5 {
        for restarted in ["node1", "node2"] {
            let mut plan = Plan::with_reflector(Families::Ipv4);
            plan.graceful_restart = Plan::graceful(Families::Ipv4).graceful_restart;
            let mut world = World::new(&plan, seed);
            let mut reflector = plan.intent("node1");
            let client = reflector.peers.remove("node2").unwrap();
            reflector.peers.remove("node3");
            let range: Prefix = "192.168.1.12/31".parse().unwrap();
            let template =
                PeerIntent { origin: PeerOrigin::Dynamic, address: range.address(), passive: true, ..client };
            reflector.ranges.insert("nodes".to_owned(), RangeIntent { range, limit: 2, template });
            world.set_intent("node1", reflector);
            world.start_all();
            world.run_for(SETTLED);
            oracle::check(&world, &plan);
            world.clear_trace();
            world.stop(restarted);
            world.run_for(Duration::from_secs(3));
            assert!(world.kept() > 0);
            world.start(restarted);
            world.run_for(SETTLED);
            assert_eq!(world.route_changes(), [""; 0], "{restarted} was killed");
            oracle::check(&world, &plan);
            world.stop("node2");
            world.run_for(Duration::from_secs(150));
            assert_eq!(world.seen("letting go"), 2, "of the reflector and of the ToR");
            oracle::check(&world, &plan);
        }
    }
}
