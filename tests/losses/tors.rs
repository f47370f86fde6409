//! One of two ToRs dies, in every way it can, and links that do not hold.

use nix::sys::signal::Signal;

use crate::host::Host;
use crate::network::{Network, Traffic};
use crate::row::{Row, lossless, ms, recovers};
use crate::shape::Shape;
use crate::tor;

const ECMP: Shape = Shape::PLAIN;
const BACKUP: Shape = Shape { backup: true, ..ECMP };
const ECMP_BFD: Shape = Shape { bfd: true, ..ECMP };
const BACKUP_BFD: Shape = Shape { bfd: true, ..BACKUP };

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    recovers("ToR's process killed, ECMP", ECMP, process),
    recovers("ToR's process killed, ECMP, BFD", ECMP_BFD, process),
    recovers("ToR's process killed, backup", BACKUP, process),
    recovers("ToR's process killed, backup, BFD", BACKUP_BFD, process),
    recovers("ToR's links cut, ECMP", ECMP, links),
    recovers("ToR's links cut, ECMP, BFD", ECMP_BFD, links).always(),
    recovers("ToR's links cut, backup", BACKUP, links),
    recovers("ToR's links cut, backup, BFD", BACKUP_BFD, links),
    recovers("ToR falls silent, ECMP, hold time 3 s", Shape { hold: 3, ..ECMP }, silent_for_long).told(),
    recovers("ToR falls silent, ECMP, BFD", ECMP_BFD, silent),
    recovers("ToR falls silent, backup, hold time 3 s", Shape { hold: 3, ..BACKUP }, silent_for_long).told(),
    recovers("ToR falls silent, backup, BFD", BACKUP_BFD, silent).always(),
    recovers("ToR's links cut, backup, BFD, IPv6", Shape { ipv6: true, ..BACKUP_BFD }, links),
    recovers("ToR falls silent, backup, BFD, IPv6", Shape { ipv6: true, ..BACKUP_BFD }, silent),
    lossless("ToR announces its shutdown, is cut off 1 s later", BACKUP, drained),
    recovers("ToR's link flaps ten times a second, backup", BACKUP, flaps).told(),
    recovers("ToR's link flaps ten times a second, ECMP, BFD", ECMP_BFD, flaps).told(),
];

fn process(network: &Network, traffic: &Traffic) {
    network.tors[0].end(Signal::SIGKILL);
    traffic.pass(ms(2000));
}

fn links(network: &Network, traffic: &Traffic) {
    cut(network);
    traffic.pass(ms(2500));
}

/// Takes the links down at the far end.
fn cut(network: &Network) {
    for number in network.shape.nodes() {
        network.tors[0].do_run(&format!("ip link set node{number} down"));
    }
}

fn silent(network: &Network, traffic: &Traffic) {
    silence(network);
    traffic.pass(ms(2500));
}

fn silent_for_long(network: &Network, traffic: &Traffic) {
    silence(network);
    traffic.pass(ms(5500));
}

/// Drops whatever comes or goes at the far end; no carrier changes.
fn silence(network: &Network) {
    let mut rules = String::from("add table netdev silence\n");
    for number in network.shape.nodes() {
        for way in ["ingress", "egress"] {
            rules += &format!(
                "add chain netdev silence {way}{number} {{ type filter hook {way} device node{number} priority 0; policy drop; }}\n"
            );
        }
    }
    let tor = &network.tors[0];
    std::fs::write(tor.directory.join("silence"), rules).unwrap();
    tor.do_run(&format!("nft -f {}", tor.path("silence")));
}

fn drained(network: &Network, traffic: &Traffic) {
    tor::announce_shutdown(&network.tors[0], 1, &network.shape);
    traffic.pass(ms(1000));
    cut(network);
    traffic.pass(ms(1500));
}

/// Node 1's link to ToR A, at the far end.
fn flaps(network: &Network, traffic: &Traffic) {
    let tor: &Host = &network.tors[0];
    for _ in 0..30 {
        for state in ["down", "up"] {
            tor.do_run(&format!("ip link set node1 {state}"));
            traffic.pass(ms(50));
        }
    }
    traffic.pass(ms(2500));
}
