//! TCP connections: a task each, on the thread of the sessions.
//!
//! Reading stops while the driver is behind (its queue is bounded), which lets TCP slow the peer
//! down. Writing is bounded by the speaker, which gives a connection no more while too much of what
//! it gave before is unsent. A slow peer therefore slows nobody else.

mod carry;
mod read;
mod shared;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Sender, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::clock::Clock;
use super::input::Input;
use crate::bgp::header::MAX_EXTENDED_LENGTH;
use crate::bgp::session::{Break, Failure};
use crate::kernel;
use crate::kernel::socket::{self, Options};
use crate::speaker::{ConnectionId, Terms, Transport};
use crate::time::Instant;
use carry::{LINGER, Ties, carry};
use read::WAITING_MOST;
pub use shared::Heard;
use shared::Shared;
use write::Order;

/// Every connection and attempt the speaker knows of.
#[derive(Debug)]
pub struct Connections {
    inputs: Sender<Input>,
    /// Room for octets that wait for the driver.
    room: Arc<Semaphore>,
    clock: Clock,
    /// The thread of the sessions.
    thread: Handle,
    open: BTreeMap<ConnectionId, Open>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Open {
    /// Closing it lets the task finish what was queued and close the connection.
    orders: UnboundedSender<Order>,
    shared: Arc<Shared>,
    /// To be aborted while it is still connecting.
    attempt: Option<AbortHandle>,
    /// Gone with this: tells the task that it has not for ever to send what is queued.
    _until_closed: oneshot::Sender<()>,
}

impl Connections {
    /// No connection yet. What happens to them, on that thread, arrives at `inputs`.
    pub fn new(inputs: Sender<Input>, clock: Clock, thread: Handle) -> Connections {
        let room = Arc::new(Semaphore::new(WAITING_MOST));
        Connections { inputs, room, clock, thread, open: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Starts an attempt to connect.
    pub fn dial(&mut self, connection: ConnectionId, remote: SocketAddr, transport: &Transport) {
        let (open, ties) = self.tie(connection);
        let (inputs, options) = (self.inputs.clone(), options(transport));
        let attempt = async move {
            let input = match socket::connect(remote, &options).await {
                Ok(stream) => match stream.local_addr() {
                    Ok(local) => {
                        let connected = Input::Connected { connection, local };
                        if inputs.send(connected).await.is_ok() {
                            carry(stream, ties).await;
                        }
                        return;
                    }
                    Err(error) => closed(connection, format!("connecting to {remote}: {error}").into()),
                },
                Err(error) => closed(connection, refused(&error)),
            };
            // The driver is gone only when the daemon stops.
            let _ = inputs.send(input).await;
        };
        let attempt = self.tasks.spawn_on(attempt, &self.thread);
        self.open.insert(connection, Open { attempt: Some(attempt), ..open });
    }

    /// Takes an accepted connection into service.
    pub fn adopt(&mut self, connection: ConnectionId, stream: TcpStream, transport: &Transport) {
        let (open, ties) = self.tie(connection);
        let (inputs, options) = (self.inputs.clone(), options(transport));
        let service = async move {
            match socket::set_accepted(&stream, &options) {
                Ok(()) => carry(stream, ties).await,
                Err(error) => {
                    let _ = inputs.send(closed(connection, refused(&error))).await;
                }
            }
        };
        self.tasks.spawn_on(service, &self.thread);
        self.open.insert(connection, open);
    }

    /// Both ends of what ties a connection to the driver.
    fn tie(&self, connection: ConnectionId) -> (Open, Ties) {
        let (orders, ordered) = unbounded_channel();
        let (_until_closed, closing) = oneshot::channel();
        let shared = Shared::new();
        let open = Open { orders, shared: shared.clone(), attempt: None, _until_closed };
        let (inputs, room, clock) = (self.inputs.clone(), self.room.clone(), self.clock);
        (open, Ties { connection, orders: ordered, closing, shared, inputs, room, clock })
    }

    /// An attempt has become a connection: from now on it is closed gently.
    pub fn connected(&mut self, connection: ConnectionId) {
        if let Some(open) = self.open.get_mut(&connection) {
            open.attempt = None;
        }
    }

    /// The peer may send extended messages from now on (RFC 8654).
    pub fn accept_extended(&mut self, connection: ConnectionId) {
        if let Some(open) = self.open.get(&connection) {
            open.shared.most.store(MAX_EXTENDED_LENGTH, Ordering::Relaxed);
        }
    }

    /// Queues octets to be sent.
    pub fn send(&mut self, connection: ConnectionId, octets: Bytes) {
        if let Some(open) = self.open.get(&connection) {
            // A task that has ended has also reported the connection closed.
            let _ = open.orders.send(Order::Send(octets));
        }
    }

    /// Has a connection kept by these terms from now on, and what it reads decoded by them.
    pub fn keep(&mut self, connection: ConnectionId, terms: Terms) {
        if let Some(open) = self.open.get(&connection) {
            // Terms are set once: a connection has one session.
            let _ = open.shared.agreed.set(terms.agreed.clone());
            let _ = open.orders.send(Order::Keep(terms));
        }
    }

    /// What a peer has said, also where that still waits to be taken, or is not handed over at all.
    pub fn heard(&self, connection: ConnectionId, now: Instant) -> Option<Heard> {
        self.open.get(&connection)?.shared.heard(now)
    }

    /// The same of all peers.
    pub fn heard_of_all(&self, now: Instant) -> impl Iterator<Item = (ConnectionId, Heard)> {
        self.open.iter().filter_map(move |(connection, open)| Some((*connection, open.shared.heard(now)?)))
    }

    /// Closes a connection after what is queued, or gives up an attempt.
    pub fn close(&mut self, connection: ConnectionId) {
        if let Some(Open { attempt: Some(attempt), .. }) = self.open.remove(&connection) {
            attempt.abort();
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Forgets a connection that has closed by itself.
    pub fn forget(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
    }

    /// Waits until every connection that has been closed is gone, but not for ever.
    pub async fn finish(mut self) {
        self.open.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LINGER * 2, all).await;
    }
}

fn options(transport: &Transport) -> Options {
    Options {
        source: transport.source,
        source_interface: transport.source_interface.clone(),
        md5_key: transport.password.as_ref().map(|p| p.expose().to_vec()),
        ttl: transport.ttl,
        min_ttl: transport.min_ttl,
        mark: transport.mark,
        user_timeout: transport.user_timeout,
    }
}

/// Why there is no connection.
fn refused(error: &kernel::Error) -> Failure {
    let kind = match error {
        kernel::Error::System { source, .. } => break_of(source),
        _ => Break::Other,
    };
    Failure::broken(kind, error.to_string())
}

/// What the kernel's answer means for a connection.
fn break_of(error: &io::Error) -> Break {
    use io::ErrorKind::{
        AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkDown, NetworkUnreachable, TimedOut,
    };
    match error.kind() {
        ConnectionRefused => Break::Refused,
        HostUnreachable | NetworkDown | NetworkUnreachable => Break::NoRoute,
        TimedOut => Break::NoAnswer,
        AddrNotAvailable => Break::NoSource,
        BrokenPipe | ConnectionAborted | ConnectionReset => Break::Closed,
        _ => Break::Other,
    }
}

fn closed(connection: ConnectionId, why: Failure) -> Input {
    Input::Closed { connection, why }
}
