//! Groups of next hops that routes refer to, as the kernel has them.
//!
//! A group is shared by the routes of one plan at first. When plans change, routes stay with the group
//! they are on as long as it does what they want: after a failure, or when only the backup changed, not
//! one route has to be written. Hence a group may serve several plans, and knows how many routes of
//! each.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::plan::{Failure, Outcome, PlanId, Plans, Ways, hops};
use super::route::{Group, GroupId, NextHop};
use crate::time::Instant;

/// Numbers of groups begin here. In kernels' common use small numbers are zebra's and people's.
const FIRST_ID: u32 = 0x7200_0000;
/// And end before this.
const END_ID: u32 = 0x7280_0000;
/// Groups beyond which routes get next hops of their own: where nearly every route has a plan of its own,
/// sharing is no gain.
const MOST: usize = 16_384;

/// What a group does with packets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Content {
    pub(super) members: Vec<NextHop>,
    pub(super) standby: Vec<NextHop>,
}

impl Content {
    /// Whether the kernel drops a group like this when an interface goes down.
    pub(super) fn goes_with(&self, interface: u32) -> bool {
        self.members.iter().chain(&self.standby).all(|hop| hop.interface == Some(interface))
    }

    /// What a group for a plan should hold.
    pub(super) fn of(ways: &Ways, rules: &Rules) -> Content {
        if ways.loses_any(&rules.dead)
            && let Outcome::Left(members) = ways.after(&rules.dead)
        {
            return Content { members, standby: vec![] };
        }
        let backup = ways.backup.filter(|leg| {
            let elsewhere = ways.legs.iter().all(|used| used.hop.interface != leg.hop.interface);
            // The kernel takes no member of a dead interface, and with it none of its group.
            let works = rules.dead.iter().all(|failure| failure.spares(leg));
            rules.install_backup && ways.legs.len() == 1 && leg.hop.interface.is_some() && elsewhere && works
        });
        Content { members: hops(&ways.legs), standby: hops(backup.as_slice()) }
    }
}

/// What groups hold besides what plans say.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// A group with one member has the plan's backup beside it.
    pub(super) install_backup: bool,
    /// Interfaces that nothing goes out through now, whatever plans still say.
    pub(super) dead: Vec<Failure>,
}

/// One group.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: GroupId,
    /// What the kernel's group does, or will do once what is in flight has been answered.
    pub(super) content: Content,
    /// The kernel has lost it, or was told to remove it, and with it every route that referred to it.
    pub(super) gone: bool,
    /// What the kernel has last confirmed that it does.
    pub(super) confirmed: Option<Content>,
    /// Why the kernel refused to change it, until a change succeeds.
    pub(super) refusal: Option<String>,
    /// The kernel was seen without it, or with it otherwise, while a change was in flight. Which of the
    /// two came first is not known, and therefore neither whether its routes are still there.
    pub(super) doubt: bool,
    /// Routes wait for the answer to a change of it.
    pub(super) awaited: bool,
    /// Changes to it that have not been answered.
    pub(super) in_flight: u32,
    /// What it should become once that has been answered.
    pub(super) next: Option<Content>,
    /// Routes that refer to it, or are asked to, by the plan they desire; 0 stands for none.
    users: BTreeMap<PlanId, u32>,
    /// What has failed since every plan was carried out as it is.
    failures: Vec<Failure>,
    /// No change is tried before.
    pub(super) retry_at: Option<Instant>,
    pub(super) attempts: u32,
    /// Is among those to be looked at when the table has settled.
    pub(super) listed: bool,
}

impl Row {
    /// Plans of routes on it.
    pub(super) fn plans(&self) -> impl Iterator<Item = PlanId> {
        self.users.keys().copied().filter(|plan| *plan != 0)
    }

    /// Asks the kernel for it as it should be; `place` is its own.
    pub(super) fn ask(&mut self, place: u32, draft: &mut Draft) {
        self.in_flight += 1;
        draft.set_group(place, self);
    }

    pub(super) fn is_unused(&self) -> bool {
        self.users.is_empty()
    }

    pub(super) fn enter(&mut self, plan: PlanId) {
        *self.users.entry(plan).or_default() += 1;
    }

    pub(super) fn leave(&mut self, plan: PlanId) {
        if let Some(count) = self.users.get_mut(&plan) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&plan);
            }
        }
    }

    /// The one content that every plan on it wants; none if they disagree or there are none.
    pub(super) fn agreed(&self, plans: &Plans, rules: &Rules) -> Option<Content> {
        let mut wanted = self.plans().map(|plan| Some(Content::of(plans.ways(plan)?, rules)));
        let first = wanted.next()??;
        wanted.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    /// What a failure makes of it; `None` where nothing changes, or where its plans disagree and each
    /// route must be decided.
    pub(super) fn after(&mut self, failure: Failure, plans: &Plans, rules: &Rules) -> Option<Outcome> {
        if self.agreed(plans, rules).as_ref() == Some(&self.content) {
            self.failures.clear();
        }
        self.failures.push(failure);
        let after = |plan| plans.ways(plan).map_or(Outcome::Unknown, |ways| ways.after(&self.failures));
        let mut outcomes = self.plans().map(after);
        let first = outcomes.next()?;
        let agreed = outcomes.all(|other| other == first);
        let changes = !matches!(&first, Outcome::Left(members) if *members == self.content.members);
        (agreed && changes && first != Outcome::Unknown).then_some(first)
    }
}

/// All groups, by row.
#[derive(Debug)]
pub(super) struct Groups {
    rows: Vec<Option<Row>>,
    vacant: Vec<u32>,
    by_id: BTreeMap<GroupId, u32>,
    next_id: u32,
}

impl Default for Groups {
    fn default() -> Self {
        Groups { rows: vec![], vacant: vec![], by_id: BTreeMap::new(), next_id: FIRST_ID }
    }
}

impl Groups {
    /// Whether there is room for another.
    pub(super) fn has_room(&self) -> bool {
        self.by_id.len() < MOST
    }

    /// A new group with a number that is not in use.
    pub(super) fn make(&mut self, content: Content) -> u32 {
        while self.by_id.contains_key(&GroupId(self.next_id)) {
            self.next_id = self.following(self.next_id);
        }
        let id = GroupId(self.next_id);
        self.next_id = self.following(self.next_id);
        self.insert(id, content)
    }

    /// A group that the kernel has.
    pub(super) fn adopt(&mut self, group: &Group) -> u32 {
        let content = Content { members: group.members.clone(), standby: group.standby.clone() };
        let place = self.insert(group.id, content.clone());
        if let Some(row) = self.at_mut(place) {
            row.confirmed = Some(content);
        }
        place
    }

    fn following(&self, id: u32) -> u32 {
        if id + 1 == END_ID { FIRST_ID } else { id + 1 }
    }

    fn insert(&mut self, id: GroupId, content: Content) -> u32 {
        let row = Row {
            id,
            content,
            gone: false,
            confirmed: None,
            refusal: None,
            doubt: false,
            awaited: false,
            in_flight: 0,
            next: None,
            users: BTreeMap::new(),
            failures: vec![],
            retry_at: None,
            attempts: 0,
            listed: false,
        };
        let place = match self.vacant.pop() {
            Some(place) => {
                self.rows[place as usize] = Some(row);
                place
            }
            None => {
                self.rows.push(Some(row));
                (self.rows.len() - 1) as u32
            }
        };
        self.by_id.insert(id, place);
        place
    }

    /// Forgets a group.
    pub(super) fn remove(&mut self, place: u32) {
        if let Some(row) = self.rows[place as usize].take() {
            self.by_id.remove(&row.id);
            self.vacant.push(place);
        }
    }

    pub(super) fn find(&self, id: GroupId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn at(&self, place: u32) -> Option<&Row> {
        self.rows.get(place as usize)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, place: u32) -> Option<&mut Row> {
        self.rows.get_mut(place as usize)?.as_mut()
    }

    /// The group, unless it is gone.
    pub(super) fn live(&self, place: u32) -> Option<&Row> {
        self.at(place).filter(|row| !row.gone)
    }

    /// Places of every group.
    pub(super) fn places(&self) -> Vec<u32> {
        self.by_id.values().copied().collect()
    }
}
