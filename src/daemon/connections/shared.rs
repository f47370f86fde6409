//! What a connection and the driver tell each other without a queue between.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::bgp::header::MAX_MESSAGE_LENGTH;
use crate::bgp::session::Negotiated;
use crate::time::Instant;

/// Shared by the two sides of one connection. Each field stands for itself, so that no order among
/// them matters.
#[derive(Debug)]
pub(super) struct Shared {
    /// The most octets that one of the peer's messages may have.
    pub(super) most: AtomicUsize,
    /// What messages mean, once the session is Established.
    pub(super) agreed: OnceLock<Arc<Negotiated>>,
    /// When the last message arrived: nanoseconds since the clock's origin. Zero before the first.
    heard: AtomicU64,
    /// KEEPALIVEs that arrived in Established and that the driver has not counted yet.
    keepalives: AtomicU64,
    /// What arrived waits for room in the driver's queue, and more may wait in the socket.
    pub(super) held_up: AtomicBool,
}

/// What a peer has said that has not been handed to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When it last said something, be that handed in or not.
    pub at: Instant,
    /// KEEPALIVEs since this was last asked.
    pub keepalives: u64,
}

impl Shared {
    pub(super) fn new() -> Arc<Shared> {
        Arc::new(Shared {
            most: AtomicUsize::new(MAX_MESSAGE_LENGTH),
            agreed: OnceLock::new(),
            heard: AtomicU64::new(0),
            keepalives: AtomicU64::new(0),
            held_up: AtomicBool::new(false),
        })
    }

    /// When the peer was last heard, whether or not the driver has taken what it said; `None` if never.
    pub(super) fn heard(&self, now: Instant) -> Option<Heard> {
        let nanos = self.heard.load(Ordering::Relaxed);
        let at = match self.held_up.load(Ordering::Relaxed) {
            true => now,
            false if nanos == 0 => return None,
            false => Instant::ORIGIN + Duration::from_nanos(nanos),
        };
        Some(Heard { at, keepalives: self.keepalives.swap(0, Ordering::Relaxed) })
    }

    /// Notes that the peer has said something, with so many KEEPALIVEs that the driver is not handed.
    pub(super) fn hear(&self, at: Instant, keepalives: u64) {
        // Fits for 584 years.
        let nanos = (at - Instant::ORIGIN).as_nanos() as u64;
        self.heard.store(nanos, Ordering::Relaxed);
        if keepalives > 0 {
            self.keepalives.fetch_add(keepalives, Ordering::Relaxed);
        }
    }
}
