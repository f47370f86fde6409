//! What a route is meant to do: where packets go now, where they would go after a failure, and whose
//! failure that would be.
//!
//! Knowing this in advance is what makes failover independent of the number of prefixes: when a peer
//! or an interface fails, each of the few groups of next hops is changed once, and the many routes
//! that refer to it move with it. Deciding anew prefix by prefix comes afterwards, and mostly finds the
//! kernel in the right state (draft-ietf-rtgwg-bgp-pic).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::route::{NextHop, Target};

/// Something that a next hop depends on besides its interface: whoever announces paths through it. What
/// it stands for is the owner's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fate(pub u32);

/// A next hop, and what it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Leg {
    /// The way out.
    pub hop: NextHop,
    /// Who alone offers it; none where several do, so that no one's end is its end.
    pub fate: Option<Fate>,
}

/// Next hops for a prefix, now and after a failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ways {
    /// Where packets go: sorted, without duplicates, never empty.
    pub legs: Vec<Leg>,
    /// Where they would go were all of those to fail.
    pub backup: Option<Leg>,
    /// There are yet other ways, not named here: the prefix is reachable even without these.
    pub more: bool,
}

/// What is to be done with packets for a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Plan {
    /// Hand them to next hops.
    Via(Ways),
    /// Answer with an ICMP unreachable.
    Unreachable,
}

impl Plan {
    /// What the kernel's route does while nothing fails.
    pub fn target(&self) -> Target {
        match self {
            Plan::Via(ways) => Target::Via(hops(&ways.legs)),
            Plan::Unreachable => Target::Unreachable,
        }
    }
}

impl From<Target> for Plan {
    fn from(target: Target) -> Plan {
        match target {
            Target::Via(hops) => {
                let legs = hops.into_iter().map(|hop| Leg { hop, fate: None }).collect();
                Plan::Via(Ways { legs, backup: None, more: false })
            }
            Target::Unreachable => Plan::Unreachable,
        }
    }
}

/// What fails at once for every route that depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// All that one announces is gone.
    Fate(Fate),
    /// Nothing goes out through an interface, by its index.
    Interface(u32),
}

impl Failure {
    /// Whether a next hop does not depend on what has failed.
    pub(super) fn spares(self, leg: &Leg) -> bool {
        match self {
            Failure::Fate(fate) => leg.fate != Some(fate),
            Failure::Interface(index) => leg.hop.interface != Some(index),
        }
    }
}

/// What failures make of ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Packets go there from now on.
    Left(Vec<NextHop>),
    /// There is no way left.
    Nothing,
    /// There are ways left, and they are not known here.
    Unknown,
}

impl Ways {
    /// Whether failures concern a next hop that is in use.
    pub(super) fn loses_any(&self, failures: &[Failure]) -> bool {
        failures.iter().any(|failure| self.legs.iter().any(|leg| !failure.spares(leg)))
    }

    pub(super) fn after(&self, failures: &[Failure]) -> Outcome {
        let spared = |leg: &Leg| failures.iter().all(|failure| failure.spares(leg));
        let mut left: Vec<Leg> = self.legs.iter().filter(|leg| spared(leg)).copied().collect();
        if left.is_empty() {
            left.extend(self.backup.filter(spared));
        }
        match left.as_slice() {
            [] if self.more => Outcome::Unknown,
            [] => Outcome::Nothing,
            left => Outcome::Left(hops(left)),
        }
    }
}

pub(super) fn hops(legs: &[Leg]) -> Vec<NextHop> {
    // Alone, a next hop has no share to speak of.
    let weight = |leg: &Leg| if legs.len() == 1 { 1 } else { leg.hop.weight };
    legs.iter().map(|leg| NextHop { weight: weight(leg), ..leg.hop }).collect()
}

/// Names a plan while a route desires it; never 0.
pub(super) type PlanId = u32;

/// Plans that routes desire: few, however many the routes.
#[derive(Debug, Default)]
pub(super) struct Plans {
    ids: BTreeMap<Arc<Plan>, PlanId>,
    rows: Vec<Row>,
    vacant: Vec<PlanId>,
}

#[derive(Debug)]
struct Row {
    plan: Arc<Plan>,
    target: Arc<Target>,
    users: usize,
    /// The group that new routes of this plan refer to, if it still is there and does what the plan says.
    home: Option<u32>,
}

impl Plans {
    /// The plan's name, with one user more.
    pub(super) fn enter(&mut self, plan: &Plan) -> PlanId {
        if let Some(id) = self.ids.get(plan) {
            self.rows[*id as usize - 1].users += 1;
            return *id;
        }
        let plan = Arc::new(plan.clone());
        let row = Row { plan: plan.clone(), target: Arc::new(plan.target()), users: 1, home: None };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.rows[id as usize - 1] = row;
                id
            }
            None => {
                self.rows.push(row);
                self.rows.len() as PlanId
            }
        };
        self.ids.insert(plan, id);
        id
    }

    /// One user less.
    pub(super) fn leave(&mut self, id: PlanId) {
        let row = &mut self.rows[id as usize - 1];
        row.users -= 1;
        if row.users == 0 {
            row.home = None;
            self.ids.remove(&row.plan);
            self.vacant.push(id);
        }
    }

    pub(super) fn plan(&self, id: PlanId) -> &Plan {
        &self.rows[id as usize - 1].plan
    }

    /// The ways of a plan that a group can carry out: the kernel's nexthop objects are bound to an
    /// interface.
    pub(super) fn ways(&self, id: PlanId) -> Option<&Ways> {
        match self.plan(id) {
            Plan::Via(ways) if ways.legs.iter().all(|leg| leg.hop.interface.is_some()) => Some(ways),
            Plan::Via(_) | Plan::Unreachable => None,
        }
    }

    pub(super) fn target(&self, id: PlanId) -> &Arc<Target> {
        &self.rows[id as usize - 1].target
    }

    pub(super) fn home(&self, id: PlanId) -> Option<u32> {
        self.rows[id as usize - 1].home
    }

    pub(super) fn set_home(&mut self, id: PlanId, home: u32) {
        self.rows[id as usize - 1].home = Some(home);
    }

    /// No plan has a home any more.
    pub(super) fn forget_homes(&mut self) {
        self.rows.iter_mut().for_each(|row| row.home = None);
    }
}
