//! The BFD thread: sockets and timers of [`crate::bfd`], away from everything that could keep them
//! waiting.
//!
//! A session of 3 × 50 ms fails when its packets are held up for a tenth of a second, so they share a
//! thread with nothing, and that thread asks for real-time priority.
//!
//! Where it gets none and runs late all the same, it must neither take a peer for silent whose packets wait
//! in the socket, nor give a silent one the time by which it was late:
//!
//! - It looks at the clock, then empties the sockets, then lets those timers expire that were due when it
//!   looked. Whatever had arrived by then has been heard.
//! - The detection time runs from when the kernel took a packet from the wire. The kernel says so by the
//!   clock on the wall, which somebody may set; but a packet has come since its socket was last found
//!   empty, so that this bounds the error by how late the thread was.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, warn};

use super::clock::Clock;
use crate::bfd::{Action, Arrival, Bfd, Change, Config, Path};
use crate::kernel::datagram::{Datagrams, Received};
use crate::kernel::priority;
use crate::time::Instant;

/// Source ports of control packets (RFC 5881 §4).
const SOURCE_PORTS: RangeInclusive<u16> = 49152..=65535;
/// Longer than any control packet.
const BUFFER: usize = 256;

/// What the thread is asked.
enum Command {
    Configure(BTreeMap<Path, Config>),
    AdminDown,
}

/// A hold on the thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct BfdThread {
    commands: Option<Sender<Command>>,
    bell: PipeWriter,
    thread: Option<JoinHandle<()>>,
}

impl BfdThread {
    /// Starts the thread. Changes of state arrive at `changes`, which never makes it wait.
    ///
    /// # Errors
    /// The system gives no pipe or no thread.
    pub fn start(seed: u64, clock: Clock, changes: UnboundedSender<(Path, Change)>) -> io::Result<BfdThread> {
        let (bell_heard, bell) = io::pipe()?;
        let (commands, queue) = channel();
        let thread = std::thread::Builder::new().name("bfd".to_owned()).spawn(move || {
            if let Err(error) = priority::raise_this_thread() {
                warn!("BFD runs without real-time priority, and may be late on a busy machine: {error}");
            }
            let (sockets, emptied) = (Sockets::default(), clock.now());
            Loop { bfd: Bfd::new(seed), clock, queue, bell: bell_heard, sockets, emptied, changes }.run();
        })?;
        Ok(BfdThread { commands: Some(commands), bell, thread: Some(thread) })
    }

    /// Sets the complete set of sessions there should be.
    pub fn configure(&mut self, wanted: BTreeMap<Path, Config>) {
        self.tell(Command::Configure(wanted));
    }

    /// Holds every session down and says so.
    pub fn admin_down(&mut self) {
        self.tell(Command::AdminDown);
    }

    fn tell(&mut self, command: Command) {
        // The thread ends only when this is dropped.
        let sent = self.commands.as_ref().is_some_and(|commands| commands.send(command).is_ok());
        if sent {
            let _ = self.bell.write_all(&[0]);
        }
    }
}

impl Drop for BfdThread {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.bell.write_all(&[0]);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Loop {
    bfd: Bfd,
    clock: Clock,
    queue: Receiver<Command>,
    bell: PipeReader,
    sockets: Sockets,
    /// All that had arrived by then has been taken.
    emptied: Instant,
    changes: UnboundedSender<(Path, Change)>,
}

impl Loop {
    fn run(mut self) {
        while self.wait().is_ok() {
            let looked = self.clock.now();
            self.take_datagrams();
            self.emptied = looked;
            loop {
                match self.queue.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                }
            }
            self.bfd.handle_timeout(looked);
            self.perform();
        }
    }

    /// Waits until a datagram or a command is there or a timer is due.
    fn wait(&mut self) -> nix::Result<()> {
        let left = self.bfd.poll_timeout().map(|at| TimeSpec::from_duration(at - self.clock.now()));
        let sockets = self.sockets.listeners.values().flatten().map(Datagrams::as_fd);
        let fds = std::iter::once(self.bell.as_fd()).chain(sockets);
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match ppoll(&mut fds, left, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let rung = fds[0].revents().is_some_and(|events| !events.is_empty());
        drop(fds);
        if rung {
            // As many octets as there were commands; what is left rings again.
            let _ = self.bell.read(&mut [0; 64]);
        }
        Ok(())
    }

    fn take_datagrams(&mut self) {
        let mut buffer = [0; BUFFER];
        for (&(_, port), listener) in &self.sockets.listeners {
            let Some(listener) = listener else { continue };
            loop {
                match listener.receive(&mut buffer) {
                    Ok(None) => break,
                    Ok(Some(received)) => {
                        let octets = buffer.get(..received.octets).unwrap_or(&buffer);
                        let now = self.clock.now();
                        let waited = received.waited.min(now - self.emptied);
                        let arrival = arrival(port, &received, waited);
                        if let Err(error) = self.bfd.handle_datagram(now, &arrival, octets) {
                            debug!(remote = %received.remote, "BFD packet discarded: {error}");
                        }
                    }
                    Err(error) => {
                        warn!("receiving BFD packets: {error}");
                        break;
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Configure(wanted) => {
                for path in wanted.keys() {
                    self.sockets.listen(path);
                }
                self.bfd.handle_configuration(now, &wanted);
            }
            Command::AdminDown => self.bfd.handle_admin_down(now),
        }
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(action) = self.bfd.poll_action() {
            match action {
                Action::Send { path, octets } => self.sockets.send(&path, &octets),
                Action::Changed { path, change } => {
                    // The driver is gone only when the daemon stops.
                    let _ = self.changes.send((path, change));
                }
                Action::Removed { path } => {
                    self.sockets.senders.remove(&path);
                }
            }
        }
    }
}

/// Sockets: one to listen for each family and port in use, one to send for each session.
#[derive(Debug, Default)]
struct Sockets {
    /// By whether IPv6, and port; `None` where there was an error, which has been reported.
    listeners: BTreeMap<(bool, u16), Option<Datagrams>>,
    senders: BTreeMap<Path, Datagrams>,
}

impl Sockets {
    fn listen(&mut self, path: &Path) {
        let any = unspecified(path.remote);
        let listener = self.listeners.entry((any.is_ipv6(), path.port())).or_default();
        if listener.is_none() {
            match Datagrams::listen(SocketAddr::new(any, path.port())) {
                Ok(socket) => *listener = Some(socket),
                Err(error) => warn!("no BFD session can come up: {error}"),
            }
        }
    }

    fn send(&mut self, path: &Path, octets: &[u8]) {
        if !self.senders.contains_key(path) {
            let local = path.local.unwrap_or(unspecified(path.remote));
            let spread = self.senders.len() as u16 % (SOURCE_PORTS.end() - SOURCE_PORTS.start());
            match Datagrams::sender(local, SOURCE_PORTS, SOURCE_PORTS.start() + spread) {
                Ok(sender) => {
                    self.senders.insert(path.clone(), sender);
                }
                // The address may appear yet; the next packet tries again.
                Err(error) => return debug!("BFD: {error}"),
            }
        }
        let Some(sender) = self.senders.get(path) else { return };
        if let Err(error) = sender.send(octets, destination(path)) {
            debug!(remote = %path.remote, "BFD packet not sent: {error}");
        }
    }
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

fn destination(path: &Path) -> SocketAddr {
    let mut destination = SocketAddr::new(path.remote, path.port());
    if let (SocketAddr::V6(scoped), Some(interface)) = (&mut destination, &path.interface) {
        // An interface that is gone leaves no scope, and sending fails with the kernel's words.
        scoped.set_scope_id(nix::net::if_::if_nametoindex(interface.as_str()).unwrap_or(0));
    }
    destination
}

fn arrival(port: u16, received: &Received, waited: Duration) -> Arrival {
    let remote = received.remote.ip().to_canonical();
    let link_local = matches!(remote, IpAddr::V6(address) if address.is_unicast_link_local());
    let name = || nix::net::if_::if_indextoname(received.interface).ok()?.into_string().ok();
    let interface = if link_local { name().unwrap_or_default() } else { String::new() };
    Arrival { remote, local: received.local.to_canonical(), interface, port, ttl: received.ttl, waited }
}
