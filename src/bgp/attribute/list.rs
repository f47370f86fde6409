//! Lists within attribute sets: communities and the like.
//!
//! Sets are made once and kept by the hundred thousand, so that what counts is the size of a list and
//! not how fast it grows: it has no spare room, and an empty one no allocation.

use std::fmt;
use std::ops::Deref;

/// A list that takes exactly the memory of its items. Read as a slice.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExactList<T>(
    /// Never an empty one.
    Option<Box<[T]>>,
);

impl<T> ExactList<T> {
    /// The empty list.
    pub const EMPTY: ExactList<T> = ExactList(None);
}

impl<T: Clone> ExactList<T> {
    /// Puts an item where the index says, those from there on behind it.
    ///
    /// # Panics
    /// The index is past the end.
    pub fn insert(&mut self, at: usize, item: T) {
        let (before, after) = self.split_at(at);
        *self = [before, &[item], after].concat().into();
    }

    /// Adds to an ascending list what is not in it.
    pub fn insert_sorted(&mut self, item: T)
    where
        T: Ord,
    {
        if let Err(at) = self.binary_search(&item) {
            self.insert(at, item);
        }
    }

    /// Takes away the items that `keep` rejects.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        // Mostly all stay.
        if let Some(first) = self.iter().position(|item| !keep(item)) {
            let rest = self[first + 1..].iter().filter(|item| keep(item));
            *self = self[..first].iter().chain(rest).cloned().collect();
        }
    }
}

impl<T> Default for ExactList<T> {
    fn default() -> Self {
        ExactList::EMPTY
    }
}

impl<T> Deref for ExactList<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<T> From<Vec<T>> for ExactList<T> {
    fn from(items: Vec<T>) -> Self {
        ExactList((!items.is_empty()).then(|| items.into()))
    }
}

impl<T, const N: usize> From<[T; N]> for ExactList<T> {
    fn from(items: [T; N]) -> Self {
        Vec::from(items).into()
    }
}

impl<T> FromIterator<T> for ExactList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<'a, T> IntoIterator for &'a ExactList<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: PartialEq, const N: usize> PartialEq<[T; N]> for ExactList<T> {
    fn eq(&self, items: &[T; N]) -> bool {
        **self == *items
    }
}

impl<T: fmt::Debug> fmt::Debug for ExactList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let mut list = ExactList::EMPTY;
        for item in [3, 1, 2, 1, 3] {
            list.insert_sorted(item);
        }
        assert_eq!(list, [1, 2, 3]);
        list.retain(|item| *item != 2);
        assert_eq!(list, [1, 3]);
        list.insert(0, 9);
        assert_eq!(list, [9, 1, 3]);
        list.retain(|_| true);
        assert_eq!(list, [9, 1, 3]);
        list.retain(|_| false);
        assert_eq!(list, ExactList::from([]), "there is one empty list");
        assert_eq!(list, ExactList::EMPTY);
    }
}
