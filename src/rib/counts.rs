//! How many paths each source has.

use std::collections::BTreeMap;

use super::path::{Path, Source};
use crate::prefix::Family;

/// How many paths a source has in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// All of them.
    pub received: u64,
    /// Those that import policy let pass.
    pub accepted: u64,
}

/// The counts of all sources. Changes come in runs that concern the same one, which is at hand and not
/// looked up for each.
#[derive(Debug, Default)]
pub(super) struct Counts {
    latest: Option<(Key, Count)>,
    /// Of all but the latest.
    others: BTreeMap<Key, Count>,
}

type Key = (Source, Family);

impl Counts {
    pub(super) fn of(&self, source: Source, family: Family) -> Count {
        match self.latest {
            Some((latest, count)) if latest == (source, family) => count,
            _ => self.others.get(&(source, family)).copied().unwrap_or_default(),
        }
    }

    pub(super) fn of_mut(&mut self, source: Source, family: Family) -> &mut Count {
        let key = (source, family);
        let latest = match self.latest.take() {
            Some(latest) if latest.0 == key => latest,
            other => {
                self.others.extend(other.filter(|(_, count)| *count != Count::default()));
                (key, self.others.remove(&key).unwrap_or_default())
            }
        };
        &mut self.latest.insert(latest).1
    }

    /// Forgets what a source has; returns what that was.
    pub(super) fn forget(&mut self, source: Source, family: Family) -> Count {
        std::mem::take(self.of_mut(source, family))
    }
}

impl Count {
    pub(super) fn add(&mut self, accepted: bool) {
        self.received += 1;
        self.accepted += u64::from(accepted);
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.received -= 1;
        self.accepted -= u64::from(path.rejected.is_none());
    }

    /// A path has been judged anew.
    pub(super) fn judged(&mut self, before: &Path, now: &Path) {
        self.accepted -= u64::from(before.rejected.is_none());
        self.accepted += u64::from(now.rejected.is_none());
    }
}
