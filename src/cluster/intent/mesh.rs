//! Sessions among the nodes: `mesh: full`, and `mesh: reflectors` (RFC 4456).
//!
//! Both ends derive the same session from the same objects without talking to each other, so every
//! rule here must come out alike seen from either side: whether there is a session, between which
//! addresses, and what crosses it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::settings::{Role, Settings};
use super::{Findings, Local};
use crate::cluster::objects::Node;
use crate::prefix::{Family, Prefix};
use crate::speaker::intent::{
    AddPathIntent, AsPathRules, BfdIntent, Distance, Exchange, ExtendedNextHop, FastFailover, NextHopRule,
    PeerIntent, PeerOrigin, Policy, PrefixRule, RemoteAs, Timers,
};

/// Adds the sessions that the mesh implies, each under the name of its node. A `BgpPeer` that names an
/// address of a node takes the place of the mesh session with it.
pub(super) fn add_sessions(
    local: &Local<'_>,
    peers: &mut BTreeMap<String, PeerIntent>,
    findings: &mut Findings,
) {
    check_size(local, findings);
    check_reflectors(local, findings);
    let pods = Pods::of(local);
    let configured: BTreeSet<IpAddr> = peers.values().map(|peer| peer.address).collect();
    let mut taken: BTreeMap<IpAddr, &str> =
        local.node.addresses.iter().map(|address| (*address, local.name)).collect();
    for (name, (node, settings)) in local.others {
        let Some((import, export)) = pods.exchanged(local, node, settings) else { continue };
        if node.addresses.iter().any(|address| configured.contains(address)) {
            continue;
        }
        let Some((source, address)) = endpoints((local.name, local.node), (name, node)) else {
            let text =
                format!("shares no address family with Node {}, so that no session is possible", local.name);
            findings.warning(format!("Node {name}"), "status.addresses", text);
            continue;
        };
        // A node that was replaced may leave its Node object behind for a while.
        if let Some(holder) = taken.get(&address) {
            let text =
                format!("{address} is an address of Node {holder} too, so that no session is possible");
            findings.warning(format!("Node {name}"), "status.addresses", text);
            continue;
        }
        if peers.contains_key(*name) {
            let text = format!("is also the name of the mesh session with Node {name}");
            findings.error(format!("BgpPeer {name}"), "metadata.name", text);
            continue;
        }
        taken.insert(address, name);
        let families = common_families(local.node, node).collect();
        let session = session(local, settings, source, address);
        peers.insert((*name).to_owned(), PeerIntent { import, export, families, ..session });
    }
}

/// A mesh session, but for what it exchanges.
fn session(local: &Local<'_>, theirs: &Settings, source: IpAddr, address: IpAddr) -> PeerIntent {
    let internal = theirs.asn == local.settings.asn;
    PeerIntent {
        origin: PeerOrigin::Mesh,
        address,
        interface: None,
        port: theirs.listen.port,
        asn: RemoteAs::Exactly(theirs.asn),
        // The other side knows us by this address, and would refuse us under another.
        source: Some(source),
        source_interface: None,
        socket_mark: local.settings.listen.mark,
        families: BTreeSet::new(),
        timers: Timers::default(),
        password: None,
        // Nodes of one cluster may be routers apart also where they are in different ASes.
        distance: if internal { Distance::Default } else { Distance::Multihop(255) },
        fast_failover: FastFailover::default(),
        bfd: bfd(local.settings, theirs),
        passive: theirs.listen.addresses.is_empty(),
        import: Policy::default(),
        export: Policy::default(),
        export_communities: vec![],
        anycast: match local.settings.mesh {
            Some(Role::Reflector) => Exchange::All,
            _ => Exchange::Own,
        },
        scope_name: None,
        route_reflector_client: internal
            && (local.settings.mesh, theirs.mesh) == (Some(Role::Reflector), Some(Role::Client)),
        next_hop: NextHopRule::Standard,
        extended_next_hop: ExtendedNextHop::default(),
        add_path: AddPathIntent::default(),
        as_path: AsPathRules::default(),
        accept_blackhole: false,
        role: None,
        role_strict: false,
        max_prefixes: None,
        graceful_restart: local.settings.restart.intent(),
    }
}

/// BFD as this node is to have it with another; `None` where not both have it.
fn bfd(ours: &Settings, theirs: &Settings) -> Option<BfdIntent> {
    let (ours, theirs) = (ours.bfd.as_ref()?, theirs.bfd.as_ref()?);
    // Single hop and multihop are spoken on different ports.
    Some(BfdIntent { hops: ours.hops.max(theirs.hops), ..ours.clone() })
}

/// What sessions of a node exchange. With reflectors that is about the pods of all nodes, on each of many
/// sessions: a list that is made once, and shared.
struct Pods {
    own: Policy,
    /// Those of all nodes but this one.
    others: Policy,
    all: Policy,
}

impl Pods {
    fn of(local: &Local<'_>) -> Pods {
        let own = || local.node.pod_cidrs.iter().copied();
        let reflected = matches!(local.settings.mesh, Some(Role::Reflector | Role::Client));
        let others = || local.other_pod_cidrs().filter(|_| reflected);
        Pods { own: exactly(own()), others: exactly(others()), all: exactly(own().chain(others())) }
    }

    /// Import and export policy of the session with another node; `None` where there is no session.
    ///
    /// Pod CIDRs and nothing else: addresses of Services are a matter of [`Exchange`]. A node that reflects
    /// passes on what is not its own, so towards and from it there are those of all nodes.
    fn exchanged(&self, local: &Local<'_>, node: &Node, theirs: &Settings) -> Option<(Policy, Policy)> {
        use Role::{Client, Full, Reflector};
        let peers = || exactly(node.pod_cidrs.iter().copied());
        match (local.settings.mesh?, theirs.mesh?) {
            (Full, Full) => Some((peers(), self.own.clone())),
            (Reflector, Client) => Some((peers(), self.all.clone())),
            (Client, Reflector) => Some((self.others.clone(), self.own.clone())),
            (Reflector, Reflector) => Some((self.others.clone(), self.all.clone())),
            (Client, Client) | (Full, Reflector | Client) | (Reflector | Client, Full) => None,
        }
    }
}

fn exactly(prefixes: impl Iterator<Item = Prefix>) -> Policy {
    Policy::accepting(prefixes.map(PrefixRule::exactly))
}

/// Local and remote address of the session between two nodes: of the first family that both have. The
/// order is that of the node whose name sorts first, for both sides must choose alike.
fn endpoints(own: (&str, &Node), other: (&str, &Node)) -> Option<(IpAddr, IpAddr)> {
    let first = if own.0 < other.0 { own.1 } else { other.1 };
    let families = first.addresses.iter().map(|address| Family::of(*address));
    families.into_iter().find_map(|family| Some((own.1.address(family)?, other.1.address(family)?)))
}

/// Families that can be exchanged: a next hop is needed on either side.
fn common_families(own: &Node, other: &Node) -> impl Iterator<Item = Family> {
    let both = |family: &Family| own.address(*family).is_some() && other.address(*family).is_some();
    Family::ALL.into_iter().filter(both)
}

/// The most nodes of a full mesh that nothing is said about. Each node holds a session with every other,
/// and each of n nodes that start together hears from n - 1 others.
const MOST_IN_FULL_MESH: usize = 100;

/// A full mesh grows with the square of its nodes.
fn check_size(local: &Local<'_>, findings: &mut Findings) {
    let others = local.others.values().filter(|(_, settings)| settings.mesh == Some(Role::Full)).count();
    let nodes = others + 1;
    if local.settings.mesh == Some(Role::Full) && nodes > MOST_IN_FULL_MESH {
        let all = nodes * others / 2;
        let text = format!(
            "a full mesh of {nodes} nodes is {others} sessions on each and {all} in all; with mesh: reflectors \
             and {REFLECTORS_ENOUGH} reflectors it is {REFLECTORS_ENOUGH} on each of the others"
        );
        findings.warning("BgpConfiguration default", "spec.mesh", text);
    }
}

/// Of so many, one may be down for maintenance while another fails.
const REFLECTORS_ENOUGH: usize = 3;

/// Clients without a reflector talk to nobody, and reflection stays inside an AS (RFC 4456 §6).
fn check_reflectors(local: &Local<'_>, findings: &mut Findings) {
    if local.settings.mesh != Some(Role::Client) {
        return;
    }
    let reflectors = || local.others.values().filter(|(_, settings)| settings.mesh == Some(Role::Reflector));
    let asn = local.settings.asn;
    let node = format!("Node {}", local.name);
    if reflectors().next().is_none() {
        let text = "is a client, but no Node is a reflector: spec.reflectors.nodeSelector matches none";
        findings.warning(node, "", text);
    } else if !reflectors().any(|(_, settings)| settings.asn == asn) {
        let text = format!(
            "is a client in AS {asn}, where no Node is a reflector: those of other ASes are external peers to it, \
             and what they pass on goes by them"
        );
        findings.warning(node, "", text);
    }
}
