//! Time as the core sees it: a value that is handed in, never a clock that is read.
//!
//! The shell maps the machine's monotonic clock onto [`Instant`]; a simulation makes instants up.
//! [`Jitter`] keeps timers of many sessions from beating together, and repeats by its seed.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on a monotonic axis whose origin means nothing. Resolution is one nanosecond, and the
/// range of 584 years is treated as endless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the axis: where a simulation starts.
    pub const ORIGIN: Instant = Instant(0);

    /// Time passed since `earlier`; zero if `earlier` lies in the future.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment so long before this one; the origin if there is none.
    pub fn before(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_sub(nanos))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", Duration::from_nanos(self.0).as_secs_f64())
    }
}

/// A source of jitter. Equal seeds give equal jitter.
#[derive(Debug, Clone)]
pub struct Jitter(u64);

impl Jitter {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// `full` times a factor from `least` to `most`.
    pub fn scaled(&mut self, full: Duration, least: f64, most: f64) -> Duration {
        // SplitMix64: tiny, seedable, and good enough to spread timers.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let fraction = ((z ^ (z >> 31)) >> 40) as f64 / (1u64 << 24) as f64;
        full.mul_f64(least + (most - least) * fraction)
    }
}
