//! Views as a speaker would give them, for tests of what is made of them.

use std::net::Ipv4Addr;

use super::{PeerCounters, PeerFamilyView, PeerView, Summary};
use crate::bgp::capability::AddPath;
use crate::bgp::session::Failure;
use crate::prefix::Family;
use crate::speaker::intent::PeerOrigin;

/// A `BgpPeer` in AS 65000 that has not come up yet, and of which nothing is known.
pub(crate) fn peer(name: &str) -> PeerView {
    PeerView {
        name: name.to_owned(),
        origin: PeerOrigin::Configured,
        address: [192, 168, 1, 1].into(),
        local_address: None,
        asn: Some(65000),
        local_asn: 64512,
        state: "Active",
        established_for: None,
        router_id: None,
        hold_time: None,
        extended_next_hop: false,
        families: vec![],
        graceful_restart: None,
        capabilities: vec![],
        counters: PeerCounters::default(),
        last_error: None,
        last_cause: None,
        attempt: None,
        not_agreed: vec![],
        has_password: false,
        flaps: 0,
        notification_sent: None,
        notification_received: None,
        last_faults: vec![],
        bfd: None,
    }
}

/// One that has been up for so many seconds.
pub(crate) fn established(name: &str, seconds: u64) -> PeerView {
    PeerView {
        state: "Established",
        established_for: Some(std::time::Duration::from_secs(seconds)),
        families: vec![family(10)],
        ..peer(name)
    }
}

/// One whose session has ended by a failure.
pub(crate) fn failed(name: &str, failure: Failure) -> PeerView {
    PeerView {
        last_error: Some(failure.words.clone()),
        last_cause: Some(failure.cause),
        attempt: Some(failure),
        ..peer(name)
    }
}

/// So many prefixes of IPv4, all of them accepted, and one announced.
pub(crate) fn family(accepted: u64) -> PeerFamilyView {
    PeerFamilyView {
        family: Family::Ipv4Unicast,
        received: accepted,
        accepted,
        advertised: 1,
        add_path: AddPath::default(),
        end_of_rib: true,
        forwarding: None,
        stale: 0,
        stale_for: None,
        limit: None,
        discarded: 0,
    }
}

/// A speaker with so many peers, of which so many are established.
pub(crate) fn summary(established: u64, peers: u64) -> Summary {
    Summary {
        node_name: "node1".to_owned(),
        asn: 64512,
        router_id: Ipv4Addr::new(192, 168, 1, 11),
        peers,
        established,
        routes: vec![],
        fib_installed: 3,
        fib_pending: 0,
        fib_failures: 0,
        fib_conflicts: 0,
        fib_repairs: 0,
        ranges: vec![],
        drain: None,
        retreat: None,
    }
}
