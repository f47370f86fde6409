//! The half of a connection that writes what is ordered, and KEEPALIVEs where the driver is late with
//! one.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::time::Instant;
use tracing::debug;

use super::super::input::Input;
use crate::bgp::Codec;
use crate::kernel::socket;
use crate::speaker::{ConnectionId, Terms};

/// How long KEEPALIVEs go out without the driver, at least three of them.
const DRIVER_MISSED: Duration = Duration::from_secs(60);
/// The most orders taken, and written, at once.
const AT_ONCE: usize = 32;
/// What was sent is reported when it is so many octets, for the driver may wait to send more,
const REPORT_OCTETS: usize = 64 * 1024;
/// and otherwise after so long, with what has followed until then.
const REPORT_AFTER: Duration = Duration::from_millis(50);

/// What the driver asks of a connection.
#[derive(Debug)]
pub(super) enum Order {
    /// Send these octets.
    Send(Bytes),
    /// Keep the connection up by these terms.
    Keep(Terms),
}

/// Writes what is ordered until the orders end, then ends our half of the stream.
pub(super) async fn write(
    connection: ConnectionId,
    mut writer: OwnedWriteHalf,
    mut orders: UnboundedReceiver<Order>,
    inputs: &Sender<Input>,
) -> io::Result<()> {
    let mut silence = Silence::new();
    let mut report = Report { connection, octets: 0, since: silence.since, waits: false };
    let mut queue = Queue::default();
    let mut taken = vec![];
    loop {
        // In the middle of a message there is no place for a KEEPALIVE.
        let silent_until = silence.due().filter(|_| queue.is_empty());
        let due = report.due().into_iter().chain(silent_until).min();
        tokio::select! {
            biased;
            written = queue.write_to(&mut writer), if !queue.is_empty() => {
                report.add(written?, inputs);
                silence.broken_by_driver();
            }
            count = orders.recv_many(&mut taken, AT_ONCE), if queue.is_empty() => {
                if count == 0 {
                    return writer.shutdown().await;
                }
                for order in taken.drain(..) {
                    match order {
                        Order::Send(octets) => queue.push(octets),
                        Order::Keep(terms) => keep(&writer, &mut silence, &terms),
                    }
                }
            }
            // Until the driver has room for a report, it must not keep us from writing.
            room = inputs.reserve(), if report.waits => {
                // The driver is gone only when the daemon stops.
                let _ = room.map(|room| room.send(report.take()));
            }
            () = sleep_until(due) => {
                if report.due().is_some_and(|at| at <= Instant::now()) {
                    report.hand_in(inputs);
                } else {
                    writer.write_all(&Codec::initial().encode_keepalive()).await?;
                    silence.broken();
                }
            }
        }
    }
}

fn keep(writer: &OwnedWriteHalf, silence: &mut Silence, terms: &Terms) {
    silence.keepalive = terms.keepalive;
    if let Err(error) = socket::set_user_timeout(writer.as_ref(), terms.user_timeout) {
        debug!("{error}");
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What is being written: pieces, the first of them from where the kernel has stopped taking it.
#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    /// Octets of the first piece that are written.
    written: usize,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// Writes as much as the kernel takes in one call, of all pieces together. Returns how much that was.
    async fn write_to(&mut self, writer: &mut OwnedWriteHalf) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); AT_ONCE];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let from = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&piece[from..]);
            count += 1;
        }
        let taken = writer.write_vectored(&slices[..count]).await?;
        self.written += taken;
        while let Some(first) = self.pieces.front().filter(|first| self.written >= first.len()) {
            self.written -= first.len();
            self.pieces.pop_front();
        }
        Ok(taken)
    }
}

/// What has been sent that the driver does not know of.
struct Report {
    connection: ConnectionId,
    octets: usize,
    /// When the first of them were.
    since: Instant,
    /// It is due, and there is no room for it.
    waits: bool,
}

impl Report {
    fn add(&mut self, octets: usize, inputs: &Sender<Input>) {
        if self.octets == 0 {
            self.since = Instant::now();
        }
        self.octets += octets;
        if self.octets >= REPORT_OCTETS {
            self.hand_in(inputs);
        }
    }

    fn due(&self) -> Option<Instant> {
        (self.octets > 0 && !self.waits).then(|| self.since + REPORT_AFTER)
    }

    fn hand_in(&mut self, inputs: &Sender<Input>) {
        match inputs.try_reserve() {
            Ok(room) => room.send(self.take()),
            Err(TrySendError::Full(())) => self.waits = true,
            // The daemon stops.
            Err(TrySendError::Closed(())) => drop(self.take()),
        }
    }

    fn take(&mut self) -> Input {
        self.waits = false;
        Input::Sent { connection: self.connection, octets: std::mem::take(&mut self.octets) }
    }
}

/// How long we have said nothing.
struct Silence {
    /// The longest that it should last; zero for any length.
    keepalive: Duration,
    since: Instant,
    /// When the driver last said something.
    driver: Instant,
}

impl Silence {
    fn new() -> Silence {
        let now = Instant::now();
        Silence { keepalive: Duration::ZERO, since: now, driver: now }
    }

    fn broken(&mut self) {
        self.since = Instant::now();
    }

    fn broken_by_driver(&mut self) {
        self.broken();
        self.driver = self.since;
    }

    /// When the driver is late with its KEEPALIVE by a quarter of the interval; never where it has been
    /// for too long.
    fn due(&self) -> Option<Instant> {
        let due = self.since + self.keepalive * 5 / 4;
        let for_good = due - self.driver > DRIVER_MISSED.max(self.keepalive * 4);
        (!self.keepalive.is_zero() && !for_good).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// However small the portions are that the kernel takes, the peer gets everything in order.
    #[tokio::test(flavor = "current_thread")]
    async fn pieces_arrive_whole_and_in_order() {
        use tokio::io::AsyncReadExt;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let (orders, ordered) = tokio::sync::mpsc::unbounded_channel();
        let (inputs, mut reports) = tokio::sync::mpsc::channel(1);
        let pieces: Vec<Vec<u8>> =
            (0..200usize).map(|i| (0..i * 997 % 60_000).map(|j| (i + j) as u8).collect()).collect();
        for piece in &pieces {
            orders.send(Order::Send(piece.clone().into())).unwrap();
        }
        drop(orders);
        let (_reader, writer) = stream.into_split();
        let all = pieces.concat();
        let writing = write(ConnectionId(1), writer, ordered, &inputs);
        let reading = async {
            let mut arrived = vec![];
            peer.read_to_end(&mut arrived).await.unwrap();
            arrived
        };
        let (written, arrived) = tokio::join!(writing, reading);
        written.unwrap();
        assert!(arrived == all, "{} octets of {}", arrived.len(), all.len());
        assert!(matches!(reports.try_recv(), Ok(Input::Sent { octets, .. }) if octets >= REPORT_OCTETS));
    }
}
