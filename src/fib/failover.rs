//! Failover: one change for all routes that share next hops.

use std::collections::BTreeSet;

use super::groups::Content;
use super::plan::{Failure, Outcome};
use super::table::Fib;

impl Fib {
    /// Something has failed that next hops depend on. Every group that loses a member by it is changed to
    /// what its routes' plans say of that, at once and before all else ([`Fib::poll_urgent`]); one that has
    /// nothing left is removed, and the kernel removes its routes with it, as it does by itself when the
    /// interface of a group's last member fails. Where a group's routes disagree, nothing happens: they are
    /// decided one by one, as all of them will be in any case.
    pub fn fail(&mut self, failure: Failure) {
        if let Failure::Interface(_) = failure
            && !self.rules.dead.contains(&failure)
        {
            self.rules.dead.push(failure);
        }
        let mut lost = BTreeSet::new();
        for group in self.groups.places() {
            let Some(row) = self.groups.at_mut(group).filter(|row| !row.gone) else { continue };
            if let Failure::Interface(index) = failure
                && row.content.goes_with(index)
            {
                // The kernel has dropped it, and its routes with it: those are to be made anew, for a group
                // that came back under this number would have none.
                row.gone = true;
                lost.insert(group);
                continue;
            }
            let Some(outcome) = row.after(failure, &self.plans, &self.rules) else { continue };
            match outcome {
                Outcome::Left(members) => {
                    let content = Content { members, standby: vec![] };
                    if row.in_flight > 0 {
                        // It must not be overtaken by itself.
                        row.next = Some(content);
                        continue;
                    }
                    row.content = content;
                    row.ask(group, &mut self.urgent);
                }
                Outcome::Nothing if row.in_flight == 0 => {
                    self.urgent.remove_group(group, row);
                    self.list(group);
                }
                Outcome::Nothing | Outcome::Unknown => {}
            }
        }
        self.review_groups(&lost);
    }

    /// An interface that had failed works again.
    pub fn revive(&mut self, interface: u32) {
        let before = self.rules.dead.len();
        self.rules.dead.retain(|failure| *failure != Failure::Interface(interface));
        if self.rules.dead.len() != before {
            self.enqueue_all(|_| true);
        }
    }
}
