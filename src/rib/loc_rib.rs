//! The table: every path for every prefix, and which is best (RFC 4271 §3.2, Loc-RIB).
//!
//! The Adj-RIBs-In are not stored apart. Each path bears its source, so a peer's Adj-RIB-In is the
//! set of paths with that source, several for one prefix where the session has path identifiers
//! (RFC 7911), held once beside the rivals it is compared with. That costs a walk
//! when a peer leaves and saves a second copy of every prefix while it stays.
//!
//! Whatever changes marks its destination dirty; the owner settles dirty destinations in batches, so
//! that a burst of changes to one prefix is decided once. They are settled in the order in which they
//! became dirty: prefixes that arrived together, with one set of attributes, leave together.
//!
//! This file owns what concerns one destination at a time; `walks` what concerns many.

#[cfg(test)]
mod tests;
mod walks;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};

pub use super::counts::Count;
use super::counts::Counts;
pub use super::destination::Destination;
use super::destination::{Inserted, State};
use super::leaving::Leaving;
use super::path::{Path, Source};
use super::table::Table;
use crate::bgp::PathId;
use crate::prefix::hash::Seed;
use crate::prefix::{Family, Prefix};

/// While so many destinations wait to be settled, walks through the table do.
const BUSY: usize = 512;

/// All paths of both families.
#[derive(Debug)]
pub struct LocRib {
    v4: Table<Ipv4Addr>,
    v6: Table<Ipv6Addr>,
    dirty: Dirty,
    counts: Counts,
    /// By family.
    leaving: [Leaving; 2],
}

/// Places whose destinations are marked, each once. They stay until they have been settled.
type Dirty = VecDeque<Place>;

/// Where a destination lies in the table, for as long as it has a path or is dirty, or its owner does not
/// drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(Family, u32);

impl Place {
    /// The place of that number among those of a family.
    pub(super) fn new(family: Family, number: u32) -> Place {
        Place(family, number)
    }

    /// The family of its destination.
    pub fn family(self) -> Family {
        self.0
    }

    /// Its number among those of its family: they are given out from zero on, and again.
    pub(super) fn number(self) -> u32 {
        self.1
    }
}

/// Queues a destination to be settled, if it is not queued already.
fn mark(dirty: &mut Dirty, place: Place, destination: &mut Destination) {
    if std::mem::replace(&mut destination.state, State::Dirty) != State::Dirty {
        dirty.push_back(place);
    }
}

fn destination_at<'a>(
    v4: &'a mut Table<Ipv4Addr>,
    v6: &'a mut Table<Ipv6Addr>,
    Place(family, at): Place,
) -> &'a mut Destination {
    match family {
        Family::Ipv4Unicast => v4.at_mut(at).1,
        Family::Ipv6Unicast => v6.at_mut(at).1,
    }
}

impl Default for LocRib {
    fn default() -> LocRib {
        LocRib::new(Seed::default())
    }
}

impl LocRib {
    /// An empty table. Peers who do not know the seed cannot make finding prefixes slow.
    pub fn new(seed: Seed) -> LocRib {
        LocRib {
            v4: Table::new(seed),
            v6: Table::new(seed),
            dirty: Dirty::new(),
            counts: Counts::default(),
            leaving: Default::default(),
        }
    }

    /// Looks at where these prefixes are, or would be. A table of a million lies in memory that is slow to
    /// answer, and that answers many questions in the time of one if they do not wait for each other: ask
    /// this before each is inserted or withdrawn in its turn.
    pub fn look_ahead(&self, prefixes: impl IntoIterator<Item = Prefix>) {
        let mut seen = 0;
        for prefix in prefixes {
            seen ^= match prefix {
                Prefix::V4(net) => self.v4.look_ahead(net),
                Prefix::V6(net) => self.v6.look_ahead(net),
            };
        }
        std::hint::black_box(seen);
    }

    /// Adds a path, in place of any other from the same source with the same identifier.
    pub fn insert(&mut self, prefix: Prefix, path: Path) {
        self.part(path.source, prefix.family());
        let (place, destination) = match prefix {
            Prefix::V4(net) => {
                let place = self.v4.find_or_insert(net);
                (Place(Family::Ipv4Unicast, place), self.v4.at_mut(place).1)
            }
            Prefix::V6(net) => {
                let place = self.v6.find_or_insert(net);
                (Place(Family::Ipv6Unicast, place), self.v6.at_mut(place).1)
            }
        };
        let count = self.counts.of_mut(path.source, prefix.family());
        let accepted = path.rejected.is_none();
        match destination.insert(path) {
            Inserted::Known => return,
            Inserted::Replaced(replaced) => count.remove(&replaced),
            Inserted::New => {}
        }
        count.add(accepted);
        mark(&mut self.dirty, place, destination);
    }

    /// Removes one path of a source, if it has that.
    pub fn withdraw(&mut self, prefix: Prefix, source: Source, path_id: PathId) {
        self.part(source, prefix.family());
        let Some(place) = self.find(prefix) else { return };
        let destination = destination_at(&mut self.v4, &mut self.v6, place);
        let Some(removed) = destination.remove(source, path_id) else { return };
        mark(&mut self.dirty, place, destination);
        self.counts.of_mut(source, prefix.family()).remove(&removed);
    }

    /// Marks one destination dirty, if there is any path for it.
    pub fn mark(&mut self, prefix: Prefix) {
        let Some(place) = self.find(prefix) else { return };
        let destination = destination_at(&mut self.v4, &mut self.v6, place);
        mark(&mut self.dirty, place, destination);
    }

    /// Takes a dirty destination to be settled. Whoever takes it must end with
    /// [`LocRib::drop_if_empty`].
    pub fn pop_dirty(&mut self) -> Option<Place> {
        let place = self.dirty.pop_front()?;
        if self.dirty.is_empty() {
            self.dirty = Dirty::new();
        }
        let destination = destination_at(&mut self.v4, &mut self.v6, place);
        destination.state = State::Settled;
        // Who is leaving is not chosen again, and the walk has one destination less to find.
        let leaving = &self.leaving[place.0 as usize];
        if !leaving.is_empty() {
            destination.remove_all(|path| leaving.has(path.source));
        }
        Some(place)
    }

    /// Whether no destination is dirty, nor can any be found to be.
    pub fn is_settled(&self) -> bool {
        self.dirty.is_empty() && self.leaving.iter().all(Leaving::is_empty)
    }

    /// Whether the destination at a place is still to be settled.
    pub fn is_dirty(&self, place: Place) -> bool {
        self.at(place).1.state == State::Dirty
    }

    /// Whether so many destinations are dirty that finding more of them can wait.
    pub fn is_busy(&self) -> bool {
        self.dirty.len() >= BUSY
    }

    /// The destination of that prefix.
    pub fn destination(&self, prefix: Prefix) -> Option<&Destination> {
        self.find(prefix).map(|place| self.at(place).1)
    }

    /// The destination at a place.
    pub fn at(&self, place: Place) -> (Prefix, &Destination) {
        match place {
            Place(Family::Ipv4Unicast, at) => prefixed(self.v4.at(at)),
            Place(Family::Ipv6Unicast, at) => prefixed(self.v6.at(at)),
        }
    }

    /// The destination at a place, to record a decision in.
    pub fn at_mut(&mut self, place: Place) -> (Prefix, &mut Destination) {
        match place {
            Place(Family::Ipv4Unicast, at) => prefixed(self.v4.at_mut(at)),
            Place(Family::Ipv6Unicast, at) => prefixed(self.v6.at_mut(at)),
        }
    }

    /// Forgets a destination that has no path left.
    pub fn drop_if_empty(&mut self, place: Place) {
        let (_, destination) = self.at(place);
        if !destination.paths().is_empty() || destination.state == State::Dirty {
            return;
        }
        match place {
            Place(Family::Ipv4Unicast, at) => self.v4.remove(at),
            Place(Family::Ipv6Unicast, at) => self.v6.remove(at),
        }
    }

    /// Up to `most` destinations of one family that lie behind `after`, and where the last of them
    /// lies: a walk that can be taken up again where it was left. A destination that comes or goes
    /// meanwhile is dirty, so that a walk need not see it.
    pub fn walk(&self, family: Family, after: Option<Place>, most: usize) -> Vec<Place> {
        let from = after.map_or(0, |Place(_, at)| at + 1);
        match family {
            Family::Ipv4Unicast => {
                self.v4.from(from).take(most).map(|(place, ..)| Place(family, place)).collect()
            }
            Family::Ipv6Unicast => {
                self.v6.from(from).take(most).map(|(place, ..)| Place(family, place)).collect()
            }
        }
    }

    /// Destinations of one family that `wanted` picks, ordered by prefix.
    pub fn ordered(&self, family: Family, wanted: impl Fn(Prefix) -> bool) -> Vec<(Prefix, &Destination)> {
        let mut found: Vec<(Prefix, &Destination)> = match family {
            Family::Ipv4Unicast => self.v4.from(0).map(|(_, net, d)| (Prefix::from(net), d)).collect(),
            Family::Ipv6Unicast => self.v6.from(0).map(|(_, net, d)| (Prefix::from(net), d)).collect(),
        };
        found.retain(|(prefix, _)| wanted(*prefix));
        found.sort_unstable_by_key(|(prefix, _)| *prefix);
        found
    }

    /// How many destinations a family has.
    pub fn len(&self, family: Family) -> u64 {
        match family {
            Family::Ipv4Unicast => self.v4.len() as u64,
            Family::Ipv6Unicast => self.v6.len() as u64,
        }
    }

    /// Whether a source has this path for the prefix and import policy let it pass.
    pub fn has_accepted(&self, prefix: Prefix, source: Source, path_id: PathId) -> bool {
        let path = self.destination(prefix).and_then(|destination| destination.find(source, path_id));
        let leaves = self.leaving[prefix.family() as usize].has(source);
        !leaves && path.is_some_and(|path| path.rejected.is_none())
    }

    /// How many paths a source has in a family.
    pub fn count(&self, source: Source, family: Family) -> Count {
        self.counts.of(source, family)
    }

    /// How many places a family has, vacant ones among them.
    fn places(&self, family: Family) -> usize {
        match family {
            Family::Ipv4Unicast => self.v4.places(),
            Family::Ipv6Unicast => self.v6.places(),
        }
    }

    /// Where the destination of that prefix lies, if there is one.
    pub fn find(&self, prefix: Prefix) -> Option<Place> {
        match prefix {
            Prefix::V4(net) => self.v4.find(net).map(|place| Place(Family::Ipv4Unicast, place)),
            Prefix::V6(net) => self.v6.find(net).map(|place| Place(Family::Ipv6Unicast, place)),
        }
    }
}

fn prefixed<N: Into<Prefix>, D>((net, destination): (N, D)) -> (Prefix, D) {
    (net.into(), destination)
}
