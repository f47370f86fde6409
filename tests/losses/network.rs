//! The network: nodes on a segment of their own, each with a link to either of two ToRs; behind both ToRs
//! a host.
//!
//! ```text
//!   pod 10.244.N.2 ─ cni0 ─ node N ── 192.168.1.1N ─ segment of the nodes
//!                              │ └──── 10.2.N.0/24 ─ ToR B ─┐
//!                              └────── 10.1.N.0/24 ─ ToR A ─┴─ 172.16.0.0/24 ─ host 172.16.0.10
//! ```
//!
//! The host answers by ToR B alone, by a route of its own: what fails on the way by ToR A is for the nodes
//! to notice, and nobody else's reaction is counted.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use routelet::kernel::NetNs;

use crate::host::Host;
use crate::router::Router;
use crate::stream::{Count, End, Stream};
use crate::tor;

/// An address that a prefix of two nodes has on both.
const SHARED: Ipv4Addr = Ipv4Addr::new(10, 245, 0, 1);
/// The nodes that have it.
pub const SHARING: [usize; 2] = [1, 3];

/// What a scenario wants of the network.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Numbers of the nodes that reflect routes; empty for a full mesh.
    pub reflectors: &'static [usize],
    /// ToR B is used only while ToR A cannot be; else both are, side by side.
    pub backup: bool,
    /// BFD with the ToRs, 3 × 100 ms.
    pub bfd: bool,
    /// Hold time with the ToRs in seconds.
    pub hold: u16,
    /// Nodes 1 and 3 both announce 10.245.0.0/24.
    pub shared: bool,
    /// What the ToRs run.
    pub tors: Tors,
}

/// What a ToR runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tors {
    Bird,
    Frr,
}

impl Shape {
    /// A full mesh, both ToRs in use, no BFD.
    pub const PLAIN: Shape =
        Shape { reflectors: &[], backup: false, bfd: false, hold: 90, shared: false, tors: Tors::Bird };

    /// The numbers of the nodes.
    pub fn nodes(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.reflectors.iter().copied().max().unwrap_or(3).max(3)
    }
}

/// A node, with a pod.
pub struct Node {
    pub number: usize,
    pub host: Host,
    pod: Host,
}

/// All of it.
pub struct Network {
    pub shape: Shape,
    pub router: &'static dyn Router,
    /// Node N at N - 1.
    pub nodes: Vec<Node>,
    /// ToR A and ToR B.
    pub tors: [Host; 2],
    pub directory: PathBuf,
    outside: Host,
    segment: Host,
}

impl Network {
    /// The machines and their links; nothing runs yet.
    pub fn new(router: &'static dyn Router, shape: Shape) -> Network {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        assert!(nix::unistd::geteuid().is_root(), "this makes network namespaces: run it as root");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("routelet-losses-{}-{number}", std::process::id()));
        let host = |name: &str| Host::new(directory.join(name));
        let nodes = shape.nodes().map(|number| Node {
            number,
            host: host(&format!("node{number}")),
            pod: host(&format!("pod{number}")),
        });
        let network = Network {
            shape,
            router,
            nodes: nodes.collect(),
            tors: [host("tor-a"), host("tor-b")],
            outside: host("outside"),
            segment: host("segment"),
            directory: directory.clone(),
        };
        network.wire();
        network
    }

    fn wire(&self) {
        self.segment.do_run("ip link add lan type bridge");
        self.segment.do_run("ip link set lan up");
        self.outside.do_run("ip link add both type bridge");
        self.outside.do_run("ip link set both up");
        self.outside.do_run("ip address add 172.16.0.10/24 dev both");
        for (t, tor) in (1..).zip(&self.tors) {
            use_up_indices(tor);
            join((&tor.namespace, "hosts"), (&self.outside.namespace, &format!("tor{t}")));
            self.outside.do_run(&format!("ip link set tor{t} master both up"));
            tor.do_run("ip link set hosts up");
            tor.do_run(&format!("ip address add 172.16.0.{t}/24 dev hosts"));
        }
        self.outside.do_run("ip route add 10.244.0.0/15 via 172.16.0.2");
        for node in &self.nodes {
            self.wire_node(node);
        }
    }

    fn wire_node(&self, node: &Node) {
        let (number, host) = (node.number, &node.host);
        let port = format!("node{number}");
        join((&host.namespace, "eth0"), (&self.segment.namespace, &port));
        self.segment.do_run(&format!("ip link set {port} master lan up"));
        host.do_run("ip link set eth0 up");
        host.do_run(&format!("ip address add 192.168.1.1{number}/24 dev eth0"));
        for (t, tor) in (1..).zip(&self.tors) {
            join((&host.namespace, &format!("eth{t}")), (&tor.namespace, &port));
            tor.do_run(&format!("ip link set {port} up"));
            tor.do_run(&format!("ip address add 10.{t}.{number}.1/24 dev {port}"));
            host.do_run(&format!("ip link set eth{t} up"));
            host.do_run(&format!("ip address add 10.{t}.{number}.2/24 dev eth{t}"));
        }
        host.do_run("ip link add cni0 type bridge");
        host.do_run("ip link set cni0 up");
        host.do_run(&format!("ip address add 10.244.{number}.1/24 dev cni0"));
        if self.shape.shared && SHARING.contains(&number) {
            host.do_run("ip address add 10.245.0.1/24 dev cni0");
        }
        join((&node.pod.namespace, "eth0"), (&host.namespace, "pod"));
        host.do_run("ip link set pod master cni0 up");
        node.pod.do_run("ip link set eth0 up");
        node.pod.do_run(&format!("ip address add 10.244.{number}.2/24 dev eth0"));
        node.pod.do_run(&format!("ip route add default via 10.244.{number}.1"));
    }

    /// Starts every router and waits until the routes are where they belong.
    pub fn start(&self) {
        for (t, tor) in (1..).zip(&self.tors) {
            tor::start(tor, t, &self.shape);
        }
        self.router.prepare(self);
        for node in &self.nodes {
            self.router.start(node, false);
        }
        self.await_settled();
    }

    /// Waits until every session with the ToRs is up, and everybody's routes are where they belong.
    pub fn await_settled(&self) {
        for (t, tor) in (1..).zip(&self.tors) {
            tor.eventually("sessions with all nodes", || tor::settled(tor, &self.shape));
            for node in &self.nodes {
                let (prefix, via) = (self.pods_of(node), format!("10.{t}.{}.2", node.number));
                tor.eventually(&format!("a route to {prefix}"), || tor.next_hops(&prefix) == [via.clone()]);
            }
        }
        for node in &self.nodes {
            let out = [format!("10.1.{}.1", node.number), format!("10.2.{}.1", node.number)];
            let out = if self.shape.backup { &out[..1] } else { &out };
            node.host.eventually("routes to the outside", || node.host.next_hops("172.16.0.0/24") == out);
            for other in self.nodes.iter().filter(|other| other.number != node.number) {
                let (prefix, via) = (self.pods_of(other), format!("192.168.1.1{}", other.number));
                let there = || node.host.next_hops(&prefix) == [via.clone()];
                node.host.eventually(&format!("a route to {prefix}"), there);
            }
        }
        for node in &self.nodes {
            node.host.eventually("nothing more to be told", || self.router.settled(node));
        }
    }

    /// The pod CIDR of a node.
    pub fn pods_of(&self, node: &Node) -> String {
        format!("10.244.{}.0/24", node.number)
    }

    /// A node by its number.
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// Streams from pod to pod and back, and from a pod to the host outside and back.
    pub fn traffic(&self) -> Traffic {
        let pod = |number: u8| End {
            namespace: &self.node(number.into()).pod.namespace,
            address: Ipv4Addr::new(10, 244, number, 2),
        };
        let outside = End { namespace: &self.outside.namespace, address: Ipv4Addr::new(172, 16, 0, 10) };
        Traffic(vec![
            Stream::start("pod 1 to pod 2", &pod(1), &[pod(2)], 4001),
            Stream::start("pod 2 to pod 1", &pod(2), &[pod(1)], 4002),
            Stream::start("pod 1 to outside", &pod(1), &[outside], 4003),
            Stream::start(
                "outside to pod 1",
                &End { namespace: &self.outside.namespace, address: Ipv4Addr::new(172, 16, 0, 10) },
                &[pod(1)],
                4004,
            ),
        ])
    }

    /// One stream from outside to the address that two nodes have.
    pub fn traffic_to_shared(&self) -> Traffic {
        let outside = End { namespace: &self.outside.namespace, address: Ipv4Addr::new(172, 16, 0, 10) };
        let ends = SHARING.map(|n| End { namespace: &self.node(n).host.namespace, address: SHARED });
        Traffic(vec![Stream::start("outside to both", &outside, &ends, 4005)])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The kernel holds news of a lost carrier back for up to a second if both ends of a wire have the same index
/// in their namespaces, which it takes for a device with nothing below (`linkwatch_urgent_event`). Here they
/// never have.
fn use_up_indices(host: &Host) {
    for _ in 0..8 {
        host.do_run("ip link add one type veth peer name other");
        host.do_run("ip link delete one");
    }
}

/// A wire between two namespaces.
fn join(one: (&NetNs, &str), other: (&NetNs, &str)) {
    use routelet::kernel::Netlink;
    use routelet::kernel::links::VethPair;
    let pair = VethPair {
        name: one.1,
        peer_name: other.1,
        peer_namespace: Some(other.0),
        mtu: None,
        peer_mac: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Netlink::open_in(one.0).unwrap().add_veth(&pair).await.unwrap() });
}

/// The streams of a scenario.
pub struct Traffic(Vec<Stream>);

impl Traffic {
    /// Waits until so much of every stream has been sent from now on.
    pub fn pass(&self, time: Duration) {
        let packets = usize::try_from(time.as_millis()).unwrap();
        let until: Vec<usize> = self.0.iter().map(|stream| stream.sent() + packets).collect();
        while self.0.iter().zip(&until).any(|(stream, until)| stream.sent() < *until) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether every stream arrives.
    pub fn flows(&self) -> bool {
        self.0.iter().all(|stream| stream.arrived() > 0)
    }

    /// Ends the streams and counts.
    pub fn end(self) -> Vec<Count> {
        self.0.into_iter().map(Stream::end).collect()
    }
}
