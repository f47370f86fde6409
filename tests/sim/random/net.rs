//! A network as plain facts: who there is, who talks to whom, and what either side makes of it. The
//! speakers are given these facts as intents, the oracle reads them as they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use routelet::bgp::Community;
use routelet::prefix::{Family, Prefix};
use routelet::rib::next_hop::UnderlayRoute;
use routelet::rib::policy::{Action, AnyCommunity, Match, Rule, Set};
use routelet::speaker::Intent;
use routelet::speaker::intent::{
    AddPathIntent, AsPathRules, Distance, Exchange, ExtendedNextHop, FastFailover, FibIntent, GateTerms,
    GracefulRestart, Listen, LocalAs, MaxPrefixes, NextHopRule, PeerIntent, PeerOrigin, Policy, PrefixRule,
    RemoteAs, Timers,
};

use crate::plan::FIB;
use crate::world::Setup;

/// Everybody and every session.
#[derive(Debug, Clone)]
pub struct Net {
    pub shape: &'static str,
    pub nodes: Vec<Node>,
    pub links: Vec<Link>,
    /// All addresses lie on one subnet; else each is reached by a route of its own.
    pub one_subnet: bool,
}

/// One speaker.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: &'static str,
    pub asn: u32,
    pub router_id: Ipv4Addr,
    /// One of each family in use; sessions run over the first.
    pub addresses: Vec<IpAddr>,
    pub prefixes: BTreeSet<Prefix>,
    pub cluster_id: Option<Ipv4Addr>,
    pub max_paths: u16,
    /// Nodes whose addresses it cannot reach at present.
    pub cut_off: BTreeSet<usize>,
    /// The kernel's metric on the way to each node; 0 where it is connected.
    pub metrics: BTreeMap<usize, u32>,
}

/// A session between two nodes, as each of them has it configured.
#[derive(Debug, Clone)]
pub struct Link {
    pub ends: [End; 2],
    /// Each end's configuration has it.
    pub configured: [bool; 2],
}

/// One side of a session.
#[derive(Debug, Clone)]
pub struct End {
    pub node: usize,
    /// The other side is a route reflection client of this one.
    pub serves_client: bool,
    /// What policy sets on import.
    pub local_pref: Option<u32>,
    /// What policy sets on export.
    pub med: Option<u32>,
    pub prepend: u8,
    pub community: Option<Community>,
    /// Prefixes that are not told, and prefixes that are not taken.
    pub withheld: BTreeSet<Prefix>,
    pub refused: BTreeSet<Prefix>,
    pub next_hop_self: bool,
    pub passive: bool,
    pub local_as: Option<LocalAs>,
    pub allow_own_as: u8,
    pub hold: u64,
    pub max_prefixes: Option<MaxPrefixes>,
    pub graceful: bool,
}

impl End {
    pub fn new(node: usize) -> End {
        End {
            node,
            serves_client: false,
            local_pref: None,
            med: None,
            prepend: 0,
            community: None,
            withheld: BTreeSet::new(),
            refused: BTreeSet::new(),
            next_hop_self: false,
            passive: false,
            local_as: None,
            allow_own_as: 0,
            hold: 30,
            max_prefixes: None,
            graceful: false,
        }
    }
}

impl Link {
    pub fn new(a: usize, b: usize) -> Link {
        Link { ends: [End::new(a), End::new(b)], configured: [true; 2] }
    }

    /// Whether it comes up: both sides want it.
    pub fn is_up(&self) -> bool {
        self.configured == [true; 2]
    }
}

impl Net {
    /// The AS that one end of a link shows to the other.
    pub fn shown_as(&self, end: &End) -> u32 {
        end.local_as.map_or(self.nodes[end.node].asn, |local_as| local_as.asn)
    }

    pub fn is_external(&self, link: &Link) -> bool {
        self.shown_as(&link.ends[0]) != self.shown_as(&link.ends[1])
    }

    /// Every session of a node: its own end and the other, up or not.
    pub fn sessions(&self, node: usize) -> impl Iterator<Item = (&Link, usize)> {
        self.links.iter().filter_map(move |link| {
            let own = link.ends.iter().position(|end| end.node == node)?;
            Some((link, own))
        })
    }

    /// Every prefix that anybody has.
    pub fn prefixes(&self) -> BTreeSet<Prefix> {
        self.nodes.iter().flat_map(|node| node.prefixes.iter().copied()).collect()
    }

    pub fn setup(&self, node: usize) -> Setup {
        Setup {
            addresses: self.nodes[node].addresses.clone(),
            intent: self.intent(node).into(),
            underlay: self.underlay(node),
        }
    }

    /// What a node's kernel knows by itself.
    pub fn underlay(&self, node: usize) -> Vec<UnderlayRoute> {
        let own = &self.nodes[node];
        if self.one_subnet {
            let subnet = |address: &IpAddr| UnderlayRoute {
                prefix: Prefix::new(*address, if address.is_ipv4() { 16 } else { 64 }).unwrap(),
                via: None,
                interface: Some(2),
                metric: 0,
            };
            return if own.cut_off.is_empty() { own.addresses.iter().map(subnet).collect() } else { vec![] };
        }
        let others = (0..self.nodes.len()).filter(|i| *i != node && !own.cut_off.contains(i));
        let route = |i: usize, address: IpAddr| {
            let metric = own.metrics.get(&i).copied().unwrap_or(0);
            let via = (metric > 0).then_some(address);
            UnderlayRoute { prefix: Prefix::host(address), via, interface: Some(2 + i as u32), metric }
        };
        others.flat_map(|i| self.nodes[i].addresses.iter().map(move |a| route(i, *a))).collect()
    }

    pub fn intent(&self, node: usize) -> Intent {
        let own = &self.nodes[node];
        let sessions = self.sessions(node).filter(|(link, own)| link.configured[*own]);
        let peers = sessions.map(|(link, own)| {
            let other = &self.nodes[link.ends[1 - own].node];
            (other.name.to_owned(), self.peer(link, own))
        });
        Intent {
            node_name: own.name.to_owned(),
            asn: own.asn,
            router_id: own.router_id,
            addresses: own.addresses.clone(),
            pod_cidrs: own.prefixes.iter().copied().collect(),
            originated: Arc::default(),
            scopes: Arc::default(),
            protected: own.prefixes.clone(),
            listen: Listen { port: 179, addresses: BTreeSet::new(), mark: 0 },
            fib: FibIntent { max_paths: own.max_paths, ..FIB },
            cluster_id: own.cluster_id,
            peers: peers.collect(),
            ranges: BTreeMap::new(),
            gate: GateTerms::default(),
            retreat: None,
            last_announced: BTreeSet::new(),
        }
    }

    fn peer(&self, link: &Link, own: usize) -> PeerIntent {
        let (end, other) = (&link.ends[own], &link.ends[1 - own]);
        let addresses = &self.nodes[other.node].addresses;
        let import = Set { local_pref: end.local_pref, ..Set::default() };
        let export = Set { med: end.med, prepend: end.prepend, ..Set::default() };
        let add = end.community.map(AnyCommunity::Plain);
        let export = Set { add_communities: add.into_iter().collect(), ..export };
        PeerIntent {
            origin: PeerOrigin::Configured,
            address: addresses[0],
            interface: None,
            port: 179,
            asn: RemoteAs::Exactly(self.shown_as(other)),
            source: None,
            source_interface: None,
            socket_mark: 0,
            extended_next_hop: ExtendedNextHop::default(),
            families: addresses.iter().map(|address| Family::of(*address)).collect(),
            timers: Timers {
                hold: Duration::from_secs(end.hold),
                keepalive: Duration::from_secs(end.hold / 3),
                connect_retry: Duration::from_secs(5),
                ..Timers::default()
            },
            password: None,
            distance: Distance::Default,
            fast_failover: FastFailover::default(),
            passive: end.passive,
            import: all_but(&end.refused, import),
            export: all_but(&end.withheld, export),
            export_communities: vec![],
            anycast: Exchange::ByPolicy,
            scope_name: None,
            route_reflector_client: end.serves_client,
            next_hop: if end.next_hop_self { NextHopRule::Own } else { NextHopRule::Standard },
            as_path: AsPathRules {
                allow_own_as: end.allow_own_as,
                local_as: end.local_as,
                ..AsPathRules::default()
            },
            accept_blackhole: false,
            role: None,
            role_strict: false,
            max_prefixes: end.max_prefixes,
            graceful_restart: end.graceful.then(GracefulRestart::default),
            add_path: AddPathIntent::default(),
            bfd: None,
        }
    }
}

/// Accepts everything but these prefixes, with these changes.
fn all_but(prefixes: &BTreeSet<Prefix>, set: Set) -> Policy {
    let mut rules = vec![];
    if !prefixes.is_empty() {
        let prefixes = Some(prefixes.iter().copied().map(PrefixRule::exactly).collect());
        let matches = Match { prefixes, ..Match::default() };
        rules.push(Rule { matches, set: Set::default(), action: Some(Action::Reject) });
    }
    rules.push(Rule { matches: Match::default(), set, action: Some(Action::Accept) });
    Policy { rules }
}
