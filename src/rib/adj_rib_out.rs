//! Adj-RIB-Out: what one peer has been told, and what it is still to be told (RFC 4271 §3.2).
//!
//! Changes to a prefix that has not been sent yet replace each other, so a slow peer receives the
//! latest state and never a history; memory is bounded by the size of the table. What is pending is
//! kept by attribute set, so that prefixes leave packed as closely as they can be.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::paths_out::PathsOut;
use super::pending::Pending;
use crate::bgp::{PathAttributes, PathId, PathNlri};
use crate::prefix::hash::hash_of;
use crate::prefix::{Address, Family, Net, Prefix};

/// One peer's Adj-RIB-Out, of all families.
#[derive(Debug, Default)]
pub struct AdjRibOut {
    v4: Sent<Ipv4Addr>,
    v6: Sent<Ipv6Addr>,
    pending: Pending,
    /// Families with path identifiers (RFC 7911).
    paths: PathsOut,
}

/// Part of what is pending: ready to be encoded, each list of one family.
#[derive(Debug, PartialEq, Eq)]
pub enum Batch<T = Prefix> {
    /// Prefixes to withdraw.
    Withdraw(Vec<T>),
    /// Prefixes to announce with these attributes.
    Announce(Arc<PathAttributes>, Vec<T>),
}

impl<T> Batch<T> {
    fn new((attributes, prefixes): (Option<Arc<PathAttributes>>, Vec<T>)) -> Batch<T> {
        match attributes {
            Some(attributes) => Batch::Announce(attributes, prefixes),
            None => Batch::Withdraw(prefixes),
        }
    }

    /// How many prefixes it has.
    fn len(&self) -> usize {
        match self {
            Batch::Withdraw(prefixes) | Batch::Announce(_, prefixes) => prefixes.len(),
        }
    }
}

impl AdjRibOut {
    /// Sets what the peer should know of `prefix`; `None` for nothing. Attributes are interned: equal
    /// ones are the same.
    pub fn set(&mut self, prefix: Prefix, attributes: Option<Arc<PathAttributes>>) {
        let sent = match prefix {
            Prefix::V4(net) => self.v4.of(net),
            Prefix::V6(net) => self.v6.of(net),
        };
        if same(sent, attributes.as_ref()) {
            self.pending.remove(prefix);
        } else {
            self.pending.insert(prefix, attributes);
        }
    }

    /// Takes up to `limit` pending prefixes, grouped for encoding, and counts them as sent.
    pub fn poll_batches(&mut self, limit: usize) -> Vec<Batch> {
        let mut batches = vec![];
        let mut left = limit;
        while let Some((attributes, prefixes)) = self.pending.pop(left) {
            left -= prefixes.len();
            for prefix in &prefixes {
                match prefix {
                    Prefix::V4(net) => self.v4.record(*net, attributes.as_ref()),
                    Prefix::V6(net) => self.v6.record(*net, attributes.as_ref()),
                }
            }
            batches.push(Batch::new((attributes, prefixes)));
        }
        batches
    }

    /// Sets what the peer should know of `prefix`, of a family with path identifiers: these paths, each
    /// by the identifier it is told by, and no others.
    pub fn set_paths(
        &mut self,
        prefix: Prefix,
        paths: impl Iterator<Item = (PathId, Arc<PathAttributes>)> + Clone,
    ) {
        self.paths.set(prefix, paths);
    }

    /// The same as [`AdjRibOut::poll_batches`] for families with path identifiers.
    pub fn poll_path_batches(&mut self, limit: usize) -> Vec<Batch<PathNlri>> {
        let mut left = limit;
        let next = || {
            let batch = Batch::new(self.paths.pop(left)?);
            left -= batch.len();
            Some(batch)
        };
        std::iter::from_fn(next).collect()
    }

    /// Whether everything the peer should know has been taken to be sent.
    pub fn is_in_step(&self) -> bool {
        self.pending.is_empty() && self.paths.is_in_step()
    }

    /// Makes everything pending that has been sent of a family, for a peer that asks for it again (RFC 2918 §4).
    pub fn resend(&mut self, family: Family) {
        self.paths.resend(family);
        let pending = &mut self.pending;
        match family {
            Family::Ipv4Unicast => self.v4.make_pending(pending),
            Family::Ipv6Unicast => self.v6.make_pending(pending),
        }
    }

    /// Records that the peer was not told of these prefixes after all: the announcement could not
    /// be encoded within the message size, so what it knew before is withdrawn.
    pub fn forget(&mut self, prefixes: &[Prefix]) {
        for prefix in prefixes {
            match prefix {
                Prefix::V4(net) => self.v4.record(*net, None),
                Prefix::V6(net) => self.v6.record(*net, None),
            }
        }
    }

    /// The same for paths.
    pub fn forget_paths(&mut self, paths: &[PathNlri]) {
        for path in paths {
            self.paths.record(*path, None);
        }
    }

    /// What the peer has been told of a prefix; with identifiers, where its paths have them.
    pub fn told(&self, prefix: Prefix) -> impl Iterator<Item = (Option<PathId>, &PathAttributes)> {
        let alone = match prefix {
            Prefix::V4(net) => self.v4.of(net),
            Prefix::V6(net) => self.v6.of(net),
        };
        let named = self.paths.told(prefix).map(|(id, attributes)| (Some(id), attributes));
        alone.map(|attributes| (None, &**attributes)).into_iter().chain(named)
    }

    /// How many prefixes of a family the peer has been told; paths, where they have identifiers.
    pub fn len(&self, family: Family) -> u64 {
        match family {
            Family::Ipv4Unicast => self.v4.told.len() as u64 + self.paths.len(family),
            Family::Ipv6Unicast => self.v6.told.len() as u64 + self.paths.len(family),
        }
    }
}

fn same(a: Option<&Arc<PathAttributes>>, b: Option<&Arc<PathAttributes>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (None, None) => true,
        _ => false,
    }
}

/// What has been sent of one family.
#[derive(Debug)]
struct Sent<A: Address> {
    told: HashTable<(Net<A>, Arc<PathAttributes>)>,
}

impl<A: Address> Default for Sent<A> {
    fn default() -> Self {
        Sent { told: HashTable::new() }
    }
}

impl<A: Address> Sent<A>
where
    Prefix: From<Net<A>>,
{
    fn of(&self, net: Net<A>) -> Option<&Arc<PathAttributes>> {
        self.told.find(hash_of(&net), |(told, _)| *told == net).map(|(_, attributes)| attributes)
    }

    fn record(&mut self, net: Net<A>, attributes: Option<&Arc<PathAttributes>>) {
        let entry = self.told.entry(hash_of(&net), |(told, _)| *told == net, |(net, _)| hash_of(net));
        match (entry, attributes) {
            (Entry::Occupied(mut told), Some(attributes)) => told.get_mut().1 = attributes.clone(),
            (Entry::Occupied(told), None) => drop(told.remove()),
            (Entry::Vacant(free), Some(attributes)) => drop(free.insert((net, attributes.clone()))),
            (Entry::Vacant(_), None) => {}
        }
        if self.told.is_empty() {
            self.told = HashTable::new();
        }
    }

    /// Makes everything pending that is not pending otherwise. The peer goes on to know something of each
    /// prefix, which no announcement equals and a withdrawal takes away.
    fn make_pending(&mut self, pending: &mut Pending) {
        let formerly = Arc::new(PathAttributes::originated(Ipv4Addr::UNSPECIFIED.into()));
        let again = |(net, told): &mut (Net<A>, _)| (*net, std::mem::replace(told, formerly.clone()));
        let mut told: Vec<_> = self.told.iter_mut().map(again).collect();
        // No hash decides the order of messages.
        told.sort_unstable_by_key(|(net, _)| *net);
        for (net, attributes) in told {
            let prefix = Prefix::from(net);
            if !pending.contains(prefix) {
                pending.insert(prefix, Some(attributes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(med: u32) -> Arc<PathAttributes> {
        let originated = PathAttributes::originated("192.0.2.1".parse().unwrap());
        Arc::new(PathAttributes { med: Some(med), ..originated })
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_latest_state_is_sent_and_only_if_it_is_news() {
        let mut out = AdjRibOut::default();
        let p = prefix("10.0.0.0/8");
        out.set(p, Some(attributes(1)));
        out.set(p, Some(attributes(2)));
        assert_eq!(out.poll_batches(10), [Batch::Announce(attributes(2), vec![p])]);
        out.set(p, None);
        out.set(p, Some(attributes(2)));
        assert!(out.is_in_step());
        out.set(prefix("11.0.0.0/8"), Some(attributes(1)));
        out.set(prefix("11.0.0.0/8"), None);
        assert_eq!(out.poll_batches(10), []);
    }

    #[test]
    fn batches_group_by_attributes_and_family() {
        let mut out = AdjRibOut::default();
        let shared = attributes(1);
        for text in ["10.0.0.0/8", "11.0.0.0/8", "fd00::/64"] {
            out.set(prefix(text), Some(shared.clone()));
        }
        out.set(prefix("12.0.0.0/8"), Some(attributes(2)));
        let announce =
            |med, texts: &[&str]| Batch::Announce(attributes(med), texts.iter().map(|t| prefix(t)).collect());
        let expected = [
            announce(1, &["10.0.0.0/8", "11.0.0.0/8"]),
            announce(1, &["fd00::/64"]),
            announce(2, &["12.0.0.0/8"]),
        ];
        assert_eq!(out.poll_batches(10), expected);
        assert_eq!((out.len(Family::Ipv4Unicast), out.len(Family::Ipv6Unicast)), (3, 1));
    }

    #[test]
    fn a_refresh_sends_a_family_again() {
        let mut out = AdjRibOut::default();
        out.set(prefix("10.0.0.0/8"), Some(attributes(1)));
        out.set(prefix("fd00::/64"), Some(attributes(1)));
        out.poll_batches(10);
        out.resend(Family::Ipv6Unicast);
        assert_eq!(out.poll_batches(10), [Batch::Announce(attributes(1), vec![prefix("fd00::/64")])]);
        out.resend(Family::Ipv6Unicast);
        out.set(prefix("fd00::/64"), None);
        assert_eq!(out.poll_batches(10), [Batch::Withdraw(vec![prefix("fd00::/64")])], "gone meanwhile");
    }
}
