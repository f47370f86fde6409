//! Two nodes and a link between them, in virtual time: handshake, detection, negotiation, farewell.

mod late;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::auth::Key;
use super::{Action, Arrival, Bfd, Change, Config, Diagnostic, Packet, PacketError, Path, State};
use crate::time::{Instant, Jitter};

const MS: Duration = Duration::from_millis(1);

fn address(node: usize) -> IpAddr {
    Ipv4Addr::new(192, 168, 1, 1 + node as u8).into()
}

fn config(interval: u32, detect_multiplier: u8) -> Config {
    Config { min_tx: interval * MS, min_rx: interval * MS, detect_multiplier, key: None }
}

/// Two nodes, a wire with a delay and a loss, and everything that was seen on it.
struct Link {
    now: Instant,
    nodes: [Bfd; 2],
    wire: Vec<(Instant, usize, Vec<u8>)>,
    delay: Duration,
    /// Of a hundred packets, how many are lost, in each direction.
    loss: [u32; 2],
    dice: Jitter,
    /// Changes of state; of intervals alone are left out.
    changes: [Vec<(Instant, Change)>; 2],
    sent: [Vec<(Instant, Packet)>; 2],
}

impl Link {
    fn new(configs: [Config; 2]) -> Link {
        let mut link = Link {
            now: Instant::ORIGIN,
            nodes: [Bfd::new(1), Bfd::new(2)],
            wire: Vec::new(),
            delay: MS / 5,
            loss: [0, 0],
            dice: Jitter::new(9),
            changes: [Vec::new(), Vec::new()],
            sent: [Vec::new(), Vec::new()],
        };
        for (node, config) in configs.into_iter().enumerate() {
            link.configure(node, Some(config));
        }
        link
    }

    fn path(node: usize) -> Path {
        Path { remote: address(1 - node), local: Some(address(node)), interface: None, hops: 1 }
    }

    fn configure(&mut self, node: usize, config: Option<Config>) {
        let wanted: BTreeMap<Path, Config> = config.into_iter().map(|c| (Self::path(node), c)).collect();
        self.nodes[node].handle_configuration(self.now, &wanted);
        self.collect(node);
    }

    fn collect(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].poll_action() {
            match action {
                Action::Removed { .. } => {}
                Action::Changed { change, .. } => {
                    if self.changes[node].last().is_none_or(|(_, last)| last.state != change.state) {
                        self.changes[node].push((self.now, change));
                    }
                }
                Action::Send { octets, .. } => {
                    let (packet, _) = Packet::decode(&octets).unwrap();
                    self.sent[node].push((self.now, packet));
                    let roll = self.dice.scaled(Duration::from_secs(100), 0.0, 1.0).as_secs() as u32;
                    if roll >= self.loss[node] {
                        self.wire.push((self.now + self.delay, 1 - node, octets));
                    }
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timers = self.nodes.iter().filter_map(Bfd::poll_timeout);
            let next = timers.chain(self.wire.iter().map(|(at, ..)| *at)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            let (due, later) =
                std::mem::take(&mut self.wire).into_iter().partition(|(at, ..)| *at <= self.now);
            self.wire = later;
            for (_, node, octets) in due as Vec<(Instant, usize, Vec<u8>)> {
                self.nodes[node].handle_datagram(self.now, &arrival(node), &octets).unwrap();
                self.collect(node);
            }
            for node in 0..2 {
                self.nodes[node].handle_timeout(self.now);
                self.collect(node);
            }
        }
        self.now = end;
    }

    fn state(&self, node: usize) -> State {
        self.nodes[node].status().next().unwrap().1.change.state
    }

    /// Gaps between packets of a node since `from`, in microseconds: the shortest and the longest.
    fn gaps(&self, node: usize, from: Instant) -> (u128, u128) {
        let at: Vec<Instant> = self.sent[node].iter().map(|(at, _)| *at).filter(|at| *at >= from).collect();
        let gaps = || at.windows(2).map(|pair| pair[1].since(pair[0]).as_micros());
        (gaps().min().unwrap(), gaps().max().unwrap())
    }
}

fn arrival(node: usize) -> Arrival {
    Arrival {
        remote: address(1 - node),
        local: address(node),
        interface: String::new(),
        port: super::SINGLE_HOP_PORT,
        ttl: 255,
        waited: Duration::ZERO,
    }
}

/// What node 1 says before it has heard anything.
fn first_packet() -> Packet {
    let mut link = Link::new([config(50, 3), config(50, 3)]);
    link.run(Duration::ZERO);
    link.sent[1][0].1
}

#[test]
fn comes_up_within_a_slow_interval_and_sends_at_the_agreed_rate() {
    let mut link = Link::new([config(300, 3), config(100, 5)]);
    link.run(Duration::from_secs(2));
    assert_eq!([link.state(0), link.state(1)], [State::Up, State::Up]);
    assert!(link.changes[0][0].0 < Instant::ORIGIN + Duration::from_millis(1100));
    let from = link.now;
    link.run(Duration::from_secs(60));
    for node in 0..2 {
        let (least, most) = link.gaps(node, from);
        // The slower of what one wants to send and the other can take, less up to a quarter.
        assert!(
            (225_000..=300_000).contains(&least) && (225_000..=300_000).contains(&most),
            "{least} {most}"
        );
        assert!(most - least > 50_000, "no jitter");
    }
    let times: Vec<Duration> =
        (0..2).map(|n| link.nodes[n].status().next().unwrap().1.change.detection_time).collect();
    assert_eq!(times, [1500 * MS, 900 * MS]);
}

#[test]
fn silence_is_noticed_after_the_detection_time_and_both_recover() {
    let mut link = Link::new([config(50, 3), config(50, 3)]);
    link.run(Duration::from_secs(3));
    let cut = link.now;
    link.loss = [100, 100];
    link.run(Duration::from_secs(1));
    for node in 0..2 {
        let (at, change) = *link.changes[node].last().unwrap();
        assert_eq!((change.state, change.diagnostic), (State::Down, Diagnostic::DETECTION_TIME_EXPIRED));
        // The last packet came up to an interval before the cut.
        assert!(at.since(cut) <= 151 * MS && at.since(cut) >= 99 * MS, "{:?}", at.since(cut));
    }
    link.loss = [0, 0];
    link.run(Duration::from_secs(2));
    assert_eq!([link.state(0), link.state(1)], [State::Up, State::Up]);
}

#[test]
fn one_deaf_side_brings_both_down_and_the_other_is_told_why() {
    let mut link = Link::new([config(50, 3), config(50, 3)]);
    link.run(Duration::from_secs(3));
    link.loss = [100, 0];
    link.run(160 * MS);
    assert_eq!(link.changes[1].last().unwrap().1.diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
    let heard = link.changes[0].last().unwrap().1;
    assert_eq!((heard.state, heard.diagnostic), (State::Down, Diagnostic::PEER_SIGNALED_DOWN));
    assert_eq!(heard.remote_diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
}

#[test]
fn a_fifth_of_all_packets_lost_does_not_bring_a_multiplier_of_ten_down() {
    let mut link = Link::new([config(50, 10), config(50, 10)]);
    link.run(Duration::from_secs(3));
    link.loss = [20, 20];
    link.run(Duration::from_secs(600));
    assert_eq!([link.changes[0].len(), link.changes[1].len()], [1, 1]);
}

#[test]
fn a_slower_rate_waits_for_the_peer_to_confirm_and_a_faster_one_is_taken_up() {
    let mut link = Link::new([config(50, 3), config(50, 3)]);
    link.run(Duration::from_secs(3));
    link.configure(0, Some(config(400, 3)));
    link.run(Duration::from_secs(10));
    let from = link.now;
    link.run(Duration::from_secs(10));
    let (least, most) = link.gaps(0, from);
    assert!(least >= 300_000 && most <= 400_000, "{least} {most}");
    link.configure(0, Some(config(50, 3)));
    link.run(Duration::from_secs(1));
    let from = link.now;
    link.run(Duration::from_secs(10));
    assert!(link.gaps(0, from).1 <= 50_000);
    assert!(link.sent[1].iter().any(|(_, packet)| packet.final_));
    assert_eq!([link.changes[0].len(), link.changes[1].len()], [1, 1], "went down on the way");
}

#[test]
fn held_down_by_an_operator_is_told_apart_from_a_failure() {
    let mut link = Link::new([config(50, 3), config(50, 3)]);
    link.run(Duration::from_secs(3));
    link.nodes[0].handle_admin_down(link.now);
    link.collect(0);
    link.run(Duration::from_secs(5));
    let heard = link.changes[1].last().unwrap().1;
    assert_eq!((heard.state, heard.remote_state), (State::Down, State::AdminDown));
    assert_eq!(link.changes[1].len(), 2, "its AdminDown packets kept arriving");
    link.nodes[0].handle_admin_up(link.now);
    link.collect(0);
    link.run(Duration::from_secs(3));
    assert_eq!([link.state(0), link.state(1)], [State::Up, State::Up]);
}

#[test]
fn a_session_no_longer_wanted_says_farewell_and_is_gone() {
    let mut link = Link::new([config(50, 3), config(50, 3)]);
    link.run(Duration::from_secs(3));
    link.configure(0, None);
    link.run(10 * MS);
    assert_eq!(link.changes[1].last().unwrap().1.remote_state, State::AdminDown);
    assert_eq!(link.changes[0].len(), 1, "our own decision is no news to us");
    assert_eq!(link.nodes[0].status().count(), 0);
    link.loss = [0, 100];
    link.run(Duration::from_secs(4));
    assert_eq!(link.nodes[0].poll_timeout(), None);
}

#[test]
fn a_key_on_both_sides_works_and_on_one_side_does_not() {
    let keyed = |secret: &[u8]| Config { key: Key::new(1, secret), ..config(50, 3) };
    let mut link = Link::new([keyed(b"a"), keyed(b"a")]);
    link.run(Duration::from_secs(600));
    assert_eq!([link.state(0), link.state(1)], [State::Up, State::Up]);
    assert_eq!(link.changes[0].len(), 1);

    let mut alone = Bfd::new(1);
    alone.handle_configuration(Instant::ORIGIN, &[(Link::path(0), keyed(b"a"))].into());
    let plain = first_packet();
    let refused = alone.handle_datagram(Instant::ORIGIN, &arrival(0), &plain.encode());
    assert_eq!(refused, Err(PacketError::Authentication("the packet has none")));
}

#[test]
fn a_packet_played_again_is_refused() {
    let keyed = Config { key: Key::new(1, b"a"), ..config(50, 3) };
    let mut sender = Bfd::new(2);
    let mut receiver = Bfd::new(1);
    sender.handle_configuration(Instant::ORIGIN, &[(Link::path(1), keyed.clone())].into());
    receiver.handle_configuration(Instant::ORIGIN, &[(Link::path(0), keyed)].into());
    sender.handle_timeout(Instant::ORIGIN);
    let Some(Action::Send { octets, .. }) = sender.poll_action() else { panic!("nothing sent") };
    assert_eq!(receiver.handle_datagram(Instant::ORIGIN, &arrival(0), &octets), Ok(()));
    let again = receiver.handle_datagram(Instant::ORIGIN + MS, &arrival(0), &octets);
    assert_eq!(again, Err(PacketError::Authentication("the sequence number is not next")));
    assert_eq!(receiver.discarded(), 1);
}

#[test]
fn packets_from_further_away_or_for_nobody_are_refused() {
    let mut node = Bfd::new(1);
    node.handle_configuration(Instant::ORIGIN, &[(Link::path(0), config(50, 3))].into());
    let first = first_packet();
    let mut take = |arrival: Arrival| node.handle_datagram(Instant::ORIGIN, &arrival, &first.encode());
    assert_eq!(take(Arrival { ttl: 254, ..arrival(0) }), Err(PacketError::TooFar(254)));
    assert_eq!(take(Arrival { remote: address(7), ..arrival(0) }), Err(PacketError::NoSession));
    assert_eq!(take(Arrival { port: super::MULTIHOP_PORT, ..arrival(0) }), Err(PacketError::NoSession));
    assert_eq!(take(arrival(0)), Ok(()));
    let stray = Packet { your_discriminator: 77, ..first };
    assert_eq!(
        node.handle_datagram(Instant::ORIGIN, &arrival(0), &stray.encode()),
        Err(PacketError::NoSession)
    );
}

#[test]
fn a_peer_that_wants_silence_gets_it_and_a_poll_is_still_answered() {
    let mut link = Link::new([config(50, 3), config(50, 3)]);
    link.run(Duration::from_secs(3));
    let (_, last) = *link.sent[1].last().unwrap();
    let quiet = Packet { demand: true, ..last };
    link.loss = [100, 100];
    let now = link.now;
    link.nodes[0].handle_datagram(now, &arrival(0), &quiet.encode()).unwrap();
    link.collect(0);
    let before = link.sent[0].len();
    link.run(100 * MS);
    assert_eq!(link.sent[0].len(), before);
    let now = link.now;
    link.nodes[0].handle_datagram(now, &arrival(0), &Packet { poll: true, ..quiet }.encode()).unwrap();
    link.collect(0);
    assert!(link.sent[0].last().unwrap().1.final_);
}

#[test]
fn mutated_packets_never_panic() {
    let mut dice = Jitter::new(3);
    let mut roll = |most: u64| dice.scaled(Duration::from_nanos(most), 0.0, 1.0).as_nanos() as usize;
    let mut link = Link::new([config(50, 3), config(50, 3)]);
    link.run(Duration::from_secs(3));
    let (_, last) = *link.sent[1].last().unwrap();
    for _ in 0..100_000 {
        let mut octets = last.encode();
        for _ in 0..=roll(3) {
            let at = roll(24).min(octets.len() - 1);
            octets[at] = roll(256) as u8;
        }
        octets.truncate(24 - roll(3));
        let _ = link.nodes[0].handle_datagram(link.now, &arrival(0), &octets);
        link.now = link.now + roll(1_000_000) as u32 * Duration::from_nanos(10);
        link.nodes[0].handle_timeout(link.now);
        while link.nodes[0].poll_action().is_some() {}
    }
}
