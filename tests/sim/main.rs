//! Whole clusters in virtual time: several production speakers joined by simulated links.
//!
//! Every run is decided by its seed: link delays, and with them every interleaving. A failure prints
//! its seed; `SEED=n cargo test --test sim` replays it alone.

mod oracle;
mod plan;
mod world;

use std::time::Duration;

use plan::{Families, Plan};
use world::World;

/// Seeds of every run. A fixed list, so that CI is repeatable; any other by `SEED`.
fn seeds() -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (1..=20).collect(),
    }
}

/// Runs a scenario for every kind of addressing and every seed.
fn each(scenario: impl Fn(&mut World, &Plan)) {
    for families in [Families::Ipv4, Families::Ipv6, Families::Dual] {
        for seed in seeds() {
            let plan = Plan::reference(families);
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
