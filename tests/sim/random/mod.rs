//! Networks drawn at random under faults drawn at random: nothing bad may happen while they last, and
//! once they end everything good must, within a bounded time.
//!
//! A seed decides everything. `SEED=n cargo test --test sim random` replays one, `SEEDS=1000` tries so
//! many of them in a row, `TRACE=1` prints every action on the way, and a few that together show every event of [`MUST_SEE`] run always.

pub mod draw;
mod faults;
mod net;
mod oracle;
mod rest;
mod shape;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use crate::world::World;
use draw::Draw;
use faults::{FAULTS, Trial};
use net::Net;
use watch::{Reporter, Seen};

/// Seeds of every run.
const SEEDS: [u64; 26] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 29, 34, 39, 44];

/// The longest that a network may take to come to rest: a hold time that runs out, a pause in Idle of
/// a minute on either side, and routes found at start that nobody confirms for two minutes.
const REST_WITHIN: Duration = Duration::from_secs(400);

/// What the seeds of every run must have shown between them, besides every fault.
const MUST_SEE: [&str; 50] = [
    "session up",
    "session down",
    "session failed",
    "announcement",
    "withdrawal",
    "End-of-RIB",
    "own prefix announced",
    "several next hops",
    "stale routes swept",
    "paths outlive their session",
    "paths that outlived their session let go",
    // What was said.
    "hold timer expired",
    "too many prefixes",
    "administrative shutdown",
    "peer deconfigured",
    "new session for a new configuration",
    "collision: the dialled one goes",
    "collision: the accepted one goes",
    "bad header answered",
    "wrong AS answered",
    "treat-as-withdraw",
    "attribute discarded",
    "asked for everything again",
    "refresh begins",
    "refresh ends",
    // Why paths were not used.
    "not used: our AS is in its AS_PATH",
    "not used: we originated it",
    "not used: our cluster id is in its CLUSTER_LIST",
    "not used: the prefix is protected",
    "not used: import rule 1 rejects it",
    "not used: its next hop is ourselves",
    "not used: its next hop is unreachable",
    // Why paths were chosen. ORIGIN decides nowhere, for all that is announced here is IGP; nor does
    // it matter that a path is a node's own, for nobody else's is let in beside it.
    "decided: only path",
    "decided: highest LOCAL_PREF",
    "decided: shortest AS_PATH",
    "decided: lowest MED",
    "decided: external over internal",
    "decided: lowest interior cost",
    "decided: lowest router ID",
    "decided: shortest CLUSTER_LIST",
    "decided: lowest peer address",
    // What peers and kernels did.
    "refused route tried again",
    "drained",
    "reader did not read",
    // Shapes.
    "mesh",
    "reflectors",
    "two levels of reflectors",
    "racks",
    "graph",
    "twenty nodes or more",
];

#[test]
fn any_network_survives_anything_and_comes_to_rest() {
    let given = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (seeds, all) = match (given("SEED"), given("SEEDS")) {
        (Some(seed), _) => (vec![seed], false),
        (None, Some(count)) => ((1..=count).collect(), false),
        (None, None) => (SEEDS.to_vec(), true),
    };
    let mut events = BTreeSet::new();
    for seed in seeds {
        // Shown by the test harness when the trial fails.
        #[allow(clippy::disallowed_macros, reason = "captured by the test harness")]
        {
            println!("SEED={seed}");
        }
        let new = run(seed);
        #[allow(clippy::disallowed_macros, reason = "captured by the test harness")]
        {
            println!("first to show {:?}", new.difference(&events).collect::<Vec<_>>());
        }
        events.extend(new);
    }
    let faults = FAULTS.iter().map(|(name, _)| *name);
    let missing: Vec<&str> = MUST_SEE.into_iter().chain(faults).filter(|e| !events.contains(*e)).collect();
    assert!(!all || missing.is_empty(), "none of the seeds has shown {missing:?}");
}

#[test]
fn a_network_of_fifty_survives_anything_and_comes_to_rest() {
    for seed in [1, 2] {
        let net = shape::draw_fifty(seed);
        assert!(net.nodes.len() >= 48);
        run_in(net, seed);
    }
}

/// Runs the network of a seed through its faults, and returns what was seen.
fn run(seed: u64) -> BTreeSet<String> {
    run_in(shape::draw(seed), seed)
}

/// The same in another network.
fn run_in(net: Net, seed: u64) -> BTreeSet<String> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let mut world = World::of((0..net.nodes.len()).map(|i| (net.nodes[i].name, net.setup(i))), seed);
    world.watch(Box::new(Reporter(seen.clone())));
    seen.borrow_mut().own = net.nodes.iter().map(|node| (node.name, node.prefixes.clone())).collect();
    seen.borrow_mut().event(net.shape);
    if net.nodes.len() >= 20 {
        seen.borrow_mut().event("twenty nodes or more");
    }
    let down = BTreeSet::new();
    let mut trial = Trial { world, net, draw: Draw::new(!seed), seen, down, last: None };
    if trial.draw.once_in(2) {
        trial.world.start_together()
    } else {
        trial.world.start_all()
    }
    trial.rest();
    for _ in 0..trial.draw.between(10, 25) {
        let (name, fault) = trial.draw.of(&FAULTS);
        #[allow(clippy::disallowed_macros, reason = "captured by the test harness")]
        {
            println!("{:?} {name}", trial.world.now());
        }
        if fault(&mut trial) {
            trial.seen.borrow_mut().event(name);
        }
        let most = trial.draw.of(&[1, 100, 2_000, 60_000]);
        let pause = trial.draw.below(most) as u64;
        trial.world.run_for(Duration::from_millis(pause));
        trial.look(4);
    }
    trial.mend();
    // A connection that was lost in silence is missed when the longest hold time has passed.
    trial.world.run_for(Duration::from_secs(95));
    trial.rest();
    trial.keep_quiet();
    let seen = trial.seen.borrow();
    seen.events.clone()
}

impl Trial {
    /// Ends everything that is going wrong. What was configured stays so.
    fn mend(&mut self) {
        self.world.mend();
        faults::undrain(self);
        for node in std::mem::take(&mut self.down) {
            self.world.start(self.name(node));
        }
        for node in 0..self.net.nodes.len() {
            self.net.nodes[node].cut_off.clear();
            self.refresh_underlay(node);
        }
        self.net.links.iter_mut().flat_map(|link| &mut link.ends).for_each(|end| end.max_prefixes = None);
        self.configure(0..self.net.nodes.len());
    }

    /// Waits until everything is as it should be, for a bounded time.
    fn rest(&mut self) {
        let start = self.world.now();
        loop {
            self.world.run_for(Duration::from_secs(10));
            let left = rest::differences(&self.world, &self.net);
            if left.is_empty() {
                self.look(1);
                return;
            }
            let waited = self.world.now() - start;
            let shown = left[..left.len().min(12)].join("\n");
            assert!(waited < REST_WITHIN, "{} differ after {waited:?}:\n{shown}", left.len());
        }
    }

    /// What must hold at any time, and what is to be seen of one node in so many.
    fn look(&mut self, one_in: usize) {
        let seen = &mut *self.seen.borrow_mut();
        assert!(seen.violations.is_empty(), "{:#?}", seen.violations);
        let unsent = self.world.most_unsent();
        assert!(unsent < 1 << 20, "{unsent} octets wait for one peer");
        if unsent > 0 {
            seen.event("reader did not read");
        }
        for node in 0..self.net.nodes.len() {
            let own = &self.net.nodes[node];
            if self.down.contains(&node) || !self.draw.once_in(one_in) {
                continue;
            }
            if self.world.route_failures(own.name) > 0 {
                seen.event("refused route tried again");
            }
            for route in self.world.routes(own.name) {
                seen.events.extend(route.decided_by.map(|rule| format!("decided: {rule}")));
                for path in route.paths {
                    // A path goes at once with its session.
                    let orphan = path.ineligible.as_deref() == Some("its session is down");
                    assert!(!orphan, "{}: {} {path:?}", own.name, route.prefix);
                    seen.events.extend(path.ineligible.as_ref().map(|why| format!("not used: {why}")));
                    let allowed = self.net.sessions(node).any(|(link, end)| link.ends[end].allow_own_as > 0);
                    let looped = path.attributes.as_path.contains(own.asn) && !allowed;
                    assert!(path.ineligible.is_some() || !looped, "{}: {path:?}", own.name);
                }
            }
        }
    }

    /// A network at rest says nothing new.
    fn keep_quiet(&mut self) {
        let before = self.seen.borrow().updates;
        self.world.run_for(Duration::from_secs(60));
        assert_eq!(self.seen.borrow().updates, before, "UPDATEs of a network at rest");
        assert_eq!(rest::differences(&self.world, &self.net), [""; 0]);
    }
}
