//! What the objects say of leaving: service addresses that leave by themselves, and the drain that they ask
//! for.
//!
//! A service address is announced by several nodes, so one of them can let go of it while its pods run on.
//! It is announced again with GRACEFUL_SHUTDOWN, and with LOCAL_PREF 0 to internal peers; after the time that
//! peers commonly take to move it is withdrawn (RFC 8326 §4). One that no other node announces, of those that
//! stay, is held on to in the first of these states: to whoever knows no other way that makes no difference,
//! and whoever finds one prefers it at once.
//!
//! A drain that the objects ask for and one that a person asks for by hand are the same drain; it ends when
//! neither asks any more. So taking back the one by hand does not undo what the Node says, and the other way
//! round.

use std::collections::BTreeMap;
use std::time::Duration;

use super::drain::{Asker, DrainTerms};
use super::{Notice, Speaker};
use crate::prefix::Prefix;
use crate::time::Instant;

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

/// What becomes of the service addresses of a node that leaves: peers are asked to prefer those of other
/// nodes, and a while later they are withdrawn.
#[derive(Debug, Default)]
pub(super) struct Leave {
    /// Those that peers have been asked about, and when each is withdrawn: `None` while no other node has it.
    asked: BTreeMap<Prefix, Option<Instant>>,
}

/// How one of the node's service addresses stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// It is announced as ever.
    Stays,
    /// It is announced, but others' are to be preferred.
    Asked,
    /// It is announced no more.
    Gone,
}

/// The leaving of service addresses as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetreatView {
    /// Why they leave.
    pub why: String,
    /// Of so many, peers have been asked to prefer others'.
    pub asked: u64,
    /// So many are withdrawn.
    pub withdrawn: u64,
    /// These are held on to, because no other node announces them that stays.
    pub held: Vec<Prefix>,
}

impl Leave {
    /// When the next is withdrawn.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.asked.values().filter_map(|at| *at).min()
    }

    fn held(&self) -> impl Iterator<Item = Prefix> {
        self.asked.iter().filter(|(_, at)| at.is_none()).map(|(prefix, _)| *prefix)
    }
}

impl Speaker {
    /// Begins or ends what the objects ask for.
    pub(super) fn follow_retreat(&mut self) {
        self.let_go_of_services();
        let asked = self.intent.as_ref().and_then(|intent| intent.retreat.as_ref());
        let terms = asked.filter(|retreat| retreat.extent == Extent::Everything).map(Retreat::terms);
        match terms {
            Some(terms) => drop(self.begin_drain(terms, Asker::Objects)),
            None => drop(self.end_drain(Asker::Objects)),
        }
    }

    /// How a service address stands.
    pub(super) fn stand(&self, prefix: Prefix) -> Stand {
        let leaves = self.intent.as_ref().is_some_and(|intent| intent.retreat.is_some());
        match self.retreat.asked.contains_key(&prefix) {
            _ if !leaves => Stand::Stays,
            true => Stand::Asked,
            // Of one that was not announced when the node began to leave, nobody is told at all.
            false => Stand::Gone,
        }
    }

    /// Service addresses that are announced here and, of the nodes that stay, nowhere else.
    pub(super) fn last_announced(&self) -> Vec<Prefix> {
        let last = self.intent.iter().flat_map(|intent| &intent.last_announced);
        last.copied().filter(|prefix| self.anycast.announces(*prefix)).collect()
    }

    /// Withdraws the service addresses that have been let go of for long enough; `false` if there are none.
    pub(super) fn advance_retreat(&mut self) -> bool {
        let due = |(_, at): &(&Prefix, &Option<Instant>)| at.is_some_and(|at| at <= self.now);
        let gone: Vec<Prefix> = self.retreat.asked.iter().filter(due).map(|(prefix, _)| *prefix).collect();
        if gone.is_empty() {
            return false;
        }
        self.retreat.asked.retain(|_, at| at.is_none_or(|at| at > self.now));
        self.notice(Notice::LetGoOfServices(gone.len()));
        self.originate_anycast(gone);
        true
    }

    /// How far service addresses have left; `None` for a node that stays.
    pub fn retreat_view(&self) -> Option<RetreatView> {
        let intent = self.intent.as_ref()?;
        let retreat = intent.retreat.as_ref()?;
        let held: Vec<Prefix> = self.retreat.held().collect();
        let asked = self.retreat.asked.len() - held.len();
        let withdrawn = intent.originated.len().saturating_sub(self.retreat.asked.len());
        let (asked, withdrawn) = (asked as u64, withdrawn as u64);
        Some(RetreatView { why: retreat.why.clone(), asked, withdrawn, held })
    }

    /// Begins to let go of service addresses, or has them stay, as the objects say by now.
    fn let_go_of_services(&mut self) {
        let Some(intent) = &self.intent else { return };
        if intent.retreat.is_none() {
            self.retreat = Leave::default();
            // Not looked at one by one where nothing has been let go of: there may be thousands.
            if std::mem::take(&mut self.retreating) {
                self.originate_all_anycast();
            }
            return;
        }
        let mut changed = vec![];
        let mut held = vec![];
        let soon = self.now + DrainTerms::SETTLE;
        self.retreat.asked.retain(|prefix, _| intent.originated.contains_key(prefix));
        for prefix in intent.originated.keys() {
            let last = intent.last_announced.contains(prefix);
            match (self.retreat.asked.get_mut(prefix), last) {
                (Some(at), true) => {
                    held.extend(at.take().map(|_| *prefix));
                }
                // Another node has it now: peers have their time to find that.
                (Some(at), false) => drop(at.get_or_insert(soon)),
                (None, true) => {
                    self.retreat.asked.insert(*prefix, None);
                    changed.push(*prefix);
                    held.push(*prefix);
                }
                (None, false) if self.anycast.announces(*prefix) => {
                    self.retreat.asked.insert(*prefix, Some(soon));
                    changed.push(*prefix);
                }
                (None, false) => {}
            }
        }
        if !std::mem::replace(&mut self.retreating, true) {
            let why = intent.retreat.as_ref().map(|retreat| retreat.why.clone()).unwrap_or_default();
            self.notice(Notice::Retreating(why, changed.len()));
        }
        if !held.is_empty() {
            self.notice(Notice::Holding(held));
        }
        self.originate_anycast(changed);
    }
}
