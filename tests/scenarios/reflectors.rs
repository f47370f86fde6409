//! Reflectors go, or others take their place (RFC 4456).

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::manifests::{Sessions, await_peers};
use crate::network::{Network, Traffic};
use crate::routelet::{nodes, put};
use crate::row::{Row, lossless, ms};
use crate::shape::{Shape, Tors};

const BIRD: Shape = Shape { reflectors: &[3, 4], ..Shape::PLAIN };
const FRR: Shape = Shape { tors: Tors::Frr, ..BIRD };
const IPV6: Shape = Shape { ipv6: true, ..BIRD };

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    lossless("one of two reflectors is killed and stays away", BIRD, one_dies),
    lossless("another node reflects in the place of one", BIRD, one_is_replaced),
    lossless("another node reflects in the place of one, ToRs run FRR", FRR, one_is_replaced),
    lossless("another node reflects in the place of one, IPv6", IPV6, one_is_replaced),
    lossless("a full mesh becomes one with reflectors", Shape { reflectors: &[], ..BIRD }, mesh_is_reflected),
];

fn one_dies(network: &Network, traffic: &Traffic) {
    network.node(3).host.end(Signal::SIGKILL);
    traffic.pass(ms(3000));
}

/// Node 1 takes the place of node 3. Everybody hears of it, but not at once.
fn one_is_replaced(network: &Network, traffic: &Traffic) {
    let before = Sessions::of(network);
    let text = nodes(&Shape { reflectors: &[1, 4], ..network.shape });
    tell(network, traffic, "nodes.yaml", &text);
    await_peers(network, 2, &["node1", "node4", "tor-a", "tor-b"]);
    await_peers(network, 3, &["node1", "node4", "tor-a", "tor-b"]);
    traffic.pass(ms(1000));
    // Nodes 2 and 3, clients both, have nothing to say to each other any more.
    before
        .check_untouched(network, |node, peer| (node, peer) == (2, "node3") || (node, peer) == (3, "node2"));
}

/// Three nodes that know each other have one reflect.
fn mesh_is_reflected(network: &Network, traffic: &Traffic) {
    let before = Sessions::of(network);
    let labelled = nodes(&Shape { reflectors: &[3], ..network.shape });
    tell(network, traffic, "nodes.yaml", &labelled);
    let reflected = "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {name: default}\nspec: {asn: 64512, \
                     mesh: reflectors, reflectors: {nodeSelector: {matchLabels: {reflector: \"true\"}}}}\n";
    tell(network, traffic, "configuration.yaml", reflected);
    await_peers(network, 1, &["node3", "tor-a", "tor-b"]);
    await_peers(network, 2, &["node3", "tor-a", "tor-b"]);
    traffic.pass(ms(1000));
    before
        .check_untouched(network, |node, peer| (node, peer) == (1, "node2") || (node, peer) == (2, "node1"));
}

fn tell(network: &Network, traffic: &Traffic, file: &str, text: &str) {
    const APART: Duration = ms(400);
    for node in &network.nodes {
        put(node, file, text);
        traffic.pass(APART);
    }
}
