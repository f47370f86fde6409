//! Ours among other plugins of one list: the reference ones after it.

use serde_json::{Value, json};

use super::chain::Chain;
use super::rig::{Namespace, Node, run};

/// `bridge`, then everything that clusters put after it.
fn list(version: &'static str, node: &Node, bridge: fn(Chain, Value) -> Chain) -> Chain {
    let mut conf = node.configuration();
    conf["ipMasq"] = json!(false);
    bridge(Chain::new(version), conf)
        .reference(json!({
            "type": "tuning", "capabilities": {"mac": true}, "mtu": 1300, "dataDir": node.directory,
            "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"},
        }))
        .reference(json!({"type": "bandwidth", "capabilities": {"bandwidth": true}}))
        .reference(json!({"type": "firewall", "backend": "iptables"}))
        .reference(json!({"type": "portmap", "capabilities": {"portMappings": true}, "backend": "iptables"}))
        .offers("mac", json!("02:11:22:33:44:55"))
        .offers(
            "bandwidth",
            json!({
                "ingressRate": 8_000_000, "ingressBurst": 8_000_000,
                "egressRate": 8_000_000, "egressBurst": 8_000_000,
            }),
        )
        .offers("portMappings", json!([{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]))
}

/// A datagram to a port of the node, and back.
#[track_caller]
fn mapped_port_answers(node: &Node, pod: &Namespace, address: &str) {
    use std::net::UdpSocket;
    use std::time::Duration;
    let inside = pod.handle.enter(|| UdpSocket::bind((address, 80))).unwrap().unwrap();
    let outside = node.namespace.handle.enter(|| UdpSocket::bind("10.244.0.1:0")).unwrap().unwrap();
    for socket in [&inside, &outside] {
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    }
    let mut buffer = [0; 8];
    outside.send_to(b"ping", "10.244.0.1:8080").unwrap();
    let (_, from) = inside.recv_from(&mut buffer).unwrap();
    inside.send_to(b"pong", from).unwrap();
    assert_eq!(outside.recv_from(&mut buffer).unwrap().1, "10.244.0.1:8080".parse().unwrap());
}

#[tokio::test]
async fn the_reference_plugins_follow() {
    for version in ["0.4.0", "1.0.0"] {
        for bridge in [Chain::reference, Chain::ours] {
            let (node, pod) = (Node::new(), Namespace::new());
            let chain = list(version, &node, bridge);
            let result = chain.add(&node, "c1", &pod.path()).unwrap();
            let host = result["interfaces"][1]["name"].as_str().unwrap().to_owned();
            assert_eq!(result["interfaces"][2]["mac"], "02:11:22:33:44:55");
            let eth0 = pod.link("eth0").await.unwrap();
            assert_eq!((eth0.mtu, eth0.mac), (1300, Some([2, 0x11, 0x22, 0x33, 0x44, 0x55])));
            let shaped = run(&node.namespace.handle, "tc", &["qdisc", "show", "dev", &host]);
            assert!(shaped.contains("tbf"), "{shaped}");
            mapped_port_answers(&node, &pod, "10.244.0.2");
            // The portmap of Debian 12 looks for rules of IPv6 that it never made, and comes last.
            let complaint = chain.check(&node, "c1", &pod.path(), &result).unwrap_err();
            assert!(complaint.to_string().contains("could not check ipv6 dnat"), "{complaint}");

            chain.del(&node, "c1", &pod.path(), Some(&result)).unwrap();
            chain.del(&node, "c1", "", None).unwrap();
            assert_eq!(node.traces().await, [""; 0]);
            assert_eq!(pod.names().await, ["lo"]);
            let rules = run(&node.namespace.handle, "iptables-save", &[]);
            assert!(!rules.contains("10.244.0.2"), "{rules}");
        }
    }
}

/// Ours as `portmap`, behind the reference's `bridge`, behind ours, and behind none: `bridge` of ours maps
/// ports itself if it is asked to.
#[tokio::test]
async fn ours_maps_ports() {
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]);
    let portmap = || json!({"type": "portmap", "capabilities": {"portMappings": true}});
    for version in ["0.4.0", "1.0.0"] {
        for bridge in [Chain::reference, Chain::ours] {
            let (node, pod) = (Node::new(), Namespace::new());
            let mut conf = node.configuration();
            conf["ipMasq"] = json!(false);
            let chain =
                bridge(Chain::new(version), conf).ours(portmap()).offers("portMappings", ports.clone());
            must_map(&chain, &node, &pod).await;
        }
        let (node, pod) = (Node::new(), Namespace::new());
        let mut conf = node.configuration();
        conf["capabilities"] = json!({"portMappings": true});
        let chain = Chain::new(version).ours(conf).offers("portMappings", ports.clone());
        must_map(&chain, &node, &pod).await;
    }
}

async fn must_map(chain: &Chain, node: &Node, pod: &Namespace) {
    for round in 0..2 {
        let result = chain.add(node, "c1", &pod.path()).unwrap();
        let address = result["ips"][0]["address"].as_str().unwrap();
        mapped_port_answers(node, pod, address.split('/').next().unwrap());
        chain.check(node, "c1", &pod.path(), &result).unwrap();
        // The first time with all that a runtime knows, then as after its own death.
        let (netns, told) = if round == 0 { (pod.path(), Some(&result)) } else { (String::new(), None) };
        chain.del(node, "c1", &netns, told).unwrap();
        let rules = node.rules();
        assert!(!rules.contains("8080"), "{rules}");
        if round == 1 && pod.link("eth0").await.is_some() {
            // Without a namespace the reference leaves the interface, and we what it made.
            let eth0 = pod.link("eth0").await.unwrap();
            pod.netlink.delete_link(eth0.index).await.unwrap();
        }
    }
    assert_eq!(node.reservations(), [""; 0]);
}

/// A plugin that fails after ours: the runtime calls DEL along the list, and nothing is left.
#[tokio::test]
async fn a_failure_further_on_is_undone() {
    let (node, pod) = (Node::new(), Namespace::new());
    let chain = list("1.0.0", &node, Chain::ours)
        .reference(json!({"type": "tuning", "sysctl": {"net.none.such": "1"}}));
    let failure = chain.add(&node, "c1", &pod.path()).unwrap_err();
    assert!(failure.call.contains("tuning"), "{failure}");
    assert_eq!(node.traces().await, [""; 0]);
    assert_eq!(pod.names().await, ["lo"]);
}

/// What a plugin before ours has made is in the result, and is left alone.
#[tokio::test]
async fn a_previous_result_is_kept() {
    let (node, pod) = (Node::new(), Namespace::new());
    let conf = node.configuration();
    let before = json!({
        "type": "bridge", "bridge": "br1", "isGateway": true,
        "ipam": {"type": "host-local", "subnet": "192.0.2.0/24", "dataDir": node.directory.join("before")},
    });
    // The first makes net1, in a call of its own as the interface has another name.
    let first = Chain::new("1.0.0").reference(before).named("net1");
    let earlier: Value = first.add(&node, "c1", &pod.path()).unwrap();
    let mut with = conf.clone();
    with["cniVersion"] = json!("1.0.0");
    with["prevResult"] = earlier.clone();
    let result = node.add("c1", &pod, &with).result();
    let names = |result: &Value| -> Vec<String> {
        let interfaces = result["interfaces"].as_array().unwrap().iter();
        interfaces.map(|i| i["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&result)[..3], names(&earlier)[..]);
    assert_eq!(result["ips"].as_array().unwrap().len(), 2);
    let ours = &result["ips"][1];
    assert_eq!(result["interfaces"][ours["interface"].as_u64().unwrap() as usize]["name"], "eth0");
    with["prevResult"] = result.clone();
    node.call("CHECK", "c1", &pod.path(), &with).result();
    node.del("c1", &pod, &with).result();
    assert!(pod.link("eth0").await.is_none() && pod.link("net1").await.is_some());
    first.del(&node, "c1", &pod.path(), Some(&earlier)).unwrap();
}
