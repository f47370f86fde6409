//! The FIB alone, against a kernel in miniature, under everything at once: desires that change, peers and
//! interfaces that fail, refusals, answers and news that come late, strangers, and restarts.
//!
//! However these interleave, the kernel must end with what is desired under our protocol number, and
//! with nothing else changed. A seed decides everything: `SEED=n` replays one, `SEEDS=n` tries so many,
//! `TRACE=1` prints every step.

mod check;
mod kernel;
mod plans;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use routelet::fib::{
    Batch, BatchId, Change, Failure, Fate, Fib, Found, Group, GroupId, Plan, Refusal, Route, Target,
};
use routelet::time::Instant;

use crate::random::draw::Draw;
use kernel::{Kernel, Key, Refused, Via};
use plans::{hop, plans, prefix};

/// Runs of every test run.
const SEEDS: u64 = 2000;
/// Steps of a run.
const STEPS: usize = 120;
/// Metrics in use: one of routes, and one that is given up now and then.
const METRICS: [u32; 2] = [20, 30];
/// Interfaces, by index.
const INTERFACES: [u32; 3] = [1, 2, 3];
/// In which the kernel must have come round: several of the longest pauses between two tries.
const REST_WITHIN: Duration = Duration::from_secs(150);

/// What the kernel tells by itself or when asked, as it was then.
#[derive(Debug, Clone)]
enum Notice {
    Route(Key, Option<Route>),
    Groups(Vec<Group>),
    Dump(Found),
    Failed(u32),
    Revived(u32),
}

#[derive(Debug)]
struct Trial {
    draw: Draw,
    traced: bool,
    now: Instant,
    fib: Fib,
    kernel: Kernel,
    wants_groups: bool,
    install_backup: bool,
    /// What the owner of the FIB wants.
    desired: BTreeMap<Key, Plan>,
    /// What he has still to say: after a restart or the failure of a peer he decides everything anew.
    unsaid: Vec<Key>,
    /// Handed out, and not made yet.
    waiting: VecDeque<Batch>,
    /// Made, and not answered yet.
    answers: VecDeque<(BatchId, Vec<Refusal>)>,
    /// Not told yet.
    notices: VecDeque<Notice>,
    /// Keys that a change is in flight for.
    in_flight: BTreeSet<Key>,
    /// Batches in flight, with the keys they change.
    batches: BTreeMap<BatchId, Vec<Key>>,
    /// Groups that were set or seen, and not removed since.
    known_groups: BTreeSet<GroupId>,
    /// Groups that ever were.
    our_groups: BTreeSet<GroupId>,
    /// The kernel refuses some changes, for no reason.
    refuses: bool,
    /// What the FIB knows to be down.
    told_down: BTreeSet<u32>,
}

impl Trial {
    fn new(seed: u64) -> Trial {
        let mut draw = Draw::new(seed);
        let kernel = Kernel { knows_groups: !draw.once_in(8), ..Kernel::default() };
        let mut trial = Trial {
            wants_groups: !draw.once_in(4),
            install_backup: draw.once_in(2),
            draw,
            traced: std::env::var("TRACE").is_ok(),
            now: Instant::ORIGIN,
            fib: Fib::default(),
            kernel,
            desired: BTreeMap::new(),
            unsaid: vec![],
            waiting: VecDeque::new(),
            answers: VecDeque::new(),
            notices: VecDeque::new(),
            in_flight: BTreeSet::new(),
            batches: BTreeMap::new(),
            known_groups: BTreeSet::new(),
            our_groups: BTreeSet::new(),
            refuses: false,
            told_down: BTreeSet::new(),
        };
        trial.restart();
        trial
    }

    fn trace(&self, what: impl std::fmt::Debug) {
        #[allow(clippy::disallowed_macros, reason = "captured by the test harness")]
        if self.traced {
            println!("{:?} {what:?}", self.now);
        }
    }

    fn key(&mut self) -> Key {
        (prefix(self.draw.below(6)), METRICS[usize::from(self.draw.once_in(4))])
    }

    fn one_of_ours(&mut self) -> Option<Key> {
        let keys: Vec<Key> = self.kernel.ours.keys().copied().collect();
        (!keys.is_empty()).then(|| self.draw.of(&keys))
    }

    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(self.draw.below(60) as u64);
        match self.draw.below(30) {
            0..=4 => self.desire(),
            5..=9 => self.poll(),
            10..=13 => self.make(),
            14..=17 => self.answer(),
            18..=20 => self.tell(),
            21 => self.meddle_with_a_route(),
            22 => self.meddle_with_a_group(),
            23 => self.look(),
            24 => self.move_an_interface(),
            25 => self.fail_a_peer(),
            26 => self.refuses = self.draw.once_in(3),
            27..=28 => self.say(),
            _ => self.rare(),
        }
        if self.fib.poll_timeout().is_some_and(|due| due <= self.now) && !self.draw.once_in(3) {
            self.fib.handle_timeout(self.now);
        }
        if self.draw.once_in(3) {
            while let Some(batch) = self.fib.poll_urgent() {
                self.take(batch);
            }
        }
    }

    fn rare(&mut self) {
        match self.draw.below(8) {
            0 => self.restart(),
            1 => {
                self.wants_groups = !self.draw.once_in(4);
                self.install_backup = self.draw.once_in(2);
                self.trace(("configure", self.wants_groups, self.install_backup));
                self.fib.configure(self.wants_groups, self.install_backup);
            }
            2 => {
                self.trace("none under");
                self.desired.retain(|key, _| key.1 != METRICS[1]);
                self.fib.desire_none_under(METRICS[1]);
            }
            3 => {
                self.trace("sweep");
                self.fib.sweep();
            }
            _ => self.now = self.now + Duration::from_millis(self.draw.below(5000) as u64),
        }
    }

    /// The owner changes his mind about a prefix.
    fn desire(&mut self) {
        let key = self.key();
        let plans = plans();
        // Some plans are common, so that routes share groups.
        let few = if self.draw.once_in(2) { 3 } else { plans.len() };
        let plan = plans[plans.len() - 1 - self.draw.below(plans.len())].clone();
        let plan = if few == 3 { plans[3 + self.draw.below(few)].clone() } else { plan };
        let plan = (!self.draw.once_in(5)).then_some(plan);
        match plan {
            Some(plan) => self.desired.insert(key, plan),
            None => self.desired.remove(&key),
        };
        self.say_of(key);
    }

    fn say_of(&mut self, key: Key) {
        let plan = self.desired.get(&key);
        self.trace(("desire", key, plan));
        self.fib.desire(key.0, key.1, plan);
    }

    /// The owner says some of what he has decided anew.
    fn say(&mut self) {
        for _ in 0..self.draw.between(1, 4) {
            if let Some(key) = self.unsaid.pop() {
                self.say_of(key);
            }
        }
    }

    fn poll(&mut self) {
        let (limit, settled) = (self.draw.between(1, 8), !self.draw.once_in(3));
        if let Some(batch) = self.fib.poll_batch(limit, settled) {
            self.take(batch);
        }
    }

    /// Takes a batch that was handed out, and checks that it may be.
    fn take(&mut self, batch: Batch) {
        self.trace(&batch);
        let mut keys = vec![];
        for change in &batch.changes {
            match change {
                Change::SetGroup(group) => {
                    self.known_groups.insert(group.id);
                    self.our_groups.insert(group.id);
                }
                Change::RemoveGroup(id) => {
                    // A removal that was refused is tried again.
                    self.known_groups.remove(id);
                    assert!(self.our_groups.contains(id), "{id:?} is removed, and is not ours");
                }
                Change::Install(route) | Change::Replace(route) => {
                    keys.push((route.prefix, route.metric));
                    let known = route.group.is_none_or(|id| self.known_groups.contains(&id));
                    assert!(known, "{route:?} refers to a group that is not set before");
                }
                Change::Remove { prefix, metric } => keys.push((*prefix, *metric)),
            }
        }
        for key in &keys {
            assert!(self.in_flight.insert(*key), "{key:?} has a change in flight");
        }
        self.batches.insert(batch.id, keys);
        let urgent = self.waiting.iter().take_while(|other| other.urgent).count();
        let at = if batch.urgent { urgent } else { self.waiting.len() };
        self.waiting.insert(at, batch);
    }

    /// The kernel makes a batch.
    fn make(&mut self) {
        let Some(batch) = self.waiting.pop_front() else { return };
        let mut refusals = vec![];
        for (index, change) in batch.changes.iter().enumerate() {
            let at_random = self.refuses && self.draw.once_in(2);
            let answer = if at_random { Err(Refused::NoSuchGroup) } else { self.kernel.apply(change) };
            if let Err(why) = answer {
                let conflict = why == Refused::Conflict;
                refusals.push(Refusal { index, reason: format!("{why:?}"), conflict });
            }
        }
        self.trace(("made", batch.id, &refusals));
        self.answers.push_back((batch.id, refusals));
    }

    fn answer(&mut self) {
        let Some((id, refusals)) = self.answers.pop_front() else { return };
        self.trace(("answer", id));
        for key in self.batches.remove(&id).unwrap_or_default() {
            self.in_flight.remove(&key);
        }
        self.fib.handle_answer(self.now, id, refusals);
    }

    /// The FIB hears of the first thing that it has not heard of.
    fn tell(&mut self) {
        let Some(notice) = self.notices.pop_front() else { return };
        self.trace(("tell", &notice));
        match notice {
            Notice::Route(key, held) => self.fib.handle_change_seen(self.now, key.0, key.1, held),
            Notice::Groups(groups) => {
                self.known_groups.extend(groups.iter().map(|group| group.id));
                self.fib.handle_groups(&groups);
            }
            Notice::Dump(found) => {
                self.known_groups.extend(found.groups.iter().flatten().map(|group| group.id));
                self.fib.handle_dump(found, false);
            }
            Notice::Failed(interface) => {
                self.told_down.insert(interface);
                self.fib.fail(Failure::Interface(interface));
            }
            Notice::Revived(interface) => {
                self.told_down.remove(&interface);
                self.fib.revive(interface);
            }
        }
    }

    /// Somebody removes a route of ours, changes it, puts his own in its place, or removes his own.
    fn meddle_with_a_route(&mut self) {
        let told = !self.draw.once_in(4);
        let key = match self.draw.below(4) {
            0 => {
                let key = self.key();
                if !self.kernel.foreign.remove(&key) {
                    self.kernel.foreign.insert(key);
                    self.kernel.ours.remove(&key);
                }
                key
            }
            1 => {
                let Some(key) = self.one_of_ours() else { return };
                self.kernel.ours.insert(key, Via::Inline(Target::Unreachable));
                key
            }
            _ => {
                let Some(key) = self.one_of_ours() else { return };
                self.kernel.ours.remove(&key);
                key
            }
        };
        self.trace(("meddled", key, self.kernel.route(key), told));
        if told {
            self.notices.push_back(Notice::Route(key, self.kernel.route(key)));
        }
    }

    /// Somebody removes a group of ours, or changes it.
    fn meddle_with_a_group(&mut self) {
        let groups: Vec<GroupId> = self.kernel.groups.keys().copied().collect();
        if groups.is_empty() {
            return;
        }
        let id = self.draw.of(&groups);
        if self.draw.once_in(3) && !self.kernel.down.contains(&3) {
            let (members, standby) = (vec![hop(3, 1)], vec![]);
            self.kernel.groups.insert(id, Group { id, members, standby });
        } else {
            self.kernel.remove_group(id);
        }
        self.trace(("meddled", id));
        if !self.draw.once_in(4) {
            self.notices.push_back(Notice::Groups(self.kernel.found_groups()));
        }
    }

    /// What the kernel holds is read, and will be told.
    fn look(&mut self) {
        let dump = self.draw.once_in(2);
        let groups = Notice::Groups(self.kernel.found_groups());
        self.notices.push_back(if dump { Notice::Dump(self.kernel.found()) } else { groups });
    }

    fn move_an_interface(&mut self) {
        let interface = self.draw.of(&INTERFACES);
        if self.kernel.down.remove(&interface) {
            self.trace(("up", interface));
            self.notices.push_back(Notice::Revived(interface));
            return;
        }
        self.trace(("down", interface));
        self.kernel.take_down(interface);
        self.notices.push_back(Notice::Failed(interface));
        if self.draw.once_in(2) {
            self.notices.push_back(Notice::Groups(self.kernel.found_groups()));
        }
    }

    /// A peer fails, and after that its owner decides about every prefix, one after the other.
    fn fail_a_peer(&mut self) {
        let fate = Fate(self.draw.between(1, 4) as u32);
        self.trace(("fail", fate));
        self.fib.fail(Failure::Fate(fate));
        self.unsaid = self.desired.keys().copied().collect();
    }

    /// The process ends with what it has not got rid of, and another finds what the kernel holds.
    fn restart(&mut self) {
        self.trace("restart");
        for _ in 0..self.draw.below(self.waiting.len() + 1) {
            self.make();
        }
        self.waiting.clear();
        self.answers.clear();
        self.notices.clear();
        self.in_flight.clear();
        self.batches.clear();
        self.fib = Fib::default();
        self.fib.configure(self.wants_groups, self.install_backup);
        self.known_groups = self.kernel.groups.keys().copied().collect();
        self.fib.handle_dump(self.kernel.found(), true);
        self.told_down = self.kernel.down.clone();
        for interface in &self.told_down {
            self.fib.fail(Failure::Interface(*interface));
        }
        self.unsaid = self.desired.keys().copied().collect();
    }

    /// Everything that is under way arrives, and whatever is due is done, until the kernel has had time.
    fn rest(&mut self) {
        let end = self.now + REST_WITHIN;
        loop {
            while !(self.waiting.is_empty() && self.answers.is_empty()) {
                self.make();
                self.answer();
            }
            if let Some(batch) = self.fib.poll_batch(100, true) {
                self.take(batch);
                continue;
            }
            match self.fib.poll_timeout() {
                Some(due) if due <= end => {
                    self.now = self.now.max(due);
                    self.fib.handle_timeout(self.now);
                }
                _ => return,
            }
        }
    }

    /// All trouble ends, all is said, and the kernel is read once more.
    fn finish(&mut self) {
        self.trace("finish");
        self.refuses = false;
        // First with interfaces down still.
        self.arrive();
        for (key, plan) in &self.desired {
            if let Some(target) = self.left_of(plan).filter(|_| !self.kernel.foreign.contains(key)) {
                assert_eq!(self.kernel.route(*key).map(|route| route.target), Some(target), "{key:?}");
            }
        }
        for interface in std::mem::take(&mut self.kernel.down) {
            self.notices.push_back(Notice::Revived(interface));
        }
        self.arrive();
    }

    /// All that is under way arrives.
    fn arrive(&mut self) {
        while !self.notices.is_empty() {
            self.tell();
        }
        let keys: Vec<Key> = self.desired.keys().copied().collect();
        keys.into_iter().for_each(|key| self.say_of(key));
        self.fib.sweep();
        self.rest();
        self.notices.push_back(Notice::Dump(self.kernel.found()));
        self.tell();
        self.rest();
    }
}

#[test]
fn whatever_interleaves_the_kernel_ends_with_what_is_desired_and_nothing_else_has_changed() {
    let given = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match (given("SEED"), given("SEEDS")) {
        (Some(seed), _) => seed..=seed,
        (None, count) => 1..=count.unwrap_or(SEEDS),
    };
    for seed in seeds {
        // Shown by the test harness when the trial fails.
        #[allow(clippy::disallowed_macros, reason = "captured by the test harness")]
        {
            println!("SEED={seed}");
        }
        let mut trial = Trial::new(seed);
        for _ in 0..STEPS {
            trial.step();
        }
        trial.finish();
        trial.check();
    }
}
