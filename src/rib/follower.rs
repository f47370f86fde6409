//! Whoever is still to be told what an update group should know: all of its members that are in step, who
//! are told together, or one that is not.
//!
//! A follower remembers, of each place where that differs from what it should know, what it knows. Changes to
//! a place that has not been told of yet therefore replace each other, and one that is taken back leaves
//! nothing to be told: a slow peer receives the latest state and never a history, and memory is bounded by
//! the size of the table. What is to be told is queued by statement, so that prefixes leave packed as closely
//! as they can be.
//!
//! A place belongs to one queue, that of what should be known of it. Moving to another leaves a stale mention
//! in the old one, which costs less than searching for it; those never outnumber the others for long.
//!
//! A peer that has just come, or asks for everything again (RFC 2918), walks through what its group has been
//! told: what lies ahead of the walk need not be remembered place by place.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::holds::Holds;
use super::loc_rib::Place;
use super::path::Source;
use super::statement::{StatementId, Statements};
use super::tally::Tally;
use crate::prefix::Family;
use crate::prefix::hash::hash_of;

/// Mentions are left alone by tidying while they are this few.
const TIDY_FROM: usize = 64;
/// Memory for so many places is kept, for the next that change, where it serves many.
const KEPT: usize = 1024;
/// Room for places that are told the same, before there is known to be more.
const FEW: usize = 8;

/// What the followers of a group have in common.
pub(super) struct Shared<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) statements: &'a mut Statements,
    pub(super) holds: &'a mut Holds,
}

/// What should be known, by place.
#[derive(Debug, Default)]
pub(super) struct Wanted([Vec<StatementId>; 2]);

impl Wanted {
    pub(super) fn at(&self, place: Place) -> StatementId {
        self.0[place.family() as usize].get(place.number() as usize).copied().unwrap_or_default()
    }

    /// Every place of a family, from the first on that was ever said anything of.
    pub(super) fn of(&self, family: Family) -> &[StatementId] {
        &self.0[family as usize]
    }

    /// Sets what should be known of a place, and returns what it was before.
    pub(super) fn replace(&mut self, place: Place, id: StatementId) -> StatementId {
        let (all, at) = (&mut self.0[place.family() as usize], place.number() as usize);
        if at >= all.len() {
            if id == StatementId::NOTHING {
                return id;
            }
            all.resize(at + 1, StatementId::NOTHING);
        }
        std::mem::replace(&mut all[at], id)
    }

    /// Nothing is to be known of a family any more: gives its memory back.
    pub(super) fn forget(&mut self, family: Family) {
        self.0[family as usize] = vec![];
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// The one peer it is, which is told nothing that it has said itself; `None` for all that are in step.
    alone: Option<Source>,
    /// By family: what is known of places where that is not what should be.
    known: [HashTable<(u32, StatementId)>; 2],
    /// In the order in which they came up.
    order: VecDeque<Key>,
    /// Never iterated.
    queues: HashTable<(Key, VecDeque<u32>)>,
    /// How many places the queues mention, again and again.
    mentions: usize,
    walks: [Option<Walk>; 2],
    /// How much it knows.
    pub(super) tally: Tally,
}

/// A statement to be told, of places of a family.
type Key = (Family, StatementId);

/// A walk through what should be known of a family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    /// Places from here on lie ahead.
    next: u32,
    /// Of these, those before this one are known as they should be, and are to be told again. Nothing is
    /// known of the others.
    known_to: u32,
}

/// Places that are to be told the same, with what has been known of each.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) family: Family,
    pub(super) statement: StatementId,
    pub(super) places: Vec<(u32, StatementId)>,
}

impl Follower {
    /// A peer that knows nothing yet.
    pub(super) fn newcomer(peer: Source) -> Follower {
        let walks = [Some(Walk { next: 0, known_to: 0 }); 2];
        Follower { alone: Some(peer), walks, ..Follower::default() }
    }

    /// Whether everything that should be known has been taken to be told.
    pub(super) fn is_in_step(&self) -> bool {
        self.is_empty() && self.walks.iter().all(Option::is_none)
    }

    /// Whether nothing waits to be told, beside what lies ahead of a walk.
    pub(super) fn is_empty(&self) -> bool {
        self.known.iter().all(HashTable::is_empty)
    }

    /// How many places wait to be told of.
    pub(super) fn len(&self) -> usize {
        self.known.iter().map(HashTable::len).sum()
    }

    /// Statement as this follower sees it: nobody is told what he has said himself.
    fn seen(&self, id: StatementId, statements: &Statements) -> StatementId {
        seen(self.alone, id, statements)
    }

    /// What should be known of a place was `before`, and is now what is wanted.
    pub(super) fn change(&mut self, place: Place, before: StatementId, shared: &mut Shared<'_>) {
        let before = self.seen(before, shared.statements);
        let after = self.seen(shared.wanted.at(place), shared.statements);
        if before == after {
            return;
        }
        let (family, at) = (place.family(), place.number());
        let ahead = self.walks[family as usize].filter(|walk| at >= walk.next);
        let withdrawn = after == StatementId::NOTHING;
        // Where a walk still comes by and nothing is known, it finds out what to tell. What changes of all
        // that is told again has to be remembered: what is wanted says no more what is known.
        let left_to_walk = |walk: Walk| at >= walk.known_to;
        match entry(&mut self.known[family as usize], at) {
            Entry::Occupied(known) => {
                if before == StatementId::NOTHING {
                    shared.holds.release(place);
                }
                if known.get().1 == after {
                    known.remove();
                    shared.statements.release(after);
                    return self.forget_mentions_if_empty();
                }
            }
            Entry::Vacant(_) if ahead.is_some_and(left_to_walk) => return,
            Entry::Vacant(free) => {
                shared.statements.keep(before);
                free.insert((at, before));
            }
        }
        if withdrawn {
            shared.holds.hold(place);
        }
        self.mention((family, after), at);
        self.tidy(shared);
    }

    /// Takes note that it knows something else of a place than it should.
    fn owe(&mut self, place: Place, known: StatementId, shared: &mut Shared<'_>) {
        let wanted = self.seen(shared.wanted.at(place), shared.statements);
        if known == wanted {
            return;
        }
        let Entry::Vacant(free) = entry(&mut self.known[place.family() as usize], place.number()) else {
            return;
        };
        free.insert((place.number(), known));
        shared.statements.keep(known);
        if wanted == StatementId::NOTHING {
            shared.holds.hold(place);
        }
        self.mention((place.family(), wanted), place.number());
    }

    /// Advances its walks by up to `most` places each.
    pub(super) fn walk(&mut self, most: usize, shared: &mut Shared<'_>) {
        for family in Family::ALL {
            let Some(mut walk) = self.walks[family as usize] else { continue };
            let all = shared.wanted.of(family);
            // Places are numbered by 32 bits.
            let end = all.len().min((walk.next as usize).saturating_add(most)) as u32;
            for at in walk.next..end {
                let wanted = self.seen(all[at as usize], shared.statements);
                let known = entry(&mut self.known[family as usize], at);
                if let (Entry::Vacant(free), true) = (known, wanted != StatementId::NOTHING) {
                    let again = at < walk.known_to && shared.statements.is_told(wanted);
                    free.insert((at, if again { StatementId::FORMERLY } else { StatementId::NOTHING }));
                    self.mention((family, wanted), at);
                }
            }
            walk.next = end;
            self.walks[family as usize] = Some(walk).filter(|walk| (walk.next as usize) < all.len());
        }
    }

    /// Makes it told again all that it knows of a family.
    pub(super) fn tell_again(&mut self, family: Family) {
        let known_to = self.walks[family as usize].map_or(u32::MAX, |walk| walk.next.max(walk.known_to));
        self.walks[family as usize] = Some(Walk { next: 0, known_to });
    }

    /// Takes up to `most` places that are to be told the same, and counts them as told. Whoever takes them
    /// must release what has been known.
    pub(super) fn pop(&mut self, most: usize, shared: &mut Shared<'_>) -> Option<Taken> {
        while let Some((family, statement)) = self.order.front().copied().filter(|_| most > 0) {
            let key = (family, statement);
            let queue = self.queues.find_mut(hash_of(&key), |(known, _)| *known == key);
            let Some((_, queue)) = queue else {
                self.order.pop_front();
                continue;
            };
            let mut places = Vec::with_capacity(queue.len().min(most));
            while places.len() < most
                && let Some(at) = queue.pop_front()
            {
                self.mentions -= 1;
                let place = Place::new(family, at);
                if seen(self.alone, shared.wanted.at(place), shared.statements) == statement
                    && let Ok(known) = find(&mut self.known[family as usize], at)
                {
                    places.push(known.remove().0);
                    if statement == StatementId::NOTHING {
                        shared.holds.release(place);
                    }
                }
            }
            if queue.is_empty() {
                self.order.pop_front();
                self.drop_queue(key);
            }
            self.forget_mentions_if_empty();
            if !places.is_empty() {
                self.tally.learn(family, statement, &places, shared.statements);
                return Some(Taken { family, statement, places });
            }
        }
        None
    }

    /// Who has said what is to be told next.
    pub(super) fn next_source(&self, statements: &Statements) -> Option<Source> {
        let (_, statement) = self.order.front()?;
        statements.at(*statement).map(|statement| statement.source)
    }

    /// What it has been told of a place.
    pub(super) fn told(&self, place: Place, wanted: StatementId, statements: &Statements) -> StatementId {
        let (family, at) = (place.family(), place.number());
        let known = self.known[family as usize].find(hash_of(&at), |(known, _)| *known == at);
        let ahead = self.walks[family as usize].is_some_and(|walk| at >= walk.next && at >= walk.known_to);
        match known.map(|(_, known)| *known) {
            Some(known) if known != StatementId::FORMERLY => known,
            None if ahead => StatementId::NOTHING,
            _ => self.seen(wanted, statements),
        }
    }

    /// One that knows the same and is that peer alone, or all as this one is, in a group where `translate`
    /// says by what numbers its statements go.
    pub(super) fn copied(
        &self,
        alone: Option<Source>,
        translate: impl Fn(StatementId) -> StatementId,
        to: &mut Shared<'_>,
    ) -> Follower {
        let tally = self.tally.of(alone.filter(|_| self.alone.is_none()));
        let mut copy = Follower { alone, walks: self.walks, tally, ..Follower::default() };
        for (family, at) in self.owed() {
            let known = self.known[family as usize].find(hash_of(&at), |(known, _)| *known == at);
            if let Some((_, known)) = known {
                let known = copy.seen(translate(*known), to.statements);
                copy.owe(Place::new(family, at), known, to);
            }
        }
        copy
    }

    /// What it knows of places where that is not what it should, each as often as it is known.
    pub(super) fn statements(&self) -> Vec<StatementId> {
        let known = |(family, at): (Family, u32)| {
            self.known[family as usize].find(hash_of(&at), |(known, _)| *known == at).map(|(_, id)| *id)
        };
        self.owed().into_iter().filter_map(known).collect()
    }

    /// Ends: nobody is to be told any more.
    pub(super) fn clear(&mut self, shared: &mut Shared<'_>) {
        for (family, at) in self.owed() {
            let Ok(known) = find(&mut self.known[family as usize], at) else { continue };
            let ((_, known), _) = known.remove();
            shared.statements.release(known);
            let place = Place::new(family, at);
            if self.seen(shared.wanted.at(place), shared.statements) == StatementId::NOTHING {
                shared.holds.release(place);
            }
        }
        *self = Follower { alone: self.alone, ..Follower::default() };
    }

    #[cfg(test)]
    pub(super) fn mentioned(&self) -> usize {
        self.mentions
    }

    /// Every place that is mentioned, in the order in which they would be told.
    fn owed(&self) -> Vec<(Family, u32)> {
        let queue = |key: &Key| {
            let queue = self.queues.find(hash_of(key), |(known, _)| known == key);
            queue.into_iter().flat_map(|(key, queue)| queue.iter().map(|at| (key.0, *at)))
        };
        self.order.iter().flat_map(queue).collect()
    }

    fn mention(&mut self, key: Key, at: u32) {
        let is_it = |(known, _): &(Key, VecDeque<u32>)| *known == key;
        match self.queues.entry(hash_of(&key), is_it, |(known, _)| hash_of(known)) {
            Entry::Occupied(mut queue) => queue.get_mut().1.push_back(at),
            Entry::Vacant(free) => {
                let mut queue = VecDeque::with_capacity(FEW);
                queue.push_back(at);
                free.insert((key, queue));
                self.order.push_back(key);
            }
        }
        self.mentions += 1;
    }

    fn drop_queue(&mut self, key: Key) {
        if let Ok(queue) = self.queues.find_entry(hash_of(&key), |(known, _)| *known == key) {
            queue.remove();
        }
    }

    fn forget_mentions_if_empty(&mut self) {
        if !self.is_empty() {
            return;
        }
        if self.mentions > 0 {
            self.order.clear();
            self.queues.clear();
            self.mentions = 0;
        }
        let kept = if self.alone.is_some() { TIDY_FROM } else { KEPT };
        if self.queues.capacity() > kept {
            (self.order, self.queues) = (VecDeque::new(), HashTable::new());
        }
        for known in self.known.iter_mut().filter(|known| known.capacity() > 2 * kept) {
            *known = HashTable::new();
        }
    }

    /// Drops stale mentions once they outnumber the others.
    fn tidy(&mut self, shared: &Shared<'_>) {
        if self.mentions <= TIDY_FROM + 2 * self.len() {
            return;
        }
        self.mentions = 0;
        for key in std::mem::take(&mut self.order) {
            let Ok(queue) = self.queues.find_entry(hash_of(&key), |(known, _)| *known == key) else {
                continue;
            };
            let ((_, queue), _) = queue.remove();
            let mut queue = Vec::from(queue);
            queue.sort_unstable();
            queue.dedup();
            let (family, statement) = key;
            queue.retain(|at| {
                let is_it = |(known, _): &(u32, StatementId)| known == at;
                self.known[family as usize].find(hash_of(at), is_it).is_some()
                    && self.seen(shared.wanted.at(Place::new(family, *at)), shared.statements) == statement
            });
            if !queue.is_empty() {
                self.mentions += queue.len();
                self.order.push_back(key);
                self.queues.insert_unique(hash_of(&key), (key, queue.into()), |(known, _)| hash_of(known));
            }
        }
    }
}

type Known = (u32, StatementId);

fn entry(known: &mut HashTable<Known>, at: u32) -> Entry<'_, Known> {
    known.entry(hash_of(&at), |(known, _)| *known == at, |(known, _)| hash_of(known))
}

fn find(
    known: &mut HashTable<Known>,
    at: u32,
) -> Result<hashbrown::hash_table::OccupiedEntry<'_, Known>, hashbrown::hash_table::AbsentEntry<'_, Known>> {
    known.find_entry(hash_of(&at), |(known, _)| *known == at)
}

/// A statement as somebody sees it who is told nothing that he has said himself.
fn seen(alone: Option<Source>, id: StatementId, statements: &Statements) -> StatementId {
    let own = alone.is_some() && statements.at(id).map(|statement| statement.source) == alone;
    if own { StatementId::NOTHING } else { id }
}
