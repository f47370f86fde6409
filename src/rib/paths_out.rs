//! A peer's Adj-RIB-Out of families with path identifiers (RFC 7911): several paths for one prefix, each known
//! to the peer by a name of its own.
//!
//! Changes to a path that has not been sent yet replace each other, so a slow peer receives the latest state
//! and never a history. Each peer has one of its own, apart from what update groups share, which then pay
//! nothing for it. It is ordered, because what the peer knows of a prefix has to be found whole when some of
//! its paths go.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::pending::Pending;
use crate::bgp::{PathAttributes, PathId, PathNlri};
use crate::prefix::{Family, Prefix};

/// What a peer has been told of paths, and what it is still to be told.
#[derive(Debug, Default)]
pub struct PathsOut {
    /// Every path that the peer knows or that is about to be announced to it.
    known: BTreeMap<PathNlri, Known>,
    pending: Pending<PathNlri>,
    /// How many of them the peer knows, by family.
    told: [u64; 2],
}

/// Part of what is pending: ready to be encoded, of one family.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the paths are announced with; `None` if they are withdrawn.
    pub attributes: Option<Arc<PathAttributes>>,
    /// Which they are.
    pub paths: Vec<PathNlri>,
}

/// What a peer knows of a path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Known {
    #[default]
    Nothing,
    /// It has been told, and is to be told again.
    Formerly,
    These(Arc<PathAttributes>),
}

impl PathsOut {
    /// Sets what the peer should know of `prefix`: these paths, each by the identifier it is told by, and no
    /// others. Attributes are interned: equal ones are the same.
    pub fn set(
        &mut self,
        prefix: Prefix,
        paths: impl Iterator<Item = (PathId, Arc<PathAttributes>)> + Clone,
    ) {
        let known = self.known.range(all_of(prefix)).map(|(path, _)| *path);
        let gone = known.filter(|path| !paths.clone().any(|(id, _)| id == path.id)).collect::<Vec<_>>();
        for path in gone {
            self.withdraw(path);
        }
        for (id, attributes) in paths {
            self.announce(PathNlri { prefix, id }, attributes);
        }
    }

    /// What the peer has been told of a prefix.
    pub fn told(&self, prefix: Prefix) -> impl Iterator<Item = (PathId, &PathAttributes)> {
        self.known.range(all_of(prefix)).filter_map(|(path, known)| match known {
            Known::These(attributes) => Some((path.id, &**attributes)),
            Known::Nothing | Known::Formerly => None,
        })
    }

    fn announce(&mut self, path: PathNlri, attributes: Arc<PathAttributes>) {
        match self.known.entry(path).or_default() {
            // Interned: equal ones are mostly the same.
            Known::These(told) if Arc::ptr_eq(told, &attributes) || *told == attributes => {
                self.pending.remove(path);
            }
            _ => self.pending.insert(path, Some(attributes)),
        }
    }

    fn withdraw(&mut self, path: PathNlri) {
        match self.known.entry(path) {
            Entry::Occupied(known) if *known.get() == Known::Nothing => {
                known.remove();
                self.pending.remove(path);
            }
            Entry::Occupied(_) => self.pending.insert(path, None),
            Entry::Vacant(_) => {}
        }
    }

    /// Takes up to `limit` pending paths, grouped for encoding, and counts them as sent.
    pub fn poll_batches(&mut self, limit: usize) -> Vec<Batch> {
        let mut left = limit;
        let next = || {
            let (attributes, paths) = self.pop(left)?;
            left -= paths.len();
            Some(Batch { attributes, paths })
        };
        std::iter::from_fn(next).collect()
    }

    /// Records that the peer was not told of these paths after all: the announcement could not be encoded
    /// within the message size, so what it knew before is withdrawn.
    pub fn forget(&mut self, paths: &[PathNlri]) {
        for path in paths {
            self.record(*path, None);
        }
    }

    /// Takes up to `most` paths that are all to be announced with the same attributes, or all to be
    /// withdrawn, and counts them as sent.
    fn pop(&mut self, most: usize) -> Option<(Option<Arc<PathAttributes>>, Vec<PathNlri>)> {
        let (attributes, paths) = self.pending.pop(most)?;
        for path in &paths {
            self.record(*path, attributes.as_ref());
        }
        Some((attributes, paths))
    }

    /// Records what the peer knows of a path.
    fn record(&mut self, path: PathNlri, attributes: Option<&Arc<PathAttributes>>) {
        let before = match attributes {
            Some(attributes) => self.known.insert(path, Known::These(attributes.clone())),
            None => self.known.remove(&path),
        };
        let told = &mut self.told[path.prefix.family() as usize];
        *told += u64::from(attributes.is_some());
        *told -= u64::from(before.is_some_and(|before| before != Known::Nothing));
    }

    /// Whether everything has been taken to be sent.
    pub fn is_in_step(&self) -> bool {
        self.pending.is_empty()
    }

    /// Makes everything pending that has been sent of a family, for a peer that asks for it again (RFC 2918 §4).
    pub fn resend(&mut self, family: Family) {
        for (path, known) in self.known.iter_mut().filter(|(path, _)| path.prefix.family() == family) {
            let Known::These(attributes) = known else { continue };
            if !self.pending.contains(*path) {
                self.pending.insert(*path, Some(attributes.clone()));
            }
            *known = Known::Formerly;
        }
    }

    /// How many paths of a family the peer has been told.
    pub fn len(&self, family: Family) -> u64 {
        self.told[family as usize]
    }
}

/// Every path there can be for a prefix.
fn all_of(prefix: Prefix) -> RangeInclusive<PathNlri> {
    PathNlri { prefix, id: PathId(0) }..=PathNlri { prefix, id: PathId(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(med: u32) -> Arc<PathAttributes> {
        let originated = PathAttributes::originated("192.0.2.1".parse().unwrap());
        Arc::new(PathAttributes { med: Some(med), ..originated })
    }

    fn set(out: &mut PathsOut, prefix: &str, paths: &[(u32, u32)]) {
        let paths = paths.iter().map(|(id, med)| (PathId(*id), attributes(*med)));
        out.set(prefix.parse().unwrap(), paths);
    }

    /// What is sent: prefix, identifier, and MED or none.
    fn sent(out: &mut PathsOut) -> Vec<(String, u32, Option<u32>)> {
        let mut sent = vec![];
        while let Some((attributes, paths)) = out.pop(10) {
            let med = attributes.and_then(|attributes| attributes.med);
            sent.extend(paths.iter().map(|path| (path.prefix.to_string(), path.id.0, med)));
        }
        sent.sort();
        assert!(out.is_in_step());
        sent
    }

    const P: &str = "10.0.0.0/8";

    fn row(id: u32, med: Option<u32>) -> (String, u32, Option<u32>) {
        (P.to_owned(), id, med)
    }

    #[test]
    fn each_path_is_announced_changed_and_withdrawn_by_its_name() {
        let mut out = PathsOut::default();
        set(&mut out, P, &[(1, 10), (2, 20)]);
        assert_eq!(sent(&mut out), [row(1, Some(10)), row(2, Some(20))]);
        set(&mut out, P, &[(1, 10), (2, 21), (3, 30)]);
        assert_eq!(sent(&mut out), [row(2, Some(21)), row(3, Some(30))], "the first is no news");
        set(&mut out, P, &[(2, 21)]);
        assert_eq!(out.len(Family::Ipv4Unicast), 3, "not yet");
        assert_eq!(sent(&mut out), [row(1, None), row(3, None)]);
        assert_eq!((out.len(Family::Ipv4Unicast), out.len(Family::Ipv6Unicast)), (1, 0));
        set(&mut out, P, &[]);
        assert_eq!(sent(&mut out), [row(2, None)]);
        assert!(out.known.is_empty() && out.len(Family::Ipv4Unicast) == 0);
    }

    #[test]
    fn a_path_that_comes_and_goes_unsent_leaves_nothing_behind() {
        let mut out = PathsOut::default();
        set(&mut out, P, &[(1, 10), (2, 20)]);
        set(&mut out, P, &[(2, 20)]);
        assert_eq!(sent(&mut out), [row(2, Some(20))]);
        set(&mut out, P, &[]);
        set(&mut out, P, &[(2, 20)]);
        assert_eq!(sent(&mut out), [], "withdrawn and announced again before anybody was told");
        assert_eq!(out.known.len(), 1);
    }

    #[test]
    fn a_refresh_sends_what_is_known_and_what_is_pending_once() {
        let mut out = PathsOut::default();
        set(&mut out, P, &[(1, 10), (2, 20)]);
        set(&mut out, "fd00::/8", &[(1, 10)]);
        sent(&mut out);
        set(&mut out, P, &[(2, 21), (3, 30)]);
        out.resend(Family::Ipv4Unicast);
        assert_eq!(sent(&mut out), [row(1, None), row(2, Some(21)), row(3, Some(30))]);
        assert_eq!((out.len(Family::Ipv4Unicast), out.len(Family::Ipv6Unicast)), (2, 1));
        out.resend(Family::Ipv4Unicast);
        set(&mut out, P, &[(2, 21)]);
        assert_eq!(sent(&mut out), [row(2, Some(21)), row(3, None)], "what goes meanwhile is withdrawn");
    }
}
