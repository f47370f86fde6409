//! Reflectors that change while packets flow, from manifests: no node is without a route for a moment,
//! whoever hears of it first, and no other session is touched (RFC 4456).

use std::collections::BTreeMap;
use std::time::Duration;

use routelet::cluster::manifests::parse;
use routelet::cluster::{ObjectSet, compile};
use routelet::prefix::Prefix;
use routelet::speaker::Action;

use crate::plan::{METRIC, Plan};
use crate::seeds;
use crate::world::{Kernel, Setup, Watcher, World};

const NODES: [&str; 5] = ["node1", "node2", "node3", "node4", "node5"];

/// The nodes, with a label for those that are to reflect.
fn objects(mesh: &str, reflectors: &[&str]) -> ObjectSet {
    let mut text = format!(
        "{{apiVersion: routelet.dev/v1alpha1, kind: BgpConfiguration, metadata: {{name: default}}, spec: {{mesh: {mesh}, \
         reflectors: {{nodeSelector: {{matchLabels: {{reflector: 'true'}}}}}}}}}}\n"
    );
    for (i, name) in (1..).zip(NODES) {
        let reflects = reflectors.contains(&name);
        text += &format!(
            "---\n{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{reflector: '{reflects}'}}}}, spec: \
             {{podCIDRs: [10.244.{i}.0/24]}}, status: {{addresses: [{{type: InternalIP, address: 192.168.1.1{i}}}]}}}}\n"
        );
    }
    parse([("cluster.yaml", text.as_str())]).unwrap().objects
}

fn pods(number: usize) -> Prefix {
    format!("10.244.{number}.0/24").parse().unwrap()
}

/// Fails when a node is without a route to the pods of another.
struct NeverWithout;

impl Watcher for NeverWithout {
    fn see(&mut self, name: &'static str, action: &Action, kernel: &Kernel, _: bool) {
        for (number, _) in (1..).zip(NODES).filter(|(_, other)| *other != name) {
            let there = kernel.contains_key(&(pods(number), METRIC));
            assert!(there, "{name} has no route to {} before {action:?}", pods(number));
        }
    }
}

/// A cluster at rest.
fn at_rest(objects: &ObjectSet, seed: u64) -> World {
    let setup = |name: &str| {
        let intent = compile(objects, name).unwrap().intent;
        Setup { addresses: intent.addresses.clone(), intent, underlay: Plan::underlay() }
    };
    let mut world = World::of(NODES.map(|name| (name, setup(name))), seed);
    world.clear_trace();
    world.start_all();
    world.run_for(Duration::from_secs(10));
    world.clear_trace();
    world.watch(Box::new(NeverWithout));
    world
}

/// Tells the nodes one after another, in an order of the seed's, within three seconds.
fn tell(world: &mut World, objects: &ObjectSet, seed: u64) {
    let mut order: BTreeMap<u64, &str> = BTreeMap::new();
    for (i, name) in (1..).zip(NODES) {
        order.insert((seed * 7 + i * 31) % 97 * 10 + i, name);
    }
    for name in order.into_values() {
        world.configure(name, compile(objects, name).unwrap().intent);
        world.run_for(Duration::from_millis(100 + (seed * 131) % 650));
    }
}

/// The sessions of a node, sorted.
fn sessions(world: &World, name: &str) -> Vec<String> {
    world.peers(name).into_iter().map(|peer| peer.name).collect()
}

fn each(before: (&str, &[&str]), after: (&str, &[&str]), then: impl Fn(&mut World, u64)) {
    for seed in seeds() {
        #[allow(clippy::disallowed_macros, reason = "captured by the test harness")]
        {
            println!("SEED={seed}");
        }
        let mut world = at_rest(&objects(before.0, before.1), seed);
        tell(&mut world, &objects(after.0, after.1), seed);
        then(&mut world, seed);
    }
}

#[test]
fn clients_move_to_other_reflectors_before_they_leave_the_former() {
    each(("reflectors", &["node1", "node2"]), ("reflectors", &["node4", "node5"]), |world, _| {
        assert!(world.seen("it stays until all others are in step") > 0);
        world.run_for(Duration::from_secs(20));
        for name in ["node1", "node2", "node3"] {
            assert_eq!(sessions(world, name), ["node4", "node5"], "{name}");
        }
        // Of node4 and node5, that with the former reflectors has gone on: they are clients now.
        assert_eq!(sessions(world, "node4"), ["node1", "node2", "node3", "node5"]);
    });
}

#[test]
fn one_of_two_reflectors_is_replaced_and_the_other_is_not_touched() {
    each(("reflectors", &["node1", "node2"]), ("reflectors", &["node1", "node3"]), |world, _| {
        world.run_for(Duration::from_secs(20));
        assert_eq!(sessions(world, "node5"), ["node1", "node3"]);
        assert_eq!(world.seen("session with node1 went down"), 0);
    });
}

#[test]
fn a_full_mesh_becomes_one_with_reflectors_and_back() {
    each(("full", &[]), ("reflectors", &["node1", "node2"]), |world, seed| {
        world.run_for(Duration::from_secs(20));
        assert_eq!(sessions(world, "node5"), ["node1", "node2"]);
        assert_eq!(sessions(world, "node1"), ["node2", "node3", "node4", "node5"]);
        tell(world, &objects("full", &[]), seed);
        world.run_for(Duration::from_secs(20));
        assert_eq!(sessions(world, "node5"), ["node1", "node2", "node3", "node4"]);
        assert_eq!(world.seen("session with node1 went down"), 0);
    });
}

#[test]
fn a_set_that_is_changed_back_at_once_costs_no_session() {
    each(("reflectors", &["node1", "node2"]), ("reflectors", &["node1"]), |world, seed| {
        tell(world, &objects("reflectors", &["node1", "node2"]), seed);
        world.run_for(Duration::from_secs(70));
        assert_eq!(sessions(world, "node5"), ["node1", "node2"]);
        assert_eq!(world.seen("went down"), 0);
    });
}

#[test]
fn a_session_stays_no_longer_than_a_minute_for_a_reflector_that_is_down() {
    for seed in seeds() {
        let mut world = at_rest(&objects("reflectors", &["node1", "node2"]), seed);
        // The routes to a node that is down are lost with the last that has heard of it.
        world.watch(Box::new(Nobody));
        world.isolate("node5");
        let after = objects("reflectors", &["node4", "node5"]);
        for name in ["node1", "node2", "node3", "node4"] {
            world.configure(name, compile(&after, name).unwrap().intent);
        }
        world.run_for(Duration::from_secs(50));
        assert_eq!(sessions(&world, "node3"), ["node1", "node2", "node4", "node5"], "it waits for node5");
        world.run_for(Duration::from_secs(15));
        assert_eq!(sessions(&world, "node3"), ["node4", "node5"]);
    }
}

#[test]
fn a_node_that_is_deleted_is_left_at_once() {
    for seed in seeds() {
        let mut world = at_rest(&objects("reflectors", &["node1", "node2"]), seed);
        let mut after = objects("reflectors", &["node1", "node2"]);
        after.nodes.remove("node5");
        world.watch(Box::new(Nobody));
        world.configure("node1", compile(&after, "node1").unwrap().intent);
        assert_eq!(sessions(&world, "node1"), ["node2", "node3", "node4"]);
    }
}

struct Nobody;

impl Watcher for Nobody {
    fn see(&mut self, _: &'static str, _: &Action, _: &Kernel, _: bool) {}
}
