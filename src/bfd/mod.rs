//! BFD: is the path to a peer's forwarding plane alive? (RFC 5880; single hop RFC 5881, multihop RFC 5883)
//!
//! Pure, like `bgp`: packets, time and configuration come in by `handle_*`, packets to send and changes
//! of state come out by [`Bfd::poll_action`], and [`Bfd::poll_timeout`] says when to come back. Knows
//! nothing of BGP; what a change means to a session is `speaker`'s to say (RFC 5882).
//!
//! | file | part |
//! |---|---|
//! | [`packet`] | the control packet |
//! | [`auth`] | Meticulous Keyed SHA1 |
//! | [`session`] | one session: state machine and timers |
//! | this one | which packet is for which session |

pub mod auth;
pub mod packet;
pub mod session;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

pub use packet::{Diagnostic, Packet, PacketError, State};
use session::Output;
pub use session::{Change, Config, Session, Status};

use crate::time::Instant;

/// UDP port of single hop sessions (RFC 5881 §4).
pub const SINGLE_HOP_PORT: u16 = 3784;
/// UDP port of multihop sessions (RFC 5883 §5).
pub const MULTIHOP_PORT: u16 = 4784;
/// How long a session that is no longer wanted goes on saying AdminDown, so that the peer does not
/// take its silence for a failure: three packets of the slow rate.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a session watches: the way to one address. Sessions are told apart by it until the peer has
/// learned our discriminator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// The peer's address.
    pub remote: IpAddr,
    /// Our address, where it is given.
    pub local: Option<IpAddr>,
    /// The interface, where it is given; always with a link-local address.
    pub interface: Option<String>,
    /// The most hops away the peer may be: 1 is a single hop session on its own port.
    pub hops: u8,
}

impl Path {
    /// UDP port that both sides send to.
    pub fn port(&self) -> u16 {
        if self.hops == 1 { SINGLE_HOP_PORT } else { MULTIHOP_PORT }
    }

    /// Whether a packet that knows no discriminator of ours is for this session.
    fn matches(&self, arrival: &Arrival) -> bool {
        self.remote == arrival.remote
            && self.port() == arrival.port
            && self.local.is_none_or(|local| local == arrival.local)
            && self.interface.as_deref().is_none_or(|interface| interface == arrival.interface)
    }
}

/// How a datagram came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub remote: IpAddr,
    /// Which of our addresses it was sent to.
    pub local: IpAddr,
    /// The interface it came in by; may be empty where `remote` is not link-local.
    pub interface: String,
    /// The port it was sent to.
    pub port: u16,
    /// Time to live, or hop limit, that it arrived with.
    pub ttl: u8,
    /// How long it has waited to be taken: what it says was so, and the peer alive, that long ago.
    pub waited: Duration,
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a packet with a time to live of 255.
    Send {
        /// Where to.
        path: Path,
        /// The packet.
        octets: Vec<u8>,
    },
    /// A session came up or went down.
    Changed {
        /// Whose.
        path: Path,
        /// What happened.
        change: Change,
    },
    /// A session is gone for good, and with it whatever was kept for it.
    Removed {
        /// Which.
        path: Path,
    },
}

/// Every BFD session of a node.
#[derive(Debug)]
pub struct Bfd {
    seed: u64,
    next: u32,
    sessions: BTreeMap<u32, Entry>,
    paths: BTreeMap<Path, u32>,
    /// When each session is next due, in order.
    wakes: BTreeSet<(Instant, u32)>,
    actions: VecDeque<Action>,
    discarded: u64,
}

#[derive(Debug)]
struct Entry {
    path: Path,
    session: Session,
    wake: Option<Instant>,
    /// No longer wanted; gone then.
    leaves: Option<Instant>,
}

impl Bfd {
    /// Without any session. Equal seeds and inputs give equal actions.
    pub fn new(seed: u64) -> Bfd {
        Bfd {
            seed,
            // Discriminators of two runs should differ, so that the peer sees a restart.
            next: (seed >> 32) as u32 ^ seed as u32,
            sessions: BTreeMap::new(),
            paths: BTreeMap::new(),
            wakes: BTreeSet::new(),
            actions: VecDeque::new(),
            discarded: 0,
        }
    }

    /// Takes the complete set of sessions there should be. What stays as it was notices nothing.
    pub fn handle_configuration(&mut self, now: Instant, wanted: &BTreeMap<Path, Config>) {
        let unwanted: Vec<u32> =
            self.paths.iter().filter(|(path, _)| !wanted.contains_key(path)).map(|(_, id)| *id).collect();
        for id in unwanted {
            self.with(id, |entry| {
                entry.leaves.get_or_insert(now + FAREWELL);
                entry.session.handle_admin_down(now);
            });
        }
        for (path, config) in wanted {
            match self.paths.get(path) {
                None => self.add(now, path, config),
                Some(&id) => self.with(id, |entry| {
                    if entry.leaves.take().is_some() {
                        entry.session.handle_admin_up(now);
                    }
                    entry.session.handle_configuration(now, config.clone());
                }),
            }
        }
    }

    /// Holds every session down, and says so: this node is about to leave.
    pub fn handle_admin_down(&mut self, now: Instant) {
        self.with_all(|entry| entry.session.handle_admin_down(now));
    }

    /// Takes back [`Bfd::handle_admin_down`].
    pub fn handle_admin_up(&mut self, now: Instant) {
        self.with_all(|entry| {
            if entry.leaves.is_none() {
                entry.session.handle_admin_up(now);
            }
        });
    }

    /// Takes a datagram that arrived on one of BFD's ports.
    ///
    /// Whoever calls late must not take the peer for silent: all that has arrived up to some instant comes in
    /// here before [`Bfd::handle_timeout`] is called with that instant.
    ///
    /// # Errors
    /// When it was discarded; nothing has changed then.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        datagram: &[u8],
    ) -> Result<(), PacketError> {
        let result = self.accept(now, arrival, datagram);
        self.discarded += u64::from(result.is_err());
        result
    }

    /// Lets timers expire whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<u32> = self.wakes.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        for id in due {
            if self.sessions.get(&id).is_some_and(|entry| entry.leaves.is_some_and(|at| at <= now)) {
                self.remove(id);
            } else {
                self.with(id, |entry| entry.session.handle_timeout(now));
            }
        }
    }

    /// Takes the next thing to be done, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Bfd::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Every session that is wanted, by its path.
    pub fn status(&self) -> impl Iterator<Item = (&Path, Status)> {
        let wanted = self.sessions.values().filter(|entry| entry.leaves.is_none());
        wanted.map(|entry| (&entry.path, entry.session.status()))
    }

    /// How many datagrams were discarded.
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    fn accept(&mut self, now: Instant, arrival: &Arrival, datagram: &[u8]) -> Result<(), PacketError> {
        let (packet, whole) = Packet::decode(datagram)?;
        let id = match packet.your_discriminator {
            0 => self.paths.iter().find(|(path, _)| path.matches(arrival)).map(|(_, id)| *id),
            ours => Some(ours),
        };
        let found = id.and_then(|id| Some((id, self.sessions.get(&id)?)));
        let (id, entry) = found.ok_or(PacketError::NoSession)?;
        // A discriminator can be guessed; a time to live that was decremented cannot be forged (GTSM).
        if arrival.ttl <= 255 - entry.path.hops {
            return Err(PacketError::TooFar(arrival.ttl));
        }
        if entry.path.port() != arrival.port {
            return Err(PacketError::NoSession);
        }
        let mut result = Ok(());
        let arrived = now.before(arrival.waited);
        self.with(id, |entry| result = entry.session.handle_packet(now, arrived, &packet, whole));
        result
    }

    fn add(&mut self, now: Instant, path: &Path, config: &Config) {
        let id = self.fresh_discriminator();
        let seed = self.seed.wrapping_add(u64::from(id) << 32);
        let session = Session::new(now, config.clone(), id, seed);
        self.paths.insert(path.clone(), id);
        self.sessions.insert(id, Entry { path: path.clone(), session, wake: None, leaves: None });
        self.with(id, |_| {});
    }

    fn remove(&mut self, id: u32) {
        if let Some(entry) = self.sessions.remove(&id) {
            self.paths.remove(&entry.path);
            self.actions.push_back(Action::Removed { path: entry.path });
            if let Some(at) = entry.wake {
                self.wakes.remove(&(at, id));
            }
        }
    }

    fn fresh_discriminator(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1);
            if self.next != 0 && !self.sessions.contains_key(&self.next) {
                return self.next;
            }
        }
    }

    fn with_all(&mut self, mut f: impl FnMut(&mut Entry)) {
        let ids: Vec<u32> = self.sessions.keys().copied().collect();
        for id in ids {
            self.with(id, &mut f);
        }
    }

    /// Lets something happen to a session, then takes over what it wants done and when.
    fn with(&mut self, id: u32, f: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        f(entry);
        while let Some(output) = entry.session.poll_output() {
            let path = entry.path.clone();
            self.actions.push_back(match output {
                Output::Send(octets) => Action::Send { path, octets },
                // That we hold it down ourselves is no news of the path.
                Output::Changed(_) if entry.leaves.is_some() => continue,
                Output::Changed(change) => Action::Changed { path, change },
            });
        }
        let wake = entry.session.poll_timeout().into_iter().chain(entry.leaves).min();
        if let Some(at) = std::mem::replace(&mut entry.wake, wake) {
            self.wakes.remove(&(at, id));
        }
        self.wakes.extend(wake.map(|at| (at, id)));
    }
}
