//! A network in virtual time: speakers, streams between them, and a kernel each that does as told.
//!
//! Streams deliver in order and lose nothing, as TCP does; while two members are apart, what was sent
//! waits, and arrives after the partition unless the connection has been given up by then. Delays are
//! drawn from the seed, and so is where a stream is cut into pieces on its way. What goes wrong is in
//! `faults`; what every action must be like, whatever goes wrong, is for a [`Watcher`] to say.

mod bfd;
mod faults;
mod kernel;
mod look;
mod played;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use routelet::bfd::{Arrival, Bfd};
use routelet::fib::{Batch, BatchId, Refusal};
use routelet::rib::next_hop::UnderlayRoute;
use routelet::speaker::{Action, ConnectionId, Intent, Speaker};
use routelet::time::Instant;

use kernel::Groups;
pub use kernel::Kernel;
pub use played::{Answer, Crowd, Heard};
use streams::hear;

use crate::plan::Plan;

/// One end of a stream.
type End = (&'static str, ConnectionId);

/// An event to come.
#[derive(Debug)]
enum Event {
    Dialled { from: End, local: SocketAddr, remote: SocketAddr },
    Connected { end: End, local: SocketAddr },
    Octets { to: End, octets: Bytes },
    Closed { end: End, why: &'static str },
    RouteAnswer { name: &'static str, batch: BatchId, refusals: Vec<Refusal> },
    Datagram { to: &'static str, arrival: Arrival, octets: Vec<u8> },
}

/// What a member is and is told, from its next start on or at once.
#[derive(Debug, Clone)]
pub struct Setup {
    pub addresses: Vec<IpAddr>,
    pub intent: Arc<Intent>,
    pub underlay: Vec<UnderlayRoute>,
}

struct Member {
    setup: Setup,
    speaker: Option<Speaker>,
    bfd: Bfd,
    kernel: Kernel,
    groups: Groups,
    /// Octets of messages that have not arrived in full.
    partial: BTreeMap<ConnectionId, Vec<u8>>,
    /// Octets handed out that no socket has taken, because the other end does not read.
    unsent: BTreeMap<ConnectionId, usize>,
    /// The bridge for pods stands.
    bridge: bool,
    /// The kernel refuses every change.
    refusing: bool,
    /// When the speaker wants to be woken.
    wake: Option<Instant>,
}

/// Sees every action of every member before it is carried out, and the member's kernel as it is then.
pub trait Watcher {
    fn see(&mut self, name: &'static str, action: &Action, kernel: &Kernel, bridge: bool);
}

pub struct World {
    seed: u64,
    random: u64,
    now: Instant,
    members: BTreeMap<&'static str, Member>,
    by_address: BTreeMap<IpAddr, &'static str>,
    events: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    /// Each end's other end.
    streams: BTreeMap<End, End>,
    /// Attempts to connect that have not been answered or given up.
    attempts: BTreeSet<End>,
    /// When the last octet sent to an end arrives: nothing sent later arrives before.
    arrival: BTreeMap<End, Instant>,
    /// The same for datagrams from one member to another: on a segment, none overtakes another.
    datagrams: BTreeMap<(&'static str, &'static str), Instant>,
    /// Members cut off from all others.
    isolated: BTreeSet<&'static str>,
    /// What waits for the end of a partition.
    held: Vec<Event>,
    /// When members want to be woken.
    wakes: BTreeSet<(Instant, &'static str)>,
    /// Routers without a speaker, and who plays them.
    crowd: Option<Box<dyn Crowd>>,
    /// Between which addresses they dialled.
    dialled: BTreeMap<End, (SocketAddr, SocketAddr)>,
    /// Ends that do not read, until when.
    stalled: BTreeMap<End, Instant>,
    /// Streams are cut into pieces.
    pieces: bool,
    watcher: Option<Box<dyn Watcher>>,
    trace: Option<Vec<String>>,
    /// Every action is printed.
    told: bool,
}

impl Event {
    /// Whether it means nothing once this member has stopped.
    fn belongs_to(&self, member: &str) -> bool {
        match self {
            Event::Dialled { from: end, .. }
            | Event::Connected { end, .. }
            | Event::Octets { to: end, .. }
            | Event::Closed { end, .. } => end.0 == member,
            Event::RouteAnswer { name, .. } => *name == member,
            Event::Datagram { to, .. } => *to == member,
        }
    }
}

impl Member {
    fn new(setup: Setup) -> Member {
        Member {
            setup,
            speaker: None,
            bfd: Bfd::new(0),
            kernel: Kernel::new(),
            groups: Groups::default(),
            partial: BTreeMap::new(),
            unsent: BTreeMap::new(),
            bridge: true,
            refusing: false,
            wake: None,
        }
    }
}

impl World {
    pub fn new(plan: &Plan, seed: u64) -> World {
        let setup = |m: &crate::plan::Member| Setup {
            addresses: m.addresses.clone(),
            intent: plan.intent(m.name).into(),
            underlay: Plan::underlay(),
        };
        let mut world = World::of(plan.members.iter().map(|m| (m.name, setup(m))), seed);
        world.trace = Some(vec![]);
        world
    }

    /// Any members, of whose actions no trace is kept.
    pub fn of(members: impl IntoIterator<Item = (&'static str, Setup)>, seed: u64) -> World {
        let members: BTreeMap<_, _> =
            members.into_iter().map(|(name, setup)| (name, Member::new(setup))).collect();
        let addresses = members.iter().flat_map(|(name, m)| m.setup.addresses.iter().map(|a| (*a, *name)));
        World {
            seed,
            random: seed,
            now: Instant::ORIGIN,
            by_address: addresses.collect(),
            members,
            events: BTreeMap::new(),
            sequence: 0,
            streams: BTreeMap::new(),
            attempts: BTreeSet::new(),
            arrival: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            isolated: BTreeSet::new(),
            held: vec![],
            wakes: BTreeSet::new(),
            crowd: None,
            dialled: BTreeMap::new(),
            stalled: BTreeMap::new(),
            pieces: false,
            watcher: None,
            trace: None,
            told: std::env::var_os("TRACE").is_some(),
        }
    }

    /// Shows every action from here on, and cuts streams into pieces.
    pub fn watch(&mut self, watcher: Box<dyn Watcher>) {
        self.watcher = Some(watcher);
        self.pieces = true;
    }

    /// Shows every action from here on, and delivers streams as they are sent.
    pub fn observe(&mut self, watcher: Box<dyn Watcher>) {
        self.watcher = Some(watcher);
    }

    /// Starts every member, one after another at random distances up to two seconds.
    pub fn start_all(&mut self) {
        for name in self.names() {
            self.start(name);
            let pause = self.draw(2_000_000);
            self.run_for(Duration::from_micros(pause));
        }
    }

    /// Starts every member at the same moment, so that all dial each other at once.
    pub fn start_together(&mut self) {
        for name in self.names() {
            self.start(name);
        }
    }

    /// Starts a member's speaker over whatever its kernel holds.
    pub fn start(&mut self, name: &str) {
        let name = self.name(name);
        let member = self.members.get_mut(name).unwrap();
        let letters = name.bytes().map(u64::from).sum::<u64>();
        let mut speaker = Speaker::new(self.seed ^ member.setup.addresses.len() as u64 ^ letters);
        speaker.handle_adopted(self.now, member.groups.found(&member.kernel));
        // Each of its lives has discriminators of its own.
        let life = self.now.since(Instant::ORIGIN).as_nanos() as u64;
        member.bfd = Bfd::new(self.seed ^ letters << 32 ^ life);
        speaker.handle_underlay(self.now, member.setup.underlay.iter().copied());
        speaker.handle_bridge(self.now, member.bridge);
        speaker.handle_intent(self.now, member.setup.intent.clone());
        member.speaker = Some(speaker);
        self.perform(name);
    }

    /// Ends a member as SIGKILL would: its streams break, nothing is said.
    pub fn stop(&mut self, name: &str) {
        let name = self.name(name);
        let member = self.members.get_mut(name).unwrap();
        member.speaker = None;
        self.wake_at(name, None);
        let member = self.members.get_mut(name).unwrap();
        member.partial.clear();
        member.unsent.clear();
        let ends: Vec<End> = self.streams.keys().copied().filter(|(n, _)| *n == name).collect();
        for end in ends {
            self.break_stream(end);
        }
        // Its next life gives out the same numbers for other connections.
        self.streams.retain(|_, other| other.0 != name);
        self.attempts.retain(|(n, _)| *n != name);
        self.stalled.retain(|(n, _), _| *n != name);
        self.arrival.retain(|(n, _), _| *n != name);
        self.events.retain(|_, event| !event.belongs_to(name));
        self.held.retain(|event| !event.belongs_to(name));
    }

    /// Gives a member another intent, from its next start on if it does not run.
    pub fn configure(&mut self, name: &str, intent: impl Into<Arc<Intent>>) {
        let intent = intent.into();
        self.tell(name, |speaker, now, setup| {
            setup.intent = intent.clone();
            speaker.into_iter().for_each(|speaker| speaker.handle_intent(now, intent.clone()));
        });
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            while let Some(entry) = self.events.first_entry().filter(|e| e.key().0 <= self.now) {
                let event = entry.remove();
                self.deliver(event);
            }
            let due = self.wakes.iter().take_while(|(at, _)| *at <= self.now);
            let mut due: Vec<&'static str> = due.map(|(_, name)| *name).collect();
            due.sort_unstable();
            for name in due {
                let member = self.members.get_mut(name).unwrap();
                if member.wake.is_some_and(|at| at <= self.now)
                    && let Some(speaker) = &mut member.speaker
                {
                    speaker.handle_timeout(self.now);
                    self.let_bfd_expire(name);
                    self.perform(name);
                }
            }
        }
        self.now = end;
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.members.keys().copied().collect()
    }

    fn name(&self, name: &str) -> &'static str {
        self.members.get_key_value(name).unwrap().0
    }

    fn next_wake(&self) -> Option<Instant> {
        let event = self.events.keys().next().map(|(at, _)| *at);
        event.into_iter().chain(self.wakes.first().map(|(at, _)| *at)).min()
    }

    fn wake_at(&mut self, name: &'static str, at: Option<Instant>) {
        let member = self.members.get_mut(name).unwrap();
        let before = std::mem::replace(&mut member.wake, at);
        if before != at {
            before.map(|before| self.wakes.remove(&(before, name)));
            at.map(|at| self.wakes.insert((at, name)));
        }
    }

    fn deliver(&mut self, event: Event) {
        let now = self.now;
        let (from, to) = match &event {
            Event::Dialled { from, remote, .. } => (from.0, self.by_address[&remote.ip()]),
            Event::Connected { end, .. } | Event::Closed { end, .. } | Event::Octets { to: end, .. } => {
                (self.streams.get(end).map_or(end.0, |other| other.0), end.0)
            }
            Event::RouteAnswer { name, .. } => (*name, *name),
            Event::Datagram { to, arrival, .. } => (self.by_address[&arrival.remote], *to),
        };
        if from != to && (self.isolated.contains(from) || self.isolated.contains(to)) {
            // A SYN is lost; TCP would repeat it, but the speaker gives up sooner.
            if !matches!(event, Event::Dialled { .. } | Event::Datagram { .. }) {
                self.held.push(event);
            }
            return;
        }
        if let Event::Octets { to: end, .. } | Event::Closed { end, .. } = &event
            && let Some(until) = self.stalled.get(end).copied()
        {
            if until > now {
                self.schedule(until, event);
                return;
            }
            self.stalled.remove(end);
            self.drain_unsent(*end);
        }
        if !self.members.contains_key(to) {
            return self.hear_by_crowd(to, event);
        }
        let Some(mut speaker) = self.members.get_mut(to).unwrap().speaker.take() else {
            if let Event::Dialled { from, .. } = event {
                let delay = self.delay();
                self.schedule(now + delay, Event::Closed { end: from, why: "connection refused" });
            }
            return;
        };
        match event {
            Event::Dialled { from, .. } if !self.attempts.remove(&from) => {}
            Event::Dialled { from, local, remote } => {
                let delay = self.delay();
                match speaker.handle_accepted(now, remote, local) {
                    Some((connection, _)) => {
                        self.streams.insert(from, (to, connection));
                        self.streams.insert((to, connection), from);
                        self.arrival.insert(from, now + delay);
                        self.schedule(now + delay, Event::Connected { end: from, local });
                    }
                    None => self.schedule(now + delay, Event::Closed { end: from, why: "refused" }),
                }
            }
            Event::Connected { end, local } => speaker.handle_connected(now, end.1, local),
            Event::Closed { end, why } => {
                self.streams.remove(&end);
                speaker.handle_closed(now, end.1, why);
            }
            Event::RouteAnswer { batch, refusals, .. } => speaker.handle_route_answer(now, batch, refusals),
            Event::Datagram { arrival, octets, .. } => {
                self.with_bfd(to, &mut speaker, |bfd| {
                    // One for a session of its last life is refused.
                    let _ = bfd.handle_datagram(now, &arrival, &octets);
                });
            }
            Event::Octets { to: end, octets } => {
                let partial = self.members.get_mut(to).unwrap().partial.entry(end.1).or_default();
                partial.extend(octets);
                hear(&mut speaker, now, end.1, partial);
            }
        }
        self.members.get_mut(to).unwrap().speaker = Some(speaker);
        self.perform(to);
    }

    fn perform(&mut self, name: &'static str) {
        let Some(mut speaker) = self.members.get_mut(name).unwrap().speaker.take() else { return };
        while let Some(action) = speaker.poll_action() {
            if let Some(watcher) = &mut self.watcher {
                let member = &self.members[name];
                watcher.see(name, &action, &member.kernel, member.bridge);
            }
            if self.trace.is_some() || self.told {
                let text = match &action {
                    Action::Notice(notice) => notice.to_string(),
                    Action::Send { connection, octets } => format!("{connection:?} {:02x?}", &octets[..]),
                    other => format!("{other:?}"),
                };
                let line = format!("{:?} {name}: {text}", self.now);
                #[allow(clippy::disallowed_macros, reason = "asked for, to follow a failure")]
                if self.told {
                    println!("{line}");
                }
                self.trace.iter_mut().for_each(|trace| trace.push(line.clone()));
            }
            match action {
                Action::Dial { connection, remote, .. } => self.dial((name, connection), remote),
                Action::Send { connection, octets } => {
                    let count = octets.len();
                    if self.streams.get(&(name, connection)).is_some_and(|to| self.stalled.contains_key(to)) {
                        self.hold_unsent((name, connection), count);
                    } else {
                        speaker.handle_sent(self.now, connection, count);
                    }
                    self.send((name, connection), octets);
                }
                Action::Close { connection } => self.break_stream((name, connection)),
                Action::ChangeRoutes(batch) => self.change_routes(name, &batch),
                Action::WatchPaths(paths) => {
                    let now = self.now;
                    self.with_bfd(name, &mut speaker, |bfd| bfd.handle_configuration(now, &paths));
                }
                Action::AcceptExtended { .. } | Action::Keep { .. } | Action::Notice(_) => {}
            }
        }
        assert_eq!(speaker.poll_action(), None, "nothing is left undone");
        let member = self.members.get_mut(name).unwrap();
        let bfd = member.bfd.poll_timeout();
        let at = speaker.poll_timeout().map(|(at, _)| at).into_iter().chain(bfd).min();
        member.speaker = Some(speaker);
        self.wake_at(name, at);
    }

    fn change_routes(&mut self, name: &'static str, batch: &Batch) {
        let member = self.members.get_mut(name).unwrap();
        let refusals = member.groups.change(&mut member.kernel, batch, member.refusing);
        let delay = self.delay();
        self.schedule(self.now + delay, Event::RouteAnswer { name, batch: batch.id, refusals });
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(50 + self.draw(2_000))
    }

    /// A number below `bound` (xorshift).
    fn draw(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z ^= z << 13;
        z ^= z >> 7;
        z ^= z << 17;
        z % bound
    }
}
