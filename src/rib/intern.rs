//! Interned attribute sets: equal attributes share one allocation, so that a path costs a pointer
//! and "the same attributes" is a pointer comparison.
//!
//! The key is the decoded set and not its octets: most octets arrive once, sets made by policy and export
//! never do, and the same set may be written in many ways (order, flags, width of AS numbers, what else
//! stands in the message). A set is hashed once when it is looked up, in a dozen words.
//!
//! What is interned is spread over shards by its hash, each a table that grows and is swept by itself: one
//! insertion among a million sets may have to move some thousands of pointers, and never a million.
//!
//! Who drops a set does not tell us. Sets that nobody else holds are let go when a shard grows, and when
//! all is quiet after much has changed: see [`Interner::tidy`].

use std::sync::Arc;

use hashbrown::HashTable;

use crate::bgp::PathAttributes;
use crate::prefix::hash::hash_of;

/// How many shards there are.
const SHARDS: usize = 64;
/// Fewer changes than this do not drop much.
const WORTH_TIDYING: usize = 4096;
/// A shard with fewer sets is not worth sweeping.
const SWEPT_FROM: usize = 16;

/// Keeps one copy of each attribute set in use.
#[derive(Debug)]
pub struct Interner {
    shards: [Shard; SHARDS],
    /// Destinations that have changed since the last time of tidying, each of which may have dropped sets.
    changes: usize,
    /// Those shards from this one on are still to be tidied.
    untidy_from: usize,
}

#[derive(Debug, Default)]
struct Shard {
    sets: HashTable<Arc<PathAttributes>>,
    /// How many sets there may be before those no longer used are let go.
    sweep_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Interner { shards: std::array::from_fn(|_| Shard::default()), changes: 0, untidy_from: SHARDS }
    }
}

impl Interner {
    /// The shared copy of `attributes`.
    pub fn intern(&mut self, attributes: PathAttributes) -> Arc<PathAttributes> {
        let hash = hash_of(&attributes);
        // Tables look at both ends of a hash; between them there is no bit they would miss.
        self.shards[(hash >> 32) as usize % SHARDS].intern(hash, attributes)
    }

    /// So many destinations have other paths than before, and may have dropped sets.
    pub fn note_changes(&mut self, destinations: usize) {
        self.changes += destinations;
    }

    /// Lets go of sets that nobody uses any more, and gives their memory back, if so much has changed that
    /// it is worth looking: whoever sent a million prefixes may be gone, and nothing come in its place. Done
    /// in portions; `false` when nothing is left to do.
    pub fn tidy(&mut self) -> bool {
        if self.untidy_from == SHARDS {
            if self.changes < WORTH_TIDYING || self.changes < self.len() / 4 {
                return false;
            }
            (self.changes, self.untidy_from) = (0, 0);
        }
        self.shards[self.untidy_from].sweep();
        self.untidy_from += 1;
        true
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.sets.len()).sum()
    }
}

impl Shard {
    fn intern(&mut self, hash: u64, attributes: PathAttributes) -> Arc<PathAttributes> {
        if let Some(shared) = self.sets.find(hash, |set| **set == attributes) {
            return shared.clone();
        }
        // Swept when it has doubled since the last time: amortised over the insertions that made it grow,
        // that is constant work each.
        if self.sets.len() >= self.sweep_at {
            self.sweep();
        }
        let shared = Arc::new(attributes);
        self.sets.insert_unique(hash, shared.clone(), |set| hash_of(&**set));
        shared
    }

    fn sweep(&mut self) {
        self.sets.retain(|set| Arc::strong_count(set) > 1);
        self.sweep_at = (self.sets.len() * 2).max(SWEPT_FROM);
        self.sets.shrink_to_fit(|set| hash_of(&**set));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(med: u32) -> PathAttributes {
        PathAttributes { med: Some(med), ..PathAttributes::originated("192.0.2.1".parse().unwrap()) }
    }

    #[test]
    fn equal_sets_are_one_allocation() {
        let mut interner = Interner::default();
        let (a, b) = (interner.intern(attributes(1)), interner.intern(attributes(1)));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &interner.intern(attributes(2))));
    }

    #[test]
    fn unused_sets_are_let_go() {
        let mut interner = Interner::default();
        let kept = interner.intern(attributes(u32::MAX));
        for med in 0..100_000 {
            interner.intern(attributes(med));
        }
        assert!(interner.len() <= 2048, "{}", interner.len());
        assert!(Arc::ptr_eq(&kept, &interner.intern(attributes(u32::MAX))));
    }

    #[test]
    fn when_all_are_gone_so_is_their_memory() {
        let mut interner = Interner::default();
        let sets: Vec<_> = (0..10_000).map(|med| interner.intern(attributes(med))).collect();
        let fullest = interner.shards.iter().map(|shard| shard.sets.len()).max();
        assert!(fullest.is_some_and(|most| most < 2 * 10_000 / SHARDS), "{fullest:?}: sets spread evenly");
        drop(sets);
        assert!(!interner.tidy(), "nobody has said that anything changed");
        interner.note_changes(10_000);
        let portions = std::iter::from_fn(|| interner.tidy().then_some(())).count();
        assert_eq!((portions, interner.len()), (SHARDS, 0));
        assert!(interner.shards.iter().all(|shard| shard.sets.capacity() == 0));
    }
}
