//! BFD on every session of a cluster: quick where a path dies, and without a say in restarts.

use std::time::Duration;

use routelet::bfd;
use routelet::speaker::intent::BfdIntent;

use crate::oracle;
use crate::plan::{Families, Plan};
use crate::world::World;

const MS: Duration = Duration::from_millis(1);
/// Longer than anything takes here once BFD has its say: an attempt is repeated after 5 s.
const SETTLED: Duration = Duration::from_secs(25);

/// Has every member watch the paths to all its peers.
fn watch_all(world: &mut World, plan: &Plan, interval: Duration) {
    for member in &plan.members {
        let mut intent = plan.intent(member.name);
        for peer in intent.peers.values_mut() {
            let config = bfd::Config { min_tx: interval, min_rx: interval, detect_multiplier: 3, key: None };
            peer.bfd = Some(BfdIntent { config, strict: false, hops: None });
        }
        world.set_intent(member.name, intent);
    }
}

/// A running cluster at rest, with intervals of so many milliseconds.
fn each(plan: fn(Families) -> Plan, interval: u32, scenario: impl Fn(&mut World, &Plan)) {
    for seed in 1..=6 {
        let plan = plan(if seed % 2 == 0 { Families::Ipv4 } else { Families::Ipv6 });
        let mut world = World::new(&plan, seed);
        watch_all(&mut world, &plan, interval * MS);
        world.start_all();
        world.run_for(Duration::from_secs(10));
        oracle::check(&world, &plan);
        world.clear_trace();
        scenario(&mut world, &plan);
    }
}

#[test]
fn who_falls_silent_is_forgotten_within_the_detection_time_kept_paths_or_not() {
    for plan in [Plan::reference, Plan::graceful] {
        each(plan, 50, |world, plan| {
            world.isolate("node3");
            world.run_for(160 * MS);
            assert_eq!(world.seen("Control Detection Time Expired"), 6, "on either side of three sessions");
            assert_eq!(world.kept(), 0, "silence is not a restart");
            world.heal();
            world.run_for(SETTLED);
            oracle::check(world, plan);
        });
    }
}

#[test]
fn who_is_killed_and_returns_moves_no_route_anywhere() {
    for pause in [5, 100, 200, 700, 3_000] {
        each(Plan::graceful, 300, |world, plan| {
            world.stop("node2");
            world.run_for(pause * MS);
            world.start("node2");
            world.run_for(SETTLED);
            assert_eq!(world.route_changes(), [""; 0], "away for {pause} ms");
            assert_eq!(world.seen("letting go"), 0);
            oracle::check(world, plan);
        });
    }
}

#[test]
fn a_second_restart_during_the_first_moves_no_route_either() {
    for (alive, pause) in [(1, 1), (300, 100), (1_200, 100), (2_500, 1_000)] {
        each(Plan::graceful, 100, |world, plan| {
            world.stop("node2");
            world.run_for(500 * MS);
            world.start("node2");
            world.run_for(alive * MS);
            world.stop("node2");
            world.run_for(pause * MS);
            world.start("node2");
            world.run_for(SETTLED);
            assert_eq!(world.route_changes(), [""; 0], "killed again after {alive} ms");
            oracle::check(world, plan);
        });
    }
}

#[test]
fn who_falls_silent_after_its_restart_is_forgotten_as_before() {
    each(Plan::graceful, 100, |world, plan| {
        world.stop("node2");
        world.run_for(500 * MS);
        world.start("node2");
        world.run_for(Duration::from_secs(20));
        world.clear_trace();
        world.isolate("node2");
        world.run_for(310 * MS);
        assert_eq!(world.seen("Control Detection Time Expired"), 6);
        assert_eq!(world.kept(), 0);
        world.heal();
        world.run_for(SETTLED);
        oracle::check(world, plan);
    });
}
