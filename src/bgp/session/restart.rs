//! Graceful restart as one session sees it: what its OPEN says, and how it fell (RFC 4724, RFC 8538).
//!
//! What becomes of the peer's paths is for the owner of the tables to decide.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bgp::Reason;
use crate::bgp::capability::{GracefulRestart, LongLivedFamily, RestartFamily};
use crate::prefix::Family;

/// What a session offers for graceful restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartOffer {
    /// How long the peer may wait for us to come back: whole seconds, at most 4,095.
    pub restart_time: Duration,
    /// How long it may keep our routes beyond that, marked as a last resort (RFC 9494): whole seconds, at
    /// most 16,777,215. Not offered if zero.
    pub long_lived_time: Duration,
}

/// What is true of our forwarding when an OPEN goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestartBits {
    /// We have restarted and have not chosen our paths yet (R bit, RFC 4724 §3).
    pub restarting: bool,
    /// Packets have been forwarded all along, by family (F bit).
    pub forwarding: [bool; Family::ALL.len()],
}

/// How an Established session ended, as far as graceful restart asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fall {
    /// The connection went without a word (RFC 4724 §4.2).
    Silent,
    /// One side sent a NOTIFICATION, or would have: routes stay where both sides have said the N bit
    /// (RFC 8538 §4).
    Notification,
    /// For good: one side sent a Hard Reset, or there is no way to the peer.
    Final,
}

impl RestartOffer {
    pub(super) fn capability(self, families: &BTreeSet<Family>, bits: RestartBits) -> GracefulRestart {
        let family = |family: &Family| RestartFamily::of(*family, bits.forwarding[*family as usize]);
        GracefulRestart {
            restarting: bits.restarting,
            notification: true,
            restart_time: u16::try_from(self.restart_time.as_secs()).unwrap_or(u16::MAX),
            families: families.iter().map(family).collect(),
        }
    }

    /// `None` where it is not to be offered.
    pub(super) fn long_lived(
        self,
        families: &BTreeSet<Family>,
        bits: RestartBits,
    ) -> Option<Vec<LongLivedFamily>> {
        let time = u32::try_from(self.long_lived_time.as_secs()).unwrap_or(u32::MAX);
        let family = |family: &Family| LongLivedFamily::of(*family, bits.forwarding[*family as usize], time);
        (time > 0).then(|| families.iter().map(family).collect())
    }
}

impl Fall {
    /// The fall that comes of a NOTIFICATION for this reason.
    pub(super) fn by(reason: Reason) -> Fall {
        if reason == Reason::HARD_RESET { Fall::Final } else { Fall::Notification }
    }
}
