//! The bridge: what it is made like, what it keeps, and what is refused.

use routelet::kernel::{Batch, Conversation};
use serde_json::json;

use super::rig::{Namespace, Node};

#[tokio::test]
async fn it_keeps_its_mtu_and_its_hardware_address() {
    let node = Node::new();
    let conf = node.dual_stack();
    let pods = [Namespace::new(), Namespace::new()];
    node.add("c1", &pods[0], &conf).result();
    let made = node.namespace.link("cni0").await.unwrap();
    assert_eq!(made.mtu, 1400);
    // A port of another MTU does not change it, nor does having no port.
    node.add("c2", &pods[1], &conf).result();
    let port = pods[1].link("eth0").await.unwrap();
    pods[1].netlink.set_mtu(port.index, 1280).await.unwrap();
    node.del("c2", &pods[1], &conf).result();
    node.del("c1", &pods[0], &conf).result();
    let left = node.namespace.link("cni0").await.unwrap();
    assert_eq!((left.mtu, left.mac), (1400, made.mac));
}

#[tokio::test]
async fn a_foreign_mtu_is_refused_in_words() {
    let (node, pod) = (Node::new(), Namespace::new());
    let bridge = node.namespace.netlink.add_bridge("cni0", Some(1500)).await.unwrap();
    node.namespace.netlink.set_up(bridge.index, true).await.unwrap();
    let mut conf = node.configuration();
    conf["mtu"] = json!(1400);
    let (code, text) = node.add("c1", &pod, &conf).error();
    assert_eq!(code, 101);
    assert!(text.starts_with("bridge cni0 has MTU 1500, not 1400 | "), "{text}");
    assert_eq!(node.namespace.link("cni0").await.unwrap().mtu, 1500);
    assert_eq!(node.traces().await, [""; 0]);
    conf["mtu"] = json!(1500);
    node.add("c1", &pod, &conf).result();
}

/// Whoever made it was killed in between.
#[tokio::test]
async fn one_that_is_half_made_is_finished() {
    let (node, pod) = (Node::new(), Namespace::new());
    let mut batch = Batch::new();
    batch.add_bridge("cni0", [2, 0, 0, 0, 0, 1], 1399);
    Conversation::open_in(&node.namespace.handle).unwrap().carry_out(batch).unwrap();
    node.add("c1", &pod, &node.dual_stack()).result();
    let bridge = node.namespace.link("cni0").await.unwrap();
    assert_eq!((bridge.mtu, bridge.up, bridge.mac), (1400, true, Some([2, 0, 0, 0, 0, 1])));
}

/// The old gateway stays, for the pods that have addresses of the old pod CIDR.
#[tokio::test]
async fn a_node_that_gets_another_pod_cidr_goes_on() {
    let node = Node::new();
    let conf = node.dual_stack();
    let pods = [Namespace::new(), Namespace::new()];
    node.add("c1", &pods[0], &conf).result();
    let node_file = json!({"podCIDRs": ["10.244.7.0/24"], "bridge": "cni0", "mtu": 1400});
    std::fs::write(node.node_file(), node_file.to_string()).unwrap();
    let result = node.add("c2", &pods[1], &conf).result();
    assert_eq!(result["ips"][0]["address"], "10.244.7.2/24");
    let addresses = node.namespace.addresses("cni0").await;
    assert_eq!(addresses, ["10.244.1.1/24", "10.244.7.1/24", "fd00:10:244:1::1/64"]);
}

#[tokio::test]
async fn a_duplicate_of_an_ipv6_address_is_found() {
    let node = Node::new();
    let conf = node.dual_stack();
    let pods = [Namespace::new(), Namespace::new()];
    node.add("c1", &pods[0], &conf).result();
    let squatter = pods[0].link("eth0").await.unwrap();
    pods[0].netlink.add_address(squatter.index, "fd00:10:244:1::3/64".parse().unwrap()).await.unwrap();
    let (code, text) = node.add("c2", &pods[1], &conf).error();
    assert_eq!(code, 100);
    assert!(text.starts_with("address fd00:10:244:1::3 is in use on cni0 already | by "), "{text}");
    assert_eq!(pods[1].names().await, ["lo"]);
    assert_eq!(node.reservations(), ["10.244.1.2", "fd00:10:244:1::2"]);
    let result = node.add("c2", &pods[1], &conf).result();
    assert_eq!(result["ips"][1]["address"], "fd00:10:244:1::4/64");
}
