//! Streams of numbered packets from one namespace to another, and an exact count of those that got lost.
//!
//! A packet bears its number and nothing else; when it was sent is in the sender's own list. So the length
//! of an outage is in the sender's time, and what else the machine does while a packet waits for its
//! receiver is not counted.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use routelet::kernel::NetNs;

/// Time between two packets of a stream.
const PACE: Duration = Duration::from_millis(1);
/// Source ports that a stream's packets take in turn: where there are several next hops, the kernel uses
/// them all.
const FLOWS: usize = 8;
/// How long the last packets may be on their way.
const PATIENCE: Duration = Duration::from_millis(500);
/// Octets that may wait for a receiver which is not scheduled: some seconds of a stream.
const BUFFER: usize = 16 << 20;

/// A stream that is running.
pub struct Stream {
    name: &'static str,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    arrived: Arc<Arrived>,
    sender: JoinHandle<Vec<Duration>>,
    receivers: Vec<JoinHandle<()>>,
}

/// The numbers of packets that have arrived, at whichever receiver.
#[derive(Default)]
struct Arrived {
    seen: Mutex<Vec<bool>>,
    /// No more will come.
    over: AtomicBool,
}

/// What became of a stream.
#[derive(Debug, Clone)]
pub struct Count {
    pub name: &'static str,
    pub sent: usize,
    pub lost: usize,
    /// The longest time over which packets got lost, of whichever flow.
    pub outage: Duration,
    /// The last packet of every flow has arrived.
    pub flows: bool,
}

/// One end of a stream.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub namespace: &'a NetNs,
    pub address: IpAddr,
}

impl Stream {
    /// Starts a stream. Several receivers are several places that have the same address.
    pub fn start(name: &'static str, from: &End<'_>, to: &[End<'_>], port: u16) -> Stream {
        let arrived = Arc::new(Arrived::default());
        let receivers = to.iter().map(|end| {
            let socket = bind(end, port);
            setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let arrived = arrived.clone();
            std::thread::spawn(move || receive(&socket, &arrived))
        });
        let receivers = receivers.collect();
        let sockets: Vec<UdpSocket> = (0..FLOWS).map(|_| bind(from, 0)).collect();
        let destination = SocketAddr::new(to[0].address, port);
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, counter) = (stop.clone(), sent.clone());
        let sender = std::thread::spawn(move || send(&sockets, destination, &told, &counter));
        Stream { name, stop, sent, arrived, sender, receivers }
    }

    /// How many packets have been sent so far.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many packets have arrived so far.
    pub fn arrived(&self) -> usize {
        self.arrived.seen.lock().unwrap().iter().filter(|seen| **seen).count()
    }

    /// Ends the stream and counts.
    pub fn end(self) -> Count {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let all = |arrived: &Arrived| {
            let seen = arrived.seen.lock().unwrap();
            seen.len() == sent.len() && seen.iter().all(|seen| *seen)
        };
        while !all(&self.arrived) && Instant::now() < deadline {
            std::thread::sleep(PACE);
        }
        self.arrived.over.store(true, Ordering::Relaxed);
        for receiver in self.receivers {
            receiver.join().unwrap();
        }
        let mut seen = self.arrived.seen.lock().unwrap().clone();
        seen.resize(sent.len(), false);
        count(self.name, &sent, &seen)
    }
}

/// A process that another thread is just about to start may hold the socket of a stream before for a moment.
fn bind(end: &End<'_>, port: u16) -> UdpSocket {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match end.namespace.enter(|| UdpSocket::bind((end.address, port))).unwrap() {
            Ok(socket) => return socket,
            Err(error) if Instant::now() > deadline => panic!("bind {}: {error}", end.address),
            Err(_) => std::thread::sleep(PACE),
        }
    }
}

/// Sends until told to stop; returns when each packet was sent. A sender that was not scheduled makes up
/// for it, so that the time of a stream is the number of its packets.
fn send(sockets: &[UdpSocket], to: SocketAddr, stop: &AtomicBool, sent: &AtomicUsize) -> Vec<Duration> {
    let began = Instant::now();
    let mut times = vec![];
    while !stop.load(Ordering::Relaxed) {
        let due = PACE * u32::try_from(times.len()).unwrap();
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let number = u64::try_from(times.len()).unwrap();
        times.push(began.elapsed());
        // What the kernel refuses to send is lost as well.
        let _ = sockets[times.len() % FLOWS].send_to(&number.to_be_bytes(), to);
        sent.store(times.len(), Ordering::Relaxed);
    }
    times
}

fn receive(socket: &UdpSocket, arrived: &Arrived) {
    let mut octets = [0; 8];
    loop {
        // A timeout is one look at whether it is over.
        if let Ok(8) = socket.recv(&mut octets) {
            let number = usize::try_from(u64::from_be_bytes(octets)).unwrap();
            let mut seen = arrived.seen.lock().unwrap();
            if seen.len() <= number {
                seen.resize(number + 1, false);
            }
            seen[number] = true;
        } else if arrived.over.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn count(name: &'static str, sent: &[Duration], seen: &[bool]) -> Count {
    let lost: Vec<usize> = (0..sent.len()).filter(|number| !seen[*number]).collect();
    let mut outage = Duration::ZERO;
    let mut first = 0;
    for (i, number) in lost.iter().enumerate() {
        // Between two lost packets of one flow lie those of the other flows.
        if i > 0 && number - lost[i - 1] > 2 * FLOWS {
            first = i;
        }
        outage = outage.max(sent[*number] - sent[lost[first]] + PACE);
    }
    let flows = seen.iter().rev().take(FLOWS).all(|seen| *seen);
    Count { name, sent: sent.len(), lost: lost.len(), outage, flows }
}
