//! One prefix's paths and the standing decision.

use super::path::{Path, Source};
use super::paths::{Paths, free_id};
use super::{Decision, Rule};
use crate::bgp::PathId;

/// One prefix's paths and the standing decision.
#[derive(Debug, Default)]
pub struct Destination {
    paths: Paths,
    /// Which of `paths` is the best, where one is chosen.
    best: u32,
    /// What chose it; `None` when none is chosen.
    decided_by: Option<Rule>,
    pub(super) state: State,
    /// No path is told by a greater identifier.
    greatest_id: u16,
}

/// What is to be done about a destination.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    #[default]
    Settled,
    /// It waits to be settled.
    Dirty,
    /// There is none: no prefix has its place.
    Vacant,
}

/// There are millions of destinations.
const _: () = assert!(size_of::<Destination>() == size_of::<Path>() + 8, "a destination has grown");

impl Destination {
    /// Every path, in no order that means anything.
    pub fn paths(&self) -> &[Path] {
        self.paths.as_slice()
    }

    /// The best path as of the last decision; where its source has replaced it since, the other one. None where
    /// policy has rejected that, for nobody must be told of it until the next decision.
    pub fn best(&self) -> Option<&Path> {
        self.decided_by?;
        self.paths().get(self.best as usize).filter(|best| best.rejected.is_none())
    }

    /// The rule that chose the best path.
    pub fn decided_by(&self) -> Option<Rule> {
        self.decided_by
    }

    /// Records a decision over `paths()`, by index.
    pub fn set_best(&mut self, decision: Option<&Decision>) {
        self.decided_by = decision.map(|d| d.rule);
        self.best = decision.map_or(0, |d| d.best as u32);
    }

    /// The path that a source has announced under an identifier.
    pub(super) fn find(&self, source: Source, path_id: PathId) -> Option<&Path> {
        self.paths.search(source, path_id).ok().map(|at| &self.paths()[at])
    }

    /// Whether no prefix has this place.
    pub(super) fn is_vacant(&self) -> bool {
        self.state == State::Vacant
    }

    /// Paths, to be changed in anything but their source and identifiers.
    pub(super) fn paths_mut(&mut self) -> &mut [Path] {
        self.paths.as_mut_slice()
    }

    /// Adds a path, in place of any other from the same source with the same identifier.
    pub(super) fn insert(&mut self, mut path: Path) -> Inserted {
        match self.paths.search(path.source, path.path_id) {
            Ok(at) => {
                let slot = &mut self.paths.as_mut_slice()[at];
                path.told_as = slot.told_as;
                if *slot == path {
                    return Inserted::Known;
                }
                Inserted::Replaced(std::mem::replace(slot, path))
            }
            Err(at) => {
                if self.paths().is_empty() {
                    self.greatest_id = 0;
                }
                path.told_as = free_id(self.paths(), self.greatest_id);
                self.greatest_id = self.greatest_id.max(path.told_as);
                self.paths.insert(at, path);
                self.best += u32::from(at <= self.best as usize);
                Inserted::New
            }
        }
    }

    /// Removes one path of a source, and returns it.
    pub(super) fn remove(&mut self, source: Source, path_id: PathId) -> Option<Path> {
        let at = self.paths.search(source, path_id).ok()?;
        let removed = self.paths()[at].clone();
        self.remove_at(at);
        Some(removed)
    }

    /// Removes the paths that are `gone`; `false` if there were none.
    pub(super) fn remove_all(&mut self, gone: impl Fn(&Path) -> bool) -> bool {
        let before = self.paths().len();
        for at in (0..before).rev() {
            if gone(&self.paths()[at]) {
                self.remove_at(at);
            }
        }
        self.paths().len() != before
    }

    fn remove_at(&mut self, at: usize) {
        let best = self.best as usize;
        if at == best {
            self.decided_by = None;
        }
        self.best -= u32::from(at < best);
        self.paths.remove(at);
    }
}

/// What has become of a path that was to be inserted.
pub(super) enum Inserted {
    /// There was none like it.
    New,
    /// It stands in the place of another.
    Replaced(Path),
    /// It was there.
    Known,
}
