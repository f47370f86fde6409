//! A kernel in miniature: routes, groups of next hops, and interfaces that go up and down.
//!
//! It does as the real one does where that matters to the FIB: what goes with an interface goes without
//! a word, routes go with their group, and what others made is theirs.

use std::collections::{BTreeMap, BTreeSet};

use routelet::fib::{Change, Found, Group, GroupId, NextHop, Route, Target};
use routelet::prefix::Prefix;

pub type Key = (Prefix, u32);

/// What a route of ours does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    Inline(Target),
    Group(GroupId),
}

/// Why a change is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Conflict,
    LinkDown,
    NoSuchGroup,
}

#[derive(Debug, Default)]
pub struct Kernel {
    pub ours: BTreeMap<Key, Via>,
    /// Routes of others, which stand in the way of ours.
    pub foreign: BTreeSet<Key>,
    pub groups: BTreeMap<GroupId, Group>,
    pub down: BTreeSet<u32>,
    pub knows_groups: bool,
}

impl Kernel {
    pub fn apply(&mut self, change: &Change) -> Result<(), Refused> {
        match change {
            Change::Install(route) | Change::Replace(route) => {
                let via = match route.group {
                    Some(id) if !self.groups.contains_key(&id) => return Err(Refused::NoSuchGroup),
                    Some(id) => Via::Group(id),
                    None => Via::Inline(route.target.clone()),
                };
                if self.foreign.contains(&(route.prefix, route.metric)) {
                    return Err(Refused::Conflict);
                }
                if let Via::Inline(Target::Via(hops)) = &via
                    && hops.iter().any(|hop| self.is_down(hop))
                {
                    return Err(Refused::LinkDown);
                }
                self.ours.insert((route.prefix, route.metric), via);
            }
            Change::Remove { prefix, metric } => {
                self.ours.remove(&(*prefix, *metric));
            }
            Change::SetGroup(group) => {
                assert!(self.knows_groups, "no group is asked of a kernel that knows none");
                assert!(!group.members.is_empty());
                if group.members.iter().chain(&group.standby).any(|hop| self.is_down(hop)) {
                    return Err(Refused::LinkDown);
                }
                self.groups.insert(group.id, group.clone());
            }
            Change::RemoveGroup(id) => self.remove_group(*id),
        }
        Ok(())
    }

    fn is_down(&self, hop: &NextHop) -> bool {
        hop.interface.is_some_and(|interface| self.down.contains(&interface))
    }

    /// Removes a group, and with it every route that refers to it.
    pub fn remove_group(&mut self, id: GroupId) {
        self.groups.remove(&id);
        self.ours.retain(|_, via| *via != Via::Group(id));
    }

    /// Takes an interface down, and without a word all that goes out through it.
    pub fn take_down(&mut self, interface: u32) {
        self.down.insert(interface);
        let over = |hop: &NextHop| hop.interface == Some(interface);
        let mut emptied = vec![];
        for group in self.groups.values_mut() {
            group.members.retain(|hop| !over(hop));
            group.standby.retain(|hop| !over(hop));
            if group.members.is_empty() {
                group.members = std::mem::take(&mut group.standby);
            }
            if group.members.is_empty() {
                emptied.push(group.id);
            }
        }
        emptied.into_iter().for_each(|id| self.remove_group(id));
        self.ours.retain(|_, via| !matches!(via, Via::Inline(Target::Via(hops)) if hops.iter().any(over)));
    }

    /// What it tells of one of our routes.
    pub fn route(&self, key: Key) -> Option<Route> {
        let (prefix, metric) = key;
        let (target, group) = match self.ours.get(&key)? {
            Via::Inline(target) => (target.clone(), None),
            Via::Group(id) => (Target::Via(self.groups[id].members.clone()), Some(*id)),
        };
        Some(Route { prefix, target, metric, group })
    }

    pub fn found(&self) -> Found {
        let routes = self.ours.keys().filter_map(|key| self.route(*key)).collect();
        Found { routes, groups: self.knows_groups.then(|| self.found_groups()) }
    }

    pub fn found_groups(&self) -> Vec<Group> {
        self.groups.values().cloned().collect()
    }
}
