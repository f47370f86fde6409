//! What concerns many destinations: sources that leave, and paths that are to be judged or decided anew.

use std::ops::Range;

use super::{Destination, LocRib, Place, destination_at, mark};
use crate::prefix::{Family, Prefix};
use crate::rib::counts::Counts;
use crate::rib::policy::PrefixSet;
use crate::rib::{Path, Source};

/// Runs a closure over a range of one family's places; a macro, so that other fields of the table may be
/// borrowed meanwhile.
macro_rules! for_each_mut {
    ($rib:expr, $family:expr, $places:expr, $f:expr) => {{
        let mut f = $f;
        match $family {
            Family::Ipv4Unicast => $rib.v4.for_each_mut($places, |place, net, destination| {
                f(Place(Family::Ipv4Unicast, place), Prefix::from(net), destination)
            }),
            Family::Ipv6Unicast => $rib.v6.for_each_mut($places, |place, net, destination| {
                f(Place(Family::Ipv6Unicast, place), Prefix::from(net), destination)
            }),
        }
    }};
}

/// All of a table.
const ALL: Range<usize> = 0..usize::MAX;

impl LocRib {
    /// Removes every path of a source.
    pub fn withdraw_all(&mut self, source: Source) {
        for family in Family::ALL {
            self.withdraw_family(source, family);
        }
    }

    /// Removes every path of a source in one family: from now on none counts or is decided for, and
    /// [`LocRib::advance`] finds where they are.
    pub fn withdraw_family(&mut self, source: Source, family: Family) {
        if self.counts.forget(source, family).received > 0 {
            let places = self.places(family);
            self.leaving[family as usize].join(source, places);
        }
    }

    /// Does a portion of what is left to do of walks through the table; `false` if there was nothing.
    pub fn advance(&mut self) -> bool {
        let Some(family) = Family::ALL.into_iter().find(|of| !self.leaving[*of as usize].is_empty()) else {
            return false;
        };
        let places = self.places(family);
        let (leaving, dirty) = (&mut self.leaving[family as usize], &mut self.dirty);
        let range = leaving.next(places);
        for_each_mut!(self, family, range, |place, _, destination: &mut Destination| {
            if destination.remove_all(|path| leaving.has(path.source)) {
                mark(dirty, place, destination);
            }
        });
        leaving.end_if_done();
        true
    }

    /// A source is there again that is still leaving: what it had goes at once.
    pub(super) fn part(&mut self, source: Source, family: Family) {
        let (leaving, dirty) = (&mut self.leaving[family as usize], &mut self.dirty);
        if leaving.is_empty() || !leaving.has(source) {
            return;
        }
        for_each_mut!(self, family, ALL, |place, _, destination: &mut Destination| {
            if destination.remove_all(|path| path.source == source) {
                mark(dirty, place, destination);
            }
        });
        leaving.part(source);
    }

    /// Judges every path anew that is `concerned`, after a change of policy. `judge` makes
    /// of each path what it is to be from now on; its identifiers stay.
    pub fn reconsider(
        &mut self,
        concerned: impl Fn(Prefix, Source) -> bool,
        mut judge: impl FnMut(Prefix, &Path) -> Path,
    ) {
        for family in Family::ALL {
            let (dirty, counts, leaving) =
                (&mut self.dirty, &mut self.counts, &self.leaving[family as usize]);
            for_each_mut!(self, family, ALL, |place, prefix, destination: &mut Destination| {
                let judge = |path: &Path| {
                    (concerned(prefix, path.source) && !leaving.has(path.source)).then(|| judge(prefix, path))
                };
                if judge_all(destination, family, counts, judge) {
                    mark(dirty, place, destination);
                }
            });
        }
    }

    /// Judges every path for one prefix anew. `judge` makes of each path what it is to be from now on, or
    /// `None` to leave it as it is; its identifiers stay.
    pub fn reconsider_at(&mut self, prefix: Prefix, mut judge: impl FnMut(&Path) -> Option<Path>) {
        let Some(place) = self.find(prefix) else { return };
        let destination = destination_at(&mut self.v4, &mut self.v6, place);
        let leaving = &self.leaving[prefix.family() as usize];
        let judge = |path: &Path| if leaving.has(path.source) { None } else { judge(path) };
        if judge_all(destination, prefix.family(), &mut self.counts, judge) {
            mark(&mut self.dirty, place, destination);
        }
    }

    /// Marks every destination dirty that has a path for which `concerned` holds.
    pub fn mark_dirty(&mut self, mut concerned: impl FnMut(&Path) -> bool) {
        for family in Family::ALL {
            let dirty = &mut self.dirty;
            for_each_mut!(self, family, ALL, |place, _, destination: &mut Destination| {
                if destination.paths().iter().any(&mut concerned) {
                    mark(dirty, place, destination);
                }
            });
        }
    }

    /// Marks every destination dirty that is one of these.
    pub fn mark_dirty_within(&mut self, prefixes: &PrefixSet) {
        for family in Family::ALL {
            let dirty = &mut self.dirty;
            for_each_mut!(self, family, ALL, |place, prefix, destination: &mut Destination| {
                if prefixes.matches(prefix) {
                    mark(dirty, place, destination);
                }
            });
        }
    }
}

/// Judges the paths of a destination of which `judge` makes others; `true` if that has changed any. Their
/// identifiers stay.
fn judge_all(
    destination: &mut Destination,
    family: Family,
    counts: &mut Counts,
    mut judge: impl FnMut(&Path) -> Option<Path>,
) -> bool {
    let mut changed = false;
    for path in destination.paths_mut() {
        let Some(judged) = judge(path) else { continue };
        let judged = Path { path_id: path.path_id, told_as: path.told_as, source: path.source, ..judged };
        if judged != *path {
            counts.of_mut(path.source, family).judged(path, &judged);
            *path = judged;
            changed = true;
        }
    }
    changed
}
