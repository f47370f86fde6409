//! Whole clusters in virtual time: several production speakers joined by simulated links.
//!
//! Every run is decided by its seed: link delays, and with them every interleaving. A failure prints
//! its seed; `SEED=n cargo test --test sim` replays it alone.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod add_path;
mod anycast;
mod collision;
mod drain;
mod dynamic;
mod fib;
mod gate;
mod graceful;
mod groups;
mod helping;
mod leaving;
mod limits;
mod link_local;
mod liveness;
mod oracle;
mod plan;
mod policy;
mod random;
mod reachability;
mod rehoming;
mod scale;
mod scripted;
mod unnumbered;
mod views;
mod watched;
mod world;

use std::time::Duration;

use routelet::fib::Target;
use routelet::speaker::intent::{LimitAction, MaxPrefixes};

use plan::{Families, Plan};
use world::World;

/// Seeds of every run. A fixed list, so that CI is repeatable; any other by `SEED`.
fn seeds() -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (1..=20).collect(),
    }
}

/// Runs a scenario on the reference cluster, for every kind of addressing and every seed.
fn each(scenario: impl Fn(&mut World, &Plan)) {
    each_of(Plan::reference, scenario);
}

/// Runs a scenario on any cluster, likewise.
fn each_of(plan: impl Fn(Families) -> Plan, scenario: impl Fn(&mut World, &Plan)) {
    for families in [Families::Ipv4, Families::Ipv6, Families::Dual] {
        for seed in seeds() {
            let plan = plan(families);
            let mut world = World::new(&plan, seed);
            // Shown by the test harness when the scenario fails.
            #[allow(clippy::disallowed_macros, reason = "captured by the test harness")]
            {
                println!("{families:?}, SEED={seed}");
            }
            scenario(&mut world, &plan);
        }
    }
}

/// Longest time the cluster may take to come to rest after the last fault: a dead peer is noticed
/// after the hold time of 90 s, a failed attempt is repeated after 5 s, and pauses in Idle are short.
const SETTLED: Duration = Duration::from_secs(100);

#[test]
fn the_cluster_converges() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        oracle::check(world, plan);
    });
}

#[test]
fn colliding_connections_leave_one_and_disturb_no_session() {
    each(|world, plan| {
        world.start_together();
        world.run_for(Duration::from_secs(1));
        oracle::check(world, plan);
        assert_eq!(world.connected_pairs().len(), 6, "one connection for each two of four");
        assert!(world.sent_notifications(6, 7) > 0, "there were collisions");
        assert_eq!(world.seen("went down"), 0);
    });
}

#[test]
fn it_survives_the_reset_of_any_session() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        for pair in world.connected_pairs() {
            world.reset(pair);
            world.run_for(Duration::from_millis(1));
        }
        assert!(world.seen("went down") > 0, "resets were noticed");
        world.run_for(SETTLED);
        oracle::check(world, plan);
    });
}

#[test]
fn it_survives_a_partition() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        world.isolate("node2");
        world.run_for(SETTLED);
        assert!(world.seen("hold timer expired") > 0, "the partition was noticed");
        oracle::check(world, plan);
        world.heal();
        world.run_for(SETTLED);
        oracle::check(world, plan);
    });
}

#[test]
fn it_survives_a_partition_too_short_to_notice() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        world.isolate("node2");
        world.run_for(Duration::from_secs(40));
        world.heal();
        world.run_for(Duration::from_secs(40));
        assert_eq!(world.seen("went down"), 0);
        oracle::check(world, plan);
    });
}

#[test]
fn a_restarted_node_comes_back_and_a_stopped_one_is_forgotten() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        world.stop("node3");
        world.run_for(SETTLED);
        oracle::check(world, plan);
        world.start("node3");
        world.run_for(SETTLED);
        oracle::check(world, plan);
    });
}

#[test]
fn a_reflector_stands_in_for_the_mesh() {
    each_of(Plan::with_reflector, |world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.connected_pairs().len(), 5, "two clients, and each node with the ToR");
        oracle::check(world, plan);
        world.stop("node3");
        world.run_for(SETTLED);
        oracle::check(world, plan);
    });
}

#[test]
fn two_tors_share_the_traffic_and_one_takes_it_over() {
    each_of(Plan::with_two_tors, |world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        oracle::check(world, plan);
        world.stop("tor");
        world.run_for(Duration::from_secs(1));
        oracle::check(world, plan);
        world.start("tor");
        world.run_for(SETTLED);
        oracle::check(world, plan);
    });
}

#[test]
fn a_peer_that_is_no_longer_configured_is_forgotten_and_the_others_are_not_touched() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        let mut alone = plan.intent("node1");
        alone.peers.retain(|name, _| name == "node2");
        world.configure("node1", alone);
        world.run_for(Duration::from_secs(1));
        let learned: Vec<_> = world.learned_routes("node1").into_keys().collect();
        assert_eq!(learned, plan.member("node2").prefixes);
        world.configure("node1", plan.intent("node1"));
        world.run_for(SETTLED);
        oracle::check(world, plan);
        assert_eq!(world.seen("session with node2 went down"), 0);
    });
}

#[test]
fn a_peer_with_too_many_prefixes_is_reset_and_the_others_are_not_touched() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        let mut strict = plan.intent("node1");
        strict.peers.get_mut("tor").unwrap().max_prefixes = Some(MaxPrefixes {
            limit: 0,
            action: LimitAction::Reset { idle: Some(Duration::from_secs(5)) },
            warn_at: 75,
        });
        world.configure("node1", strict);
        assert_eq!(world.sent_notifications(6, 1), 1, "at once");
        world.run_for(Duration::from_secs(60));
        let attempts = world.sent_notifications(6, 1);
        assert!((2..=12).contains(&attempts), "reset again and again, 5 s apart at least: {attempts}");
        assert_eq!(world.seen("session with node2 went down"), 0);
        world.configure("node1", plan.intent("node1"));
        world.run_for(SETTLED);
        oracle::check(world, plan);
    });
}

#[test]
fn what_somebody_does_to_our_routes_is_put_right() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        world.meddle("node1", |kernel| {
            let first = *kernel.keys().next().unwrap();
            kernel.remove(&first);
            kernel.insert(("203.0.113.0/24".parse().unwrap(), plan::METRIC), Target::Unreachable);
            *kernel.get_mut(kernel.clone().keys().next().unwrap()).unwrap() = Target::Unreachable;
        });
        world.run_for(Duration::from_millis(100));
        oracle::check(world, plan);
    });
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let trace = |seed| {
        let plan = Plan::reference(Families::Dual);
        let mut world = World::new(&plan, seed);
        world.start_all();
        world.run_for(Duration::from_secs(10));
        world.isolate("node1");
        world.run_for(SETTLED);
        world.heal();
        world.run_for(SETTLED);
        world.trace().to_vec()
    };
    let first = trace(7);
    assert!(first.len() > 100, "something happened");
    assert_eq!(first, trace(7));
    assert_ne!(first, trace(8));
}
