//! Target: BFD with a single hop session and a keyed multihop one, driven by a program that is the input.
//!
//! Packets come as they are or with a right digest around them, from the right place or not; the clock
//! goes on in time with the timers or jumps past them; sessions come, change and go.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use routelet::bfd::auth::Key;
use routelet::bfd::{Action, Arrival, Bfd, Change, Config, Packet, Path, State, packet};
use routelet::time::Instant;
use sha1::{Digest, Sha1};

use crate::engine::{Features, Target};
use crate::mutate;
use crate::program::{self, Step, program, step, steps};
use crate::random::Random;

pub const BFD: Target = Target {
    name: "bfd",
    seeds: programs,
    mutate: |random, input, corpus| program::mutate(random, (input, corpus), CODES, change_packet),
    run: |program, features| {
        let first = play(program, features);
        if program.len() % 16 == 0 {
            assert_eq!(first, play(program, &mut Features::default()), "not deterministic");
        }
    },
    executions: 1_500,
    longest: 8 << 10,
    memory: 16 << 20,
};

/// Octets as they are; the argument says where from, see [`Shell::arrival`].
const PACKET: u8 = 0;
/// The same behind a right digest, with a sequence number by the argument's upper half beyond the last.
const SEALED: u8 = 1;
/// Time passes, and every timer is served when it is due.
const TIME: u8 = 2;
/// Time passes and nobody is woken until its end.
const LATE: u8 = 3;
const CONFIGURE: u8 = 4;
const ADMIN_DOWN: u8 = 5;
const ADMIN_UP: u8 = 6;
const CODES: u8 = 7;

/// Milliseconds by which time moves.
const STEPS: [u64; 8] = [0, 1, 40, 151, 400, 1_000, 3_001, 30_000];
const SECRET: [u8; 20] = *b"twenty octets of key";
/// The shortest interval that any configuration here sends at, in milliseconds.
const SHORTEST: u32 = 50;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn paths() -> [Path; 2] {
    let path = |remote, hops| Path { remote: address(remote), local: None, interface: None, hops };
    [path("192.168.1.1", 1), path("fd00::2", 3)]
}

/// Both sessions; one; none; both, slower and with one packet to miss; with the keys changed over.
fn configuration(argument: u8) -> BTreeMap<Path, Config> {
    let config = |interval, detect_multiplier, keyed: bool| {
        let interval = Duration::from_millis(interval);
        let key = keyed.then(|| Key::new(1, &SECRET).unwrap());
        Config { min_tx: interval, min_rx: interval, detect_multiplier, key }
    };
    let [single, multi] = paths();
    let quick = |keyed| config(SHORTEST.into(), 3, keyed);
    match argument % 5 {
        0 => [(single, quick(false)), (multi, quick(true))].into(),
        1 => [(single, quick(false))].into(),
        2 => BTreeMap::new(),
        3 => [(single, config(1_200, 1, false)), (multi, config(300, 255, true))].into(),
        _ => [(single, quick(true)), (multi, quick(false))].into(),
    }
}

/// A packet's fixed part: state and flags, their discriminator, ours, and intervals in microseconds.
fn fixed(state: u8, yours: u32, [min_tx, min_rx]: [u32; 2]) -> Vec<u8> {
    let words = [77, yours, min_tx, min_rx, 0].map(u32::to_be_bytes).concat();
    [&[0x20, state, 3, 24], &words[..]].concat()
}

/// Handshakes of either session, and what may follow: silence, AdminDown, demand, a poll, a farewell.
fn programs() -> Vec<Vec<u8>> {
    let slow = [1_000_000, 50_000];
    let mut all = vec![];
    for (code, from) in [(PACKET, 8), (SEALED, 9)] {
        let say = |state: u8, yours, intervals| Step {
            code,
            argument: 0x10 | from,
            octets: fixed(state, yours, intervals),
        };
        let up = [
            step(CONFIGURE, 0),
            step(TIME, 0),
            say(0x40, 0, slow),
            step(TIME, 1),
            say(0x80, 1, slow),
            step(TIME, 1),
            say(0xd0, 1, [50_000, 50_000]),
        ];
        let then: [&[Step]; 10] = [
            &[step(TIME, 4)],
            &[step(LATE, 6), step(TIME, 7)],
            &[say(0x00, 1, slow), step(TIME, 5)],
            &[say(0xc2, 1, slow), step(TIME, 3), say(0xe2, 1, slow)],
            &[say(0xe0, 1, [u32::MAX, u32::MAX]), step(TIME, 7)],
            &[say(0xc0, 1, [1, 0]), step(TIME, 7)],
            &[step(CONFIGURE, 3), step(TIME, 3), say(0xd0, 1, [1, 1]), step(TIME, 5)],
            &[step(CONFIGURE, 2), step(TIME, 5), step(CONFIGURE, 0), step(CONFIGURE, 2), step(TIME, 7)],
            &[step(ADMIN_DOWN, 0), step(TIME, 5), step(ADMIN_UP, 0), say(0x40, 1, slow), step(TIME, 5)],
            &[step(CONFIGURE, 4), say(0xc0, 1, slow), step(TIME, 7)],
        ];
        all.extend(then.into_iter().map(|then| program(&[&up[..], then].concat())));
    }
    all
}

fn change_packet(random: &mut Random, step: &mut Step, others: &[Step]) {
    match random.below(6) {
        // State and flags, the multiplier, and each interval by itself, so that most packets stay whole.
        0 if step.octets.len() > 1 => step.octets[1] = random.octet() & 0xfe,
        1 if step.octets.len() > 2 => step.octets[2] = random.octet(),
        2 | 3 if step.octets.len() > 23 => {
            let at = 12 + 4 * random.below(3);
            let interval = 1_u32.checked_shl(random.below(34) as u32).map_or(u32::MAX, |bit| bit - 1);
            step.octets[at..at + 4].copy_from_slice(&interval.to_be_bytes());
        }
        4 => step.octets = random.pick(others).map(|other| other.octets.clone()).unwrap_or_default(),
        _ => mutate::octets(random, &mut step.octets),
    }
    step.octets.truncate(300);
}

struct Shell {
    bfd: Bfd,
    now: Instant,
    /// The sequence number last sent by the peer of the keyed session.
    sequence: u32,
    /// How many packets each session may have sent by now, in thousandths.
    budget: u64,
    sent: BTreeMap<Path, u64>,
    reported: BTreeMap<Path, Change>,
    /// What has been asked for, in words.
    trace: String,
}

fn play(program: &[u8], features: &mut Features) -> String {
    let mut shell = Shell {
        bfd: Bfd::new(7),
        now: Instant::ORIGIN + Duration::from_secs(1),
        sequence: u32::MAX - 5,
        budget: 0,
        sent: BTreeMap::new(),
        reported: BTreeMap::new(),
        trace: String::new(),
    };
    for step in steps(program, CODES) {
        // What happens sends at most a packet for the change of state, and one to answer a poll.
        shell.budget += 3_000;
        shell.take(&step, features);
        shell.carry_out(features);
        shell.check(features);
    }
    shell.trace
}

impl Shell {
    fn take(&mut self, step: &Step, features: &mut Features) {
        let time = Duration::from_millis(STEPS[usize::from(step.argument) % STEPS.len()]);
        match step.code {
            PACKET => self.arrive(step.argument, step.octets.clone(), features),
            SEALED => {
                self.sequence = self.sequence.wrapping_add((step.argument >> 4).into());
                let octets = self.seal(step);
                self.arrive(step.argument, octets, features);
            }
            TIME => self.pass(time, features),
            LATE => {
                self.now = self.now + time;
                self.expire();
            }
            CONFIGURE => {
                let wanted = configuration(step.argument);
                // What becomes of a session that is not wanted is not reported.
                self.reported.retain(|path, _| wanted.contains_key(path));
                self.bfd.handle_configuration(self.now, &wanted);
            }
            ADMIN_DOWN => self.bfd.handle_admin_down(self.now),
            _ => self.bfd.handle_admin_up(self.now),
        }
    }

    /// Puts the right authentication section around a packet.
    fn seal(&self, step: &Step) -> Vec<u8> {
        let mut octets = step.octets.clone();
        octets.resize(packet::LENGTH, 0);
        (octets[1], octets[3]) = (octets[1] | 0x04, packet::MAX_LENGTH as u8);
        self.address(step.argument, &mut octets);
        octets.extend([5, 28, 1, 0]);
        octets.extend(self.sequence.to_be_bytes());
        octets.extend(SECRET);
        let digest = Sha1::digest(&octets);
        octets.truncate(packet::LENGTH + 8);
        octets.extend(digest);
        octets
    }

    /// Where a packet is for a session, puts in the discriminator that the session goes by at present.
    fn address(&self, argument: u8, octets: &mut [u8]) {
        let path = &paths()[usize::from(argument & 1)];
        let ours = self.bfd.status().find(|(known, _)| *known == path);
        if let (Some((_, status)), Some(yours)) = (ours, octets.get_mut(8..12))
            && argument & 8 != 0
            && yours != [0; 4]
        {
            yours.copy_from_slice(&status.local_discriminator.to_be_bytes());
        }
    }

    /// The lowest bit says whose peer sends; the next ones make it too far away, and the port wrong.
    fn arrival(argument: u8) -> Arrival {
        let path = &paths()[usize::from(argument & 1)];
        let local = address(if path.remote.is_ipv4() { "192.168.1.11" } else { "fd00::11" });
        let port = if argument & 4 == 0 { path.port() } else { 9 };
        let ttl = if argument & 2 == 0 { 255 } else { 252 };
        Arrival {
            remote: path.remote,
            local,
            interface: "eth0".to_owned(),
            port,
            ttl,
            waited: Duration::ZERO,
        }
    }

    fn arrive(&mut self, argument: u8, mut octets: Vec<u8>, features: &mut Features) {
        if octets.len() < packet::MAX_LENGTH {
            self.address(argument, &mut octets);
        }
        let shown = |bfd: &Bfd| format!("{:?} {:?}", bfd.status().collect::<Vec<_>>(), bfd.poll_timeout());
        let before = shown(&self.bfd);
        if let Err(error) = self.bfd.handle_datagram(self.now, &Shell::arrival(argument), &octets) {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
            features.add_kind(&text);
            assert_eq!(self.bfd.poll_action(), None, "acts on a packet that it has discarded");
            assert_eq!(shown(&self.bfd), before, "changed by a packet that it has discarded");
        }
    }

    fn pass(&mut self, time: Duration, features: &mut Features) {
        let end = self.now + time;
        while let Some(at) = self.bfd.poll_timeout().filter(|at| *at <= end) {
            let next = self.now.max(at);
            self.allow(next.since(self.now));
            self.now = next;
            self.expire();
            self.carry_out(features);
        }
        self.allow(end.since(self.now));
        self.now = end;
    }

    /// In this time a session may send at its shortest interval, less a quarter (RFC 5880 §6.8.7).
    fn allow(&mut self, time: Duration) {
        let shortest = Duration::from_millis(SHORTEST.into()).as_nanos() * 3 / 4;
        self.budget += (time.as_nanos() * 1_000 / shortest) as u64 + 1;
    }

    fn expire(&mut self) {
        self.bfd.handle_timeout(self.now);
        let next = self.bfd.poll_timeout();
        assert!(next.is_none_or(|at| at > self.now), "wants to be woken at {next:?} for ever");
    }

    fn carry_out(&mut self, features: &mut Features) {
        while let Some(action) = self.bfd.poll_action() {
            writeln!(self.trace, "{:?} {action:?}", self.now).unwrap();
            match action {
                Action::Send { path, octets } => {
                    check_sent(&octets);
                    let sent = self.sent.entry(path).or_default();
                    *sent += 1;
                    assert!(*sent * 1_000 <= self.budget, "{sent} packets, {} ‰ allowed", self.budget);
                }
                Action::Changed { path, change } => {
                    features.add((change.state, change.diagnostic, change.remote_state));
                    features.add((
                        "intervals",
                        change.tx_interval.is_zero(),
                        change.detection_time.is_zero(),
                    ));
                    let last = self.reported.insert(path, change);
                    assert!(change.state != State::Up || last != Some(change), "no change: {change:?}");
                }
                Action::Removed { path } => {
                    self.reported.remove(&path);
                    features.add("removed");
                }
            }
        }
    }

    fn check(&mut self, features: &mut Features) {
        let shown: Vec<_> = self.bfd.status().map(|(_, status)| status).collect();
        assert!(shown.len() <= 2, "{} sessions", shown.len());
        assert!(shown.iter().all(|status| status.local_discriminator != 0));
        features.add(shown.iter().map(|s| (s.change.state, s.flaps.min(3))).collect::<Vec<_>>());
    }
}

/// What is sent is a packet that we would take ourselves.
fn check_sent(octets: &[u8]) {
    let (packet, whole) = Packet::decode(octets).unwrap_or_else(|error| panic!("{error}: {octets:?}"));
    let length = if packet.authenticated { packet::MAX_LENGTH } else { packet::LENGTH };
    assert_eq!((whole.len(), octets.len()), (length, length), "{octets:?}");
    assert!(!(packet.poll && packet.final_), "polls and answers at once (RFC 5880 §6.5)");
    let fixed = packet.encode();
    assert_eq!((&fixed[..3], &fixed[4..]), (&octets[..3], &octets[4..packet::LENGTH]));
}
