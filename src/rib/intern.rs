//! Interned attribute sets: equal attributes share one allocation, so that a path costs a pointer
//! and "the same attributes" is a pointer comparison.
//!
//! The key is the decoded set and not its octets: most octets arrive once, sets made by policy and export
//! never do, and the same set may be written in many ways (order, flags, width of AS numbers, what else
//! stands in the message). A set is hashed once when it is looked up, in a dozen words.
//!
//! What is interned is spread over shards by its hash, each a table that grows and is swept by itself: one
//! insertion among a million sets may have to move some thousands of pointers, and never a million.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::bgp::PathAttributes;
use crate::prefix::hash::hash_of;

/// How many shards there are.
const SHARDS: usize = 64;
/// A shard with fewer sets is not worth sweeping.
const SWEPT_FROM: usize = 16;

/// Keeps one copy of each attribute set in use.
#[derive(Debug)]
pub struct Interner {
    shards: [Shard; SHARDS],
    /// The shard that is swept next when nothing makes any of them grow.
    next: usize,
}

#[derive(Debug, Default)]
struct Shard {
    sets: HashTable<Arc<PathAttributes>>,
    /// How many sets there may be before those no longer used are let go.
    sweep_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Interner { shards: std::array::from_fn(|_| Shard::default()), next: 0 }
    }
}

impl Interner {
    /// The shared copy of `attributes`.
    pub fn intern(&mut self, attributes: PathAttributes) -> Arc<PathAttributes> {
        let hash = hash_of(&attributes);
        // Tables look at both ends of a hash; between them there is no bit they would miss.
        self.shards[(hash >> 32) as usize % SHARDS].intern(hash, attributes)
    }

    /// Lets go of sets that nobody uses any more, and gives their memory back: a part of them, so that it
    /// is quickly done, and another part with each call. Insertions do so by themselves; this is for when
    /// there are none because whoever sent the sets is gone.
    pub fn sweep(&mut self) {
        self.shards[self.next].sweep();
        self.next = (self.next + 1) % SHARDS;
    }

    /// How often [`Interner::sweep`] has to be called to have swept everything.
    pub const SWEEPS: usize = SHARDS;
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

    fn len(interner: &Interner) -> usize {
        interner.shards.iter().map(|shard| shard.sets.len()).sum()
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
        assert!(len(&interner) <= 2048, "{}", len(&interner));
        assert!(Arc::ptr_eq(&kept, &interner.intern(attributes(u32::MAX))));
    }

    #[test]
    fn when_all_are_gone_so_is_their_memory() {
        let mut interner = Interner::default();
        let sets: Vec<_> = (0..10_000).map(|med| interner.intern(attributes(med))).collect();
        let fullest = interner.shards.iter().map(|shard| shard.sets.len()).max();
        assert!(fullest.is_some_and(|most| most < 2 * 10_000 / SHARDS), "{fullest:?}: sets spread evenly");
        drop(sets);
        (0..Interner::SWEEPS).for_each(|_| interner.sweep());
        assert_eq!(len(&interner), 0);
        assert!(interner.shards.iter().all(|shard| shard.sets.capacity() == 0));
    }
}
