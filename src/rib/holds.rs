//! Places of the table that may not be given to another prefix yet: somebody is still to be told that what
//! was there is gone.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::loc_rib::Place;
use crate::prefix::hash::hash_of;

/// How many are still to be told of each place.
#[derive(Debug, Default)]
pub struct Holds {
    counts: HashTable<(Place, u32)>,
    /// Places that nobody holds any more, not yet taken.
    freed: Vec<Place>,
}

impl Holds {
    /// One more is to be told.
    pub(super) fn hold(&mut self, place: Place) {
        let is_it = |(held, _): &(Place, u32)| *held == place;
        match self.counts.entry(hash_of(&place), is_it, |(held, _)| hash_of(held)) {
            Entry::Occupied(mut held) => held.get_mut().1 += 1,
            Entry::Vacant(free) => drop(free.insert((place, 1))),
        }
    }

    /// One of those has been told, or is to be told otherwise, or is there no more.
    pub(super) fn release(&mut self, place: Place) {
        let Ok(mut held) = self.counts.find_entry(hash_of(&place), |(held, _)| *held == place) else {
            return;
        };
        held.get_mut().1 -= 1;
        if held.get().1 == 0 {
            held.remove();
            self.freed.push(place);
        }
        if self.counts.is_empty() {
            self.counts = HashTable::new();
        }
    }

    /// Whether anybody is still to be told.
    pub fn has(&self, place: Place) -> bool {
        self.counts.find(hash_of(&place), |(held, _)| *held == place).is_some()
    }

    /// Takes the places that nobody holds any more, each once.
    pub fn take_freed(&mut self) -> Vec<Place> {
        let mut freed = std::mem::take(&mut self.freed);
        freed.sort_unstable();
        freed.dedup();
        freed.retain(|place| !self.has(*place));
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::Family;

    #[test]
    fn a_place_is_free_when_the_last_has_been_told() {
        let mut holds = Holds::default();
        let [a, b] = [1, 2].map(|number| Place::new(Family::Ipv4Unicast, number));
        [a, b, a].into_iter().for_each(|place| holds.hold(place));
        [a, b].into_iter().for_each(|place| holds.release(place));
        assert!(holds.has(a) && !holds.has(b));
        assert_eq!(holds.take_freed(), [b]);
        holds.release(a);
        holds.hold(a);
        assert_eq!(holds.take_freed(), [], "somebody else is to be told meanwhile");
        holds.release(a);
        assert_eq!((holds.take_freed(), holds.take_freed()), (vec![a], vec![]));
    }
}
