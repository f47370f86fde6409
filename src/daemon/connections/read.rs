//! The half of a connection that reads: what arrives is cut into messages, and decoded.
//!
//! Before the session is Established, messages go to the driver as they are: what they mean is agreed on
//! only there. Afterwards they are decoded here, beside the table, and KEEPALIVEs go no further: that the
//! peer was heard is noted for whenever the driver asks.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::clock::Clock;
use super::super::input::{Input, Said};
use super::break_of;
use super::shared::Shared;
use crate::bgp::header::{MAX_EXTENDED_LENGTH, message_length_within};
use crate::bgp::session::{Break, Failure};
use crate::bgp::{Codec, Message, MessageError};
use crate::speaker::ConnectionId;

/// The most octets taken from the kernel in one read. Beside the beginning of a message of any length
/// there is room for as much again.
const READ_SIZE: usize = 2 * (MAX_EXTENDED_LENGTH + 1);
/// The most octets that may wait for the driver, of all connections together. Decoded, they take several
/// times as much.
pub(super) const WAITING_MOST: usize = 512 * 1024;

thread_local! {
    /// Where reads go to. All connections of a thread share it: none needs it beyond its turn, and a
    /// thousand that are silent would hold one each.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

/// Where a connection hands in what it reads.
pub(super) struct Outlet<'a> {
    pub(super) connection: ConnectionId,
    pub(super) inputs: &'a Sender<Input>,
    /// Room for octets that wait for the driver.
    pub(super) room: &'a Arc<Semaphore>,
    pub(super) shared: &'a Shared,
    pub(super) clock: Clock,
}

/// What a read has brought.
#[derive(Debug)]
struct Brought {
    said: Said,
    /// Octets of whole messages.
    octets: usize,
    /// KEEPALIVEs that are not in `said`.
    keepalives: u64,
    /// What stopped the rest from being messages.
    error: Option<MessageError>,
}

/// Hands messages to the driver until the stream ends, and says why it did. One that is unreadable is for the
/// driver to end.
pub(super) async fn read(reader: &mut OwnedReadHalf, outlet: Outlet<'_>) -> Failure {
    // The beginning of a message whose rest has not arrived.
    let mut begun = vec![];
    loop {
        let brought = match poll_fn(|cx| take_in(reader, cx, &mut begun, outlet.shared)).await {
            Ok(Some(brought)) => brought,
            Ok(None) => return Failure::broken(Break::Closed, "the peer closed the connection"),
            Err(error) => return Failure::broken(break_of(&error), error.to_string()),
        };
        if brought.octets == 0 && brought.error.is_none() {
            continue;
        }
        let unreadable = brought.error.is_some();
        if !outlet.hand_in(brought).await {
            return "the daemon stops".into();
        }
        if unreadable {
            // The driver answers with a NOTIFICATION and closes, when its turn comes; until then the rest
            // is discarded.
            discard(reader).await;
            return std::future::pending().await;
        }
    }
}

/// Reads and discards until the peer has ended its half too: a socket closed with unread octets is reset, and
/// the reset can overtake a NOTIFICATION.
pub(super) async fn discard(reader: &mut OwnedReadHalf) {
    let mut once = |cx: &mut Context<'_>| BUFFER.with_borrow_mut(|buffer| poll_read(reader, cx, buffer));
    while poll_fn(&mut once).await.is_ok_and(|count| count > 0) {}
}

fn poll_read(reader: &mut OwnedReadHalf, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut room = ReadBuf::new(buffer);
    ready!(Pin::new(reader).poll_read(cx, &mut room))?;
    Poll::Ready(Ok(room.filled().len()))
}

/// Reads once; `None` at the end of the stream.
fn take_in(
    reader: &mut OwnedReadHalf,
    cx: &mut Context<'_>,
    begun: &mut Vec<u8>,
    shared: &Shared,
) -> Poll<io::Result<Option<Brought>>> {
    BUFFER.with_borrow_mut(|buffer| {
        let (before, room) = buffer.split_at_mut(begun.len());
        let count = ready!(poll_read(reader, cx, room))?;
        before.copy_from_slice(begun);
        let stream = &buffer[..begun.len() + count];
        Poll::Ready(Ok((count > 0).then(|| {
            let most = shared.most.load(Ordering::Relaxed);
            let brought = match shared.agreed.get() {
                Some(agreed) => decode(&agreed.codec, most, stream),
                None => cut(most, stream),
            };
            // Of the exact size, and mostly none: it lasts until the peer says more.
            *begun = stream[brought.octets..].to_vec();
            brought
        })))
    })
}

/// Whole messages as they are, and what stops the next from being one, if it is wrong and not merely
/// incomplete.
fn cut(most: usize, stream: &[u8]) -> Brought {
    let mut octets = 0;
    let error = loop {
        match message_length_within(most, &stream[octets..]) {
            Ok(Some(length)) => octets += length,
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    Brought { said: Said::Octets(stream[..octets].to_vec()), octets, keepalives: 0, error }
}

/// Whole messages, decoded, up to the first that cannot be.
fn decode(codec: &Codec, most: usize, stream: &[u8]) -> Brought {
    let (mut messages, mut octets, mut keepalives) = (vec![], 0, 0);
    let mut next = |at: usize| {
        let Some(length) = message_length_within(most, &stream[at..])? else { return Ok(0) };
        match codec.decode(&stream[at..at + length])? {
            Message::Keepalive => keepalives += 1,
            message => messages.push(message),
        }
        Ok(length)
    };
    let error = loop {
        match next(octets) {
            Ok(0) => break None,
            Ok(length) => octets += length,
            Err(error) => break Some(error),
        }
    };
    Brought { said: Said::Messages(messages), octets, keepalives, error }
}

impl Outlet<'_> {
    /// Waits for room in the driver's queue; `false` if the driver is gone.
    async fn hand_in(&self, brought: Brought) -> bool {
        let Brought { said, octets, keepalives, error } = brought;
        let at = self.clock.now();
        self.shared.hear(at, keepalives);
        if said.is_empty() && error.is_none() {
            return true;
        }
        let connection = self.connection;
        let input = |room| Input::Heard { connection, at, said, error, room };
        // No read brings more than there can be room for.
        let size = octets.clamp(1, WAITING_MOST) as u32;
        if let Ok(room) = self.room.clone().try_acquire_many_owned(size)
            && let Ok(place) = self.inputs.try_reserve()
        {
            place.send(input(room));
            return true;
        }
        self.shared.held_up.store(true, Ordering::Relaxed);
        let taken = match self.wait(size).await {
            Some(room) => self.inputs.send(input(room)).await.is_ok(),
            None => false,
        };
        self.shared.held_up.store(false, Ordering::Relaxed);
        taken
    }

    async fn wait(&self, size: u32) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        self.room.clone().acquire_many_owned(size).await.ok()
    }
}
