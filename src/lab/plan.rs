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

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use super::exec_line::{self, Action};
use super::topology::{Error, Link, Node, Topology};
use super::tor::Program;
use crate::prefix::{Family, Prefix};

/// The AS of the nodes where no label says otherwise.
const NODE_ASN: u32 = 64512;
/// The AS of a router where no label says otherwise.
const ROUTER_ASN: u32 = 65000;

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
        let mut planner = Planner { topology, families: families.cloned(), not_honoured: Vec::new() };
        let mut members = BTreeMap::new();
        for (name, node) in &topology.nodes {
            let actions = planner.actions(name, node);
            members.insert(name.clone(), Member { name: name.clone(), node: node.clone(), actions });
        }
        let families = planner.families.take().unwrap_or_else(|| present(topology, &members));
        for member in members.values_mut() {
            member.actions.retain(|action| action.family().is_none_or(|family| families.contains(&family)));
        }
        planner.families = Some(families.clone());

        let mut plan = Plan {
            name: topology.name.clone(),
            families,
            members: BTreeMap::new(),
            links: topology.links.clone(),
            nodes: Vec::new(),
            cluster_cidrs: Vec::new(),
            routers: Vec::new(),
            hosts: Vec::new(),
            not_honoured: Vec::new(),
        };
        for link in &mut plan.links {
            for end in &mut link.ends {
                end.addresses.retain(|address| plan.families.contains(&Family::of(address.ip())));
            }
        }
        for member in members.values().filter(|member| matches!(Role::of(&member.node), Role::Node)) {
            let node = planner.cluster_node(member)?;
            let cidrs = planner.prefixes(member, "routelet.dev/cluster-cidrs")?;
            plan.cluster_cidrs.extend(if cidrs.is_empty() { node.pod_cidrs.clone() } else { cidrs });
            plan.nodes.push(node);
        }
        plan.cluster_cidrs.sort();
        plan.cluster_cidrs.dedup();
        for member in members.values() {
            match Role::of(&member.node) {
                Role::Router(native) => {
                    let router = planner.router(member, native, &plan, &members)?;
                    plan.routers.push(router);
                }
                Role::Host if member.node.kind != "bridge" => plan.hosts.push(planner.host(member)),
                Role::Host | Role::Node => {}
            }
        }
        plan.not_honoured = topology.not_honoured.iter().cloned().chain(planner.not_honoured).collect();
        plan.members = members;
        Ok(plan)
    }

    /// The longest pod CIDR of a family, in bits: nothing longer is announced.
    pub fn longest(&self, family: Family) -> u8 {
        let cidrs = self.nodes.iter().flat_map(|node| &node.pod_cidrs);
        cidrs.filter(|cidr| cidr.family() == family).map(|cidr| cidr.length()).max().unwrap_or(0)
    }
}

struct Planner<'a> {
    topology: &'a Topology,
    families: Option<BTreeSet<Family>>,
    not_honoured: Vec<String>,
}

impl Planner<'_> {
    fn wrong(&self, name: &str, field: &str, reason: impl Into<String>) -> Error {
        Error::Field {
            file: self.topology.origin.clone(),
            field: format!("topology.nodes.{name}.{field}"),
            reason: reason.into(),
        }
    }

    fn uses(&self, family: Family) -> bool {
        self.families.as_ref().is_none_or(|families| families.contains(&family))
    }

    fn actions(&mut self, name: &str, node: &Node) -> Vec<Action> {
        let mut actions = Vec::new();
        for (key, value) in &node.sysctls {
            match Action::sysctl(key, value) {
                Ok(action) => actions.push(action),
                Err(reason) => self.not_honoured.push(format!("topology.nodes.{name}.sysctls: {reason}")),
            }
        }
        for line in &node.exec {
            match exec_line::parse(line) {
                Ok(action) => actions.push(action),
                Err(reason) => {
                    self.not_honoured.push(format!("topology.nodes.{name}.exec: `{line}`: {reason}"));
                }
            }
        }
        actions
    }

    fn label<'m>(&self, member: &'m Member, label: &str) -> Option<&'m str> {
        member.node.labels.get(label).map(String::as_str)
    }

    fn number<N: std::str::FromStr>(&self, member: &Member, label: &str, default: N) -> Result<N, Error> {
        let Some(text) = self.label(member, label) else { return Ok(default) };
        let field = format!("labels.{label}");
        text.parse()
            .map_err(|_| self.wrong(&member.name, &field, format!("{text:?} is not a number in range")))
    }

    fn asn(&self, member: &Member, default: u32) -> Result<u32, Error> {
        match self.number(member, "routelet.dev/asn", default)? {
            // RFC 7607 reserves it; nobody would accept the session.
            0 => Err(self.wrong(&member.name, "labels.routelet.dev/asn", "AS 0 is reserved")),
            asn => Ok(asn),
        }
    }

    fn prefixes(&self, member: &Member, label: &str) -> Result<Vec<Prefix>, Error> {
        let mut prefixes = Vec::new();
        for text in self.label(member, label).into_iter().flat_map(|list| list.split(',')) {
            let field = format!("labels.{label}");
            let prefix: Prefix =
                text.trim().parse().map_err(|error| self.wrong(&member.name, &field, format!("{error}")))?;
            if self.uses(prefix.family()) {
                prefixes.push(prefix);
            }
        }
        Ok(prefixes)
    }

    fn cluster_node(&self, member: &Member) -> Result<ClusterNode, Error> {
        let node = ClusterNode {
            name: member.name.clone(),
            asn: self.asn(member, NODE_ASN)?,
            addresses: first_of_each(&addresses(self.topology, member)),
            pod_cidrs: self.prefixes(member, "routelet.dev/pod-cidrs")?,
            pods: self.number(member, "routelet.dev/pods", 2)?,
        };
        for family in Family::ALL.into_iter().filter(|family| self.uses(*family)) {
            if !node.addresses.iter().any(|address| Family::of(*address) == family) {
                let reason = format!("no address is given to it, and {family} is to be played");
                return Err(self.wrong(&member.name, "exec", reason));
            }
            if !node.pod_cidrs.iter().any(|prefix| prefix.family() == family) {
                let reason = format!("a pod CIDR is needed, and {family} is to be played");
                return Err(self.wrong(&member.name, "labels.routelet.dev/pod-cidrs", reason));
            }
        }
        Ok(node)
    }

    fn router(
        &self,
        member: &Member,
        native: Program,
        plan: &Plan,
        members: &BTreeMap<String, Member>,
    ) -> Result<Router, Error> {
        let own = addresses(self.topology, member);
        let mut sessions = Vec::new();
        for node in &plan.nodes {
            let Some(peer) = members.get(&node.name) else { continue };
            for theirs in addresses(self.topology, peer) {
                let Some(ours) = own.iter().find(|ours| same_subnet(**ours, theirs)) else { continue };
                if self.uses(Family::of(theirs.ip())) {
                    sessions.push(Session {
                        node: node.name.clone(),
                        node_asn: node.asn,
                        node_address: theirs.ip(),
                        router_address: ours.ip(),
                    });
                }
            }
        }
        sessions.sort_by_key(|session| (session.family(), session.router_address));
        Ok(Router {
            name: member.name.clone(),
            asn: self.asn(member, ROUTER_ASN)?,
            router_id: router_id(member, plan.routers.len()),
            native,
            announce: self.prefixes(member, "routelet.dev/announce")?,
            sessions,
        })
    }

    fn host(&self, member: &Member) -> Host {
        Host { name: member.name.clone(), addresses: first_of_each(&addresses(self.topology, member)) }
    }
}

/// The families that the addresses of the cluster's nodes are of; of all members if there is no
/// cluster.
fn present(topology: &Topology, members: &BTreeMap<String, Member>) -> BTreeSet<Family> {
    let of = |wanted: fn(&Member) -> bool| -> BTreeSet<Family> {
        let members = members.values().filter(|member| wanted(member));
        members
            .flat_map(|member| addresses(topology, member))
            .map(|address| Family::of(address.ip()))
            .collect()
    };
    let families = of(|member| matches!(Role::of(&member.node), Role::Node));
    if families.is_empty() { of(|_| true) } else { families }
}

/// The addresses a member is given, by its links and by its `exec` lines.
fn addresses(topology: &Topology, member: &Member) -> Vec<IpNetwork> {
    let ends = topology.links.iter().flat_map(|link| &link.ends);
    let by_link = ends.filter(|end| end.node == member.name).flat_map(|end| end.addresses.iter().copied());
    let by_exec = member.actions.iter().filter_map(|action| match action {
        Action::AddAddress { link, address } if link != "lo" => Some(*address),
        _ => None,
    });
    by_link.chain(by_exec).collect()
}

fn first_of_each(addresses: &[IpNetwork]) -> Vec<IpAddr> {
    let first = |family| addresses.iter().map(|network| network.ip()).find(|ip| Family::of(*ip) == family);
    Family::ALL.into_iter().filter_map(first).collect()
}

fn same_subnet(a: IpNetwork, b: IpNetwork) -> bool {
    Prefix::from(a) == Prefix::from(b)
}

/// A BGP identifier is an IPv4 address in form, also where no IPv4 is spoken (RFC 6286): the
/// member's own if the file gives it one in any family, else one of the documentation range.
fn router_id(member: &Member, position: usize) -> Ipv4Addr {
    let lines = member.node.exec.iter().filter_map(|line| exec_line::parse(line).ok());
    let own = lines.into_iter().find_map(|action| match action {
        Action::AddAddress { address: IpNetwork::V4(address), .. } => Some(address.ip()),
        _ => None,
    });
    own.unwrap_or_else(|| Ipv4Addr::new(192, 0, 2, u8::try_from(position + 1).unwrap_or(u8::MAX)))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            (tor.asn, tor.router_id, tor.native),
            (65000, Ipv4Addr::new(192, 168, 1, 1), Program::Frr)
        );
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
            let node = format!(
                "    n: {{image: routelet, exec: [ip addr add 10.0.0.1/8 dev e], labels: {{{labels}}}}}"
            );
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
        let plan =
            plan("    h: {image: alpine, exec: [touch /x], sysctls: {kernel.panic: 1}}", None).unwrap();
        assert_eq!(
            plan.not_honoured,
            [
                "topology.nodes.h.sysctls: kernel.panic is not a parameter of a network namespace",
                "topology.nodes.h.exec: `touch /x`: only `ip` and `sysctl -w` are played"
            ]
        );
    }
}
