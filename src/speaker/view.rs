//! What a speaker shows of itself: plain values, made on demand, for the API and for metrics.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::intent::PeerOrigin;
use crate::bgp::PathAttributes;
use crate::bgp::update::Treatment;
use crate::fib::Target;
use crate::prefix::{Family, Prefix};

/// One peer and its session.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerView {
    /// Name of the `BgpPeer`, or of the node for a mesh session.
    pub name: String,
    /// Where the session comes from.
    pub origin: PeerOrigin,
    /// The peer's address.
    pub address: IpAddr,
    /// Local address of the connection, once there is one.
    pub local_address: Option<IpAddr>,
    /// The AS the peer showed, or the configured one before it has; `None` for `external` before.
    pub asn: Option<u32>,
    /// The local AS.
    pub local_asn: u32,
    /// FSM state in RFC 4271 spelling: `Idle`, `Connect`, `Active`, `OpenSent`, `OpenConfirm`, `Established`.
    pub state: &'static str,
    /// How long the session has been in Established.
    pub established_for: Option<Duration>,
    /// The peer's BGP identifier, from its OPEN.
    pub router_id: Option<Ipv4Addr>,
    /// Negotiated hold time.
    pub hold_time: Option<Duration>,
    /// What each negotiated family carries.
    pub families: Vec<PeerFamilyView>,
    /// The peer's capabilities, as words; empty before its OPEN.
    pub capabilities: Vec<String>,
    /// Messages and octets since the daemon started.
    pub counters: PeerCounters,
    /// Why the session last went down or a connection attempt last failed.
    pub last_error: Option<String>,
    /// How often the session has gone from Established to Idle.
    pub flaps: u64,
    /// The last NOTIFICATION sent to the peer.
    pub notification_sent: Option<NotificationView>,
    /// The last NOTIFICATION received from it.
    pub notification_received: Option<NotificationView>,
    /// Its latest malformed attributes, the newest first.
    pub last_faults: Vec<FaultView>,
}

/// A NOTIFICATION (RFC 4271 §4.5).
#[derive(Debug, Clone, PartialEq)]
pub struct NotificationView {
    /// How long ago.
    pub ago: Duration,
    /// Error code.
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// What the two are called.
    pub name: String,
    /// The text that came with an Administrative Shutdown or Reset (RFC 9003), safe to print.
    pub communication: Option<String>,
    /// Its data, cut at 64 octets.
    pub data: Vec<u8>,
}

/// A malformed attribute and what was done about it (RFC 7606).
#[derive(Debug, Clone, PartialEq)]
pub struct FaultView {
    /// How long ago.
    pub ago: Duration,
    /// Type code of the attribute; 0 for a fault of the message body.
    pub code: u8,
    /// What was done.
    pub treatment: Treatment,
    /// What was wrong.
    pub what: String,
    /// The offending attribute's bytes, header included, cut at 64.
    pub bytes: Vec<u8>,
}

/// Prefix counts of one family on one session.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerFamilyView {
    /// The family.
    pub family: Family,
    /// Prefixes in Adj-RIB-In, before policy.
    pub received: u64,
    /// Of these, accepted by import policy.
    pub accepted: u64,
    /// Prefixes in Adj-RIB-Out.
    pub advertised: u64,
    /// Whether the peer's End-of-RIB has arrived.
    pub end_of_rib: bool,
    /// The most prefixes that may be accepted, where there is a limit.
    pub limit: Option<u32>,
    /// Announcements discarded because of it since the daemon started.
    pub discarded: u64,
}

/// Message counters of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PeerCounters {
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Of these, UPDATEs received.
    pub updates_in: u64,
    /// UPDATEs sent.
    pub updates_out: u64,
    /// Malformed attributes whose prefixes were treated as withdrawn (RFC 7606).
    pub faults_withdrawn: u64,
    /// Malformed attributes that were discarded alone (RFC 7606).
    pub faults_discarded: u64,
}

impl PeerCounters {
    /// All malformed attributes.
    pub fn faults(&self) -> u64 {
        self.faults_withdrawn + self.faults_discarded
    }
}

/// One destination with every path to it, the best first.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteView {
    /// Destination.
    pub prefix: Prefix,
    /// The rule that decided for the best path; `None` when there is no best path.
    pub decided_by: Option<&'static str>,
    /// All paths.
    pub paths: Vec<PathView>,
}

/// One path to a destination.
#[derive(Debug, Clone, PartialEq)]
pub struct PathView {
    /// Name of the peer it came from; `None` when originated here.
    pub peer: Option<String>,
    /// Its attributes, as received.
    pub attributes: PathAttributes,
    /// What import policy has made of them, where it has changed any.
    pub changed: Option<Box<PathAttributes>>,
    /// It is the best path.
    pub best: bool,
    /// It is used for forwarding beside or as the best path.
    pub multipath: bool,
    /// Why it takes no part in the decision, where it does not.
    pub ineligible: Option<Cow<'static, str>>,
}

/// One route of ours and how it stands with the kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct FibRouteView {
    /// Destination.
    pub prefix: Prefix,
    /// Where packets are meant to go; `None` while a removal is under way.
    pub target: Option<Target>,
    /// Kernel metric.
    pub metric: u32,
    /// How it stands.
    pub state: FibState,
}

/// How a desired route stands with the kernel.
#[derive(Debug, Clone, PartialEq)]
pub enum FibState {
    /// In the kernel as desired.
    Installed,
    /// Asked for, not yet acknowledged.
    Pending,
    /// Refused, with the kernel's reason; will be tried again.
    Failed(String),
}

/// The whole speaker in a few numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Name of the node.
    pub node_name: String,
    /// The local AS.
    pub asn: u32,
    /// The BGP identifier.
    pub router_id: Ipv4Addr,
    /// Configured peers.
    pub peers: u64,
    /// Of these, established.
    pub established: u64,
    /// Destinations in Loc-RIB by family.
    pub routes: Vec<(Family, u64)>,
    /// Routes of ours installed in the kernel.
    pub fib_installed: u64,
    /// Routes desired but not installed.
    pub fib_pending: u64,
    /// Changes the kernel refused since the daemon started.
    pub fib_failures: u64,
}
