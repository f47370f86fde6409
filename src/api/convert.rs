//! Domain views to messages, requests to filters.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::proto;
use super::source::{Destinations, RouteFilter, TableFilter};
use crate::bgp::attribute::{Aggregator, UnknownAttribute};
use crate::bgp::{Community, ExtendedCommunity, LargeCommunity, Origin, PathId};
use crate::fib::{Difference, NextHop, Target};
use crate::prefix::{Family, Prefix};
use crate::speaker::intent::PeerOrigin;
use crate::speaker::peer_table::AdjRib;
use crate::speaker::view::{
    BfdView, FaultView, FibRouteView, FibState, NotificationView, PathView, PeerCounters, PeerFamilyView,
    PeerView, RangeView, RestartView, RouteView, Summary,
};

impl From<Summary> for proto::Summary {
    fn from(view: Summary) -> Self {
        proto::Summary {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node_name: view.node_name,
            asn: view.asn,
            router_id: view.router_id.to_string(),
            peers: view.peers,
            established: view.established,
            routes: view
                .routes
                .into_iter()
                .map(|(family, count)| proto::FamilyCount { family: family_number(family), count })
                .collect(),
            fib_installed: view.fib_installed,
            fib_pending: view.fib_pending,
            fib_failures: view.fib_failures,
            fib_conflicts: view.fib_conflicts,
            fib_repairs: view.fib_repairs,
            ranges: view.ranges.into_iter().map(Into::into).collect(),
            drain: view.drain.map(Into::into),
            leaving: view.retreat.map(Into::into),
            // Not the speaker's: added by whoever knows.
            settings: vec![],
            rules: vec![],
            cni_config: None,
            pools: vec![],
            swept_addresses: 0,
            firewall: None,
            objects: None,
        }
    }
}

impl From<RangeView> for proto::Range {
    fn from(view: RangeView) -> Self {
        proto::Range {
            name: view.name,
            range: view.range.to_string(),
            limit: view.limit,
            peers: view.peers,
            refused: view.refused,
        }
    }
}

impl From<PeerView> for proto::Peer {
    fn from(view: PeerView) -> Self {
        let origin = match view.origin {
            PeerOrigin::Configured => proto::PeerOrigin::Configured,
            PeerOrigin::Mesh => proto::PeerOrigin::Mesh,
            PeerOrigin::Dynamic => proto::PeerOrigin::Dynamic,
        };
        proto::Peer {
            name: view.name,
            origin: origin.into(),
            address: view.address.to_string(),
            local_address: text(view.local_address),
            asn: view.asn,
            local_asn: view.local_asn,
            state: session_state(view.state).into(),
            established_seconds: view.established_for.map(|duration| duration.as_secs()),
            router_id: text(view.router_id),
            // A hold time is 16 bits on the wire (RFC 4271 §4.2).
            hold_time_seconds: view.hold_time.map(|hold| u32::try_from(hold.as_secs()).unwrap_or(u32::MAX)),
            families: view.families.into_iter().map(Into::into).collect(),
            capabilities: view.capabilities,
            counters: Some(view.counters.into()),
            last_error: view.last_error,
            flaps: view.flaps,
            extended_next_hop: view.extended_next_hop,
            graceful_restart: view.graceful_restart.map(Into::into),
            notification_sent: view.notification_sent.map(Into::into),
            notification_received: view.notification_received.map(Into::into),
            last_faults: view.last_faults.into_iter().map(Into::into).collect(),
            bfd: view.bfd.map(Into::into),
        }
    }
}

impl From<RestartView> for proto::GracefulRestart {
    fn from(view: RestartView) -> Self {
        proto::GracefulRestart {
            restarting: view.restarting,
            notification: view.notification,
            // A restart time is 12 bits on the wire (RFC 4724 §3).
            restart_time_seconds: u32::try_from(view.restart_time.as_secs()).unwrap_or(u32::MAX),
        }
    }
}

impl From<NotificationView> for proto::Notification {
    fn from(view: NotificationView) -> Self {
        proto::Notification {
            seconds_ago: view.ago.as_secs(),
            code: view.code.into(),
            subcode: view.subcode.into(),
            name: view.name,
            communication: view.communication,
            data: hex(&view.data),
        }
    }
}

impl From<FaultView> for proto::Fault {
    fn from(view: FaultView) -> Self {
        proto::Fault {
            seconds_ago: view.ago.as_secs(),
            attribute: view.code.into(),
            treatment: view.treatment.name().to_owned(),
            what: view.what,
            octets: hex(&view.bytes),
        }
    }
}

impl From<BfdView> for proto::Bfd {
    fn from(view: BfdView) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        proto::Bfd {
            state: view.state.to_owned(),
            diagnostic: view.diagnostic.to_owned(),
            tx_interval_microseconds: micros(view.tx_interval),
            detection_time_microseconds: micros(view.detection_time),
        }
    }
}

impl From<PeerFamilyView> for proto::PeerFamily {
    fn from(view: PeerFamilyView) -> Self {
        proto::PeerFamily {
            family: family_number(view.family),
            received: view.received,
            accepted: view.accepted,
            advertised: view.advertised,
            add_path_receive: view.add_path.receive,
            add_path_send: view.add_path.send,
            end_of_rib: view.end_of_rib,
            limit: view.limit,
            discarded: view.discarded,
            forwarding: view.forwarding,
            stale: view.stale,
            stale_seconds: view.stale_for.map(|duration| duration.as_secs()),
        }
    }
}

impl From<PeerCounters> for proto::PeerCounters {
    fn from(counters: PeerCounters) -> Self {
        proto::PeerCounters {
            messages_in: counters.messages_in,
            messages_out: counters.messages_out,
            updates_in: counters.updates_in,
            updates_out: counters.updates_out,
            faults: counters.faults(),
            faults_withdrawn: counters.faults_withdrawn,
            faults_discarded: counters.faults_discarded,
        }
    }
}

impl From<RouteView> for proto::Route {
    fn from(view: RouteView) -> Self {
        proto::Route {
            prefix: view.prefix.to_string(),
            decided_by: view.decided_by.map(str::to_owned),
            paths: view.paths.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<PathView> for proto::Path {
    fn from(mut view: PathView) -> Self {
        let changed = view
            .changed
            .take()
            .map(|changed| Box::new(proto::Path::from(PathView { attributes: *changed, ..view.clone() })));
        let attributes = view.attributes;
        let rare = &*attributes.rare;
        let origin = match attributes.origin {
            Origin::Igp => proto::Origin::Igp,
            Origin::Egp => proto::Origin::Egp,
            Origin::Incomplete => proto::Origin::Incomplete,
        };
        proto::Path {
            peer: view.peer,
            path_id: view.path_id.map(|PathId(id)| id),
            told_as: view.told_as.map(|PathId(id)| id),
            best: view.best,
            multipath: view.multipath,
            stale: view.stale,
            ineligible: view.ineligible.map(Cow::into_owned),
            next_hop: attributes.next_hop.to_string(),
            link_local_next_hop: text(rare.link_local_next_hop),
            origin: origin.into(),
            as_path: attributes.as_path.to_string(),
            local_pref: attributes.local_pref,
            med: attributes.med,
            atomic_aggregate: rare.atomic_aggregate,
            aggregator: rare.aggregator.map(Into::into),
            communities: attributes.communities.iter().map(|Community(c)| community(*c)).collect(),
            extended_communities: rare
                .extended_communities
                .iter()
                .map(|octets| ExtendedCommunity(*octets).to_string())
                .collect(),
            large_communities: rare.large_communities.iter().map(large_community).collect(),
            originator_id: text(rare.originator_id),
            cluster_list: rare.cluster_list.iter().map(ToString::to_string).collect(),
            only_to_customer: rare.only_to_customer,
            unknown_attributes: rare.unknown.iter().cloned().map(Into::into).collect(),
            changed,
        }
    }
}

impl From<Aggregator> for proto::Aggregator {
    fn from(aggregator: Aggregator) -> Self {
        proto::Aggregator { asn: aggregator.asn, router_id: aggregator.router_id.to_string() }
    }
}

impl From<UnknownAttribute> for proto::UnknownAttribute {
    fn from(attribute: UnknownAttribute) -> Self {
        proto::UnknownAttribute {
            flags: attribute.flags.into(),
            code: attribute.code.into(),
            value: hex(&attribute.value),
        }
    }
}

impl From<FibRouteView> for proto::FibRoute {
    fn from(view: FibRouteView) -> Self {
        let none = proto::FibWay { target: proto::FibTarget::None.into(), next_hops: vec![] };
        let proto::FibWay { target, next_hops } = view.target.map_or(none, Into::into);
        let (state, error) = match view.state {
            FibState::Installed => (proto::FibState::Installed, None),
            FibState::Pending => (proto::FibState::Pending, None),
            FibState::Failed(reason) => (proto::FibState::Failed, Some(reason)),
        };
        proto::FibRoute {
            prefix: view.prefix.to_string(),
            target,
            next_hops,
            metric: view.metric,
            state: state.into(),
            error,
        }
    }
}

impl From<Difference> for proto::FibDifference {
    fn from(difference: Difference) -> Self {
        proto::FibDifference {
            prefix: difference.prefix.to_string(),
            metric: difference.metric,
            desired: difference.desired.map(Into::into),
            held: difference.held.map(Into::into),
        }
    }
}

impl From<Target> for proto::FibWay {
    fn from(target: Target) -> Self {
        let (target, next_hops) = match target {
            Target::Via(next_hops) => (proto::FibTarget::Via, next_hops),
            Target::Unreachable => (proto::FibTarget::Unreachable, vec![]),
        };
        proto::FibWay { target: target.into(), next_hops: next_hops.into_iter().map(Into::into).collect() }
    }
}

impl From<NextHop> for proto::NextHop {
    fn from(next_hop: NextHop) -> Self {
        proto::NextHop {
            via: next_hop.via.to_string(),
            interface: next_hop.interface,
            weight: next_hop.weight.into(),
        }
    }
}

impl TryFrom<proto::ListRoutesRequest> for RouteFilter {
    /// What is wrong with the request, for its sender.
    type Error = String;

    fn try_from(request: proto::ListRoutesRequest) -> Result<Self, String> {
        use proto::list_routes_request::Destination;

        let family = family(request.family)?;
        let destinations = match request.destination {
            None => Destinations::All,
            Some(Destination::Prefix(prefix)) => {
                let prefix: Prefix = prefix.parse().map_err(|error| format!("prefix: {error}"))?;
                Destinations::Exactly(prefix)
            }
            Some(Destination::Covering(address)) => {
                let address: IpAddr =
                    address.parse().map_err(|_| format!("covering: {address:?} is not an address"))?;
                Destinations::Covering(address)
            }
        };
        Ok(RouteFilter { family, destinations })
    }
}

impl From<RouteFilter> for proto::ListRoutesRequest {
    fn from(filter: RouteFilter) -> Self {
        use proto::list_routes_request::Destination;

        let destination = match filter.destinations {
            Destinations::All => None,
            Destinations::Exactly(prefix) => Some(Destination::Prefix(prefix.to_string())),
            Destinations::Covering(address) => Some(Destination::Covering(address.to_string())),
        };
        proto::ListRoutesRequest { destination, family: filter.family.map_or(0, family_number) }
    }
}

impl TryFrom<proto::ListPeerTableRequest> for TableFilter {
    /// What is wrong with the request, for its sender.
    type Error = String;

    fn try_from(request: proto::ListPeerTableRequest) -> Result<Self, String> {
        let table = match proto::PeerTable::try_from(request.table) {
            Ok(proto::PeerTable::Received) => AdjRib::Received,
            Ok(proto::PeerTable::Rejected) => AdjRib::Rejected,
            Ok(proto::PeerTable::Accepted) => AdjRib::Accepted,
            Ok(proto::PeerTable::Announced) => AdjRib::Announced,
            _ => return Err(format!("table: {} is not known", request.table)),
        };
        let within = |text: String| text.parse().map_err(|error| format!("within: {error}"));
        Ok(TableFilter {
            peer: request.peer,
            table,
            family: family(request.family)?,
            within: request.within.map(within).transpose()?,
        })
    }
}

fn family(number: i32) -> Result<Option<Family>, String> {
    match proto::Family::try_from(number) {
        Ok(proto::Family::Unspecified) => Ok(None),
        Ok(proto::Family::Ipv4Unicast) => Ok(Some(Family::Ipv4Unicast)),
        Ok(proto::Family::Ipv6Unicast) => Ok(Some(Family::Ipv6Unicast)),
        Err(_) => Err(format!("family: {number} is not known")),
    }
}

pub(super) fn family_number(family: Family) -> i32 {
    let family = match family {
        Family::Ipv4Unicast => proto::Family::Ipv4Unicast,
        Family::Ipv6Unicast => proto::Family::Ipv6Unicast,
    };
    family.into()
}

fn session_state(state: &str) -> proto::SessionState {
    match state {
        "Idle" => proto::SessionState::Idle,
        "Connect" => proto::SessionState::Connect,
        "Active" => proto::SessionState::Active,
        "OpenSent" => proto::SessionState::OpenSent,
        "OpenConfirm" => proto::SessionState::OpenConfirm,
        "Established" => proto::SessionState::Established,
        _ => proto::SessionState::Unspecified,
    }
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn community(value: u32) -> String {
    format!("{}:{}", value >> 16, value & 0xffff)
}

fn large_community(community: &LargeCommunity) -> String {
    format!("{}:{}:{}", community.global_administrator, community.local_data_1, community.local_data_2)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}
