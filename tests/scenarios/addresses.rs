//! A node gets another address: its own sessions come back from there, those of the others stay.

use std::fs;

use crate::manifests::{Sessions, give_nodes, nodes_with};
use crate::network::{Network, Traffic};
use crate::routelet::ask;
use crate::row::{Row, ms, recovers};
use crate::shape::{Shape, Tors};

const BIRD: Shape = Shape::PLAIN;
const FRR: Shape = Shape { tors: Tors::Frr, ..BIRD };

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    recovers("a node gets another address", BIRD, another).always(),
    recovers("a node gets another address, ToRs run FRR", FRR, another).always(),
];

fn another(network: &Network, traffic: &Traffic) {
    let (node, before) = (network.node(2), Sessions::of(network));
    // Else the kernel takes all addresses of a subnet with the first.
    let setting = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries";
    node.host.namespace.enter(|| fs::write(setting, "1")).unwrap().unwrap();
    node.host.do_run("ip address add 192.168.1.22/24 dev eth0");
    give_nodes(network, &nodes_with(&network.shape, "192.168.1.12", "192.168.1.22"));
    let other = network.node(1);
    other.host.eventually("a session with the new address", || {
        let peers = ask(other, "peers");
        let mut peers = peers.as_array().into_iter().flatten();
        peers.any(|peer| peer["address"] == "192.168.1.22" && !peer["establishedSeconds"].is_null())
    });
    network.await_settled();
    node.host.do_run("ip address delete 192.168.1.12/24 dev eth0");
    // Nobody needs the old one.
    network.await_settled();
    traffic.pass(ms(1000));
    before.check_untouched(network, |node, peer| node == 2 || peer == "node2");
}
