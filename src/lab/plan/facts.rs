//! From members, links and labels to the cluster's nodes, its routers and the hosts around it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use super::{ClusterNode, Host, Member, Role, Router, Session, addresses};
use crate::lab::exec_line::{self, Action};
use crate::lab::topology::{Error, Link};
use crate::lab::tor::Program;
use crate::prefix::{Family, Prefix};

/// The AS of the nodes where no label says otherwise.
const NODE_ASN: u32 = 64512;
/// The AS of a router where no label says otherwise.
const ROUTER_ASN: u32 = 65000;

/// What is known of the topology, restricted to the families in use.
pub(super) struct Facts<'a> {
    /// The file's name, for errors.
    pub origin: &'a str,
    pub families: &'a BTreeSet<Family>,
    pub links: &'a [Link],
    pub members: &'a BTreeMap<String, Member>,
}

impl Facts<'_> {
    pub fn nodes(&self) -> Result<Vec<ClusterNode>, Error> {
        let members = self.members.values().filter(|member| matches!(Role::of(&member.node), Role::Node));
        members.map(|member| self.node(member)).collect()
    }

    fn node(&self, member: &Member) -> Result<ClusterNode, Error> {
        let node = ClusterNode {
            name: member.name.clone(),
            asn: self.asn(member, NODE_ASN)?,
            addresses: first_of_each(&addresses(self.links, member)),
            pod_cidrs: self.prefixes(member, "routelet.dev/pod-cidrs")?,
            pods: self.number(member, "routelet.dev/pods", 2)?,
        };
        for family in self.families {
            if !node.addresses.iter().any(|address| Family::of(*address) == *family) {
                let reason = format!("no address is given to it, and {family} is to be played");
                return Err(self.wrong(member, "exec", reason));
            }
            if !node.pod_cidrs.iter().any(|prefix| prefix.family() == *family) {
                let reason = format!("a pod CIDR is needed, and {family} is to be played");
                return Err(self.wrong(member, "labels.routelet.dev/pod-cidrs", reason));
            }
        }
        Ok(node)
    }

    /// What the nodes' labels say that all pod CIDRs lie in; a node without the label stands for
    /// its own pod CIDRs.
    pub fn cluster_cidrs(&self, nodes: &[ClusterNode]) -> Result<Vec<Prefix>, Error> {
        let mut all = BTreeSet::new();
        for node in nodes {
            let Some(member) = self.members.get(&node.name) else { continue };
            let cidrs = self.prefixes(member, "routelet.dev/cluster-cidrs")?;
            all.extend(if cidrs.is_empty() { node.pod_cidrs.clone() } else { cidrs });
        }
        Ok(all.into_iter().collect())
    }

    pub fn routers(&self, nodes: &[ClusterNode]) -> Result<Vec<Router>, Error> {
        let mut routers = Vec::new();
        for member in self.members.values() {
            if let Role::Router(native) = Role::of(&member.node) {
                routers.push(self.router(member, native, nodes, routers.len())?);
            }
        }
        Ok(routers)
    }

    fn router(
        &self,
        member: &Member,
        native: Program,
        nodes: &[ClusterNode],
        position: usize,
    ) -> Result<Router, Error> {
        let own = addresses(self.links, member);
        let mut sessions = Vec::new();
        for node in nodes {
            let Some(peer) = self.members.get(&node.name) else { continue };
            for theirs in addresses(self.links, peer) {
                let same_subnet = |ours: &&IpNetwork| Prefix::from(**ours) == Prefix::from(theirs);
                if let Some(ours) = own.iter().find(same_subnet) {
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
            router_id: router_id(member, position),
            native,
            announce: self.prefixes(member, "routelet.dev/announce")?,
            sessions,
        })
    }

    pub fn hosts(&self) -> Vec<Host> {
        let is_host =
            |member: &&Member| matches!(Role::of(&member.node), Role::Host) && member.node.kind != "bridge";
        let host = |member: &Member| Host {
            name: member.name.clone(),
            addresses: first_of_each(&addresses(self.links, member)),
        };
        self.members.values().filter(is_host).map(host).collect()
    }

    fn asn(&self, member: &Member, default: u32) -> Result<u32, Error> {
        match self.number(member, "routelet.dev/asn", default)? {
            // RFC 7607 reserves it; nobody would accept the session.
            0 => Err(self.wrong(member, "labels.routelet.dev/asn", "AS 0 is reserved")),
            asn => Ok(asn),
        }
    }

    fn number<N: std::str::FromStr>(&self, member: &Member, label: &str, default: N) -> Result<N, Error> {
        let Some(text) = member.node.labels.get(label) else { return Ok(default) };
        let wrong =
            |_| self.wrong(member, &format!("labels.{label}"), format!("{text:?} is not a number in range"));
        text.parse().map_err(wrong)
    }

    /// The prefixes that a label lists, of the families in use.
    fn prefixes(&self, member: &Member, label: &str) -> Result<Vec<Prefix>, Error> {
        let mut prefixes = Vec::new();
        for text in member.node.labels.get(label).into_iter().flat_map(|list| list.split(',')) {
            let parsed = text.trim().parse::<Prefix>();
            let prefix =
                parsed.map_err(|error| self.wrong(member, &format!("labels.{label}"), error.to_string()))?;
            if self.families.contains(&prefix.family()) {
                prefixes.push(prefix);
            }
        }
        Ok(prefixes)
    }

    fn wrong(&self, member: &Member, field: &str, reason: impl Into<String>) -> Error {
        Error::Field {
            file: self.origin.to_owned(),
            field: format!("topology.nodes.{}.{field}", member.name),
            reason: reason.into(),
        }
    }
}

fn first_of_each(addresses: &[IpNetwork]) -> Vec<IpAddr> {
    let first = |family| addresses.iter().map(|network| network.ip()).find(|ip| Family::of(*ip) == family);
    Family::ALL.into_iter().filter_map(first).collect()
}

/// A BGP identifier is an IPv4 address in form, also where no IPv4 is spoken (RFC 6286): the
/// member's own if the file gives it one in any family, else one of the documentation range.
fn router_id(member: &Member, position: usize) -> Ipv4Addr {
    let mut lines = member.node.exec.iter().filter_map(|line| exec_line::parse(line).ok());
    let own = lines.find_map(|action| match action {
        Action::AddAddress { address: IpNetwork::V4(address), .. } => Some(address.ip()),
        _ => None,
    });
    own.unwrap_or_else(|| Ipv4Addr::new(192, 0, 2, u8::try_from(position + 1).unwrap_or(u8::MAX)))
}
