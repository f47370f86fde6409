//! How often something is written: a budget, with time as a value.
//!
//! A difference waits for a moment of its own ([`Terms::spread`]), so that what happens to all nodes at once is
//! not written by all at once, and what flaps meanwhile is written once. Writes have a least distance, and
//! a bucket of them fills up slowly: whatever flaps, for however long, costs no more than the bucket gives.
//! What failed is tried again after a pause that doubles, or as long as the server asks for.

use std::time::Duration;

use crate::time::{Instant, Jitter};

/// How a written object differs from what there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Not so that anybody would care.
    None,
    /// In counters alone.
    Minor,
    /// In what somebody waits for.
    Major,
    /// In what concerns this one alone and may be over soon: it waits for nobody else.
    Urgent,
}

/// The budget of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The least time between two writes.
    pub gap: Duration,
    /// Writes that may follow each other at that distance after a long rest; at least 1.
    pub burst: u32,
    /// How long it takes to save up for one more.
    pub refill: Duration,
    /// What differs waits for a part of this, chosen at random.
    pub spread: Duration,
    /// How long after a write one for counters alone may follow.
    pub minor: Duration,
    /// The pause after a write that failed; doubled by each in a row.
    pub retry: Duration,
    /// The longest such pause.
    pub retry_most: Duration,
}

impl Terms {
    /// Writes in one second that all nodes together may make of one event that concerns them all.
    pub const AT_ONCE: usize = 100;

    /// Those of a node among so many: 5 writes 10 s apart, then one every 2 minutes. That is at most 35 in
    /// the first hour and 30 in each that follows. Of an event that all nodes see, [`Self::AT_ONCE`] are
    /// written a second, as long as that takes no more than a minute.
    pub fn of_node(nodes: usize) -> Terms {
        let spread = Duration::from_millis((nodes * 1000 / Self::AT_ONCE) as u64);
        Terms {
            gap: Duration::from_secs(10),
            burst: 5,
            refill: Duration::from_secs(120),
            spread: spread.clamp(Duration::from_secs(1), Duration::from_secs(60)),
            minor: Duration::from_secs(600),
            retry: Duration::from_secs(5),
            retry_most: Duration::from_secs(300),
        }
    }

    /// Those of an object that one node writes for all: 10 writes 10 s apart, then one a minute.
    pub fn of_aggregate() -> Terms {
        Terms {
            burst: 10,
            refill: Duration::from_secs(60),
            spread: Duration::from_secs(2),
            ..Terms::of_node(1)
        }
    }

    /// The most writes in a time of this length, failed ones included.
    pub fn most_in(&self, time: Duration) -> u64 {
        u64::from(self.burst) + (time.as_nanos() / self.refill.as_nanos().max(1)) as u64
    }

    /// How long a difference that lasts may wait to be written, as long as the server takes what it is
    /// sent.
    pub fn most_wait(&self) -> Duration {
        self.spread + self.refill.max(self.gap)
    }
}

/// When one object is next written.
#[derive(Debug, Clone)]
pub struct Pace {
    terms: Terms,
    jitter: Jitter,
    /// When the bucket is full again (the generic cell rate algorithm's theoretical arrival time).
    full_at: Instant,
    last: Option<Instant>,
    due: Option<(Instant, Difference)>,
    failures: u32,
}

impl Pace {
    /// A full bucket. `seed` decides the jitter.
    pub fn new(terms: Terms, seed: u64) -> Pace {
        let jitter = Jitter::new(seed);
        Pace { terms, jitter, full_at: Instant::ORIGIN, last: None, due: None, failures: 0 }
    }

    /// Takes over other terms, as when the cluster has grown.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// Notes how what is written differs from what there is to say. A moment that has been chosen stays even
    /// if nothing differs now: whatever is the case then is written.
    pub fn handle_difference(&mut self, now: Instant, difference: Difference) {
        let planned = self.due.map_or(Difference::None, |(_, of)| of);
        if difference <= planned {
            return;
        }
        let spread = self.jitter.scaled(self.terms.spread, 0.0, 1.0);
        let wish = match (difference, self.last) {
            (Difference::Minor, Some(last)) => (last + self.terms.minor).max(now) + spread,
            (Difference::Urgent, _) => now,
            _ => now + spread,
        };
        self.due = Some((wish.max(self.earliest()), difference));
    }

    /// When [`Pace::is_due`] will next be true.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.map(|(at, _)| at)
    }

    /// Whether it is time to write, or to find that nothing differs any more.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|(at, _)| at <= now)
    }

    /// Nothing differs, and nothing is written.
    pub fn handle_settled(&mut self) {
        self.due = None;
    }

    /// A write is about to be tried: it counts, however it ends.
    pub fn handle_attempt(&mut self, now: Instant) {
        self.last = Some(now);
        self.full_at = self.full_at.max(now) + self.terms.refill;
    }

    /// It was taken.
    pub fn handle_written(&mut self) {
        self.failures = 0;
        self.due = None;
    }

    /// It failed. The server may have said how long to wait.
    pub fn handle_failed(&mut self, now: Instant, wait: Option<Duration>) {
        let doubled = self.terms.retry.saturating_mul(1 << self.failures.min(16));
        let pause = doubled.min(self.terms.retry_most);
        // What many have met at once they do not try again at once.
        let pause = self.jitter.scaled(pause, 0.5, 1.0) + wait.unwrap_or_default();
        self.failures = self.failures.saturating_add(1);
        // However much there is to say, it waits for the end of the pause.
        self.due = Some(((now + pause).max(self.earliest()), Difference::Urgent));
    }

    /// When the budget next allows a write.
    fn earliest(&self) -> Instant {
        let saved = self.terms.refill.saturating_mul(self.terms.burst.max(1) - 1);
        let after_last = self.last.map_or(Instant::ORIGIN, |last| last + self.terms.gap);
        self.full_at.before(saved).max(after_last)
    }
}

#[cfg(test)]
mod tests;
