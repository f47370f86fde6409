//! Clusters as intents: three nodes and a ToR, as the reference cluster has them, and variations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use routelet::prefix::{Family, Prefix};
use routelet::rib::next_hop::UnderlayRoute;
use routelet::speaker::Intent;
use routelet::speaker::intent::{
    AddPathIntent, AsPathRules, Distance, Exchange, ExtendedNextHop, FastFailover, FibIntent, GateTerms,
    GracefulRestart, Listen, NextHopRule, PeerIntent, PeerOrigin, Policy, PrefixRule, RemoteAs, Timers,
};

/// Which families the cluster uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    Ipv4,
    Ipv6,
    Dual,
}

/// Metric of learned routes.
pub const METRIC: u32 = 20;
/// How learned routes reach the kernel unless a plan says otherwise.
pub const FIB: FibIntent = FibIntent {
    install: true,
    table: 254,
    protocol: 114,
    metric: METRIC,
    max_paths: 16,
    next_hop_groups: true,
    install_backup: false,
};
const NODE_AS: u32 = 64512;
const TOR_AS: u32 = 65000;

/// One member: where it is and what is behind it.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: &'static str,
    pub addresses: Vec<IpAddr>,
    pub prefixes: Vec<Prefix>,
}

/// The members, ToRs last, and who has a session with whom.
#[derive(Debug, Clone)]
pub struct Plan {
    pub members: Vec<Member>,
    /// The node that reflects routes among the others; a full mesh where there is none.
    reflector: Option<&'static str>,
    /// What every session is to do when one side restarts.
    pub graceful_restart: Option<GracefulRestart>,
}

impl Member {
    pub fn is_tor(&self) -> bool {
        self.name.starts_with("tor")
    }
}

impl Plan {
    pub fn reference(families: Families) -> Plan {
        let used = |v4: &str, v6: &str| match families {
            Families::Ipv4 => vec![v4.to_owned()],
            Families::Ipv6 => vec![v6.to_owned()],
            Families::Dual => vec![v4.to_owned(), v6.to_owned()],
        };
        let member = |name, addresses: Vec<String>, prefixes: Vec<String>| Member {
            name,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            prefixes: prefixes.iter().map(|p| p.parse().unwrap()).collect(),
        };
        let node = |i: u8, name| {
            let addresses = used(&format!("192.168.1.1{i}"), &format!("fd00:192:168:1::1{i}"));
            let prefixes = used(&format!("10.244.{i}.0/24"), &format!("fd00:10:244:{i}::/64"));
            member(name, addresses, prefixes)
        };
        let tor_prefixes = used("172.16.0.0/24", "fd00:172:16::/64");
        let tor = member("tor", used("192.168.1.1", "fd00:192:168:1::1"), tor_prefixes);
        let members = vec![node(1, "node1"), node(2, "node2"), node(3, "node3"), tor];
        Plan { members, reflector: None, graceful_restart: None }
    }

    /// The nodes talk to node1 alone, which reflects.
    pub fn with_reflector(families: Families) -> Plan {
        Plan { reflector: Some("node1"), ..Plan::reference(families) }
    }

    /// Sessions whose paths outlive them.
    pub fn graceful(families: Families) -> Plan {
        Plan { graceful_restart: Some(GracefulRestart::default()), ..Plan::reference(families) }
    }

    /// A second ToR leads to the same place as the first.
    pub fn with_two_tors(families: Families) -> Plan {
        let mut plan = Plan::reference(families);
        let second = |address: IpAddr| -> IpAddr {
            if address.is_ipv4() { [192, 168, 1, 2].into() } else { "fd00:192:168:1::2".parse().unwrap() }
        };
        let tor = plan.member("tor").clone();
        let addresses = tor.addresses.iter().copied().map(second).collect();
        plan.members.push(Member { name: "tor2", addresses, ..tor });
        plan
    }

    /// Whether two members have a session with each other.
    pub fn are_peers(&self, a: &Member, b: &Member) -> bool {
        match (a.is_tor(), b.is_tor()) {
            (true, true) => false,
            (false, false) => self.reflector.is_none_or(|r| a.name == r || b.name == r),
            _ => a.name != b.name,
        }
    }

    pub fn member(&self, name: &str) -> &Member {
        self.members.iter().find(|m| m.name == name).unwrap()
    }

    /// The subnets everyone is connected to.
    pub fn underlay() -> Vec<UnderlayRoute> {
        let connected = |prefix: &str| UnderlayRoute {
            prefix: prefix.parse().unwrap(),
            via: None,
            interface: Some(2),
            metric: 0,
        };
        vec![connected("192.168.1.0/24"), connected("fd00:192:168:1::/64")]
    }

    pub fn intent(&self, name: &str) -> Intent {
        let own = self.member(name);
        let asn = if own.is_tor() { TOR_AS } else { NODE_AS };
        let others = self.members.iter().filter(|m| m.name != name && self.are_peers(own, m));
        let peers = others.map(|m| (m.name.to_owned(), self.peer(own, m))).collect();
        let id = own.name.bytes().map(u32::from).sum::<u32>() as u8;
        Intent {
            node_name: name.to_owned(),
            asn,
            router_id: [192, 168, 1, id].into(),
            addresses: own.addresses.clone(),
            pod_cidrs: own.prefixes.clone(),
            originated: Arc::default(),
            scopes: Arc::default(),
            protected: own.prefixes.iter().copied().collect(),
            listen: Listen { port: 179, addresses: BTreeSet::new(), mark: 0 },
            fib: FIB,
            cluster_id: None,
            peers,
            ranges: BTreeMap::new(),
            gate: GateTerms::default(),
            retreat: None,
            last_announced: BTreeSet::new(),
        }
    }

    fn peer(&self, own: &Member, other: &Member) -> PeerIntent {
        let mesh = !own.is_tor() && !other.is_tor();
        let nodes = self.members.iter().filter(|m| !m.is_tor());
        let all: Vec<Prefix> = nodes.flat_map(|m| m.prefixes.iter().copied()).collect();
        let reflected = mesh && self.reflector.is_some();
        let is_reflector = self.reflector == Some(own.name);
        let exactly =
            |prefixes: &[Prefix]| Policy::accepting(prefixes.iter().copied().map(PrefixRule::exactly));
        let (import, export) = match (reflected, is_reflector) {
            (true, true) => (exactly(&all), exactly(&all)),
            (true, false) => (exactly(&all), exactly(&own.prefixes)),
            (false, _) => (exactly(&other.prefixes), exactly(&own.prefixes)),
        };
        PeerIntent {
            origin: if mesh { PeerOrigin::Mesh } else { PeerOrigin::Configured },
            address: other.addresses[0],
            interface: None,
            port: 179,
            asn: RemoteAs::Exactly(if other.is_tor() { TOR_AS } else { NODE_AS }),
            source: None,
            source_interface: None,
            socket_mark: 0,
            families: own.addresses.iter().map(|a| Family::of(*a)).collect(),
            timers: Timers::default(),
            password: None,
            distance: Distance::Default,
            fast_failover: FastFailover::default(),
            bfd: None,
            passive: false,
            import,
            export,
            export_communities: vec![],
            anycast: match (mesh, is_reflector) {
                (false, _) => Exchange::ByPolicy,
                (true, false) => Exchange::Own,
                (true, true) => Exchange::All,
            },
            scope_name: None,
            route_reflector_client: reflected && is_reflector,
            next_hop: NextHopRule::Standard,
            extended_next_hop: ExtendedNextHop::default(),
            add_path: AddPathIntent::default(),
            as_path: AsPathRules::default(),
            accept_blackhole: false,
            role: None,
            role_strict: false,
            max_prefixes: None,
            graceful_restart: self.graceful_restart,
        }
    }
}

/// What a member's kernel holds: next hops by prefix.
pub type Routes = BTreeMap<Prefix, BTreeSet<IpAddr>>;
