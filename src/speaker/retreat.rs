//! What the objects say of leaving, and the drain that they ask for.
//!
//! A drain that the objects ask for and one that a person asks for by hand are the same drain; it ends when
//! neither asks any more. So taking back the one by hand does not undo what the Node says, and the other way
//! round.

use std::time::Duration;

use super::Speaker;
use super::drain::DrainTerms;

/// What the node is to let go of, because it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retreat {
    /// How much of it.
    pub extent: Extent,
    /// Why, for a person: a sentence without its full stop.
    pub why: String,
    /// A daemon that is told to end now is not to be started again soon, and drains before.
    pub ends_daemon: bool,
}

/// How much a node lets go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Service addresses, which other nodes announce too. Pods that run are still reached.
    ServiceAddresses,
    /// Everything.
    Everything,
}

impl Retreat {
    /// The terms of the drain. Nobody waits for it, so it holds on to what nobody else announces.
    fn terms(&self) -> DrainTerms {
        DrainTerms {
            settle: DrainTerms::SETTLE,
            timeout: DrainTerms::TIMEOUT,
            reason: self.why.clone(),
            holds_last: true,
        }
    }
}

impl DrainTerms {
    /// Those of a daemon that is told to end and has no longer than `timeout` for all stages.
    pub fn of_shutdown(timeout: Duration, why: &str) -> DrainTerms {
        // Closing takes a second more.
        let timeout = timeout.saturating_sub(Duration::from_secs(1));
        let settle = DrainTerms::SETTLE.min(timeout / 2);
        DrainTerms { settle, timeout, reason: why.to_owned(), holds_last: false }
    }
}

impl Speaker {
    /// Begins or ends the drain as the objects ask.
    pub(super) fn follow_retreat(&mut self) {
        let asked = self.intent.as_ref().and_then(|intent| intent.retreat.as_ref());
        let terms = asked.filter(|retreat| retreat.extent == Extent::Everything).map(Retreat::terms);
        match terms {
            Some(terms) => drop(self.begin_drain(terms, super::drain::Asker::Objects)),
            None => drop(self.end_drain(super::drain::Asker::Objects)),
        }
    }
}
