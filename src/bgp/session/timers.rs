//! A session's timers: deadlines by name, and jitter (RFC 4271 §10).

use std::time::Duration;

use crate::time::{Instant, Jitter};

/// The timers of a session. All are one-shot; an expiry is an FSM event.
///
/// | timer | runs in | length |
/// |---|---|---|
/// | IdleHold | Idle, after a failure | doubled by each failure in a row up to a ceiling ([`super::Damping`]), with jitter |
/// | IdleHold | Idle, after a reset by the owner | as the owner says |
/// | ConnectRetry | Connect, Active | as configured, with jitter |
/// | Hold | OpenSent | four minutes |
/// | Hold | OpenConfirm, Established | as negotiated; off when zero |
/// | SendHold | Established | twice the hold time, at least 8 min; off when the hold time is zero (RFC 9687) |
/// | Keepalive | OpenConfirm, Established | as configured, at most a third of the hold time, with jitter |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The pause in Idle that damps oscillation.
    IdleHold,
    /// The pause between connection attempts.
    ConnectRetry,
    /// The longest silence a peer may keep.
    Hold,
    /// The longest silence we keep.
    Keepalive,
    /// The longest that a peer may take none of what we send (RFC 9687).
    SendHold,
}

impl Timer {
    const ALL: [Timer; 5] =
        [Timer::IdleHold, Timer::ConnectRetry, Timer::Hold, Timer::Keepalive, Timer::SendHold];
}

/// So many moments there are in the length of a timer at which it may run out in company.
const COMPANY: u32 = 32;

/// Deadlines of all timers, with the source of their jitter.
#[derive(Debug)]
pub(super) struct Timers {
    deadlines: [Option<Instant>; Timer::ALL.len()],
    jitter: Jitter,
}

impl Timers {
    /// No timer runs. Equal seeds give equal jitter.
    pub(super) fn new(seed: u64) -> Timers {
        Timers { deadlines: [None; Timer::ALL.len()], jitter: Jitter::new(seed) }
    }

    pub(super) fn start(&mut self, timer: Timer, at: Instant) {
        self.deadlines[timer as usize] = Some(at);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    pub(super) fn runs(&self, timer: Timer) -> bool {
        self.deadlines[timer as usize].is_some()
    }

    pub(super) fn deadline(&self, timer: Timer) -> Option<Instant> {
        self.deadlines[timer as usize]
    }

    /// The timer that expires first, and when.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        Timer::ALL.into_iter().filter_map(|t| Some((self.deadlines[t as usize]?, t))).min()
    }

    /// `full` times a factor from 0.75 to 1.0 (RFC 4271 §10).
    pub(super) fn jittered(&mut self, full: Duration) -> Duration {
        self.jitter.scaled(full, 0.75, 1.0)
    }

    /// When that time has passed from `now`, with the same jitter. Timers of equal length that run out at
    /// nearly the same time do so at the same: the owner of a thousand sessions is woken for many at once.
    pub(super) fn jittered_in_company(&mut self, now: Instant, full: Duration) -> Instant {
        let at = now + self.jitter.scaled(full, 0.75 + 1.0 / f64::from(COMPANY), 1.0);
        let grain = (full / COMPANY).as_nanos().max(1);
        let beyond = (at - Instant::ORIGIN).as_nanos() % grain;
        // Less than the grain, which is far from what 64 bits hold.
        at.before(Duration::from_nanos(beyond as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_is_the_earliest() {
        let mut timers = Timers::new(1);
        assert_eq!(timers.next(), None);
        let at = |s| Instant::ORIGIN + Duration::from_secs(s);
        timers.start(Timer::Hold, at(90));
        timers.start(Timer::Keepalive, at(30));
        assert_eq!(timers.next(), Some((at(30), Timer::Keepalive)));
        timers.stop(Timer::Keepalive);
        assert_eq!(timers.next(), Some((at(90), Timer::Hold)));
    }

    #[test]
    fn jitter_stays_in_the_range_of_the_rfc_and_repeats_by_seed() {
        let draw = |seed| {
            let mut timers = Timers::new(seed);
            (0..1000).map(|_| timers.jittered(Duration::from_secs(4))).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        assert!(drawn.iter().all(|d| (3.0..=4.0).contains(&d.as_secs_f64())));
        assert!(drawn.iter().min() < Some(&Duration::from_millis(3050)));
        assert!(drawn.iter().max() > Some(&Duration::from_millis(3950)));
        assert_eq!(drawn, draw(7));
        assert_ne!(drawn, draw(8));
    }

    #[test]
    fn many_timers_run_out_together_and_all_in_the_range_of_the_rfc() {
        let full = Duration::from_secs(30);
        let draw = |seed| {
            let now = Instant::ORIGIN + Duration::from_millis(seed * 7);
            let at = Timers::new(seed).jittered_in_company(now, full);
            assert!((22.5..=30.0).contains(&(at - now).as_secs_f64()), "{now:?} {at:?}");
            at
        };
        let moments: std::collections::BTreeSet<Instant> = (0..1000).map(draw).collect();
        // All lie within 14.5 s, of which each 30/32 s has one.
        assert!((8..=17).contains(&moments.len()), "{moments:?}");
    }
}
