//! One at most may write, whatever fails; and one does, once the server answers.

use proptest::prelude::*;

use super::*;

fn seconds(at: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(at)
}

fn record(holder: &str, version: u64) -> Option<Record> {
    Some(Record { holder: Some(holder.to_owned()), version: version.to_string() })
}

/// A Lease on a server.
#[derive(Default)]
struct Server {
    holder: Option<String>,
    version: u64,
}

impl Server {
    /// One node's turn: it looks, and replaces what it has seen.
    fn turn(&mut self, election: &mut Election, now: Instant, answer: Answer) {
        if now < election.poll_timeout() {
            return;
        }
        if answer == Answer::None {
            election.handle_failed(now);
            return;
        }
        let seen = (self.version > 0)
            .then(|| Record { holder: self.holder.clone(), version: self.version.to_string() });
        if election.handle_seen(now, seen) == Step::Wait {
            return;
        }
        self.holder = Some(election.identity().to_owned());
        self.version += 1;
        match answer {
            Answer::Lost => election.handle_failed(now),
            _ => election.handle_taken(now),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Whole,
    /// The request was carried out, and the answer got lost.
    Lost,
    None,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![4 => Just(Answer::Whole), 1 => Just(Answer::Lost), 2 => Just(Answer::None)]
}

proptest! {
    #[test]
    fn never_two_at_once_and_soon_one(
        seed: u64,
        phases in prop::collection::vec((1u64..120, prop::collection::vec(answer(), 4)), 1..60),
    ) {
        let mut nodes: Vec<Election> =
            (0..4).map(|i| Election::new(format!("node{i}"), i, seed.wrapping_add(i))).collect();
        let mut server = Server::default();
        let mut at = 0;
        for (length, answers) in phases {
            for _ in 0..length {
                at += 1;
                for (node, answer) in nodes.iter_mut().zip(&answers) {
                    server.turn(node, seconds(at), *answer);
                    let _ = answer;
                }
                let leaders = nodes.iter().filter(|node| node.leads(seconds(at))).count();
                prop_assert!(leaders <= 1, "{leaders} lead at {at}");
            }
        }
        // One has died, the others get answers.
        for _ in 0..200 {
            at += 1;
            for node in nodes.iter_mut().skip(1) {
                server.turn(node, seconds(at), Answer::Whole);
            }
        }
        prop_assert!(nodes[1..].iter().any(|node| node.leads(seconds(at))));
    }
}

#[test]
fn what_nobody_has_is_taken_and_renewed() {
    let mut election = Election::new("node1", 0, 1);
    assert_eq!(election.handle_seen(seconds(0), None), Step::Take);
    assert!(!election.leads(seconds(0)));
    election.handle_taken(seconds(0));
    assert!(election.leads(seconds(39)) && !election.leads(seconds(40)));
    assert_eq!(election.poll_timeout(), seconds(15));
    assert_eq!(election.handle_seen(seconds(15), record("node1", 1)), Step::Take);
    election.handle_taken(seconds(15));
    assert!(election.leads(seconds(54)));
}

#[test]
fn what_another_renews_is_left_alone_and_what_it_does_not_is_taken() {
    let mut election = Election::new("node1", 0, 1);
    for version in 0..20 {
        assert_eq!(election.handle_seen(seconds(version * 50), record("node2", version)), Step::Wait);
    }
    assert_eq!(election.handle_seen(seconds(1010), record("node2", 19)), Step::Wait);
    assert_eq!(election.handle_seen(seconds(1011), record("node2", 19)), Step::Take);
    election.handle_refused(seconds(1011));
    assert_eq!(election.handle_seen(seconds(1030), record("node3", 20)), Step::Wait);
}

#[test]
fn what_is_given_up_is_free_at_once() {
    let mut election = Election::new("node1", 0, 1);
    assert_eq!(election.handle_seen(seconds(0), record("node2", 1)), Step::Wait);
    let given_up = Some(Record { holder: None, version: "2".to_owned() });
    assert_eq!(election.handle_seen(seconds(15), given_up), Step::Take);
}

#[test]
fn a_holder_who_finds_another_in_its_place_stops_at_once() {
    let mut election = Election::new("node1", 0, 1);
    election.handle_taken(seconds(0));
    assert_eq!(election.handle_seen(seconds(15), record("node2", 9)), Step::Wait);
    assert!(!election.leads(seconds(15)));
}

#[test]
fn thousands_of_nodes_look_a_few_times_a_second() {
    for nodes in [3, 40, 5000] {
        let ranks: Vec<u64> =
            (0..nodes).map(|i| rank(&format!("ip-10-0-{}-{}", i / 250, i % 250), nodes)).collect();
        let often = ranks.iter().filter(|rank| **rank < 12).count();
        assert!(often >= 3, "{often} of {nodes} look often");
        let each = ranks.iter().map(|rank| {
            let pause = LOOK.saturating_mul(1 << (rank / RANKS).min(16)).min(LOOK_SELDOM);
            1.0 / pause.as_secs_f64()
        });
        let all: f64 = each.sum();
        assert!(all < 5.0, "{all} requests a second from {nodes} nodes");
    }
    assert!(rank("any", 1) == 0 && rank("any", 0) == 0);
}
