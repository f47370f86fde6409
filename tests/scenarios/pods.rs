//! A node gets one more pod CIDR, and later has it no more: what it has besides stays as it is.

use crate::manifests::{Sessions, give_nodes, nodes_with, replaced};
use crate::network::{Network, Traffic};
use crate::routelet::{nodes, put, tors};
use crate::router::Edits;
use crate::row::{Row, lossless, ms};
use crate::shape::{Shape, Tors};

const BIRD: Shape = Shape::PLAIN;
const FRR: Shape = Shape { tors: Tors::Frr, ..BIRD };
const REFLECTED: Shape = Shape { reflectors: &[3], ..BIRD };

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    lossless("a pod CIDR comes and goes", BIRD, comes_and_goes),
    lossless("a pod CIDR comes and goes, ToRs run FRR", FRR, comes_and_goes),
    lossless("a pod CIDR comes and goes, with a reflector", REFLECTED, comes_and_goes),
];

const MORE: &str = "10.244.101.0/24";

fn comes_and_goes(network: &Network, traffic: &Traffic) {
    let (shape, before) = (&network.shape, Sessions::of(network));
    let exported = format!("[{{prefix: \"{}\"}}]", shape.pods(1));
    // Its own alone: a ToR that hears of others' pods from it may send packets for them there.
    let all = format!("[{{prefix: \"{}\"}}, {{prefix: {MORE}}}]", shape.pods(1));
    put(network.node(1), "tors.yaml", &replaced(&tors(shape, 1, Edits::default()), &exported, &all));
    let annotation =
        format!("metadata: {{name: node1, annotations: {{routelet.dev/pod-cidrs: {MORE}}}, labels:");
    give_nodes(network, &nodes_with(shape, "metadata: {name: node1, labels:", &annotation));
    await_routes(network, MORE, true);
    await_routes(network, &shape.pods(1), true);
    traffic.pass(ms(500));
    give_nodes(network, &nodes(shape));
    await_routes(network, MORE, false);
    await_routes(network, &shape.pods(1), true);
    before.check_untouched(network, |_, _| false);
}

/// Waits until everybody has a route to a pod CIDR of node 1, which has its aggregate; or nobody.
fn await_routes(network: &Network, prefix: &str, there: bool) {
    let what = format!("{} {prefix}", if there { "a route to" } else { "no route to" });
    for tor in &network.tors {
        tor.eventually(&what, || tor.links_to(prefix).is_empty() != there);
    }
    for node in network.nodes.iter().filter(|node| node.number != 1) {
        node.host.eventually(&what, || node.host.links_to(prefix).is_empty() != there);
    }
    let own = &network.node(1).host;
    let aggregate = || own.run("ip route show type unreachable").contains(prefix);
    own.eventually(&format!("{what}, which is unreachable but for pods"), || aggregate() == there);
}
