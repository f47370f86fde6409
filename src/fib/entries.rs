//! Entries of the FIB: one for each prefix and metric, found by those or by place.

use std::sync::Arc;

use hashbrown::HashTable;

use super::plan::PlanId;
use super::route::Target;
use crate::prefix::Prefix;
use crate::prefix::hash::hash_of;

/// A kernel route's identity: the kernel holds one of ours per prefix and metric.
pub(super) type Key = (Prefix, u32);

/// Where an entry lies, for as long as it is desired, held, or asked about.
pub(super) type Place = u32;

/// What the kernel holds for an entry, or is asked to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    /// A route with next hops of its own, or none.
    Inline(Arc<Target>),
    /// A route that refers to a group, by the group's row.
    Group(u32),
}

/// One prefix and metric.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// 0 for no route.
    pub(super) desired: PlanId,
    pub(super) held: Held,
    /// In flight, unanswered.
    pub(super) asked: Option<Held>,
    /// Found in the kernel at start and not desired by anyone yet: kept until swept.
    pub(super) stale: bool,
    /// Waits in a queue to be worked off.
    pub(super) queued: bool,
    /// Its group stays wrong for it: it must move to another.
    pub(super) moves: bool,
    /// Has a row among the troubled.
    pub(super) troubled: bool,
}

/// All entries.
#[derive(Debug, Default)]
pub(super) struct Entries {
    rows: Vec<Option<Entry>>,
    index: HashTable<Place>,
    vacant: Vec<Place>,
}

impl Entries {
    pub(super) fn find(&self, key: Key) -> Option<Place> {
        let is_it = |place: &Place| self.rows[*place as usize].as_ref().is_some_and(|entry| entry.key == key);
        self.index.find(hash_of(&key), is_it).copied()
    }

    pub(super) fn find_or_insert(&mut self, key: Key) -> Place {
        if let Some(place) = self.find(key) {
            return place;
        }
        let (held, asked) = (Held::Nothing, None);
        let entry = Entry {
            key,
            desired: 0,
            held,
            asked,
            stale: false,
            queued: false,
            moves: false,
            troubled: false,
        };
        let place = match self.vacant.pop() {
            Some(place) => {
                self.rows[place as usize] = Some(entry);
                place
            }
            None => {
                self.rows.push(Some(entry));
                // Four thousand million routes fit into no memory we run in.
                (self.rows.len() - 1) as Place
            }
        };
        let rows = &self.rows;
        let hash = |place: &Place| rows[*place as usize].as_ref().map_or(0, |entry| hash_of(&entry.key));
        self.index.insert_unique(hash_of(&key), place, hash);
        place
    }

    pub(super) fn remove(&mut self, place: Place) {
        let Some(entry) = self.rows[place as usize].take() else { return };
        if let Ok(found) = self.index.find_entry(hash_of(&entry.key), |at| *at == place) {
            found.remove();
        }
        self.vacant.push(place);
        if self.index.is_empty() {
            // A table that has emptied gives its memory back.
            *self = Entries::default();
        }
    }

    pub(super) fn at(&self, place: Place) -> Option<&Entry> {
        self.rows.get(place as usize)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut Entry> {
        self.rows.get_mut(place as usize)?.as_mut()
    }

    /// More than the place of any.
    pub(super) fn room(&self) -> usize {
        self.rows.len()
    }

    /// Every entry, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Entry)> {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(place, entry)| Some((place as Place, entry.as_ref()?)))
    }

    /// Places of those that match.
    pub(super) fn places(&self, matches: impl Fn(&Entry) -> bool) -> Vec<Place> {
        self.iter().filter(|(_, entry)| matches(entry)).map(|(place, _)| place).collect()
    }
}
