//! A table's whole way through a node, without sockets: one peer tells, the node decides, another peer hears.
//!
//! For profiles whose counts are the same each time:
//! `valgrind --tool=callgrind target/release/deps/micro-* --bench --sample-count 1 --sample-size 1 pipeline`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use routelet::bgp::{Codec, Message};
use routelet::cluster::{intent, manifests};
use routelet::rib::next_hop::UnderlayRoute;
use routelet::speaker::{Action, ConnectionId, Intent, Speaker};
use routelet::time::Instant;

use crate::feed::{self, Dress};

/// Prefixes, and how many of them share attributes.
const PREFIXES: u32 = 64_000;
const SHARING: usize = 16;

const CLUSTER: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: node1}
status: {addresses: [{type: InternalIP, address: 10.0.0.1}]}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpConfiguration
metadata: {name: default}
spec: {asn: 65000, mesh: none, fib: {install: false}}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: teller}
spec: {address: 10.0.0.2, asn: 65001, passive: true, import: {accept: [{prefix: 0.0.0.0/0, le: 32}]}}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: listener}
spec: {address: 10.0.0.3, asn: 65002, passive: true, export: {accept: [{prefix: 0.0.0.0/0, le: 32}]}}
"#;

struct Node {
    speaker: Speaker,
    now: Instant,
    /// Octets for the listener.
    told: usize,
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl Node {
    fn new(intent: Arc<Intent>) -> Node {
        let now = Instant::ORIGIN + Duration::from_secs(1);
        let mut speaker = Speaker::new(7);
        speaker.handle_unforwarded(now, [].into());
        speaker.handle_intent(now, intent);
        let prefix = "10.0.0.0/24".parse().expect("a prefix");
        speaker.handle_underlay(now, [UnderlayRoute { prefix, via: None, interface: Some(2), metric: 0 }]);
        Node { speaker, now, told: 0 }
    }

    fn accept(&mut self, remote: &str, asn: u16) -> ConnectionId {
        let (local, remote) =
            (SocketAddr::new(address("10.0.0.1"), 179), SocketAddr::new(address(remote), 40_000));
        let accepted = self.speaker.handle_accepted(self.now, local, remote);
        let (connection, _) = accepted.expect("a configured peer");
        self.settle();
        let IpAddr::V4(router_id) = remote.ip() else { panic!("{remote}") };
        // OPEN with the four-octet AS capability, and KEEPALIVE.
        let mut open = vec![0xff; 16];
        open.extend([0, 37, 1, 4]);
        open.extend(asn.to_be_bytes());
        open.extend([0, 0]);
        open.extend(router_id.octets());
        open.extend([8, 2, 6, 65, 4, 0, 0]);
        open.extend(asn.to_be_bytes());
        self.speaker.handle_frame(self.now, connection, Ok(&open));
        let keepalive = [&[0xff; 16][..], &[0, 19, 4]].concat();
        self.speaker.handle_frame(self.now, connection, Ok(&keepalive));
        self.settle();
        connection
    }

    fn settle(&mut self) {
        while let Some(action) = self.speaker.poll_action() {
            if let Action::Send { connection, octets } = action {
                self.told += octets.len();
                self.speaker.handle_sent(self.now, connection, octets.len());
            }
        }
    }
}

fn table() -> Vec<Message> {
    let codec = Codec {
        four_octet_as: true,
        families: vec![routelet::prefix::Family::Ipv4Unicast],
        ..Codec::initial()
    };
    let message = |set: u32| {
        let octets = feed::message_of(Dress::Plain, set, set * SHARING as u32, SHARING);
        codec.decode(&octets).expect("a message")
    };
    (0..PREFIXES / SHARING as u32).map(message).collect()
}

fn node() -> (Node, ConnectionId) {
    let reading = manifests::parse([("cluster", CLUSTER)]).expect("manifests");
    let mut node = Node::new(intent::compile(&reading.objects, "node1").expect("an intent").intent);
    let teller = node.accept("10.0.0.2", 65001);
    node.accept("10.0.0.3", 65002);
    (node, teller)
}

/// A table of decoded messages, from the first until the listener has been told all.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn announced(bencher: Bencher) {
    let table = table();
    bencher.with_inputs(|| (node(), table.clone())).bench_local_values(|((mut node, teller), table)| {
        let before = node.told;
        for (index, message) in table.into_iter().enumerate() {
            node.speaker.handle_message(node.now, teller, Ok(message));
            if index % 32 == 0 {
                node.settle();
            }
        }
        node.settle();
        assert!(node.told - before > PREFIXES as usize * 3, "{} octets", node.told - before);
        node
    });
}
