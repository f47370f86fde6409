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

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::path::{Path, Source};
use super::paths::Paths;
use super::policy::PrefixSet;
use super::table::Table;
use super::{Decision, Rule};
use crate::bgp::PathId;
use crate::prefix::{Family, Prefix};

/// Runs a closure over one family's destinations; a macro, so that other fields of the table may be
/// borrowed meanwhile.
macro_rules! for_each_mut {
    ($rib:expr, $family:expr, $f:expr) => {{
        let mut f = $f;
        match $family {
            Family::Ipv4Unicast => $rib.v4.for_each_mut(|place, net, destination| {
                f(Place(Family::Ipv4Unicast, place), Prefix::from(net), destination)
            }),
            Family::Ipv6Unicast => $rib.v6.for_each_mut(|place, net, destination| {
                f(Place(Family::Ipv6Unicast, place), Prefix::from(net), destination)
            }),
        }
    }};
}

/// All paths of both families.
#[derive(Debug, Default)]
pub struct LocRib {
    v4: Table<Ipv4Addr>,
    v6: Table<Ipv6Addr>,
    /// Each place once: its destination is marked, and stays until it has been settled.
    dirty: VecDeque<Place>,
    counts: BTreeMap<(Source, Family), Count>,
}

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

/// How many paths a source has in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// All of them.
    pub received: u64,
    /// Those that import policy let pass.
    pub accepted: u64,
}

/// One prefix's paths and the standing decision.
#[derive(Debug, Default)]
pub struct Destination {
    paths: Paths,
    /// What chose the first of `paths`; `None` when none is chosen.
    decided_by: Option<Rule>,
    dirty: bool,
}

impl Destination {
    /// Every path. The best stands first; the order of the others has no meaning.
    pub fn paths(&self) -> &[Path] {
        self.paths.as_slice()
    }

    /// The best path as of the last decision.
    pub fn best(&self) -> Option<&Path> {
        self.decided_by?;
        self.paths().first()
    }

    /// The rule that chose the best path.
    pub fn decided_by(&self) -> Option<Rule> {
        self.decided_by
    }

    /// Records a decision over `paths()`, by index, and puts the best path first.
    pub fn set_best(&mut self, decision: Option<&Decision>) {
        self.decided_by = decision.map(|d| d.rule);
        if let Some(decision) = decision {
            self.paths.as_mut_slice().swap(0, decision.best);
        }
    }

    /// Removes one path of a source.
    fn remove(&mut self, source: Source, path_id: PathId) -> Option<Path> {
        let at = self.paths().iter().position(|p| p.is_from(source, path_id))?;
        if at == 0 {
            self.decided_by = None;
        }
        Some(self.paths.remove(at))
    }

    /// Removes every path of a source; `false` if it had none.
    fn remove_all(&mut self, source: Source) -> bool {
        if self.paths().first().is_some_and(|best| best.source == source) {
            self.decided_by = None;
        }
        self.paths.remove_all(|path| path.source == source)
    }

    /// Queues this destination to be settled, if it is not queued already.
    fn mark(&mut self, place: Place, dirty: &mut VecDeque<Place>) {
        if !std::mem::replace(&mut self.dirty, true) {
            dirty.push_back(place);
        }
    }
}

impl LocRib {
    /// Adds a path, in place of any other from the same source with the same identifier.
    pub fn insert(&mut self, prefix: Prefix, mut path: Path) {
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
        let (source, path_id, accepted) = (path.source, path.path_id, path.rejected.is_none());
        let mut known = destination.paths.as_mut_slice().iter_mut();
        let replaced = match known.find(|p| p.is_from(source, path_id)) {
            Some(slot) => {
                path.told_as = slot.told_as;
                if *slot == path {
                    return;
                }
                Some(std::mem::replace(slot, path))
            }
            None => {
                path.told_as = destination.paths.free_id();
                destination.paths.push(path);
                None
            }
        };
        destination.mark(place, &mut self.dirty);
        let count = self.counts.entry((source, prefix.family())).or_default();
        count.remove(replaced.as_ref());
        count.received += 1;
        count.accepted += u64::from(accepted);
    }

    /// Removes one path of a source, if it has that.
    pub fn withdraw(&mut self, prefix: Prefix, source: Source, path_id: PathId) {
        let Some(place) = self.find(prefix) else { return };
        let destination = match place {
            Place(Family::Ipv4Unicast, at) => self.v4.at_mut(at).1,
            Place(Family::Ipv6Unicast, at) => self.v6.at_mut(at).1,
        };
        let Some(removed) = destination.remove(source, path_id) else { return };
        destination.mark(place, &mut self.dirty);
        self.counts.entry((source, prefix.family())).or_default().remove(Some(&removed));
    }

    /// Removes every path of a source.
    pub fn withdraw_all(&mut self, source: Source) {
        for family in Family::ALL {
            self.withdraw_family(source, family);
        }
    }

    /// Removes every path of a source in one family.
    pub fn withdraw_family(&mut self, source: Source, family: Family) {
        if self.counts.remove(&(source, family)).is_none_or(|c| c.received == 0) {
            return;
        }
        let dirty = &mut self.dirty;
        for_each_mut!(self, family, |place, _, destination: &mut Destination| {
            if destination.remove_all(source) {
                destination.mark(place, dirty);
            }
        });
    }

    /// Judges every path of the sources that are `concerned` anew, after a change of policy. `judge` makes
    /// of each path what it is to be from now on; its identifiers stay.
    pub fn reconsider(
        &mut self,
        concerned: impl Fn(Source) -> bool,
        mut judge: impl FnMut(Prefix, &Path) -> Path,
    ) {
        for family in Family::ALL {
            let (dirty, counts) = (&mut self.dirty, &mut self.counts);
            for_each_mut!(self, family, |place, prefix, destination: &mut Destination| {
                let mut changed = false;
                for path in destination.paths.as_mut_slice().iter_mut().filter(|p| concerned(p.source)) {
                    let (path_id, told_as) = (path.path_id, path.told_as);
                    let judged = Path { path_id, told_as, ..judge(prefix, path) };
                    if judged != *path {
                        let count = counts.entry((path.source, family)).or_default();
                        count.accepted -= u64::from(path.rejected.is_none());
                        count.accepted += u64::from(judged.rejected.is_none());
                        *path = judged;
                        changed = true;
                    }
                }
                if changed {
                    destination.mark(place, dirty);
                }
            });
        }
    }

    /// Judges every path for one prefix anew. `judge` makes of each path what it is to be from now on, or
    /// `None` to leave it as it is; its identifiers stay.
    pub fn reconsider_at(&mut self, prefix: Prefix, mut judge: impl FnMut(&Path) -> Option<Path>) {
        let Some(place) = self.find(prefix) else { return };
        let destination = match place {
            Place(Family::Ipv4Unicast, at) => self.v4.at_mut(at).1,
            Place(Family::Ipv6Unicast, at) => self.v6.at_mut(at).1,
        };
        let mut changed = false;
        for path in destination.paths.as_mut_slice() {
            let (path_id, told_as) = (path.path_id, path.told_as);
            let Some(judged) = judge(path).map(|judged| Path { path_id, told_as, ..judged }) else {
                continue;
            };
            if judged != *path {
                let count = self.counts.entry((path.source, prefix.family())).or_default();
                count.accepted -= u64::from(path.rejected.is_none());
                count.accepted += u64::from(judged.rejected.is_none());
                *path = judged;
                changed = true;
            }
        }
        if changed {
            destination.mark(place, &mut self.dirty);
        }
    }

    /// Marks one destination dirty, if there is any path for it.
    pub fn mark(&mut self, prefix: Prefix) {
        let Some(place) = self.find(prefix) else { return };
        if !std::mem::replace(&mut self.at_mut(place).1.dirty, true) {
            self.dirty.push_back(place);
        }
    }

    /// Marks every destination dirty that has a path for which `concerned` holds.
    pub fn mark_dirty(&mut self, concerned: impl Fn(&Path) -> bool) {
        for family in Family::ALL {
            let dirty = &mut self.dirty;
            for_each_mut!(self, family, |place, _, destination: &mut Destination| {
                if destination.paths().iter().any(&concerned) {
                    destination.mark(place, dirty);
                }
            });
        }
    }

    /// Marks every destination dirty that is one of these.
    pub fn mark_dirty_within(&mut self, prefixes: &PrefixSet) {
        for family in Family::ALL {
            let dirty = &mut self.dirty;
            for_each_mut!(self, family, |place, prefix, destination: &mut Destination| {
                if prefixes.matches(prefix) {
                    destination.mark(place, dirty);
                }
            });
        }
    }

    /// Takes a dirty destination to be settled. Whoever takes it must end with
    /// [`LocRib::drop_if_empty`].
    pub fn pop_dirty(&mut self) -> Option<Place> {
        let place = self.dirty.pop_front()?;
        self.at_mut(place).1.dirty = false;
        if self.dirty.is_empty() {
            self.dirty = VecDeque::new();
        }
        Some(place)
    }

    /// Whether no destination is dirty.
    pub fn is_settled(&self) -> bool {
        self.dirty.is_empty()
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
        if !destination.paths().is_empty() || destination.dirty {
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
        let paths = self.destination(prefix).map_or(&[][..], Destination::paths);
        paths.iter().any(|path| path.is_from(source, path_id) && path.rejected.is_none())
    }

    /// How many paths a source has in a family.
    pub fn count(&self, source: Source, family: Family) -> Count {
        self.counts.get(&(source, family)).copied().unwrap_or_default()
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

impl Count {
    fn remove(&mut self, path: Option<&Path>) {
        if let Some(path) = path {
            self.received -= 1;
            self.accepted -= u64::from(path.rejected.is_none());
        }
    }
}
