//! The reference cluster in every family, and labels that are wrong.

use super::*;

fn built_in(families: &[Family]) -> Plan {
    Plan::new(&Topology::built_in().unwrap(), Some(&families.iter().copied().collect())).unwrap()
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}

#[test]
fn the_built_in_topology_in_ipv4() {
    let plan = built_in(&[Family::Ipv4Unicast]);
    let nodes: Vec<_> = plan.nodes.iter().map(|n| (n.name.as_str(), n.asn, n.pods)).collect();
    assert_eq!(nodes, [("node1", 64512, 2), ("node2", 64512, 2), ("node3", 64512, 2)]);
    assert_eq!(texts(&plan.nodes[1].addresses), ["192.168.1.12"]);
    assert_eq!(texts(&plan.nodes[1].pod_cidrs), ["10.244.2.0/24"]);
    assert_eq!(texts(&plan.cluster_cidrs), ["10.244.0.0/16"]);
    let tor = &plan.routers[0];
    assert_eq!((tor.asn, tor.router_id, tor.native), (65000, Ipv4Addr::new(192, 168, 1, 1), Program::Frr));
    assert_eq!(texts(&tor.announce), ["172.16.0.0/24"]);
    let sessions: Vec<_> = tor.sessions.iter().map(|s| (s.node_address, s.router_address)).collect();
    let at = |last: u8| IpAddr::from([192, 168, 1, last]);
    assert_eq!(sessions, [(at(11), at(1)), (at(12), at(1)), (at(13), at(1))]);
    assert_eq!(texts(&plan.hosts[0].addresses), ["172.16.0.10"]);
    assert!(plan.not_honoured.is_empty());
    let left = plan.members.values().flat_map(|member| &member.actions).filter_map(Action::family);
    assert!(left.into_iter().all(|family| family == Family::Ipv4Unicast));
}

#[test]
fn the_built_in_topology_in_ipv6_and_both() {
    let six = built_in(&[Family::Ipv6Unicast]);
    assert_eq!(texts(&six.nodes[0].addresses), ["fd00:192:168:1::11"]);
    assert_eq!(texts(&six.cluster_cidrs), ["fd00:10:244::/48"]);
    assert_eq!(six.routers[0].router_id, Ipv4Addr::new(192, 168, 1, 1));
    let both = Plan::new(&Topology::built_in().unwrap(), None).unwrap();
    assert_eq!(both.families, BTreeSet::from(Family::ALL));
    assert_eq!(texts(&both.nodes[0].addresses), ["192.168.1.11", "fd00:192:168:1::11"]);
    assert_eq!(both.routers[0].sessions.len(), 6);
}

fn plan(nodes: &str, families: Option<&BTreeSet<Family>>) -> Result<Plan, Error> {
    let text = format!("name: t\ntopology:\n  nodes:\n{nodes}");
    Plan::new(&Topology::parse(&text, "t.yml", None).unwrap(), families)
}

#[test]
fn wrong_labels_name_the_field() {
    let error = |labels: &str| {
        let node =
            format!("    n: {{image: routelet, exec: [ip addr add 10.0.0.1/8 dev e], labels: {{{labels}}}}}");
        plan(&node, None).unwrap_err().to_string()
    };
    assert_eq!(
        error("routelet.dev/asn: many"),
        "t.yml: topology.nodes.n.labels.routelet.dev/asn: \"many\" is not a number in range"
    );
    assert_eq!(
        error("routelet.dev/asn: 0"),
        "t.yml: topology.nodes.n.labels.routelet.dev/asn: AS 0 is reserved"
    );
    assert_eq!(
        error("routelet.dev/pod-cidrs: 10.1.0.1/24"),
        "t.yml: topology.nodes.n.labels.routelet.dev/pod-cidrs: \"10.1.0.1/24\" has host bits set; \
         the prefix is 10.1.0.0/24"
    );
    assert_eq!(
        error(""),
        "t.yml: topology.nodes.n.labels.routelet.dev/pod-cidrs: a pod CIDR is needed, and ipv4Unicast is to be played"
    );
}

#[test]
fn a_family_the_file_does_not_have_is_an_error() {
    let node = "    n: {image: routelet, exec: [ip addr add 10.0.0.1/8 dev e]}";
    let six = BTreeSet::from([Family::Ipv6Unicast]);
    assert_eq!(
        plan(node, Some(&six)).unwrap_err().to_string(),
        "t.yml: topology.nodes.n.exec: no address is given to it, and ipv6Unicast is to be played"
    );
}

#[test]
fn lines_that_are_not_played_are_listed() {
    let plan = plan("    h: {image: alpine, exec: [touch /x], sysctls: {kernel.panic: 1}}", None).unwrap();
    assert_eq!(
        plan.not_honoured,
        [
            "topology.nodes.h.sysctls: kernel.panic is not a parameter of a network namespace",
            "topology.nodes.h.exec: `touch /x`: only `ip` and `sysctl -w` are played"
        ]
    );
}
