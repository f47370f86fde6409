//! What a failure leaves to be done to the table. Packets are turned around first: groups of next hops
//! go to the kernel before a table of any size is walked.

use std::collections::BTreeSet;

use super::Speaker;
use super::plans::fate;
use super::settle::next_hop;
use crate::fib::Failure;
use crate::prefix::Family;
use crate::rib::next_hop::{OnLink, Underlay};
use crate::rib::{PeerId, Source};

/// A walk through the table that is due.
#[derive(Debug)]
pub(super) enum Aftermath {
    /// All that a peer has announced of a family is gone.
    Withdraw(PeerId, Family),
    /// These next hops are reached in another way, or no longer, or again.
    Decide(BTreeSet<OnLink>),
}

impl Speaker {
    /// All that a peer has announced of a family is gone.
    pub(super) fn lose_family(&mut self, id: PeerId, family: Family) {
        self.fib.fail(Failure::Fate(fate(id, family)));
        self.aftermath.push(Aftermath::Withdraw(id, family));
    }

    /// Next hops are resolved by another underlay from now on.
    pub(super) fn replace_underlay(&mut self, underlay: Underlay) {
        let before: BTreeSet<u32> = self.next_hops.underlay().interfaces().collect();
        let now: BTreeSet<u32> = underlay.interfaces().collect();
        let changed = self.next_hops.replace_underlay(underlay);
        now.difference(&before).for_each(|interface| self.fib.revive(*interface));
        before.difference(&now).for_each(|interface| self.fib.fail(Failure::Interface(*interface)));
        // Links that come and go together, or one that flaps, cost one walk.
        let waiting = self.aftermath.iter_mut().find_map(|aftermath| match aftermath {
            Aftermath::Decide(waiting) => Some(waiting),
            Aftermath::Withdraw(..) => None,
        });
        match waiting {
            Some(waiting) => waiting.extend(changed),
            None if changed.is_empty() => {}
            None => self.aftermath.push(Aftermath::Decide(changed)),
        }
    }

    /// Does what is due. Must precede whatever inserts paths: those of a peer that is back are not to
    /// go with those it had before.
    pub(super) fn clear_up(&mut self) {
        for aftermath in std::mem::take(&mut self.aftermath) {
            match aftermath {
                Aftermath::Withdraw(id, family) => self.rib.withdraw_family(Source::Peer(id), family),
                Aftermath::Decide(changed) => {
                    // Paths that lie side by side mostly have one next hop.
                    let (peers, mut last) = (&self.peers, None);
                    self.rib.mark_dirty(|path| {
                        let next_hop = next_hop(peers, path);
                        let known = last.filter(|(of, _)| *of == next_hop);
                        last.insert(known.unwrap_or_else(|| (next_hop, changed.contains(&next_hop)))).1
                    });
                }
            }
        }
    }
}
