//! Addresses of pods that nobody ever released: before a range is said to be full, those of an older
//! boot are taken back, unless their pod is seen alive.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use serde_json::{Value, json};

use super::rig::{Namespace, Node};

/// A range of five addresses.
fn configuration(node: &Node) -> Value {
    let mut conf = node.configuration();
    conf["cniVersion"] = json!("1.1.0");
    conf["ipam"]["subnet"] = json!("10.244.0.0/29");
    conf
}

/// A reservation as it looks after the next boot.
fn of_older_boot(node: &Node, id: &str, address: &str) {
    let store = node.directory.join("networks/pod-network");
    let record = store.join("owners").join(format!("{id}:eth0"));
    let _ = fs::remove_file(&record);
    symlink(format!("{address} 00000001 4026530000"), record).unwrap();
    fs::write(store.join(address), format!("{id}\r\neth0")).unwrap();
}

#[tokio::test]
async fn a_range_full_of_an_older_boot_has_room() {
    let node = Node::new();
    let conf = configuration(&node);
    let (alive, new) = (Namespace::new(), Namespace::new());
    node.add("alive", &alive, &conf).result();
    let record = node.directory.join("networks/pod-network/owners/alive:eth0");
    let namespace = fs::metadata(alive.path()).unwrap().ino().to_string();
    assert!(fs::read_link(record).unwrap().to_str().unwrap().ends_with(&namespace));
    of_older_boot(&node, "alive", "10.244.0.2");
    for last in 3..7 {
        of_older_boot(&node, &format!("dead{last}"), &format!("10.244.0.{last}"));
    }
    node.call("STATUS", "", "", &conf).result();
    assert_eq!(node.reservations().len(), 5, "STATUS only looks");
    let result = node.add("new", &new, &conf).result();
    assert_eq!(result["ips"][0]["address"], "10.244.0.3/29");
    assert_eq!(node.reservations(), ["10.244.0.2", "10.244.0.3"]);
    node.del("alive", &alive, &conf).result();
    node.del("new", &new, &conf).result();
    assert_eq!(node.traces().await, [""; 0]);
}

#[tokio::test]
async fn a_range_full_of_living_pods_is_full() {
    let node = Node::new();
    let conf = configuration(&node);
    let pods: Vec<Namespace> = (0..5).map(|_| Namespace::new()).collect();
    for (n, pod) in pods.iter().enumerate() {
        node.add(&format!("c{n}"), pod, &conf).result();
        of_older_boot(&node, &format!("c{n}"), &format!("10.244.0.{}", n + 2));
    }
    let (code, text) = node.call("STATUS", "", "", &conf).error();
    assert_eq!(code, 50, "{text}");
    let (_, text) = node.add("new", &Namespace::new(), &conf).error();
    assert!(text.contains("no free address in 10.244.0.0/29"), "{text}");
    assert_eq!(node.reservations().len(), 5);
    for n in 0..5 {
        node.call("DEL", &format!("c{n}"), "", &conf).result();
    }
    assert_eq!(node.traces().await, [""; 0]);
}
