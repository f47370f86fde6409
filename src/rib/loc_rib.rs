//! The table: every path for every prefix, and which is best (RFC 4271 §3.2, Loc-RIB).
//!
//! The Adj-RIBs-In are not stored apart. Each path bears its source, so a peer's Adj-RIB-In is the
//! set of paths with that source, held once beside the rivals it is compared with. That costs a walk
//! when a peer leaves and saves a second copy of every prefix while it stays.
//!
//! Whatever changes marks its prefix dirty; the owner settles dirty prefixes in batches, so that a
//! burst of changes to one prefix is decided once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::path::{Path, Source};
use super::{Decision, Rule};
use crate::prefix::{Address, Family, Net, Prefix};

/// Runs a closure over one family's destinations; a macro, so that other fields of the table may be
/// borrowed meanwhile.
macro_rules! for_each_mut {
    ($rib:expr, $family:expr, $f:expr) => {
        match $family {
            Family::Ipv4Unicast => $rib.v4.for_each_mut($f),
            Family::Ipv6Unicast => $rib.v6.for_each_mut($f),
        }
    };
}
/// All paths of both families.
#[derive(Debug, Default)]
pub struct LocRib {
    v4: Table<Ipv4Addr>,
    v6: Table<Ipv6Addr>,
    dirty: BTreeSet<Prefix>,
    counts: BTreeMap<(Source, Family), Count>,
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
    paths: Vec<Path>,
    best: Option<(Source, Rule)>,
}

impl Destination {
    /// Every path, in no meaningful order.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The best path as of the last decision.
    pub fn best(&self) -> Option<&Path> {
        let (source, _) = self.best?;
        self.paths.iter().find(|p| p.source == source)
    }

    /// The rule that chose the best path.
    pub fn decided_by(&self) -> Option<Rule> {
        self.best.map(|(_, rule)| rule)
    }

    /// Records a decision over `paths()`, by index.
    pub fn set_best(&mut self, decision: Option<&Decision>) {
        self.best = decision.map(|d| (self.paths[d.best].source, d.rule));
    }
}

/// One family's destinations, keyed as compactly as the family allows. Ordered, so that a walk can
/// be interrupted and taken up again, and so that no hash decides the order of messages.
#[derive(Debug)]
struct Table<A: Address> {
    destinations: BTreeMap<Net<A>, Destination>,
}

impl<A: Address> Default for Table<A> {
    fn default() -> Self {
        Table { destinations: BTreeMap::new() }
    }
}

impl<A: Address> Table<A>
where
    Prefix: From<Net<A>>,
{
    fn after(&self, prefix: Option<Net<A>>) -> impl Iterator<Item = (Prefix, &Destination)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = prefix.map_or(Unbounded, Excluded);
        self.destinations.range((from, Unbounded)).map(|(net, d)| (Prefix::from(*net), d))
    }

    fn for_each_mut(&mut self, mut f: impl FnMut(Prefix, &mut Destination)) {
        for (net, destination) in &mut self.destinations {
            f(Prefix::from(*net), destination);
        }
    }
}

impl LocRib {
    /// Adds a path, in place of any other from the same source.
    pub fn insert(&mut self, prefix: Prefix, path: Path) {
        let paths = &mut self.entry(prefix).paths;
        let (source, accepted) = (path.source, path.rejected.is_none());
        let replaced = match paths.iter_mut().find(|p| p.source == source) {
            Some(slot) if *slot == path => return,
            Some(slot) => Some(std::mem::replace(slot, path)),
            None => {
                paths.push(path);
                None
            }
        };
        let count = self.counts.entry((source, prefix.family())).or_default();
        count.remove(replaced.as_ref());
        count.received += 1;
        count.accepted += u64::from(accepted);
        self.dirty.insert(prefix);
    }

    /// Removes the path of a source, if it has one.
    pub fn withdraw(&mut self, prefix: Prefix, source: Source) {
        let Some(destination) = self.destination_mut(prefix) else { return };
        let Some(at) = destination.paths.iter().position(|p| p.source == source) else { return };
        let removed = destination.paths.swap_remove(at);
        self.counts.entry((source, prefix.family())).or_default().remove(Some(&removed));
        self.dirty.insert(prefix);
    }

    /// Removes every path of a source.
    pub fn withdraw_all(&mut self, source: Source) {
        for family in Family::ALL {
            if self.counts.remove(&(source, family)).is_none_or(|c| c.received == 0) {
                continue;
            }
            let dirty = &mut self.dirty;
            for_each_mut!(self, family, |prefix, destination: &mut Destination| {
                let before = destination.paths.len();
                destination.paths.retain(|p| p.source != source);
                if destination.paths.len() < before {
                    dirty.insert(prefix);
                }
            });
        }
    }

    /// Judges every path of a source anew, after a change of policy. `judge` makes of each path what
    /// it is to be from now on.
    pub fn reconsider(&mut self, source: Source, mut judge: impl FnMut(Prefix, &Path) -> Path) {
        for family in Family::ALL {
            let (dirty, counts) = (&mut self.dirty, &mut self.counts);
            for_each_mut!(self, family, |prefix, destination: &mut Destination| {
                for path in destination.paths.iter_mut().filter(|p| p.source == source) {
                    let judged = judge(prefix, path);
                    if judged != *path {
                        let count = counts.entry((source, family)).or_default();
                        count.accepted -= u64::from(path.rejected.is_none());
                        count.accepted += u64::from(judged.rejected.is_none());
                        *path = judged;
                        dirty.insert(prefix);
                    }
                }
            });
        }
    }

    /// Marks every prefix dirty that has a path for which `concerned` holds.
    pub fn mark_dirty(&mut self, concerned: impl Fn(&Path) -> bool) {
        for family in Family::ALL {
            let dirty = &mut self.dirty;
            for_each_mut!(self, family, |prefix, destination: &mut Destination| {
                if destination.paths.iter().any(&concerned) {
                    dirty.insert(prefix);
                }
            });
        }
    }

    /// Takes a dirty prefix to be settled.
    pub fn pop_dirty(&mut self) -> Option<Prefix> {
        self.dirty.pop_first()
    }

    /// The destination of that prefix.
    pub fn destination(&self, prefix: Prefix) -> Option<&Destination> {
        match prefix {
            Prefix::V4(net) => self.v4.destinations.get(&net),
            Prefix::V6(net) => self.v6.destinations.get(&net),
        }
    }

    /// The destination of that prefix, to record a decision in.
    pub fn destination_mut(&mut self, prefix: Prefix) -> Option<&mut Destination> {
        match prefix {
            Prefix::V4(net) => self.v4.destinations.get_mut(&net),
            Prefix::V6(net) => self.v6.destinations.get_mut(&net),
        }
    }

    /// Forgets a destination that has no path left.
    pub fn drop_if_empty(&mut self, prefix: Prefix) {
        if self.destination(prefix).is_some_and(|d| d.paths.is_empty()) {
            match prefix {
                Prefix::V4(net) => drop(self.v4.destinations.remove(&net)),
                Prefix::V6(net) => drop(self.v6.destinations.remove(&net)),
            }
        }
    }

    /// Destinations of one family in order, beginning after `after`: a walk that can be taken up
    /// again where it was left.
    pub fn walk(
        &self,
        family: Family,
        after: Option<Prefix>,
    ) -> Box<dyn Iterator<Item = (Prefix, &Destination)> + '_> {
        match (family, after) {
            (Family::Ipv4Unicast, Some(Prefix::V4(net))) => Box::new(self.v4.after(Some(net))),
            (Family::Ipv4Unicast, _) => Box::new(self.v4.after(None)),
            (Family::Ipv6Unicast, Some(Prefix::V6(net))) => Box::new(self.v6.after(Some(net))),
            (Family::Ipv6Unicast, _) => Box::new(self.v6.after(None)),
        }
    }

    /// How many destinations a family has.
    pub fn len(&self, family: Family) -> u64 {
        match family {
            Family::Ipv4Unicast => self.v4.destinations.len() as u64,
            Family::Ipv6Unicast => self.v6.destinations.len() as u64,
        }
    }

    /// How many paths a source has in a family.
    pub fn count(&self, source: Source, family: Family) -> Count {
        self.counts.get(&(source, family)).copied().unwrap_or_default()
    }

    fn entry(&mut self, prefix: Prefix) -> &mut Destination {
        match prefix {
            Prefix::V4(net) => self.v4.destinations.entry(net).or_default(),
            Prefix::V6(net) => self.v6.destinations.entry(net).or_default(),
        }
    }
}

impl Count {
    fn remove(&mut self, path: Option<&Path>) {
        if let Some(path) = path {
            self.received -= 1;
            self.accepted -= u64::from(path.rejected.is_none());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bgp::PathAttributes;
    use crate::rib::path::{PeerId, Rejection};

    const A: Source = Source::Peer(PeerId(1));
    const B: Source = Source::Peer(PeerId(2));

    fn path(source: Source, med: u32) -> Path {
        let attributes = PathAttributes::originated("192.0.2.1".parse().unwrap());
        Path {
            source,
            attributes: Arc::new(PathAttributes { med: Some(med), ..attributes }),
            received: None,
            rejected: None,
        }
    }

    fn drain(rib: &mut LocRib) -> Vec<String> {
        std::iter::from_fn(|| rib.pop_dirty()).map(|p| p.to_string()).collect()
    }

    #[test]
    fn what_changes_is_dirty_once_and_what_does_not_is_not() {
        let mut rib = LocRib::default();
        let (v4, v6) = ("10.0.0.0/8".parse().unwrap(), "fd00::/64".parse().unwrap());
        rib.insert(v4, path(A, 1));
        rib.insert(v4, path(A, 2));
        rib.insert(v6, path(B, 1));
        assert_eq!(drain(&mut rib), ["10.0.0.0/8", "fd00::/64"]);
        rib.insert(v4, path(A, 2));
        rib.withdraw(v4, B);
        assert_eq!(drain(&mut rib), [""; 0]);
        rib.withdraw_all(B);
        assert_eq!(drain(&mut rib), ["fd00::/64"]);
    }

    #[test]
    fn counts_follow_insertion_replacement_policy_and_withdrawal() {
        let mut rib = LocRib::default();
        let prefix = |i: u8| Prefix::new([10, i, 0, 0].into(), 16).unwrap();
        for i in 0..4 {
            rib.insert(prefix(i), path(A, 1));
            rib.insert(prefix(i), path(A, 2));
        }
        let count = |rib: &LocRib| {
            let count = rib.count(A, Family::Ipv4Unicast);
            (count.received, count.accepted)
        };
        assert_eq!(count(&rib), (4, 4));
        rib.reconsider(A, |p, path| {
            let rejected = (p == prefix(1)).then_some(Rejection::ImportPolicy);
            Path { rejected, ..path.clone() }
        });
        assert_eq!(count(&rib), (4, 3));
        rib.withdraw(prefix(1), A);
        assert_eq!(count(&rib), (3, 3));
        rib.withdraw_all(A);
        assert_eq!(count(&rib), (0, 0));
    }

    #[test]
    fn a_walk_is_ordered_and_resumes_after_any_prefix() {
        let mut rib = LocRib::default();
        for text in ["10.0.0.0/8", "10.0.0.0/16", "9.0.0.0/8", "fd00::/64"] {
            rib.insert(text.parse().unwrap(), path(A, 1));
        }
        let walk = |after: Option<Prefix>| {
            rib.walk(Family::Ipv4Unicast, after).map(|(p, _)| p.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(walk(None), ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16"]);
        assert_eq!(walk(Some("10.0.0.0/8".parse().unwrap())), ["10.0.0.0/16"]);
        assert_eq!(walk(Some("9.1.0.0/16".parse().unwrap())), ["10.0.0.0/8", "10.0.0.0/16"]);
    }
}
