//! What reaches the driver from the tasks around it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::bgp::session::Failure;
use crate::bgp::{Message, MessageError};
use crate::fib::{Found, Group, Route};
use crate::prefix::{Family, Prefix};
use crate::rib::next_hop::UnderlayRoute;
use crate::speaker::{ConnectionId, Intent, LinkPeer, Speaker};
use crate::time::Instant;

/// One input of the driver.
pub enum Input {
    /// The objects ask for this. At start it comes with the routes of ours in the kernel.
    Configured {
        /// What the node is meant to do.
        intent: Arc<Intent>,
        /// Routes left from before the start.
        adopted: Option<Found>,
        /// Routes now belong in another table, or bear another protocol number, than before.
        ownership_changed: bool,
    },
    /// Who is on the other side of a link has been found, or is gone.
    LinkPeer {
        /// The interface.
        interface: String,
        /// Who is there.
        peer: Option<LinkPeer>,
    },
    /// The bridge for pods stands, or does not.
    Bridge(bool),
    /// Families that the kernel does not forward, and why. Until this comes, it forwards none.
    Unforwarded(BTreeMap<Family, String>),
    /// A listening socket accepted a connection.
    Accepted {
        /// The connection.
        stream: TcpStream,
        /// Our end.
        local: SocketAddr,
        /// Their end.
        remote: SocketAddr,
    },
    /// An attempt to connect succeeded.
    Connected {
        /// The attempt.
        connection: ConnectionId,
        /// Our end.
        local: SocketAddr,
    },
    /// A peer has said something.
    Heard {
        /// Where.
        connection: ConnectionId,
        /// When it was cut out of the stream.
        at: Instant,
        /// One message after another.
        said: Said,
        /// What made the rest of the stream unreadable, if anything did.
        error: Option<MessageError>,
        /// The room that this takes until it is handled.
        room: OwnedSemaphorePermit,
    },
    /// The kernel took octets to send.
    Sent {
        /// Where.
        connection: ConnectionId,
        /// How many.
        octets: usize,
    },
    /// A connection closed, or an attempt failed.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// Why.
        why: Failure,
    },
    /// The kernel's routes that are not ours, or the machine's addresses, have changed.
    Underlay {
        /// All those routes whose link works.
        routes: Vec<UnderlayRoute>,
        /// All addresses.
        addresses: BTreeSet<IpAddr>,
    },
    /// Somebody else has touched one of our routes.
    RouteSeen {
        /// Destination.
        prefix: Prefix,
        /// The kernel's priority.
        metric: u32,
        /// What stands there now.
        now: Option<Route>,
    },
    /// Our nexthop groups, because the kernel may have taken members away.
    Groups(Vec<Group>),
    /// The kernel's routes that are ours, because something may have happened to them.
    KernelDump(Found),
    /// Somebody wants to look.
    Query(Query),
    /// Somebody wants something done.
    Order(Order),
}

impl Input {
    /// Its kind, in a word for the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Input::Configured { .. } => "configuration",
            Input::LinkPeer { .. } => "link peer",
            Input::Bridge(_) => "bridge",
            Input::Accepted { .. } => "accepted",
            Input::Connected { .. } => "connected",
            Input::Heard { .. } => "messages",
            Input::Sent { .. } => "sent",
            Input::Closed { .. } => "closed",
            Input::Unforwarded(_) => "forwarding",
            Input::Underlay { .. } => "underlay",
            Input::RouteSeen { .. } => "a kernel route",
            Input::Groups(_) => "kernel groups",
            Input::KernelDump(_) => "kernel dump",
            Input::Query(_) => "query",
            Input::Order(_) => "order",
        }
    }
}

/// Messages of a peer.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// Whole messages as they arrived: the session has not agreed yet on what they mean.
    Octets(Vec<u8>),
    /// Decoded.
    Messages(Vec<Message>),
}

impl Said {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Said::Octets(octets) => octets.is_empty(),
            Said::Messages(messages) => messages.is_empty(),
        }
    }
}

/// A question that the driver answers when its turn comes.
pub type Query = Box<dyn FnOnce(&Speaker, Instant) + Send>;
/// What somebody wants done, when its turn comes.
pub type Order = Box<dyn FnOnce(&mut Speaker, Instant) + Send>;
