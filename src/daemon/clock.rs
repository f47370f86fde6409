//! The machine's monotonic clock, as the core's kind of instant.

use std::time::Duration;

use crate::time::Instant;

/// Maps the machine's monotonic clock onto [`Instant`]s, and back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    /// A clock whose origin is now.
    pub fn start() -> Clock {
        Clock { origin: tokio::time::Instant::now() }
    }

    /// This moment.
    pub fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }

    /// The machine's name for an instant of this clock.
    pub fn machine(&self, instant: Instant) -> tokio::time::Instant {
        // A deadline beyond what the machine's clock can express is never reached either way.
        let since: Duration = instant - Instant::ORIGIN;
        self.origin.checked_add(since).unwrap_or(self.origin + Duration::from_secs(86_400 * 365))
    }
}
