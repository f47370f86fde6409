//! Target: a whole speaker with several sessions, driven by a program that is the input.
//!
//! A program is a list of steps: a code, an argument, and octets. The steps are all that a shell can
//! do to a speaker, in any order: connections that come, succeed and break, messages whole, in pieces
//! or as no framing would cut them, time that passes, the kernel's answers, another configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use routelet::bfd::{Change as PathChange, Diagnostic, Path, State};
use routelet::bgp::capability::AddPath;
use routelet::bgp::{Codec, Message, header};
use routelet::cluster::{intent, manifests};
use routelet::fib::{Batch, Found, Refusal, Target as RouteTarget};
use routelet::prefix::{Family, Prefix};
use routelet::rib::next_hop::UnderlayRoute;
use routelet::speaker::{Action, ConnectionId, Departure, DrainTerms, Intent, Speaker};
use routelet::time::Instant;

use crate::engine::{Features, Target};
use crate::program::{self, Step, program, step, steps};
use crate::random::Random;
use crate::{mutate, seeds};

/// Objects for node1 beside the reference nodes: peers of every kind.
pub const CLUSTER: &str = include_str!("cluster.yaml");

pub const SPEAKER: Target = Target {
    name: "speaker",
    seeds: programs,
    mutate: |random, input, corpus| program::mutate(random, (input, corpus), CODES, mutate_messages),
    run: |program, features| {
        let first = play(program, features);
        // The same inputs make the same actions; asked of some, for it takes the time twice.
        if program.len() % 16 == 0 {
            assert_eq!(first, play(program, &mut Features::default()), "not deterministic");
        }
    },
    executions: 2_000,
    longest: 16 << 10,
    memory: 64 << 20,
};

/// Addresses that connections come from; the last is nobody's.
const REMOTES: [&str; 7] = [
    "192.168.1.1",
    "192.168.1.2",
    "fd00:192:168:1::3",
    "192.168.1.12",
    "192.168.1.13",
    "203.0.113.9",
    "192.168.1.4",
];
/// Seconds by which time moves.
const STEPS: [u64; 8] = [0, 1, 3, 5, 10, 31, 91, 241];
/// A speaker that wants to be woken more often than this at one time does not get anywhere.
const WAKES: usize = 2_000;
/// Actions after one step; each message of a program is far smaller than what it may set off.
const ACTIONS: usize = 20_000;

const ACCEPT: u8 = 0;
const CONNECTED: u8 = 1;
const OCTETS: u8 = 2;
const PIECES: u8 = 3;
const CLOSED: u8 = 4;
const TIME: u8 = 5;
const SENT: u8 = 6;
const ANSWER: u8 = 7;
const CONFIGURE: u8 = 8;
const UNDERLAY: u8 = 9;
const BRIDGE: u8 = 10;
const UNCUT: u8 = 11;
const DUMP: u8 = 12;
/// BFD finds another state of a path that is watched: ours in the lowest two bits, then the peer's.
const PATH: u8 = 13;
/// A drain begins or is taken back.
const LEAVE: u8 = 14;
const CODES: u8 = 15;

/// Sessions with each peer, brought up as far as messages go, then each captured or made message.
fn programs() -> Vec<Vec<u8>> {
    let open = |asn: u32, id: u8| {
        let [a, b, c, d] = asn.to_be_bytes();
        let capabilities = [
            &[1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 2, 0, 6, 0, 70, 0][..],
            &[64, 10, 0x40, 120, 0, 1, 1, 0x80, 0, 2, 1, 0x80],
            &[69, 8, 0, 1, 1, 3, 0, 2, 1, 3, 5, 6, 0, 1, 0, 1, 0, 2, 65, 4, a, b, c, d],
        ];
        let fixed = [4, 0x5b, 0xa0, 0, 90, 192, 168, 1, id];
        mutate::frame(1, &mutate::open_body(&fixed, &capabilities.concat()))
    };
    let keepalive = mutate::frame(4, &[]);
    let begin = [step(CONFIGURE, 0), step(UNDERLAY, 0), step(BRIDGE, 1), step(ANSWER, 0), step(TIME, 0)];
    let up = |remote: u8, octets: &[u8]| {
        let asn = if matches!(remote, 0 | 1 | 6) { 65_000 } else { 64_512 };
        let said = [open(asn, 100 + remote), keepalive.clone(), octets.to_vec()].concat();
        vec![step(ACCEPT, remote), Step { code: OCTETS, argument: 255, octets: said }]
    };
    let ended = [step(ANSWER, 0), step(SENT, 255), step(TIME, 1)];
    let one = |steps: Vec<Step>| program(&[&begin[..], &steps, &ended].concat());
    let mut all = vec![one(vec![]), one(vec![step(TIME, 4), step(CONNECTED, 0), step(CLOSED, 0)])];
    all.extend((0..7).map(|remote| one(up(remote, &[]))));
    // A drain that is taken back in each of its stages.
    for stage in 0..3 {
        let time: Vec<Step> = (0..stage).map(|_| step(TIME, 3)).collect();
        all.push(one(
            [&up(0, &[])[..], &[step(LEAVE, 0), step(SENT, 255)], &time, &[step(LEAVE, 1)]].concat()
        ));
    }
    // The path to the peer that waits for it comes up, and goes down again.
    let (alive, dead) = (step(PATH, 0x0f | 0x10), step(PATH, 0x0d | 0x10));
    for message in seeds::identified() {
        // With path identifiers, kept for a peer that comes back, and gone with the path.
        let (inner, watched) = (up(2, &message), up(6, &message));
        all.push(one([&inner[..], &[step(CLOSED, 255), step(TIME, 2)], &inner].concat()));
        let ends = [dead.clone(), step(TIME, 5)];
        all.push(one([std::slice::from_ref(&alive), &watched, &inner, &ends].concat()));
    }
    for message in seeds::messages() {
        all.push(one(up(0, &message)));
        all.push(one([up(3, &message), up(0, &[]), up(2, &[])].concat()));
    }
    all
}

/// Changes one message among those of a step, or adds one.
fn mutate_messages(random: &mut Random, step: &mut Step, others: &[Step]) {
    let mut messages = cut(&step.octets);
    let others: Vec<Vec<u8>> = others.iter().flat_map(|step| cut(&step.octets)).collect();
    let at = random.below(messages.len());
    if random.once_in(4) {
        messages.extend(random.pick(&others).cloned());
    } else if let Some(message) = messages.get_mut(at) {
        *message = mutate::message_input(random, message, &others);
    }
    step.octets = messages.concat();
    step.octets.truncate(60_000);
}

/// Messages as their headers say, and the rest as one.
fn cut(mut octets: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = vec![];
    while !octets.is_empty() {
        let length = header::message_length_within(header::MAX_EXTENDED_LENGTH, octets);
        let (message, rest) = octets.split_at(length.ok().flatten().unwrap_or(octets.len()));
        messages.push(message.to_vec());
        octets = rest;
    }
    messages
}

/// The shell's end of one connection.
#[derive(Default)]
struct Wire {
    /// Octets that are no whole message yet.
    partial: Vec<u8>,
    most: usize,
    /// The stream has been found unreadable; the rest is discarded.
    unreadable: bool,
    unsent: usize,
    dialled: bool,
}

struct Shell {
    speaker: Speaker,
    now: Instant,
    intents: Vec<Arc<Intent>>,
    wires: BTreeMap<ConnectionId, Wire>,
    batches: Vec<Batch>,
    /// What BFD is to watch.
    paths: Vec<Path>,
    /// What the speaker has asked for, in words.
    trace: String,
}

fn play(program: &[u8], features: &mut Features) -> String {
    let mut shell = Shell {
        speaker: Speaker::new(7),
        now: Instant::ORIGIN + Duration::from_secs(1),
        intents: intents(),
        wires: BTreeMap::new(),
        batches: vec![],
        paths: vec![],
        trace: String::new(),
    };
    for step in steps(program, CODES) {
        shell.take(&step, features);
        shell.carry_out(features);
    }
    shell.check(features);
    shell.trace
}

/// The whole cluster, the same with a smaller import, without `tor`, and with nothing but the nodes.
fn intents() -> Vec<Arc<Intent>> {
    let nodes = include_str!("../../containerlab/manifests/nodes.yaml");
    let compiled = |text: &str| {
        let reading = manifests::parse([("nodes", nodes), ("cluster", text)]).unwrap();
        intent::compile(&reading.objects, "node1").unwrap().intent
    };
    thread_local! {
        static INTENTS: std::cell::OnceCell<Vec<Arc<Intent>>> = const { std::cell::OnceCell::new() };
    }
    let make = || {
        let without_tor = CLUSTER.replacen("address: 192.168.1.1\n", "address: 192.168.1.9\n", 1);
        let smaller = CLUSTER.replace("le: 32}, {prefix: \"::/0\"", "le: 24}, {prefix: \"2000::/3\"");
        let multipath = CLUSTER.replace("maxPaths: 4", "maxPaths: 1").replace("asn: 64512", "asn: 64513");
        [CLUSTER, &smaller, &without_tor, &multipath].map(compiled).to_vec()
    };
    INTENTS.with(|intents| intents.get_or_init(make).clone())
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Shell {
    fn take(&mut self, step: &Step, features: &mut Features) {
        let argument = usize::from(step.argument);
        let connection = self.wires.keys().nth(argument % self.wires.len().max(1)).copied();
        // 255 is the newest.
        let connection = if step.argument == 255 { self.wires.keys().last().copied() } else { connection };
        match (step.code, connection) {
            (ACCEPT, _) => self.accept(REMOTES[argument % REMOTES.len()], argument),
            (CONNECTED, Some(connection)) if self.wires[&connection].dialled => {
                let local = SocketAddr::new(address("192.168.1.11"), 40_000);
                self.wires.get_mut(&connection).unwrap().dialled = false;
                self.speaker.handle_connected(self.now, connection, local);
            }
            (OCTETS, Some(connection)) => self.arrive(connection, &step.octets, step.octets.len()),
            (PIECES, Some(connection)) => self.arrive(connection, &step.octets, argument + 1),
            (CLOSED, Some(connection)) => {
                self.wires.remove(&connection);
                self.speaker.handle_closed(self.now, connection, "the peer closed the connection");
            }
            (TIME, _) => self.pass(Duration::from_secs(STEPS[argument % STEPS.len()]), features),
            (SENT, Some(connection)) => {
                let octets = std::mem::take(&mut self.wires.get_mut(&connection).unwrap().unsent);
                self.speaker.handle_sent(self.now, connection, octets);
            }
            (ANSWER, _) => {
                for batch in std::mem::take(&mut self.batches) {
                    let refusal =
                        |index| Refusal { index, reason: "no such device".to_owned(), conflict: false };
                    let refused = if argument % 3 == 1 { batch.changes.len() } else { 0 };
                    let refusals = (0..refused).map(refusal).collect();
                    self.speaker.handle_route_answer(self.now, batch.id, refusals);
                }
            }
            (CONFIGURE, _) => {
                let intent = self.intents[argument % self.intents.len()].clone();
                self.speaker.handle_intent(self.now, intent);
            }
            (UNDERLAY, _) => self.underlay(argument),
            (PATH, _) => self.path_changes(step.argument),
            (LEAVE, _) if argument.is_multiple_of(2) => self.drain(),
            (LEAVE, _) => {
                self.speaker.handle_undrain(self.now);
            }
            (BRIDGE, _) => self.speaker.handle_bridge(self.now, argument % 2 == 1),
            (UNCUT, Some(connection)) => {
                self.speaker.handle_frame(self.now, connection, Ok(&step.octets));
            }
            (DUMP, _) if argument.is_multiple_of(2) => {
                self.speaker.handle_kernel_dump(self.now, Found::default());
            }
            (DUMP, _) if argument == 255 => self.speaker.handle_shutdown(self.now, Departure::ForGood),
            (DUMP, _) if argument == 253 => self.speaker.handle_shutdown(self.now, Departure::Restart),
            (DUMP, _) => {
                let nothing = Found { routes: vec![], groups: Some(vec![]) };
                self.speaker.handle_adopted(self.now, nothing);
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        let (settle, timeout) = (DrainTerms::SETTLE, DrainTerms::TIMEOUT);
        self.speaker.handle_drain(
            self.now,
            DrainTerms { settle, timeout, reason: "fuzz".to_owned(), holds_last: false },
        );
    }

    fn accept(&mut self, remote: &str, argument: usize) {
        let remote = address(remote);
        let local = address(if remote.is_ipv4() { "192.168.1.11" } else { "fd00:192:168:1::11" });
        let [local, remote] = [(local, 179), (remote, 1024 + argument as u16)].map(SocketAddr::from);
        if let Some((connection, _)) = self.speaker.handle_accepted(self.now, local, remote) {
            self.wires.insert(connection, Wire { most: header::MAX_MESSAGE_LENGTH, ..Wire::default() });
        }
    }

    /// Octets arrive, in pieces of this size, and are cut into messages as a transport does it.
    fn arrive(&mut self, connection: ConnectionId, octets: &[u8], piece: usize) {
        for piece in octets.chunks(piece.max(1)) {
            let Some(wire) = self.wires.get_mut(&connection).filter(|w| !w.unreadable && !w.dialled) else {
                return;
            };
            wire.partial.extend(piece);
            loop {
                let Some(wire) = self.wires.get_mut(&connection) else { return };
                match header::message_length_within(wire.most, &wire.partial) {
                    Ok(None) => break,
                    Ok(Some(length)) => {
                        let message: Vec<u8> = wire.partial.drain(..length).collect();
                        self.speaker.handle_frame(self.now, connection, Ok(&message));
                    }
                    Err(error) => {
                        wire.unreadable = true;
                        self.speaker.handle_frame(self.now, connection, Err(error));
                        return;
                    }
                }
            }
        }
    }

    fn pass(&mut self, time: Duration, features: &mut Features) {
        let end = self.now + time;
        for wakes in 0.. {
            assert!(wakes < WAKES, "wants to be woken for ever: {:?}", self.speaker.poll_timeout());
            let Some((at, why)) = self.speaker.poll_timeout().filter(|(at, _)| *at <= end) else { break };
            features.add(std::mem::discriminant(&why));
            self.now = self.now.max(at);
            self.speaker.handle_timeout(self.now);
            self.carry_out(features);
        }
        self.now = end;
    }

    fn underlay(&mut self, argument: usize) {
        let connected = |prefix: &str| UnderlayRoute {
            prefix: prefix.parse().unwrap(),
            via: None,
            interface: Some(2),
            metric: 0,
        };
        let all = [connected("192.168.1.0/24"), connected("fd00:192:168:1::/64"), connected("fd00::/16")];
        self.speaker.handle_underlay(self.now, all.into_iter().skip(argument % 4));
    }

    fn path_changes(&mut self, argument: u8) {
        let Some(path) = self.paths.get(usize::from(argument >> 4) % self.paths.len().max(1)) else { return };
        let change = PathChange {
            state: State::ALL[usize::from(argument & 3)],
            diagnostic: Diagnostic(argument % 9),
            remote_state: State::ALL[usize::from(argument >> 2 & 3)],
            remote_diagnostic: Diagnostic(argument % 7),
            control_plane_independent: argument & 0x20 != 0,
            tx_interval: Duration::from_millis(300),
            detection_time: Duration::from_millis(900),
        };
        self.speaker.handle_path_change(self.now, path, &change);
    }

    fn carry_out(&mut self, features: &mut Features) {
        for count in 0.. {
            let Some(action) = self.speaker.poll_action() else { break };
            assert!(count < ACTIONS, "acts for ever: {action:?}");
            writeln!(self.trace, "{:?} {action:?}", self.now).unwrap();
            features.add(std::mem::discriminant(&action));
            match action {
                Action::Dial { connection, .. } => {
                    let most = header::MAX_MESSAGE_LENGTH;
                    self.wires.insert(connection, Wire { dialled: true, most, ..Wire::default() });
                }
                Action::Send { connection, octets } => {
                    check_sent(&octets, features);
                    let wire = self.wires.get_mut(&connection).expect("sent on no connection");
                    assert!(!wire.dialled, "sent before the connection stood");
                    wire.unsent += octets.len();
                }
                Action::Keep { connection, .. } => assert!(self.wires.contains_key(&connection)),
                Action::AcceptExtended { connection } => {
                    self.wires.get_mut(&connection).unwrap().most = header::MAX_EXTENDED_LENGTH;
                }
                Action::Close { connection } => {
                    self.wires.remove(&connection).expect("closed twice");
                }
                Action::ChangeRoutes(batch) => self.batches.push(batch),
                Action::WatchPaths(paths) => {
                    assert!(paths.len() <= 8, "watches more than there are peers");
                    self.paths = paths.into_keys().collect();
                }
                Action::Notice(notice) => {
                    let text = notice.to_string();
                    assert!(!text.contains(char::is_control), "{text:?}");
                    features.add_kind(&text);
                }
            }
        }
    }

    /// What holds whatever has happened.
    fn check(&mut self, features: &mut Features) {
        let shown = (self.speaker.summary(), self.speaker.peers(self.now), self.speaker.routes(|_| true));
        write!(self.trace, "{shown:?}").unwrap();
        for peer in &shown.1 {
            features.add((&peer.name, peer.state, peer.families.len(), peer.counters.faults().min(3)));
            features.add((&peer.name, peer.families.iter().map(|f| f.accepted.min(3)).collect::<Vec<_>>()));
            assert!(peer.last_error.as_ref().is_none_or(|text| !text.contains(char::is_control)));
        }
        for route in &shown.2 {
            features.add((route.paths.len().min(3), route.decided_by));
        }
        let own: [Prefix; 2] = ["10.244.1.0/24", "fd00:10:244:1::/64"].map(|text| text.parse().unwrap());
        for route in self.speaker.fib() {
            let ours = own.iter().any(|own| own.contains(route.prefix));
            let learned = matches!(route.target, Some(RouteTarget::Via(_)));
            assert!(!(ours && learned), "{} is ours and was learned", route.prefix);
        }
    }
}

/// What is sent is whole messages that we would read ourselves.
fn check_sent(mut octets: &[u8], features: &mut Features) {
    let codec = |four_octet_as, receive| Codec {
        four_octet_as,
        add_path: [AddPath { receive, send: false }; 2],
        extended_next_hop: true,
        external: false,
        families: Family::ALL.to_vec(),
        extended_messages: true,
        enhanced_refresh: true,
        ..Codec::initial()
    };
    while !octets.is_empty() {
        let length = header::message_length_within(header::MAX_EXTENDED_LENGTH, octets);
        let (message, rest) = octets.split_at(length.unwrap().expect("half a message was sent"));
        let clean = |(four_octet_as, identifiers)| match codec(four_octet_as, identifiers).decode(message) {
            Ok(Message::Update(update)) => update.faults.is_empty(),
            outcome => outcome.is_ok(),
        };
        // What was agreed on with whom is not known here; one of the ways to read it must be right.
        let ways = [(true, false), (true, true), (false, false), (false, true)];
        assert!(ways.into_iter().any(clean), "sent what we would not take: {message:?}");
        features.add(("sent", message[18]));
        octets = rest;
    }
}
