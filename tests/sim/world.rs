//! A network in virtual time: speakers, streams between them, and a kernel each that does as told.
//!
//! Streams deliver in order and lose nothing, as TCP does; while two members are apart, what was sent
//! waits, and arrives after the partition unless the connection has been given up by then. Delays are
//! drawn from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use routelet::bgp::header::{MAX_EXTENDED_LENGTH, message_length_within};
use routelet::fib::{Change, Route, Target};
use routelet::prefix::Prefix;
use routelet::speaker::view::PathView;
use routelet::speaker::{Action, ConnectionId, Intent, Speaker};
use routelet::time::Instant;

use crate::plan::{METRIC, Plan, Routes};

/// One end of a stream.
type End = (&'static str, ConnectionId);

/// Routes of ours by prefix and metric.
pub type Kernel = BTreeMap<(Prefix, u32), Target>;

/// An event to come.
#[derive(Debug)]
enum Event {
    Dialled { from: End, local: SocketAddr, remote: SocketAddr },
    Connected { end: End, local: SocketAddr },
    Octets { to: End, octets: Vec<u8> },
    Closed { end: End, why: &'static str },
    RouteResults { name: &'static str, changes: Vec<Change> },
}

#[derive(Default)]
struct Member {
    speaker: Option<Speaker>,
    kernel: Kernel,
    /// Octets of messages that have not arrived in full.
    partial: BTreeMap<ConnectionId, Vec<u8>>,
}

pub struct World {
    plan: Plan,
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
    /// Members cut off from all others.
    isolated: BTreeSet<&'static str>,
    /// What waits for the end of a partition.
    held: Vec<Event>,
    trace: Vec<String>,
}

impl World {
    pub fn new(plan: &Plan, seed: u64) -> World {
        let by_address = plan.members.iter().flat_map(|m| m.addresses.iter().map(|a| (*a, m.name))).collect();
        World {
            plan: plan.clone(),
            seed,
            random: seed,
            now: Instant::ORIGIN,
            members: plan.members.iter().map(|m| (m.name, Member::default())).collect(),
            by_address,
            events: BTreeMap::new(),
            sequence: 0,
            streams: BTreeMap::new(),
            attempts: BTreeSet::new(),
            arrival: BTreeMap::new(),
            isolated: BTreeSet::new(),
            held: vec![],
            trace: vec![],
        }
    }

    /// Starts every member, one after another at random distances up to two seconds.
    pub fn start_all(&mut self) {
        for member in self.plan.members.clone() {
            self.start(member.name);
            let pause = self.draw(2_000_000);
            self.run_for(Duration::from_micros(pause));
        }
    }

    /// Starts every member at the same moment, so that all dial each other at once.
    pub fn start_together(&mut self) {
        for member in self.plan.members.clone() {
            self.start(member.name);
        }
    }

    /// Starts a member's speaker over whatever its kernel holds.
    pub fn start(&mut self, name: &str) {
        let plan = self.plan.member(name).clone();
        let seed = self.seed ^ plan.addresses.len() as u64 ^ plan.name.bytes().map(u64::from).sum::<u64>();
        let mut speaker = Speaker::new(seed);
        speaker.handle_adopted(self.now, routes(&self.members[plan.name].kernel));
        speaker.handle_underlay(self.now, Plan::underlay());
        speaker.handle_bridge(self.now, true);
        speaker.handle_intent(self.now, self.plan.intent(name));
        let member = self.members.get_mut(plan.name).unwrap();
        member.speaker = Some(speaker);
        self.perform(plan.name);
    }

    /// Ends a member as SIGKILL would: its streams break, nothing is said.
    pub fn stop(&mut self, name: &str) {
        let name = self.plan.member(name).name;
        self.members.get_mut(name).unwrap().speaker = None;
        let ends: Vec<End> = self.streams.keys().copied().filter(|(n, _)| *n == name).collect();
        for end in ends {
            self.break_stream(end);
        }
    }

    /// Gives a running member another intent.
    pub fn configure(&mut self, name: &str, intent: Intent) {
        let name = self.plan.member(name).name;
        let now = self.now;
        if let Some(speaker) = &mut self.members.get_mut(name).unwrap().speaker {
            speaker.handle_intent(now, intent);
        }
        self.perform(name);
    }

    /// What somebody else does to a member's kernel.
    pub fn meddle(&mut self, name: &str, meddle: impl FnOnce(&mut Kernel)) {
        let name = self.plan.member(name).name;
        let now = self.now;
        let member = self.members.get_mut(name).unwrap();
        meddle(&mut member.kernel);
        let held = routes(&member.kernel);
        if let Some(speaker) = &mut member.speaker {
            speaker.handle_kernel_dump(now, held);
        }
        self.perform(name);
    }

    pub fn isolate(&mut self, name: &str) {
        let name = self.plan.member(name).name;
        self.isolated.insert(name);
    }

    /// Ends all partitions; what was held is delivered.
    pub fn heal(&mut self) {
        self.isolated.clear();
        for event in std::mem::take(&mut self.held) {
            let at = match &event {
                Event::Octets { to: end, .. } | Event::Closed { end, .. } => self.arrival_at(*end),
                _ => self.now + self.delay(),
            };
            self.schedule(at, event);
        }
    }

    /// Every stream, by one of its ends.
    pub fn connected_pairs(&self) -> Vec<End> {
        self.streams.iter().filter(|(a, b)| a < b).map(|(a, _)| *a).collect()
    }

    /// Breaks a stream for both ends.
    pub fn reset(&mut self, end: End) {
        self.break_stream(end);
        self.deliver(Event::Closed { end, why: "connection reset" });
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
            for name in self.names() {
                let member = self.members.get_mut(name).unwrap();
                if let Some(speaker) = &mut member.speaker
                    && speaker.poll_timeout().is_some_and(|(at, _)| at <= self.now)
                {
                    speaker.handle_timeout(self.now);
                    self.perform(name);
                }
            }
        }
        self.now = end;
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.members[name].speaker.is_some()
    }

    pub fn can_reach(&self, a: &str, b: &str) -> bool {
        self.is_running(b) && !self.isolated.contains(a) && !self.isolated.contains(b)
    }

    pub fn learned_routes(&self, name: &str) -> Routes {
        let of_metric = self.members[name].kernel.iter().filter(|((_, metric), _)| *metric == METRIC);
        of_metric
            .filter_map(|((prefix, _), target)| match target {
                Target::Via(hops) => Some((*prefix, hops.iter().map(|h| h.via).collect())),
                Target::Unreachable => None,
            })
            .collect()
    }

    /// Every path that a running member has, as it shows them.
    pub fn paths(&self, name: &str) -> Vec<PathView> {
        let speaker = self.members[self.plan.member(name).name].speaker.as_ref();
        speaker.unwrap().routes(|_| true).into_iter().flat_map(|route| route.paths).collect()
    }

    pub fn unreachable_routes(&self, name: &str) -> BTreeSet<Prefix> {
        let kernel = self.members[name].kernel.iter();
        kernel.filter(|(_, t)| **t == Target::Unreachable).map(|((prefix, _), _)| *prefix).collect()
    }

    pub fn trace(&self) -> &[String] {
        &self.trace
    }

    /// How many lines of the trace contain `words`.
    pub fn seen(&self, words: &str) -> usize {
        self.trace.iter().filter(|line| line.contains(words)).count()
    }

    /// How many NOTIFICATIONs of this code and subcode were sent.
    pub fn sent_notifications(&self, code: u8, subcode: u8) -> usize {
        let body = format!("03, {code:02x}, {subcode:02x}");
        let is_one = |line: &&String| {
            // A marker, two octets of length, type 3, the codes, and perhaps data.
            let after_marker = line.split("ff, ff, 00, ").nth(1);
            after_marker.is_some_and(|rest| rest.get(4..).is_some_and(|rest| rest.starts_with(&body)))
        };
        self.trace().iter().filter(is_one).count()
    }

    fn names(&self) -> Vec<&'static str> {
        self.members.keys().copied().collect()
    }

    fn next_wake(&self) -> Option<Instant> {
        let event = self.events.keys().next().map(|(at, _)| *at);
        let speakers = self.members.values().filter_map(|m| m.speaker.as_ref()?.poll_timeout());
        event.into_iter().chain(speakers.map(|(at, _)| at)).min()
    }

    fn deliver(&mut self, event: Event) {
        let now = self.now;
        let (from, to) = match &event {
            Event::Dialled { from, remote, .. } => (from.0, self.by_address[&remote.ip()]),
            Event::Connected { end, .. } | Event::Closed { end, .. } | Event::Octets { to: end, .. } => {
                (self.streams.get(end).map_or(end.0, |other| other.0), end.0)
            }
            Event::RouteResults { name, .. } => (*name, *name),
        };
        if from != to && (self.isolated.contains(from) || self.isolated.contains(to)) {
            // A SYN is lost; TCP would repeat it, but the speaker gives up sooner.
            if !matches!(event, Event::Dialled { .. }) {
                self.held.push(event);
            }
            return;
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
            Event::RouteResults { changes, .. } => {
                for change in changes {
                    speaker.handle_route_result(now, &change, Ok(()));
                }
            }
            Event::Octets { to: end, octets } => {
                let partial = self.members.get_mut(to).unwrap().partial.entry(end.1).or_default();
                partial.extend(octets);
                while let Ok(Some(length)) = message_length_within(MAX_EXTENDED_LENGTH, partial) {
                    let frame: Vec<u8> = partial.drain(..length).collect();
                    speaker.handle_frame(now, end.1, Ok(&frame));
                }
            }
        }
        self.members.get_mut(to).unwrap().speaker = Some(speaker);
        self.perform(to);
    }

    fn perform(&mut self, name: &'static str) {
        let Some(mut speaker) = self.members.get_mut(name).unwrap().speaker.take() else { return };
        while let Some(action) = speaker.poll_action() {
            let text = match &action {
                Action::Notice(notice) => notice.to_string(),
                Action::Send { connection, octets } => format!("{connection:?} {octets:02x?}"),
                other => format!("{other:?}"),
            };
            self.trace.push(format!("{:?} {name}: {text}", self.now));
            match action {
                Action::Dial { connection, remote, .. } => self.dial((name, connection), remote),
                Action::Send { connection, octets } => {
                    speaker.handle_sent(self.now, connection, octets.len());
                    self.send((name, connection), octets);
                }
                Action::Close { connection } => self.break_stream((name, connection)),
                Action::ChangeRoutes(changes) => self.change_routes(name, changes),
                Action::AcceptExtended { .. } | Action::WatchPaths(_) | Action::Notice(_) => {}
            }
        }
        self.members.get_mut(name).unwrap().speaker = Some(speaker);
    }

    fn dial(&mut self, from: End, remote: SocketAddr) {
        let own = &self.plan.member(from.0).addresses;
        let local = own.iter().copied().find(|a| a.is_ipv4() == remote.is_ipv4()).unwrap();
        let local = SocketAddr::new(local, 40_000 + from.1.0 as u16);
        let delay = self.delay();
        self.attempts.insert(from);
        self.schedule(self.now + delay, Event::Dialled { from, local, remote });
    }

    fn send(&mut self, from: End, octets: Vec<u8>) {
        if let Some(to) = self.streams.get(&from).copied() {
            let at = self.arrival_at(to);
            self.schedule(at, Event::Octets { to, octets });
        }
    }

    /// Closes a stream from one end; the other learns of it after what was sent before.
    fn break_stream(&mut self, end: End) {
        self.attempts.remove(&end);
        if let Some(other) = self.streams.remove(&end) {
            let at = self.arrival_at(other);
            self.schedule(at, Event::Closed { end: other, why: "the peer closed the connection" });
        }
    }

    fn change_routes(&mut self, name: &'static str, changes: Vec<Change>) {
        let kernel = &mut self.members.get_mut(name).unwrap().kernel;
        for change in &changes {
            match change {
                Change::Install(route) => {
                    kernel.insert((route.prefix, route.metric), route.target.clone());
                }
                Change::Remove { prefix, metric } => drop(kernel.remove(&(*prefix, *metric))),
            }
        }
        let delay = self.delay();
        self.schedule(self.now + delay, Event::RouteResults { name, changes });
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    fn arrival_at(&mut self, to: End) -> Instant {
        let at = self.now + self.delay();
        let last = self.arrival.entry(to).or_insert(at);
        *last = at.max(*last);
        *last
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

fn routes(kernel: &Kernel) -> Vec<Route> {
    let route = |((prefix, metric), target): (&(Prefix, u32), &Target)| Route {
        prefix: *prefix,
        metric: *metric,
        target: target.clone(),
    };
    kernel.iter().map(route).collect()
}
