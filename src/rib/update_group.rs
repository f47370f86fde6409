//! An update group: peers that should be told the same, and what they have been told and are still to be
//! told of it. The Adj-RIB-Out (RFC 4271 §3.2) of all of them, kept once.
//!
//! The group holds what its members should know, by place: four octets a prefix. Nobody is told what it has
//! said itself, so who has said it is part of that. Members that are in step are one follower and are told
//! together, but for those that have said, or had said, what is told. A member that has fallen behind, has
//! just come or has asked for everything again is a follower of its own until it has caught up.
//!
//! Which peers are alike, how much each may be given and how that is encoded is for the owner to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::follower::{Follower, Shared, Wanted};
use super::holds::Holds;
use super::loc_rib::Place;
use super::news::{Audience, News, of_all, of_one};
use super::path::{PeerId, Source};
use super::statement::{StatementId, Statements};
use crate::bgp::PathAttributes;
use crate::prefix::Family;

/// See the module.
#[derive(Debug, Default)]
pub struct UpdateGroup {
    statements: Statements,
    wanted: Wanted,
    /// Of how many places anything should be known, by family.
    stated: [usize; 2],
    in_step: BTreeSet<PeerId>,
    /// All that are in step.
    crowd: Follower,
    /// The others.
    apart: BTreeMap<PeerId, Follower>,
}

impl UpdateGroup {
    fn parts<'a>(
        &'a mut self,
        holds: &'a mut Holds,
    ) -> (&'a mut Follower, &'a mut BTreeMap<PeerId, Follower>, Shared<'a>) {
        let shared = Shared { wanted: &self.wanted, statements: &mut self.statements, holds };
        (&mut self.crowd, &mut self.apart, shared)
    }

    /// Sets what is to be known of a place: that the path of this source is announced with these attributes,
    /// which are interned; `None` for nothing.
    pub fn set(&mut self, place: Place, told: Option<(&Arc<PathAttributes>, Source)>, holds: &mut Holds) {
        let id = told
            .map_or(StatementId::NOTHING, |(attributes, source)| self.statements.number(attributes, source));
        let before = self.wanted.replace(place, id);
        if before == id {
            return;
        }
        self.statements.keep(id);
        let stated = &mut self.stated[place.family() as usize];
        *stated += usize::from(before == StatementId::NOTHING);
        *stated -= usize::from(id == StatementId::NOTHING);
        let emptied = *stated == 0;
        let is_followed = !self.in_step.is_empty();
        let (crowd, apart, mut shared) = self.parts(holds);
        if is_followed {
            crowd.change(place, before, &mut shared);
        }
        apart.values_mut().for_each(|follower| follower.change(place, before, &mut shared));
        self.statements.release(before);
        if emptied {
            // A table that has emptied gives its memory back.
            self.wanted.forget(place.family());
        }
    }

    /// Takes in a peer that has been told nothing yet.
    pub fn join(&mut self, peer: PeerId) {
        if self.stated == [0; 2] && self.crowd.is_in_step() {
            self.in_step.insert(peer);
        } else {
            self.apart.insert(peer, Follower::newcomer(Source::Peer(peer)));
        }
    }

    /// Lets go of a member.
    pub fn leave(&mut self, peer: PeerId, holds: &mut Holds) {
        let was_last = self.in_step.remove(&peer) && self.in_step.is_empty();
        let follower = self.apart.remove(&peer);
        let (crowd, _, mut shared) = self.parts(holds);
        follower.into_iter().for_each(|mut follower| follower.clear(&mut shared));
        if was_last {
            crowd.clear(&mut shared);
        }
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = PeerId> {
        self.in_step.iter().chain(self.apart.keys()).copied()
    }

    /// Members that are told together.
    pub fn in_step(&self) -> impl Iterator<Item = PeerId> {
        self.in_step.iter().copied()
    }

    /// Members that are told each by itself.
    pub fn apart(&self) -> impl Iterator<Item = PeerId> {
        self.apart.keys().copied()
    }

    /// Whether a member is told by itself.
    pub fn is_apart(&self, peer: PeerId) -> bool {
        self.apart.contains_key(&peer)
    }

    /// Whether all that the member should know has been taken to be told.
    pub fn has_told_all(&self, peer: PeerId) -> bool {
        self.apart.get(&peer).unwrap_or(&self.crowd).is_in_step()
    }

    /// How many places those in step are to be told of.
    pub fn waiting(&self) -> usize {
        self.crowd.len()
    }

    /// Who has said what those in step are told next, and will therefore not be told.
    pub fn next_source(&self) -> Option<Source> {
        self.crowd.next_source(&self.statements)
    }

    /// A member falls out of step: it is told by itself from now on, as it comes to it, and does not hold the
    /// others up.
    pub fn fall_behind(&mut self, peer: PeerId, holds: &mut Holds) {
        if !self.in_step.remove(&peer) {
            return;
        }
        let is_followed = !self.in_step.is_empty();
        let (crowd, apart, mut shared) = self.parts(holds);
        let follower = crowd.copied(Some(Source::Peer(peer)), |id| id, &mut shared);
        apart.insert(peer, follower);
        if !is_followed {
            crowd.clear(&mut shared);
        }
    }

    /// Members that are told each by itself and could be told together with the others.
    pub fn caught_up(&self) -> impl Iterator<Item = PeerId> {
        let apart = self.apart.iter().filter(|_| self.crowd.is_in_step());
        apart.filter(|(_, follower)| follower.is_in_step()).map(|(peer, _)| *peer)
    }

    /// A member that has caught up is told together with the others again, once those have been told all.
    pub fn fall_in(&mut self, peer: PeerId) {
        if !self.crowd.is_in_step() || !self.apart.get(&peer).is_some_and(Follower::is_in_step) {
            return;
        }
        if self.in_step.is_empty() {
            self.count();
        }
        self.apart.remove(&peer);
        self.in_step.insert(peer);
    }

    /// Counts what those know who know what they should.
    fn count(&mut self) {
        self.crowd = Follower::default();
        for family in Family::ALL {
            let all = self.wanted.of(family);
            for same in all.chunk_by(|a, b| a == b).filter(|same| same[0] != StatementId::NOTHING) {
                if self.statements.is_told(same[0]) {
                    self.crowd.tally.add(family, same[0], same.len() as u64, &self.statements);
                }
            }
        }
    }

    /// Tells a member again all that it knows of a family (RFC 2918 §4), from where it stands.
    pub fn tell_again(&mut self, peer: PeerId, family: Family, holds: &mut Holds) {
        self.fall_behind(peer, holds);
        if let Some(follower) = self.apart.get_mut(&peer) {
            follower.tell_again(family);
        }
    }

    /// Takes what the next so many places are to be told those in step, and counts it as told.
    pub fn poll_crowd(&mut self, most: usize, holds: &mut Holds) -> Vec<News> {
        let mut news = vec![];
        let mut left = most;
        while let Some(taken) = {
            let (crowd, _, mut shared) = self.parts(holds);
            crowd.pop(left, &mut shared)
        } {
            left -= taken.places.len();
            of_all(&taken, &self.statements, &self.in_step, &mut news);
            taken.places.iter().for_each(|(_, known)| self.statements.release(*known));
        }
        news
    }

    /// The same of one member that is told by itself. Also goes on with its walk, if it is on one.
    pub fn poll_member(&mut self, peer: PeerId, most: usize, holds: &mut Holds) -> Vec<News> {
        let mut news = vec![];
        let mut left = most;
        loop {
            let (_, apart, mut shared) = self.parts(holds);
            let Some(follower) = apart.get_mut(&peer).filter(|follower| left > 0 && !follower.is_in_step())
            else {
                return news;
            };
            if follower.len() < left {
                follower.walk(most, &mut shared);
            }
            // Of many places on its way nothing may be to be told.
            let Some(taken) = follower.pop(left, &mut shared) else { continue };
            left -= taken.places.len();
            of_one(&taken, &self.statements, &mut news);
            taken.places.iter().for_each(|(_, known)| self.statements.release(*known));
        }
    }

    /// Notes that nobody can be told a statement, because it fits into no message, after it was taken to be
    /// told of so many places: to one member or to those in step.
    pub fn forget(&mut self, to: Option<PeerId>, statement: StatementId, family: Family, places: usize) {
        let follower = to.and_then(|peer| self.apart.get_mut(&peer)).unwrap_or(&mut self.crowd);
        follower.tally.lose(family, statement, places as u64, &self.statements);
        self.statements.set_unfit(statement);
    }

    /// What a member has been told of a place.
    pub fn told(&self, peer: PeerId, place: Place) -> Option<&PathAttributes> {
        let follower = self.apart.get(&peer).unwrap_or(&self.crowd);
        let known = follower.told(place, self.wanted.at(place), &self.statements);
        let statement = self.statements.at(known)?;
        let own = statement.source == Source::Peer(peer);
        self.statements.attributes(known).filter(|_| !own).map(|attributes| &**attributes)
    }

    /// How many prefixes of a family a member has been told.
    pub fn len(&self, peer: PeerId, family: Family) -> u64 {
        let follower = self.apart.get(&peer).unwrap_or(&self.crowd);
        follower.tally.known_to(Source::Peer(peer), family)
    }

    /// Parts with these members, who take with them what they know and should know: they make a group of
    /// their own.
    pub fn split(&mut self, members: &[PeerId], holds: &mut Holds) -> UpdateGroup {
        let mut other = UpdateGroup::default();
        let mut numbers = BTreeMap::from([
            (StatementId::NOTHING, StatementId::NOTHING),
            (StatementId::FORMERLY, StatementId::FORMERLY),
        ]);
        let statements = &mut other.statements;
        let mut translated = |id: StatementId| {
            *numbers.entry(id).or_insert_with(|| {
                let wording = self.statements.wording(id);
                let Some((wording, source)) = wording else { return StatementId::NOTHING };
                let number = statements.number(wording, source);
                if !self.statements.is_told(id) {
                    statements.set_unfit(number);
                }
                number
            })
        };
        for family in Family::ALL {
            for (at, id) in self.wanted.of(family).iter().enumerate() {
                // As many places as the other table has.
                other.wanted.replace(Place::new(family, at as u32), translated(*id));
            }
        }
        let followers = std::iter::once(&self.crowd).chain(self.apart.values());
        for id in followers.flat_map(Follower::statements) {
            translated(id);
        }
        for id in Family::ALL.iter().flat_map(|family| other.wanted.of(*family)) {
            other.statements.keep(*id);
        }
        other.stated = self.stated;
        let translate = |id| numbers.get(&id).copied().unwrap_or_default();
        let mut shared =
            Shared { wanted: &other.wanted, statements: &mut other.statements, holds: &mut *holds };
        other.crowd = self.crowd.copied(None, translate, &mut shared);
        for peer in members {
            if let Some(follower) = self.apart.get(peer) {
                let copy = follower.copied(Some(Source::Peer(*peer)), translate, &mut shared);
                other.apart.insert(*peer, copy);
            } else if self.in_step.contains(peer) {
                other.in_step.insert(*peer);
            }
        }
        if other.in_step.is_empty() {
            other.crowd.clear(&mut shared);
        }
        other.statements.sweep();
        members.iter().for_each(|peer| self.leave(*peer, holds));
        other
    }

    /// Whether all members are in step and have been told all.
    pub fn is_quiet(&self) -> bool {
        self.apart.is_empty() && self.crowd.is_in_step()
    }

    /// Takes in the members of another group, if both are quiet and know the same. `false` if not.
    pub fn merge(&mut self, other: &mut UpdateGroup) -> bool {
        let merged = self.is_quiet() && other.is_quiet() && self.wants_the_same(other);
        if merged {
            self.in_step.append(&mut std::mem::take(other).in_step);
        }
        merged
    }

    fn wants_the_same(&self, other: &UpdateGroup) -> bool {
        let same = |(one, another): (&StatementId, &StatementId)| match (
            self.statements.wording(*one),
            other.statements.wording(*another),
        ) {
            (Some((one, of)), Some((another, by))) => Arc::ptr_eq(one, another) && of == by,
            (one, another) => one.is_none() && another.is_none(),
        };
        let all_same =
            |family: &Family| self.wanted.of(*family).iter().zip(other.wanted.of(*family)).all(same);
        // Where the one has places that the other has not, these are as empty as the counts are the same.
        self.stated == other.stated && Family::ALL.iter().all(all_same)
    }

    /// Ends: nobody is to be told anything any more.
    pub fn clear(&mut self, holds: &mut Holds) {
        for peer in self.members().collect::<Vec<_>>() {
            self.leave(peer, holds);
        }
    }
}

impl Audience {
    /// Whether one of those in step is told.
    pub fn has(&self, peer: PeerId) -> bool {
        match self {
            Audience::All => true,
            Audience::AllBut(peers) => !peers.contains(&peer),
            Audience::Only(only) => *only == peer,
        }
    }
}

#[cfg(test)]
#[path = "update_group/tests.rs"]
mod tests;
