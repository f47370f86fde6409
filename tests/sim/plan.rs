//! The reference cluster as intents: three nodes in a full mesh, each with a session to the ToR.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use routelet::prefix::{Family, Prefix};
use routelet::rib::next_hop::UnderlayRoute;
use routelet::speaker::Intent;
use routelet::speaker::intent::{
    Distance, FibIntent, Listen, PeerIntent, PeerOrigin, Policy, PrefixRule, RemoteAs, Timers,
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
const NODE_AS: u32 = 64512;
const TOR_AS: u32 = 65000;

/// One member: where it is and what is behind it.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: &'static str,
    pub addresses: Vec<IpAddr>,
    pub prefixes: Vec<Prefix>,
}

/// The members, the ToR last.
#[derive(Debug, Clone)]
pub struct Plan {
    pub members: Vec<Member>,
}

impl Plan {
    pub fn reference(families: Families) -> Plan {
        let used = |v4: &str, v6: &str| {
            let texts = match families {
                Families::Ipv4 => vec![v4.to_owned()],
                Families::Ipv6 => vec![v6.to_owned()],
                Families::Dual => vec![v4.to_owned(), v6.to_owned()],
            };
            texts
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
        Plan { members: vec![node(1, "node1"), node(2, "node2"), node(3, "node3"), tor] }
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
        let asn = if name == "tor" { TOR_AS } else { NODE_AS };
        let others = self.members.iter().filter(|m| m.name != name);
        let peers = others.map(|m| (m.name.to_owned(), self.peer(own, m))).collect();
        let id = own.name.bytes().last().unwrap();
        Intent {
            node_name: name.to_owned(),
            asn,
            router_id: [192, 168, 1, id].into(),
            addresses: own.addresses.clone(),
            pod_cidrs: own.prefixes.clone(),
            protected: own.prefixes.iter().copied().collect(),
            listen: Listen { port: 179, addresses: BTreeSet::new() },
            fib: FibIntent { install: true, table: 254, protocol: 114, metric: METRIC, max_paths: 16 },
            cluster_id: None,
            peers,
        }
    }

    fn peer(&self, own: &Member, other: &Member) -> PeerIntent {
        let mesh = own.name != "tor" && other.name != "tor";
        let exactly = |prefixes: &[Prefix]| Policy {
            accept: prefixes.iter().copied().map(PrefixRule::exactly).collect(),
        };
        PeerIntent {
            origin: if mesh { PeerOrigin::Mesh } else { PeerOrigin::Configured },
            address: other.addresses[0],
            interface: None,
            port: 179,
            asn: RemoteAs::Exactly(if other.name == "tor" { TOR_AS } else { NODE_AS }),
            source: None,
            families: own.addresses.iter().map(|a| Family::of(*a)).collect(),
            timers: Timers::default(),
            password: None,
            distance: Distance::Default,
            passive: false,
            import: exactly(&other.prefixes),
            export: exactly(&own.prefixes),
            export_communities: vec![],
            route_reflector_client: false,
            next_hop_self: false,
            max_prefixes: None,
        }
    }
}

/// What a member's kernel holds: next hops by prefix.
pub type Routes = BTreeMap<Prefix, BTreeSet<IpAddr>>;
