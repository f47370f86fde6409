//! Objects to Intent: what all objects together mean for one node. A pure function.
//!
//! `settings` lays the `BgpConfiguration`s that select a node over each other; `mesh` derives the
//! sessions among the nodes from that; `peer` adds what `BgpPeer`s ask for; `services` finds out which addresses
//! of Services the node announces; `leaving` what it lets go of. `around` does the same where single peers are
//! at fault. What the objects ask and the daemon cannot do yet becomes a warning that names the field, never
//! silence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod around;
mod leaving;
mod mesh;
mod peer;
mod services;
mod settings;
#[cfg(test)]
mod tests;

pub use self::around::{Basis, compile_around};
pub use self::services::{advertisers, announced_by_none_but};
use self::settings::Settings;
use super::objects::cni::Mode;
use super::objects::{Node, ObjectSet};
use super::{Error, Finding};
use crate::prefix::Prefix;
use crate::speaker::intent::{Intent, PeerOrigin};

/// Everything that the objects mean for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// What the speaker is to do. Shared with it: with thousands of peers it is large.
    pub intent: Arc<Intent>,
    /// What the node's pod network is to look like.
    pub network: NodeNetwork,
    /// Key of the taint that the Node loses when it can take pods.
    pub startup_taint: Option<String>,
    /// What is asked for and not done, or likely not meant. Sorted, without duplicates.
    pub warnings: Vec<Finding>,
}

/// The pod network of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeNetwork {
    /// Prefixes that pods get their addresses from.
    pub pod_cidrs: Vec<Prefix>,
    /// How they are attached.
    pub pods: PodNetwork,
    /// Policy rules that lead to the routing table of our routes.
    pub rules: Vec<RuleIntent>,
    /// The kernel's `rp_filter` may be made loose where it is strict.
    pub loose_reverse_path: bool,
}

/// How the pods of a node are attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNetwork {
    /// Name of the CNI network.
    pub name: String,
    /// Whether they share a link.
    pub mode: Mode,
    /// Name of the bridge that they share.
    pub bridge: String,
    /// MTU of bridge and pods in octets; that of the path if `None`.
    pub mtu: Option<u32>,
    /// Frames may leave by the port of the bridge that they came in by.
    pub hairpin: bool,
    /// They reach what is not exempt under the node's address.
    pub masquerade: bool,
    /// Destinations that see their own addresses: those of all nodes' pods, and what is configured. In order,
    /// without duplicates.
    pub exempt: Vec<Prefix>,
    /// Destinations of learned routes are not exempt.
    pub masquerade_learned: bool,
}

/// Which packets are routed by our table, if that is not `main`. What is absent does not restrict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleIntent {
    /// Rules are tried in this order, the lowest number first.
    pub priority: u32,
    /// Where packets come from.
    pub from: Option<Prefix>,
    /// Where they go.
    pub to: Option<Prefix>,
    /// The interface that they come in by.
    pub interface: Option<String>,
    /// Their mark, and which bits of it count.
    pub mark: Option<(u32, u32)>,
}

/// Derives the Intent of the node `node_name`.
///
/// # Errors
/// There is no such node, or objects contradict each other or refer to what does not exist; all such
/// findings are in the error.
pub fn compile(objects: &ObjectSet, node_name: &str) -> Result<Compiled, Error> {
    let Some(node) = objects.nodes.get(node_name) else {
        return Err(Error::Objects(vec![no_such_node(objects, node_name)]));
    };
    let mut findings = Findings::default();
    let own = Settings::of(objects, node_name, node, &mut findings.errors);
    let others = other_nodes(objects, node_name, &mut findings);
    let local = Local { name: node_name, node, settings: &own, others: &others };
    local.check(&mut findings);

    let (mut peers, mut ranges) = peer::sessions(&local, objects, &mut findings);
    mesh::add_sessions(&local, &mut peers, &mut findings);
    let advertised = services::advertise(objects, (node_name, node), &own.service_cidrs, &mut findings);
    services::warn_of_untold(&advertised, &peers, &ranges, &mut findings);
    let listed = (peers.iter_mut()).filter(|(_, peer)| peer.origin != PeerOrigin::Mesh);
    for (name, peer) in listed.chain(ranges.iter_mut().map(|(name, range)| (name, &mut range.template))) {
        peer.scope_name = advertised.named.get(name).cloned();
    }
    let warnings = findings.finish()?;
    let retreat = leaving::retreat(node);

    let addresses = objects.nodes.values().flat_map(|node| &node.addresses);
    let intent = Intent {
        node_name: node_name.to_owned(),
        asn: own.asn,
        router_id: own.router_id,
        addresses: node.addresses.clone(),
        pod_cidrs: node.pod_cidrs.clone(),
        originated: Arc::new(advertised.originated),
        scopes: Arc::new(advertised.scopes),
        protected: (node.pod_cidrs.iter().copied())
            .chain(addresses.map(|address| Prefix::host(*address)))
            .chain(own.service_cidrs.iter().copied())
            .collect(),
        listen: own.listen.clone(),
        fib: own.fib.clone(),
        // Told to all nodes, and meant for those that reflect: a client that went by it would take every
        // path that a reflector passes on for one of its own (RFC 4456 §8).
        cluster_id: own.cluster_id.filter(|_| peers.values().any(|peer| peer.route_reflector_client)),
        gate: own.readiness.gate(peers.len()),
        peers,
        ranges,
        retreat,
        last_announced: advertised.last_announced,
    };
    let all_pods = objects.nodes.values().flat_map(|node| node.pod_cidrs.iter().copied());
    let exempt: BTreeSet<Prefix> = own.pods.exempt.iter().copied().chain(all_pods).collect();
    let network = NodeNetwork {
        pod_cidrs: node.pod_cidrs.clone(),
        pods: PodNetwork { exempt: exempt.into_iter().collect(), ..own.pods.clone() },
        rules: own.rules.clone(),
        loose_reverse_path: own.loose_reverse_path,
    };
    let startup_taint = own.readiness.startup_taint.clone();
    Ok(Compiled { intent: Arc::new(intent), network, startup_taint, warnings })
}

/// The node an Intent is made for, and the others as seen from it.
struct Local<'a> {
    name: &'a str,
    node: &'a Node,
    settings: &'a Settings,
    /// Every other node by name, with the settings that hold for it.
    others: &'a BTreeMap<&'a str, (&'a Node, Settings)>,
}

/// Gathers what there is to say until everything has been looked at.
#[derive(Default)]
struct Findings {
    errors: Vec<Finding>,
    warnings: BTreeSet<Finding>,
}

impl Findings {
    fn error(&mut self, object: impl Into<String>, field: &str, text: impl Into<String>) {
        self.errors.push(Finding::about(object, field, text));
    }

    fn warning(&mut self, object: impl Into<String>, field: &str, text: impl Into<String>) {
        self.warnings.insert(Finding::about(object, field, text));
    }

    fn finish(self) -> Result<Vec<Finding>, Error> {
        if self.errors.is_empty() {
            Ok(self.warnings.into_iter().collect())
        } else {
            Err(Error::Objects(self.errors))
        }
    }
}

fn no_such_node(objects: &ObjectSet, name: &str) -> Finding {
    let names: Vec<&str> = objects.nodes.keys().map(String::as_str).collect();
    // Enough of them to see what went wrong: a cluster has thousands.
    const NAMED: usize = 10;
    let more = names.len().saturating_sub(NAMED);
    let known = match (names.is_empty(), more) {
        (true, _) => "there is none at all".to_owned(),
        (_, 0) => format!("known: {}", names.join(", ")),
        _ => format!("known: {} and {more} more", names[..NAMED].join(", ")),
    };
    Finding::about(format!("Node {name}"), "", format!("there is no such Node; {known}"))
}

/// The other nodes. One whose own configuration contradicts itself has no part in the mesh until that
/// is mended, but keeps nobody else from working.
fn other_nodes<'a>(
    objects: &'a ObjectSet,
    own: &str,
    findings: &mut Findings,
) -> BTreeMap<&'a str, (&'a Node, Settings)> {
    let mut others = BTreeMap::new();
    for (name, node) in objects.nodes.iter().filter(|(name, _)| *name != own) {
        let mut errors = vec![];
        let mut settings = Settings::of(objects, name, node, &mut errors);
        if !errors.is_empty() {
            findings.warnings.extend(errors);
            settings.mesh = None;
        }
        others.insert(name.as_str(), (node, settings));
    }
    others
}

impl Local<'_> {
    /// Notes where the node stands in another's way.
    fn check(&self, findings: &mut Findings) {
        let object = format!("Node {}", self.name);
        for (name, (other, settings)) in self.others {
            if settings.router_id == self.settings.router_id {
                let text = format!("has the BGP identifier {} that Node {name} has too", settings.router_id);
                findings.warning(&object, "", text);
            }
            for own in &self.node.pod_cidrs {
                for theirs in other.pod_cidrs.iter().filter(|p| p.contains(*own) || own.contains(**p)) {
                    let text = format!("{own} overlaps {theirs} of Node {name}");
                    findings.warning(&object, "spec.podCIDRs", text);
                }
            }
        }
    }

    /// Pod CIDRs of every other node.
    fn other_pod_cidrs(&self) -> impl Iterator<Item = Prefix> {
        self.others.values().flat_map(|(node, _)| node.pod_cidrs.iter().copied())
    }
}
