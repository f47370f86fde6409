//! Interned attribute sets: equal attributes share one allocation, so that a path costs a pointer
//! and "the same attributes" is a pointer comparison.

use std::sync::Arc;

use crate::bgp::PathAttributes;
use crate::prefix::hash::BuildFolded;

/// Keeps one copy of each attribute set in use.
#[derive(Debug, Default)]
pub struct Interner {
    #[allow(clippy::disallowed_types, reason = "looked up and swept, never iterated for its order")]
    sets: std::collections::HashSet<Arc<PathAttributes>, BuildFolded>,
    sweep_at: usize,
}

impl Interner {
    /// The shared copy of `attributes`.
    pub fn intern(&mut self, attributes: PathAttributes) -> Arc<PathAttributes> {
        if let Some(shared) = self.sets.get(&attributes) {
            return shared.clone();
        }
        // Unused sets are swept when the store has doubled since the last sweep: amortised over the
        // insertions that made it grow, that is constant work each.
        if self.sets.len() >= self.sweep_at {
            self.sets.retain(|set| Arc::strong_count(set) > 1);
            self.sets.shrink_to_fit();
            self.sweep_at = (self.sets.len() * 2).max(1024);
        }
        let shared = Arc::new(attributes);
        self.sets.insert(shared.clone());
        shared
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
        assert!(interner.sets.len() <= 2048, "{}", interner.sets.len());
        assert!(Arc::ptr_eq(&kept, &interner.intern(attributes(u32::MAX))));
    }
}
