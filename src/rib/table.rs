//! One family's destinations, found by prefix or by place.
//!
//! Destinations lie in one array, in the order they were first heard of; a hash index finds a prefix
//! in it. A place stays the same while its destination lives, so that a walk can be interrupted and
//! taken up again, and so that what arrives together is walked together. Places of destinations that
//! are gone are used again.

use hashbrown::HashTable;

use super::loc_rib::Destination;
use crate::prefix::hash::hash_of;
use crate::prefix::{Address, Net};

/// Where a destination lies in its table.
pub(super) type Place = u32;

/// Destinations of one family.
#[derive(Debug)]
pub(super) struct Table<A: Address> {
    rows: Vec<Row<A>>,
    index: HashTable<Place>,
    vacant: Vec<Place>,
}

#[derive(Debug)]
struct Row<A: Address> {
    net: Net<A>,
    /// Without paths where the place is vacant.
    destination: Destination,
}

impl<A: Address> Default for Table<A> {
    fn default() -> Self {
        Table { rows: vec![], index: HashTable::new(), vacant: vec![] }
    }
}

impl<A: Address> Table<A> {
    /// The place of a destination, if there is one.
    pub(super) fn find(&self, net: Net<A>) -> Option<Place> {
        let rows = &self.rows;
        self.index.find(hash_of(&net), |place| rows[*place as usize].net == net).copied()
    }

    /// The place of a destination, made if there was none.
    pub(super) fn find_or_insert(&mut self, net: Net<A>) -> Place {
        use hashbrown::hash_table::Entry;
        let rows = &mut self.rows;
        let is_it = |place: &Place| rows[*place as usize].net == net;
        match self.index.entry(hash_of(&net), is_it, |place| hash_of(&rows[*place as usize].net)) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(free) => {
                let row = Row { net, destination: Destination::default() };
                let place = match self.vacant.pop() {
                    Some(place) => {
                        rows[place as usize] = row;
                        place
                    }
                    None => {
                        rows.push(row);
                        // Four thousand million prefixes fit into no memory we run in.
                        (rows.len() - 1) as Place
                    }
                };
                free.insert(place);
                place
            }
        }
    }

    /// Forgets the destination at a place; the place may be given to another.
    pub(super) fn remove(&mut self, place: Place) {
        let net = self.rows[place as usize].net;
        if let Ok(entry) = self.index.find_entry(hash_of(&net), |at| *at == place) {
            entry.remove();
            self.rows[place as usize].destination = Destination::default();
            self.vacant.push(place);
        }
        if self.index.is_empty() {
            // A table that has emptied gives its memory back.
            *self = Table::default();
        }
    }

    /// The destination at a place that has one.
    pub(super) fn at(&self, place: Place) -> (Net<A>, &Destination) {
        let row = &self.rows[place as usize];
        (row.net, &row.destination)
    }

    /// The destination at a place that has one.
    pub(super) fn at_mut(&mut self, place: Place) -> (Net<A>, &mut Destination) {
        let row = &mut self.rows[place as usize];
        (row.net, &mut row.destination)
    }

    /// Destinations that have a path, by place, from `from` on.
    pub(super) fn from(&self, from: Place) -> impl Iterator<Item = (Place, Net<A>, &Destination)> {
        let rows = self.rows.iter().enumerate().skip(from as usize);
        rows.filter(|(_, row)| !row.destination.paths().is_empty())
            .map(|(place, row)| (place as Place, row.net, &row.destination))
    }

    /// Every destination, by place.
    pub(super) fn for_each_mut(&mut self, mut f: impl FnMut(Place, Net<A>, &mut Destination)) {
        for (place, row) in self.rows.iter_mut().enumerate() {
            f(place as Place, row.net, &mut row.destination);
        }
    }

    /// How many destinations there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}
