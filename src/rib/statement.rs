//! What is said of prefixes: attributes, and where they come from. Each is kept once and has a number, so
//! that what a million prefixes are announced with takes four octets each.

use std::sync::Arc;

use hashbrown::HashTable;

use super::path::Source;
use crate::bgp::PathAttributes;
use crate::prefix::hash::hash_of;

/// The number of a statement, within its update group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct StatementId(u32);

impl StatementId {
    /// Nothing is said.
    pub const NOTHING: StatementId = StatementId(0);
    /// Something has been said, no matter what: it is to be said again.
    pub(super) const FORMERLY: StatementId = StatementId(1);

    fn of(index: usize) -> StatementId {
        // Fewer than there are prefixes.
        StatementId(index as u32 + 2)
    }

    fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(2)
    }
}

/// Attributes, and whose path they are announced of. That peer is not told.
#[derive(Debug)]
pub(super) struct Statement {
    /// `None` where the number is free.
    attributes: Option<Arc<PathAttributes>>,
    pub(super) source: Source,
    /// How many places it is said of or known of.
    uses: u32,
    /// It fits into no message: nobody has ever been told.
    unfit: bool,
}

/// Every statement of an update group.
#[derive(Debug, Default)]
pub(super) struct Statements {
    all: Vec<Statement>,
    vacant: Vec<StatementId>,
    index: HashTable<StatementId>,
    /// The last one asked for: prefixes that arrive together mostly share it.
    latest: StatementId,
}

impl Statements {
    /// The number of a statement. Attributes are interned: equal ones are the same.
    pub(super) fn number(&mut self, attributes: &Arc<PathAttributes>, source: Source) -> StatementId {
        if !self.says(self.latest, attributes, source) {
            self.latest = self.find(attributes, source).unwrap_or_else(|| self.add(attributes, source));
        }
        self.latest
    }

    fn find(&self, attributes: &Arc<PathAttributes>, source: Source) -> Option<StatementId> {
        let hash = hash_of(&(Arc::as_ptr(attributes) as usize, source));
        self.index.find(hash, |id| self.says(*id, attributes, source)).copied()
    }

    fn add(&mut self, attributes: &Arc<PathAttributes>, source: Source) -> StatementId {
        let statement = Statement { attributes: Some(attributes.clone()), source, uses: 0, unfit: false };
        let id = match self.vacant.pop() {
            Some(id) => id,
            None => StatementId::of(self.all.len()),
        };
        match id.index().and_then(|index| self.all.get_mut(index)) {
            Some(free) => *free = statement,
            None => self.all.push(statement),
        }
        let all = &self.all;
        let hash = hash_of(&(Arc::as_ptr(attributes) as usize, source));
        self.index.insert_unique(hash, id, |id| id.index().map_or(0, |index| all[index].hash()));
        id
    }

    fn says(&self, id: StatementId, attributes: &Arc<PathAttributes>, source: Source) -> bool {
        let is_it = |s: &Statement| {
            s.source == source && s.attributes.as_ref().is_some_and(|known| Arc::ptr_eq(known, attributes))
        };
        self.at(id).is_some_and(is_it)
    }

    /// The statement of that number; `None` where that is none.
    pub(super) fn at(&self, id: StatementId) -> Option<&Statement> {
        self.all.get(id.index()?)
    }

    /// Its attributes, if it is one that can be told.
    pub(super) fn attributes(&self, id: StatementId) -> Option<&Arc<PathAttributes>> {
        self.at(id).filter(|statement| !statement.unfit)?.attributes.as_ref()
    }

    /// The same, whether or not it can be told.
    pub(super) fn wording(&self, id: StatementId) -> Option<(&Arc<PathAttributes>, Source)> {
        let statement = self.at(id)?;
        Some((statement.attributes.as_ref()?, statement.source))
    }

    /// Whoever knows this has been told something.
    pub(super) fn is_told(&self, id: StatementId) -> bool {
        id == StatementId::FORMERLY || self.at(id).is_some_and(|statement| !statement.unfit)
    }

    /// It fits into no message.
    pub(super) fn set_unfit(&mut self, id: StatementId) {
        if let Some(statement) = id.index().and_then(|index| self.all.get_mut(index)) {
            statement.unfit = true;
        }
    }

    /// It is said of one place more.
    pub(super) fn keep(&mut self, id: StatementId) {
        if let Some(statement) = id.index().and_then(|index| self.all.get_mut(index)) {
            statement.uses += 1;
        }
    }

    /// It is said of one place less, and forgotten with the last.
    pub(super) fn release(&mut self, id: StatementId) {
        let Some(index) = id.index() else { return };
        let statement = &mut self.all[index];
        statement.uses -= 1;
        if statement.uses > 0 {
            return;
        }
        if let Ok(entry) = self.index.find_entry(statement.hash(), |known| *known == id) {
            entry.remove();
        }
        self.all[index].attributes = None;
        self.vacant.push(id);
        if self.index.is_empty() {
            *self = Statements::default();
        }
    }

    /// Forgets those that nobody has come to say.
    pub(super) fn sweep(&mut self) {
        for index in 0..self.all.len() {
            let id = StatementId::of(index);
            if self.all[index].uses == 0 && self.all[index].attributes.is_some() {
                self.keep(id);
                self.release(id);
            }
            if self.all.is_empty() {
                return;
            }
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}

impl Statement {
    fn hash(&self) -> u64 {
        let address = self.attributes.as_ref().map_or(0, |attributes| Arc::as_ptr(attributes) as usize);
        hash_of(&(address, self.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rib::PeerId;

    #[test]
    fn a_statement_is_kept_once_and_while_it_is_said() {
        let mut statements = Statements::default();
        let attributes = Arc::new(PathAttributes::originated("192.0.2.1".parse().unwrap()));
        let (ours, theirs) = (Source::Local, Source::Peer(PeerId::new(1)));
        let a = statements.number(&attributes, ours);
        statements.keep(a);
        let b = statements.number(&attributes, theirs);
        statements.keep(b);
        assert_eq!((statements.number(&attributes, ours), statements.len()), (a, 2));
        assert_ne!(a, b);
        statements.release(a);
        assert_eq!((statements.attributes(a), statements.len()), (None, 1));
        let c = statements.number(&attributes, ours);
        statements.keep(c);
        assert_eq!(c, a, "numbers are given out again");
        [b, c].into_iter().for_each(|id| statements.release(id));
        assert_eq!((statements.len(), Arc::strong_count(&attributes)), (0, 1));
    }
}
