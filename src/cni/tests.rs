//! The protocol as tables: what goes in on environment and stdin, and what comes out. Nothing here
//! reaches the kernel; `tests/cni` does.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::conf::Network;
use super::plan::Plan;
use super::result::{Dns, Interface, Ip, Route, Success};
use super::version::Version;
use super::*;
use crate::ipam::{NodeFile, Owner, RangeSpec};

mod arbitrary;
mod configurations;
mod plans;
mod requests;
mod results;

/// Answers with the usual variables, some of them changed.
fn call(command: &str, changes: &[(&str, &str)], stdin: &str) -> Reply {
    let mut variables = BTreeMap::from([
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/none-of-that-name"),
        ("CNI_IFNAME", "eth0"),
    ]);
    variables.extend(changes.iter().copied());
    answer("routelet-cni", |name| variables.get(name).map(|value| (*value).to_owned()), stdin.as_bytes())
}

/// Code, message and details of a reply that must be an error.
fn failure(reply: Reply) -> (u64, String) {
    assert!(!reply.success);
    let document = reply.document.unwrap();
    let text = |key: &str| document[key].as_str().unwrap().to_owned();
    assert!(Version::parse(&text("cniVersion")).is_some());
    (document["code"].as_u64().unwrap(), format!("{} | {}", text("msg"), text("details")))
}

/// The configuration of the reference cluster, with fields changed (`null` takes one away).
fn configuration(changes: Value) -> String {
    let mut conf = json!({
        "cniVersion": "0.3.1", "name": "pod-network", "type": "bridge", "bridge": "cni0",
        "isGateway": true, "ipMasq": true, "nodeFile": "/nonexistent/node.json",
        "ipam": {"type": "host-local", "subnet": "10.244.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]},
    });
    for (key, value) in changes.as_object().unwrap() {
        conf[key] = value.clone();
    }
    conf.to_string()
}

fn network(changes: Value) -> Network {
    Network::parse(configuration(changes).as_bytes()).unwrap()
}

#[test]
fn the_name_of_the_file_says_which_plugin_is_meant() {
    let program = |called_as: &str, conf: Value| Program::of(called_as, &network(conf)).unwrap();
    let ipam = |name: &str| json!({"type": "other", "ipam": {"type": name}});
    for (called_as, conf, expected) in [
        ("bridge", json!({}), Program::Bridge),
        ("bridge", json!({"type": "loopback"}), Program::Bridge),
        ("host-local", json!({}), Program::HostLocal),
        ("loopback", json!({"type": "loopback"}), Program::Loopback),
        ("portmap", json!({"type": "portmap"}), Program::Portmap),
        ("routelet-cni", json!({"type": "routelet-cni"}), Program::Bridge),
        ("routelet-cni", json!({"type": "loopback"}), Program::Loopback),
        ("routelet", ipam("host-local"), Program::Bridge),
        ("routelet", ipam("routelet"), Program::HostLocal),
        ("routelet", json!({"type": "routelet", "ipam": {"type": "routelet"}}), Program::Bridge),
        ("", json!({"type": null}), Program::Bridge),
    ] {
        assert_eq!(program(called_as, conf.clone()), expected, "{called_as} {conf}");
    }
}

#[test]
fn host_names_are_fixed_and_differ() {
    let name = |network: &str, id: &str, interface: &str| {
        let owner = Owner { container_id: id.to_owned(), interface: interface.to_owned() };
        veth::name(network, &owner)
    };
    // A name must outlive an upgrade of the plugin: pods attached before are deleted after it.
    assert_eq!(name("pod-network", "c1", "eth0"), "veth1de2219b182");
    let mut names: Vec<String> = (0..10_000).map(|n| name("pods", &n.to_string(), "eth0")).collect();
    names.extend([name("pods", "1", "eth1"), name("pods1", "", "eth0"), name("pod", "s1", "eth0")]);
    assert!(names.iter().all(|name| name.len() == 15));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

fn whole(subnet: &str) -> crate::ipam::RangeSet {
    crate::ipam::RangeSet::new(RangeSpec::whole(subnet.parse().unwrap()).ranges(&[]).unwrap()).unwrap()
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("routelet-cni-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
