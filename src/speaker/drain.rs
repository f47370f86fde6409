//! Leaving without losing a packet: peers are asked to prefer other paths, then told nothing, then left
//! (RFC 8326 §4, §5; RFC 9003).
//!
//! A drain goes through its stages one after the other, as [`DrainStage`] has them. All that is announced
//! is announced again with GRACEFUL_SHUTDOWN. When every peer's socket has taken that, peers move their
//! traffic, which no message of BGP reports. What can be seen is that a peer that has chosen another path
//! for a prefix of ours tells it to us, unless it may not: so they count as moved once none has had such
//! news for a while. Then everything is withdrawn, and when that is taken too, the sessions are closed
//! with a Cease. They stay closed until the drain is taken back. A peer that takes nothing cannot hold
//! this up for longer than the timeout, and is named then.
//!
//! A service address that no other node announces, of those that stay, would be nowhere after that. So nothing is
//! withdrawn while there is one: by terms that say so for as long as it takes, otherwise until the timeout.
//! Once another node has it, peers have their time to move to that.
//!
//! BFD ends after the sessions: FRR and BIRD take its AdminDown for the end of a session that is up.
//!
//! Packets go on being forwarded throughout. Kernel routes of this node's own prefixes stay, for what is
//! still under way is to arrive; and paths that were learned stay, so that what is left on this node can
//! still send. Nobody keeps these up to date but the kernel, whose links may go. A peer that is back after
//! the drain confirms its paths; what it has not announced again by its End-of-RIB is let go.

use std::collections::BTreeSet;
use std::time::Duration;

use super::graceful::Kept;
use super::peer::Peer;
use super::restart::STALE_TIME;
use super::{Notice, Speaker};
use crate::bgp::session::{Cause, Failure};
use crate::bgp::{Reason, Update};
use crate::prefix::{Family, Prefix};
use crate::rib::export::Presence;
use crate::rib::{PeerId, Source};
use crate::time::Instant;

/// How long peers may take to read what is withdrawn. Longer than a table of a million routes needs.
const WITHDRAW_PATIENCE: Duration = Duration::from_secs(5);
/// How long BFD outlives the sessions: as long as a NOTIFICATION may be on its way.
const BFD_OUTLIVES: Duration = Duration::from_secs(1);

/// How a node is to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainTerms {
    /// For how long peers that have been asked must have had no news to count as moved.
    pub settle: Duration,
    /// How long peers have, all in all, to be asked and to move.
    pub timeout: Duration,
    /// What peers are told with the Cease (RFC 9003 §2), cut at 255 octets.
    pub reason: String,
    /// Whether a service address that no other node announces is held on to beyond the timeout.
    pub holds_last: bool,
}

impl DrainTerms {
    /// The usual `settle`. Enough for peers that tell news at once; some, for external peers, collect it
    /// for 30 s (RFC 4271 §9.2.1.1).
    pub const SETTLE: Duration = Duration::from_secs(5);
    /// The usual `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
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
    /// All sessions are being closed, and stay so.
    Closing,
    /// All sessions are closed.
    Drained,
}

impl DrainStage {
    /// The stage counted from 1, for a metric.
    pub fn number(self) -> u64 {
        self as u64 + 1
    }

    /// What happens in this stage, for a person.
    pub fn words(self) -> &'static str {
        match self {
            DrainStage::Asking => "asking peers to prefer other paths (GRACEFUL_SHUTDOWN)",
            DrainStage::Settling => "peers have been asked to prefer other paths, and move",
            DrainStage::Withdrawing => "withdrawing all that was announced",
            DrainStage::Closing => "closing all sessions",
            DrainStage::Drained => "all sessions are closed, and stay so until undrain or a restart",
        }
    }
}

/// A drain as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainView {
    /// How far it has come.
    pub stage: DrainStage,
    /// Its terms.
    pub terms: DrainTerms,
    /// Established peers that have not taken what the stage tells them.
    pub waits_for: Vec<String>,
    /// Peers that had not taken all when the next stage could wait no longer.
    pub cut_off: Vec<String>,
    /// The timeout has passed before peers had been asked and had moved.
    pub timed_out: bool,
    /// Service addresses that nothing is withdrawn for, because no other node announces them.
    pub holds: Vec<Prefix>,
    /// The objects ask for it: it does not end before they ask no more.
    pub asked_by_objects: bool,
}

/// Who wants a node drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asker {
    /// Somebody at the API.
    Person,
    /// The objects.
    Objects,
}

/// A drain that has begun.
#[derive(Debug)]
pub(super) struct Drain {
    askers: BTreeSet<Asker>,
    terms: DrainTerms,
    stage: DrainStage,
    /// When the stage is over at the latest.
    until: Instant,
    /// When peers count as moved, unless one has news.
    settled_at: Option<Instant>,
    cut_off: BTreeSet<String>,
    timed_out: bool,
    /// It has come to where it would withdraw, and holds on.
    held: bool,
}

impl Drain {
    fn new(now: Instant, terms: DrainTerms) -> Drain {
        Drain {
            askers: BTreeSet::new(),
            stage: DrainStage::Asking,
            until: now + terms.timeout,
            settled_at: None,
            cut_off: BTreeSet::new(),
            timed_out: false,
            held: false,
            terms,
        }
    }

    /// When it goes on without any news, after `now`.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let until = (self.stage != DrainStage::Drained).then_some(self.until);
        // One that holds on goes on with news alone, once its time is up.
        let held = |at: &Instant| self.held && *at <= now;
        until.into_iter().chain(self.settled_at).filter(|at| !held(at)).min()
    }
}

impl Speaker {
    /// Begins to leave. `false` where a drain has begun already, which goes on with its own terms.
    pub fn handle_drain(&mut self, now: Instant, terms: DrainTerms) -> bool {
        self.now = now;
        self.begin_drain(terms, Asker::Person)
    }

    /// Takes a drain back that was asked for by hand, however far it has come; `false` where none ends by
    /// that, because there is none or the objects ask for it, too.
    pub fn handle_undrain(&mut self, now: Instant) -> bool {
        self.now = now;
        self.end_drain(Asker::Person)
    }

    pub(super) fn begin_drain(&mut self, terms: DrainTerms, asker: Asker) -> bool {
        if let Some(drain) = &mut self.leaving {
            drain.askers.insert(asker);
            if drain.terms.holds_last && !terms.holds_last {
                // Whoever waits for it now has no patience without end, and no longer than he says.
                drain.terms.holds_last = false;
                if drain.stage <= DrainStage::Settling {
                    drain.until = self.now + terms.timeout;
                }
            }
            return false;
        }
        let mut drain = Drain::new(self.now, terms);
        drain.askers.insert(asker);
        self.leaving = Some(drain);
        self.notice(Notice::Draining(DrainStage::Asking));
        self.tell_all_again();
        true
    }

    pub(super) fn end_drain(&mut self, asker: Asker) -> bool {
        let was_closed = self.is_closed();
        let asked = self.leaving.as_mut().is_some_and(|drain| drain.askers.remove(&asker));
        if !asked || self.leaving.as_ref().is_some_and(|drain| !drain.askers.is_empty()) {
            return false;
        }
        self.leaving = None;
        self.notice(Notice::Undrained);
        if !was_closed {
            self.tell_all_again();
            return true;
        }
        self.watch_paths();
        for id in self.ids() {
            self.expect_back(id);
            self.start_session(id);
        }
        true
    }

    /// How far a drain has come; `None` where there is none.
    pub fn drain_view(&self) -> Option<DrainView> {
        let drain = self.leaving.as_ref()?;
        let told = matches!(drain.stage, DrainStage::Asking | DrainStage::Withdrawing);
        Some(DrainView {
            stage: drain.stage,
            terms: drain.terms.clone(),
            waits_for: if told { self.not_told() } else { vec![] },
            cut_off: drain.cut_off.iter().cloned().collect(),
            timed_out: drain.timed_out,
            holds: if drain.held { self.last_announced() } else { vec![] },
            asked_by_objects: drain.askers.contains(&Asker::Objects),
        })
    }

    /// How far a drain has come, without the rest.
    pub fn drain_stage(&self) -> Option<DrainStage> {
        self.leaving.as_ref().map(|drain| drain.stage)
    }

    /// What peers are to see of this node.
    pub(super) fn presence(&self) -> Presence {
        match self.drain_stage() {
            None => Presence::Staying,
            Some(DrainStage::Asking | DrainStage::Settling) => Presence::Leaving,
            Some(_) => Presence::Gone,
        }
    }

    /// Whether no session may be opened.
    pub(super) fn is_closed(&self) -> bool {
        self.drain_stage() >= Some(DrainStage::Closing)
    }

    /// Whether BFD has ended, too.
    pub(super) fn is_drained(&self) -> bool {
        self.drain_stage() == Some(DrainStage::Drained)
    }

    /// Goes on to the next stage if this one is over; `false` if it is not. To be called when all that
    /// was dirty has been decided, for only then is it known what peers are to be told.
    pub(super) fn advance_drain(&mut self) -> bool {
        let Some(drain) = &self.leaving else { return false };
        let time_is_up = drain.until <= self.now;
        let settled = drain.settled_at.is_some_and(|at| at <= self.now);
        match drain.stage {
            DrainStage::Asking if self.not_told().is_empty() => {
                // Where nobody has been asked, nobody moves.
                let settle = if self.established_peers().next().is_some() {
                    drain.terms.settle
                } else {
                    Duration::ZERO
                };
                let (until, settled_at) = (drain.until, self.now + settle);
                self.enter(DrainStage::Settling, until);
                self.settle_until(settled_at);
            }
            DrainStage::Asking | DrainStage::Settling if (settled || time_is_up) && self.holds_on() => {
                return self.hold(true);
            }
            DrainStage::Asking | DrainStage::Settling if drain.held => return self.hold(false),
            DrainStage::Settling if settled => self.withdraw_all(false),
            DrainStage::Asking | DrainStage::Settling if time_is_up => self.withdraw_all(true),
            DrainStage::Withdrawing if time_is_up || self.not_told().is_empty() => self.close_all(),
            DrainStage::Closing if time_is_up => {
                self.enter(DrainStage::Drained, self.now);
                self.watch_paths();
            }
            _ => return false,
        }
        true
    }

    /// Whether what is announced stays announced, though peers have had their time.
    fn holds_on(&self) -> bool {
        let waits = |drain: &Drain| drain.terms.holds_last || self.now < drain.until;
        self.leaving.as_ref().is_some_and(waits) && !self.last_announced().is_empty()
    }

    /// Begins to hold on, or lets peers move to those who have what was held on to; `false` if that is as it
    /// was.
    fn hold(&mut self, held: bool) -> bool {
        let prefixes = self.last_announced();
        let Some(drain) = &mut self.leaving else { return false };
        if drain.held == held {
            return false;
        }
        drain.held = held;
        if held {
            self.notice(Notice::Holding(prefixes));
        } else if self.now < drain.until || drain.terms.holds_last {
            let settled_at = self.now + drain.terms.settle;
            drain.until = drain.until.max(settled_at);
            // Who has not been asked does not settle.
            if drain.stage == DrainStage::Settling {
                drain.settled_at = Some(settled_at);
            }
        }
        true
    }

    /// A peer that tells something of a prefix that we announce is still moving.
    pub(super) fn note_news(&mut self, update: &Update) {
        if self.drain_stage() != Some(DrainStage::Settling) {
            return;
        }
        let announced =
            update.announced.iter().flat_map(|a| a.prefixes.iter().chain(a.paths.iter().map(|p| &p.prefix)));
        let withdrawn = update.withdrawn.iter().chain(update.withdrawn_paths.iter().map(|p| &p.prefix));
        let ours = |prefix: &Prefix| self.peers.keys().any(|id| !self.told(*id, *prefix).is_empty());
        if announced.chain(withdrawn).any(ours)
            && let Some(drain) = &self.leaving
        {
            self.settle_until(self.now + drain.terms.settle);
        }
    }

    /// Keeps what a peer has announced whose session is closed by the drain.
    pub(super) fn keep_while_drained(&mut self, id: PeerId) {
        for family in Family::ALL {
            if self.rib.count(Source::Peer(id), family).received > 0 {
                self.mark_stale(id, family);
                self.set_kept(id, family, Some(Kept::while_drained(self.now)));
            }
        }
    }

    /// What was kept while drained is to be confirmed now.
    fn expect_back(&mut self, id: PeerId) {
        let kept = self.peers.get(&id).map(|peer| peer.kept.clone()).unwrap_or_default();
        for (family, mut kept) in kept.into_iter().filter(|(_, kept)| kept.is_endless()) {
            kept.until = self.now + STALE_TIME;
            self.set_kept(id, family, Some(kept));
        }
    }

    fn enter(&mut self, stage: DrainStage, until: Instant) {
        if let Some(drain) = &mut self.leaving {
            (drain.stage, drain.until, drain.settled_at) = (stage, until, None);
            self.notice(Notice::Draining(stage));
        }
    }

    fn settle_until(&mut self, at: Instant) {
        if let Some(drain) = &mut self.leaving {
            drain.settled_at = Some(at);
        }
    }

    fn withdraw_all(&mut self, timed_out: bool) {
        self.cut_off_the_late();
        if let Some(drain) = &mut self.leaving {
            drain.timed_out = timed_out;
        }
        self.enter(DrainStage::Withdrawing, self.now + WITHDRAW_PATIENCE);
        self.tell_all_again();
    }

    fn close_all(&mut self) {
        self.cut_off_the_late();
        self.enter(DrainStage::Closing, self.now + BFD_OUTLIVES);
        let reason = self.leaving.as_ref().map(|drain| drain.terms.reason.clone()).unwrap_or_default();
        for id in self.ids() {
            self.stop_sessions(id, Reason::ADMINISTRATIVE_SHUTDOWN, &reason);
            if let Some(peer) = self.peers.get_mut(&id) {
                let cause = Cause::Sent(Reason::ADMINISTRATIVE_SHUTDOWN);
                peer.last_failure = Some(Failure::new(cause, format!("drained: {reason}")));
            }
        }
    }

    fn cut_off_the_late(&mut self) {
        let late = self.not_told();
        if let Some(drain) = &mut self.leaving {
            drain.cut_off.extend(late);
        }
    }

    fn tell_all_again(&mut self) {
        for id in self.ids() {
            self.walk_again(id);
        }
    }

    /// Established peers whose sockets have not taken all that they are to be told.
    fn not_told(&self) -> Vec<String> {
        let late = |peer: &&Peer| {
            let unsent = peer.first.connection.as_ref().is_some_and(|connection| connection.unsent > 0);
            let told = Family::ALL.into_iter().all(|family| self.has_told_all(peer.id, family));
            peer.established().is_some() && (unsent || !told)
        };
        self.peers.values().filter(late).map(|peer| self.peer_name(peer.id)).collect()
    }

    fn ids(&self) -> Vec<PeerId> {
        self.peers.keys().copied().collect()
    }
}
