//! What one node is meant to do: the objects of the cluster, distilled to what a speaker needs.
//!
//! `cluster` makes an [`Intent`] from objects; the speaker compares it with the one before and
//! changes only what differs. Everything is resolved and validated by then: no name is left to look
//! up, no default to fill in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

pub use super::gate::GateTerms;
pub use super::retreat::{Extent, Retreat};
use crate::bfd;
pub use crate::bgp::Role;
pub use crate::bgp::session::{Damping, RemoteAs};
use crate::prefix::{Family, Prefix};
pub use crate::rib::anycast::{Exchange, Origination, Originations, Scope, Scopes};
pub use crate::rib::as_path_rules::{AsPathRules, LocalAs};
pub use crate::rib::export::NextHopRule;
use crate::rib::only_to_customer::OnlyToCustomer;
pub use crate::rib::policy::{Policy, PrefixRule};

/// The complete configuration of one speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Name of the Node object this speaker stands for.
    pub node_name: String,
    /// The local AS.
    pub asn: u32,
    /// The BGP identifier.
    pub router_id: Ipv4Addr,
    /// Addresses of this node, in the Node object's order. The first of a family is the next hop
    /// for prefixes of that family on sessions of the other.
    pub addresses: Vec<IpAddr>,
    /// Pod CIDRs to originate. Each gets an unreachable aggregate before it is announced.
    pub pod_cidrs: Vec<Prefix>,
    /// Prefixes to originate besides: addresses of Services, alone or in aggregates. An aggregate gets an
    /// unreachable route before it is announced; a single address is answered by the kernel as it is.
    pub originated: Arc<Originations>,
    /// Every such prefix that any node of the cluster may originate, with who is told of it. The mesh
    /// exchanges these; nobody installs a route to one, for each node answers for Services itself.
    pub scopes: Arc<Scopes>,
    /// Prefixes that nobody may announce to us, more specific ones included: own pod CIDRs, node
    /// addresses, Service CIDRs.
    pub protected: BTreeSet<Prefix>,
    /// Where to listen.
    pub listen: Listen,
    /// What to do with best paths.
    pub fib: FibIntent,
    /// The cluster identifier of a route reflector (RFC 4456 §7); the BGP identifier if not given.
    pub cluster_id: Option<Ipv4Addr>,
    /// Peers by name.
    pub peers: BTreeMap<String, PeerIntent>,
    /// Ranges of addresses from which anybody may connect who is not among `peers`, by name.
    pub ranges: BTreeMap<String, RangeIntent>,
    /// What the first pods wait for.
    pub gate: GateTerms,
    /// What the node is to let go of, if it leaves.
    pub retreat: Option<Retreat>,
    /// Service addresses of this node that no other announces, of those that stay: not to be let go of.
    pub last_announced: BTreeSet<Prefix>,
}

/// A range of addresses, each of which may be a peer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeIntent {
    /// The range.
    pub range: Prefix,
    /// The most peers at once.
    pub limit: u32,
    /// What each of them is, but for its address.
    pub template: PeerIntent,
}

impl RangeIntent {
    /// The peer at an address of the range.
    pub fn peer(&self, address: IpAddr) -> PeerIntent {
        PeerIntent { address, ..self.template.clone() }
    }
}

/// Where incoming sessions are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// TCP port; 179 unless configured.
    pub port: u16,
    /// Local addresses; empty for outgoing sessions only.
    pub addresses: BTreeSet<IpAddr>,
    /// Mark of what is answered before it is known to whom; zero for none.
    pub mark: u32,
}

/// How best paths become kernel routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FibIntent {
    /// Whether they do at all.
    pub install: bool,
    /// Kernel routing table id; 254 is `main`.
    pub table: u32,
    /// Protocol number our routes bear.
    pub protocol: u8,
    /// Metric of installed routes.
    pub metric: u32,
    /// Most next hops of one route; 1 turns multipath off.
    pub max_paths: u16,
    /// Routes share next hops in groups, where the kernel knows them: they move together when one fails.
    pub next_hop_groups: bool,
    /// A group with one next hop holds a backup, to which the kernel turns by itself when the interface
    /// of the first goes down.
    pub install_backup: bool,
}

/// One configured or implied session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIntent {
    /// Where the session comes from.
    pub origin: PeerOrigin,
    /// The peer's address; unspecified where it is to be found on `interface`.
    pub address: IpAddr,
    /// Interface of a link-local `address`, or of a peer without one.
    pub interface: Option<String>,
    /// The peer's TCP port.
    pub port: u16,
    /// Which AS the peer must show.
    pub asn: RemoteAs,
    /// Local address of the session; the kernel chooses where absent.
    pub source: Option<IpAddr>,
    /// Interface whose address is the local one of sessions that we open.
    pub source_interface: Option<String>,
    /// Mark of what is sent, for policy routing; zero for none. Connections keep the one they were made
    /// with.
    pub socket_mark: u32,
    /// Families to offer.
    pub families: BTreeSet<Family>,
    /// Session timers.
    pub timers: Timers,
    /// TCP MD5 key (RFC 2385).
    pub password: Option<Password>,
    /// How far away the peer may be.
    pub distance: Distance,
    /// Whether the session falls as soon as there is no way to the peer.
    pub fast_failover: FastFailover,
    /// Watch the path to the peer (RFC 5880).
    pub bfd: Option<BfdIntent>,
    /// Wait for the peer to connect.
    pub passive: bool,
    /// What is accepted from the peer. Nothing if empty (RFC 8212).
    pub import: Policy,
    /// What is announced to the peer. Nothing if empty (RFC 8212).
    pub export: Policy,
    /// Communities added to what is announced, as `(AS << 16) | value`.
    pub export_communities: Vec<u32>,
    /// What is exchanged with the peer of `scopes`, besides what its policies say.
    pub anycast: Exchange,
    /// Name that `scopes` and `originated` may know the peer by, where any of them names it.
    pub scope_name: Option<String>,
    /// The peer is a client of this route reflector (RFC 4456).
    pub route_reflector_client: bool,
    /// Which next hop the peer is told.
    pub next_hop: NextHopRule,
    /// Whether IPv4 prefixes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: ExtendedNextHop,
    /// Several paths for one prefix (RFC 7911).
    pub add_path: AddPathIntent,
    /// What AS_PATHs may contain, and what is done to those the peer is told.
    pub as_path: AsPathRules,
    /// The peer may ask for packets to a prefix to be discarded (RFC 7999).
    pub accept_blackhole: bool,
    /// What we are to the peer (RFC 9234); external peers only.
    pub role: Option<Role>,
    /// Insist that the peer has a role too.
    pub role_strict: bool,
    /// How many prefixes the peer may have accepted of each family.
    pub max_prefixes: Option<MaxPrefixes>,
    /// Keep forwarding while either side restarts (RFC 4724, RFC 8538); not at all if `None`.
    pub graceful_restart: Option<GracefulRestart>,
}

/// A bound on the accepted prefixes of a peer, for each family by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPrefixes {
    /// The most there may be.
    pub limit: u32,
    /// What is done about more.
    pub action: LimitAction,
    /// Percentage of `limit` above which a warning is given: 1 to 100.
    pub warn_at: u8,
}

/// What is done about a peer with too many prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitAction {
    /// The session is reset (RFC 4486 §4) and stays in Idle: for so long, or until the configuration of
    /// the peer changes.
    Reset {
        /// How long.
        idle: Option<Duration>,
    },
    /// Prefixes beyond the limit are not taken; what is known may change.
    Discard,
    /// A warning is given, and nothing else done.
    Warn,
}

/// Graceful restart with one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GracefulRestart {
    /// How long the peer may wait for us to come back: whole seconds, at most 4,095.
    pub restart_time: Duration,
    /// The longest that paths of the peer are kept from the fall of its session to its End-of-RIB,
    /// whatever it has asked for.
    pub stale_time: Duration,
    /// How long they are kept beyond that, as a last resort, and how long the peer may keep ours
    /// (RFC 9494): whole seconds, at most 16,777,215. Zero: neither.
    pub long_lived_time: Duration,
    /// The peer, if internal, is told of paths kept so long also where it does not know their mark: as the
    /// least preferred, and not to leave the AS (RFC 9494 §4.6).
    pub partial_deployment: bool,
}

impl Default for GracefulRestart {
    fn default() -> GracefulRestart {
        // RFC 8538 §4.2 suggests the latter.
        GracefulRestart {
            restart_time: Duration::from_secs(120),
            stale_time: Duration::from_secs(180),
            long_lived_time: Duration::ZERO,
            partial_deployment: false,
        }
    }
}

impl PeerIntent {
    /// Whether the peer is whoever is on the other side of its link.
    pub fn is_unnumbered(&self) -> bool {
        self.address.is_unspecified() && self.interface.is_some()
    }

    /// What the role makes of routes for customers only (RFC 9234 §5), between AS `local` and a peer
    /// that shows `peer_asn`.
    pub fn only_to_customer(&self, local: u32, peer_asn: u32) -> OnlyToCustomer {
        let role = self.role.filter(|_| self.is_external(local));
        OnlyToCustomer { role, local_asn: self.as_path.shown_as(local), peer_asn }
    }

    /// Whether a peer of that configuration belongs to another AS, to a speaker of AS `local`.
    pub fn is_external(&self, local: u32) -> bool {
        match self.asn {
            RemoteAs::Exactly(asn) => asn != self.as_path.shown_as(local),
            RemoteAs::External => true,
            RemoteAs::Internal => false,
        }
    }
}

/// Whether IPv4 prefixes may have IPv6 next hops (RFC 8950).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExtendedNextHop {
    /// Offered on IPv6 sessions, and used where we have no IPv4 address to give.
    #[default]
    WhereNeeded,
    /// Offered; used on IPv6 sessions whenever we are the next hop.
    Always,
    /// Not offered.
    Never,
}

/// What is offered to a peer of Add-Path (RFC 7911).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddPathIntent {
    /// Take several paths for one prefix.
    pub receive: bool,
    /// Give several; `None` for the best alone.
    pub send: Option<SendPaths>,
}

/// Which paths a peer is told that takes several for one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendPaths {
    /// All that take part in the decision.
    All,
    /// So many of the best. What the peer has said itself, or must not be told, counts and is left out,
    /// as it is of a single best path.
    Best(NonZeroU16),
}

/// Where a session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerOrigin {
    /// A `BgpPeer` object.
    Configured,
    /// `mesh: full` or `mesh: reflectors`; the peer's name is its node's.
    Mesh,
    /// A `BgpPeer` object with a range; the peer's name is the object's and the peer's address.
    Dynamic,
}

/// Session timers (RFC 4271 §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Proposed hold time: zero, or 3 s to 65,535 s. Whole seconds.
    pub hold: Duration,
    /// Keepalive interval; a third of the negotiated hold time if that is less.
    pub keepalive: Duration,
    /// Pause between connection attempts.
    pub connect_retry: Duration,
    /// How long TCP may try to get something through to an Established peer; the send hold time
    /// (RFC 9687) where absent.
    pub user_timeout: Option<Duration>,
    /// Pauses after failures.
    pub damping: Damping,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            hold: Duration::from_secs(90),
            keepalive: Duration::from_secs(30),
            connect_retry: Duration::from_secs(5),
            user_timeout: None,
            damping: Damping::default(),
        }
    }
}

/// How the path to a peer is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BfdIntent {
    /// Intervals, multiplier and key.
    pub config: bfd::Config,
    /// No session with the peer while its path is not found alive.
    pub strict: bool,
    /// The most hops away the peer may be for BFD, where that is not for its session to say.
    pub hops: Option<u8>,
}

/// Whether a session falls as soon as there is no way to the peer any more, instead of by its hold time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FastFailover {
    /// Sessions over a connected subnet fall with their link; those across routers do not.
    #[default]
    Connected,
    /// Those across routers fall, too, when no route leads to the peer any more.
    Always,
    /// None does.
    Never,
}

/// How far away a peer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// External peers one hop (TTL 1), internal peers any.
    Default,
    /// Outgoing TTL (RFC 4271 calls such a session multihop).
    Multihop(u8),
    /// Generalized TTL security (RFC 5082): at most this many hops, checked by the kernel.
    Security(u8),
}

/// A session password that no log, error or API answer shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// The most octets a TCP MD5 key can have (`TCP_MD5SIG_MAXKEYLEN`).
    pub const MAX_LENGTH: usize = 80;

    /// Wraps a key; `None` when it is empty or too long for the kernel.
    pub fn new(key: impl Into<Vec<u8>>) -> Option<Password> {
        let key = key.into();
        (1..=Self::MAX_LENGTH).contains(&key.len()).then_some(Password(key))
    }

    /// The key itself, for the one call that hands it to the kernel.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
