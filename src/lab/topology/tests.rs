//! The built-in topology, inheritance, and what is said about files that are wrong.

use super::*;

fn parse(text: &str) -> Result<Topology, Error> {
    Topology::parse(text, "t.yml", None)
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_built_in_topology_is_the_reference_cluster() {
    let topology = Topology::built_in().unwrap();
    assert_eq!(topology.name, "three-node");
    assert_eq!(topology.nodes.keys().collect::<Vec<_>>(), ["node1", "node2", "node3", "outside", "tor"]);
    assert_eq!(topology.links.len(), 4);
    assert_eq!(topology.not_honoured, Vec::<String>::new());
    let node1 = &topology.nodes["node1"];
    assert_eq!(node1.image.as_deref(), Some("routelet/routelet:latest"));
    assert_eq!(node1.labels["routelet.dev/asn"], "64512");
    assert_eq!(node1.labels["routelet.dev/pod-cidrs"], "10.244.1.0/24,fd00:10:244:1::/64");
}

#[test]
fn a_node_inherits_from_defaults_kind_and_group() {
    let topology = parse(
        "
name: t
topology:
  defaults: {image: d, cmd: d, labels: {a: d, b: d}, exec: [d], binds: ['d:/x', 'd:/y']}
  kinds: {linux: {cmd: k, labels: {b: k, c: k}, exec: [k]}}
  groups: {g: {labels: {c: g, n: 7}, exec: [g], binds: ['g:/y:ro']}}
  nodes:
    n: {kind: linux, group: g, labels: {t: true}, exec: [n]}
",
    )
    .unwrap();
    let node = &topology.nodes["n"];
    assert_eq!((node.image.as_deref(), node.cmd.as_deref()), (Some("d"), Some("k")));
    assert_eq!(node.exec, ["d", "k", "g", "n"]);
    let labels: Vec<_> = node.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["a=d", "b=k", "c=g", "n=7", "t=true"]);
    assert_eq!(node.binds[0].source, "d");
    assert_eq!((node.binds[1].source.as_str(), node.binds[1].read_only), ("g", true));
}

#[test]
fn links_may_be_brief_or_full_and_bear_addresses() {
    let topology = parse(
        "
name: t
topology:
  nodes: {a: , b: }
  links:
    - {endpoints: ['a:eth1', 'b:eth1'], ipv4: [10.0.0.1/30, 10.0.0.2/30], mtu: 9000}
    - type: veth
      endpoints: [{node: a, interface: eth2, ipv6: 'fd00::1/64'}, {node: b, interface: eth2}]
    - {type: host, endpoint: {node: a, interface: eth3}, host-interface: x}
",
    )
    .unwrap();
    assert_eq!(topology.links[0].mtu, Some(9000));
    assert_eq!(topology.links[0].ends[1].addresses, ["10.0.0.2/30".parse().unwrap()]);
    assert_eq!(topology.links[1].ends[0].addresses, ["fd00::1/64".parse().unwrap()]);
    assert_eq!(topology.not_honoured, ["topology.links[2]: link type host"]);
}

#[test]
fn what_is_not_honoured_is_said() {
    let topology = parse(
        "
name: t
mgmt: {network: m}
topology:
  nodes:
    a: {kind: nokia_srlinux, cpu: 2}
",
    )
    .unwrap();
    assert_eq!(
        topology.not_honoured,
        [
            "mgmt",
            "topology.nodes.a.cpu",
            "topology.nodes.a.kind: nokia_srlinux (played as a plain Linux host)"
        ]
    );
}

#[test]
fn wrong_values_name_the_place() {
    let nodes = "name: t\ntopology:\n  nodes: {a: , b: }\n";
    let wrong_type = error("name: t\ntopology:\n  nodes:\n    a:\n      exec: 5\n");
    assert!(wrong_type.starts_with("t.yml:5:"), "{wrong_type}");
    assert!(error("name: t\ntopology: [").starts_with("t.yml:2:"));
    assert!(error("topology: {nodes: {a: }}").contains("name"));
    assert_eq!(error("name: t\ntopology: {nodes: {}}"), "t.yml: topology.nodes: there are none");
    assert_eq!(
        error(&format!("{nodes}  links: [{{endpoints: ['a:eth1', 'c:eth1']}}]")),
        "t.yml: topology.links[0]: there is no node c"
    );
    assert_eq!(
        error(&format!("{nodes}  links: [{{endpoints: ['a:eth1', 'b']}}]")),
        "t.yml: topology.links[0]: endpoint \"b\" is not NODE:INTERFACE"
    );
    assert_eq!(
        error(&format!("{nodes}  links: [{{endpoints: ['a:e', 'b:e']}}, {{endpoints: ['a:e', 'b:f']}}]")),
        "t.yml: topology.links[1]: a:e is taken by links[0]"
    );
    assert_eq!(
        error("name: t\ntopology: {nodes: {a: {binds: ['x']}}}"),
        "t.yml: topology.nodes.a.binds: \"x\" is not SOURCE:TARGET[:OPTIONS]"
    );
    assert_eq!(
        error("name: t\ntopology: {nodes: {'a/b': }}"),
        "t.yml: topology.nodes.a/b: not a name for a node"
    );
}
