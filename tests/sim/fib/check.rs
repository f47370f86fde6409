//! What must hold once everything has come to rest.

use std::collections::BTreeSet;

use routelet::fib::{GroupId, Leg, Plan, Standing, Target, Ways};

use super::Trial;
use super::kernel::Key;

impl Trial {
    /// What a route does while interfaces are down; none where it is left to its owner to decide anew.
    pub fn left_of(&self, plan: &Plan) -> Option<Target> {
        let Plan::Via(ways) = plan else { return Some(plan.target()) };
        let is_up = |leg: &&Leg| leg.hop.interface.is_none_or(|index| !self.kernel.down.contains(&index));
        let mut left: Vec<Leg> = ways.legs.iter().filter(is_up).copied().collect();
        if left.len() == ways.legs.len() {
            return Some(plan.target());
        }
        if left.is_empty() {
            left.extend(ways.backup.as_ref().filter(is_up));
        }
        let rest = Plan::Via(Ways { legs: left, backup: None, more: false });
        (rest.target() != Target::Via(vec![]) && self.is_for_groups(plan)).then(|| rest.target())
    }

    /// The kernel holds what is desired, and nothing else.
    pub fn check(&self) {
        let listed = self.fib.entries();
        let keys: Vec<Key> = listed.iter().map(|entry| (entry.prefix, entry.metric)).collect();
        assert_eq!(keys, self.desired.keys().copied().collect::<Vec<_>>(), "an entry for each desire");
        for entry in &listed {
            let key = (entry.prefix, entry.metric);
            if self.kernel.foreign.contains(&key) {
                assert!(matches!(entry.standing, Standing::Conflict(_)), "{entry:?}");
                assert_eq!(self.kernel.route(key), None);
                continue;
            }
            assert_eq!(entry.standing, Standing::Installed, "{entry:?}");
            let plan = &self.desired[&key];
            let held = self.kernel.route(key).unwrap_or_else(|| panic!("{key:?} is missing"));
            assert_eq!(held.target, plan.target(), "{key:?}");
            assert_eq!(held.group.is_some(), self.is_for_groups(plan), "{key:?}");
        }
        let lost = self.kernel.ours.keys().find(|key| !self.desired.contains_key(key));
        assert_eq!(lost, None, "a route that nobody desires");
        let used: BTreeSet<GroupId> =
            self.kernel.ours.keys().filter_map(|key| self.kernel.route(*key)?.group).collect();
        let held: BTreeSet<GroupId> = self.kernel.groups.keys().copied().collect();
        assert_eq!(held, used, "groups that are there, and groups that are used");
        let conflicts = self.kernel.foreign.iter().any(|key| self.desired.contains_key(key));
        assert_eq!(self.fib.is_in_step(), !conflicts);
        assert!(self.fib.audit(&self.kernel.found()).len() <= self.kernel.foreign.len());
    }

    fn is_for_groups(&self, plan: &Plan) -> bool {
        let bound = match plan {
            Plan::Via(ways) => ways.legs.iter().all(|leg| leg.hop.interface.is_some()),
            Plan::Unreachable => false,
        };
        bound && self.wants_groups && self.kernel.knows_groups
    }
}
