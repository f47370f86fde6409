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
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use routelet::kernel::NetNs;

use crate::host::Host;
use crate::router::Router;
use crate::shape::{SHARING, Shape};
use crate::stream::{Count, End, Stream};
use crate::tor;

/// An address that two nodes have.
const SHARED: &str = "10.245.0.1";

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
            tors: ["tor-a", "tor-b"].map(|name| Host::prompt(directory.join(name))),
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
        self.add_address(&self.outside, "both", "172.16.0.10/24");
        for (t, tor) in (1..).zip(&self.tors) {
            use_up_indices(tor);
            join((&tor.namespace, "hosts"), (&self.outside.namespace, &format!("tor{t}")));
            self.outside.do_run(&format!("ip link set tor{t} master both up"));
            tor.do_run("ip link set hosts up");
            self.add_address(tor, "hosts", &format!("172.16.0.{t}/24"));
        }
        let (pods, tor_b) = (self.shape.all_pods(), self.shape.address("172.16.0.2"));
        self.outside.do_run(&format!("ip route add {pods} via {tor_b}"));
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
        self.add_address(host, "eth0", &format!("192.168.1.1{number}/24"));
        for (t, tor) in (1..).zip(&self.tors) {
            let link = format!("eth{t}");
            join((&host.namespace, &link), (&tor.namespace, &port));
            tor.do_run(&format!("ip link set {port} up"));
            self.add_address(tor, &port, &format!("10.{t}.{number}.1/24"));
            host.do_run(&format!("ip link set {link} up"));
            self.add_address(host, &link, &format!("10.{t}.{number}.2/24"));
        }
        host.do_run("ip link add cni0 type bridge");
        host.do_run("ip link set cni0 up");
        self.add_address(host, "cni0", &format!("10.244.{number}.1/24"));
        if self.shape.shared && SHARING.contains(&number) {
            self.add_address(host, "cni0", &format!("{SHARED}/24"));
        }
        join((&node.pod.namespace, "eth0"), (&host.namespace, "pod"));
        host.do_run("ip link set pod master cni0 up");
        node.pod.do_run("ip link set eth0 up");
        self.add_address(&node.pod, "eth0", &format!("10.244.{number}.2/24"));
        let gateway = self.shape.address(&format!("10.244.{number}.1"));
        node.pod.do_run(&format!("ip route add default via {gateway}"));
    }

    fn add_address(&self, host: &Host, link: &str, network: &str) {
        let more = if self.shape.ipv6 { " nodad" } else { "" };
        host.do_run(&format!("ip address add {} dev {link}{more}", self.shape.address(network)));
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
        let shape = &self.shape;
        for tor in &self.tors {
            tor.eventually("sessions with all nodes", || tor::settled(tor, shape));
            for number in shape.nodes() {
                let (prefix, link) = (shape.pods(number), format!("node{number}"));
                tor.eventually(&format!("a route to {prefix}"), || tor.links_to(&prefix) == [link.clone()]);
            }
        }
        for node in &self.nodes {
            let out: &[&str] = if shape.backup { &["eth1"] } else { &["eth1", "eth2"] };
            node.host.eventually("routes to the outside", || node.host.links_to(&shape.behind()) == out);
            for prefix in shape.nodes().filter(|other| *other != node.number).map(|other| shape.pods(other)) {
                let there = || node.host.links_to(&prefix) == ["eth0"];
                node.host.eventually(&format!("a route to {prefix}"), there);
            }
        }
        for node in &self.nodes {
            node.host.eventually("nothing more to be told", || self.router.settled(node));
        }
    }

    /// A node by its number.
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// Streams from pod to pod and back, and from a pod to the host outside and back.
    pub fn traffic(&self) -> Traffic {
        let (one, two, outside) = (&self.pod(1), &self.pod(2), &self.host_outside());
        Traffic(vec![
            Stream::start("pod 1 to pod 2", one, &[*two], 4001),
            Stream::start("pod 2 to pod 1", two, &[*one], 4002),
            Stream::start("pod 1 to outside", one, &[*outside], 4003),
            Stream::start("outside to pod 1", outside, &[*one], 4004),
        ])
    }

    /// One stream from outside to the address that two nodes have.
    pub fn traffic_to_shared(&self) -> Traffic {
        let address = self.shape.ip(SHARED);
        let ends = SHARING.map(|n| End { namespace: &self.node(n).host.namespace, address });
        Traffic(vec![Stream::start("outside to both", &self.host_outside(), &ends, 4005)])
    }

    fn pod(&self, number: usize) -> End<'_> {
        let address = self.shape.ip(&format!("10.244.{number}.2"));
        End { namespace: &self.node(number).pod.namespace, address }
    }

    /// The host behind the ToRs.
    pub fn host_outside(&self) -> End<'_> {
        End { namespace: &self.outside.namespace, address: self.shape.ip("172.16.0.10") }
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
pub fn join(one: (&NetNs, &str), other: (&NetNs, &str)) {
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
