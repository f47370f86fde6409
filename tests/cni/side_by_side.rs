//! The reference plugins `bridge` and `host-local` and ours, one beside the other: the same
//! configurations give the same results, and the kernel is left the same.
//!
//! What is compared is read by iproute2. Names of host ends and hardware addresses are anybody's. Known
//! differences: we set no broadcast address, which the kernel derives by itself, and mark addresses
//! `nodad` where the reference turns duplicate detection off for the whole interface; the reference of
//! Debian 12 forgets what `ipam.resolvConf` told it.

use std::path::PathBuf;

use routelet::kernel::NetNs;
use serde_json::{Value, json};

use super::chain::REFERENCE;
use super::rig::{Answer, Namespace, Node, PLUGIN, answer, run};

/// What a row changes in the common configuration, and what is in `CNI_ARGS`.
pub struct Row {
    pub name: &'static str,
    conf: fn(&Node) -> Value,
    args: &'static str,
}

pub const fn row(name: &'static str, conf: fn(&Node) -> Value) -> Row {
    Row { name, conf, args: "IgnoreUnknown=1;K8S_POD_NAME=p" }
}

const ROWS: [Row; 15] = [
    row("as in most clusters", |_| json!({})),
    row("default gateway", |_| json!({"isDefaultGateway": true, "ipam": {"routes": null}})),
    row("no gateway", |_| json!({"isGateway": false})),
    row("no routes", |_| json!({"ipam": {"routes": null}})),
    row("hairpin, MTU", |_| json!({"hairpinMode": true, "mtu": 1400})),
    row("both families", |_| {
        json!({"ipam": {
            "subnet": null, "ranges": [[{"subnet": "10.244.0.0/16"}], [{"subnet": "fd00:10:244::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        }})
    }),
    row(
        "IPv6 alone",
        |_| json!({"isDefaultGateway": true, "ipam": {"subnet": "fd00:10:244::/64", "routes": null}}),
    ),
    row(
        "part of a subnet, another gateway",
        |_| json!({"ipam": {"rangeStart": "10.244.3.10", "rangeEnd": "10.244.3.20", "gateway": "10.244.255.254"}}),
    ),
    row("two ranges in a set", |_| {
        json!({"ipam": {"subnet": null, "ranges": [[
            {"subnet": "10.244.1.0/24", "rangeStart": "10.244.1.9", "rangeEnd": "10.244.1.9"},
            {"subnet": "10.244.2.0/24"},
        ]]}})
    }),
    row(
        "routes with a gateway of their own",
        |_| json!({"ipam": {"routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.0.2.0/24", "gw": "10.244.0.7"}]}}),
    ),
    row(
        "name service",
        |_| json!({"dns": {"nameservers": ["10.96.0.10"], "search": ["svc.cluster.local"], "options": ["ndots:5"]}}),
    ),
    row("an address from the runtime", |_| json!({"runtimeConfig": {"ips": ["10.244.7.7/16"]}})),
    Row { name: "an address in CNI_ARGS", conf: |_| json!({}), args: "IgnoreUnknown=1;IP=10.244.7.8" },
    row(
        "ranges from the runtime",
        |_| json!({"ipam": {"subnet": null}, "runtimeConfig": {"ipRanges": [[{"subnet": "10.244.9.0/24"}]]}}),
    ),
    row("a hardware address from the runtime", |_| json!({"runtimeConfig": {"mac": "02:11:22:33:44:55"}})),
];

/// One of the two, on a node of its own.
pub struct Side {
    pub node: Node,
    pub pod: Namespace,
    pub plugin: PathBuf,
    pub conf: Value,
    args: &'static str,
}

impl Side {
    pub fn new(plugin: PathBuf, row: &Row, version: &str) -> Side {
        let (node, pod) = (Node::new(), Namespace::new());
        let mut conf = node.configuration();
        conf["ipMasq"] = json!(false);
        conf["cniVersion"] = json!(version);
        merge(&mut conf, &(row.conf)(&node));
        Side { node, pod, plugin, conf, args: row.args }
    }

    pub fn call(&self, verb: &str, container: &str, netns: &str) -> Answer {
        let mut command = self.node.command(&self.plugin, verb, container, netns);
        command.env("CNI_ARGS", self.args);
        answer(self.node.feed(command, &self.conf).wait_with_output().unwrap())
    }

    /// What can be seen from outside.
    pub fn state(&self) -> Value {
        let (pod, node) = (&self.pod.handle, &self.node.namespace.handle);
        let settings =
            ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/cni0/accept_ra"];
        json!({
            "pod": links(pod), "node": links(node), "reservations": self.node.reservations(),
            "routes": [routes(pod, "-4"), routes(pod, "-6")],
            "settings": settings.map(|name| setting(node, name)),
        })
    }
}

/// As a JSON Merge Patch does it (RFC 7396).
pub fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return *into = patch.clone() };
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else if value.is_object() && into[key].is_object() {
            merge(&mut into[key], value);
        } else {
            into[key] = value.clone();
        }
    }
}

pub fn ip(namespace: &NetNs, arguments: &[&str]) -> Value {
    let text = run(namespace, "ip", &[&["-json"], arguments].concat());
    // Where it has nothing to say, it says nothing.
    serde_json::from_str(&text).unwrap_or_default()
}

/// Links with their settings and addresses, ports of a bridge without their names.
fn links(namespace: &NetNs) -> Vec<Value> {
    let all = ip(namespace, &["-details", "address", "show"]);
    let has_ports = all.as_array().unwrap().iter().any(|link| !link["master"].is_null());
    let of_link = |link: &Value| {
        let addresses = link["addr_info"].as_array().unwrap().iter().filter(|a| a["scope"] == "global");
        let is_port = !link["master"].is_null();
        let kind = &link["linkinfo"]["info_kind"];
        // Without ports, the reference's bridge goes back to the MTU it was made with; ours keeps its own.
        let is_empty = kind == "bridge" && !has_ports;
        json!({
            "name": if is_port { &Value::Null } else { &link["ifname"] },
            "kind": kind, "mtu": if is_empty { &Value::Null } else { &link["mtu"] }, "master": link["master"],
            "up": link["flags"].as_array().unwrap().contains(&json!("UP")),
            "hairpin": link["linkinfo"]["info_slave_data"]["hairpin"],
            "addresses": addresses.map(|a| json!([a["local"], a["prefixlen"]])).collect::<Vec<_>>(),
        })
    };
    all.as_array().unwrap().iter().map(of_link).collect()
}

fn routes(namespace: &NetNs, family: &str) -> Vec<String> {
    let all = ip(namespace, &[family, "route", "show"]);
    let mut routes: Vec<String> = all.as_array().into_iter().flatten().map(Value::to_string).collect();
    routes.retain(|route| !route.contains("\"fe80::/64\""));
    routes.sort();
    routes
}

fn setting(namespace: &NetNs, name: &str) -> String {
    let read = || std::fs::read_to_string(format!("/proc/sys/{name}"));
    namespace.enter(read).unwrap().unwrap_or_default().trim().to_owned()
}

/// The result without what is anybody's to choose.
pub fn plain(mut result: Value, pod: &Namespace) -> Value {
    // The reference of Debian 12 says that it says nothing, its successors do not.
    if result["cniVersion"] == "1.0.0" && result["dns"] == json!({}) {
        result.as_object_mut().unwrap().remove("dns");
    }
    // An empty list says as much as none.
    if result["routes"] == json!([]) {
        result.as_object_mut().unwrap().remove("routes");
    }
    for interface in result["interfaces"].as_array_mut().unwrap() {
        interface["mac"] = json!("MAC");
        if interface["name"].as_str().unwrap().starts_with("veth") {
            interface["name"] = json!("veth");
        }
        if interface["sandbox"] == pod.path() {
            interface["sandbox"] = json!("POD");
        }
    }
    result
}

#[tokio::test]
async fn the_same_configuration_gives_the_same() {
    for row in &ROWS {
        for version in ["0.3.1", "0.4.0", "1.0.0"] {
            let context = format!("{} in {version}", row.name);
            let plugins = [PathBuf::from(REFERENCE).join("bridge"), PathBuf::from(PLUGIN)];
            let [mut theirs, mut ours] = plugins.map(|plugin| Side::new(plugin, row, version));
            let [their, our] = [&theirs, &ours].map(|side| {
                let answer = side.call("ADD", "c1", &side.pod.path());
                assert!(answer.success, "{context}: {:?}: {}", side.plugin, answer.document);
                answer.document
            });
            assert_same(&context, &plain(their.clone(), &theirs.pod), &plain(our.clone(), &ours.pod));
            assert_same(&context, &theirs.state(), &ours.state());
            if version != "0.3.1" {
                theirs.conf["prevResult"] = their;
                ours.conf["prevResult"] = our;
                for side in [&theirs, &ours] {
                    let answer = side.call("CHECK", "c1", &side.pod.path());
                    assert!(answer.success, "{context}: {:?}: {}", side.plugin, answer.document);
                }
            }
            for _ in 0..2 {
                for side in [&theirs, &ours] {
                    side.call("DEL", "c1", &side.pod.path()).result();
                }
                assert_same(&context, &theirs.state(), &ours.state());
            }
        }
    }
}

/// Where the reference fails, so do we; and of ours, nothing is left.
#[tokio::test]
async fn what_the_reference_refuses_we_refuse() {
    let refused: [Row; 7] = [
        row("no such subnet", |_| json!({"ipam": {"subnet": "10.244.0.0/33"}})),
        row("no subnet", |_| json!({"ipam": {"subnet": null}})),
        row(
            "a range the wrong way",
            |_| json!({"ipam": {"rangeStart": "10.244.3.20", "rangeEnd": "10.244.3.10"}}),
        ),
        row("a range beside the subnet", |_| json!({"ipam": {"rangeStart": "10.245.0.1"}})),
        row("ranges that overlap", |_| {
            let set = json!([{"subnet": "10.244.0.0/16"}]);
            json!({"ipam": {"subnet": null, "ranges": [set, set]}})
        }),
        row("an address beside the ranges", |_| json!({"runtimeConfig": {"ips": ["192.0.2.1/16"]}})),
        Row { name: "an unknown CNI_ARGS", conf: |_| json!({}), args: "COLOUR=red" },
    ];
    for row in &refused {
        let plugins = [PathBuf::from(REFERENCE).join("bridge"), PathBuf::from(PLUGIN)];
        let [theirs, ours] = plugins.map(|plugin| Side::new(plugin, row, "1.0.0"));
        for side in [&theirs, &ours] {
            let answer = side.call("ADD", "c1", &side.pod.path());
            assert!(!answer.success, "{}: {:?}: {}", row.name, side.plugin, answer.document);
            assert!(answer.document["code"].as_u64().unwrap() > 0);
        }
        // The reference leaves its veth pair behind.
        assert_eq!(ours.node.traces().await, [""; 0], "{}", row.name);
        assert_eq!(ours.pod.names().await, ["lo"], "{}", row.name);
    }
}

/// Names each value that differs, and its place.
#[track_caller]
pub fn assert_same(context: &str, theirs: &Value, ours: &Value) {
    let mut differences = Vec::new();
    compare(String::new(), theirs, ours, &mut differences);
    assert!(differences.is_empty(), "{context}: {}", differences.join("\n"));
}

fn compare(place: String, theirs: &Value, ours: &Value, differences: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().for_each(|(key, value)| compare(format!("{place}/{key}"), value, &b[key], differences));
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.for_each(|(i, (a, b))| compare(format!("{place}/{i}"), a, b, differences));
        }
        _ if theirs == ours => {}
        _ => differences.push(format!("{place} of the reference: {theirs}, ours: {ours}")),
    }
}
