//! One family's destinations, found by prefix or by place.
//!
//! Destinations lie in one array, in the order they were first heard of; a hash index finds a prefix
//! in it. A place stays the same while its destination lives, so that a walk can be interrupted and
//! taken up again, and so that what arrives together is walked together. Places of destinations that
//! are gone are used again, and given back where they are the last.
//!
//! Prefixes lie in an array of their own. They are what the index looks at, when a prefix is looked for
//! and for all of them when it grows; packed closely they stay in the processor's cache much longer.

use hashbrown::HashTable;

use super::destination::{Destination, State};
use crate::prefix::hash::Seed;
use crate::prefix::{Address, Net};

/// Where a destination lies in its table.
pub(super) type Place = u32;

/// A table has shrunk when there is room for so many times its places. That takes so many removals that
/// moving what is left is no matter.
const SHRUNK: usize = 4;

/// Destinations of one family.
#[derive(Debug)]
pub(super) struct Table<A: Address> {
    nets: Vec<Net<A>>,
    /// By place, like `nets`. Without paths where the place is vacant.
    destinations: Vec<Destination>,
    index: HashTable<Place>,
    /// Places to be used again, and some that are not there any more or have been.
    vacant: Vec<Place>,
    seed: Seed,
}

impl<A: Address> Table<A> {
    /// A table without destinations.
    pub(super) fn new(seed: Seed) -> Self {
        let index = HashTable::new();
        Table { nets: vec![], destinations: vec![], index, vacant: vec![], seed }
    }

    /// The place of a destination, if there is one.
    pub(super) fn find(&self, net: Net<A>) -> Option<Place> {
        let nets = &self.nets;
        self.index.find(self.seed.hash(&net), |place| nets[*place as usize] == net).copied()
    }

    /// Something of what [`Table::find`] is to look at, and nothing that depends on its meaning.
    pub(super) fn look_ahead(&self, net: Net<A>) -> Place {
        let mut seen = 0;
        self.index.find(self.seed.hash(&net), |place| {
            seen ^= *place ^ Place::from(self.nets[*place as usize].length());
            false
        });
        seen
    }

    /// The place of a destination, made if there was none.
    pub(super) fn find_or_insert(&mut self, net: Net<A>) -> Place {
        use hashbrown::hash_table::Entry;
        let (nets, seed) = (&mut self.nets, self.seed);
        let is_it = |place: &Place| nets[*place as usize] == net;
        let free = match self.index.entry(seed.hash(&net), is_it, |place| seed.hash(&nets[*place as usize])) {
            Entry::Occupied(found) => return *found.get(),
            Entry::Vacant(free) => free,
        };
        let destinations = &mut self.destinations;
        let is_vacant = |place: &Place| destinations.get(*place as usize).is_some_and(Destination::is_vacant);
        // Places that have been given back, and perhaps away again, are passed over.
        let vacant = std::iter::from_fn(|| self.vacant.pop()).find(is_vacant);
        let place = match vacant {
            Some(place) => {
                nets[place as usize] = net;
                destinations[place as usize].state = State::Settled;
                place
            }
            None => {
                nets.push(net);
                destinations.push(Destination::default());
                // Four thousand million prefixes fit into no memory we run in.
                (nets.len() - 1) as Place
            }
        };
        free.insert(place);
        place
    }

    /// Forgets the destination at a place; the place may be given to another.
    pub(super) fn remove(&mut self, place: Place) {
        let net = self.nets[place as usize];
        let Ok(entry) = self.index.find_entry(self.seed.hash(&net), |at| *at == place) else { return };
        entry.remove();
        let destination = &mut self.destinations[place as usize];
        *destination = Destination::default();
        destination.state = State::Vacant;
        self.vacant.push(place);
        while self.destinations.pop_if(|last| last.is_vacant()).is_some() {
            self.nets.pop();
        }
        if self.nets.capacity() > SHRUNK * self.nets.len() {
            self.shrink();
        }
    }

    /// Gives back what a table that has shrunk has no more use for.
    fn shrink(&mut self) {
        let (most, seed, nets) = (2 * self.nets.len(), self.seed, &mut self.nets);
        let destinations = &mut self.destinations;
        self.vacant.retain(|place| destinations.get(*place as usize).is_some_and(Destination::is_vacant));
        self.vacant.shrink_to_fit();
        nets.shrink_to(most);
        destinations.shrink_to(most);
        self.index.shrink_to(2 * self.index.len(), |place| seed.hash(&nets[*place as usize]));
    }

    /// The destination at a place that has one.
    pub(super) fn at(&self, place: Place) -> (Net<A>, &Destination) {
        (self.nets[place as usize], &self.destinations[place as usize])
    }

    /// The destination at a place that has one.
    pub(super) fn at_mut(&mut self, place: Place) -> (Net<A>, &mut Destination) {
        (self.nets[place as usize], &mut self.destinations[place as usize])
    }

    /// Destinations that have a path, by place, from `from` on.
    pub(super) fn from(&self, from: Place) -> impl Iterator<Item = (Place, Net<A>, &Destination)> {
        let from = from as usize;
        let nets = self.nets.iter().copied().skip(from);
        let rows = nets.zip(self.destinations.iter().skip(from)).zip(from..);
        rows.filter(|((_, destination), _)| !destination.paths().is_empty())
            .map(|((net, destination), place)| (place as Place, net, destination))
    }

    /// Every destination in a range of places, and places that are vacant.
    pub(super) fn for_each_mut(
        &mut self,
        places: std::ops::Range<usize>,
        mut f: impl FnMut(Place, Net<A>, &mut Destination),
    ) {
        let places = places.start.min(self.nets.len())..places.end.min(self.nets.len());
        let rows = self.nets[places.clone()].iter().zip(&mut self.destinations[places.clone()]);
        for ((net, destination), place) in rows.zip(places) {
            f(place as Place, *net, destination);
        }
    }

    /// How many places there are, vacant ones among them.
    pub(super) fn places(&self) -> usize {
        self.nets.len()
    }

    /// How many destinations there is memory for.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.destinations.capacity().max(self.nets.capacity()).max(self.index.capacity())
    }

    /// How many destinations there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}
