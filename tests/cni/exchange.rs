//! Pods talk: to each other over the bridge, and with the node.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::rig::{Namespace, Node};

/// Well below the second after which an address resolution is repeated: an exchange that needed a
/// second try has failed.
const PATIENCE: Duration = Duration::from_millis(500);

fn socket(namespace: &Namespace, address: &str) -> UdpSocket {
    let address: IpAddr = address.parse().unwrap();
    let socket = namespace.handle.enter(|| UdpSocket::bind(SocketAddr::new(address, 0))).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A datagram there and back, at the first try, with the source addresses unchanged.
#[track_caller]
fn exchange(a: (&Namespace, &str), b: (&Namespace, &str)) {
    let (left, right) = (socket(a.0, a.1), socket(b.0, b.1));
    let mut buffer = [0; 16];
    left.send_to(b"ping", right.local_addr().unwrap()).unwrap();
    let (_, from) = right.recv_from(&mut buffer).unwrap_or_else(|e| panic!("{} to {}: {e}", a.1, b.1));
    assert_eq!(from, left.local_addr().unwrap());
    right.send_to(b"pong", from).unwrap();
    left.recv_from(&mut buffer).unwrap_or_else(|e| panic!("{} to {}: {e}", b.1, a.1));
}

#[tokio::test]
async fn pods_reach_each_other_and_the_node_at_once() {
    let node = Node::new();
    let pods = [Namespace::new(), Namespace::new()];
    let conf = node.dual_stack();
    node.add("c1", &pods[0], &conf).result();
    node.add("c2", &pods[1], &conf).result();
    exchange((&pods[0], "10.244.1.2"), (&pods[1], "10.244.1.3"));
    exchange((&pods[1], "fd00:10:244:1::3"), (&pods[0], "fd00:10:244:1::2"));
    exchange((&pods[0], "10.244.1.2"), (&node.namespace, "10.244.1.1"));
    exchange((&node.namespace, "fd00:10:244:1::1"), (&pods[1], "fd00:10:244:1::3"));
}

#[tokio::test]
async fn a_reused_address_is_reachable_at_once() {
    let node = Node::new();
    let (old, new, other) = (Namespace::new(), Namespace::new(), Namespace::new());
    let conf = node.dual_stack();
    node.add("c1", &other, &conf).result();
    node.add("c2", &old, &conf).result();
    let pairs = [("10.244.1.2", "10.244.1.3"), ("fd00:10:244:1::2", "fd00:10:244:1::3")];
    for (a, b) in pairs {
        exchange((&other, a), (&old, b));
    }
    node.del("c2", &old, &conf).result();
    // The others remember the old pod's hardware address now.
    let mut again = conf.clone();
    again["runtimeConfig"] = serde_json::json!({"ips": ["10.244.1.3/24", "fd00:10:244:1::3/64"]});
    node.add("c3", &new, &again).result();
    for (a, b) in pairs {
        exchange((&other, a), (&new, b));
    }
}
