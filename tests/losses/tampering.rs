//! Others who touch what is ours, and those who tell us what to do.

use crate::network::{Network, Traffic};
use crate::router::Edits;
use crate::row::{Row, lossless, ms, recovers};
use crate::shape::Shape;

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    recovers("a node's routes deleted twice", Shape::PLAIN, routes_deleted_twice).always(),
    recovers("a node's routes deleted every 500 ms, five times", Shape::PLAIN, routes_deleted_often).told(),
    recovers("a node's next hop objects deleted twice", Shape::PLAIN, next_hops_deleted)
        .always()
        .where_it_applies(|network| !network.node(1).host.run("ip nexthop show").is_empty()),
    lossless("manifests change", Shape::PLAIN, manifests_change),
];

fn routes_deleted_twice(network: &Network, traffic: &Traffic) {
    delete_routes(network, traffic, 2);
}

/// That looks like a fight, which is not joined without end.
fn routes_deleted_often(network: &Network, traffic: &Traffic) {
    delete_routes(network, traffic, 5);
}

/// One by one: `ip route flush` cannot delete a route that uses a next hop object.
fn delete_routes(network: &Network, traffic: &Traffic, times: usize) {
    let (host, protocol) = (&network.node(1).host, network.router.protocol());
    for round in 0..times {
        let shown = host.run(&format!("ip -o -4 route show proto {protocol}"));
        let prefixes = shown.lines().map(|line| line.trim_start_matches("unreachable ").split(' ').next());
        let deletions: Vec<String> =
            prefixes.flatten().map(|prefix| format!("route delete {prefix} proto {protocol}")).collect();
        // Not everybody has brought them back by the second time.
        assert!(round > 0 || deletions.len() >= 3, "there should be more routes than these: {shown}");
        std::fs::write(host.directory.join("deletions"), deletions.join("\n")).unwrap();
        host.do_run(&format!("ip -batch {}", host.path("deletions")));
        traffic.pass(ms(500));
    }
    traffic.pass(ms(1500));
}

/// Routes go with the objects they use.
fn next_hops_deleted(network: &Network, traffic: &Traffic) {
    let host = &network.node(1).host;
    for _ in 0..2 {
        host.do_run("ip nexthop flush");
        traffic.pass(ms(500));
    }
    traffic.pass(ms(1500));
}

/// On every node, one after the other: a policy edited, a peer added, the files written anew, an error, and all of it
/// taken back.
fn manifests_change(network: &Network, traffic: &Traffic) {
    let policy = Edits { policy: true, ..Edits::default() };
    let peer = Edits { peer: true, ..policy };
    let steps = [policy, peer, peer, Edits { wrong: true, ..peer }, peer, policy, Edits::default()];
    for edits in steps {
        for node in &network.nodes {
            network.router.configure(network, node, edits);
            network.router.reload(node, edits);
        }
        traffic.pass(ms(400));
    }
    network.await_settled();
}
