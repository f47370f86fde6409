//! The FIB's memory: for each prefix what is desired, what the kernel is known to hold, and what it
//! has been asked and has not answered yet.
//!
//! One change is in flight per prefix at most, so that answers need no sequence numbers and the
//! kernel never sees two changes to one prefix overtake each other. A desire that changes meanwhile
//! waits for the answer. A refused change is tried again after a pause that doubles up to a limit.
//!
//! The node's own prefixes are announced once their aggregates stand. So those overtake whatever else
//! waits, and what has been handed out unanswered is bounded, for nothing can overtake that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::route::{Change, Route, Target};
use crate::prefix::Prefix;
use crate::time::Instant;

/// Metric of the unreachable aggregates. Worse than any connected route the kernel makes (IPv6 gives
/// them 256, router advertisements 1024): the aggregate must catch only what has no pod.
pub const AGGREGATE_METRIC: u32 = 65_535;
/// Changes that may be in flight before no more are handed out.
const IN_FLIGHT_MOST: usize = 2048;
/// First pause before a refused change is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest such pause.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// A kernel route's identity: the kernel holds one of ours per prefix and metric.
type Key = (Prefix, u32);

/// An entry's place among those to be worked off: aggregates stand first.
fn due((prefix, metric): Key) -> (bool, Key) {
    (metric != AGGREGATE_METRIC, (prefix, metric))
}

/// Desired against installed routes.
#[derive(Debug, Default)]
pub struct Fib {
    entries: BTreeMap<Key, Entry>,
    /// Entries whose desired and installed state may differ and that wait for nothing, as they are due.
    dirty: BTreeSet<(bool, Key)>,
    /// Entries that wait for another try.
    retries: BTreeSet<(Instant, Key)>,
    /// Entries with a change in flight.
    in_flight: usize,
    /// Entries whose last change was refused.
    refused: usize,
    failures: u64,
}

#[derive(Debug, Default)]
struct Entry {
    desired: Option<Target>,
    installed: Option<Target>,
    /// Found in the kernel at start and not desired by anyone yet: kept until [`Fib::sweep`].
    stale: bool,
    in_flight: Option<Option<Target>>,
    /// What a dump has shown while a change was in flight, if that was not what was asked for. Whether
    /// the dump or the change came first is not known.
    doubt: Option<Option<Target>>,
    /// The kernel's last refusal, until a change succeeds.
    refusal: Option<String>,
    /// Refusals in a row.
    attempts: u32,
    /// When the next try is due; nothing is tried before.
    retry_at: Option<Instant>,
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
}

impl Fib {
    /// Takes over what the kernel holds of ours. At start nothing is desired yet: these routes keep
    /// forwarding until they are desired or [`Fib::sweep`] is called. Later on this is a resync: what
    /// the kernel lost or somebody changed is put right, what nobody desires is removed.
    pub fn handle_dump(&mut self, routes: impl IntoIterator<Item = Route>, keep_unknown: bool) {
        let mut found: BTreeMap<Key, Target> =
            routes.into_iter().map(|r| ((r.prefix, r.metric), r.target)).collect();
        for (key, entry) in &mut self.entries {
            let held = found.remove(key);
            match &entry.in_flight {
                Some(asked) => entry.doubt = (*asked != held).then_some(held),
                None if entry.installed != held => {
                    entry.installed = held;
                    self.dirty.insert(due(*key));
                }
                None => {}
            }
        }
        for (key, target) in found {
            let entry = Entry { installed: Some(target), stale: keep_unknown, ..Entry::default() };
            self.entries.insert(key, entry);
            self.dirty.insert(due(key));
        }
    }

    /// Sets where packets for `prefix` should go under this metric; `None` for no route.
    pub fn desire(&mut self, prefix: Prefix, metric: u32, target: Option<Target>) {
        let key = (prefix, metric);
        if target.is_none() && !self.entries.contains_key(&key) {
            return;
        }
        let entry = self.entries.entry(key).or_default();
        if entry.stale && target.is_none() {
            return;
        }
        entry.stale = false;
        if entry.desired != target {
            entry.desired = target;
            // A new desire deserves an immediate try, whatever became of the old one.
            entry.attempts = 0;
            if let Some(retry_at) = entry.retry_at.take() {
                self.retries.remove(&(retry_at, key));
            }
        }
        self.dirty.insert(due(key));
    }

    /// Desires no route any more under this metric, for a metric that is no longer in use.
    pub fn desire_none_under(&mut self, metric: u32) {
        for (key, entry) in self.entries.iter_mut().filter(|((_, m), _)| *m == metric) {
            entry.desired = None;
            self.dirty.insert(due(*key));
        }
    }

    /// Lets go of every route that was found at start and that nobody has come to desire.
    pub fn sweep(&mut self) {
        for (key, entry) in self.entries.iter_mut().filter(|(_, e)| e.stale) {
            entry.stale = false;
            self.dirty.insert(due(*key));
        }
    }

    /// Forgets what the kernel holds, because routes now belong in another table or bear another
    /// protocol number: everything desired will be installed again.
    pub fn forget_installed(&mut self) {
        for (key, entry) in &mut self.entries {
            entry.installed = None;
            entry.stale = false;
            self.dirty.insert(due(*key));
        }
    }

    /// Takes up to `limit` changes to be made. Installs come before removals, so that a prefix that
    /// moves to another metric is never without a route. Each must be answered by
    /// [`Fib::handle_result`]; none are handed out while many have not been.
    pub fn poll_changes(&mut self, limit: usize) -> Vec<Change> {
        let (mut installs, mut removals) = (vec![], vec![]);
        let limit = limit.min(IN_FLIGHT_MOST.saturating_sub(self.in_flight));
        while installs.len() + removals.len() < limit {
            let Some((_, key)) = self.dirty.pop_first() else { break };
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if entry.in_flight.is_some() || entry.retry_at.is_some() || entry.stale {
                continue;
            }
            if entry.desired == entry.installed {
                // A desire that was refused may have been given up, or the kernel holds it by now.
                self.refused -= usize::from(entry.refusal.take().is_some());
                if entry.desired.is_none() {
                    self.entries.remove(&key);
                }
                continue;
            }
            entry.in_flight = Some(entry.desired.clone());
            self.in_flight += 1;
            let (prefix, metric) = key;
            match entry.desired.clone() {
                Some(target) => installs.push(Change::Install(Route { prefix, target, metric, group: None })),
                None => removals.push(Change::Remove { prefix, metric }),
            }
        }
        installs.append(&mut removals);
        installs
    }

    /// Takes the kernel's answer to a change.
    pub fn handle_result(&mut self, now: Instant, change: &Change, result: Result<(), String>) {
        let key = match change {
            Change::Install(route) | Change::Replace(route) => (route.prefix, route.metric),
            Change::Remove { prefix, metric } => (*prefix, *metric),
            Change::SetGroup(_) | Change::RemoveGroup(_) => return,
        };
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let Some(asked) = entry.in_flight.take() else { return };
        let doubt = entry.doubt.take();
        self.in_flight -= 1;
        self.refused -= usize::from(entry.refusal.is_some());
        match result {
            Ok(()) => {
                // A dump that was taken after the change was made has shown what somebody did to it
                // since; one taken before costs a change that changes nothing.
                entry.installed = doubt.unwrap_or(asked);
                entry.refusal = None;
                entry.attempts = 0;
                self.dirty.insert(due(key));
            }
            Err(reason) => {
                if let Some(held) = doubt {
                    entry.installed = held;
                }
                self.failures += 1;
                self.refused += 1;
                entry.refusal = Some(reason);
                if entry.desired != asked {
                    self.dirty.insert(due(key));
                    return;
                }
                let pause = RETRY_FIRST.saturating_mul(1 << entry.attempts.min(16)).min(RETRY_MOST);
                entry.attempts += 1;
                entry.retry_at = Some(now + pause);
                self.retries.insert((now + pause, key));
            }
        }
    }

    /// Lets refused changes be tried again whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, key)) = self.retries.first().copied() {
            if at > now {
                return;
            }
            self.retries.pop_first();
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.retry_at = None;
                self.dirty.insert(due(key));
            }
        }
    }

    /// When [`Fib::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    /// Whether the kernel is known to hold this very route.
    pub fn is_installed(&self, prefix: Prefix, metric: u32, target: &Target) -> bool {
        self.entries.get(&(prefix, metric)).is_some_and(|e| e.installed.as_ref() == Some(target))
    }

    /// Whether kernel and desire agree everywhere and nothing is under way.
    pub fn is_in_step(&self) -> bool {
        self.dirty.is_empty() && self.in_flight == 0 && self.refused == 0
    }

    /// Every entry: prefix, metric, desired target and standing.
    pub fn entries(&self) -> impl Iterator<Item = (Prefix, u32, Option<&Target>, Standing<'_>)> {
        self.entries.iter().map(|((prefix, metric), entry)| {
            let standing = match &entry.refusal {
                Some(reason) => Standing::Failed(reason),
                None if entry.stale => Standing::Stale,
                None if entry.in_flight.is_none() && entry.desired == entry.installed => Standing::Installed,
                None => Standing::Pending,
            };
            let target = if entry.stale { entry.installed.as_ref() } else { entry.desired.as_ref() };
            (*prefix, *metric, target, standing)
        })
    }

    /// Changes the kernel has refused since the start.
    pub fn failures(&self) -> u64 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fib::NextHop;

    const METRIC: u32 = 20;

    fn via(text: &str) -> Target {
        Target::Via(vec![NextHop { via: text.parse().unwrap(), interface: None, weight: 1 }])
    }

    fn prefix() -> Prefix {
        "10.244.2.0/24".parse().unwrap()
    }

    fn route(target: Target) -> Route {
        Route { prefix: prefix(), target, metric: METRIC, group: None }
    }

    /// Polls the one change that is due and answers it.
    fn answer(fib: &mut Fib, now: Instant, result: Result<(), &str>) -> Change {
        let mut changes = fib.poll_changes(10);
        assert_eq!(changes.len(), 1, "{changes:?}");
        fib.handle_result(now, &changes[0], result.map_err(str::to_owned));
        changes.remove(0)
    }

    #[test]
    fn a_desire_becomes_a_route_and_its_end_a_removal() {
        let mut fib = Fib::default();
        fib.desire(prefix(), METRIC, Some(via("192.168.1.12")));
        assert!(!fib.is_in_step());
        assert_eq!(answer(&mut fib, Instant::ORIGIN, Ok(())), Change::Install(route(via("192.168.1.12"))));
        assert!(fib.is_installed(prefix(), METRIC, &via("192.168.1.12")));
        assert_eq!(fib.poll_changes(10), []);
        fib.desire(prefix(), METRIC, None);
        let removal = Change::Remove { prefix: prefix(), metric: METRIC };
        assert_eq!(answer(&mut fib, Instant::ORIGIN, Ok(())), removal);
        assert_eq!(fib.poll_changes(10), []);
        assert!(fib.is_in_step() && fib.entries().next().is_none());
    }

    #[test]
    fn a_change_of_mind_waits_for_the_answer_under_way() {
        let mut fib = Fib::default();
        fib.desire(prefix(), METRIC, Some(via("192.168.1.12")));
        let first = fib.poll_changes(10);
        fib.desire(prefix(), METRIC, Some(via("192.168.1.13")));
        assert_eq!(fib.poll_changes(10), [], "one change in flight per prefix");
        fib.handle_result(Instant::ORIGIN, &first[0], Ok(()));
        assert_eq!(answer(&mut fib, Instant::ORIGIN, Ok(())), Change::Install(route(via("192.168.1.13"))));
    }

    #[test]
    fn a_refusal_is_shown_and_tried_again_with_growing_pauses() {
        let mut fib = Fib::default();
        let mut now = Instant::ORIGIN;
        fib.desire(prefix(), METRIC, Some(via("192.168.1.12")));
        let mut pauses = vec![];
        for _ in 0..12 {
            answer(&mut fib, now, Err("network is unreachable"));
            assert_eq!(fib.poll_changes(10), []);
            let retry_at = fib.poll_timeout().unwrap();
            pauses.push((retry_at - now).as_millis());
            now = retry_at;
            fib.handle_timeout(now);
        }
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[10..], [30_000, 30_000]);
        assert_eq!(fib.entries().next().unwrap().3, Standing::Failed("network is unreachable"));
        answer(&mut fib, now, Ok(()));
        assert_eq!(fib.entries().next().unwrap().3, Standing::Installed);
        assert_eq!((fib.failures(), fib.poll_timeout()), (12, None));
    }

    #[test]
    fn a_new_desire_does_not_wait_for_the_pause_of_an_old_one() {
        let mut fib = Fib::default();
        fib.desire(prefix(), METRIC, Some(via("192.168.1.12")));
        answer(&mut fib, Instant::ORIGIN, Err("no"));
        fib.desire(prefix(), METRIC, Some(via("192.168.1.13")));
        assert_eq!(answer(&mut fib, Instant::ORIGIN, Ok(())), Change::Install(route(via("192.168.1.13"))));
        assert_eq!(fib.poll_timeout(), None);
    }

    #[test]
    fn adopted_routes_stay_until_swept_and_a_matching_desire_costs_nothing() {
        let mut fib = Fib::default();
        let other = Route { prefix: "10.244.3.0/24".parse().unwrap(), ..route(via("192.168.1.13")) };
        fib.handle_dump([route(via("192.168.1.12")), other.clone()], true);
        fib.desire(prefix(), METRIC, Some(via("192.168.1.12")));
        assert_eq!(fib.poll_changes(10), []);
        fib.sweep();
        let removal = Change::Remove { prefix: other.prefix, metric: METRIC };
        assert_eq!(answer(&mut fib, Instant::ORIGIN, Ok(())), removal);
        assert!(fib.is_installed(prefix(), METRIC, &via("192.168.1.12")));
    }

    #[test]
    fn a_resync_restores_what_was_lost_and_removes_what_is_unknown() {
        let mut fib = Fib::default();
        fib.desire(prefix(), METRIC, Some(via("192.168.1.12")));
        answer(&mut fib, Instant::ORIGIN, Ok(()));
        let unknown = Route { prefix: "10.9.0.0/16".parse().unwrap(), ..route(Target::Unreachable) };
        fib.handle_dump([unknown], false);
        assert_eq!(
            fib.poll_changes(10),
            [
                Change::Install(route(via("192.168.1.12"))),
                Change::Remove { prefix: "10.9.0.0/16".parse().unwrap(), metric: METRIC }
            ]
        );
    }

    #[test]
    fn a_route_that_somebody_removes_before_its_answer_is_heard_comes_back() {
        let mut fib = Fib::default();
        let install = Change::Install(route(via("192.168.1.12")));
        fib.desire(prefix(), METRIC, Some(via("192.168.1.12")));
        let asked = fib.poll_changes(10);
        fib.handle_dump([], false);
        fib.handle_result(Instant::ORIGIN, &asked[0], Ok(()));
        assert_eq!(fib.poll_changes(10), [install], "the dump may be older than the change, or not");
        fib.handle_dump([route(via("192.168.1.12"))], false);
        fib.handle_result(Instant::ORIGIN, &asked[0], Ok(()));
        assert_eq!(fib.poll_changes(10), []);
        fib.desire(prefix(), METRIC, Some(via("192.168.1.13")));
        let asked = fib.poll_changes(10);
        fib.handle_dump([], false);
        fib.handle_result(Instant::ORIGIN, &asked[0], Err("no".to_owned()));
        fib.desire(prefix(), METRIC, Some(via("192.168.1.12")));
        assert_eq!(answer(&mut fib, Instant::ORIGIN, Ok(())), Change::Install(route(via("192.168.1.12"))));
    }

    #[test]
    fn an_aggregate_overtakes_what_waits_and_little_is_in_flight() {
        let mut fib = Fib::default();
        for i in 0..10_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(0x0900_0000 + i);
            fib.desire(Prefix::host(address.into()), METRIC, Some(via("192.168.1.12")));
        }
        let mut unanswered = vec![];
        loop {
            let changes = fib.poll_changes(500);
            if changes.is_empty() {
                break;
            }
            unanswered.extend(changes);
        }
        assert_eq!(unanswered.len(), IN_FLIGHT_MOST);
        fib.desire(prefix(), AGGREGATE_METRIC, Some(Target::Unreachable));
        fib.handle_result(Instant::ORIGIN, &unanswered[0], Ok(()));
        let aggregate = Route { metric: AGGREGATE_METRIC, ..route(Target::Unreachable) };
        assert_eq!(fib.poll_changes(500), [Change::Install(aggregate)]);
    }

    #[test]
    fn a_metric_change_installs_before_it_removes() {
        let mut fib = Fib::default();
        fib.desire(prefix(), METRIC, Some(via("192.168.1.12")));
        answer(&mut fib, Instant::ORIGIN, Ok(()));
        fib.desire(prefix(), METRIC, None);
        fib.desire(prefix(), 30, Some(via("192.168.1.12")));
        let changes = fib.poll_changes(10);
        assert!(matches!(changes[0], Change::Install(Route { metric: 30, .. })), "{changes:?}");
        assert!(matches!(changes[1], Change::Remove { metric: METRIC, .. }), "{changes:?}");
    }
}
