//! A network at rest against what it should be: tables, sessions, kernels, and where packets go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use routelet::fib::Target;
use routelet::prefix::Prefix;

use super::net::Net;
use super::oracle::{Tables, expect, hops};
use crate::plan::METRIC;
use crate::world::World;

/// Metric of the unreachable aggregates.
pub const AGGREGATE_METRIC: u32 = 65_535;

/// Everything that is not as it should be, in words.
pub fn differences(world: &World, net: &Net) -> Vec<String> {
    let expected = expect(net);
    let mut found = vec![];
    for (node, tables) in expected.iter().enumerate() {
        sessions(world, net, node, &mut found);
        paths(world, net, node, tables, &mut found);
        kernel(world, net, node, tables, &mut found);
    }
    if found.is_empty() {
        found.extend(lost_packets(world, net));
    }
    found
}

fn sessions(world: &World, net: &Net, node: usize, found: &mut Vec<String>) {
    let name = net.nodes[node].name;
    let up: BTreeMap<&str, bool> = net
        .sessions(node)
        .filter(|(link, own)| link.configured[*own])
        .map(|(link, own)| (net.nodes[link.ends[1 - own].node].name, link.is_up()))
        .collect();
    let peers = world.peers(name);
    let names: BTreeSet<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    if names != up.keys().copied().collect() {
        found.push(format!("{name} has the peers {names:?}"));
    }
    for peer in &peers {
        if up.get(peer.name.as_str()) != Some(&(peer.state == "Established")) {
            let why = peer.last_error.as_deref().unwrap_or("");
            found.push(format!("{name}: session with {} is {}: {why}", peer.name, peer.state));
        }
    }
}

fn paths(world: &World, net: &Net, node: usize, tables: &Tables, found: &mut Vec<String>) {
    let name = net.nodes[node].name;
    let most = usize::from(net.nodes[node].max_paths);
    let mut shown = BTreeMap::new();
    for route in world.routes(name) {
        for path in route.paths {
            let marks = (path.best, path.multipath, path.ineligible.is_none());
            shown.insert((route.prefix, path.peer), (path.attributes, marks));
        }
    }
    let mut expected = BTreeMap::new();
    for (prefix, paths) in &tables.paths {
        let best = tables.best.get(prefix);
        for (from, held) in paths {
            let is_best = best.is_some_and(|best| best.from == *from);
            let shares = best.is_some_and(|best| best.equal.iter().take(most).any(|f| f == from));
            let peer = from.map(|from| net.nodes[from].name.to_owned());
            let marks = (is_best, shares, held.used.is_some());
            expected.insert((*prefix, peer), (held.received.attributes(), marks));
        }
    }
    for key in shown.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
        if shown.get(key) != expected.get(key) {
            found.push(match (shown.get(key), expected.get(key)) {
                (Some((is, marks)), Some((should, others))) if is == should => {
                    format!(
                        "{name}: path {key:?} is (best, multipath, usable) {marks:?}, should be {others:?}"
                    )
                }
                (is, should) => format!("{name}: path {key:?} is {is:?}, should be {should:?}"),
            });
        }
    }
}

fn kernel(world: &World, net: &Net, node: usize, tables: &Tables, found: &mut Vec<String>) {
    let own = &net.nodes[node];
    let mut expected: BTreeMap<(Prefix, u32), BTreeSet<IpAddr>> =
        own.prefixes.iter().map(|prefix| ((*prefix, AGGREGATE_METRIC), BTreeSet::new())).collect();
    for (prefix, best) in &tables.best {
        if best.from.is_some() {
            expected.insert((*prefix, METRIC), hops(net, node, tables, *prefix));
        }
    }
    let vias = |target: &Target| match target {
        Target::Via(hops) => hops.iter().map(|hop| hop.via).collect(),
        Target::Unreachable => BTreeSet::new(),
    };
    let held: BTreeMap<_, _> =
        world.kernel(own.name).iter().map(|(key, target)| (*key, vias(target))).collect();
    for key in held.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
        if held.get(key) != expected.get(key) {
            let (is, should) = (held.get(key), expected.get(key));
            found.push(format!("{}: kernel route {key:?} is {is:?}, should be {should:?}", own.name));
        }
    }
}

/// Follows packets from everybody to everything, whatever next hop each router takes.
fn lost_packets(world: &World, net: &Net) -> Vec<String> {
    let at = |address: IpAddr| net.nodes.iter().position(|node| node.addresses.contains(&address)).unwrap();
    let mut found = vec![];
    for prefix in net.prefixes() {
        let next = |node: usize| -> Vec<usize> {
            match world.kernel(net.nodes[node].name).get(&(prefix, METRIC)) {
                Some(Target::Via(hops)) => hops.iter().map(|hop| at(hop.via)).collect(),
                _ => vec![],
            }
        };
        for start in 0..net.nodes.len() {
            let mut reached: BTreeSet<usize> = [start].into();
            // After as many steps as there are nodes, whoever still holds a packet holds it for ever.
            for _ in 0..net.nodes.len() {
                reached = reached.into_iter().flat_map(&next).collect();
            }
            if !reached.is_empty() {
                found.push(format!("packets from {} to {prefix} go in circles", net.nodes[start].name));
            }
        }
    }
    found
}
