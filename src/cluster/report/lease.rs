//! Which node writes for all: a Lease that one holds, and that others take when it is not renewed.
//!
//! No clock is compared with another's. Who holds the Lease does so until a while after it *asked* for the last
//! renewal that was granted; who wants it waits until it has itself seen the Lease unchanged for longer than
//! that ([`DURATION`] against [`HELD`]). A Lease is only replaced at the resource version that was seen, so that
//! of two who take it at once one is refused.
//!
//! Few nodes look at it often. Every node has a rank by its name, which it reckons by itself: the lowest four look
//! every 15 s, the next four half as often, and so on down to every half hour. With 5,000 nodes that makes
//! three or four requests a second, and an orphaned Lease is taken within some 75 s while any of the first lives.

use std::time::Duration;

use crate::time::{Instant, Jitter};

/// A Lease that is not renewed for so long is anybody's.
pub const DURATION: Duration = Duration::from_secs(60);
/// How long a renewal lasts for the one who holds it: less, so that what it has begun to write by then has ended.
pub const HELD: Duration = Duration::from_secs(40);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(15);
/// How soon what failed is tried again by the one who holds it.
const RETRY: Duration = Duration::from_secs(5);
/// How often the first look at it.
const LOOK: Duration = Duration::from_secs(15);
/// How often the last do.
const LOOK_SELDOM: Duration = Duration::from_secs(1800);
/// Nodes that look equally often.
const RANKS: u64 = 4;

/// What is seen of the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; `None` if it has been given up.
    pub holder: Option<String>,
    /// Its resource version.
    pub version: String,
}

/// What to do about the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// Make it, or replace what was seen, in our name.
    Take,
}

/// How one node stands with the Lease.
#[derive(Debug)]
pub struct Election {
    identity: String,
    rank: u64,
    jitter: Jitter,
    /// What another's Lease was like, and since when it has been seen so.
    seen: Option<(Record, Instant)>,
    held_until: Option<Instant>,
    next: Instant,
}

impl Election {
    /// One that has seen nothing yet. `identity` must be nobody else's, not even that of a daemon before or
    /// beside us on this node.
    pub fn new(identity: impl Into<String>, rank: u64, seed: u64) -> Election {
        let (identity, jitter) = (identity.into(), Jitter::new(seed));
        Election { identity, rank, jitter, seen: None, held_until: None, next: Instant::ORIGIN }
    }

    /// The name that it stands under.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Sets how many stand before us.
    pub fn set_rank(&mut self, rank: u64) {
        self.rank = rank;
    }

    /// Whether we may write for all.
    pub fn leads(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    /// When to look at the Lease next.
    pub fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// The Lease was looked at: this is what it says, or it does not exist.
    pub fn handle_seen(&mut self, now: Instant, record: Option<Record>) -> Step {
        let Some(record) = record else { return Step::Take };
        match &record.holder {
            None => return Step::Take,
            Some(holder) if *holder == self.identity => return Step::Take,
            Some(_) => self.held_until = None,
        }
        match &self.seen {
            Some((known, since)) if *known == record => {
                if now - *since > DURATION {
                    return Step::Take;
                }
            }
            _ => self.seen = Some((record, now)),
        }
        self.next = now + self.pause();
        Step::Wait
    }

    /// It is ours, as asked for at `asked`.
    pub fn handle_taken(&mut self, asked: Instant) {
        self.held_until = Some(asked + HELD);
        self.seen = None;
        self.next = asked + RENEW;
    }

    /// Somebody else was quicker.
    pub fn handle_refused(&mut self, now: Instant) {
        self.held_until = None;
        self.seen = None;
        self.next = now + self.pause();
    }

    /// The server did not answer as it should.
    pub fn handle_failed(&mut self, now: Instant) {
        let pause = if self.leads(now) { RETRY } else { self.pause() };
        self.next = now + pause;
    }

    /// We have given it up.
    pub fn handle_released(&mut self) {
        self.held_until = None;
    }

    fn pause(&mut self) -> Duration {
        let doublings = (self.rank / RANKS).min(16) as u32;
        let pause = LOOK.saturating_mul(1 << doublings).min(LOOK_SELDOM);
        self.jitter.scaled(pause, 0.8, 1.2)
    }
}

/// How many of so many nodes come before this one, as nearly as its name alone can tell: names are spread
/// evenly by a hash, the same on every machine (FNV-1a with a finalizer).
pub fn rank(node_name: &str, nodes: usize) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for octet in node_name.bytes() {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    ((u128::from(hash) * nodes as u128) >> 64) as u64
}

#[cfg(test)]
mod tests;
