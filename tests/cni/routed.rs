//! Mode `routed`: pods without a bridge talk to each other, to their node and to whoever is behind it, in
//! both families and from the moment their ADD is done.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use routelet::fib::{Change, Route, Target};
use routelet::kernel::routes::Ownership;
use routelet::kernel::{Installer, NetNs, found};
use serde_json::{Value, json};

use super::rig::{Namespace, Node};
use super::side_by_side::ip;

/// What the daemon calls its own.
const OURS: Ownership = Ownership { table: 254, protocol: 114 };

fn routed(node: &Node) -> Value {
    let mut conf = node.dual_stack();
    conf["mode"] = json!("routed");
    conf
}

/// Whether one echo request is answered, without anything having been asked before.
fn reaches(from: &NetNs, to: &str) -> bool {
    let ping = || Command::new("ping").args(["-n", "-c", "1", "-W", "2", to]).output().unwrap();
    from.enter(ping).unwrap().status.success()
}

#[track_caller]
fn must_reach(from: &NetNs, to: &[&str]) {
    to.iter().for_each(|to| assert!(reaches(from, to), "{to} is not reached"));
}

#[allow(clippy::disallowed_methods, reason = "a deadline in a test")]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "not within 20 s: {what}");
    }
}

fn set(namespace: &NetNs, arguments: &str) {
    ip(namespace, &arguments.split(' ').collect::<Vec<_>>());
}

/// A node with an address, as it has one before it has pods.
fn addressed() -> Node {
    let node = Node::new();
    let inner = &node.namespace.handle;
    set(inner, "link set lo up");
    set(inner, "address add 192.0.2.11/32 dev lo");
    set(inner, "address add 2001:db8::11/128 dev lo");
    node
}

/// A pod whose loopback is up, as a runtime hands it over.
fn new_pod() -> Namespace {
    let pod = Namespace::new();
    set(&pod.handle, "link set lo up");
    pod
}

/// A router beside the node, and one host behind it.
struct Outside {
    _router: Namespace,
    host: Namespace,
}

impl Outside {
    fn beside(node: &Node) -> Outside {
        let (router, host) = (Namespace::new(), Namespace::new());
        let inner = &node.namespace.handle;
        for (near, far, number) in [(inner, &router, 1), (&router.handle, &host, 2)] {
            // Under the name by which `ip` finds the other namespace.
            let other = far.path();
            set(near, &format!("link add out{number} type veth peer name in{number} netns {other}"));
            let ends = [(near, format!("out{number}"), 11), (&far.handle, format!("in{number}"), 1)];
            for (namespace, link, last) in ends {
                set(namespace, &format!("link set {link} up"));
                set(namespace, &format!("address add 192.168.{number}.{last}/24 dev {link}"));
                set(namespace, &format!("address add fd00:192:168:{number}::{last}/64 dev {link} nodad"));
            }
        }
        let defaults = [
            (inner, "192.168.1.1", "fd00:192:168:1::1"),
            (&host.handle, "192.168.2.11", "fd00:192:168:2::11"),
        ];
        for (namespace, ipv4, ipv6) in defaults {
            set(namespace, &format!("route add default via {ipv4}"));
            set(namespace, &format!("-6 route add default via {ipv6}"));
        }
        set(&router.handle, "route add 10.244.1.0/24 via 192.168.1.11");
        set(&router.handle, "-6 route add fd00:10:244:1::/64 via fd00:192:168:1::11");
        let forward = || {
            for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                std::fs::write(format!("/proc/sys/net/{name}"), "1").unwrap();
            }
        };
        router.handle.enter(forward).unwrap();
        // Their link-local addresses are being looked for duplicates of for a second or two.
        eventually("the router is reached", || {
            reaches(inner, "fd00:192:168:1::1") && reaches(&host.handle, "fd00:192:168:2::11")
        });
        Outside { _router: router, host }
    }
}

/// Destinations of the routes that are there by the kernel's protocol `boot`, in the order of the kernel.
fn plain_routes(namespace: &NetNs) -> Vec<String> {
    let mut all = Vec::new();
    for family in ["-4", "-6"] {
        let found = ip(namespace, &[family, "route", "show", "proto", "boot"]);
        all.extend(found.as_array().into_iter().flatten().map(|r| r["dst"].as_str().unwrap().to_owned()));
    }
    all
}

#[tokio::test]
async fn pods_talk_to_each_other_to_the_node_and_through_a_router() {
    let node = addressed();
    let conf = routed(&node);
    let pods = [new_pod(), new_pod()];
    let result = node.add("c1", &pods[0], &conf).result();
    node.add("c2", &pods[1], &conf).result();
    let inner = &node.namespace.handle;
    let addresses = ["10.244.1.2", "10.244.1.3", "fd00:10:244:1::2", "fd00:10:244:1::3"];
    for pod in &pods {
        must_reach(&pod.handle, &addresses);
    }
    must_reach(inner, &addresses);
    assert_eq!(plain_routes(inner), addresses);
    assert!(node.namespace.link("cni0").await.is_none());

    let outside = Outside::beside(&node);
    must_reach(&outside.host.handle, &addresses);
    for pod in &pods {
        must_reach(&pod.handle, &["192.168.1.11", "192.168.2.1", "fd00:192:168:1::11", "fd00:192:168:2::1"]);
    }

    let port = result["interfaces"][0]["name"].as_str().unwrap();
    let mac = &ip(inner, &["link", "show", port])[0]["address"];
    let pod_mac = &ip(&pods[0].handle, &["link", "show", "eth0"])[0]["address"];
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": port, "mac": mac, "mtu": 1400},
                {"name": "eth0", "mac": pod_mac, "mtu": 1400, "sandbox": pods[0].path()},
            ],
            "ips": [
                {"address": "10.244.1.2/32", "gateway": "169.254.1.1", "interface": 1},
                {"address": "fd00:10:244:1::2/128", "gateway": "fe80::1", "interface": 1},
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}, {"dst": "::/0", "gw": "fe80::1"}],
        })
    );
    for (container, pod) in [("c1", &pods[0]), ("c2", &pods[1])] {
        for _ in 0..2 {
            node.del(container, pod, &conf).result();
        }
        assert!(pod.link("eth0").await.is_none());
    }
    // What is left leads to the outside.
    assert_eq!(node.traces().await, ["out1"]);
    assert_eq!(plain_routes(inner), ["default", "default"]);
}

/// A datagram there and one back; who the other end says that it was from.
fn exchange(from: (&NetNs, &str), to: &str, served: (&NetNs, &str)) -> SocketAddr {
    let bind = |namespace: &NetNs, address: &str| {
        let socket = namespace.enter(|| UdpSocket::bind(address)).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    };
    let (asking, serving) = (bind(from.0, from.1), bind(served.0, served.1));
    asking.connect(to).unwrap();
    asking.send(b"there").unwrap();
    let (_, seen) = serving.recv_from(&mut [0; 8]).unwrap_or_else(|e| panic!("to {to}: {e}"));
    serving.send_to(b"back", seen).unwrap();
    asking.recv(&mut [0; 8]).unwrap_or_else(|e| panic!("back from {to}: {e}"));
    seen
}

#[tokio::test]
async fn ports_of_the_node_lead_to_pods_and_pods_are_masqueraded() {
    let node = addressed();
    let mut conf = routed(&node);
    conf["ipMasq"] = json!(true);
    let pods = [new_pod(), new_pod()];
    node.add("c2", &pods[1], &conf).result();
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]);
    conf["runtimeConfig"] = json!({"portMappings": ports});
    let result = node.add("c1", &pods[0], &conf).result();
    let outside = Outside::beside(&node);
    let [pod, other] = pods.each_ref().map(|pod| &pod.handle);
    for (served, any, port) in [
        ("10.244.1.3:80", "0.0.0.0:0", "192.168.1.11:8080"),
        ("[fd00:10:244:1::3]:80", "[::]:0", "[fd00:192:168:1::11]:8080"),
    ] {
        // From the outside, from a pod beside it, and from itself.
        for from in [&outside.host.handle, other, pod] {
            exchange((from, any), port, (pod, served));
        }
    }
    for (from, far, seen_as) in [
        ("10.244.1.3:0", "192.168.2.1:9", "192.168.1.11"),
        ("[fd00:10:244:1::3]:0", "[fd00:192:168:2::1]:9", "fd00:192:168:1::11"),
    ] {
        let seen = exchange((pod, from), far, (&outside.host.handle, far));
        assert_eq!(seen.ip().to_string(), seen_as);
    }
    let seen = exchange((pod, "10.244.1.3:0"), "10.244.1.2:9", (other, "10.244.1.2:9"));
    assert_eq!(seen.ip().to_string(), "10.244.1.3");
    conf["prevResult"] = result;
    node.call("CHECK", "c1", &pods[0].path(), &conf).result();
    for (container, pod) in [("c1", &pods[0]), ("c2", &pods[1])] {
        node.del(container, pod, &conf).result();
    }
    let tables = || Command::new("nft").args(["list", "tables"]).output().unwrap();
    let tables = node.namespace.handle.enter(tables).unwrap();
    assert_eq!(String::from_utf8(tables.stdout).unwrap(), "");
}

/// From the moment that its ADD is done, though the address was another pod's a moment ago.
#[tokio::test]
async fn an_address_is_reached_at_once_where_another_pod_had_it() {
    let node = addressed();
    let mut conf = routed(&node);
    conf["runtimeConfig"] = json!({"ips": ["10.244.1.9/24", "fd00:10:244:1::9/64"]});
    for _ in 0..3 {
        let pod = new_pod();
        node.add("c1", &pod, &conf).result();
        must_reach(&node.namespace.handle, &["10.244.1.9", "fd00:10:244:1::9"]);
        node.del("c1", &pod, &conf).result();
    }
}

#[tokio::test]
async fn the_daemon_leaves_the_routes_to_pods_alone() {
    let (node, pod) = (addressed(), new_pod());
    node.add("c1", &pod, &routed(&node)).result();
    let inner = &node.namespace.handle;
    let aggregate = |prefix: &str| Route {
        prefix: prefix.parse().unwrap(),
        target: Target::Unreachable,
        metric: 20,
        group: None,
    };
    let aggregates = ["10.244.1.0/24", "fd00:10:244:1::/64"].map(aggregate);
    let mut installer = inner.enter(|| Installer::open(OURS)).unwrap().unwrap();
    assert_eq!(installer.apply(&aggregates.clone().map(Change::Install)), []);
    // Below the aggregate, the pod is reached.
    must_reach(inner, &["10.244.1.2", "fd00:10:244:1::2"]);
    assert!(!reaches(inner, "10.244.1.77"));

    // What a daemon that starts anew takes for its own, and sweeps if nobody wants it any more.
    let own = inner.enter(|| found::found(OURS)).unwrap().unwrap().routes;
    assert_eq!(own, aggregates);
    let sweep = |route: &Route| Change::Remove { prefix: route.prefix, metric: route.metric };
    assert_eq!(installer.apply(&own.iter().map(sweep).collect::<Vec<_>>()), []);
    assert_eq!(plain_routes(inner), ["10.244.1.2", "fd00:10:244:1::2"]);
    must_reach(inner, &["10.244.1.2", "fd00:10:244:1::2"]);
}

#[tokio::test]
async fn check_sees_what_has_changed_at_either_end() {
    let (node, pod) = (addressed(), new_pod());
    let mut conf = routed(&node);
    let result = node.add("c1", &pod, &conf).result();
    let port = result["interfaces"][0]["name"].as_str().unwrap().to_owned();
    conf["prevResult"] = result;
    let check = || node.call("CHECK", "c1", &pod.path(), &conf);
    check().result();
    let inner = &node.namespace.handle;
    let mac = |namespace: &NetNs, link: &str| {
        ip(namespace, &["link", "show", link])[0]["address"].as_str().unwrap().to_owned()
    };
    let (near, far) = (mac(inner, &port), mac(&pod.handle, "eth0"));
    let faults: [(&NetNs, String, String, String); 6] = [
        (
            inner,
            format!("route del 10.244.1.2 dev {port}"),
            format!("route add 10.244.1.2 dev {port}"),
            format!("the node has no route by {port} to 10.244.1.2"),
        ),
        (
            inner,
            format!("-6 route del fd00:10:244:1::2 dev {port}"),
            format!("-6 route add fd00:10:244:1::2 dev {port}"),
            format!("the node has no route by {port} to fd00:10:244:1::2"),
        ),
        (
            inner,
            format!("neigh del 10.244.1.2 dev {port}"),
            format!("neigh replace 10.244.1.2 lladdr {far} dev {port} nud permanent"),
            format!("the node has another hardware address on {port}, or none, for 10.244.1.2"),
        ),
        (
            &pod.handle,
            "neigh replace fe80::1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent".to_owned(),
            format!("neigh replace fe80::1 lladdr {near} dev eth0 nud permanent"),
            "the pod has another hardware address on eth0, or none, for fe80::1".to_owned(),
        ),
        (
            &pod.handle,
            "route replace 169.254.1.1 dev lo".to_owned(),
            "route replace 169.254.1.1 dev eth0".to_owned(),
            "the pod has no route by eth0 to 169.254.1.1".to_owned(),
        ),
        (
            &pod.handle,
            "-6 route del default".to_owned(),
            "-6 route add default via fe80::1 dev eth0".to_owned(),
            "the route to ::/0 is gone".to_owned(),
        ),
    ];
    for (namespace, break_it, mend_it, told) in faults {
        set(namespace, &break_it);
        assert_eq!(
            check().error(),
            (104, format!("{told} | DEL the container and ADD it again")),
            "{break_it}"
        );
        set(namespace, &mend_it);
        check().result();
    }
    set(inner, &format!("link set {port} down"));
    assert_eq!(check().error(), (104, format!("{port} is down | DEL the container and ADD it again")));
    node.del("c1", &pod, &conf).result();
    assert_eq!(check().error().0, 104);
}

#[tokio::test]
async fn the_node_file_says_how_unless_the_configuration_does() {
    let node = addressed();
    let mut conf = node.dual_stack();
    let mut file: Value = serde_json::from_slice(&std::fs::read(node.node_file()).unwrap()).unwrap();
    file["mode"] = json!("routed");
    std::fs::write(node.node_file(), file.to_string()).unwrap();
    let pod = new_pod();
    assert_eq!(node.add("c1", &pod, &conf).result()["ips"][0]["address"], "10.244.1.2/32");
    assert!(node.namespace.link("cni0").await.is_none());
    for (field, value) in [("mode", "bridge"), ("bridge", "cni0")] {
        let (mut conf, pod) = (conf.clone(), new_pod());
        conf[field] = json!(value);
        assert_eq!(node.add("c2", &pod, &conf).result()["interfaces"][0]["name"], "cni0");
        node.del("c2", &pod, &conf).result();
    }
    conf["cni.dev/valid-attachments"] = json!([]);
    node.call("GC", "", "", &conf).result();
    assert_eq!(node.traces().await, [""; 0]);
    assert_eq!(plain_routes(&node.namespace.handle), [""; 0]);
}

#[tokio::test]
async fn routes_are_those_of_the_configuration_by_way_of_the_node() {
    let node = addressed();
    let mut conf = node.configuration();
    conf["mode"] = json!("routed");
    conf["bridge"] = Value::Null;
    // Of a pod on a bridge, the subnet is on the link.
    for (routes, expected) in [
        (json!([]), vec!["10.244.0.0/16", "169.254.1.1"]),
        (json!([{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}]), vec!["default", "169.254.1.1"]),
        (json!([{"dst": "10.0.0.0/8"}]), vec!["10.0.0.0/8", "169.254.1.1"]),
        (json!([{"dst": "192.0.2.0/24", "mtu": 1280}]), vec!["10.244.0.0/16", "169.254.1.1", "192.0.2.0/24"]),
    ] {
        let pod = new_pod();
        conf["ipam"]["routes"] = routes;
        node.add("c1", &pod, &conf).result();
        assert_eq!(plain_routes(&pod.handle), expected);
        node.del("c1", &pod, &conf).result();
    }
    for (routes, mode, told) in [
        (json!([{"dst": "10.0.0.0/8", "gw": "10.244.0.7"}]), "routed", "ipam.routes is wrong"),
        (json!([{"dst": "10.0.0.0/8", "scope": 253}]), "routed", "ipam.routes is wrong"),
        (json!([]), "ring", "mode is wrong | \"ring\" is neither bridge nor routed"),
    ] {
        let pod = new_pod();
        conf["ipam"]["routes"] = routes;
        conf["mode"] = json!(mode);
        let (code, text) = node.add("c1", &pod, &conf).error();
        assert!(code == 7 && text.contains(told), "{code} {text}");
        assert_eq!(node.traces().await, [""; 0]);
    }
}
