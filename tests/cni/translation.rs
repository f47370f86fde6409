//! What the node does to pods' packets: masquerade, mapped ports, and the check of hardware addresses, with
//! real datagrams between a pod, its node, and what is outside.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use routelet::kernel::NetNs;
use routelet::kernel::nftables::Nftables;
use serde_json::{Value, json};

use super::rig::{Answer, Namespace, Node, answer, run};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

const PLUGIN: &str = env!("CARGO_BIN_EXE_routelet-cni");

/// A node with a router behind it, which is a host of the internet and a pod of another node as well.
struct World {
    node: Node,
    outside: Namespace,
}

const INTERNET: [&str; 2] = ["203.0.113.1", "2001:db8:1::1"];
const OTHER_POD: [&str; 2] = ["10.244.9.9", "fd00:10:244:9::9"];
const NODE: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const ROUTER: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

impl World {
    fn new() -> World {
        let world = World { node: Node::new(), outside: Namespace::new() };
        let (node, outside) = (&world.node.namespace.handle, &world.outside.handle);
        for namespace in [node, outside] {
            // Duplicate detection would have the first datagrams wait for a second.
            sysctl(namespace, "net/ipv6/conf/default/accept_dad", "0");
            ip(namespace, "link set lo up");
        }
        sysctl(outside, "net/ipv4/conf/all/rp_filter", "0");
        ip(node, "link add out0 type veth peer name in0");
        let path = world.outside.path();
        ip(node, &format!("link set in0 netns {path}"));
        for (namespace, link, own, other) in [(node, "out0", NODE, ROUTER), (outside, "in0", ROUTER, NODE)] {
            ip(namespace, &format!("address add {}/24 dev {link}", own[0]));
            ip(namespace, &format!("address add {}/64 dev {link}", own[1]));
            ip(namespace, &format!("link set {link} up"));
            ip(namespace, &format!("route add default via {}", other[0]));
            ip(namespace, &format!("route add default via {}", other[1]));
        }
        for address in INTERNET.iter().chain(&OTHER_POD) {
            ip(outside, &format!("address add {address} dev lo"));
        }
        world
    }

    /// The configuration, with what is added to it, and a node file that knows the cluster's pod CIDRs.
    fn conf(&self, changes: Value) -> Value {
        let mut conf = self.node.dual_stack();
        let node_file = json!({
            "podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"], "bridge": "cni0",
            "masqueradeExempt": ["10.244.0.0/16", "fd00:10:244::/48"],
        });
        std::fs::write(self.node.node_file(), node_file.to_string()).unwrap();
        for (key, value) in changes.as_object().unwrap() {
            conf[key] = value.clone();
        }
        conf
    }

    fn nftables(&self) -> Nftables {
        self.node.namespace.handle.enter(Nftables::open).unwrap().unwrap()
    }

    fn ruleset(&self) -> String {
        run(&self.node.namespace.handle, "nft", &["list", "ruleset"])
    }
}

fn ip(namespace: &NetNs, arguments: &str) {
    run(namespace, "ip", &arguments.split(' ').collect::<Vec<_>>());
}

fn sysctl(namespace: &NetNs, name: &str, value: &str) {
    namespace.enter(|| std::fs::write(format!("/proc/sys/{name}"), value)).unwrap().unwrap();
}

fn socket(namespace: &NetNs, address: &str) -> UdpSocket {
    let socket = namespace.enter(|| UdpSocket::bind(address)).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A wait with a limit is not taken up again by itself after a signal (signal(7)).
#[track_caller]
fn must_hear_nothing(socket: &UdpSocket) {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let kind = loop {
        match socket.recv_from(&mut [0; 99]).unwrap_err().kind() {
            ErrorKind::Interrupted => {}
            kind => break kind,
        }
    };
    assert_eq!(kind, ErrorKind::WouldBlock);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
}

fn client(namespace: &NetNs, destination: &str) -> UdpSocket {
    let any = if destination.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let client = socket(namespace, any);
    client.connect(destination).unwrap();
    client
}

/// Sends a datagram and has it answered. Returns whom the server saw as its sender; the client has seen
/// the answer come from where it had sent to.
fn exchange(client: &UdpSocket, server: &UdpSocket) -> SocketAddr {
    client.send(b"question").unwrap();
    let mut buffer = [0; 100];
    let (length, source) = server.recv_from(&mut buffer).unwrap_or_else(|e| panic!("nothing arrived: {e}"));
    assert_eq!(&buffer[..length], b"question");
    server.send_to(b"answer", source).unwrap();
    let length = client.recv(&mut buffer).unwrap_or_else(|e| panic!("no answer came back: {e}"));
    assert_eq!(&buffer[..length], b"answer");
    source
}

/// Whom a server sees if somebody sends to this address.
fn source_of(from: &NetNs, to: &NetNs, address: &str, port: u16) -> String {
    let text = SocketAddr::new(address.parse().unwrap(), port).to_string();
    exchange(&client(from, &text), &socket(to, &text)).ip().to_string()
}

fn addresses(result: &Value) -> [String; 2] {
    [0, 1].map(|n| result["ips"][n]["address"].as_str().unwrap().split('/').next().unwrap().to_owned())
}

#[tokio::test]
async fn pods_are_masqueraded_where_they_leave_the_cluster() {
    let (world, pod, plain) = (World::new(), Namespace::new(), Namespace::new());
    let conf = world.conf(json!({"ipMasq": true}));
    let own = addresses(&world.node.add("c1", &pod, &conf).result());
    let untouched = addresses(&world.node.add("c2", &plain, &world.conf(json!({"ipMasq": false}))).result());
    let outside = &world.outside.handle;
    for family in 0..2 {
        let seen = |pod: &Namespace, at: &str| source_of(&pod.handle, outside, at, 9000);
        assert_eq!(seen(&pod, INTERNET[family]), NODE[family]);
        assert_eq!(seen(&pod, OTHER_POD[family]), own[family]);
        assert_eq!(seen(&plain, INTERNET[family]), untouched[family]);
        // What comes in is answered as what it is.
        assert_eq!(source_of(outside, &pod.handle, &own[family], 9001), ROUTER[family]);
    }
    let exempt = ["203.0.113.0/24", "2001:db8:1::/48"].map(|text| text.parse().unwrap());
    world.nftables().set_exempt(&exempt).unwrap();
    for family in 0..2 {
        assert_eq!(source_of(&pod.handle, outside, INTERNET[family], 9002), own[family]);
    }
    let mut checked = conf.clone();
    checked["prevResult"] = json!({"cniVersion": "1.1.0"});
    world.nftables().remove_all().unwrap();
    world.node.del("c1", &pod, &conf).result();
    world.node.del("c2", &plain, &conf).result();
    assert_eq!(world.ruleset(), "");
}

#[tokio::test]
async fn nothing_is_left_and_check_sees_what_is_missing() {
    let (world, pods) = (World::new(), [Namespace::new(), Namespace::new()]);
    let conf = world.conf(json!({"ipMasq": true, "macspoofchk": true}));
    let mut checked = conf.clone();
    checked["prevResult"] = world.node.add("c1", &pods[0], &conf).result();
    world.node.add("c2", &pods[1], &conf).result();
    let check = || world.node.call("CHECK", "c1", &pods[0].path(), &checked);
    check().result();
    // As a reload of another firewall would, and as a person might.
    run(&world.node.namespace.handle, "nft", &["flush", "chain", "inet", "routelet", "postrouting"]);
    assert_eq!(check().error().0, 104);
    assert!(world.nftables().repair().unwrap());
    check().result();
    run(&world.node.namespace.handle, "nft", &["flush", "set", "inet", "routelet", "masqueraded4"]);
    let (code, text) = check().error();
    assert_eq!((code, text.contains("masqueraded4")), (104, true), "{text}");
    // Twice, and without namespace, as containerd does.
    world.node.call("DEL", "c1", "", &conf).result();
    world.node.call("DEL", "c1", "", &conf).result();
    assert!(!world.ruleset().contains("c1") && world.ruleset().contains("c2"));
    let mut collected = conf.clone();
    collected["cni.dev/valid-attachments"] = json!([]);
    world.node.call("GC", "", "", &collected).result();
    assert_eq!(world.ruleset(), "");
}

fn with_ports(world: &World, ports: Value) -> Value {
    world.conf(json!({"runtimeConfig": {"portMappings": ports}}))
}

#[tokio::test]
async fn ports_are_reached_from_everywhere() {
    let (world, pod, beside) = (World::new(), Namespace::new(), Namespace::new());
    let ports = json!([
        {"hostPort": 8080, "containerPort": 80, "protocol": "udp"},
        {"hostPort": 8081, "containerPort": 81, "protocol": "UDP", "hostIP": NODE[0]},
    ]);
    let conf = with_ports(&world, ports);
    let mut checked = conf.clone();
    checked["prevResult"] = world.node.add("c1", &pod, &conf).result();
    let own = addresses(&checked["prevResult"]);
    world.node.call("CHECK", "c1", &pod.path(), &checked).result();
    world.node.add("c2", &beside, &world.conf(json!({}))).result();
    let server = [0, 1].map(|family: usize| {
        socket(&pod.handle, &SocketAddr::new(own[family].parse().unwrap(), 80).to_string())
    });
    let gateway = ["10.244.1.1", "fd00:10:244:1::1"];
    let (node, outside) = (&world.node.namespace.handle, &world.outside.handle);
    for family in 0..2 {
        let reach = |from: &NetNs, address: &str| {
            let to = SocketAddr::new(address.parse().unwrap(), 8080).to_string();
            exchange(&client(from, &to), &server[family]).ip().to_string()
        };
        assert_eq!(reach(outside, NODE[family]), ROUTER[family], "the sender is not hidden");
        reach(node, NODE[family]);
        assert_eq!(reach(&pod.handle, NODE[family]), gateway[family], "hairpin");
        assert_eq!(reach(&beside.handle, NODE[family]), gateway[family], "beside");
        assert_eq!(reach(&beside.handle, gateway[family]), gateway[family]);
    }
    let to_loopback = client(node, "127.0.0.1:8080");
    assert_eq!(exchange(&to_loopback, &server[0]).ip().to_string(), gateway[0]);
    // What listens on the node's loopback address is not for pods, whatever that address may now be sent by.
    let private = socket(node, "127.0.0.1:7000");
    ip(&pod.handle, "route add 127.0.0.1/32 via 10.244.1.1 table 7");
    ip(&pod.handle, "rule add pref 0 to 127.0.0.1 lookup 7");
    sysctl(&pod.handle, "net/ipv4/conf/eth0/route_localnet", "1");
    let intruder = socket(&pod.handle, &format!("{}:0", own[0]));
    let _ = intruder.send_to(b"let me in", "127.0.0.1:7000");
    must_hear_nothing(&private);
    // Only where it was asked for.
    let addressed = socket(&pod.handle, "0.0.0.0:81");
    exchange(&client(outside, &format!("{}:8081", NODE[0])), &addressed);
    let elsewhere = client(node, "127.0.0.1:8081");
    elsewhere.send(b"x").unwrap();
    assert_eq!(elsewhere.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    world.node.del("c1", &pod, &conf).result();
    world.node.del("c2", &beside, &conf).result();
    assert_eq!(world.ruleset(), "");
}

/// A sender that never pauses follows the port from one pod to the next.
#[tokio::test]
async fn a_flow_follows_its_port() {
    let world = World::new();
    let conf = with_ports(&world, json!([{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]));
    let sender = client(&world.outside.handle, &format!("{}:8080", NODE[0]));
    // Before anybody listens: the kernel remembers a flow to the node itself.
    sender.send(b"anybody there?").unwrap();
    let _ = sender.recv(&mut [0; 9]);
    let pods: Vec<Namespace> = (0..3).map(|_| Namespace::new()).collect();
    world.node.add("c0", &pods[0], &conf).result();
    exchange(&sender, &socket(&pods[0].handle, "0.0.0.0:80"));
    world.node.del("c0", &pods[0], &conf).result();
    world.node.add("c1", &pods[1], &conf).result();
    exchange(&sender, &socket(&pods[1].handle, "0.0.0.0:80"));
    // No DEL: the pod's interface is all that goes, as with its namespace.
    ip(&pods[1].handle, "link delete eth0");
    world.node.add("c2", &pods[2], &conf).result();
    exchange(&sender, &socket(&pods[2].handle, "0.0.0.0:80"));
    // The DEL that comes late takes nothing from the new one.
    world.node.del("c1", &pods[1], &conf).result();
    exchange(&sender, &socket(&pods[2].handle, "0.0.0.0:80"));
}

#[tokio::test]
async fn a_port_of_a_living_pod_is_refused_to_others() {
    let (world, first, second) = (World::new(), Namespace::new(), Namespace::new());
    let conf = with_ports(&world, json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]));
    world.node.add("c1", &first, &conf).result();
    let before = world.ruleset();
    let (code, text) = world.node.add("c2", &second, &conf).error();
    assert_eq!(code, 102);
    assert!(
        text.starts_with("host port 8080/tcp is taken: container c1 of network pod-network has it"),
        "{text}"
    );
    assert_eq!(world.ruleset(), before);
    assert_eq!(second.names().await, ["lo"]);
    assert_eq!(world.node.reservations().len(), 2, "both addresses are the first pod's");
}

/// The plugin under the name `portmap`.
struct Portmap<'a> {
    world: &'a World,
    program: PathBuf,
}

impl Portmap<'_> {
    fn of(world: &World) -> Portmap<'_> {
        let program = world.node.directory.join("portmap");
        std::os::unix::fs::symlink(PLUGIN, &program).unwrap();
        Portmap { world, program }
    }

    fn call(&self, verb: &str, container: &str, netns: &str, conf: &Value) -> Answer {
        let child = self.world.node.spawn_other(&self.program, verb, container, netns, conf, "");
        answer(child.wait_with_output().unwrap())
    }
}

#[tokio::test]
async fn portmap_behind_another_plugin() {
    let (world, pod) = (World::new(), Namespace::new());
    let portmap = Portmap::of(&world);
    let conf = world.conf(json!({}));
    let previous = world.node.add("c1", &pod, &conf).result();
    let chained = json!({
        "cniVersion": "1.1.0", "name": "pod-network", "type": "portmap", "snat": true, "backend": "iptables",
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]},
        "prevResult": previous,
    });
    let path = pod.path();
    assert_eq!(portmap.call("ADD", "c1", &path, &chained).result(), previous);
    portmap.call("CHECK", "c1", &path, &chained).result();
    portmap.call("STATUS", "", "", &chained).result();
    let server = socket(&pod.handle, "0.0.0.0:80");
    for from in [&world.outside.handle, &world.node.namespace.handle, &pod.handle] {
        exchange(&client(from, &format!("{}:8080", NODE[0])), &server);
    }
    // Nothing to map is nothing to do, and takes nothing away.
    let mut idle = chained.clone();
    idle["runtimeConfig"] = json!({});
    assert_eq!(portmap.call("ADD", "c9", &path, &idle).result(), previous);
    let mut collected = chained.clone();
    collected["cni.dev/valid-attachments"] = json!([{"containerID": "c1", "ifname": "eth0"}]);
    portmap.call("GC", "", "", &collected).result();
    portmap.call("CHECK", "c1", &path, &chained).result();
    let bare = json!({"cniVersion": "1.1.0", "name": "pod-network", "type": "portmap"});
    portmap.call("DEL", "c1", "", &bare).result();
    assert_eq!(portmap.call("CHECK", "c1", &path, &chained).error().0, 104);
    portmap.call("DEL", "c1", "", &bare).result();
    assert_eq!(world.ruleset(), "");
}

#[tokio::test]
async fn portmap_refuses_what_it_would_not_do() {
    let (world, pod) = (World::new(), Namespace::new());
    let portmap = Portmap::of(&world);
    let field = |changes: Value| {
        let mut conf = json!({
            "cniVersion": "1.0.0", "name": "n", "type": "portmap", "prevResult": {"ips": []},
            "runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 1}]},
        });
        for (key, value) in changes.as_object().unwrap() {
            conf[key] = value.clone();
        }
        let (code, text) = portmap.call("ADD", "c1", &pod.path(), &conf).error();
        (code, text.replace("network configuration: ", ""))
    };
    let ports = |entry: Value| json!({"runtimeConfig": {"portMappings": [entry]}});
    let place = "runtimeConfig.portMappings[0]";
    for (changes, code, text) in [
        (
            json!({"conditionsV4": ["-s", "10.0.0.0/8"]}),
            2,
            "unsupported field conditionsV4=[\"-s\",\"10.0.0.0/8\"] | leave it out".to_owned(),
        ),
        (json!({"masqAll": true}), 2, "unsupported field masqAll=true | leave it out".to_owned()),
        (
            json!({"backend": "ebpf"}),
            7,
            "backend is wrong | \"ebpf\" is none of iptables, nftables".to_owned(),
        ),
        (json!({"markMasqBit": 32}), 7, "markMasqBit is wrong | a bit is from 0 to 31".to_owned()),
        (
            json!({"prevResult": null}),
            7,
            "prevResult is wrong | it is absent; portmap comes after a plugin that attaches pods".to_owned(),
        ),
        (
            ports(json!({"hostPort": 70000, "containerPort": 1})),
            7,
            format!("{place}.hostPort is wrong | a port is from 1 to 65535"),
        ),
        (ports(json!({"hostPort": 1})), 7, format!("{place}.containerPort is wrong | it is absent")),
        (
            ports(json!({"hostPort": 1, "containerPort": 1, "protocol": "dccp"})),
            7,
            format!("{place}.protocol is wrong | \"dccp\" is none of tcp, udp, sctp"),
        ),
        (
            ports(json!({"hostPort": 1, "containerPort": 1, "hostIP": "here"})),
            7,
            format!("{place}.hostIP is wrong | \"here\": invalid IP address syntax"),
        ),
    ] {
        assert_eq!(field(changes), (code, text));
    }
    assert_eq!(world.ruleset(), "");
}

#[tokio::test]
async fn a_port_of_one_address_goes_before_the_same_of_all() {
    let (world, all, one) = (World::new(), Namespace::new(), Namespace::new());
    let port =
        |host: Value| json!([{"hostPort": 8080, "containerPort": 80, "protocol": "udp", "hostIP": host}]);
    world.node.add("c1", &all, &with_ports(&world, port(json!("0.0.0.0")))).result();
    world.node.add("c2", &one, &with_ports(&world, port(json!(NODE[0])))).result();
    let (of_all, of_one) = (socket(&all.handle, "0.0.0.0:80"), socket(&one.handle, "0.0.0.0:80"));
    exchange(&client(&world.outside.handle, &format!("{}:8080", NODE[0])), &of_one);
    exchange(&client(&world.node.namespace.handle, "127.0.0.1:8080"), &of_all);
    // The unspecified address of one family says nothing of the other.
    let other = client(&world.outside.handle, &format!("[{}]:8080", NODE[1]));
    other.send(b"x").unwrap();
    assert_eq!(other.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_pod_sends_as_itself_alone() {
    let (world, pod) = (World::new(), Namespace::new());
    let conf = world.conf(json!({"macspoofchk": true}));
    let result = world.node.add("c1", &pod, &conf).result();
    let gateway: IpAddr = result["ips"][0]["gateway"].as_str().unwrap().parse().unwrap();
    let server = socket(&world.node.namespace.handle, &SocketAddr::new(gateway, 9000).to_string());
    let sender = client(&pod.handle, &server.local_addr().unwrap().to_string());
    exchange(&sender, &server);
    ip(&pod.handle, "link set eth0 address 02:00:00:00:00:99");
    sender.send(b"as somebody else").unwrap();
    must_hear_nothing(&server);
    let own = result["interfaces"][2]["mac"].as_str().unwrap();
    ip(&pod.handle, &format!("link set eth0 address {own}"));
    exchange(&sender, &server);
    world.node.del("c1", &pod, &conf).result();
    assert_eq!(world.ruleset(), "");
}

#[tokio::test]
async fn eight_pods_with_ports_at_once() {
    let (world, pods) = (World::new(), (0..8).map(|_| Namespace::new()).collect::<Vec<_>>());
    let conf = |n: usize| {
        let mapping = json!([{"hostPort": 8000 + n, "containerPort": 80, "protocol": "udp"}]);
        let mut conf = with_ports(&world, mapping);
        conf["ipMasq"] = json!(true);
        conf
    };
    let confs: Vec<Value> = (0..8).map(conf).collect();
    let all = |verb: &str| {
        let spawn =
            |(n, pod): (usize, &Namespace)| world.node.spawn(verb, &format!("c{n}"), &pod.path(), &confs[n]);
        let children: Vec<_> = pods.iter().enumerate().map(spawn).collect();
        children.into_iter().for_each(|child| {
            answer(child.wait_with_output().unwrap()).result();
        });
    };
    all("ADD");
    for (n, pod) in pods.iter().enumerate() {
        let server = socket(&pod.handle, "0.0.0.0:80");
        exchange(&client(&world.outside.handle, &format!("{}:{}", NODE[0], 8000 + n)), &server);
    }
    all("DEL");
    assert_eq!(world.ruleset(), "");
}
