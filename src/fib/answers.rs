//! What the kernel said to a batch of changes.

use super::draft::Flight;
use super::entries::{Held, Place};
use super::route::{BatchId, Refusal};
use super::table::{Fib, RETRY_FIRST, RETRY_MOST, Retry};
use crate::time::Instant;

impl Fib {
    /// Takes the kernel's answer to a batch: what it refused; it has made the rest.
    pub fn handle_answer(&mut self, now: Instant, batch: BatchId, refusals: Vec<Refusal>) {
        let Some(flights) = self.flights.remove(&batch) else { return };
        self.in_flight -= flights.len();
        self.failures += refusals.len() as u64;
        let mut refusals = refusals.into_iter().peekable();
        for (index, flight) in flights.into_iter().enumerate() {
            let refusal = refusals.next_if(|refusal| refusal.index == index);
            match flight {
                Flight::Route(place) => self.answer_route(now, place, refusal),
                Flight::Group(group) => self.answer_group(now, group, refusal),
                Flight::NoGroup(group) => self.answer_no_group(now, group, refusal.is_some()),
            }
        }
    }

    fn answer_route(&mut self, now: Instant, place: Place, refusal: Option<Refusal>) {
        let Some(entry) = self.entries.at_mut(place) else { return };
        let Some(asked) = entry.asked.take() else { return };
        let desired = entry.desired;
        let troubled = entry.troubled;
        let doubt = self.troubled.get_mut(&place).and_then(|trouble| trouble.doubt.take());
        let Some(refusal) = refusal else {
            // What was seen after the change was made is what somebody did to it since; what was seen
            // before costs a change that changes nothing.
            self.set_held(place, doubt.unwrap_or_else(|| asked.clone()));
            self.leave_group(&asked, desired);
            if troubled && let Some(trouble) = self.troubled.get_mut(&place) {
                self.refused -= usize::from(trouble.refusal.take().is_some());
                if trouble.meddled_at.is_none() {
                    trouble.attempts = 0;
                }
            }
            self.enqueue(place);
            return;
        };
        self.leave_group(&asked, desired);
        if let Some(held) = doubt {
            self.set_held(place, held);
        }
        let changed_its_mind = !self.is_wanted(place, &asked);
        let trouble = self.trouble(place);
        let refused_before = trouble.refusal.replace(refusal.reason).is_some();
        trouble.conflict = refusal.conflict;
        self.refused += usize::from(!refused_before);
        if changed_its_mind {
            self.enqueue(place);
        } else {
            self.pause(now, place);
        }
    }

    /// Whether what was asked for an entry is what it desires now.
    fn is_wanted(&self, place: Place, asked: &Held) -> bool {
        let Some(entry) = self.entries.at(place) else { return false };
        match (asked, entry.desired) {
            (Held::Nothing, desired) => desired == 0,
            (_, 0) => false,
            (Held::Inline(target), plan) => target == self.plans.target(plan),
            (Held::Group(group), plan) => self.plans.home(plan) == Some(*group),
        }
    }

    fn answer_group(&mut self, now: Instant, group: u32, refusal: Option<Refusal>) {
        let Some(row) = self.groups.at_mut(group) else { return };
        row.in_flight -= 1;
        let doubt = std::mem::take(&mut row.doubt);
        if let Some(refusal) = refusal {
            row.next = None;
            let Some(confirmed) = row.confirmed.clone().filter(|_| !doubt) else {
                // It does not exist. Its routes are refused, too: when they are tried again, in another.
                row.gone = true;
                self.list(group);
                self.enqueue_all(|entry| entry.held == Held::Group(group));
                return;
            };
            row.content = confirmed;
            row.refusal = Some(refusal.reason);
            self.pause_group(now, group);
            return;
        }
        row.attempts = 0;
        row.refusal = None;
        let awaited = std::mem::take(&mut row.awaited);
        if row.in_flight == 0 {
            row.confirmed = Some(row.content.clone());
        }
        if doubt {
            for place in self.entries.places(|entry| entry.held == Held::Group(group)) {
                self.set_held(place, Held::Nothing);
                self.enqueue(place);
            }
        } else if awaited {
            self.enqueue_all(|entry| entry.held == Held::Group(group));
        }
        let Some(row) = self.groups.at_mut(group) else { return };
        if let Some(next) = row.next.take().filter(|_| row.in_flight == 0 && !row.gone) {
            row.content = next;
            row.ask(group, &mut self.urgent);
        }
        self.list(group);
    }

    /// A group that the kernel would not remove is still there, and so are routes that refer to it, which
    /// count as gone with it and may have been forgotten. It keeps its number until they are gone, too.
    fn answer_no_group(&mut self, now: Instant, group: u32, refused: bool) {
        let Some(row) = self.groups.at_mut(group) else { return };
        row.in_flight -= 1;
        if refused {
            self.pause_group(now, group);
        } else if row.is_unused() {
            self.groups.remove(group);
        }
    }

    /// Lets a group wait before it is tried again.
    fn pause_group(&mut self, now: Instant, group: u32) {
        let Some(row) = self.groups.at_mut(group) else { return };
        row.attempts += 1;
        let at = now + pause(row.attempts);
        let before = row.retry_at.replace(at);
        self.schedule(Retry::Group(group), before, at);
    }

    /// Lets an entry wait before it is tried again.
    pub(super) fn pause(&mut self, now: Instant, place: Place) {
        let trouble = self.trouble(place);
        trouble.attempts += 1;
        let at = now + pause(trouble.attempts);
        let before = trouble.retry_at.replace(at);
        self.schedule(Retry::Entry(place), before, at);
    }

    fn schedule(&mut self, retry: Retry, before: Option<Instant>, at: Instant) {
        if let Some(before) = before {
            self.retries.remove(&(before, retry));
        }
        self.retries.insert((at, retry));
    }

    pub(super) fn trouble(&mut self, place: Place) -> &mut super::table::Trouble {
        if let Some(entry) = self.entries.at_mut(place) {
            entry.troubled = true;
        }
        self.troubled.entry(place).or_default()
    }
}

/// How long to wait after so many refusals in a row.
fn pause(attempts: u32) -> std::time::Duration {
    RETRY_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(RETRY_MOST)
}
