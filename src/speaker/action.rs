//! What a speaker asks of its shell, and what it has to tell a person.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::drain::DrainStage;
use super::gate::few;
use super::intent::{LimitAction, MaxPrefixes, Password};
use crate::bfd;
use crate::bgp::session::Negotiated;
use crate::bgp::update::AttributeFault;
use crate::fib::Batch;
use crate::prefix::{Family, Prefix};

/// One TCP connection or the attempt to make one. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Something the shell is to do.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Connect, and answer with `handle_connected` or `handle_closed`.
    Dial {
        /// The attempt.
        connection: ConnectionId,
        /// Where to.
        remote: SocketAddr,
        /// Interface of a link-local `remote`.
        interface: Option<String>,
        /// How.
        transport: Transport,
    },
    /// Send octets, and answer with `handle_sent` once the kernel has taken them.
    Send {
        /// On this connection.
        connection: ConnectionId,
        /// Whole messages, which others may be sent too.
        octets: Bytes,
    },
    /// Let the peer's messages have up to 65,535 octets from here on (RFC 8654).
    AcceptExtended {
        /// On this connection.
        connection: ConnectionId,
    },
    /// Keep the connection by what the session has agreed on, from here on.
    Keep {
        /// This connection.
        connection: ConnectionId,
        /// By what.
        terms: Terms,
    },
    /// Close after everything sent before has gone out, or give up the attempt. No answer.
    Close {
        /// The connection or attempt.
        connection: ConnectionId,
    },
    /// Change kernel routes, and answer with `handle_route_answer`.
    ChangeRoutes(Batch),
    /// Have exactly these BFD sessions, and tell of their changes by `handle_path_change`.
    WatchPaths(BTreeMap<bfd::Path, bfd::Config>),
    /// Tell the operator.
    Notice(Notice),
}

/// What an Established session asks of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The longest that we may be silent before the peer has reason to wonder: the keepalive interval.
    /// Zero: for ever.
    pub keepalive: Duration,
    /// As [`Transport::user_timeout`].
    pub user_timeout: Option<Duration>,
    /// How messages are to be decoded, where that is done before they are handed in.
    pub agreed: Arc<Negotiated>,
}

/// What a session's socket must have from its first segment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Local address; the kernel chooses where absent.
    pub source: Option<IpAddr>,
    /// Interface whose address is the local one, as it is when the connection is made.
    pub source_interface: Option<String>,
    /// TCP MD5 key (RFC 2385).
    pub password: Option<Password>,
    /// TTL of outgoing packets; the kernel's default where absent.
    pub ttl: Option<u8>,
    /// Least TTL of incoming packets (RFC 5082).
    pub min_ttl: Option<u8>,
    /// Mark of outgoing packets, for policy routing; zero for none.
    pub mark: u32,
    /// How long TCP may try to get something through before the connection is given up (RFC 5482); the
    /// system's limit where absent.
    pub user_timeout: Option<Duration>,
}

/// An event worth a line in the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A session became Established.
    PeerUp {
        /// The peer's name.
        peer: String,
        /// Its AS.
        asn: u32,
    },
    /// An Established session went down.
    PeerDown {
        /// The peer's name.
        peer: String,
        /// Why, in words.
        reason: String,
    },
    /// A session failed before it was Established.
    PeerFailed {
        /// The peer's name.
        peer: String,
        /// Why, in words.
        reason: String,
    },
    /// An UPDATE had malformed attributes; RFC 7606 was applied.
    Malformed {
        /// The peer's name.
        peer: String,
        /// The first fault of that kind.
        fault: AttributeFault,
    },
    /// Attributes too large to pass on; the prefixes are withdrawn from that peer instead.
    NotEncodable {
        /// The peer's name.
        peer: String,
        /// The first prefix concerned.
        prefix: Prefix,
    },
    /// A peer has nearly as many prefixes of a family as it may have, or more.
    PrefixLimit {
        /// The peer's name.
        peer: String,
        /// The family.
        family: Family,
        /// How many of its prefixes are accepted.
        accepted: u64,
        /// The limit.
        limit: MaxPrefixes,
    },
    /// A connection was refused because its range has as many peers as it may have. Said once, until a
    /// place becomes free.
    RangeFull {
        /// The range's name.
        range: String,
        /// How many peers it may have.
        limit: u32,
        /// Who was refused.
        refused: IpAddr,
    },
    /// One of our pod CIDRs can be delivered here and is announced from now on.
    Originated(Prefix),
    /// After our restart, all peers that were waited for have told what they have.
    Selecting,
    /// Paths of a peer stay after its session has fallen (RFC 4724).
    Kept {
        /// The peer's name.
        peer: String,
        /// Family of the paths.
        family: Family,
        /// How many.
        paths: usize,
        /// How long the peer has to come back.
        time: Duration,
    },
    /// Paths that were kept after a session had fallen, and not announced again, are let go.
    LetGo {
        /// The peer's name.
        peer: String,
        /// Family of the paths.
        family: Family,
        /// How many.
        paths: usize,
    },
    /// Routes found at start that no peer confirmed are let go.
    Swept,
    /// The mesh has no session with this node any more; it stays until the others are in step.
    Rehoming {
        /// The peer's name.
        peer: String,
    },
    /// A drain has come this far.
    Draining(DrainStage),
    /// A drain is taken back.
    Undrained,
    /// The node leaves, and begins to let go of so many service addresses, for a reason.
    Retreating(String, usize),
    /// So many service addresses are withdrawn, after peers had time to prefer those of others.
    LetGoOfServices(usize),
    /// Nothing is withdrawn while no other node announces these service addresses.
    Holding(Vec<Prefix>),
    /// The node can forward for pods, for the first time.
    GateOpen {
        /// Of so many peers all is known.
        told: usize,
        /// Of so many it was to be known.
        required: usize,
        /// Those that were waited for in vain.
        missing: Vec<String>,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::PeerUp { peer, asn } => write!(f, "session with {peer} (AS {asn}) is established"),
            Notice::PeerDown { peer, reason } => write!(f, "session with {peer} went down: {reason}"),
            Notice::PeerFailed { peer, reason } => {
                write!(f, "session with {peer} did not come up: {reason}")
            }
            Notice::Malformed { peer, fault } => {
                let treatment = fault.treatment.name();
                write!(f, "malformed attribute {} from {peer}, {treatment}: {}; ", fault.code, fault.what)?;
                f.write_str("it begins with 0x")?;
                fault.bytes.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
            Notice::NotEncodable { peer, prefix } => {
                write!(f, "attributes of {prefix} do not fit into a message to {peer}; withdrawn from it")
            }
            Notice::PrefixLimit { peer, family, accepted, limit } => {
                let MaxPrefixes { limit, action, .. } = limit;
                let instead = match action {
                    LimitAction::Discard if *accepted >= u64::from(*limit) => "; others are discarded",
                    _ => "",
                };
                write!(f, "{peer} has {accepted} accepted prefixes of {family}, of at most {limit}{instead}")
            }
            Notice::RangeFull { range, limit, refused } => {
                write!(f, "{range} has {limit} dynamic peers, its limit: refused a connection from {refused}")
            }
            Notice::Originated(prefix) => write!(f, "announcing {prefix}"),
            Notice::Kept { peer, family, paths, time } => {
                write!(f, "keeping {paths} {family} paths of {peer} for {} s", time.as_secs())
            }
            Notice::LetGo { peer, family, paths } => {
                write!(f, "letting go of {paths} stale {family} paths of {peer}")
            }
            Notice::Rehoming { peer } => {
                write!(
                    f,
                    "the mesh has no session with {peer} any more; it stays until all others are in step"
                )
            }
            Notice::Selecting => f.write_str("choosing paths from now on"),
            Notice::Draining(stage) => write!(f, "draining: {}", stage.words()),
            Notice::Undrained => f.write_str("the drain is taken back"),
            Notice::Retreating(why, count) => write!(f, "{why}: letting go of {count} service addresses"),
            Notice::LetGoOfServices(count) => write!(f, "withdrawing {count} service addresses"),
            Notice::Holding(prefixes) => {
                let prefixes: Vec<String> = prefixes.iter().map(Prefix::to_string).collect();
                write!(f, "holding on to {}: no other node that stays announces it", prefixes.join(", "))
            }
            Notice::GateOpen { missing, .. } if missing.is_empty() => f.write_str("can forward for pods"),
            Notice::GateOpen { told, required, missing } => write!(
                f,
                "can forward for pods, but only {told} of {required} peers have told what they have; waited in \
                 vain for {}",
                few(missing)
            ),
            Notice::Swept => f.write_str("routes left from before the start are swept"),
        }
    }
}
