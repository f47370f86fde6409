//! How many prefixes a follower knows: all of them, and by who has said them, for a peer is not told what it
//! has said itself.

use std::collections::BTreeMap;

use super::path::Source;
use super::statement::{StatementId, Statements};
use crate::prefix::Family;

/// Counts by family.
#[derive(Debug, Default)]
pub(super) struct Tally {
    all: [u64; 2],
    by_source: BTreeMap<Source, [u64; 2]>,
}

impl Tally {
    /// Of these places, `statement` is known now instead of what was.
    pub(super) fn learn(
        &mut self,
        family: Family,
        statement: StatementId,
        places: &[(u32, StatementId)],
        statements: &Statements,
    ) {
        if statements.is_told(statement) {
            self.add(family, statement, places.len() as u64, statements);
        }
        for (_, before) in places {
            if *before != StatementId::NOTHING {
                self.lose(family, *before, 1, statements);
            }
        }
    }

    /// A statement is known of more places.
    pub(super) fn add(&mut self, family: Family, id: StatementId, count: u64, statements: &Statements) {
        self.all[family as usize] += count;
        if let Some(statement) = statements.at(id) {
            self.by_source.entry(statement.source).or_default()[family as usize] += count;
        }
    }

    /// A statement is known of less places.
    pub(super) fn lose(&mut self, family: Family, id: StatementId, count: u64, statements: &Statements) {
        if !statements.is_told(id) {
            return;
        }
        self.all[family as usize] = self.all[family as usize].saturating_sub(count);
        if let Some(statement) = statements.at(id)
            && let Some(of_source) = self.by_source.get_mut(&statement.source)
        {
            of_source[family as usize] = of_source[family as usize].saturating_sub(count);
            if *of_source == [0; 2] {
                self.by_source.remove(&statement.source);
            }
        }
    }

    /// How many prefixes of a family a peer knows by what all do.
    pub(super) fn known_to(&self, peer: Source, family: Family) -> u64 {
        let own = self.by_source.get(&peer).map_or(0, |of_source| of_source[family as usize]);
        self.all[family as usize].saturating_sub(own)
    }

    /// The tally of one peer, or of all.
    pub(super) fn of(&self, peer: Option<Source>) -> Tally {
        let all = match peer {
            Some(peer) => Family::ALL.map(|family| self.known_to(peer, family)),
            None => self.all,
        };
        let by_source = if peer.is_some() { BTreeMap::new() } else { self.by_source.clone() };
        Tally { all, by_source }
    }
}
