//! The budget holds whatever flaps, and what lasts is written in bounded time.

use proptest::prelude::*;

use super::*;

const LOOK: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3600);

fn seconds(at: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(at)
}

/// A state that changes, an object that it is written to, and a server.
struct World {
    pace: Pace,
    written: Option<u64>,
    attempts: Vec<Instant>,
}

impl World {
    fn new(terms: Terms, seed: u64) -> World {
        World { pace: Pace::new(terms, seed), written: None, attempts: vec![] }
    }

    fn look(&mut self, now: Instant, state: u64, server_answers: bool) {
        let difference = if self.written == Some(state) { Difference::None } else { Difference::Major };
        self.pace.handle_difference(now, difference);
        if !self.pace.is_due(now) {
            return;
        }
        if difference == Difference::None {
            self.pace.handle_settled();
            return;
        }
        self.attempts.push(now);
        self.pace.handle_attempt(now);
        if server_answers {
            self.written = Some(state);
            self.pace.handle_written();
        } else {
            self.pace.handle_failed(now, None);
        }
    }
}

proptest! {
    /// However the state flaps, and however the server fails.
    #[test]
    fn no_hour_has_more_writes_than_the_budget_and_what_lasts_is_written(
        seed: u64,
        nodes in 1usize..10_000,
        // How long each state lasts, in looks, and whether the server answers meanwhile.
        phases in prop::collection::vec((1u64..40, prop::bool::weighted(0.8)), 1..200),
    ) {
        let terms = Terms::of_node(nodes);
        let mut world = World::new(terms, seed);
        let mut now = Instant::ORIGIN;
        for (state, (looks, answers)) in phases.iter().enumerate() {
            for _ in 0..*looks {
                // States come back: a flap, not a number that grows.
                world.look(now, state as u64 % 3, *answers);
                now = now + LOOK;
            }
        }
        // From here on the state lasts and the server answers. A pause may still be under way.
        let settled = now;
        while now - settled <= terms.most_wait() + terms.retry_most + LOOK {
            world.look(now, 7, true);
            now = now + LOOK;
        }
        prop_assert_eq!(world.written, Some(7));
        let after = world.attempts.len();
        for _ in 0..1000 {
            world.look(now, 7, true);
            now = now + LOOK;
        }
        prop_assert_eq!(world.attempts.len(), after, "nothing is written when nothing changes");
        for (i, at) in world.attempts.iter().enumerate() {
            let within = world.attempts[i..].iter().take_while(|other| **other - *at < HOUR).count() as u64;
            prop_assert!(within <= terms.most_in(HOUR), "{} writes in an hour from {:?}", within, at);
        }
        let gaps = world.attempts.windows(2).map(|two| two[1] - two[0]);
        prop_assert!(gaps.into_iter().all(|gap| gap >= terms.gap));
    }

    /// Without failures there is no pause to wait for.
    #[test]
    fn what_lasts_waits_no_longer_than_the_terms_say(seed: u64, flaps in 0u64..500) {
        let terms = Terms::of_node(5000);
        let mut world = World::new(terms, seed);
        let mut now = Instant::ORIGIN;
        for state in 0..flaps {
            world.look(now, state, true);
            now = now + LOOK;
        }
        let settled = now;
        while world.written != Some(u64::MAX) {
            world.look(now, u64::MAX, true);
            prop_assert!(now - settled <= terms.most_wait() + LOOK);
            now = now + LOOK;
        }
    }
}

#[test]
fn a_flap_that_is_over_in_time_is_not_written() {
    let terms = Terms { spread: Duration::from_secs(60), ..Terms::of_node(1) };
    let mut world = World::new(terms, 1);
    world.written = Some(0);
    world.look(seconds(0), 1, true);
    for at in 0..100 {
        world.look(seconds(at), 0, true);
    }
    assert_eq!(world.attempts, []);
    assert_eq!(world.pace.poll_timeout(), None);
}

#[test]
fn a_bucket_empties_fast_and_fills_slowly() {
    let terms = Terms { spread: Duration::ZERO, ..Terms::of_node(1) };
    let mut world = World::new(terms, 1);
    for at in 0..1000 {
        world.look(seconds(at), at, true);
    }
    let at: Vec<u64> = world.attempts.iter().map(|at| (*at - Instant::ORIGIN).as_secs()).collect();
    assert_eq!(at, [0, 10, 20, 30, 40, 120, 240, 360, 480, 600, 720, 840, 960]);
}

#[test]
fn counters_wait_for_their_time_and_go_with_what_matters() {
    let terms = Terms { spread: Duration::ZERO, ..Terms::of_node(1) };
    let mut pace = Pace::new(terms, 1);
    pace.handle_attempt(seconds(0));
    pace.handle_written();
    pace.handle_difference(seconds(20), Difference::Minor);
    assert_eq!(pace.poll_timeout(), Some(seconds(600)));
    pace.handle_difference(seconds(30), Difference::Major);
    assert_eq!(pace.poll_timeout(), Some(seconds(30)));
    pace.handle_difference(seconds(31), Difference::Minor);
    assert_eq!(pace.poll_timeout(), Some(seconds(30)), "what is planned stays");
}

#[test]
fn what_is_urgent_waits_for_the_budget_and_for_pauses_alone() {
    let terms = Terms { spread: Duration::from_secs(60), ..Terms::of_node(1) };
    let mut pace = Pace::new(terms, 1);
    pace.handle_difference(seconds(100), Difference::Major);
    assert!(pace.poll_timeout() > Some(seconds(100)));
    pace.handle_difference(seconds(100), Difference::Urgent);
    assert_eq!(pace.poll_timeout(), Some(seconds(100)));
    pace.handle_attempt(seconds(100));
    pace.handle_written();
    pace.handle_difference(seconds(101), Difference::Urgent);
    assert_eq!(pace.poll_timeout(), Some(seconds(110)));
    pace.handle_attempt(seconds(110));
    pace.handle_failed(seconds(110), Some(Duration::from_secs(60)));
    let pause = pace.poll_timeout();
    pace.handle_difference(seconds(111), Difference::Urgent);
    assert_eq!(pace.poll_timeout(), pause);
}

#[test]
fn pauses_double_and_the_server_may_ask_for_more() {
    let terms = Terms { spread: Duration::ZERO, refill: Duration::from_secs(1), ..Terms::of_node(1) };
    let mut pace = Pace::new(terms, 1);
    let mut pauses = vec![];
    let mut now = seconds(0);
    for _ in 0..9 {
        pace.handle_difference(now, Difference::Major);
        pace.handle_attempt(now);
        pace.handle_failed(now, None);
        let due = pace.poll_timeout().unwrap();
        pauses.push(due - now);
        now = due;
    }
    let most = [5, 10, 20, 40, 80, 160, 300, 300, 300].map(Duration::from_secs);
    for (pause, most) in pauses.iter().zip(most) {
        assert!(*pause >= (most / 2).max(terms.gap).min(most.max(terms.gap)), "{pauses:?}");
        assert!(*pause <= most.max(terms.gap), "{pauses:?}");
    }
    pace.handle_attempt(now);
    pace.handle_failed(now, Some(Duration::from_secs(1000)));
    assert!(pace.poll_timeout().unwrap() - now >= Duration::from_secs(1000));
}
