//! What the kernel was seen to hold: at start, after news were lost, and whenever somebody else has
//! changed what is ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::entries::{Held, Key, Place};
use super::groups::Content;
use super::route::{Found, Group, GroupId, Route};
use super::table::Fib;
use crate::prefix::Prefix;
use crate::time::Instant;

/// Changes of one route by somebody else that are put right at once, before we take it for a fight.
const MEDDLED_MOST: u32 = 20;
/// A change by somebody else this long after the last one has nothing to do with it.
const MEDDLED_APART: Duration = Duration::from_secs(30);

impl Fib {
    /// Takes over what the kernel holds of ours. At start nothing is desired yet: these routes keep
    /// forwarding until they are desired or [`Fib::sweep`] is called. Later on this is a resync: what
    /// the kernel lost or somebody changed is put right, what nobody desires is removed.
    pub fn handle_dump(&mut self, found: Found, keep_unknown: bool) {
        self.set_has_groups(found.groups.is_some());
        self.handle_groups(found.groups.as_deref().unwrap_or_default());
        let mut routes: BTreeMap<Key, Route> =
            found.routes.into_iter().map(|route| ((route.prefix, route.metric), route)).collect();
        for place in self.entries.places(|_| true) {
            let Some(key) = self.entries.at(place).map(|entry| entry.key) else { continue };
            let held = self.held_by(routes.remove(&key));
            // A dump may be older than what was put right since: it tells of no fight.
            self.see(None, place, held);
        }
        for (key, route) in routes {
            let held = self.held_by(Some(route));
            let place = self.entries.find_or_insert(key);
            self.set_held(place, held);
            if let Some(entry) = self.entries.at_mut(place) {
                entry.stale = keep_unknown;
            }
            self.enqueue(place);
        }
    }

    /// Takes what somebody else has made of one route of ours; `None` if he removed it.
    pub fn handle_change_seen(&mut self, now: Instant, prefix: Prefix, metric: u32, held: Option<Route>) {
        let held = self.held_by(held);
        match self.entries.find((prefix, metric)) {
            Some(place) => self.see(Some(now), place, held),
            None if held == Held::Nothing => {}
            None => {
                let place = self.entries.find_or_insert((prefix, metric));
                self.set_held(place, held);
                self.enqueue(place);
            }
        }
    }

    /// Takes all groups of ours that the kernel has. It drops members whose interface goes down, and a
    /// group with its last member, without a word.
    pub fn handle_groups(&mut self, found: &[Group]) {
        let mut found: BTreeMap<GroupId, &Group> = found.iter().map(|group| (group.id, group)).collect();
        let mut changed = BTreeSet::new();
        for group in self.groups.places() {
            let Some(row) = self.groups.at_mut(group) else { continue };
            let seen = found.remove(&row.id);
            let seen = seen.map(|g| Content { members: g.members.clone(), standby: g.standby.clone() });
            if row.gone || seen.as_ref() == Some(&row.content) {
                continue;
            }
            if row.in_flight > 0 {
                row.doubt |= seen.is_none();
                continue;
            }
            match seen {
                None => row.gone = true,
                Some(seen) => {
                    row.confirmed = Some(seen.clone());
                    row.content = seen;
                }
            }
            changed.insert(group);
        }
        self.review_groups(&changed);
        for group in found.into_values() {
            let group = self.groups.adopt(group);
            self.list(group);
        }
    }

    /// Forgets what the kernel holds, because routes now belong in another table or bear another
    /// protocol number: everything desired will be installed again, in groups of its own.
    pub fn forget_installed(&mut self) {
        for group in self.groups.places() {
            if let Some(row) = self.groups.at_mut(group) {
                row.gone = true;
            }
        }
        self.plans.forget_homes();
        for place in self.entries.places(|_| true) {
            self.set_held(place, Held::Nothing);
            if let Some(entry) = self.entries.at_mut(place) {
                entry.stale = false;
            }
            self.enqueue(place);
        }
    }

    /// Something was seen of an entry that we did not do.
    fn see(&mut self, meddled: Option<Instant>, place: Place, held: Held) {
        let Some(entry) = self.entries.at(place) else { return };
        if let Some(asked) = &entry.asked {
            let doubt = (*asked != held).then_some(held);
            if doubt.is_some() || entry.troubled {
                self.trouble(place).doubt = doubt;
            }
            return;
        }
        if entry.held == held {
            return;
        }
        let went_with_its_group =
            matches!(entry.held, Held::Group(group) if self.groups.live(group).is_none());
        self.set_held(place, held);
        if !went_with_its_group {
            self.repairs += 1;
            if let Some(now) = meddled {
                self.note_meddling(now, place);
            }
        }
        self.enqueue(place);
    }

    /// What is put right again and again is put right more and more slowly.
    fn note_meddling(&mut self, now: Instant, place: Place) {
        let trouble = self.trouble(place);
        let last = trouble.meddled_at.replace(now);
        if last.is_none_or(|last| now >= last + MEDDLED_APART) {
            (trouble.meddled, trouble.attempts) = (0, 0);
        }
        trouble.meddled += 1;
        if trouble.meddled > MEDDLED_MOST && trouble.retry_at.is_none() {
            self.pause(now, place);
        }
    }

    fn held_by(&self, route: Option<Route>) -> Held {
        let Some(route) = route else { return Held::Nothing };
        match route.group.and_then(|id| self.groups.find(id)) {
            Some(group) if self.groups.live(group).is_some() => Held::Group(group),
            _ => Held::Inline(Arc::new(route.target)),
        }
    }
}
