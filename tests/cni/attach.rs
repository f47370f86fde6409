//! What ADD makes, DEL removes, CHECK sees and GC sweeps.

use routelet::kernel::found;
use routelet::kernel::routes::Ownership;
use serde_json::json;

use super::rig::{Namespace, Node};

/// The routes an ADD makes: main table, protocol `boot`.
const POD_ROUTES: Ownership = Ownership { table: 254, protocol: 3 };

fn routes(pod: &Namespace) -> Vec<String> {
    let found = pod.handle.enter(|| found::found(POD_ROUTES)).unwrap().unwrap();
    found.routes.iter().map(|route| route.prefix.to_string()).collect()
}

#[tokio::test]
async fn the_common_configuration_works_as_it_stands() {
    let (node, pod) = (Node::new(), Namespace::new());
    let conf = node.configuration();
    let result = node.add("c1", &pod, &conf).result();

    let bridge = node.namespace.link("cni0").await.unwrap();
    assert!(bridge.up && bridge.kind.as_deref() == Some("bridge"));
    assert_eq!(node.namespace.addresses("cni0").await, ["10.244.0.1/16"]);
    let port = node.namespace.link(result["interfaces"][1]["name"].as_str().unwrap()).await.unwrap();
    assert!(port.up && port.forwarding && port.master == Some(bridge.index));
    let eth0 = pod.link("eth0").await.unwrap();
    assert!(eth0.up && eth0.carrier && eth0.kind.as_deref() == Some("veth"));
    assert_eq!(pod.addresses("eth0").await, ["10.244.0.2/16"]);
    assert_eq!(routes(&pod), ["0.0.0.0/0"]);
    assert_eq!(node.reservations(), ["10.244.0.2"]);
    let forwards = || routelet::kernel::sysctl::forwards(routelet::prefix::Family::Ipv4Unicast);
    assert!(node.namespace.handle.enter(forwards).unwrap().unwrap());

    let mac = |mac: Option<[u8; 6]>| mac.unwrap().map(|octet| format!("{octet:02x}")).join(":");
    assert_eq!(
        result,
        json!({
            "cniVersion": "0.3.1",
            "interfaces": [
                {"name": "cni0", "mac": mac(bridge.mac)},
                {"name": port.name, "mac": mac(port.mac)},
                {"name": "eth0", "mac": mac(eth0.mac), "sandbox": pod.path()},
            ],
            "ips": [{"version": "4", "address": "10.244.0.2/16", "gateway": "10.244.0.1", "interface": 2}],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dns": {},
        })
    );

    for _ in 0..2 {
        node.del("c1", &pod, &conf).result();
        assert_eq!(node.traces().await, [""; 0]);
        assert!(pod.link("eth0").await.is_none());
    }
    // The bridge serves others, and keeps its hardware address whoever comes and goes.
    assert_eq!(node.namespace.link("cni0").await.unwrap().mac, bridge.mac);
}

#[tokio::test]
async fn the_node_file_gives_both_families_bridge_and_mtu() {
    let (node, pod) = (Node::new(), Namespace::new());
    let conf = node.dual_stack();
    let result = node.add("c1", &pod, &conf).result();
    assert_eq!(node.namespace.addresses("cni0").await, ["10.244.1.1/24", "fd00:10:244:1::1/64"]);
    assert_eq!(pod.addresses("eth0").await, ["10.244.1.2/24", "fd00:10:244:1::2/64"]);
    assert_eq!(routes(&pod), ["0.0.0.0/0", "::/0"]);
    assert_eq!(pod.link("eth0").await.unwrap().mtu, 1400);
    assert_eq!(result["interfaces"][2]["mtu"], 1400);
    assert_eq!(result["ips"][1]["address"], "fd00:10:244:1::2/64");
    node.del("c1", &pod, &conf).result();
    assert_eq!(node.traces().await, [""; 0]);
}

#[tokio::test]
async fn a_cluster_wide_subnet_narrows_to_the_pod_cidr() {
    let (node, pod) = (Node::new(), Namespace::new());
    node.dual_stack();
    let result = node.add("c1", &pod, &node.configuration()).result();
    assert_eq!(result["ips"][0]["address"], "10.244.1.2/24");
    assert_eq!(result["ips"][0]["gateway"], "10.244.1.1");
    assert_eq!(node.namespace.addresses("cni0").await, ["10.244.1.1/24"]);
}

#[tokio::test]
async fn a_pod_without_namespace_is_removed_all_the_same() {
    let node = Node::new();
    let conf = node.configuration();
    // Named but gone, and as containerd calls it the second time: not named at all.
    for netns in ["/run/netns/none-of-that-name", ""] {
        let pod = Namespace::new();
        node.add("c1", &pod, &conf).result();
        node.call("DEL", "c1", netns, &conf).result();
        assert_eq!(node.traces().await, [""; 0]);
        drop(pod);
    }
    node.call("DEL", "never-added", "", &conf).result();
}

#[tokio::test]
async fn check_sees_what_has_changed() {
    let (node, pod) = (Node::new(), Namespace::new());
    let mut conf = node.dual_stack();
    conf["prevResult"] = node.add("c1", &pod, &conf).result();
    let check = || node.call("CHECK", "c1", &pod.path(), &conf);
    check().result();

    let eth0 = pod.link("eth0").await.unwrap();
    pod.netlink.set_up(eth0.index, false).await.unwrap();
    assert_eq!(
        check().error(),
        (104, "interface eth0 is down | DEL the container and ADD it again".to_owned())
    );
    pod.netlink.set_up(eth0.index, true).await.unwrap();
    // What the kernel has forgotten meanwhile: all of IPv6, and the routes.
    pod.netlink.add_address(eth0.index, "fd00:10:244:1::2/64".parse().unwrap()).await.unwrap();
    assert_eq!(
        check().error(),
        (104, "the route to 0.0.0.0/0 is gone | DEL the container and ADD it again".to_owned())
    );
    pod.netlink.remove_address(eth0.index, "10.244.1.2/24".parse().unwrap()).await.unwrap();
    assert_eq!(
        check().error(),
        (104, "interface eth0 lacks address 10.244.1.2/24 | DEL the container and ADD it again".to_owned())
    );
    node.del("c1", &pod, &conf).result();
    assert_eq!(check().error().0, 104);
}

#[tokio::test]
async fn gc_removes_what_is_not_listed_and_nothing_without_a_list() {
    let node = Node::new();
    let mut conf = node.dual_stack();
    let pods = [Namespace::new(), Namespace::new(), Namespace::new()];
    for (pod, container) in pods.iter().zip(["c1", "c2", "c3"]) {
        node.add(container, pod, &conf).result();
    }
    let before = node.traces().await;
    assert_eq!(node.call("GC", "", "", &conf).error().0, 7);
    assert_eq!(node.traces().await, before);

    conf["cni.dev/valid-attachments"] = json!([{"containerID": "c2", "ifname": "eth0"}]);
    node.call("GC", "", "", &conf).result();
    assert_eq!(node.reservations(), ["10.244.1.3", "fd00:10:244:1::3"]);
    assert!(pods[0].link("eth0").await.is_none() && pods[2].link("eth0").await.is_none());
    assert!(pods[1].link("eth0").await.is_some());

    conf["cni.dev/valid-attachments"] = json!([]);
    node.call("GC", "", "", &conf).result();
    assert_eq!(node.traces().await, [""; 0]);
}

#[tokio::test]
async fn every_version_gets_its_shape() {
    let node = Node::new();
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let pod = Namespace::new();
        let mut conf = node.configuration();
        conf["cniVersion"] = json!(version);
        let result = node.add("c1", &pod, &conf).result();
        assert_eq!(result["cniVersion"], version);
        let (old, tagged) = (version < "0.3.0", version < "1.0.0");
        assert_eq!(result.get("ip4").is_some(), old, "{version}");
        assert_eq!(result.get("ips").is_some(), !old, "{version}");
        assert_eq!(result["ips"][0].get("version").is_some(), !old && tagged, "{version}");
        assert_eq!(result.get("dns").is_some(), tagged, "{version}");
        node.del("c1", &pod, &conf).result();
    }
    assert_eq!(node.traces().await, [""; 0]);
}
