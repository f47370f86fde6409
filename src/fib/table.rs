//! The FIB's memory: for each prefix what is desired, what the kernel is known to hold, and what it
//! has been asked and has not answered yet.
//!
//! One change is in flight per prefix at most, so that the kernel never sees two changes to one prefix
//! overtake each other. A desire that changes meanwhile waits for the answer. A refused change is tried
//! again after a pause that doubles up to a limit; so is one that somebody keeps undoing.
//!
//! The node's own prefixes are announced once their aggregates stand. So those overtake whatever else
//! waits, and what has been handed out unanswered is bounded. Only changes to groups after a failure
//! overtake even that: see [`Fib::fail`].
//!
//! | file | part |
//! |---|---|
//! | `plan` | what a route is meant to do, now and after a failure |
//! | `entries` | one for each prefix and metric |
//! | `groups` | next hops that routes share |
//! | `draft` | a batch while it is made |
//! | `answers` | what the kernel said to a batch |
//! | `failover` | one change for all routes |
//! | `resync` | what the kernel was seen to hold |

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::draft::{Draft, Flight};
use super::entries::{Entries, Entry, Held, Place};
use super::groups::{Content, Groups, Rules};
use super::plan::{Outcome, Plan, PlanId, Plans};
use super::route::{Batch, BatchId, GroupId, Target};
use crate::prefix::Prefix;
use crate::time::Instant;

/// Metric of the unreachable aggregates. Worse than any connected route the kernel makes (IPv6 gives
/// them 256, router advertisements 1024): the aggregate must catch only what has no pod.
pub const AGGREGATE_METRIC: u32 = 65_535;
/// Changes that may be in flight before no more are handed out.
const IN_FLIGHT_MOST: usize = 2048;
/// Routes that may wait for their group to be set right as a whole, before they are moved one by one.
const WAITING_MOST: usize = 4096;
/// First pause before a refused change is tried again.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest such pause.
pub(super) const RETRY_MOST: Duration = Duration::from_secs(30);

/// Desired against installed routes.
#[derive(Debug, Default)]
pub struct Fib {
    pub(super) entries: Entries,
    pub(super) plans: Plans,
    pub(super) groups: Groups,
    /// Groups are wanted.
    wants_groups: bool,
    /// The kernel knows groups.
    has_groups: bool,
    pub(super) rules: Rules,
    /// Aggregates that wait to be worked off.
    first: VecDeque<Place>,
    /// All other entries that do.
    queue: VecDeque<Place>,
    /// Routes that their group is wrong for, and which wait for the table to settle.
    waiting: Vec<Place>,
    /// Groups to be looked at when the table has settled.
    listed: Vec<u32>,
    /// Changes to groups that cannot wait.
    pub(super) urgent: Draft,
    pub(super) troubled: BTreeMap<Place, Trouble>,
    /// What waits for another try.
    pub(super) retries: BTreeSet<(Instant, Retry)>,
    pub(super) flights: BTreeMap<BatchId, Vec<Flight>>,
    next_batch: u64,
    /// Changes in flight.
    pub(super) in_flight: usize,
    /// Entries whose last change was refused.
    pub(super) refused: usize,
    pub(super) failures: u64,
    /// Changes by others that were put right.
    pub(super) repairs: u64,
}

/// What is out of the ordinary with an entry.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The kernel's last refusal, until a change succeeds.
    pub(super) refusal: Option<String>,
    /// It was refused because somebody else's route stands there.
    pub(super) conflict: bool,
    /// Pauses in a row.
    pub(super) attempts: u32,
    /// When the next try is due; nothing is tried before.
    pub(super) retry_at: Option<Instant>,
    /// What was seen of the kernel while a change was in flight, if that was not what was asked for.
    /// Which of the two came first is not known.
    pub(super) doubt: Option<Held>,
    /// How often somebody else has changed it, in short order.
    pub(super) meddled: u32,
    /// When somebody else last changed it.
    pub(super) meddled_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Retry {
    Entry(Place),
    Group(u32),
}

/// An entry for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Destination.
    pub prefix: Prefix,
    /// The kernel's priority.
    pub metric: u32,
    /// What is desired; of a route kept from before the start, what it does; none where it is being
    /// removed.
    pub target: Option<Target>,
    /// The group that the kernel's route refers to.
    pub group: Option<GroupId>,
    /// How it stands.
    pub standing: Standing<'a>,
}

/// How an entry stands, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing<'a> {
    /// The kernel holds what is desired.
    Installed,
    /// Kept from before the start, not confirmed yet.
    Stale,
    /// A change is due or under way.
    Pending,
    /// The kernel refused the last change, for this reason.
    Failed(&'a str),
    /// Somebody else's route stands there, as this says.
    Conflict(&'a str),
}

impl Fib {
    /// Whether routes are to share groups of next hops, and whether these are to hold a backup that the
    /// kernel turns to by itself. Groups are used where the kernel knows them, too.
    pub fn configure(&mut self, wants_groups: bool, install_backup: bool) {
        if (self.wants_groups, self.rules.install_backup) != (wants_groups, install_backup) {
            (self.wants_groups, self.rules.install_backup) = (wants_groups, install_backup);
            self.enqueue_all(|_| true);
        }
    }

    pub(super) fn set_has_groups(&mut self, has_groups: bool) {
        if std::mem::replace(&mut self.has_groups, has_groups) != has_groups {
            self.enqueue_all(|_| true);
        }
    }

    /// Has all entries worked off that match.
    pub(super) fn enqueue_all(&mut self, matches: impl Fn(&Entry) -> bool) {
        self.entries.places(matches).into_iter().for_each(|place| self.enqueue(place));
    }

    /// Has groups, and all routes on them, looked at again. One walk serves any number of groups.
    pub(super) fn review_groups(&mut self, groups: &BTreeSet<u32>) {
        groups.iter().for_each(|group| self.list(*group));
        if !groups.is_empty() {
            self.enqueue_all(|entry| matches!(entry.held, Held::Group(group) if groups.contains(&group)));
        }
    }

    /// Sets what is to be done with packets for `prefix` under this metric; `None` for no route.
    pub fn desire(&mut self, prefix: Prefix, metric: u32, plan: Option<&Plan>) {
        let key = (prefix, metric);
        let place = match plan {
            Some(_) => self.entries.find_or_insert(key),
            None => match self.entries.find(key) {
                Some(place) => place,
                None => return,
            },
        };
        let Some(entry) = self.entries.at_mut(place) else { return };
        if entry.stale && plan.is_none() {
            return;
        }
        entry.stale = false;
        let before = entry.desired;
        let now = plan.map_or(0, |plan| self.plans.enter(plan));
        self.change_desire(place, now);
        if before != now
            && let Some(trouble) = self.troubled.get_mut(&place)
            && let Some(retry_at) = trouble.retry_at.take()
        {
            // A new desire deserves an immediate try, whatever became of the old one.
            trouble.attempts = 0;
            self.retries.remove(&(retry_at, Retry::Entry(place)));
        }
        self.enqueue(place);
    }

    /// Desires no route any more under this metric, for a metric that is no longer in use.
    pub fn desire_none_under(&mut self, metric: u32) {
        for place in self.entries.places(|entry| entry.key.1 == metric) {
            self.change_desire(place, 0);
            self.enqueue(place);
        }
    }

    /// Lets go of every route that was found at start and that nobody has come to desire.
    pub fn sweep(&mut self) {
        for place in self.entries.places(|entry| entry.stale) {
            if let Some(entry) = self.entries.at_mut(place) {
                entry.stale = false;
            }
            self.enqueue(place);
        }
    }

    /// Gives an entry another desired plan, which has been entered; the old one is left.
    fn change_desire(&mut self, place: Place, now: PlanId) {
        let Some(entry) = self.entries.at_mut(place) else { return };
        let before = std::mem::replace(&mut entry.desired, now);
        if before != now {
            let (held, asked) = (entry.held.clone(), entry.asked.clone());
            for on in [Some(held), asked].into_iter().flatten() {
                self.enter_group(&on, now);
                self.leave_group(&on, before);
            }
        }
        if before != 0 {
            self.plans.leave(before);
        }
    }

    /// Sets what the kernel is known to hold for an entry.
    pub(super) fn set_held(&mut self, place: Place, held: Held) {
        let Some(entry) = self.entries.at_mut(place) else { return };
        let plan = entry.desired;
        let before = std::mem::replace(&mut entry.held, held.clone());
        self.enter_group(&held, plan);
        self.leave_group(&before, plan);
    }

    pub(super) fn enter_group(&mut self, held: &Held, plan: PlanId) {
        if let Held::Group(group) = held
            && let Some(row) = self.groups.at_mut(*group)
        {
            row.enter(plan);
        }
    }

    pub(super) fn leave_group(&mut self, held: &Held, plan: PlanId) {
        if let Held::Group(group) = held
            && let Some(row) = self.groups.at_mut(*group)
        {
            row.leave(plan);
            if row.is_unused() {
                self.list(*group);
            }
        }
    }

    /// Has an entry worked off.
    pub(super) fn enqueue(&mut self, place: Place) {
        if let Some(entry) = self.entries.at_mut(place)
            && !std::mem::replace(&mut entry.queued, true)
        {
            let queue = if entry.key.1 == AGGREGATE_METRIC { &mut self.first } else { &mut self.queue };
            queue.push_back(place);
        }
    }

    /// Has a group looked at when the table has settled.
    pub(super) fn list(&mut self, group: u32) {
        if let Some(row) = self.groups.at_mut(group)
            && !std::mem::replace(&mut row.listed, true)
        {
            self.listed.push(group);
        }
    }

    /// Takes a batch of up to about `limit` changes to be made; none are handed out while many have not
    /// been answered. Each must be answered by [`Fib::handle_answer`]. `settled` says that nobody is about to
    /// desire anything else: until then, routes whose group is wrong for them wait, for it may turn out
    /// to be wrong for all of them and be changed as one.
    pub fn poll_batch(&mut self, limit: usize, settled: bool) -> Option<Batch> {
        if let Some(batch) = self.poll_urgent() {
            return Some(batch);
        }
        let mut draft = Draft::default();
        let limit = limit.min(IN_FLIGHT_MOST.saturating_sub(self.in_flight));
        while draft.len() < limit {
            if let Some(place) = self.first.pop_front().or_else(|| self.queue.pop_front()) {
                self.work_off(place, &mut draft);
            } else if settled && !(self.listed.is_empty() && self.waiting.is_empty()) {
                self.settle_groups(&mut draft);
            } else {
                break;
            }
        }
        if self.waiting.len() >= WAITING_MOST {
            self.settle_groups(&mut draft);
        }
        self.hand_out(draft, false)
    }

    /// Changes that cannot wait, whatever else is in flight.
    pub fn poll_urgent(&mut self) -> Option<Batch> {
        let urgent = std::mem::take(&mut self.urgent);
        self.hand_out(urgent, true)
    }

    fn hand_out(&mut self, draft: Draft, urgent: bool) -> Option<Batch> {
        if draft.len() == 0 {
            return None;
        }
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        let (changes, flights) = draft.finish();
        self.in_flight += flights.len();
        self.flights.insert(id, flights);
        Some(Batch { id, urgent, changes })
    }

    /// Compares what is desired for an entry with what the kernel holds, and drafts the change between.
    fn work_off(&mut self, place: Place, draft: &mut Draft) {
        let Some(entry) = self.entries.at_mut(place) else { return };
        entry.queued = false;
        let moves = std::mem::take(&mut entry.moves);
        let waits = entry.troubled && self.troubled.get(&place).is_some_and(|t| t.retry_at.is_some());
        if entry.asked.is_some() || entry.stale || waits {
            return;
        }
        if let Held::Group(group) = entry.held
            && self.groups.live(group).is_none()
        {
            // It went with its group.
            self.set_held(place, Held::Nothing);
        }
        let Some(entry) = self.entries.at(place) else { return };
        let desired = entry.desired;
        if desired == 0 {
            match entry.held {
                Held::Nothing => self.forget(place),
                _ => self.ask(place, Held::Nothing, draft),
            }
            return;
        }
        if self.is_cut_off(desired) {
            // Its interface is gone, and whoever desired it will know in a moment.
            return;
        }
        let Some(content) = self.content_of(desired) else {
            let target = self.plans.target(desired).clone();
            match &entry.held {
                Held::Inline(held) if *held == target => self.calm(place),
                _ => self.ask(place, Held::Inline(target), draft),
            }
            return;
        };
        if let Held::Group(group) = entry.held
            && let Some(row) = self.groups.at(group)
        {
            if row.content == content {
                if self.plans.home(desired).is_none_or(|home| self.groups.live(home).is_none()) {
                    self.plans.set_home(desired, group);
                }
                self.calm(place);
                return;
            }
            if !moves {
                self.list(group);
                self.waiting.push(place);
                return;
            }
        }
        let home = self.home(desired, content, draft);
        self.ask(place, Held::Group(home), draft);
    }

    /// What a group for a plan would hold; none if its routes are to have next hops of their own.
    fn content_of(&self, plan: PlanId) -> Option<Content> {
        let wanted = self.wants_groups && self.has_groups;
        let usable = wanted && (self.groups.has_room() || self.plans.home(plan).is_some());
        let ways = self.plans.ways(plan).filter(|_| usable)?;
        Some(Content::of(ways, &self.rules))
    }

    /// Whether all ways of a plan are known to lead nowhere.
    fn is_cut_off(&self, plan: PlanId) -> bool {
        let rules = &self.rules;
        !rules.dead.is_empty()
            && self.plans.ways(plan).is_some_and(|ways| !matches!(ways.after(&rules.dead), Outcome::Left(_)))
    }

    /// The group for new routes of a plan, made if there is none.
    fn home(&mut self, plan: PlanId, content: Content, draft: &mut Draft) -> u32 {
        if let Some(home) = self.plans.home(plan)
            && self.groups.live(home).is_some_and(|row| row.content == content)
        {
            return home;
        }
        let home = self.groups.make(content);
        self.plans.set_home(plan, home);
        if let Some(row) = self.groups.at_mut(home) {
            row.ask(home, draft);
        }
        home
    }

    fn ask(&mut self, place: Place, want: Held, draft: &mut Draft) {
        let Some(entry) = self.entries.at_mut(place) else { return };
        entry.asked = Some(want.clone());
        let plan = entry.desired;
        self.enter_group(&want, plan);
        if let Some(entry) = self.entries.at(place) {
            draft.route(place, entry, &want, &self.groups);
        }
    }

    /// The kernel holds what is desired.
    fn calm(&mut self, place: Place) {
        if let Some(entry) = self.entries.at(place)
            && entry.troubled
            && let Some(trouble) = self.troubled.get_mut(&place)
        {
            // A desire that was refused may have been given up, or the kernel holds it by now.
            self.refused -= usize::from(trouble.refusal.take().is_some());
        }
    }

    fn forget(&mut self, place: Place) {
        self.calm(place);
        self.troubled.remove(&place);
        self.entries.remove(place);
    }

    /// Sets groups right for the routes on them, where these agree; elsewhere the routes must move. Groups
    /// without routes go.
    fn settle_groups(&mut self, draft: &mut Draft) {
        for group in std::mem::take(&mut self.listed) {
            let agreed = self.groups.at(group).and_then(|row| row.agreed(&self.plans, &self.rules));
            let Some(row) = self.groups.at_mut(group) else { continue };
            row.listed = false;
            if row.in_flight > 0 || row.retry_at.is_some() {
                // Its answer, or the end of the pause, lists it again.
                continue;
            }
            if row.is_unused() {
                draft.remove_group(group, row);
            } else if let Some(content) = agreed.filter(|content| !row.gone && *content != row.content) {
                row.content = content;
                row.ask(group, draft);
            }
        }
        for place in std::mem::take(&mut self.waiting) {
            let Some(entry) = self.entries.at_mut(place) else { continue };
            let Held::Group(group) = entry.held else { continue };
            match self.groups.at_mut(group) {
                // Then all its routes are looked at again.
                Some(row) if row.in_flight > 0 || row.retry_at.is_some() => row.awaited = true,
                _ => {
                    entry.moves = true;
                    self.enqueue(place);
                }
            }
        }
    }

    /// Lets changes be tried again whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, retry)) = self.retries.first().copied() {
            if at > now {
                return;
            }
            self.retries.pop_first();
            match retry {
                Retry::Entry(place) => {
                    if let Some(trouble) = self.troubled.get_mut(&place) {
                        trouble.retry_at = None;
                    }
                    self.enqueue(place);
                }
                Retry::Group(group) => {
                    if let Some(row) = self.groups.at_mut(group) {
                        row.retry_at = None;
                    }
                    self.list(group);
                    self.enqueue_all(|entry| entry.held == Held::Group(group));
                }
            }
        }
    }

    /// When [`Fib::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    /// Whether the kernel is known to hold this very route.
    pub fn is_installed(&self, prefix: Prefix, metric: u32, target: &Target) -> bool {
        let entry = self.entries.find((prefix, metric)).and_then(|place| self.entries.at(place));
        entry.and_then(|entry| self.target_of(&entry.held)).is_some_and(|held| held == *target)
    }

    /// What packets meet in the kernel, as far as is known.
    pub(super) fn target_of(&self, held: &Held) -> Option<Target> {
        match held {
            Held::Nothing => None,
            Held::Inline(target) => Some((**target).clone()),
            Held::Group(group) => Some(Target::Via(self.groups.live(*group)?.content.members.clone())),
        }
    }

    /// Whether kernel and desire agree everywhere and nothing is under way.
    pub fn is_in_step(&self) -> bool {
        let nothing_waits = self.first.is_empty() && self.queue.is_empty() && self.waiting.is_empty();
        nothing_waits && self.in_flight == 0 && self.refused == 0 && self.retries.is_empty()
    }

    /// Whether there is anything that the kernel has refused and that is to be tried again.
    pub fn waits_to_retry(&self) -> bool {
        !self.retries.is_empty()
    }

    /// Every entry, by prefix and metric.
    pub fn entries(&self) -> Vec<Listed<'_>> {
        let mut listed: Vec<Listed<'_>> =
            self.entries.iter().map(|(place, e)| self.listed(place, e)).collect();
        listed.sort_unstable_by_key(|listed| (listed.prefix, listed.metric));
        listed
    }

    /// How every entry stands, in no order.
    pub fn standings(&self) -> impl Iterator<Item = Standing<'_>> {
        self.entries.iter().map(|(place, entry)| self.standing(place, entry))
    }

    fn listed(&self, place: Place, entry: &Entry) -> Listed<'_> {
        let (prefix, metric) = entry.key;
        let target = self.desired_target(entry).map(Cow::into_owned);
        let group = match entry.held {
            Held::Group(group) => self.groups.live(group).map(|row| row.id),
            _ => None,
        };
        Listed { prefix, metric, target, group, standing: self.standing(place, entry) }
    }

    fn standing(&self, place: Place, entry: &Entry) -> Standing<'_> {
        if entry.troubled
            && let Some(trouble) = self.troubled.get(&place)
            && let Some(reason) = &trouble.refusal
        {
            return if trouble.conflict { Standing::Conflict(reason) } else { Standing::Failed(reason) };
        }
        if entry.stale {
            return Standing::Stale;
        }
        let agree = match (entry.desired, &entry.held) {
            (0, held) => *held == Held::Nothing,
            (plan, Held::Group(group)) => self.groups.live(*group).is_some_and(|row| {
                let ways = self.plans.ways(plan);
                ways.is_some_and(|ways| Content::of(ways, &self.rules) == row.content)
            }),
            (plan, Held::Inline(target)) => target == self.plans.target(plan),
            (_, Held::Nothing) => false,
        };
        if let Held::Group(group) = entry.held
            && let Some(row) = self.groups.live(group)
            && let Some(reason) = row.refusal.as_ref().filter(|_| !agree || row.in_flight > 0)
        {
            return Standing::Failed(reason);
        }
        if entry.asked.is_none() && agree { Standing::Installed } else { Standing::Pending }
    }

    /// Changes the kernel has refused since the start.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Changes made by others that were found, and put right, since the start.
    pub fn repairs(&self) -> u64 {
        self.repairs
    }
}
