//! Others who touch what is ours, and those who tell us what to do.

use crate::network::{Network, Shape, Traffic};
use crate::router::Edits;
use crate::row::{Row, lossless, ms, recovers};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    recovers("a node's routes deleted five times", Shape::PLAIN, routes_deleted).always(),
    recovers("a node's next hop objects deleted five times", Shape::PLAIN, next_hops_deleted)
        .always()
        .where_it_applies(|network| !network.node(1).host.run("ip nexthop show").is_empty()),
    lossless("manifests change", Shape::PLAIN, manifests_change),
];

fn routes_deleted(network: &Network, traffic: &Traffic) {
    let (host, protocol) = (&network.node(1).host, network.router.protocol());
    for _ in 0..5 {
        host.run(&format!("ip route flush proto {protocol}"));
        traffic.pass(ms(500));
    }
}

/// Routes go with the objects they use.
fn next_hops_deleted(network: &Network, traffic: &Traffic) {
    let host = &network.node(1).host;
    for _ in 0..5 {
        host.run("ip nexthop flush");
        traffic.pass(ms(500));
    }
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
