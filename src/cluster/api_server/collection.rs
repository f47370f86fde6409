//! All that the watches have told so far: the objects, and what is wrong with single ones.
//!
//! Pure: the same news in whatever order over the resources end in the same set. Of an object that is
//! malformed the last good version stays; what a list does not have any more is removed when the whole list is
//! there, and nothing is before.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::{Kind, Resource, wanted};
use super::seen::Seen;
use super::set;
use crate::cluster::Finding;
use crate::cluster::objects::ObjectSet;

/// What a watch has to tell of objects.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum News {
    /// All there are.
    Listed(Vec<Seen>),
    /// The server does not know the kind, or keeps it to itself.
    Missing,
    /// A new version of one.
    Applied(Box<Seen>),
    /// One is gone.
    Deleted(String),
}

/// The objects of all resources.
#[derive(Debug, Default)]
pub(super) struct Collection {
    objects: ObjectSet,
    shelves: BTreeMap<Resource, Shelf>,
}

/// What is known of one resource.
#[derive(Debug, Default)]
struct Shelf {
    state: State,
    /// Names of the objects in the set.
    names: BTreeSet<String>,
    /// Objects whose newest version is malformed.
    faults: BTreeMap<String, Vec<Finding>>,
    warnings: BTreeMap<String, Vec<Finding>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not listed yet by this process.
    #[default]
    Unknown,
    /// The server says that there is no such kind, or keeps it to itself.
    Missing,
    Listed,
}

impl Collection {
    /// Takes news in; `true` if they change anything.
    pub(super) fn take(&mut self, resource: &Resource, news: News) -> bool {
        let Some(shelf) = self.shelves.get_mut(resource) else { return false };
        let objects = &mut self.objects;
        match news {
            News::Listed(all) => {
                let first = shelf.state != State::Listed;
                shelf.state = State::Listed;
                let listed: BTreeSet<&String> = all.iter().map(|seen| &seen.name).collect();
                let known = shelf.names.iter().chain(shelf.faults.keys());
                let gone: Vec<String> = known.filter(|name| !listed.contains(name)).cloned().collect();
                let mut changed = first;
                for name in gone {
                    changed |= shelf.delete(resource.kind, &name, objects);
                }
                for seen in all {
                    changed |= shelf.apply(seen, objects);
                }
                changed
            }
            // What is known stays: whoever deletes a definition has the objects deleted first, and is
            // told of each; a server that starts may not know its kinds yet.
            News::Missing => {
                let news = shelf.state == State::Unknown;
                if news {
                    shelf.state = State::Missing;
                }
                news
            }
            News::Applied(seen) => shelf.apply(*seen, objects),
            News::Deleted(name) => shelf.delete(resource.kind, &name, objects),
        }
    }

    /// Puts objects in that are known from before, of resources that have not been listed.
    pub(super) fn restore(&mut self, node_name: &str, kept: Vec<(Kind, Seen)>) {
        // First come those that say which others are wanted.
        let (dependent, first): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|(kind, _)| kind.is_dependent());
        for objects in [first, dependent] {
            self.want(node_name);
            for (kind, seen) in objects {
                if let Some(shelf) = self.shelves.get_mut(&Resource::of(kind, &seen.name))
                    && shelf.state != State::Listed
                {
                    shelf.apply(seen, &mut self.objects);
                }
            }
        }
    }

    /// Whether there is an object without any good version.
    pub(super) fn lacks_good_versions(&self) -> bool {
        self.shelves.values().any(|shelf| shelf.faults.keys().any(|name| !shelf.names.contains(name)))
    }

    /// Puts in, of objects without any good version, those that are known from before.
    pub(super) fn recall(&mut self, kept: Vec<(Kind, Seen)>) {
        for (kind, Seen { name, says, .. }) in kept {
            if let Some(shelf) = self.shelves.get_mut(&Resource::of(kind, &name))
                && shelf.faults.contains_key(&name)
                && !shelf.names.contains(&name)
                && let Ok(object) = says
            {
                self.objects.apply(object);
                shelf.names.insert(name);
            }
        }
    }

    /// Settles what is to be watched from now on, as the objects now say. What is no longer, its objects are forgotten.
    pub(super) fn want(&mut self, node_name: &str) {
        let wanted = wanted(&self.objects, node_name);
        let ended: Vec<Resource> =
            self.shelves.keys().filter(|resource| !wanted.contains(resource)).cloned().collect();
        for resource in ended {
            for name in self.shelves.remove(&resource).map(|shelf| shelf.names).unwrap_or_default() {
                set::remove(&mut self.objects, resource.kind, &name);
            }
        }
        for resource in wanted {
            self.shelves.entry(resource).or_default();
        }
    }

    /// What is to be watched.
    pub(super) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.shelves.keys()
    }

    /// Whether that is among it.
    pub(super) fn wants(&self, resource: &Resource) -> bool {
        self.shelves.contains_key(resource)
    }

    /// What has not been listed yet.
    pub(super) fn awaited(&self) -> impl Iterator<Item = &Resource> {
        self.shelves.iter().filter(|(_, shelf)| shelf.state == State::Unknown).map(|(resource, _)| resource)
    }

    /// The objects.
    pub(super) fn objects(&self) -> &ObjectSet {
        &self.objects
    }

    /// What is wrong with single objects.
    pub(super) fn faults(&self) -> Vec<Finding> {
        self.shelves.values().flat_map(|shelf| shelf.faults.values().flatten()).cloned().collect()
    }

    /// What was passed over.
    pub(super) fn warnings(&self) -> Vec<Finding> {
        self.shelves.values().flat_map(|shelf| shelf.warnings.values().flatten()).cloned().collect()
    }

    /// How many objects of a kind are in the set, and of how many the newest version is malformed.
    pub(super) fn count(&self, kind: Kind) -> (usize, usize) {
        let shelves = self.shelves.iter().filter(|(resource, _)| resource.kind == kind);
        shelves.fold((0, 0), |(good, bad), (_, shelf)| (good + shelf.names.len(), bad + shelf.faults.len()))
    }
}

impl Shelf {
    fn apply(&mut self, seen: Seen, objects: &mut ObjectSet) -> bool {
        let Seen { name, says, warnings } = seen;
        let mut changed = replace(&mut self.warnings, &name, warnings);
        match says {
            Ok(object) => {
                changed |= replace(&mut self.faults, &name, vec![]);
                if !set::contains(objects, &object) {
                    objects.apply(object);
                    changed = true;
                }
                self.names.insert(name);
            }
            Err(faults) => changed |= replace(&mut self.faults, &name, faults),
        }
        changed
    }

    fn delete(&mut self, kind: Kind, name: &str, objects: &mut ObjectSet) -> bool {
        let findings = self.faults.remove(name).is_some() | self.warnings.remove(name).is_some();
        let known = self.names.remove(name);
        if known {
            set::remove(objects, kind, name);
        }
        findings || known
    }
}

/// Puts findings about an object in the place of those before; `true` if they differ.
fn replace(all: &mut BTreeMap<String, Vec<Finding>>, name: &str, findings: Vec<Finding>) -> bool {
    if all.get(name).map(Vec::as_slice).unwrap_or_default() == findings {
        return false;
    }
    if findings.is_empty() {
        all.remove(name);
    } else {
        all.insert(name.to_owned(), findings);
    }
    true
}

#[cfg(test)]
mod tests;
