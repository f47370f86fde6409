//! A [`Source`] that stands still, for tests of whatever shows a speaker: node1 of the reference
//! cluster, with node3 down.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::{
    CniConfigView, FirewallView, KernelView, ObjectsView, PodsView, PoolView, RouteFilter, RuleView,
    SettingView, Source, TableFilter, Unavailable, WatchedKindView,
};
use crate::bgp::attribute::{Aggregator, UnknownAttribute};
use crate::bgp::capability::AddPath;
use crate::bgp::session::Cause;
use crate::bgp::update::Treatment;
use crate::bgp::{
    AsPath, Community, ExactList, LargeCommunity, Origin, PathAttributes, RareAttributes, Reason,
};
use crate::fib::{Difference, NextHop, Target};
use crate::prefix::{Family, Prefix};
use crate::speaker::intent::PeerOrigin;
use crate::speaker::peer_table::{Cursor, Portion};
use crate::speaker::view::{
    BfdView, FaultView, FibRouteView, FibState, NotificationView, PathView, PeerCounters, PeerFamilyView,
    PeerView, RangeView, RestartView, RouteView, Summary,
};
use crate::speaker::{DrainStage, DrainTerms, DrainView};

/// What the source answers.
#[derive(Debug, Clone)]
pub(crate) enum Fixture {
    /// The views of this file.
    Node1,
    /// No summary, and no peers.
    Unconfigured,
    /// The same views, of a speaker that drains when told to, by one stage at each look; the number is how
    /// far it has come.
    Draining(Arc<AtomicUsize>),
    /// Nothing, for this reason.
    Silent(&'static str),
    /// Nothing, ever.
    Stuck,
}

impl Fixture {
    async fn answer<T>(&self, value: T) -> Result<T, Unavailable> {
        match self {
            Fixture::Node1 | Fixture::Unconfigured | Fixture::Draining(_) => Ok(value),
            Fixture::Silent(reason) => Err(Unavailable((*reason).to_owned())),
            Fixture::Stuck => std::future::pending().await,
        }
    }
}

impl Source for Fixture {
    async fn summary(&self) -> Result<Summary, Unavailable> {
        if let Fixture::Unconfigured = self {
            return Err(Unavailable("there is no configuration yet".to_owned()));
        }
        self.answer(Summary { drain: self.drain().await?, ..summary() }).await
    }

    async fn peers(&self) -> Result<Vec<PeerView>, Unavailable> {
        self.answer(if let Fixture::Unconfigured = self { vec![] } else { peers() }).await
    }

    async fn routes(&self, filter: RouteFilter) -> Result<Vec<RouteView>, Unavailable> {
        let mut routes = routes();
        routes.retain(|route| filter.wants(route.prefix));
        self.answer(routes).await
    }

    async fn peer_table(&self, asked: &TableFilter, from: Cursor) -> Result<Option<Portion>, Unavailable> {
        let known = peers().iter().any(|peer| peer.name == asked.peer);
        let of_peer = |path: &PathView| path.peer.as_ref() == Some(&asked.peer);
        let mut routes = routes();
        routes.iter_mut().for_each(|route| route.paths.retain(of_peer));
        routes.retain(|route| asked.wants(route.prefix) && !route.paths.is_empty());
        let _ = from;
        self.answer(known.then_some(Portion { routes, next: None })).await
    }

    fn kernel(&self) -> KernelView {
        kernel()
    }

    fn pods(&self) -> PodsView {
        pods()
    }

    fn objects(&self) -> ObjectsView {
        objects()
    }

    async fn fib(&self) -> Result<Vec<FibRouteView>, Unavailable> {
        self.answer(fib()).await
    }

    async fn audit(&self) -> Result<Vec<Difference>, Unavailable> {
        self.answer(if let Fixture::Draining(_) = self { vec![] } else { differences() }).await
    }

    async fn drain(&self) -> Result<Option<DrainView>, Unavailable> {
        let Fixture::Draining(stage) = self else { return self.answer(None).await };
        let next = |stage: usize| (stage > 0).then_some(stage + 1);
        let stage = stage.fetch_update(Relaxed, Relaxed, next).unwrap_or_default();
        Ok(stage.checked_sub(1).map(draining))
    }

    async fn start_drain(&self, _: DrainTerms) -> Result<bool, Unavailable> {
        let Fixture::Draining(stage) = self else { return self.answer(true).await };
        Ok(stage.compare_exchange(0, 1, Relaxed, Relaxed).is_ok())
    }

    async fn undrain(&self) -> Result<bool, Unavailable> {
        let Fixture::Draining(stage) = self else { return self.answer(false).await };
        Ok(stage.swap(0, Relaxed) > 0)
    }
}

/// The first, second, … stage of a drain in which node3 takes nothing.
pub(crate) fn draining(stage: usize) -> DrainView {
    use DrainStage::{Asking, Closing, Drained, Settling, Withdrawing};
    const STAGES: [DrainStage; 5] = [Asking, Settling, Withdrawing, Closing, Drained];
    let stage = STAGES[stage.min(4)];
    let node3 = |named: bool| named.then(|| "node3".to_owned()).into_iter().collect();
    DrainView {
        stage,
        terms: DrainTerms {
            settle: DrainTerms::SETTLE,
            timeout: DrainTerms::TIMEOUT,
            reason: "new switch".to_owned(),
            holds_last: false,
        },
        waits_for: node3(matches!(stage, Asking | Withdrawing)),
        cut_off: node3(stage >= Closing),
        timed_out: stage >= Withdrawing,
        holds: vec![],
        asked_by_objects: false,
    }
}

pub(crate) fn summary() -> Summary {
    Summary {
        node_name: "node1".to_owned(),
        asn: 64512,
        router_id: [192, 168, 1, 11].into(),
        peers: 3,
        established: 2,
        routes: vec![(Family::Ipv4Unicast, 4), (Family::Ipv6Unicast, 1)],
        fib_installed: 3,
        fib_pending: 1,
        fib_failures: 7,
        fib_conflicts: 1,
        fib_repairs: 4,
        ranges: vec![RangeView {
            name: "rack".to_owned(),
            range: "10.0.0.0/8".parse().unwrap(),
            limit: 100,
            peers: 1,
            refused: 3,
        }],
        drain: None,
        retreat: None,
    }
}

/// A container that cannot write settings, and two rules, of which the kernel has one.
pub(crate) fn kernel() -> KernelView {
    let setting = |name: &str, needed, set, faults: &[&str]| SettingView {
        name: name.to_owned(),
        needed,
        set,
        faults: faults.iter().map(|&fault| fault.to_owned()).collect(),
    };
    let rule = |rule: &str, error: Option<&str>| RuleView {
        family: Family::Ipv4Unicast,
        rule: rule.to_owned(),
        error: error.map(str::to_owned),
    };
    KernelView {
        settings: vec![
            setting("net.ipv4.ip_forward", true, true, &[]),
            setting("net.ipv4.fib_multipath_hash_policy", false, false, &["it is 0 and should be 1"]),
            setting("net.ipv4.conf.*.rp_filter", true, false, &["eth0 is strict", "eth1 is strict"]),
        ],
        rules: vec![
            rule("999: from all to 10.244.1.0/24 lookup main suppress_prefixlength 23", None),
            rule("1000: from all lookup 100", Some("No buffer space available (os error 105)")),
        ],
        differences: Some(3),
    }
}

/// A runtime that takes somebody else's configuration, and a node that has been given another pod CIDR.
pub(crate) fn pods() -> PodsView {
    let pool =
        |prefix: &str, taken, former| PoolView { prefix: prefix.parse().unwrap(), taken, size: 253, former };
    PodsView {
        config: Some(CniConfigView {
            path: "/etc/cni/net.d/10-routelet.conflist".to_owned(),
            in_place: true,
            fault: Some("container runtimes take 05-other.conf instead: remove it".to_owned()),
        }),
        swept: 2,
        firewall: FirewallView {
            exempt: Some(3),
            too_many_learned: true,
            dropping: vec!["ip filter FORWARD".to_owned()],
            fault: None,
        },
        pools: vec![pool("10.244.1.0/24", 7, false), pool("10.244.9.0/24", 1, true)],
    }
}

/// An API server that knows nothing of peers, and a Node that is malformed.
pub(crate) fn objects() -> ObjectsView {
    let kind = |kind: &str, objects, trouble: Option<&str>| WatchedKindView {
        kind: kind.to_owned(),
        connected: trouble.is_none(),
        objects,
        malformed: u64::from(kind == "Node"),
        lists: 1,
        failures: trouble.map_or(0, |_| 4),
        last_list: trouble.is_none().then_some(1_790_000_000),
        last_event: trouble.is_none().then_some(1_790_000_060),
        trouble: trouble.map(str::to_owned),
    };
    let missing = "BgpPeer: the API server does not know this kind: the CustomResourceDefinition \
                   bgppeers.routelet.dev is not installed";
    ObjectsView {
        source: "the API server at https://192.168.1.10:6443/".to_owned(),
        faults: vec!["Node node3: spec.podCIDRs[0]: 10.244.3.0 is not a prefix".to_owned()],
        kept: None,
        kinds: vec![kind("BgpPeer", 0, Some(missing)), kind("Node", 3, None)],
    }
}

/// What node3 has said last.
fn goodbye() -> NotificationView {
    NotificationView {
        ago: Duration::from_secs(300),
        code: 6,
        subcode: 2,
        name: "Cease: Administrative Shutdown".to_owned(),
        communication: Some("back at 4".to_owned()),
        data: b"\x09back at 4".to_vec(),
    }
}

fn node2() -> PeerView {
    PeerView {
        name: "node2".to_owned(),
        origin: PeerOrigin::Mesh,
        address: address("192.168.1.12"),
        local_address: Some(address("192.168.1.11")),
        asn: Some(64512),
        local_asn: 64512,
        state: "Established",
        established_for: Some(Duration::from_secs(3 * 86_400 + 4 * 3_600 + 59)),
        router_id: Some([192, 168, 1, 12].into()),
        hold_time: Some(Duration::from_secs(90)),
        extended_next_hop: false,
        families: families(),
        graceful_restart: Some(RestartView {
            restarting: false,
            notification: true,
            restart_time: Duration::from_secs(120),
        }),
        capabilities: vec!["multiprotocol ipv4Unicast".to_owned(), "route refresh".to_owned()],
        counters: PeerCounters {
            messages_in: 310,
            messages_out: 300,
            updates_in: 4,
            updates_out: 3,
            faults_withdrawn: 2,
            faults_discarded: 0,
        },
        last_error: None,
        last_cause: None,
        attempt: None,
        not_agreed: vec![],
        has_password: false,
        flaps: 0,
        bfd: Some(BfdView {
            state: "Up",
            diagnostic: "No Diagnostic",
            tx_interval: Duration::from_millis(100),
            detection_time: Duration::from_micros(412_500),
        }),
        notification_sent: None,
        notification_received: None,
        last_faults: vec![FaultView {
            ago: Duration::from_secs(61),
            code: 8,
            treatment: Treatment::TreatAsWithdraw,
            what: "3 octets are no list of communities".to_owned(),
            bytes: vec![0xc0, 8, 3, 0, 0, 1],
        }],
    }
}

pub(crate) fn peers() -> Vec<PeerView> {
    let node2 = node2();
    let node3 = PeerView {
        name: "node3".to_owned(),
        address: address("192.168.1.13"),
        local_address: None,
        state: "Active",
        established_for: None,
        router_id: None,
        hold_time: None,
        families: vec![],
        graceful_restart: None,
        capabilities: vec![],
        counters: PeerCounters::default(),
        // A peer may put what it likes into the text of a NOTIFICATION (RFC 9003).
        last_error: Some("received 6/2: \u{1b}[31mmaintenance\n".to_owned()),
        last_cause: Some(Cause::Received(Reason::ADMINISTRATIVE_SHUTDOWN)),
        flaps: 5,
        notification_sent: None,
        notification_received: Some(goodbye()),
        last_faults: vec![],
        bfd: Some(BfdView {
            state: "Down",
            diagnostic: "Control Detection Time Expired",
            tx_interval: Duration::from_secs(1),
            detection_time: Duration::ZERO,
        }),
        ..node2.clone()
    };
    let tor = PeerView {
        name: "tor".to_owned(),
        origin: PeerOrigin::Configured,
        address: address("fe80::1"),
        local_address: Some(address("fe80::11")),
        asn: Some(65000),
        established_for: Some(Duration::from_secs(12)),
        router_id: Some([192, 168, 1, 1].into()),
        hold_time: Some(Duration::ZERO),
        families: vec![],
        capabilities: vec![],
        bfd: None,
        ..node2.clone()
    };
    vec![node2, node3, tor]
}

fn families() -> Vec<PeerFamilyView> {
    vec![
        PeerFamilyView {
            family: Family::Ipv4Unicast,
            received: 2,
            accepted: 1,
            advertised: 1,
            add_path: AddPath::default(),
            end_of_rib: true,
            limit: Some(10_000),
            discarded: 12,
            forwarding: Some(true),
            stale: 1,
            stale_for: Some(Duration::from_secs(100)),
        },
        PeerFamilyView {
            family: Family::Ipv6Unicast,
            received: 1,
            accepted: 1,
            advertised: 0,
            add_path: AddPath::default(),
            end_of_rib: false,
            limit: None,
            discarded: 0,
            forwarding: None,
            stale: 0,
            stale_for: None,
        },
    ]
}

pub(crate) fn routes() -> Vec<RouteView> {
    let local = PathView {
        peer: None,
        attributes: PathAttributes::originated(address("192.168.1.11")),
        best: true,
        multipath: true,
        path_id: None,
        told_as: None,
        changed: None,
        stale: false,
        ineligible: None,
    };
    let from = |peer: &str, next_hop: &str| PathView {
        peer: Some(peer.to_owned()),
        attributes: PathAttributes { local_pref: Some(100), ..PathAttributes::originated(address(next_hop)) },
        best: false,
        multipath: false,
        path_id: None,
        told_as: None,
        changed: None,
        stale: false,
        ineligible: None,
    };
    let through_tor = PathAttributes {
        origin: Origin::Incomplete,
        as_path: AsPath::sequence([65000, 65001]),
        med: Some(50),
        ..PathAttributes::originated(address("192.168.1.1"))
    };
    vec![
        route(
            "0.0.0.0/0",
            Some("only path"),
            vec![PathView {
                attributes: every_attribute(),
                best: true,
                multipath: true,
                ..from("tor", "192.168.1.1")
            }],
        ),
        route("10.244.1.0/24", Some("locally originated"), vec![local]),
        route(
            "10.244.2.0/24",
            None,
            vec![PathView {
                ineligible: Some("next hop is unreachable".into()),
                ..from("node2", "192.168.1.12")
            }],
        ),
        route(
            "172.16.0.0/24",
            Some("lowest router id"),
            vec![
                PathView {
                    attributes: through_tor.clone(),
                    best: true,
                    multipath: true,
                    ..from("tor", "192.168.1.1")
                },
                PathView { attributes: through_tor, multipath: true, ..from("tor-b", "192.168.1.1") },
                from("node2", "192.168.1.12"),
            ],
        ),
        route(
            "fd00:10:244:2::/64",
            Some("only path"),
            vec![PathView { best: true, multipath: true, stale: true, ..from("node2", "fd00::12") }],
        ),
    ]
}

fn every_attribute() -> PathAttributes {
    PathAttributes {
        origin: Origin::Egp,
        as_path: AsPath::sequence([65000]),
        next_hop: address("192.168.1.1"),
        med: Some(0),
        local_pref: Some(200),
        communities: [Community(65000 << 16 | 100), Community(0xffff_ff01)].into(),
        rare: every_rare_attribute().into(),
    }
}

fn every_rare_attribute() -> RareAttributes {
    let large = LargeCommunity { global_administrator: 65000, local_data_1: 1, local_data_2: 2 };
    RareAttributes {
        link_local_next_hop: Some("fe80::1".parse().unwrap()),
        atomic_aggregate: true,
        aggregator: Some(Aggregator { asn: 65000, router_id: [192, 168, 1, 1].into() }),
        originator_id: Some([192, 168, 1, 12].into()),
        cluster_list: [[192, 168, 1, 11].into(), [192, 168, 1, 12].into()].into(),
        extended_communities: [[0, 2, 0xfd, 0xe8, 0, 0, 0, 100]].into(),
        large_communities: [large].into(),
        only_to_customer: Some(65000),
        unknown: [UnknownAttribute { flags: 0xe0, code: 99, value: vec![0xde, 0xad] }].into(),
        partial: ExactList::EMPTY,
    }
}

fn via(hops: &[(&str, Option<u32>)]) -> Option<Target> {
    let hop = |&(via, interface): &(&str, _)| NextHop { via: address(via), interface, weight: 1 };
    Some(Target::Via(hops.iter().map(hop).collect()))
}

/// A route that is gone, one that goes elsewhere, and one that nobody has asked for.
pub(crate) fn differences() -> Vec<Difference> {
    let difference = |prefix: &str, desired, held| Difference {
        prefix: prefix.parse().unwrap(),
        metric: 20,
        desired,
        held,
    };
    vec![
        difference("10.9.0.0/16", None, Some(Target::Unreachable)),
        difference("10.244.2.0/24", via(&[("192.168.1.12", None)]), None),
        difference(
            "172.16.0.0/24",
            via(&[("192.168.1.1", Some(3)), ("fe80::1", Some(3))]),
            via(&[("192.168.1.9", Some(3))]),
        ),
    ]
}

pub(crate) fn fib() -> Vec<FibRouteView> {
    let route = |prefix: &str, target, state| FibRouteView {
        prefix: prefix.parse().unwrap(),
        target,
        metric: 20,
        state,
    };
    vec![
        route("10.244.1.0/24", Some(Target::Unreachable), FibState::Installed),
        route("10.244.2.0/24", via(&[("192.168.1.12", None)]), FibState::Installed),
        route("10.244.3.0/24", None, FibState::Pending),
        route(
            "172.16.0.0/24",
            via(&[("192.168.1.1", None), ("fe80::1", Some(3))]),
            FibState::Failed("Network is unreachable (os error 101)".to_owned()),
        ),
    ]
}

fn route(prefix: &str, decided_by: Option<&'static str>, paths: Vec<PathView>) -> RouteView {
    let prefix: Prefix = prefix.parse().unwrap();
    RouteView { prefix, decided_by, paths }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
