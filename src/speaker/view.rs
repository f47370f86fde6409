//! What a speaker shows of itself: plain values, made on demand, for the API and for metrics.

#[cfg(test)]
pub(crate) mod example;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::drain::DrainView;
use super::intent::PeerOrigin;
use super::retreat::RetreatView;
use crate::bgp::capability::AddPath;
use crate::bgp::session::{Cause, Failure};
use crate::bgp::update::Treatment;
use crate::bgp::{PathAttributes, PathId};
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
    /// IPv4 prefixes may have IPv6 next hops on this session (RFC 8950).
    pub extended_next_hop: bool,
    /// What each negotiated family carries.
    pub families: Vec<PeerFamilyView>,
    /// What the peer offers for graceful restart, where both sides speak it.
    pub graceful_restart: Option<RestartView>,
    /// The peer's capabilities, as words; empty before its OPEN.
    pub capabilities: Vec<String>,
    /// Messages and octets since the daemon started.
    pub counters: PeerCounters,
    /// Why the session last went down or a connection attempt last failed.
    pub last_error: Option<String>,
    /// What kind of failure that was.
    pub last_cause: Option<Cause>,
    /// What has last gone wrong with the session that there is or is to be: of one that is down, how the
    /// latest attempt failed.
    pub attempt: Option<Failure>,
    /// Families that we offer and the peer does not; empty before its OPEN.
    pub not_agreed: Vec<Family>,
    /// Its connections are signed (RFC 2385).
    pub has_password: bool,
    /// How often the session has gone from Established to Idle.
    pub flaps: u64,
    /// The last NOTIFICATION sent to the peer.
    pub notification_sent: Option<NotificationView>,
    /// The last NOTIFICATION received from it.
    pub notification_received: Option<NotificationView>,
    /// Its latest malformed attributes, the newest first.
    pub last_faults: Vec<FaultView>,
    /// What BFD says about the path, where it is watched.
    pub bfd: Option<BfdView>,
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

/// A peer's offer for graceful restart (RFC 4724 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartView {
    /// It had restarted when the session came up (R bit).
    pub restarting: bool,
    /// NOTIFICATIONs, too, keep routes (N bit, RFC 8538).
    pub notification: bool,
    /// How long it may be waited for.
    pub restart_time: Duration,
}

/// The path to one peer, as BFD sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct BfdView {
    /// State in RFC 5880 spelling: `AdminDown`, `Down`, `Init`, `Up`.
    pub state: &'static str,
    /// Why it is not Up, in the RFC's words.
    pub diagnostic: &'static str,
    /// The interval at which we send, before jitter.
    pub tx_interval: Duration,
    /// How long a silence means that the path is down.
    pub detection_time: Duration,
}

/// Prefix counts of one family on one session.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerFamilyView {
    /// The family.
    pub family: Family,
    /// Prefixes in Adj-RIB-In, before policy; paths, where they bear identifiers.
    pub received: u64,
    /// Of these, accepted by import policy.
    pub accepted: u64,
    /// Prefixes in Adj-RIB-Out, likewise.
    pub advertised: u64,
    /// Path identifiers as agreed on (RFC 7911): whether the peer's paths bear them, and whether ours do.
    pub add_path: AddPath,
    /// Whether the peer's End-of-RIB has arrived.
    pub end_of_rib: bool,
    /// Whether the peer has kept forwarding over a restart (F bit); `None` where it does not offer
    /// that for the family.
    pub forwarding: Option<bool>,
    /// Paths that the peer is yet to announce again.
    pub stale: u64,
    /// How long these are kept yet, where they have outlived their session.
    pub stale_for: Option<Duration>,
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
    /// The identifier it bears, where its peer gives several paths for one prefix (RFC 7911).
    pub path_id: Option<PathId>,
    /// The identifier that peers are told it by which take several paths, where there are such; unique for
    /// its prefix.
    pub told_as: Option<PathId>,
    /// Its attributes, as received.
    pub attributes: PathAttributes,
    /// What import policy has made of them, where it has changed any.
    pub changed: Option<Box<PathAttributes>>,
    /// It is the best path.
    pub best: bool,
    /// It is used for forwarding beside or as the best path.
    pub multipath: bool,
    /// Its peer is yet to announce it again: after a restart (RFC 4724) or in a refresh (RFC 7313).
    pub stale: bool,
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
    /// Peers, configured and dynamic.
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
    /// Routes desired but not installed because somebody else's stands there.
    pub fib_conflicts: u64,
    /// Changes of our routes by others that were found, and put right, since the daemon started.
    pub fib_repairs: u64,
    /// Ranges that dynamic peers come from, by name.
    pub ranges: Vec<RangeView>,
    /// How far a drain has come, if there is one.
    pub drain: Option<DrainView>,
    /// How far service addresses have left, where the node leaves.
    pub retreat: Option<RetreatView>,
}

/// A range of addresses that peers may connect from.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeView {
    /// Name of the `BgpPeer`.
    pub name: String,
    /// The addresses.
    pub range: Prefix,
    /// The most peers at once.
    pub limit: u32,
    /// Peers there are.
    pub peers: u64,
    /// Connections refused for the limit since the daemon started.
    pub refused: u64,
}
