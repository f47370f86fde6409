//! The password of a ToR changes: its session comes back, and no other is touched (RFC 2385).

use std::fs;

use crate::frr;
use crate::manifests::Sessions;
use crate::network::{Network, Traffic};
use crate::routelet::{put, secrets};
use crate::row::{Row, lossless, ms};
use crate::shape::{Shape, Tors};
use crate::tor;

const OLD: &str = "open-sesame";
const NEW: &str = "shut-sesame";
const BIRD: Shape = Shape { password: OLD, ..Shape::PLAIN };
const FRR: Shape = Shape { tors: Tors::Frr, ..BIRD };
const IPV6: Shape = Shape { ipv6: true, ..BIRD };

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    lossless("a password changes, at the nodes first", BIRD, nodes_first),
    lossless("a password changes, at the ToR first", BIRD, tor_first),
    lossless("a password changes, at the nodes first, ToRs run FRR", FRR, nodes_first),
    lossless("a password changes, at the ToR first, ToRs run FRR", FRR, tor_first),
    lossless("a password changes, at the ToR first, IPv6", IPV6, tor_first),
];

fn nodes_first(network: &Network, traffic: &Traffic) {
    rotate(network, || at_the_nodes(network), || at_the_tor(network), traffic);
}

fn tor_first(network: &Network, traffic: &Traffic) {
    rotate(network, || at_the_tor(network), || at_the_nodes(network), traffic);
}

fn rotate(network: &Network, first: impl Fn(), second: impl Fn(), traffic: &Traffic) {
    let before = Sessions::of(network);
    first();
    let tor = &network.tors[0];
    tor.eventually("no session with ToR A", || !tor::settled(tor, &network.shape));
    // Both sides try in vain for a while.
    traffic.pass(ms(1500));
    second();
    network.await_settled();
    before.check_untouched(network, |_, peer| peer == "tor-a");
}

fn at_the_nodes(network: &Network) {
    for node in &network.nodes {
        put(node, "secrets.yaml", &secrets([NEW, OLD]));
    }
}

fn at_the_tor(network: &Network) {
    let shape = Shape { password: NEW, ..network.shape };
    let tor = &network.tors[0];
    match shape.tors {
        Tors::Bird => {
            fs::write(tor.directory.join("config"), tor::bird(1, &shape, false)).unwrap();
            tor::birdc(tor, "configure");
        }
        Tors::Frr => {
            for number in shape.nodes() {
                let peer = format!("neighbor {} password {NEW}", shape.at_tor(1, number));
                frr::vtysh(tor, &["configure terminal", "router bgp 65000", &peer]);
            }
        }
    }
}
