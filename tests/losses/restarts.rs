//! Daemons that end and come back, or do not: nothing may be lost.

use crate::network::{Network, Node, Traffic};
use crate::row::{Row, lossless, ms};
use crate::shape::{SHARING, Shape, Tors};

const PLAIN: Shape = Shape::PLAIN;
const IPV6: Shape = Shape { ipv6: true, ..PLAIN };
const FRR: Shape = Shape { tors: Tors::Frr, ..PLAIN };

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    lossless("each daemon killed, back after 1 s", PLAIN, each_is_killed),
    lossless("all daemons killed at once, back after 1 s", PLAIN, all_are_killed),
    lossless("killed again while it restarts", PLAIN, killed_twice),
    lossless("each daemon killed, BFD with the ToRs", Shape { bfd: true, ..PLAIN }, each_is_killed),
    lossless("each daemon killed, ToRs run FRR", FRR, each_is_killed),
    lossless("each daemon killed, ToRs run FRR, BFD with them", Shape { bfd: true, ..FRR }, each_is_killed),
    lossless("each daemon killed, IPv6", IPV6, each_is_killed),
    lossless("each daemon upgraded", PLAIN, each_is_upgraded),
    lossless("each daemon upgraded, BFD with the ToRs", Shape { bfd: true, ..PLAIN }, each_is_upgraded),
    lossless("each daemon upgraded, IPv6", IPV6, each_is_upgraded),
    lossless("each daemon upgraded, ToRs run FRR", FRR, each_is_upgraded),
    lossless("each daemon upgraded, ToRs run FRR, BFD with them", Shape { bfd: true, ..FRR }, each_is_upgraded),
    lossless("the reflector is killed and stays away", Shape { reflectors: &[3], ..PLAIN }, reflector_dies),
    lossless("the reflector is killed, back after 1 s", Shape { reflectors: &[3], ..PLAIN }, reflector_returns),
    lossless("one of two reflectors is drained", Shape { reflectors: &[3, 4], ..PLAIN }, reflector_leaves),
    lossless("a node of two with the same prefix is drained", Shape { shared: true, ..PLAIN }, sharer_leaves),
    lossless("a node of two with the same prefix is drained, and returns", Shape { shared: true, ..PLAIN }, sharer_returns),
];

fn each_is_killed(network: &Network, traffic: &Traffic) {
    for node in &network.nodes {
        network.router.kill(node);
        traffic.pass(ms(1000));
        network.router.start(node, true);
        network.await_settled();
    }
}

fn all_are_killed(network: &Network, traffic: &Traffic) {
    for node in &network.nodes {
        network.router.kill(node);
    }
    traffic.pass(ms(1000));
    for node in &network.nodes {
        network.router.start(node, true);
    }
    network.await_settled();
}

fn killed_twice(network: &Network, traffic: &Traffic) {
    let node = network.node(1);
    for away in [1000, 300, 100] {
        network.router.kill(node);
        traffic.pass(ms(away));
        network.router.start(node, true);
        traffic.pass(ms(away));
    }
    network.await_settled();
}

fn each_is_upgraded(network: &Network, _: &Traffic) {
    for node in &network.nodes {
        network.router.end_for_upgrade(node);
        network.router.start(node, true);
        network.await_settled();
    }
}

fn reflector_dies(network: &Network, traffic: &Traffic) {
    network.router.kill(network.node(3));
    traffic.pass(ms(3000));
}

fn reflector_returns(network: &Network, traffic: &Traffic) {
    network.router.kill(network.node(3));
    traffic.pass(ms(1000));
    network.router.start(network.node(3), true);
    network.await_settled();
}

fn reflector_leaves(network: &Network, traffic: &Traffic) {
    network.router.leave(network.node(3));
    traffic.pass(ms(3000));
}

fn sharer_leaves(network: &Network, traffic: &Traffic) {
    leave_the_used(network);
    traffic.pass(ms(1000));
}

fn sharer_returns(network: &Network, traffic: &Traffic) {
    let node = leave_the_used(network);
    traffic.pass(ms(1000));
    network.router.come_back(node);
    network.await_settled();
    // Packets may arrive at it again from now on, if the ToR likes it better.
    traffic.pass(ms(1000));
}

/// Has that node leave at which the packets arrive.
fn leave_the_used(network: &Network) -> &Node {
    let (tor, prefix) = (&network.tors[1], network.shape.shared());
    let used = tor.links_to(&prefix);
    let number = SHARING.into_iter().find(|n| used == [format!("node{n}")]).expect("one of them is used");
    let other = SHARING.into_iter().find(|n| *n != number).unwrap();
    network.router.leave(network.node(number));
    tor.eventually("the other node in use", || tor.links_to(&prefix) == [format!("node{other}")]);
    network.node(number)
}
