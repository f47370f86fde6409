//! Beside the reference plugins (`bridge` and `host-local` of containernetworking-plugins): a node can
//! be switched over, and back, with its pods running.

use std::path::Path;

use super::rig::{Answer, Namespace, Node, answer};

const REFERENCE: &str = "/usr/lib/cni/bridge";

fn reference(node: &Node, verb: &str, container: &str, pod: &Namespace) -> Answer {
    let plugin = Path::new(REFERENCE);
    assert!(plugin.exists(), "{REFERENCE} is missing: apt-get install containernetworking-plugins");
    let mut conf = node.configuration();
    // The reference would call iptables.
    conf["ipMasq"] = false.into();
    answer(node.spawn_other(plugin, verb, container, &pod.path(), &conf, "").wait_with_output().unwrap())
}

#[tokio::test]
async fn pods_of_the_reference_are_respected_and_removed() {
    let node = Node::new();
    let conf = node.configuration();
    let (theirs, ours) = (Namespace::new(), Namespace::new());
    reference(&node, "ADD", "c1", &theirs).result();
    let result = node.add("c2", &ours, &conf).result();
    assert_eq!(result["ips"][0]["address"], "10.244.0.3/16");
    node.del("c1", &theirs, &conf).result();
    assert_eq!(node.reservations(), ["10.244.0.3"]);
    assert_eq!(theirs.names().await, ["lo"]);
    node.del("c2", &ours, &conf).result();
    assert_eq!(node.traces().await, [""; 0]);
}

#[tokio::test]
async fn the_reference_respects_and_removes_ours() {
    let node = Node::new();
    let conf = node.configuration();
    let (ours, theirs) = (Namespace::new(), Namespace::new());
    node.add("c1", &ours, &conf).result();
    let result = reference(&node, "ADD", "c2", &theirs).result();
    assert_eq!(result["ips"][0]["address"], "10.244.0.3/16");
    reference(&node, "DEL", "c1", &ours).result();
    assert_eq!(node.reservations(), ["10.244.0.3"]);
    assert_eq!(ours.names().await, ["lo"]);
    // The record that is left over stands in nobody's way.
    node.add("c1", &ours, &conf).result();
    node.del("c1", &ours, &conf).result();
    reference(&node, "DEL", "c2", &theirs).result();
    assert_eq!(node.reservations(), [""; 0]);
    // Records of what it released stay until we look again.
    node.call("DEL", "nobody", "", &conf).result();
    assert_eq!(node.traces().await, [""; 0]);
}
