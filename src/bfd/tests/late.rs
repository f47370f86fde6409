//! A node whose thread gets to run late, as on a machine that has more to do than it can: its packets wait
//! in a socket meanwhile, and time passes between any two things it does.

use super::*;

/// The peer finds node 0 alive through anything here: what is tried is node 0's judgement of the peer.
const PATIENT: u8 = 30;

impl Link {
    /// Runs node 1 up to some instant, as the machine it is on. What arrives for node 0 waits.
    fn run_node_1(&mut self, until: Instant) {
        loop {
            let arrivals = self.wire.iter().filter(|(_, to, _)| *to == 1).map(|(at, ..)| *at);
            let Some(next) = arrivals.chain(self.nodes[1].poll_timeout()).min().filter(|at| *at <= until)
            else {
                break;
            };
            self.now = self.now.max(next);
            let due = |(at, to, _): &(Instant, usize, Vec<u8>)| *to == 1 && *at <= next;
            let (due, later): (Vec<_>, _) = std::mem::take(&mut self.wire).into_iter().partition(due);
            self.wire = later;
            for (.., octets) in due {
                self.nodes[1].handle_datagram(self.now, &arrival(1), &octets).unwrap();
            }
            self.nodes[1].handle_timeout(self.now);
            self.collect(1);
        }
        self.now = until;
    }

    /// Lets a while pass in which node 0 gets nothing done.
    fn stall(&mut self, most: Duration) {
        let pause = self.dice.scaled(most, 0.0, 1.0);
        self.run_node_1(self.now + pause);
    }

    /// One round of node 0's thread, which is held up wherever it can be.
    fn late_round(&mut self, stall: Duration) {
        self.stall(stall);
        let looked = self.now;
        let arrived = |(at, to, _): &(Instant, usize, Vec<u8>)| *to == 0 && *at <= looked;
        let (arrived, later): (Vec<_>, _) = std::mem::take(&mut self.wire).into_iter().partition(arrived);
        self.wire = later;
        for (at, _, octets) in arrived {
            self.stall(stall / 8);
            let taken = Arrival { waited: self.now - at, ..arrival(0) };
            self.nodes[0].handle_datagram(self.now, &taken, &octets).unwrap();
        }
        self.stall(stall);
        self.nodes[0].handle_timeout(looked);
        self.collect(0);
    }
}

#[test]
fn a_late_thread_takes_nobody_for_silent_whose_packets_wait() {
    for seed in 1..=20 {
        let mut link = Link::new([config(50, PATIENT), config(50, 3)]);
        link.dice = Jitter::new(seed);
        link.run(Duration::from_secs(3));
        assert_eq!(link.state(0), State::Up);
        let before = link.now;
        // Late by up to more than twice the 150 ms after which a peer is silent.
        while link.now.since(before) < Duration::from_secs(60) {
            link.late_round(350 * MS);
        }
        assert_eq!(link.changes[0].len(), 1, "seed {seed}: {:?}", link.changes[0]);
        assert_eq!(link.changes[1].len(), 1, "seed {seed}: {:?}", link.changes[1]);
    }
}

#[test]
fn a_late_thread_gives_a_silent_peer_no_more_time_for_that() {
    let mut link = Link::new([config(50, PATIENT), config(50, 3)]);
    link.run(Duration::from_secs(3));
    let cut = link.now;
    link.loss = [0, 100];
    // The last packets arrived before the cut, and are taken a tenth of a second later.
    link.run_node_1(cut + 100 * MS);
    link.late_round(Duration::ZERO);
    assert_eq!(link.state(0), State::Up);
    link.run_node_1(cut + 151 * MS);
    link.late_round(Duration::ZERO);
    let (at, change) = *link.changes[0].last().unwrap();
    assert_eq!((change.state, change.diagnostic), (State::Down, Diagnostic::DETECTION_TIME_EXPIRED));
    assert!(at.since(cut) <= 151 * MS, "{at:?}");
}
