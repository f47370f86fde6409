//! TCP connections: a task each that cuts the incoming stream into messages and writes what is to be
//! sent.
//!
//! Reading stops while the driver is behind (its queue is bounded), which lets TCP slow the peer
//! down. Writing is bounded by the speaker, which gives a connection no more while too much of what
//! it gave before is unsent. A slow peer therefore slows nobody else.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use super::clock::Clock;
use super::input::Input;
use crate::bgp::header::{MAX_EXTENDED_LENGTH, MAX_MESSAGE_LENGTH, message_length_within};
use crate::kernel::socket::{self, Options};
use crate::speaker::{ConnectionId, Transport};

/// Octets asked of the kernel in one read.
const READ_SIZE: usize = 64 * 1024;
/// How long a closed connection is kept to let its last message reach the peer.
const LINGER: Duration = Duration::from_secs(1);

/// Every connection and attempt the speaker knows of.
#[derive(Debug)]
pub struct Connections {
    inputs: Sender<Input>,
    clock: Clock,
    open: BTreeMap<ConnectionId, Open>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Open {
    /// Closing it lets the task finish what was queued and close the connection.
    outgoing: UnboundedSender<Vec<u8>>,
    /// The most octets that one of the peer's messages may have.
    most: Arc<AtomicUsize>,
    /// To be aborted while it is still connecting.
    attempt: Option<AbortHandle>,
    /// Gone with this: tells the task that it has not for ever to send what is queued.
    _until_closed: oneshot::Sender<()>,
}

impl Connections {
    /// No connection yet. What happens to them arrives at `inputs`.
    pub fn new(inputs: Sender<Input>, clock: Clock) -> Connections {
        Connections { inputs, clock, open: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Starts an attempt to connect.
    pub fn dial(&mut self, connection: ConnectionId, remote: SocketAddr, transport: &Transport) {
        let (outgoing, queue) = unbounded_channel();
        let most = Arc::new(AtomicUsize::new(MAX_MESSAGE_LENGTH));
        let (_until_closed, closing) = oneshot::channel();
        let limit = most.clone();
        let (inputs, clock, options) = (self.inputs.clone(), self.clock, options(transport));
        let attempt = self.tasks.spawn(async move {
            let input = match socket::connect(remote, &options).await {
                Ok(stream) => match stream.local_addr() {
                    Ok(local) => {
                        let connected = Input::Connected { connection, local };
                        if inputs.send(connected).await.is_ok() {
                            carry(connection, stream, (queue, closing), (inputs, clock), &limit).await;
                        }
                        return;
                    }
                    Err(error) => closed(connection, format!("connecting to {remote}: {error}")),
                },
                Err(error) => closed(connection, error.to_string()),
            };
            // The driver is gone only when the daemon stops.
            let _ = inputs.send(input).await;
        });
        self.open.insert(connection, Open { outgoing, most, attempt: Some(attempt), _until_closed });
    }

    /// Takes an accepted connection into service.
    pub fn adopt(&mut self, connection: ConnectionId, stream: TcpStream, transport: &Transport) {
        let (outgoing, queue) = unbounded_channel();
        let most = Arc::new(AtomicUsize::new(MAX_MESSAGE_LENGTH));
        let (_until_closed, closing) = oneshot::channel();
        let limit = most.clone();
        let (inputs, clock, options) = (self.inputs.clone(), self.clock, options(transport));
        self.tasks.spawn(async move {
            match socket::set_ttl(&stream, &options) {
                Ok(()) => carry(connection, stream, (queue, closing), (inputs, clock), &limit).await,
                Err(error) => {
                    let _ = inputs.send(closed(connection, error.to_string())).await;
                }
            }
        });
        self.open.insert(connection, Open { outgoing, most, attempt: None, _until_closed });
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
            open.most.store(MAX_EXTENDED_LENGTH, Ordering::Relaxed);
        }
    }

    /// Queues octets to be sent.
    pub fn send(&mut self, connection: ConnectionId, octets: Vec<u8>) {
        if let Some(open) = self.open.get(&connection) {
            // A task that has ended has also reported the connection closed.
            let _ = open.outgoing.send(octets);
        }
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
    }
}

fn closed(connection: ConnectionId, why: String) -> Input {
    Input::Closed { connection, why }
}

/// Reads and writes one connection until either side ends it.
async fn carry(
    connection: ConnectionId,
    stream: TcpStream,
    (queue, closing): (UnboundedReceiver<Vec<u8>>, oneshot::Receiver<()>),
    (inputs, clock): (Sender<Input>, Clock),
    most: &AtomicUsize,
) {
    let (mut reader, writer) = stream.into_split();
    let ended = {
        let mut reading = pin!(read(connection, &mut reader, (&inputs, clock), most));
        tokio::select! {
            why = &mut reading => Err(why),
            written = write(connection, writer, queue, &inputs) => match written {
                Ok(()) => Ok(()),
                Err(error) => {
                    // A peer that has gone may have said why: what arrived before is still to be read.
                    let _ = tokio::time::timeout(LINGER, reading).await;
                    Err(error.to_string())
                }
            },
            // A peer that reads nothing (RFC 9687) would keep what is queued for ever.
            () = linger(closing) => return,
        }
    };
    match ended {
        Ok(()) => drain(&mut reader).await,
        Err(why) => {
            let _ = inputs.send(closed(connection, why)).await;
        }
    }
}

/// Waits until a connection has been closed, and then for as long as it may take to end.
async fn linger(closing: oneshot::Receiver<()>) {
    // An error says that the sender is gone, which is what is waited for.
    let _ = closing.await;
    tokio::time::sleep(LINGER * 2).await;
}

/// Hands whole messages to the driver until the stream ends, and says why it did.
async fn read(
    connection: ConnectionId,
    reader: &mut OwnedReadHalf,
    (inputs, clock): (&Sender<Input>, Clock),
    most: &AtomicUsize,
) -> String {
    let mut stream: Vec<u8> = Vec::with_capacity(READ_SIZE);
    loop {
        stream.reserve(READ_SIZE);
        match reader.read_buf(&mut stream).await {
            Ok(0) => return "the peer closed the connection".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
        let (whole, error) = whole_messages(most.load(Ordering::Relaxed), &stream);
        if whole == 0 && error.is_none() {
            continue;
        }
        // A copy of its exact size: what waits in the driver's queue must not hold a buffer each.
        let octets = stream[..whole].to_vec();
        stream.drain(..whole);
        let unreadable = error.is_some();
        let frames = Input::Frames { connection, at: clock.now(), octets, error };
        if inputs.send(frames).await.is_err() || unreadable {
            // The driver answers with a NOTIFICATION and closes; until then the rest is discarded.
            drain(reader).await;
            return "the stream was unreadable".to_owned();
        }
    }
}

/// How many octets at the start of `stream` are whole messages, and what stops the next from being
/// one, if it is wrong and not merely incomplete.
fn whole_messages(most: usize, stream: &[u8]) -> (usize, Option<crate::bgp::MessageError>) {
    let mut at = 0;
    loop {
        match message_length_within(most, &stream[at..]) {
            Ok(Some(length)) => at += length,
            Ok(None) => return (at, None),
            Err(error) => return (at, Some(error)),
        }
    }
}

/// Writes what is queued until the queue is closed, then ends our half of the stream.
async fn write(
    connection: ConnectionId,
    mut writer: OwnedWriteHalf,
    mut queue: UnboundedReceiver<Vec<u8>>,
    inputs: &Sender<Input>,
) -> io::Result<()> {
    while let Some(octets) = queue.recv().await {
        writer.write_all(&octets).await?;
        let _ = inputs.send(Input::Sent { connection, octets: octets.len() }).await;
    }
    writer.shutdown().await
}

/// Reads and discards until the peer has ended its half too: a socket closed with unread octets is
/// reset, and the reset can overtake a NOTIFICATION.
async fn drain(reader: &mut OwnedReadHalf) {
    let mut discarded = vec![0; READ_SIZE];
    let end = async { while reader.read(&mut discarded).await.is_ok_and(|n| n > 0) {} };
    let _ = tokio::time::timeout(LINGER, end).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that says why and resets the connection, with words of ours on the way, is heard.
    #[tokio::test(flavor = "current_thread")]
    async fn the_last_words_of_a_peer_that_is_gone_are_read() {
        let notification = [&[0xff; 16][..], &[0, 21, 3, 6, 2]].concat();
        for _ in 0..50 {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut peer, _) = listener.accept().await.unwrap();
            let (outgoing, queue) = unbounded_channel();
            let (inputs, mut heard) = tokio::sync::mpsc::channel(16);
            peer.write_all(&notification).await.unwrap();
            peer.set_zero_linger().unwrap();
            drop(peer);
            outgoing.send(vec![0; 1000]).unwrap();
            outgoing.send(vec![0; 1000]).unwrap();
            let most = AtomicUsize::new(MAX_MESSAGE_LENGTH);
            let (_open, closing) = oneshot::channel();
            carry(ConnectionId(1), stream, (queue, closing), (inputs, Clock::start()), &most).await;
            let mut last_words = vec![];
            while let Ok(input) = heard.try_recv() {
                if let Input::Frames { octets, .. } = input {
                    last_words = octets;
                }
            }
            assert_eq!(last_words, notification);
        }
    }
}
