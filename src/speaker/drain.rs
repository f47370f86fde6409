//! Leaving without losing a packet: peers are asked to prefer other paths, then told nothing, then left
//! (RFC 8326 §4, §5; RFC 9003).
//!
//! A drain goes through its stages one after the other. All that is announced is announced again with
//! GRACEFUL_SHUTDOWN; when every peer's socket has taken that, peers have a while to move their traffic;
//! what is announced is withdrawn; when that is taken too, BFD ends and the sessions are closed with a
//! Cease. They stay closed until the drain is taken back. A peer that takes nothing cannot hold it up
//! for longer than its timeout, and is named then.
//!
//! Kernel routes of this node's own prefixes stay: what is still under way is to arrive.

use std::time::Duration;

use super::Speaker;
use super::peer::Peer;
use crate::bgp::Reason;
use crate::rib::PeerId;
use crate::rib::export::Presence;
use crate::time::Instant;

/// How a node is to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainTerms {
    /// How long peers have to move their traffic once they have been asked to.
    pub settle: Duration,
    /// After how long the sessions are closed, whatever has been taken by then.
    pub timeout: Duration,
    /// What peers are told with the Cease (RFC 9003 §2).
    pub reason: String,
}

/// How far a drain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainStage {
    /// Peers are being asked to prefer other paths.
    Asking,
    /// They have been asked, and move their traffic.
    Settling,
    /// What they were told is being withdrawn.
    Withdrawing,
    /// All sessions are closed, and stay so.
    Drained,
}

/// A drain as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainView {
    /// How far it has come.
    pub stage: DrainStage,
    /// Peers that have not taken what the stage tells them; once drained, those that the timeout cut off.
    pub waits_for: Vec<String>,
    /// The timeout has passed before the peers had been asked, given their time and told nothing.
    pub timed_out: bool,
}

/// A drain that has begun.
#[derive(Debug)]
pub(super) struct Drain {
    terms: DrainTerms,
    stage: DrainStage,
    /// When the sessions are closed at the latest.
    until: Instant,
    /// When peers have had their time to move.
    settled_at: Option<Instant>,
    /// Peers that had not taken all when time was up.
    cut_off: Vec<String>,
    timed_out: bool,
}

impl Drain {
    /// When it goes on without any news.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let until = (self.stage != DrainStage::Drained).then_some(self.until);
        until.into_iter().chain(self.settled_at).min()
    }
}

impl Speaker {
    /// Begins to leave. Of no effect where a drain has begun already.
    pub fn handle_drain(&mut self, now: Instant, terms: DrainTerms) {
        self.now = now;
        if self.leaving.is_some() {
            return;
        }
        let until = now + terms.timeout;
        self.leaving = Some(Drain {
            terms,
            stage: DrainStage::Asking,
            until,
            settled_at: None,
            cut_off: vec![],
            timed_out: false,
        });
        self.tell_all_again();
    }

    /// Takes a drain back, however far it has come.
    pub fn handle_undrain(&mut self, now: Instant) {
        self.now = now;
        let Some(drain) = self.leaving.take() else { return };
        if drain.stage != DrainStage::Drained {
            self.tell_all_again();
            return;
        }
        self.watch_paths();
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.start_session(id);
        }
    }

    /// How far a drain has come; `None` where there is none.
    pub fn drain_view(&self) -> Option<DrainView> {
        let drain = self.leaving.as_ref()?;
        let waits_for = match drain.stage {
            DrainStage::Drained => drain.cut_off.clone(),
            DrainStage::Settling => vec![],
            DrainStage::Asking | DrainStage::Withdrawing => self.not_told(),
        };
        Some(DrainView { stage: drain.stage, waits_for, timed_out: drain.timed_out })
    }

    /// What peers are to see of this node.
    pub(super) fn presence(&self) -> Presence {
        match self.leaving.as_ref().map(|drain| drain.stage) {
            None => Presence::Staying,
            Some(DrainStage::Asking | DrainStage::Settling) => Presence::Leaving,
            Some(DrainStage::Withdrawing | DrainStage::Drained) => Presence::Gone,
        }
    }

    /// Whether no session may be opened.
    pub(super) fn is_drained(&self) -> bool {
        self.leaving.as_ref().is_some_and(|drain| drain.stage == DrainStage::Drained)
    }

    /// Goes on to the next stage if this one is over; `false` if it is not. To be called when all that
    /// was dirty has been decided, for only then is it known what peers are to be told.
    pub(super) fn advance_drain(&mut self) -> bool {
        let Some(drain) = &self.leaving else { return false };
        if drain.stage == DrainStage::Drained {
            return false;
        }
        if drain.until <= self.now {
            self.end_drain(true);
            return true;
        }
        let settled = drain.settled_at.is_some_and(|at| at <= self.now);
        match drain.stage {
            DrainStage::Asking if self.not_told().is_empty() => {
                let settled_at = self.now + drain.terms.settle;
                self.enter(DrainStage::Settling, Some(settled_at));
            }
            DrainStage::Settling if settled => {
                self.enter(DrainStage::Withdrawing, None);
                self.tell_all_again();
            }
            DrainStage::Withdrawing if self.not_told().is_empty() => self.end_drain(false),
            _ => return false,
        }
        true
    }

    fn enter(&mut self, stage: DrainStage, settled_at: Option<Instant>) {
        if let Some(drain) = &mut self.leaving {
            (drain.stage, drain.settled_at) = (stage, settled_at);
        }
    }

    fn end_drain(&mut self, timed_out: bool) {
        let cut_off = if timed_out { self.not_told() } else { vec![] };
        self.enter(DrainStage::Drained, None);
        let Some(drain) = &mut self.leaving else { return };
        (drain.cut_off, drain.timed_out) = (cut_off, timed_out);
        let reason = drain.terms.reason.clone();
        // BFD says AdminDown first: a path that goes away unannounced is one that has failed.
        self.watch_paths();
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.stop_sessions(id, Reason::ADMINISTRATIVE_SHUTDOWN, &reason);
        }
    }

    fn tell_all_again(&mut self) {
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.walk_again(id);
        }
    }

    /// Established peers whose sockets have not taken all that they are to be told.
    fn not_told(&self) -> Vec<String> {
        let late = |peer: &&Peer| {
            let unsent = peer.first.connection.as_ref().is_some_and(|connection| connection.unsent > 0);
            peer.established().is_some() && (unsent || !peer.walks.is_empty() || !peer.out.is_in_step())
        };
        let late: Vec<PeerId> = self.peers.values().filter(late).map(|peer| peer.id).collect();
        late.into_iter().map(|id| self.peer_name(id)).collect()
    }
}
