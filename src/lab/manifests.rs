//! The Kubernetes objects that the lab's daemons are told: text, as a person would write it.
//!
//! The same directory serves every node of the cluster, as the same API server would. A test in
//! `tests/lab.rs` has the daemon's own parser read what is written here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::plan::{ClusterNode, Plan, Router, Session};
use crate::prefix::{Family, Prefix};

/// One YAML file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// File name, without a directory.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

/// The objects of the cluster, for every node's daemon.
pub fn of_cluster(plan: &Plan) -> Vec<Manifest> {
    let mut nodes = String::from("# The cluster's nodes, as the API server has them.\n");
    for node in &plan.nodes {
        nodes.push_str("---\n");
        // Writing to a String cannot fail, here and below.
        let _ = write_node(&mut nodes, &node.name, &node.addresses, &node.pod_cidrs);
    }
    let mut bgp = String::new();
    let _ = write_configuration(&mut bgp, plan);
    for router in &plan.routers {
        for (address, sessions) in by_address(router) {
            let _ = write_router_peer(&mut bgp, plan, router, address, &sessions);
        }
    }
    vec![Manifest { name: "nodes.yaml", text: nodes }, Manifest { name: "bgp.yaml", text: bgp }]
}

/// The objects of a router that Routelet plays, with the bridge of what it announces.
pub fn of_router(router: &Router, plan: &Plan, bridge: Option<&str>) -> Vec<Manifest> {
    let mut addresses: Vec<IpAddr> = router.sessions.iter().map(|session| session.router_address).collect();
    addresses.dedup();
    let mut node = String::from("# What the router announces stands where a node has its pod CIDRs.\n---\n");
    let _ = write_node(&mut node, &router.name, &addresses, &router.announce);
    let mut bgp = String::new();
    let _ = write_router_configuration(&mut bgp, router, bridge);
    for session in &router.sessions {
        let _ = write_node_peer(&mut bgp, plan, router, session);
    }
    vec![Manifest { name: "nodes.yaml", text: node }, Manifest { name: "bgp.yaml", text: bgp }]
}

fn write_node(text: &mut String, name: &str, addresses: &[IpAddr], cidrs: &[Prefix]) -> std::fmt::Result {
    writeln!(text, "apiVersion: v1\nkind: Node")?;
    writeln!(text, "metadata:\n  name: {name}\n  labels: {{kubernetes.io/hostname: {name}}}")?;
    let list: Vec<_> = cidrs.iter().map(|cidr| format!("{:?}", cidr.to_string())).collect();
    if let Some(first) = list.first() {
        writeln!(text, "spec:\n  podCIDR: {first}\n  podCIDRs: [{}]", list.join(", "))?;
    }
    writeln!(text, "status:\n  addresses:")?;
    for address in addresses {
        writeln!(text, "    - {{type: InternalIP, address: \"{address}\"}}")?;
    }
    writeln!(text, "    - {{type: Hostname, address: {name}}}")
}

fn write_configuration(text: &mut String, plan: &Plan) -> std::fmt::Result {
    writeln!(text, "# How the nodes speak BGP among themselves: every one with every other.")?;
    writeln!(text, "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {{name: default}}")?;
    let asn = plan.nodes.first().map_or(64512, |node| node.asn);
    writeln!(text, "spec:\n  asn: {asn}\n  mesh: full\n  fib: {{metric: 20}}")?;
    for node in plan.nodes.iter().filter(|node| node.asn != asn) {
        write_override(text, node)?;
    }
    Ok(())
}

fn write_override(text: &mut String, node: &ClusterNode) -> std::fmt::Result {
    let name = &node.name;
    writeln!(
        text,
        "---\napiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {{name: {name}}}"
    )?;
    writeln!(text, "spec:\n  nodeSelector: {{matchLabels: {{kubernetes.io/hostname: {name}}}}}")?;
    writeln!(text, "  asn: {}", node.asn)
}

/// A router's sessions by the address that the nodes know it under.
fn by_address(router: &Router) -> BTreeMap<IpAddr, Vec<&Session>> {
    let mut sessions: BTreeMap<IpAddr, Vec<&Session>> = BTreeMap::new();
    for session in &router.sessions {
        sessions.entry(session.router_address).or_default().push(session);
    }
    sessions
}

fn write_router_peer(
    text: &mut String,
    plan: &Plan,
    router: &Router,
    address: IpAddr,
    sessions: &[&Session],
) -> std::fmt::Result {
    let family = Family::of(address);
    let name = format!("{}-{}", router.name, short(family));
    let everyone = sessions.len() == plan.nodes.len();
    let selected: Vec<_> = sessions.iter().map(|session| session.node.as_str()).collect();
    writeln!(
        text,
        "---\n# The router of the segment, over {}.",
        if short(family) == "ipv4" { "IPv4" } else { "IPv6" }
    )?;
    writeln!(text, "apiVersion: routelet.dev/v1alpha1\nkind: BgpPeer\nmetadata: {{name: {name}}}\nspec:")?;
    if !everyone {
        let values = selected.join(", ");
        writeln!(text, "  nodeSelector:\n    matchExpressions:")?;
        writeln!(text, "      - {{key: kubernetes.io/hostname, operator: In, values: [{values}]}}")?;
    }
    writeln!(text, "  address: \"{address}\"\n  asn: {}\n  families: [{family}]", router.asn)?;
    writeln!(text, "  # Towards an external peer nothing passes that is not named (RFC 8212).")?;
    write_policy(
        text,
        "import",
        router.announce.iter().filter(|p| p.family() == family).map(|p| (*p, p.length())),
    )?;
    let longest = plan.longest(family);
    write_policy(
        text,
        "export",
        plan.cluster_cidrs.iter().filter(|p| p.family() == family).map(|p| (*p, longest)),
    )
}

fn write_router_configuration(text: &mut String, router: &Router, bridge: Option<&str>) -> std::fmt::Result {
    writeln!(text, "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {{name: default}}")?;
    writeln!(text, "spec:\n  asn: {}\n  routerId: {}\n  mesh: none", router.asn, router.router_id)?;
    writeln!(text, "  fib: {{metric: 20}}")?;
    match bridge {
        Some(bridge) => writeln!(text, "  cni: {{bridge: {bridge}}}"),
        None => Ok(()),
    }
}

fn write_node_peer(text: &mut String, plan: &Plan, router: &Router, session: &Session) -> std::fmt::Result {
    let family = session.family();
    let longest = plan.longest(family);
    writeln!(text, "---\napiVersion: routelet.dev/v1alpha1\nkind: BgpPeer")?;
    writeln!(text, "metadata: {{name: {}-{}}}\nspec:", session.node, short(family))?;
    writeln!(text, "  address: \"{}\"\n  asn: {}", session.node_address, session.node_asn)?;
    writeln!(text, "  families: [{family}]")?;
    write_policy(
        text,
        "import",
        plan.cluster_cidrs.iter().filter(|p| p.family() == family).map(|p| (*p, longest)),
    )?;
    write_policy(
        text,
        "export",
        router.announce.iter().filter(|p| p.family() == family).map(|p| (*p, p.length())),
    )
}

/// A policy that accepts each prefix and what is longer, up to the length beside it.
fn write_policy(
    text: &mut String,
    name: &str,
    rules: impl Iterator<Item = (Prefix, u8)>,
) -> std::fmt::Result {
    let rules: Vec<_> = rules
        .map(|(prefix, longest)| {
            if longest > prefix.length() {
                format!("{{prefix: \"{prefix}\", le: {longest}}}")
            } else {
                format!("{{prefix: \"{prefix}\"}}")
            }
        })
        .collect();
    writeln!(text, "  {name}: {{accept: [{}]}}", rules.join(", "))
}

fn short(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "ipv4",
        Family::Ipv6Unicast => "ipv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Topology;

    #[test]
    fn the_files_that_containerlab_binds_are_what_the_lab_writes() {
        let plan = Plan::new(&Topology::built_in().unwrap(), None).unwrap();
        let [nodes, bgp] = of_cluster(&plan).try_into().unwrap();
        assert_eq!((nodes.name, bgp.name), ("nodes.yaml", "bgp.yaml"));
        assert_eq!(nodes.text, include_str!("../../containerlab/manifests/nodes.yaml"));
        assert_eq!(bgp.text, include_str!("../../containerlab/manifests/bgp.yaml"));
    }

    #[test]
    fn a_router_on_the_segment_of_some_nodes_only() {
        let topology = "
name: t
topology:
  nodes:
    a: {image: routelet, exec: [ip addr add 10.0.0.1/24 dev e], labels: {routelet.dev/pod-cidrs: 10.1.0.0/24}}
    b: {image: routelet, exec: [ip addr add 10.0.9.1/24 dev e],
        labels: {routelet.dev/pod-cidrs: 10.2.0.0/24, routelet.dev/asn: 64513}}
    r: {image: frr, exec: [ip addr add 10.0.0.9/24 dev e]}
";
        let plan = Plan::new(&Topology::parse(topology, "t.yml", None).unwrap(), None).unwrap();
        let bgp = &of_cluster(&plan)[1].text;
        assert!(bgp.contains("operator: In, values: [a]}"), "{bgp}");
        assert!(bgp.contains("kind: BgpConfiguration\nmetadata: {name: b}"), "{bgp}");
        assert!(
            bgp.contains("export: {accept: [{prefix: \"10.1.0.0/24\"}, {prefix: \"10.2.0.0/24\"}]}"),
            "{bgp}"
        );
    }
}
