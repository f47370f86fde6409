//! Who is told the same: peers in groups (RFC 4271 knows no such thing, every router has them).
//!
//! A group lasts as long as it has members. Whether they are still alike is asked again when something that
//! this hangs on may have changed, and not otherwise: whoever changes such a thing says so by
//! [`Groups::reconsider`], and nothing is decided or told before [`Speaker::regroup`] has looked. A group whose
//! members have changed together goes on as it is; of one that is not alike any more, the fewer leave, with a
//! copy of what they have been told. Groups that have become alike are merged when both have been told all, so
//! that peers that are configured one after the other are one group in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::Speaker;
use super::audience::Terms;
use super::settle::Facts;
use crate::bgp::{Codec, PathAttributes};
use crate::prefix::Family;
use crate::rib::holds::Holds;
use crate::rib::loc_rib::Place;
use crate::rib::{PeerId, UpdateGroup};

/// One group, for as long as the speaker lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupId(u32);

/// All groups of established peers.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) all: BTreeMap<GroupId, Group>,
    of: BTreeMap<PeerId, GroupId>,
    next: u32,
    /// Peers whose group is to be found, or found again.
    unplaced: BTreeSet<PeerId>,
    /// Of these, peers whose group is to be compared with all that it should know.
    walked: BTreeSet<PeerId>,
    /// Groups that may have become like another.
    touched: BTreeSet<GroupId>,
    /// Places that somebody is still to be told about.
    pub(super) holds: Holds,
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) out: UpdateGroup,
    /// That of one of its sessions: what encoding asks of it is the same for all.
    pub(super) codec: Codec,
    /// Families without path identifiers.
    families: Vec<Family>,
    /// Families whose table is still to be walked for the group, and how far the walk has come.
    pub(super) walks: BTreeMap<Family, Option<Place>>,
}

impl Group {
    fn of(terms: &Terms<'_>) -> Group {
        let families: Vec<Family> = terms.families().collect();
        let mut group = Group {
            out: UpdateGroup::default(),
            codec: terms.codec.clone(),
            families,
            walks: BTreeMap::new(),
        };
        group.walk_again();
        group
    }

    fn walk_again(&mut self) {
        self.walks = self.families.iter().map(|family| (*family, None)).collect();
    }
}

impl Groups {
    /// Has a peer's group found, or found again, before anything is told.
    pub(super) fn reconsider(&mut self, id: PeerId) {
        self.unplaced.insert(id);
    }

    /// The same, and has all compared that the peer should know.
    pub(super) fn walk_again(&mut self, id: PeerId) {
        self.unplaced.insert(id);
        self.walked.insert(id);
    }

    /// Takes a peer out whose session has ended.
    pub(super) fn leave(&mut self, id: PeerId) {
        self.unplaced.remove(&id);
        self.walked.remove(&id);
        let Some(group) = self.of.remove(&id) else { return };
        let Some(members) = self.all.get_mut(&group) else { return };
        members.out.leave(id, &mut self.holds);
        if members.out.members().next().is_none() {
            self.all.remove(&group);
        }
    }

    /// The group of a peer.
    pub(super) fn of(&self, id: PeerId) -> Option<&Group> {
        self.all.get(self.of.get(&id)?)
    }

    /// The same, to be changed, and where places are held.
    pub(super) fn of_mut(&mut self, id: PeerId) -> Option<(&mut Group, &mut Holds)> {
        Some((self.all.get_mut(self.of.get(&id)?)?, &mut self.holds))
    }

    /// Whether the peer has been handed all that it should know of a family.
    pub(super) fn have_told_all(&self, id: PeerId, family: Family) -> bool {
        let told = |group: &Group| !group.walks.contains_key(&family) && group.out.has_told_all(id);
        !self.unplaced.contains(&id) && self.of(id).is_some_and(told)
    }

    /// Nothing is to be known of these places for now: what was best is gone, and the next is not chosen yet.
    pub(super) fn retract(&mut self, places: &[Place]) {
        for group in self.all.values_mut() {
            places.iter().for_each(|place| group.out.set(*place, None, &mut self.holds));
        }
    }

    /// Whether the peer is told by itself.
    pub(super) fn tell_alone(&self, id: PeerId) -> bool {
        self.of(id).is_some_and(|group| group.out.is_apart(id))
    }

    /// What the peer has been told of a place.
    pub(super) fn told(&self, id: PeerId, place: Place) -> Option<&PathAttributes> {
        self.of(id)?.out.told(id, place)
    }

    /// How many prefixes of a family it has been told.
    pub(super) fn len(&self, id: PeerId, family: Family) -> u64 {
        self.of(id).map_or(0, |group| group.out.len(id, family))
    }

    /// Parts members that are alike no more. The most stay.
    fn part(&mut self, id: GroupId, facts: &Facts<'_>) {
        let Some(group) = self.all.get(&id) else { return };
        let mut alike: Vec<(Terms<'_>, Vec<PeerId>)> = vec![];
        for peer in group.out.members() {
            let Some(terms) = facts.terms(peer) else { continue };
            match alike.iter_mut().find(|(others, _)| others.is_like(&terms)) {
                Some((_, members)) => members.push(peer),
                None => alike.push((terms, vec![peer])),
            }
        }
        alike.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
        for (terms, members) in alike.into_iter().skip(1) {
            let Some(group) = self.all.get_mut(&id) else { return };
            let out = group.out.split(&members, &mut self.holds);
            let walks = group.walks.clone();
            let other = GroupId(self.next);
            self.next += 1;
            self.of.extend(members.into_iter().map(|peer| (peer, other)));
            self.all.insert(other, Group { out, walks, ..Group::of(&terms) });
        }
    }

    /// Merges a group into another that is alike. Where they are not quiet yet, it stays to be asked again;
    /// where they are and know different things, nothing is gained by that.
    fn merge(&mut self, id: GroupId, facts: &Facts<'_>) {
        let Some(terms) = self.terms(id, facts) else { return };
        let is_like =
            |other: &GroupId| self.terms(*other, facts).is_some_and(|others| others.is_like(&terms));
        let Some(other) = self.all.keys().copied().find(|other| *other != id && is_like(other)) else {
            return;
        };
        let Some(mut group) = self.all.remove(&id) else { return };
        let members: Vec<PeerId> = group.out.members().collect();
        let quiet = |group: &Group| group.walks.is_empty() && group.out.is_quiet();
        let into = self.all.get_mut(&other).filter(|other| quiet(other) && quiet(&group));
        if into.is_none() {
            self.touched.insert(id);
        }
        if into.is_some_and(|other| other.out.merge(&mut group.out)) {
            self.of.extend(members.into_iter().map(|peer| (peer, other)));
            // There may be a third.
            self.touched.insert(other);
        } else {
            self.all.insert(id, group);
        }
    }

    /// The terms of a group's members, which are alike.
    fn terms<'a>(&self, id: GroupId, facts: &Facts<'a>) -> Option<Terms<'a>> {
        facts.terms(self.all.get(&id)?.out.members().next()?)
    }

    /// Finds the group of a peer that has none.
    fn place(&mut self, id: PeerId, facts: &Facts<'_>) {
        let Some(terms) = facts.terms(id) else { return };
        let is_it = |group: &GroupId| self.terms(*group, facts).is_some_and(|others| others.is_like(&terms));
        let found = self.all.keys().copied().find(is_it);
        let group = found.unwrap_or(GroupId(self.next));
        if found.is_none() {
            self.next += 1;
        }
        self.all.entry(group).or_insert_with(|| Group::of(&terms)).out.join(id);
        self.of.insert(id, group);
    }
}

impl Speaker {
    /// Puts every peer into the group where it belongs.
    pub(super) fn regroup(&mut self) {
        let presence = self.presence();
        let Some(intent) = self.intent.as_ref().filter(|_| !self.groups.unplaced.is_empty()) else { return };
        let facts = Facts::new(intent, &self.peers, &self.next_hops, presence);
        let groups = &mut self.groups;
        let unplaced = std::mem::take(&mut groups.unplaced);
        let touched: BTreeSet<GroupId> =
            unplaced.iter().filter_map(|id| groups.of.get(id).copied()).collect();
        touched.into_iter().for_each(|group| groups.part(group, &facts));
        for id in unplaced {
            if !groups.of.contains_key(&id) {
                groups.place(id, &facts);
            }
            groups.touched.extend(groups.of.get(&id));
            self.busy.insert(id);
        }
        for id in std::mem::take(&mut groups.walked) {
            if let Some((group, _)) = groups.of_mut(id) {
                group.walk_again();
            }
        }
    }

    /// Merges groups that have become alike. To be called when nothing is left to be decided or told.
    pub(super) fn merge_groups(&mut self) {
        let presence = self.presence();
        let placed = self.groups.unplaced.is_empty();
        let is_due = placed && !self.groups.touched.is_empty() && self.rib.is_settled();
        let Some(intent) = self.intent.as_ref().filter(|_| is_due) else { return };
        let facts = Facts::new(intent, &self.peers, &self.next_hops, presence);
        for id in std::mem::take(&mut self.groups.touched) {
            self.groups.merge(id, &facts);
        }
    }

    /// Whether a peer has been handed all that it should know of a family.
    pub(super) fn has_told_all(&self, id: PeerId, family: Family) -> bool {
        let of_peer = self
            .peers
            .get(&id)
            .is_some_and(|peer| peer.out.is_in_step() && !peer.walks.contains_key(&family));
        of_peer && self.groups.have_told_all(id, family)
    }

    /// Gives the places back that nobody is to be told about any more.
    pub(super) fn let_places_go(&mut self) {
        for place in self.groups.holds.take_freed() {
            self.rib.drop_if_empty(place);
        }
    }
}
