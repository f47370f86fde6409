//! Options of the bridge and its ports: beside the reference plugin where Debian's has them, and by what they
//! do where it does not.

use std::path::PathBuf;
use std::process::Command;

use routelet::kernel::NetNs;
use serde_json::{Value, json};

use super::chain::REFERENCE;
use super::rig::{Answer, Namespace, Node, PLUGIN};
use super::side_by_side::{Row, Side, assert_same, ip, merge, plain, row};

/// Asked of our CHECK when something has changed.
const REMEDY: &str = " | DEL the container and ADD it again";

fn run(namespace: &NetNs, program: &str, arguments: &str) -> (bool, String) {
    let run = || Command::new(program).args(arguments.split(' ')).output().unwrap();
    let output = namespace.enter(run).unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[track_caller]
fn set(namespace: &NetNs, program: &str, arguments: &str) {
    assert!(run(namespace, program, arguments).0, "{program} {arguments}");
}

fn reaches(from: &Namespace, to: &str) -> bool {
    run(&from.handle, "ping", &format!("-n -c 1 -W 1 {to}")).0
}

/// Whether this kernel keeps VLANs apart; where it does not, what needs it is passed over.
fn keeps_vlans_apart() -> bool {
    let made = run(&Namespace::new().handle, "ip", "link add br0 type bridge vlan_filtering 1").0;
    if !made {
        println!("passed over: the kernel has no CONFIG_BRIDGE_VLAN_FILTERING");
    }
    made
}

/// What iproute2 says of VLANs, by interface, and all of those whose names are anybody's under one.
fn vlans(namespace: &NetNs) -> Vec<String> {
    let (success, text) = run(namespace, "bridge", "-j vlan show");
    assert!(success);
    let all: Value = serde_json::from_str(&text).unwrap_or_default();
    let line = |port: &Value| {
        let name = port["ifname"].as_str().unwrap();
        format!("{} {}", if name.starts_with("veth") { "veth" } else { name }, port["vlans"])
    };
    let mut lines: Vec<String> = all.as_array().into_iter().flatten().map(line).collect();
    lines.sort();
    lines
}

/// What else iproute2 says of links, that options have to do with.
fn switches(namespace: &NetNs) -> Vec<String> {
    let all = ip(namespace, &["-details", "link", "show"]);
    let line = |link: &Value| {
        let info = &link["linkinfo"];
        let port = &info["info_slave_data"];
        let promiscuous = link["flags"].as_array().unwrap().contains(&json!("PROMISC"));
        let (filters, kind) = (&info["info_data"]["vlan_filtering"], &info["info_kind"]);
        format!("{kind} {filters} {} {} {promiscuous}", port["hairpin"], port["isolated"])
    };
    let mut lines: Vec<String> = all.as_array().unwrap().iter().map(line).collect();
    lines.sort();
    lines
}

/// A node's links come in the order in which they were made, which is anybody's.
fn state(side: &Side) -> Value {
    let mut state = side.state();
    state["node"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    state["vlans"] = json!(vlans(&side.node.namespace.handle));
    state["switches"] = json!(switches(&side.node.namespace.handle));
    let of_pod = ip(&side.pod.handle, &["address", "show", "scope", "global"]);
    let hasty =
        of_pod.as_array().into_iter().flatten().flat_map(|link| link["addr_info"].as_array().unwrap());
    state["tentative"] = json!(hasty.map(|a| &a["tentative"]).collect::<Vec<_>>());
    state
}

const ROWS: [Row; 9] = [
    row("promiscuous", |_| json!({"promiscMode": true})),
    row("hairpin", |_| json!({"hairpinMode": true})),
    row("a VLAN", |_| json!({"vlan": 100, "preserveDefaultVlan": true, "isGateway": false})),
    row("a VLAN with a gateway", |_| json!({"vlan": 4094, "preserveDefaultVlan": true})),
    row("a VLAN, both families", |_| {
        json!({"vlan": 5, "preserveDefaultVlan": true, "isDefaultGateway": true, "ipam": {
            "subnet": null, "ranges": [[{"subnet": "10.244.0.0/16"}], [{"subnet": "fd00:10:244::/64"}]],
            "routes": null,
        }})
    }),
    row("an address in the way", |node| {
        let inner = &node.namespace.handle;
        set(inner, "ip", "link add cni0 type bridge");
        set(inner, "ip", "address add 192.0.2.1/24 dev cni0");
        json!({"forceAddress": true})
    }),
    row("addresses of IPv6 in the way and beside", |node| {
        let inner = &node.namespace.handle;
        set(inner, "ip", "link add cni0 type bridge");
        set(inner, "ip", "address add fd00:10:244::77/64 dev cni0 nodad");
        set(inner, "ip", "address add 2001:db8::1/64 dev cni0 nodad");
        json!({"forceAddress": true, "ipam": {"subnet": "fd00:10:244::/64", "routes": null}})
    }),
    row(
        "duplicates are looked for",
        |_| json!({"enabledad": true, "ipam": {"subnet": "fd00:10:244::/64", "routes": [{"dst": "::/0"}]}}),
    ),
    row("a VLAN on a bridge made by hand", |node| {
        set(&node.namespace.handle, "ip", "link add cni0 type bridge vlan_filtering 1");
        set(&node.namespace.handle, "ip", "link set cni0 up");
        // Ours leaves the settings of a bridge that is in use as they are.
        let file = "/proc/sys/net/ipv6/conf/cni0/accept_ra";
        node.namespace.handle.enter(|| std::fs::write(file, "0")).unwrap().unwrap();
        json!({"vlan": 7, "preserveDefaultVlan": true})
    }),
];

#[tokio::test]
async fn the_same_options_give_the_same() {
    let has_vlans = keeps_vlans_apart();
    for row in ROWS.iter().filter(|row| has_vlans || !row.name.contains("VLAN")) {
        let plugins = [PathBuf::from(REFERENCE).join("bridge"), PathBuf::from(PLUGIN)];
        let [mut theirs, mut ours] = plugins.map(|plugin| Side::new(plugin, row, "1.0.0"));
        let [their, our] = [&theirs, &ours].map(|side| {
            let answer = side.call("ADD", "c1", &side.pod.path());
            assert!(answer.success, "{}: {:?}: {}", row.name, side.plugin, answer.document);
            answer.document
        });
        assert_same(row.name, &plain(their.clone(), &theirs.pod), &plain(our.clone(), &ours.pod));
        assert_same(row.name, &state(&theirs), &state(&ours));
        theirs.conf["prevResult"] = their;
        ours.conf["prevResult"] = our;
        for side in [&theirs, &ours] {
            let answer = side.call("CHECK", "c1", &side.pod.path());
            assert!(answer.success, "{}: {:?}: {}", row.name, side.plugin, answer.document);
        }
        for side in [&theirs, &ours] {
            side.call("DEL", "c1", &side.pod.path()).result();
        }
        assert_same(row.name, &state(&theirs), &state(&ours));
    }
}

/// Ours goes on where the reference has begun, and the other way round: the gateway of a VLAN is the same.
#[tokio::test]
async fn the_gateway_of_a_vlan_serves_both() {
    if !keeps_vlans_apart() {
        return;
    }
    let node = Node::new();
    let mut conf = node.configuration();
    merge(&mut conf, &json!({"ipMasq": false, "vlan": 100, "cniVersion": "1.0.0"}));
    let theirs = PathBuf::from(REFERENCE).join("bridge");
    let call = |plugin: &PathBuf, container: &str, pod: &Namespace| {
        let child = node.spawn_other(plugin, "ADD", container, &pod.path(), &conf, "");
        super::rig::answer(child.wait_with_output().unwrap())
    };
    let pods = [Namespace::new(), Namespace::new(), Namespace::new()];
    call(&theirs, "c1", &pods[0]).result();
    call(&PathBuf::from(PLUGIN), "c2", &pods[1]).result();
    call(&theirs, "c3", &pods[2]).result();
    let links = node.namespace.names().await;
    assert_eq!(links.iter().filter(|name| name.starts_with("cni0")).count(), 2, "{links:?}");
    for pod in &pods {
        assert!(reaches(pod, "10.244.0.1"));
    }
    assert!(reaches(&pods[1], "10.244.0.2") && reaches(&pods[2], "10.244.0.3"));
}

#[tokio::test]
async fn what_the_reference_refuses_we_refuse() {
    for row in [
        row("hairpin and promiscuous", |_| json!({"hairpinMode": true, "promiscMode": true})),
        row("no such VLAN", |_| json!({"vlan": 4095})),
        row("an address in the way", |node| {
            set(&node.namespace.handle, "ip", "link add cni0 type bridge");
            set(&node.namespace.handle, "ip", "address add 192.0.2.1/24 dev cni0");
            json!({})
        }),
    ] {
        for plugin in [PathBuf::from(REFERENCE).join("bridge"), PathBuf::from(PLUGIN)] {
            let side = Side::new(plugin, &row, "1.0.0");
            let answer = side.call("ADD", "c1", &side.pod.path());
            assert!(!answer.success, "{}: {:?}", row.name, side.plugin);
        }
    }
}

/// A node and its network, without addresses for the bridge.
struct Segment {
    node: Node,
    conf: Value,
}

impl Segment {
    fn new(changes: &Value) -> Segment {
        let node = Node::new();
        let mut conf = node.configuration();
        merge(&mut conf, &json!({"cniVersion": "1.1.0", "ipMasq": false, "isGateway": false}));
        merge(&mut conf, changes);
        Segment { node, conf }
    }

    fn add(&self, container: &str, pod: &Namespace, changes: Value) -> Answer {
        self.call("ADD", container, pod, &changes)
    }

    fn call(&self, verb: &str, container: &str, pod: &Namespace, changes: &Value) -> Answer {
        let mut conf = self.conf.clone();
        merge(&mut conf, changes);
        self.node.call(verb, container, &pod.path(), &conf)
    }

    /// The VLANs of a port, `pu` behind a native one and `u` behind one that leaves without a tag.
    fn vlans(&self, port: &Value) -> Vec<String> {
        let command = format!("-j vlan show dev {}", port.as_str().unwrap());
        let (success, text) = run(&self.node.namespace.handle, "bridge", &command);
        assert!(success, "{text}");
        let all: Value = serde_json::from_str(&text).unwrap();
        let written = |vlan: &Value| {
            let flags = vlan["flags"].as_array().map_or(0, Vec::len);
            let last = vlan["vlanEnd"].as_u64().map(|last| format!("-{last}")).unwrap_or_default();
            format!("{}{last}{}", vlan["vlan"], ["", "u", "pu"][flags])
        };
        all[0]["vlans"].as_array().into_iter().flatten().map(written).collect()
    }
}

#[tokio::test]
async fn ports_are_in_the_vlans_that_are_named_and_in_no_other() {
    if !keeps_vlans_apart() {
        return;
    }
    let segment = Segment::new(&json!({}));
    for (changes, expected) in [
        (json!({"vlan": 100}), vec!["100pu"]),
        (json!({"vlan": 100, "preserveDefaultVlan": true}), vec!["1u", "100pu"]),
        (json!({"vlan": 1}), vec!["1pu"]),
        (json!({"vlanTrunk": [{"id": 7}, {"minID": 20, "maxID": 22}]}), vec!["1pu", "7", "20", "21", "22"]),
        (json!({"vlan": 21, "vlanTrunk": [{"minID": 20, "maxID": 22}]}), vec!["20", "21pu", "22"]),
    ] {
        let pod = Namespace::new();
        let result = segment.add("c1", &pod, changes.clone()).result();
        let port = &result["interfaces"][1]["name"];
        let context = changes.to_string();
        assert_eq!(segment.vlans(port), expected, "{context}");
        let mut checked = changes.clone();
        checked["prevResult"] = result.clone();
        segment.call("CHECK", "c1", &pod, &checked).result();

        let (inner, name) = (&segment.node.namespace.handle, port.as_str().unwrap());
        set(inner, "bridge", &format!("vlan add dev {name} vid 999"));
        let check = || segment.call("CHECK", "c1", &pod, &checked);
        if !context.contains("preserve") {
            assert_eq!(check().error(), (104, format!("{name} is in VLAN 999, too{REMEDY}")), "{context}");
        }
        set(inner, "bridge", &format!("vlan del dev {name} vid 999"));
        let native = expected.iter().find_map(|vlan| vlan.strip_suffix("pu")).unwrap();
        set(inner, "bridge", &format!("vlan add dev {name} vid {native}"));
        let told = format!("{name} is not in VLAN {native} as it should be{REMEDY}");
        assert_eq!(check().error(), (104, told), "{context}");
        segment.call("DEL", "c1", &pod, &changes).result();
    }
}

#[tokio::test]
async fn pods_of_different_vlans_do_not_reach_each_other() {
    if !keeps_vlans_apart() {
        return;
    }
    let segment = Segment::new(&json!({}));
    let pods = [(100, "c1"), (100, "c2"), (200, "c3")].map(|(vlan, container)| {
        let pod = Namespace::new();
        segment.add(container, &pod, json!({"vlan": vlan})).result();
        pod
    });
    let plain = Namespace::new();
    segment.add("c4", &plain, json!({})).result();
    assert!(reaches(&pods[0], "10.244.0.3") && reaches(&pods[1], "10.244.0.2"));
    for (from, to) in [(&pods[0], "10.244.0.4"), (&pods[2], "10.244.0.2"), (&plain, "10.244.0.2")] {
        assert!(!reaches(from, to), "{to} is reached");
    }
}

/// A pod in a trunk that puts the tag on itself is in those VLANs, and in no other.
#[tokio::test]
async fn a_trunk_carries_tagged_frames() {
    if !keeps_vlans_apart() {
        return;
    }
    let segment = Segment::new(&json!({}));
    let trunk = Namespace::new();
    segment.add("c1", &trunk, json!({"vlanTrunk": [{"minID": 100, "maxID": 101}]})).result();
    for vlan in [100, 101, 102] {
        set(&trunk.handle, "ip", &format!("link add link eth0 name eth0.{vlan} type vlan id {vlan}"));
        set(&trunk.handle, "ip", &format!("address add 192.0.{vlan}.1/24 dev eth0.{vlan}"));
        set(&trunk.handle, "ip", &format!("link set eth0.{vlan} up"));
        let access = Namespace::new();
        segment.add(&format!("in{vlan}"), &access, json!({"vlan": vlan})).result();
        set(&access.handle, "ip", &format!("address add 192.0.{vlan}.2/24 dev eth0"));
        assert_eq!(reaches(&access, &format!("192.0.{vlan}.1")), vlan != 102, "{vlan}");
    }
}

#[tokio::test]
async fn isolated_pods_reach_their_gateway_alone() {
    let segment = Segment::new(&json!({"isGateway": true}));
    let pods = [("c1", true), ("c2", true), ("c3", false)].map(|(container, isolated)| {
        let pod = Namespace::new();
        let result = segment.add(container, &pod, json!({"portIsolation": isolated})).result();
        (pod, result)
    });
    let [(one, result), (other, _), (open, _)] = &pods;
    assert!(reaches(one, "10.244.0.1") && reaches(other, "10.244.0.1") && reaches(open, "10.244.0.2"));
    assert!(!reaches(one, "10.244.0.3") && !reaches(other, "10.244.0.2"));
    let checked = json!({"portIsolation": true, "prevResult": result});
    segment.call("CHECK", "c1", one, &checked).result();
    let port = result["interfaces"][1]["name"].as_str().unwrap();
    set(&segment.node.namespace.handle, "bridge", &format!("link set dev {port} isolated off"));
    let told = format!("portIsolation of {port} has been turned off{REMEDY}");
    assert_eq!(segment.call("CHECK", "c1", one, &checked).error(), (104, told));
}

#[tokio::test]
async fn an_interface_may_be_left_to_others() {
    let segment = Segment::new(&json!({"disableContainerInterface": true}));
    let pod = Namespace::new();
    let (code, text) = segment.add("c1", &pod, json!({})).error();
    assert!(code == 7 && text.contains("ipam.type"), "{code} {text}");
    assert!(pod.link("eth0").await.is_none());

    let alone = json!({"ipam": null});
    let result = segment.add("c1", &pod, alone.clone()).result();
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
    assert!(result.get("ips").is_none_or(|ips| *ips == json!([])));
    let eth0 = pod.link("eth0").await.unwrap();
    assert!(!eth0.up);
    segment.call("CHECK", "c1", &pod, &json!({"ipam": null, "prevResult": result})).result();
    segment.call("DEL", "c1", &pod, &alone).result();
    assert!(pod.link("eth0").await.is_none());
    assert_eq!(segment.node.traces().await, [""; 0]);
}

#[tokio::test]
async fn a_duplicate_that_the_kernel_finds_is_refused() {
    let segment = Segment::new(&json!({"ipam": {"subnet": "fd00:10:244::/64", "routes": null}}));
    let (other, pod) = (Namespace::new(), Namespace::new());
    segment.add("c1", &other, json!({})).result();
    set(&other.handle, "ip", "address add fd00:10:244::3/64 dev eth0 nodad");
    let (code, text) = segment.add("c2", &pod, json!({"enabledad": true})).error();
    assert_eq!(
        (code, text.split(" | ").next().unwrap()),
        (100, "address fd00:10:244::3/64 is in use on the pod's link already",)
    );
    assert!(pod.link("eth0").await.is_none());
    // The next address is another.
    segment.add("c2", &pod, json!({"enabledad": true})).result();
    assert!(reaches(&pod, "fd00:10:244::2"));
}

#[tokio::test]
async fn a_bridge_that_cannot_do_it_is_named() {
    if !keeps_vlans_apart() {
        return;
    }
    let segment = Segment::new(&json!({"vlan": 100}));
    let (inner, pod) = (&segment.node.namespace.handle, Namespace::new());
    set(inner, "ip", "link add cni0 type bridge");
    set(inner, "ip", "link set cni0 up");
    let (code, text) = segment.add("c1", &pod, json!({})).error();
    assert_eq!(
        (code, text.as_str()),
        (
            101,
            "bridge cni0 does not filter by VLAN | ip link set cni0 type bridge vlan_filtering 1, or name another bridge",
        )
    );
    assert_eq!(segment.node.traces().await, [""; 0]);
    set(inner, "ip", "link set cni0 type bridge vlan_filtering 1");
    let result = segment.add("c1", &pod, json!({})).result();
    assert_eq!(segment.vlans(&result["interfaces"][1]["name"]), ["100pu"]);

    set(inner, "ip", "link set cni0 type bridge vlan_filtering 0");
    let check = segment.call("CHECK", "c1", &pod, &json!({"prevResult": result}));
    assert_eq!(check.error(), (104, format!("bridge cni0 does not filter by VLAN{REMEDY}")));

    // The gateway's name is taken by something else.
    set(inner, "ip", "link set cni0 type bridge vlan_filtering 1");
    set(inner, "ip", "link add cni0.300 type dummy");
    let (code, text) = segment.add("c3", &Namespace::new(), json!({"vlan": 300, "isGateway": true})).error();
    assert!(
        code == 101 && text.starts_with("cni0.300 exists and does not lead to bridge cni0"),
        "{code} {text}"
    );
}

#[tokio::test]
async fn a_kernel_that_cannot_do_it_is_named() {
    if keeps_vlans_apart() {
        return;
    }
    for (changes, field) in
        [(json!({"vlan": 100}), "vlan=100"), (json!({"vlanTrunk": [{"id": 5}]}), "vlanTrunk")]
    {
        let segment = Segment::new(&changes);
        let (code, text) = segment.add("c1", &Namespace::new(), json!({})).error();
        let why = "the kernel cannot keep VLANs apart (CONFIG_BRIDGE_VLAN_FILTERING)";
        assert!(
            code == 2 && text.starts_with(&format!("unsupported field {field} | {why}")),
            "{code} {text}"
        );
        assert_eq!(segment.node.traces().await, [""; 0]);
    }
}

#[tokio::test]
async fn check_sees_what_was_turned_off() {
    for (option, command, told) in [
        ("hairpinMode", "bridge link set dev PORT hairpin off", "hairpinMode of PORT has been turned off"),
        ("promiscMode", "ip link set cni0 promisc off", "bridge cni0 is not promiscuous"),
    ] {
        let segment = Segment::new(&json!({option: true}));
        let pod = Namespace::new();
        let result = segment.add("c1", &pod, json!({})).result();
        let port = result["interfaces"][1]["name"].as_str().unwrap();
        let checked = json!({"prevResult": result});
        segment.call("CHECK", "c1", &pod, &checked).result();
        let command = command.replace("PORT", port);
        let (program, arguments) = command.split_once(' ').unwrap();
        set(&segment.node.namespace.handle, program, arguments);
        let told = format!("{}{REMEDY}", told.replace("PORT", port));
        assert_eq!(segment.call("CHECK", "c1", &pod, &checked).error(), (104, told));
    }
}

/// Only as itself may the pod send, to whomever.
#[tokio::test]
async fn a_pod_may_be_held_to_its_hardware_address() {
    let segment = Segment::new(&json!({"macspoofchk": true, "isGateway": true}));
    let (pod, other) = (Namespace::new(), Namespace::new());
    segment.add("c1", &pod, json!({})).result();
    segment.add("c2", &other, json!({})).result();
    let mac = ip(&pod.handle, &["link", "show", "eth0"])[0]["address"].as_str().unwrap().to_owned();
    assert!(reaches(&pod, "10.244.0.1") && reaches(&pod, "10.244.0.3"));
    set(&pod.handle, "ip", "link set eth0 address 02:00:00:00:00:99");
    assert!(!reaches(&pod, "10.244.0.1") && !reaches(&pod, "10.244.0.3"));
    set(&pod.handle, "ip", &format!("link set eth0 address {mac}"));
    assert!(reaches(&pod, "10.244.0.3"));
}
