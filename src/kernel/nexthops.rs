//! The nexthop objects of ours that the kernel is to hold: groups, and the single next hops they share.
//!
//! Pure bookkeeping. Groups are asked for from outside, by number; singles are made for the first group that
//! needs them, never changed (with `net.ipv4.nexthop_compat_mode=1` that would cost a notice for each
//! route), and removed after the last group. The kernel may know less than what stands here: it removes
//! singles without a word when their link goes down, and with them their places in groups and emptied groups.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::nexthop_message::{ACTIVE, Entry, Form, GROUPS, Object, SINGLES, STANDBY, members};
use crate::fib::{Group, GroupId, NextHop};

/// What a single next hop is known by: router and interface.
pub(super) type Key = (IpAddr, u32);

/// The objects of ours in one namespace.
#[derive(Debug)]
pub(super) struct Nexthops {
    singles: BTreeMap<Key, Single>,
    groups: BTreeMap<GroupId, Held>,
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct Single {
    id: u32,
    /// How many groups need it.
    users: usize,
}

/// A group as it was last set.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Its singles, in the kernel's order.
    pub(super) keys: Vec<Key>,
    pub(super) entries: Vec<Entry>,
    /// Its type, which the kernel never changes.
    pub(super) resilient: bool,
}

impl Default for Nexthops {
    fn default() -> Nexthops {
        Nexthops { singles: BTreeMap::new(), groups: BTreeMap::new(), next: SINGLES.start }
    }
}

impl Nexthops {
    /// What the kernel holds of a protocol's, from a dump.
    pub(super) fn read(objects: &[Object], protocol: u8) -> Nexthops {
        let mut read = Nexthops::default();
        for object in objects.iter().filter(|object| SINGLES.contains(&object.id)) {
            // Whoever made it, the number is taken.
            read.next = read.next.max(object.id + 1);
            if let (Form::Single { via, interface }, true) = (&object.form, object.protocol == protocol) {
                read.singles.insert((*via, *interface), Single { id: object.id, users: 0 });
            }
        }
        let keys: BTreeMap<u32, Key> = read.singles.iter().map(|(key, single)| (single.id, *key)).collect();
        for object in objects.iter().filter(|object| is_our_group(object, protocol)) {
            let Form::Group { entries, resilient } = &object.form else { continue };
            let entries: Vec<Entry> =
                entries.iter().copied().filter(|entry| keys.contains_key(&entry.id)).collect();
            let keys = entries.iter().map(|entry| keys[&entry.id]).collect();
            let held = Held { keys, entries, resilient: *resilient };
            read.hold(GroupId(object.id), held);
        }
        read
    }

    /// The singles that a group needs and that are not there. Give each a number with [`Nexthops::add`].
    ///
    /// # Errors
    /// A next hop without an interface, in words.
    pub(super) fn missing(&self, group: &Group) -> Result<Vec<Key>, String> {
        let mut missing = Vec::new();
        for (hop, _) in self.weighted(group) {
            let interface =
                hop.interface.ok_or_else(|| format!("it needs to know the interface to {}", hop.via))?;
            let key = (hop.via, interface);
            if !self.singles.contains_key(&key) && !missing.contains(&key) {
                missing.push(key);
            }
        }
        Ok(missing)
    }

    /// What the group is to be, of the singles that are there. Follow with [`Nexthops::hold`] when it is.
    pub(super) fn plan(&self, group: &Group) -> Held {
        let mut held = Held { keys: Vec::new(), entries: Vec::new(), resilient: self.is_resilient(group) };
        for (hop, weight) in self.weighted(group) {
            let Some(interface) = hop.interface else { continue };
            let key = (hop.via, interface);
            let Some(single) = self.singles.get(&key) else { continue };
            held.keys.push(key);
            held.entries.push(Entry { id: single.id, weight });
        }
        held
    }

    /// The next hops of a group in the kernel's order, with their weights there.
    fn weighted<'a>(&self, group: &'a Group) -> Vec<(&'a NextHop, u8)> {
        match (group.members.as_slice(), group.standby.as_slice()) {
            ([active], [standby]) if self.is_resilient(group) => {
                vec![(active, ACTIVE), (standby, STANDBY)]
            }
            (members, _) => members.iter().map(|hop| (hop, hop.weight.max(1))).collect(),
        }
    }

    /// The type that the group has, and keeps; or is to have: resilient for a standby's sake, which takes
    /// exactly one member. Others do without their standby.
    fn is_resilient(&self, group: &Group) -> bool {
        let pair = matches!((group.members.as_slice(), group.standby.as_slice()), ([_], [_]));
        self.groups.get(&group.id).map_or(pair, |held| held.resilient)
    }

    /// Gives a single a number of its own, which may turn out to be somebody else's.
    pub(super) fn add(&mut self, key: Key) -> u32 {
        let id = if SINGLES.contains(&self.next) { self.next } else { SINGLES.start };
        self.next = id + 1;
        self.singles.insert(key, Single { id, users: 0 });
        id
    }

    /// The single has not come to be.
    pub(super) fn forget(&mut self, key: Key) {
        self.singles.remove(&key);
    }

    /// The group is like this from now on.
    pub(super) fn hold(&mut self, id: GroupId, held: Held) {
        self.count(&held.keys, |users| users + 1);
        if let Some(before) = self.groups.insert(id, held) {
            self.count(&before.keys, |users| users.saturating_sub(1));
        }
    }

    /// The group is gone.
    pub(super) fn drop_group(&mut self, id: GroupId) {
        if let Some(before) = self.groups.remove(&id) {
            self.count(&before.keys, |users| users.saturating_sub(1));
        }
    }

    fn count(&mut self, keys: &[Key], change: impl Fn(usize) -> usize) {
        for key in keys {
            if let Some(single) = self.singles.get_mut(key) {
                single.users = change(single.users);
            }
        }
    }

    /// Whether the group is ours.
    pub(super) fn holds(&self, id: GroupId) -> bool {
        self.groups.contains_key(&id)
    }

    /// Forgets the singles among these that no group needs, and returns their numbers, for removal.
    pub(super) fn forget_unused(&mut self, keys: &[Key]) -> Vec<u32> {
        let mut unused = Vec::new();
        for key in keys {
            if self.singles.get(key).is_some_and(|single| single.users == 0) {
                unused.extend(self.singles.remove(key).map(|single| single.id));
            }
        }
        unused
    }

    /// The keys of a group's singles.
    pub(super) fn keys_of(&self, id: GroupId) -> Vec<Key> {
        self.groups.get(&id).map(|held| held.keys.clone()).unwrap_or_default()
    }

    /// Every single, by key, with its number.
    pub(super) fn singles(&self) -> impl Iterator<Item = (Key, u32)> {
        self.singles.iter().map(|(key, single)| (*key, single.id))
    }

    /// The groups in the form that is asked for.
    pub(super) fn groups(&self) -> Vec<Group> {
        let keys: BTreeMap<u32, Key> = self.singles().map(|(key, id)| (id, key)).collect();
        let single = |id| keys.get(&id).copied();
        (self.groups.iter())
            .map(|(id, held)| {
                let (members, standby) = members(&held.entries, held.resilient, single);
                Group { id: *id, members, standby }
            })
            // What is left of one whose members are another's is nothing to build on.
            .filter(|group| !group.members.is_empty())
            .collect()
    }
}

/// Whether an object is one of our groups.
fn is_our_group(object: &Object, protocol: u8) -> bool {
    GROUPS.contains(&object.id) && object.protocol == protocol
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(n: u8) -> NextHop {
        NextHop { via: [192, 0, 2, n].into(), interface: Some(7), weight: 1 }
    }

    fn key(n: u8) -> Key {
        ([192, 0, 2, n].into(), 7)
    }

    fn group(id: u32, members: &[u8], standby: &[u8]) -> Group {
        let hops = |of: &[u8]| of.iter().map(|n| hop(*n)).collect();
        Group { id: GroupId(GROUPS.start + id), members: hops(members), standby: hops(standby) }
    }

    /// Sets a group as if the kernel had agreed; the singles that were made, and those that were removed.
    fn set(nexthops: &mut Nexthops, group: &Group) -> (Vec<Key>, usize) {
        let before = nexthops.keys_of(group.id);
        let missing = nexthops.missing(group).unwrap();
        for key in &missing {
            nexthops.add(*key);
        }
        let held = nexthops.plan(group);
        nexthops.hold(group.id, held);
        (missing, nexthops.forget_unused(&before).len())
    }

    #[test]
    fn singles_are_shared_and_live_as_long_as_a_group_needs_them() {
        let mut nexthops = Nexthops::default();
        assert_eq!(set(&mut nexthops, &group(1, &[1, 2], &[])), (vec![key(1), key(2)], 0));
        assert_eq!(set(&mut nexthops, &group(2, &[2, 3], &[])), (vec![key(3)], 0));
        assert_eq!(set(&mut nexthops, &group(1, &[2], &[])), (vec![], 1));
        assert_eq!(set(&mut nexthops, &group(1, &[2], &[])), (vec![], 0), "the same again");
        let id = GroupId(GROUPS.start + 2);
        let keys = nexthops.keys_of(id);
        nexthops.drop_group(id);
        assert_eq!(nexthops.forget_unused(&keys).len(), 1);
        assert_eq!(nexthops.singles().map(|(key, _)| key).collect::<Vec<_>>(), [key(2)]);
        assert_eq!(nexthops.groups(), [group(1, &[2], &[])]);
    }

    #[test]
    fn a_standby_makes_a_group_resilient_for_life() {
        let mut nexthops = Nexthops::default();
        set(&mut nexthops, &group(1, &[1], &[2]));
        assert_eq!(nexthops.groups(), [group(1, &[1], &[2])]);
        set(&mut nexthops, &group(1, &[2, 3], &[]));
        assert!(nexthops.groups.values().all(|held| held.resilient));
        set(&mut nexthops, &group(1, &[3], &[1]));
        assert_eq!(nexthops.groups(), [group(1, &[3], &[1])]);
        // The other way round there is none.
        set(&mut nexthops, &group(2, &[1], &[]));
        set(&mut nexthops, &group(2, &[1], &[2]));
        assert_eq!(nexthops.groups()[1], group(2, &[1], &[]));
    }

    #[test]
    fn a_refused_group_leaves_nothing() {
        let mut nexthops = Nexthops::default();
        let unnamed = NextHop { interface: None, ..hop(9) };
        let bad = Group { id: GroupId(GROUPS.start), members: vec![hop(1), unnamed], standby: vec![] };
        assert_eq!(nexthops.missing(&bad).unwrap_err(), "it needs to know the interface to 192.0.2.9");
        let missing = nexthops.missing(&group(1, &[1, 2], &[])).unwrap();
        for key in &missing {
            nexthops.add(*key);
        }
        nexthops.forget(key(2));
        assert_eq!(nexthops.forget_unused(&missing), [SINGLES.start]);
        assert_eq!(nexthops.singles().count(), 0);
    }

    #[test]
    fn numbers_start_over_at_the_end_of_their_range() {
        let mut nexthops = Nexthops { next: SINGLES.end - 1, ..Nexthops::default() };
        set(&mut nexthops, &group(1, &[1, 2], &[]));
        let ids: Vec<u32> = nexthops.singles().map(|(_, id)| id).collect();
        assert_eq!(ids, [SINGLES.end - 1, SINGLES.start]);
    }

    #[test]
    fn what_the_kernel_holds_is_ours_by_number_and_protocol() {
        let single = |id: u32, protocol, n: u8| Object {
            id,
            protocol,
            form: Form::Single { via: [192, 0, 2, n].into(), interface: 7 },
        };
        let of = |id, protocol, members: &[u32]| Object {
            id,
            protocol,
            form: Form::Group {
                entries: members.iter().map(|id| Entry { id: *id, weight: 1 }).collect(),
                resilient: false,
            },
        };
        let (singles, groups) = (SINGLES.start, GROUPS.start);
        let objects = [
            single(5, 114, 5),
            single(singles, 114, 1),
            single(singles + 1, 114, 2),
            single(singles + 6, 99, 3),
            of(6, 114, &[singles]),
            of(groups + 1, 114, &[singles]),
            of(groups + 2, 99, &[singles]),
        ];
        let mut nexthops = Nexthops::read(&objects, 114);
        assert_eq!(nexthops.groups(), [group(1, &[1], &[])]);
        assert_eq!(nexthops.singles().count(), 2);
        assert_eq!(nexthops.next, singles + 7);
        let all: Vec<Key> = nexthops.singles().map(|(key, _)| key).collect();
        assert_eq!(nexthops.forget_unused(&all), [singles + 1], "no group needs it");
    }
}
