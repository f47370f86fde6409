//! One connection: what arrives is cut into messages, what is to be sent is written.
//!
//! A connection keeps itself up while the driver is busy with a table, however long that takes. It
//! notes when the peer was last heard, for the driver to ask before it takes the peer for dead; and it
//! says KEEPALIVE by itself when the driver is late with one. Only for so long, though: a driver that
//! has stood still for good must not look alive.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::sync::oneshot;
use tracing::debug;

use super::super::clock::Clock;
use super::super::input::Input;
use super::break_of;
use crate::bgp::header::{MAX_MESSAGE_LENGTH, message_length_within};
use crate::bgp::session::{Break, Failure};
use crate::bgp::{Codec, MessageError};
use crate::kernel::socket;
use crate::speaker::{ConnectionId, Terms};
use crate::time::Instant;

/// Octets asked of the kernel in one read.
const READ_SIZE: usize = 64 * 1024;
/// How long a closed connection is kept to let its last message reach the peer.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// How long KEEPALIVEs go out without the driver, at least three of them.
const DRIVER_MISSED: Duration = Duration::from_secs(60);

/// What the driver asks of a connection.
#[derive(Debug)]
pub(super) enum Order {
    /// Send these octets.
    Send(Bytes),
    /// Keep the connection up by these terms.
    Keep(Terms),
}

/// What a connection and the driver tell each other without a queue between.
#[derive(Debug)]
pub(super) struct Shared {
    /// The most octets that one of the peer's messages may have.
    pub(super) most: AtomicUsize,
    /// When the last message arrived: nanoseconds since the clock's origin. Zero before the first.
    heard: AtomicU64,
    /// What arrived waits for room in the driver's queue, and more may wait in the socket.
    held_up: AtomicBool,
}

impl Shared {
    pub(super) fn new() -> Arc<Shared> {
        Arc::new(Shared {
            most: AtomicUsize::new(MAX_MESSAGE_LENGTH),
            heard: AtomicU64::new(0),
            held_up: AtomicBool::new(false),
        })
    }

    /// When the peer was last heard, whether or not the driver has taken what it said.
    pub(super) fn heard(&self, now: Instant) -> Option<Instant> {
        if self.held_up.load(Ordering::Relaxed) {
            return Some(now);
        }
        let nanos = self.heard.load(Ordering::Relaxed);
        (nanos > 0).then(|| Instant::ORIGIN + Duration::from_nanos(nanos))
    }

    fn hear(&self, at: Instant) {
        // Fits for 584 years.
        let nanos = (at - Instant::ORIGIN).as_nanos() as u64;
        self.heard.store(nanos, Ordering::Relaxed);
    }
}

/// The connection's ties to the driver.
pub(super) struct Ties {
    pub(super) connection: ConnectionId,
    pub(super) orders: UnboundedReceiver<Order>,
    /// Ends when the driver has closed the connection.
    pub(super) closing: oneshot::Receiver<()>,
    pub(super) shared: Arc<Shared>,
    pub(super) inputs: Sender<Input>,
    pub(super) clock: Clock,
}

/// Reads and writes one connection until either side ends it.
pub(super) async fn carry(stream: TcpStream, ties: Ties) {
    let Ties { connection, orders, closing, shared, inputs, clock } = ties;
    let (mut reader, writer) = stream.into_split();
    let ended = {
        let mut reading = pin!(read(connection, &mut reader, (&inputs, clock), &shared));
        tokio::select! {
            why = &mut reading => Err(why),
            written = write(connection, writer, orders, &inputs) => match written {
                Ok(()) => Ok(()),
                Err(error) => {
                    // A peer that has gone may have said why: what arrived before is still to be read.
                    let _ = tokio::time::timeout(LINGER, reading).await;
                    Err(Failure::broken(break_of(&error), error.to_string()))
                }
            },
            // A peer that reads nothing (RFC 9687) would keep what is queued for ever.
            () = linger(closing) => return,
        }
    };
    match ended {
        Ok(()) => drain(&mut reader).await,
        Err(why) => {
            // The driver is gone only when the daemon stops.
            let _ = inputs.send(Input::Closed { connection, why }).await;
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
    shared: &Shared,
) -> Failure {
    let mut stream: Vec<u8> = Vec::with_capacity(READ_SIZE);
    loop {
        stream.reserve(READ_SIZE);
        match reader.read_buf(&mut stream).await {
            Ok(0) => return Failure::broken(Break::Closed, "the peer closed the connection"),
            Ok(_) => {}
            Err(error) => return Failure::broken(break_of(&error), error.to_string()),
        }
        let (whole, error) = whole_messages(shared.most.load(Ordering::Relaxed), &stream);
        if whole == 0 && error.is_none() {
            continue;
        }
        // A copy of its exact size: what waits in the driver's queue must not hold a buffer each.
        let octets = stream[..whole].to_vec();
        stream.drain(..whole);
        let (at, unreadable) = (clock.now(), error.is_some());
        shared.hear(at);
        let frames = Input::Frames { connection, at, octets, error };
        if !hand_over(frames, inputs, shared).await || unreadable {
            // The driver answers with a NOTIFICATION and closes; until then the rest is discarded.
            drain(reader).await;
            return "the stream was unreadable".into();
        }
    }
}

/// Waits for room in the driver's queue; `false` if the driver is gone.
async fn hand_over(frames: Input, inputs: &Sender<Input>, shared: &Shared) -> bool {
    match inputs.try_send(frames) {
        Ok(()) => true,
        Err(TrySendError::Closed(_)) => false,
        Err(TrySendError::Full(frames)) => {
            shared.held_up.store(true, Ordering::Relaxed);
            let taken = inputs.send(frames).await.is_ok();
            shared.held_up.store(false, Ordering::Relaxed);
            taken
        }
    }
}

/// How many octets at the start of `stream` are whole messages, and what stops the next from being
/// one, if it is wrong and not merely incomplete.
fn whole_messages(most: usize, stream: &[u8]) -> (usize, Option<MessageError>) {
    let mut at = 0;
    loop {
        match message_length_within(most, &stream[at..]) {
            Ok(Some(length)) => at += length,
            Ok(None) => return (at, None),
            Err(error) => return (at, Some(error)),
        }
    }
}

/// Writes what is ordered until the orders end, then ends our half of the stream.
async fn write(
    connection: ConnectionId,
    mut writer: OwnedWriteHalf,
    mut orders: UnboundedReceiver<Order>,
    inputs: &Sender<Input>,
) -> io::Result<()> {
    let mut silence = Silence::new();
    // Reported as soon as the driver has room for it: until then it must not keep us from writing.
    let mut unreported = 0;
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Send(octets)) => {
                    writer.write_all(&octets).await?;
                    silence.broken_by_driver();
                    unreported += octets.len();
                    if inputs.try_send(Input::Sent { connection, octets: unreported }).is_ok() {
                        unreported = 0;
                    }
                }
                Some(Order::Keep(terms)) => {
                    silence.keepalive = terms.keepalive;
                    if let Err(error) = socket::set_user_timeout(writer.as_ref(), terms.user_timeout) {
                        debug!("{error}");
                    }
                }
                None => return writer.shutdown().await,
            },
            room = inputs.reserve(), if unreported > 0 => {
                if let Ok(room) = room {
                    room.send(Input::Sent { connection, octets: unreported });
                }
                unreported = 0;
            }
            () = silence.too_long() => {
                writer.write_all(&Codec::initial().encode_keepalive()).await?;
                silence.broken();
            }
        }
    }
}

/// How long we have said nothing.
struct Silence {
    /// The longest that it should last; zero for any length.
    keepalive: Duration,
    since: tokio::time::Instant,
    /// When the driver last said something.
    driver: tokio::time::Instant,
}

impl Silence {
    fn new() -> Silence {
        let now = tokio::time::Instant::now();
        Silence { keepalive: Duration::ZERO, since: now, driver: now }
    }

    fn broken(&mut self) {
        self.since = tokio::time::Instant::now();
    }

    fn broken_by_driver(&mut self) {
        self.broken();
        self.driver = self.since;
    }

    /// Waits until the driver is late with its KEEPALIVE.
    async fn too_long(&self) {
        match self.due() {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// When the driver is late by a quarter of the interval; never where it has been for too long.
    fn due(&self) -> Option<tokio::time::Instant> {
        let due = self.since + self.keepalive * 5 / 4;
        let for_good = due - self.driver > DRIVER_MISSED.max(self.keepalive * 4);
        (!self.keepalive.is_zero() && !for_good).then_some(due)
    }
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
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};

    use super::*;

    /// A connection under test, and what its owner has of it.
    struct Owned {
        peer: TcpStream,
        stream: TcpStream,
        ties: Ties,
        orders: UnboundedSender<Order>,
        heard: tokio::sync::mpsc::Receiver<Input>,
        _open: oneshot::Sender<()>,
    }

    async fn connection(queue: usize) -> Owned {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        let (orders, ordered) = unbounded_channel();
        let (inputs, heard) = channel(queue);
        let (_open, closing) = oneshot::channel();
        let (connection, shared, clock) = (ConnectionId(1), Shared::new(), Clock::start());
        let ties = Ties { connection, orders: ordered, closing, shared, inputs, clock };
        Owned { peer, stream, ties, orders, heard, _open }
    }

    /// A peer that says why and resets the connection, with words of ours on the way, is heard.
    #[tokio::test(flavor = "current_thread")]
    async fn the_last_words_of_a_peer_that_is_gone_are_read() {
        let notification = [&[0xff; 16][..], &[0, 21, 3, 6, 2]].concat();
        for _ in 0..50 {
            let Owned { mut peer, stream, ties, orders, mut heard, _open } = connection(16).await;
            peer.write_all(&notification).await.unwrap();
            peer.set_zero_linger().unwrap();
            drop(peer);
            orders.send(Order::Send(vec![0; 1000].into())).unwrap();
            orders.send(Order::Send(vec![0; 1000].into())).unwrap();
            carry(stream, ties).await;
            let mut last_words = vec![];
            while let Ok(input) = heard.try_recv() {
                if let Input::Frames { octets, .. } = input {
                    last_words = octets;
                }
            }
            assert_eq!(last_words, notification);
        }
    }

    /// The driver takes nothing and says nothing: the peer hears KEEPALIVEs, and is not thought silent.
    #[tokio::test(flavor = "current_thread")]
    async fn a_connection_keeps_itself_up_while_the_driver_is_busy() {
        let Owned { mut peer, stream, ties, orders, heard, _open } = connection(1).await;
        let (shared, clock) = (ties.shared.clone(), ties.clock);
        let keepalive = Codec::initial().encode_keepalive();
        let interval = Duration::from_millis(20);
        orders.send(Order::Keep(Terms { keepalive: interval, user_timeout: None })).unwrap();
        orders.send(Order::Send(keepalive.clone().into())).unwrap();
        let carried = tokio::spawn(carry(stream, ties));
        for _ in 0..10 {
            let mut said = vec![0; keepalive.len()];
            tokio::time::timeout(Duration::from_secs(10), peer.read_exact(&mut said)).await.unwrap().unwrap();
            assert_eq!(said, keepalive);
            peer.write_all(&keepalive).await.unwrap();
        }
        let late = clock.now() + Duration::from_secs(3600);
        assert_eq!(shared.heard(late), Some(late), "it waits for room, and may have said more meanwhile");
        drop((heard, orders, peer));
        carried.await.unwrap();
    }

    #[test]
    fn a_driver_that_is_gone_for_good_is_not_stood_in_for() {
        let stood_in = |keepalive: u64| {
            let mut silence = Silence::new();
            silence.keepalive = Duration::from_secs(keepalive);
            let mut times = 0;
            while let Some(due) = silence.due() {
                silence.since = due;
                times += 1;
            }
            times
        };
        assert_eq!([0, 1, 10, 30, 600].map(stood_in), [0, 48, 4, 3, 3]);
    }
}
