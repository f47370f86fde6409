//! What a topology means to the lab: which node is a member of the cluster, which a router, which a
//! plain host; who peers with whom at which addresses; what each must be configured with.
//!
//! Pure: a [`Topology`] and the chosen families in, a [`Plan`] out. The image's name tells the role,
//! labels beginning with `routelet.dev/` the facts that Kubernetes and a network team would supply:
//!
//! | label | on | meaning |
//! |---|---|---|
//! | `routelet.dev/asn` | node, router | AS number (64512 and 65000 unless given) |
//! | `routelet.dev/pod-cidrs` | node | the node's pod CIDRs, separated by commas |
//! | `routelet.dev/cluster-cidrs` | node | what all pod CIDRs lie in; the routers accept nothing else |
//! | `routelet.dev/pods` | node | how many pods to attach (2 unless given) |
//! | `routelet.dev/announce` | router | what the router announces to the nodes |

mod facts;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use facts::Facts;

use super::exec_line::{self, Action};
use super::topology::{Error, Link, Node, Topology};
use super::tor::Program;
use crate::prefix::{Family, Prefix};

/// Everything the lab is going to build.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The lab's name.
    pub name: String,
    /// Families in use.
    pub families: BTreeSet<Family>,
    /// Every namespace, by name.
    pub members: BTreeMap<String, Member>,
    /// Cables between them.
    pub links: Vec<Link>,
    /// The cluster's nodes.
    pub nodes: Vec<ClusterNode>,
    /// What all pod CIDRs lie in.
    pub cluster_cidrs: Vec<Prefix>,
    /// Routers, which speak BGP with the nodes.
    pub routers: Vec<Router>,
    /// Plain hosts, which pods are to reach and be reached from.
    pub hosts: Vec<Host>,
    /// What the file asks for and the lab leaves undone.
    pub not_honoured: Vec<String>,
}

/// One namespace of the lab.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// As the topology has it.
    pub node: Node,
    /// How its network is configured, in order.
    pub actions: Vec<Action>,
}

/// A node of the Kubernetes cluster.
#[derive(Debug, Clone)]
pub struct ClusterNode {
    /// Its name, also that of its `v1 Node` object.
    pub name: String,
    /// Its AS.
    pub asn: u32,
    /// Its first address of each family.
    pub addresses: Vec<IpAddr>,
    /// Its pod CIDRs.
    pub pod_cidrs: Vec<Prefix>,
    /// How many pods to attach.
    pub pods: u8,
}

/// A router.
#[derive(Debug, Clone)]
pub struct Router {
    /// Its name.
    pub name: String,
    /// Its AS.
    pub asn: u32,
    /// Its BGP identifier.
    pub router_id: Ipv4Addr,
    /// The program its image stands for.
    pub native: Program,
    /// What it announces to the nodes.
    pub announce: Vec<Prefix>,
    /// Its sessions with the nodes, one for each family and node on the same segment.
    pub sessions: Vec<Session>,
}

/// A session between a router and a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Name of the node.
    pub node: String,
    /// The node's AS.
    pub node_asn: u32,
    /// The node's address.
    pub node_address: IpAddr,
    /// The router's address.
    pub router_address: IpAddr,
}

impl Session {
    /// The family that the session is over, and the only one it carries.
    pub fn family(&self) -> Family {
        Family::of(self.node_address)
    }
}

/// A host that speaks no BGP.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its first address of each family.
    pub addresses: Vec<IpAddr>,
}

/// What an image stands for.
enum Role {
    Node,
    Router(Program),
    Host,
}

impl Role {
    fn of(node: &Node) -> Role {
        let image = node.image.as_deref().unwrap_or_default();
        let name = image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
        match name {
            "routelet" => Role::Node,
            name if name.contains("frr") => Role::Router(Program::Frr),
            name if name.contains("bird") => Role::Router(Program::Bird),
            name if name.contains("gobgp") => Role::Router(Program::Gobgp),
            _ => Role::Host,
        }
    }
}

impl Plan {
    /// Plans a topology, in the families given or in all that its nodes have addresses of.
    ///
    /// # Errors
    /// A label's value makes no sense, or a node lacks what it needs.
    pub fn new(topology: &Topology, families: Option<&BTreeSet<Family>>) -> Result<Plan, Error> {
        let mut not_honoured = topology.not_honoured.clone();
        let mut members = members(topology, &mut not_honoured);
        let mut links = topology.links.clone();
        let families = families.cloned().unwrap_or_else(|| present(&links, &members));
        let used = |address: IpNetwork| families.contains(&Family::of(address.ip()));
        for member in members.values_mut() {
            member.actions.retain(|action| action.family().is_none_or(|family| families.contains(&family)));
        }
        for end in links.iter_mut().flat_map(|link| &mut link.ends) {
            end.addresses.retain(|address| used(*address));
        }
        let facts = Facts { origin: &topology.origin, families: &families, links: &links, members: &members };
        let nodes = facts.nodes()?;
        let cluster_cidrs = facts.cluster_cidrs(&nodes)?;
        let routers = facts.routers(&nodes)?;
        let hosts = facts.hosts();
        let name = topology.name.clone();
        Ok(Plan { name, families, members, links, nodes, cluster_cidrs, routers, hosts, not_honoured })
    }

    /// The longest pod CIDR of a family, in bits: nothing longer is announced.
    pub fn longest(&self, family: Family) -> u8 {
        let cidrs = self.nodes.iter().flat_map(|node| &node.pod_cidrs);
        cidrs.filter(|cidr| cidr.family() == family).map(|cidr| cidr.length()).max().unwrap_or(0)
    }
}

/// The members with what their `sysctls` and `exec` lines ask for; what is not played is noted.
fn members(topology: &Topology, not_honoured: &mut Vec<String>) -> BTreeMap<String, Member> {
    let mut members = BTreeMap::new();
    for (name, node) in &topology.nodes {
        let mut actions = Vec::new();
        for (key, value) in &node.sysctls {
            match Action::sysctl(key, value) {
                Ok(action) => actions.push(action),
                Err(reason) => not_honoured.push(format!("topology.nodes.{name}.sysctls: {reason}")),
            }
        }
        for line in &node.exec {
            match exec_line::parse(line) {
                Ok(action) => actions.push(action),
                Err(reason) => not_honoured.push(format!("topology.nodes.{name}.exec: `{line}`: {reason}")),
            }
        }
        members.insert(name.clone(), Member { name: name.clone(), node: node.clone(), actions });
    }
    members
}

/// The families that the addresses of the cluster's nodes are of; of all members if there is no
/// cluster.
fn present(links: &[Link], members: &BTreeMap<String, Member>) -> BTreeSet<Family> {
    let of = |wanted: fn(&Member) -> bool| -> BTreeSet<Family> {
        let addresses = members.values().filter(|member| wanted(member)).flat_map(|m| addresses(links, m));
        addresses.map(|address| Family::of(address.ip())).collect()
    };
    let families = of(|member| matches!(Role::of(&member.node), Role::Node));
    if families.is_empty() { of(|_| true) } else { families }
}

/// The addresses a member is given, by its links and by its `exec` lines.
fn addresses(links: &[Link], member: &Member) -> Vec<IpNetwork> {
    let ends = links.iter().flat_map(|link| &link.ends);
    let by_link = ends.filter(|end| end.node == member.name).flat_map(|end| end.addresses.iter().copied());
    let by_exec = member.actions.iter().filter_map(|action| match action {
        Action::AddAddress { link, address } if link != "lo" => Some(*address),
        _ => None,
    });
    by_link.chain(by_exec).collect()
}

#[cfg(test)]
mod tests;
