//! What the nodes have to say: their sessions, and the routes they have put in the kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::output::{Look, Output};
use super::plan::Plan;
use super::sandbox::Sandbox;
use crate::api::proto::{Peer, SessionState};
use crate::api::{self, Client, Word};
use crate::fib::{Route, Target};
use crate::kernel::found;
use crate::kernel::routes::Ownership;
use crate::prefix::Prefix;

/// Routelet's routes: table `main`, its default protocol number.
const OURS: Ownership = Ownership { table: 254, protocol: 114 };

/// One node's view.
#[derive(Debug)]
pub struct NodeReport {
    /// The node's name.
    pub name: String,
    /// Its sessions; or why it cannot be asked.
    pub peers: Result<Vec<Peer>, String>,
    /// Its routes in the kernel.
    pub routes: Vec<Route>,
}

impl NodeReport {
    /// Asks a node's daemon, and its kernel.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub async fn ask(sandbox: &Sandbox) -> anyhow::Result<NodeReport> {
        let peers = peers(sandbox).await.map_err(|error| error.to_string());
        let routes = sandbox.network()?.enter(|| found::found(OURS))??.routes;
        Ok(NodeReport { name: sandbox.name.clone(), peers, routes })
    }

    /// Whether all sessions are established.
    pub fn is_settled(&self) -> bool {
        self.peers.as_ref().is_ok_and(|peers| peers.iter().all(is_established))
    }

    /// The sessions that are down, in words.
    pub fn sessions_down(&self) -> Vec<String> {
        match &self.peers {
            Err(error) => vec![format!("{}: {error}", self.name)],
            Ok(peers) => {
                let down = peers.iter().filter(|peer| !is_established(peer));
                down.map(|peer| {
                    let state = SessionState::word_of(peer.state);
                    let why = peer.last_error.as_deref().unwrap_or("no error so far");
                    format!("{}: session with {} ({}) is {state}: {why}", self.name, peer.name, peer.address)
                })
                .collect()
            }
        }
    }

    /// The report for programs.
    pub fn to_json(&self) -> Value {
        let peers: Vec<Value> = self
            .peers
            .iter()
            .flatten()
            .map(|peer| {
                json!({
                    "name": peer.name, "address": peer.address, "asn": peer.asn,
                    "state": SessionState::word_of(peer.state),
                })
            })
            .collect();
        let routes: Vec<Value> = self
            .routes
            .iter()
            .map(|route| json!({ "prefix": route.prefix.to_string(), "via": vias(route) }))
            .collect();
        json!({ "name": self.name, "peers": peers, "routes": routes })
    }
}

async fn peers(sandbox: &Sandbox) -> Result<Vec<Peer>, api::Error> {
    let mut client = Client::connect(&sandbox.path(api::DEFAULT_SOCKET)).await?;
    let answers = client.peers(None).await?;
    answers.collect().await
}

fn is_established(peer: &Peer) -> bool {
    peer.state == SessionState::Established as i32
}

fn vias(route: &Route) -> Vec<String> {
    match &route.target {
        Target::Via(next_hops) => next_hops.iter().map(|next_hop| next_hop.via.to_string()).collect(),
        Target::Unreachable => Vec::new(),
    }
}

/// Asks all nodes, again and again until every session is established or the deadline has passed.
///
/// # Errors
/// A kernel cannot be asked.
pub async fn settled(
    plan: &Plan,
    sandboxes: &BTreeMap<String, Sandbox>,
    deadline: Instant,
) -> anyhow::Result<Vec<NodeReport>> {
    loop {
        let mut reports = Vec::new();
        for node in &plan.nodes {
            if let Some(sandbox) = sandboxes.get(&node.name) {
                reports.push(NodeReport::ask(sandbox).await?);
            }
        }
        if reports.iter().all(NodeReport::is_settled) || Instant::now() >= deadline {
            return Ok(reports);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Shows each node's sessions and routes.
pub fn show(reports: &[NodeReport], out: &Output) {
    out.heading("What each node learned");
    for report in reports {
        out.line(out.look(Look::Bold, &report.name));
        match &report.peers {
            Err(error) => out.line(format_args!("  {}", out.look(Look::Bad, error))),
            Ok(peers) => peers.iter().for_each(|peer| {
                let look = if is_established(peer) { Look::Good } else { Look::Bad };
                let state = out.look(look, SessionState::word_of(peer.state));
                let asn = peer.asn.map_or_else(|| "?".to_owned(), |asn| asn.to_string());
                out.line(format_args!(
                    "  session {:<12} {:<20} AS {asn:<10} {state}",
                    peer.name, peer.address
                ));
            }),
        }
        for route in &report.routes {
            let way = match &route.target {
                Target::Via(_) => format!("via {}", vias(route).join(", ")),
                Target::Unreachable => "unreachable (the node's own pods lie below)".to_owned(),
            };
            out.line(format_args!("  route   {:<33} {way}", route.prefix.to_string()));
        }
    }
}

/// Prefixes of other nodes and of routers that a node should have a route to, and has not.
pub fn missing_routes(plan: &Plan, reports: &[NodeReport]) -> Vec<String> {
    let mut missing = Vec::new();
    for report in reports {
        let others = plan.nodes.iter().filter(|node| node.name != report.name);
        let behind = plan.routers.iter().filter(|r| r.sessions.iter().any(|s| s.node == report.name));
        let expected: Vec<Prefix> = others
            .flat_map(|node| node.pod_cidrs.iter().copied())
            .chain(behind.flat_map(|router| router.announce.iter().copied()))
            .collect();
        for prefix in expected {
            let via = |route: &&Route| route.prefix == prefix && matches!(route.target, Target::Via(_));
            if !report.routes.iter().any(|route| via(&route)) {
                missing.push(format!("{} has no route to {prefix}", report.name));
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fib::NextHop;
    use crate::lab::topology::Topology;
    use crate::prefix::Family;

    fn route(prefix: &str, via: Option<&str>) -> Route {
        let next_hop = |via: &str| NextHop { via: via.parse().unwrap(), interface: None, weight: 1 };
        let target = via.map_or(Target::Unreachable, |via| Target::Via(vec![next_hop(via)]));
        Route { prefix: prefix.parse().unwrap(), target, metric: 20, group: None }
    }

    #[test]
    fn what_is_missing_is_named() {
        let four = [Family::Ipv4Unicast].into();
        let plan = Plan::new(&Topology::built_in().unwrap(), Some(&four)).unwrap();
        let down = Peer {
            name: "tor-ipv4".to_owned(),
            address: "192.168.1.1".to_owned(),
            state: SessionState::Active as i32,
            last_error: Some("connection refused".to_owned()),
            ..Peer::default()
        };
        let up = Peer { state: SessionState::Established as i32, ..Peer::default() };
        let report = NodeReport {
            name: "node1".to_owned(),
            peers: Ok(vec![up, down]),
            // An unreachable route is no way to another node's pods.
            routes: vec![route("10.244.2.0/24", Some("192.168.1.12")), route("10.244.3.0/24", None)],
        };
        assert!(!report.is_settled());
        assert_eq!(
            report.sessions_down(),
            ["node1: session with tor-ipv4 (192.168.1.1) is Active: connection refused"]
        );
        assert_eq!(
            missing_routes(&plan, &[report]),
            ["node1 has no route to 10.244.3.0/24", "node1 has no route to 172.16.0.0/24"]
        );
    }
}
