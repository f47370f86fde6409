//! What is still to be sent to a peer of a family with path identifiers, grouped by what is to be said of it.
//! Other families have [`super::follower`], which goes by places of the table.
//!
//! A path, or prefix, belongs to one group, that of its latest state. Moving to another leaves a stale mention
//! in the old one, which costs less than searching for it; mentions that are stale never outnumber
//! those that are not for long.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::bgp::{Nlri, PathAttributes};
use crate::prefix::hash::hash_of;
use crate::prefix::{Family, Prefix};

/// Groups are left alone by tidying while they are this small.
const TIDY_FROM: usize = 64;

/// Prefixes to be announced or withdrawn.
#[derive(Debug)]
pub(super) struct Pending<T = Prefix> {
    /// The group of each prefix.
    members: HashTable<(T, GroupId)>,
    /// In the order in which they came up.
    groups: BTreeMap<GroupId, Group<T>>,
    /// To look groups up, never iterated: the key holds an address in memory.
    ids: BTreeMap<(Family, usize), GroupId>,
    next: GroupId,
}

type GroupId = u64;

#[derive(Debug)]
struct Group<T> {
    /// `None` for withdrawals.
    attributes: Option<Arc<PathAttributes>>,
    family: Family,
    /// Members, and those that were.
    mentions: VecDeque<T>,
    /// How many of the mentions are no members.
    stale: usize,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Pending { members: HashTable::new(), groups: BTreeMap::new(), ids: BTreeMap::new(), next: 0 }
    }
}

impl<T: Nlri + Ord + Hash> Pending<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn contains(&self, prefix: T) -> bool {
        self.members.find(hash_of(&prefix), |(member, _)| *member == prefix).is_some()
    }

    /// Puts a prefix into the group of these (interned) attributes; `None` for withdrawal.
    pub(super) fn insert(&mut self, prefix: T, attributes: Option<Arc<PathAttributes>>) {
        let id = self.group(prefix.prefix().family(), attributes);
        let is_it = |(member, _): &(T, GroupId)| *member == prefix;
        let left = match self.members.entry(hash_of(&prefix), is_it, |(prefix, _)| hash_of(prefix)) {
            Entry::Occupied(member) if member.get().1 == id => return,
            Entry::Occupied(mut member) => Some(std::mem::replace(&mut member.get_mut().1, id)),
            Entry::Vacant(free) => {
                free.insert((prefix, id));
                None
            }
        };
        if let Some(group) = self.groups.get_mut(&id) {
            group.mentions.push_back(prefix);
        }
        if let Some(left) = left {
            self.leave(left);
        }
    }

    /// Leaves a prefix as the peer knows it.
    pub(super) fn remove(&mut self, prefix: T) {
        // Mostly nothing is pending, and nothing needs to be looked up.
        if self.members.is_empty() {
            return;
        }
        if let Ok(entry) = self.members.find_entry(hash_of(&prefix), |(member, _)| *member == prefix) {
            let ((_, id), _) = entry.remove();
            self.leave(id);
        }
    }

    /// Takes up to `most` prefixes of the group that came up first.
    pub(super) fn pop(&mut self, most: usize) -> Option<(Option<Arc<PathAttributes>>, Vec<T>)> {
        if most == 0 {
            return None;
        }
        let (id, mut group) = self.groups.pop_first()?;
        let mut prefixes = Vec::with_capacity(most.min(group.mentions.len()));
        while prefixes.len() < most
            && let Some(prefix) = group.mentions.pop_front()
        {
            let is_it = |member: &(T, GroupId)| *member == (prefix, id);
            match self.members.find_entry(hash_of(&prefix), is_it) {
                Ok(entry) => {
                    entry.remove();
                    prefixes.push(prefix);
                }
                Err(_) => group.stale -= 1,
            }
        }
        let attributes = group.attributes.clone();
        if group.mentions.len() > group.stale {
            self.groups.insert(id, group);
        } else {
            self.ids.remove(&key(group.family, group.attributes.as_ref()));
        }
        if self.members.is_empty() {
            *self = Pending { next: self.next, ..Pending::default() };
        }
        Some((attributes, prefixes))
    }

    fn group(&mut self, family: Family, attributes: Option<Arc<PathAttributes>>) -> GroupId {
        *self.ids.entry(key(family, attributes.as_ref())).or_insert_with(|| {
            self.next += 1;
            let group = Group { attributes, family, mentions: VecDeque::new(), stale: 0 };
            self.groups.insert(self.next, group);
            self.next
        })
    }

    /// A member has left a group, which still mentions it.
    fn leave(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.stale += 1;
        if group.stale == group.mentions.len() {
            self.ids.remove(&key(group.family, group.attributes.as_ref()));
            self.groups.remove(&id);
        } else if group.mentions.len() > TIDY_FROM && group.stale > group.mentions.len() / 2 {
            let members = &self.members;
            let mut mentions = Vec::from(std::mem::take(&mut group.mentions));
            mentions.sort_unstable();
            mentions.dedup();
            mentions.retain(|p| members.find(hash_of(p), |member| *member == (*p, id)).is_some());
            group.mentions = mentions.into();
            group.stale = 0;
        }
    }
}

fn key(family: Family, attributes: Option<&Arc<PathAttributes>>) -> (Family, usize) {
    (family, attributes.map_or(0, |attributes| Arc::as_ptr(attributes) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(med: u32) -> Arc<PathAttributes> {
        let originated = PathAttributes::originated("192.0.2.1".parse().unwrap());
        Arc::new(PathAttributes { med: Some(med), ..originated })
    }

    fn prefix(i: u8) -> Prefix {
        Prefix::new([10, i, 0, 0].into(), 16).unwrap()
    }

    #[test]
    fn a_prefix_leaves_with_its_latest_group_and_once() {
        let (a, b) = (attributes(1), attributes(2));
        let mut pending = Pending::default();
        for attributes in [Some(&a), Some(&b), None, Some(&a)] {
            pending.insert(prefix(1), attributes.cloned());
        }
        pending.insert(prefix(2), Some(b.clone()));
        pending.insert(prefix(3), Some(b.clone()));
        pending.remove(prefix(3));
        let (mut left, mut groups) = (vec![], 0);
        while let Some((attributes, prefixes)) = pending.pop(10) {
            groups += 1;
            left.extend(prefixes.into_iter().map(|p| (p, attributes.as_ref().and_then(|a| a.med))));
        }
        left.sort_unstable();
        assert_eq!(left, [(prefix(1), Some(1)), (prefix(2), Some(2))]);
        assert_eq!((groups, pending.is_empty()), (2, true));
    }

    #[test]
    fn a_flapping_prefix_does_not_grow_what_is_pending() {
        let groups = [attributes(1), attributes(2)];
        let mut pending = Pending::default();
        for group in &groups {
            pending.insert(prefix(0), Some(group.clone()));
            pending.insert(prefix(group.med.unwrap() as u8), Some(group.clone()));
        }
        for round in 0..10_000 {
            pending.insert(prefix(0), Some(groups[round % 2].clone()));
        }
        let mentions: usize = pending.groups.values().map(|group| group.mentions.len()).sum();
        assert!(mentions <= 4 * TIDY_FROM, "{mentions}");
    }

    #[test]
    fn a_large_group_is_taken_in_portions_in_order() {
        let mut pending = Pending::default();
        let a = attributes(1);
        (0..100).for_each(|i| pending.insert(prefix(i), Some(a.clone())));
        let taken = |pending: &mut Pending| pending.pop(60).map(|(_, prefixes)| prefixes);
        assert_eq!(taken(&mut pending), Some((0..60).map(prefix).collect()));
        assert_eq!(taken(&mut pending), Some((60..100).map(prefix).collect()));
        assert_eq!(taken(&mut pending), None);
    }
}
