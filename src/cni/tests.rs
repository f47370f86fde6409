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

mod requests {
    use super::*;

    #[test]
    fn stdin_that_is_no_configuration() {
        let add = |stdin: &str| failure(call("ADD", &[], stdin));
        let not_an_object = "the configuration on stdin is not a JSON object";
        for (stdin, code, text) in [
            ("", 6, format!("{not_an_object} | EOF while parsing a value at line 1 column 0")),
            ("{\"name\": \"x\",", 6, format!("{not_an_object} | EOF while parsing a value at line 1 column 13")),
            ("[1]", 6, format!("{not_an_object} | it is [1]")),
            ("{}", 7, "network configuration: name is wrong | it is absent".to_owned()),
            (
                "{\"name\": 7}",
                7,
                "network configuration: name is wrong | invalid type: integer `7`, expected a string".to_owned(),
            ),
            (
                "{\"name\": \"../etc\"}",
                7,
                "network configuration: name is wrong | \"../etc\" must be of letters, digits, '_', '.', '-' and \
                 start with a letter or digit"
                    .to_owned(),
            ),
            (
                "{\"cniVersion\": \"2.0.0\", \"name\": \"x\"}",
                1,
                "cniVersion \"2.0.0\" is not supported | supported are 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, \
                 1.1.0"
                    .to_owned(),
            ),
        ] {
            assert_eq!(add(stdin), (code, text), "{stdin}");
        }
    }

    #[test]
    fn variables_that_are_absent_or_wrong_are_all_named() {
        let conf = configuration(json!({}));
        let fault = |command: &str, changes: &[(&str, &str)]| {
            let (code, text) = failure(call(command, changes, &conf));
            assert_eq!(code, 4);
            text.strip_prefix("environment variables are absent or wrong | ").unwrap().to_owned()
        };
        assert_eq!(
            fault("ADD", &[("CNI_CONTAINERID", ""), ("CNI_NETNS", ""), ("CNI_IFNAME", "")]),
            "CNI_CONTAINERID is absent; CNI_IFNAME is absent; CNI_NETNS is absent"
        );
        assert_eq!(
            fault("DEL", &[("CNI_CONTAINERID", ""), ("CNI_NETNS", ""), ("CNI_IFNAME", "")]),
            "CNI_CONTAINERID is absent; CNI_IFNAME is absent"
        );
        for id in ["-x", "../x", "a/b", "a:b", "a b", "é"] {
            assert!(fault("ADD", &[("CNI_CONTAINERID", id)]).starts_with("CNI_CONTAINERID"), "{id}");
        }
        for name in [".", "..", "a/b", "a:b", "a b", "sixteen-letters-"] {
            assert!(fault("DEL", &[("CNI_IFNAME", name)]).starts_with("CNI_IFNAME"), "{name}");
        }
        let long = "x".repeat(201);
        assert_eq!(
            fault("ADD", &[("CNI_CONTAINERID", long.as_str())]),
            "CNI_CONTAINERID has 201 octets, at most 200 are taken"
        );
        assert_eq!(
            fault("ADD", &[("CNI_ARGS", "IgnoreUnknown=1;nonsense")]),
            "CNI_ARGS: \"nonsense\" is not of the form KEY=VALUE"
        );
        assert_eq!(
            fault("ADD", &[("CNI_ARGS", "IP=10.0.0.1;K=V")]),
            "CNI_ARGS: \"K\" is not one of IgnoreUnknown, IP, MAC, GATEWAY, SUBNET; IgnoreUnknown=1 would let it pass"
        );
        assert_eq!(
            fault("add", &[]),
            "CNI_COMMAND is \"add\", not one of ADD, DEL, CHECK, STATUS, GC, VERSION"
        );
        let gone = fault("ADD", &[]);
        assert!(gone.starts_with("CNI_NETNS \"/run/netns/none-of-that-name\": "), "{gone}");
        assert!(fault("ADD", &[("CNI_NETNS", "/etc/passwd")]).contains("not a namespace"));
        assert!(fault("ADD", &[("CNI_NETNS", "/proc/thread-self/ns/net")]).contains("the node's own"));
    }

    #[test]
    fn verbs_are_answered_from_their_version_on() {
        for (command, version, code) in [
            ("CHECK", "0.3.1", 1),
            ("CHECK", "0.4.0", 7),
            ("STATUS", "1.0.0", 1),
            ("GC", "1.0.0", 1),
            ("GC", "1.1.0", 7),
        ] {
            let conf = configuration(json!({"cniVersion": version}));
            assert_eq!(failure(call(command, &[], &conf)).0, code, "{command} {version}");
        }
    }

    #[test]
    fn version_is_answered_whatever_is_on_stdin() {
        for (stdin, version) in [
            ("{\"cniVersion\": \"0.4.0\"}", "0.4.0"),
            ("", "1.1.0"),
            ("{\"cniVersion\": \"9\"}", "9"),
            ("{\"cniVersion\": 9}", "1.1.0"),
        ] {
            let Reply { document, success } = call("VERSION", &[("CNI_CONTAINERID", "")], stdin);
            assert!(success);
            let supported = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
            assert_eq!(document.unwrap(), json!({"cniVersion": version, "supportedVersions": supported}));
        }
    }

    #[test]
    fn an_error_speaks_the_version_of_the_configuration() {
        let reply = call("ADD", &[("CNI_IFNAME", "")], &configuration(json!({"cniVersion": "0.2.0"})));
        assert_eq!(reply.document.unwrap()["cniVersion"], "0.2.0");
    }

    #[test]
    fn status_says_what_an_add_would_run_into() {
        let status = |changes| call("STATUS", &[], &configuration(changes));
        let scratch = Scratch::new();
        let ipam = |subnet: &str| json!({"type": "host-local", "subnet": subnet, "dataDir": scratch.0});
        let ready = status(json!({"cniVersion": "1.1.0", "ipam": ipam("10.0.0.0/30")}));
        assert_eq!(ready, Reply { document: None, success: true });
        let full = whole("10.0.0.0/30");
        let owner = Owner { container_id: "c9".to_owned(), interface: "eth0".to_owned() };
        crate::ipam::Store::new(&scratch.0, "pod-network").allocate(&owner, &[full], &[]).unwrap();
        assert_eq!(failure(status(json!({"cniVersion": "1.1.0", "ipam": ipam("10.0.0.0/30")}))).0, 50);
        assert_eq!(failure(status(json!({"cniVersion": "1.1.0", "ipam": {"type": "routelet"}}))).0, 50);
        // CNI_PATH is absent.
        assert_eq!(failure(status(json!({"cniVersion": "1.1.0", "ipam": {"type": "dhcp"}}))).0, 4);
    }
}

mod configurations {
    use super::*;

    fn fault(changes: Value) -> (u64, String) {
        let error = Plan::make(&network(changes), &[]).unwrap_err();
        (u64::from(error.code.number()), error.to_string())
    }

    #[test]
    fn wrong_values_name_their_field() {
        let ipam = |ipam: Value| json!({"ipam": ipam});
        for (changes, field, why) in [
            (json!({"isGateway": "yes"}), "isGateway", "invalid type: string \"yes\", expected a boolean"),
            (json!({"mtu": -1}), "mtu", "invalid value: integer `-1`, expected u32"),
            (
                ipam(json!({"type": "host-local"})),
                "ipam.subnet",
                "it is absent, and there are no ranges; set it, or set ipam.type to routelet for the node's pod CIDRs",
            ),
            (
                ipam(json!({"type": "host-local", "subnet": "10.0.0.1/24"})),
                "ipam.subnet",
                "\"10.0.0.1/24\" has host bits set; the prefix is 10.0.0.0/24",
            ),
            (
                ipam(
                    json!({"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64",
                    "rangeStart": "10.0.0.1"}]]}),
                ),
                "ipam.ranges[1][0].rangeStart",
                "10.0.0.1 is not in subnet fd00::/64",
            ),
            (
                ipam(json!({"type": "host-local", "ranges": [{"subnet": "10.0.0.0/24"}]})),
                "ipam.ranges[0]",
                "{\"subnet\":\"10.0.0.0/24\"} is not a list",
            ),
            (
                ipam(json!({"type": "host-local", "subnet": "10.0.0.0/24", "gateway": "10.0.0.300"})),
                "ipam.gateway",
                "\"10.0.0.300\": invalid IP address syntax",
            ),
            (
                ipam(json!({"type": "host-local", "subnet": "10.0.0.0/24", "routes": [{"gw": "10.0.0.1"}]})),
                "ipam.routes[0].dst",
                "it is absent",
            ),
            (
                ipam(json!({"type": "host-local", "subnet": "10.0.0.0/24", "routes": [{"dst": "::/0",
                    "gw": "10.0.0.1"}]})),
                "ipam.routes[0].gw",
                "10.0.0.1 is not of the family of ::/0",
            ),
            (
                ipam(json!({"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/16"}], [{"subnet":
                    "10.0.3.0/24"}]]})),
                "ipam.ranges",
                "10.0.3.0/24 (10.0.3.1 to 10.0.3.254) overlaps with 10.0.0.0/16 (10.0.0.1 to 10.0.255.254)",
            ),
            (
                json!({"runtimeConfig": {"mac": "01:00:00:00:00:01"}}),
                "runtimeConfig.mac",
                "\"01:00:00:00:00:01\" is not a station's hardware address",
            ),
            (
                json!({"args": {"cni": {"ips": ["10.244.0"]}}}),
                "args.cni.ips",
                "\"10.244.0\": invalid IP address syntax",
            ),
        ] {
            assert_eq!(fault(changes), (7, format!("network configuration: {field} is wrong: {why}")));
        }
    }

    #[test]
    fn what_is_not_done_is_refused_with_key_and_value() {
        let network = |value: Value| network(json!({"masqAll": value}));
        let refuse = |value| super::super::conf::refuse(&network(value).root(), &["other", "masqAll"]);
        let error = refuse(json!(["x"])).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedField);
        assert_eq!(error.to_string(), "unsupported field masqAll=[\"x\"]: leave it out");
        for empty in [json!(false), json!(0), json!(""), json!([]), json!(null)] {
            assert!(refuse(empty).is_ok());
        }
    }

    #[test]
    fn what_is_not_known_passes() {
        let tolerated =
            json!({"vlan": 0, "promiscMode": false, "ipMasqBackend": "nftables", "unheard-of": [1]});
        assert!(Plan::make(&network(tolerated), &[]).is_ok());
    }

    #[test]
    fn pods_that_are_routed_to_are_not_kept_apart() {
        for (field, value) in
            [("vlan", json!(5)), ("vlanTrunk", json!([{"id": 5}])), ("portIsolation", json!(true))]
        {
            let why = format!(
                "network configuration: {field} is wrong: there is no bridge in mode routed; leave it out"
            );
            assert_eq!(fault(json!({"mode": "routed", field: value})), (7, why));
        }
    }

    #[test]
    fn capabilities_outrank_arguments() {
        let args = |text: &[(&str, &str)]| {
            text.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        let old = args(&[("IgnoreUnknown", "1"), ("IP", "10.244.0.9"), ("MAC", "02:00:00:00:00:09")]);
        let read = |changes| Plan::make(&network(changes), &old).unwrap();
        let from_args = read(json!({}));
        assert_eq!(from_args.addressing.requested, ["10.244.0.9".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(from_args.mac, Some([2, 0, 0, 0, 0, 9]));
        let runtime = json!({"runtimeConfig": {"ips": ["10.244.0.7/16"], "mac": "02:00:00:00:00:07"}});
        let from_runtime = read(runtime);
        assert_eq!(from_runtime.addressing.requested, ["10.244.0.7".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(from_runtime.mac, Some([2, 0, 0, 0, 0, 7]));
    }

    #[test]
    fn name_service_comes_from_the_network_or_a_file() {
        let scratch = Scratch::new();
        let path = scratch.0.join("resolv.conf");
        fs::write(&path, "# x\nnameserver 10.0.0.53\nnameserver fd00::53\nsearch a.b c\noptions ndots:5\n")
            .unwrap();
        let ipam = json!({"type": "host-local", "subnet": "10.0.0.0/24", "resolvConf": path});
        let read = |changes| {
            let plan = Plan::make(&network(changes), &[]).unwrap();
            let taken = Success { dns: plan.addressing.dns.clone(), ..Success::default() };
            plan.complete(taken).unwrap().dns
        };
        let from_file = read(json!({"ipam": ipam}));
        assert_eq!(from_file.nameservers, ["10.0.0.53", "fd00::53"]);
        assert_eq!(from_file.search, ["a.b", "c"]);
        assert_eq!(from_file.options, ["ndots:5"]);
        let own = json!({"dns": {"nameservers": ["1.1.1.1"], "domain": "x"}, "ipam": ipam});
        assert_eq!(read(own).nameservers, ["1.1.1.1"]);
    }
}

mod plans {
    use super::*;

    fn plan(node: Option<&NodeFile>, changes: Value) -> Result<Plan, Error> {
        let scratch = Scratch::new();
        let path = scratch.0.join("node.json");
        if let Some(node) = node {
            node.write(&path).unwrap();
        }
        let mut changes = changes;
        changes["nodeFile"] = json!(path);
        Plan::make(&network(changes), &[])
    }

    fn node(pod_cidrs: &[&str]) -> NodeFile {
        let pod_cidrs = pod_cidrs.iter().map(|text| text.parse().unwrap()).collect();
        NodeFile { pod_cidrs, bridge: "pods0".to_owned(), mtu: Some(1400), ..NodeFile::default() }
    }

    fn gateways(plan: &Plan) -> Vec<String> {
        plan.sets.iter().flat_map(|s| s.ranges()).map(|r| format!("{} {}", r.prefix, r.gateway)).collect()
    }

    #[test]
    fn a_cluster_wide_subnet_becomes_the_nodes_own() {
        let bare = plan(None, json!({})).unwrap();
        assert_eq!(gateways(&bare), ["10.244.0.0/16 10.244.0.1"]);
        let own = plan(Some(&node(&["10.244.3.0/24"])), json!({"bridge": null})).unwrap();
        assert_eq!(gateways(&own), ["10.244.3.0/24 10.244.3.1"]);
        assert_eq!((own.bridge.as_str(), own.mtu), ("pods0", Some(1400)));
        let said = plan(Some(&node(&["10.244.3.0/24"])), json!({"mtu": 9000})).unwrap();
        assert_eq!((said.bridge.as_str(), said.mtu), ("cni0", Some(9000)));
    }

    #[test]
    fn the_own_ipam_takes_the_pod_cidrs() {
        let ours = json!({"ipam": {"type": "routelet"}});
        let dual = plan(Some(&node(&["fd00:1::/64", "10.244.1.0/24"])), ours.clone()).unwrap();
        assert_eq!(gateways(&dual), ["10.244.1.0/24 10.244.1.1", "fd00:1::/64 fd00:1::1"]);
        for file in [None, Some(node(&[]))] {
            let error = plan(file.as_ref(), ours.clone()).unwrap_err();
            assert_eq!(error.code, Code::TryAgainLater);
            assert_eq!(error.message, "no pod CIDR is known for this node yet");
        }
    }

    #[test]
    fn routes_are_of_the_families_the_pod_has() {
        let routes = |changes: Value| -> Result<Vec<String>, Error> {
            let plan = plan(None, changes)?;
            let given = |set: &crate::ipam::RangeSet| {
                let (address, range) = set.after(None).next().unwrap();
                let address = ipnetwork::IpNetwork::new(address, range.prefix.length()).unwrap();
                Ip { address, gateway: Some(range.gateway), interface: None }
            };
            let taken = Success { ips: plan.sets.iter().map(given).collect(), ..Success::default() };
            let show = |r: &Route| format!("{} {}", r.dst, r.gw.map_or("-".to_owned(), |gw| gw.to_string()));
            Ok(plan.complete(taken)?.routes.iter().map(show).collect())
        };
        let v4 = |kind: &str, routes: Value| json!({"type": kind, "subnet": "10.0.0.0/24", "routes": routes});
        let both = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
        assert_eq!(routes(json!({"ipam": v4("host-local", both)})).unwrap(), ["0.0.0.0/0 -"]);
        assert_eq!(routes(json!({"ipam": v4("host-local", json!([]))})).unwrap(), [] as [&str; 0]);
        assert_eq!(routes(json!({"ipam": v4("routelet", json!([]))})).unwrap(), ["0.0.0.0/0 10.0.0.1"]);
        let gateway = json!({"isDefaultGateway": true, "ipam": {"type": "host-local",
            "ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]]}});
        assert_eq!(routes(gateway).unwrap(), ["0.0.0.0/0 10.0.0.1", "::/0 fd00::1"]);
        let contradiction = json!([{"dst": "0.0.0.0/0", "gw": "10.0.0.9"}]);
        let error = routes(json!({"isDefaultGateway": true, "ipam": v4("host-local", contradiction)}));
        assert_eq!(
            error.unwrap_err().to_string(),
            "network configuration: isDefaultGateway is wrong: ipam.routes has a default route via 10.0.0.9, the \
             gateway is 10.0.0.1"
        );
    }
}

mod results {
    use super::*;

    fn success() -> Success {
        let interface = |name: &str, sandbox: Option<&str>| Interface {
            name: name.to_owned(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            sandbox: sandbox.map(str::to_owned),
        };
        let ip = |address: &str, gateway: &str| Ip {
            address: address.parse().unwrap(),
            gateway: Some(gateway.parse().unwrap()),
            interface: Some(1),
        };
        Success {
            interfaces: vec![interface("cni0", None), interface("eth0", Some("/run/netns/p"))],
            ips: vec![ip("10.0.0.2/24", "10.0.0.1"), ip("fd00::2/64", "fd00::1")],
            routes: vec![Route::new("0.0.0.0/0".parse().unwrap(), None)],
            dns: Dns::default(),
        }
    }

    #[test]
    fn every_version_has_its_shape() {
        let old = json!({
            "ip4": {"ip": "10.0.0.2/24", "gateway": "10.0.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
            "ip6": {"ip": "fd00::2/64", "gateway": "fd00::1", "routes": []},
            "dns": {},
        });
        let mac = "02:00:00:00:00:01";
        let middle = json!({
            "interfaces": [{"name": "cni0", "mac": mac}, {"name": "eth0", "mac": mac, "sandbox": "/run/netns/p"}],
            "ips": [
                {"version": "4", "address": "10.0.0.2/24", "gateway": "10.0.0.1", "interface": 1},
                {"version": "6", "address": "fd00::2/64", "gateway": "fd00::1", "interface": 1},
            ],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dns": {},
        });
        let mut new = middle.clone();
        new.as_object_mut().unwrap().remove("dns");
        for ip in new["ips"].as_array_mut().unwrap() {
            ip.as_object_mut().unwrap().remove("version");
        }
        let mut newest = new.clone();
        for interface in newest["interfaces"].as_array_mut().unwrap() {
            interface["mtu"] = json!(1500);
        }
        let shapes = [&old, &old, &middle, &middle, &middle, &new, &newest];
        for (version, shape) in Version::ALL.into_iter().zip(shapes) {
            let mut expected = shape.clone();
            expected["cniVersion"] = json!(version.as_str());
            assert_eq!(success().document(version, None), expected);
        }
    }

    #[test]
    fn the_result_of_earlier_plugins_is_kept() {
        let previous = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "other0", "pciID": "x"}],
            "ips": [{"address": "192.0.2.1/24", "interface": 0}],
            "dns": {"nameservers": ["1.1.1.1"]},
        });
        let document = success().document(Version::V1_0_0, previous.as_object());
        assert_eq!(document["interfaces"][0], previous["interfaces"][0]);
        assert_eq!(document["interfaces"].as_array().unwrap().len(), 3);
        assert_eq!(document["ips"][0], previous["ips"][0]);
        assert_eq!(document["ips"][1]["interface"], 2);
        assert_eq!(document["dns"], previous["dns"]);
    }
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
