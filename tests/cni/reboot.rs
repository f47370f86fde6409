//! The machine reboots: no namespace outlives it, `/run` is empty, the disk is as it was. Pods that were
//! are not in the way of those that come, and what they held is found and freed.
//!
//! The boot before is played by calls that are shown another boot id than this machine's.

use std::path::Path;
use std::time::Duration;

use routelet::cni::life::Census;
use routelet::cni::veth;
use routelet::ipam::{GRACE, Owner, Store, Swept};
use serde_json::{Value, json};

use super::rig::{Namespace, Node, PLUGIN, answer};

const OTHER_BOOT: &str = "0badb007-0000-4000-8000-000000000000\n";

/// An ADD in the boot before this one. Its pod and the node's links are gone when it returns.
fn add_before(node: &mut Node, container: &str, conf: &Value) -> Value {
    let boot_id = node.directory.join("boot_id");
    std::fs::write(&boot_id, OTHER_BOOT).unwrap();
    let pod = Namespace::new();
    let mut command = node.command(Path::new("/usr/bin/unshare"), "ADD", container, &pod.path());
    let show = r#"mount --bind "$1" /proc/sys/kernel/random/boot_id && exec "$0""#;
    command.args(["--mount", "sh", "-c", show, PLUGIN]).arg(&boot_id);
    let result = answer(node.feed(command, conf).wait_with_output().unwrap()).result();
    node.namespace = Namespace::new();
    result
}

/// What the daemon does now and then.
fn sweep(node: &Node, grace: Duration) -> Swept {
    let store = Store::new(node.directory.join("networks"), "pod-network");
    let look_around = || {
        let mut census = Census::take().unwrap();
        store.sweep(grace, |holding| census.life("pod-network", holding)).unwrap()
    };
    node.namespace.handle.enter(look_around).unwrap()
}

fn freed(swept: &Swept) -> Vec<&str> {
    swept.freed.iter().map(|holding| holding.owner.container_id.as_str()).collect()
}

#[tokio::test]
async fn the_dead_are_not_in_the_way_and_are_swept() {
    let mut node = Node::new();
    let conf = node.dual_stack();
    for container in ["old1", "old2", "old3"] {
        add_before(&mut node, container, &conf);
    }
    let reserved = node.reservations();
    assert_eq!(reserved.len(), 6);
    // A power failure may leave files without content.
    let store = node.directory.join("networks/pod-network");
    std::fs::write(store.join("10.244.1.99"), "").unwrap();
    std::fs::write(store.join(".new"), "ol").unwrap();

    // The runtime cleans up after one of them, by name alone.
    node.call("DEL", "old1", "", &conf).result();
    let pod = Namespace::new();
    let added = node.add("new", &pod, &conf).result();
    let swept = sweep(&node, GRACE);
    assert_eq!((freed(&swept), swept.kept, swept.failures.len()), (vec!["old2", "old3"], 1, 0));
    let addresses = added["ips"].as_array().unwrap().iter();
    let addresses: Vec<&str> =
        addresses.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap()).collect();
    assert_eq!(node.reservations(), addresses);
    assert_eq!(node.debris(), [""; 0]);
    let mut check = conf.clone();
    check["prevResult"] = added;
    node.call("CHECK", "new", &pod.path(), &check).result();
    node.del("new", &pod, &conf).result();
    assert_eq!(node.traces().await, [""; 0]);
}

/// Those of this boot have the time that an ADD may take, even if nothing is to be seen of them.
#[tokio::test]
async fn an_add_under_way_is_left_alone() {
    let node = Node::new();
    let conf = node.dual_stack();
    let (alive, dead) = (Namespace::new(), Namespace::new());
    node.add("alive", &alive, &conf).result();
    node.add("dead", &dead, &conf).result();
    // Its host end goes with the namespace.
    let port = veth::name("pod-network", &Owner { container_id: "dead".into(), interface: "eth0".into() });
    let port = node.namespace.link(&port).await.unwrap();
    node.namespace.netlink.delete_link(port.index).await.unwrap();
    drop(dead);
    assert_eq!(freed(&sweep(&node, GRACE)), [""; 0]);
    assert_eq!(freed(&sweep(&node, Duration::ZERO)), ["dead"]);
}

/// A node whose pods all died without a DEL is full of them, until somebody wants an address.
#[tokio::test]
async fn a_range_full_of_the_dead_has_room() {
    let mut node = Node::new();
    let mut conf = node.configuration();
    conf["ipam"]["subnet"] = json!("10.244.0.0/29");
    for container in ["old1", "old2", "old3", "old4", "old5"] {
        add_before(&mut node, container, &conf);
    }
    let pods: [Namespace; 5] = std::array::from_fn(|_| Namespace::new());
    for (n, pod) in pods.iter().enumerate() {
        node.add(&format!("new{n}"), pod, &conf).result();
    }
    let one_more = Namespace::new();
    assert_eq!(node.add("new5", &one_more, &conf).error().0, 100);
    assert_eq!(node.reservations().len(), 5);
}

/// The node file is in `/run`: until the daemon has written it anew, ADD says that it will come.
#[tokio::test]
async fn before_the_daemon_is_back() {
    let mut node = Node::new();
    let conf = node.dual_stack();
    add_before(&mut node, "old", &conf);
    std::fs::remove_file(node.node_file()).unwrap();
    let pod = Namespace::new();
    let (code, text) = node.add("new", &pod, &conf).error();
    assert_eq!(code, 11, "{text}");
    assert_eq!(pod.names().await, ["lo"]);
    // The dead can be removed all the same, and with subnets of its own a network needs no daemon.
    node.call("DEL", "old", "", &conf).result();
    assert_eq!(node.traces().await, [""; 0]);
    node.add("new", &pod, &node.configuration()).result();
}

#[tokio::test]
async fn gc_frees_the_dead_of_before() {
    let mut node = Node::new();
    let mut conf = node.dual_stack();
    for container in ["old1", "old2"] {
        add_before(&mut node, container, &conf);
    }
    let pod = Namespace::new();
    node.add("new", &pod, &conf).result();
    conf["cni.dev/valid-attachments"] = json!([{"containerID": "new", "ifname": "eth0"}]);
    node.call("GC", "", "", &conf).result();
    assert_eq!(node.reservations().len(), 2);
    node.del("new", &pod, &conf).result();
    assert_eq!(node.traces().await, [""; 0]);
}
