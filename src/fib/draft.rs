//! A batch while it is made: changes in the order in which they must be made.
//!
//! Groups come before the routes that refer to them. Installs come before removals, so that a prefix
//! that moves to another metric is never without a route. Groups go last, when nothing refers to them any
//! more.

use super::entries::{Entry, Held, Place};
use super::groups::{Groups, Row};
use super::route::{Change, Group, Route, Target};

/// What a change in flight was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flight {
    /// The entry at this place.
    Route(Place),
    /// The group in this row.
    Group(u32),
    /// The end of the group in this row.
    NoGroup(u32),
}

/// Changes of each kind, with what they are about.
#[derive(Debug, Default)]
pub(super) struct Draft {
    groups: Vec<(Change, Flight)>,
    installs: Vec<(Change, Flight)>,
    removals: Vec<(Change, Flight)>,
    no_groups: Vec<(Change, Flight)>,
}

impl Draft {
    pub(super) fn len(&self) -> usize {
        self.groups.len() + self.installs.len() + self.removals.len() + self.no_groups.len()
    }

    pub(super) fn set_group(&mut self, place: u32, row: &Row) {
        let (members, standby) = (row.content.members.clone(), row.content.standby.clone());
        self.groups.push((Change::SetGroup(Group { id: row.id, members, standby }), Flight::Group(place)));
    }

    /// Ends a group, which counts as gone from now on.
    pub(super) fn remove_group(&mut self, place: u32, row: &mut Row) {
        (row.gone, row.in_flight) = (true, row.in_flight + 1);
        self.no_groups.push((Change::RemoveGroup(row.id), Flight::NoGroup(place)));
    }

    /// Has the kernel hold `want` where it holds what the entry says.
    pub(super) fn route(&mut self, place: Place, entry: &Entry, want: &Held, groups: &Groups) {
        let (prefix, metric) = entry.key;
        let (target, group) = match want {
            Held::Nothing => {
                self.removals.push((Change::Remove { prefix, metric }, Flight::Route(place)));
                return;
            }
            Held::Inline(target) => ((**target).clone(), None),
            Held::Group(group) => match groups.at(*group) {
                Some(row) => (Target::Via(row.content.members.clone()), Some(row.id)),
                None => return,
            },
        };
        let route = Route { prefix, target, metric, group };
        let change =
            if entry.held == Held::Nothing { Change::Install(route) } else { Change::Replace(route) };
        self.installs.push((change, Flight::Route(place)));
    }

    /// The changes, and what each is about.
    pub(super) fn finish(self) -> (Vec<Change>, Vec<Flight>) {
        let Draft { groups, installs, removals, no_groups } = self;
        [groups, installs, removals, no_groups].into_iter().flatten().unzip()
    }
}
