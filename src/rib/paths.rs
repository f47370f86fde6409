//! The paths of one destination: mostly one, which then needs no allocation of its own.
//!
//! Several are ordered by source and identifier. Where each of thousands of nodes announces the same
//! prefix, finding one of its paths must not mean looking at all of them.

use super::path::{Path, Source};
use crate::bgp::PathId;

/// A list of paths.
#[derive(Debug, Default)]
pub(super) enum Paths {
    #[default]
    None,
    One(Path),
    /// Two or more.
    Many(Vec<Path>),
}

/// There are millions of lists: one of a single path takes no more room than the path.
const _: () = assert!(size_of::<Paths>() == size_of::<Path>(), "a list of paths has grown");

/// What a path is found by.
type Key = (Source, PathId);

fn key(path: &Path) -> Key {
    (path.source, path.path_id)
}

impl Paths {
    pub(super) fn as_slice(&self) -> &[Path] {
        match self {
            Paths::None => &[],
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Many(paths) => paths,
        }
    }

    /// For changes to what is not ordered by.
    pub(super) fn as_mut_slice(&mut self) -> &mut [Path] {
        match self {
            Paths::None => &mut [],
            Paths::One(path) => std::slice::from_mut(path),
            Paths::Many(paths) => paths,
        }
    }

    /// Where a path is, or would have to be.
    pub(super) fn search(&self, source: Source, path_id: PathId) -> Result<usize, usize> {
        match self {
            Paths::None => Err(0),
            Paths::One(path) => match key(path).cmp(&(source, path_id)) {
                std::cmp::Ordering::Equal => Ok(0),
                order => Err(usize::from(order.is_lt())),
            },
            Paths::Many(paths) => paths.binary_search_by_key(&(source, path_id), key),
        }
    }

    /// Puts a path where [`Paths::search`] has not found it.
    pub(super) fn insert(&mut self, at: usize, path: Path) {
        match self {
            Paths::None => *self = Paths::One(path),
            Paths::Many(paths) => paths.insert(at, path),
            Paths::One(_) => {
                // Two are the most that most destinations have.
                let mut paths = Vec::with_capacity(2);
                if let Paths::One(other) = std::mem::take(self) {
                    paths.push(other);
                }
                paths.insert(at, path);
                *self = Paths::Many(paths);
            }
        }
    }

    /// Removes one path; the others keep their order.
    pub(super) fn remove(&mut self, at: usize) {
        let Paths::Many(paths) = self else {
            *self = Paths::None;
            return;
        };
        paths.remove(at);
        if paths.len() == 1 {
            *self = paths.pop().map_or(Paths::None, Paths::One);
        } else if paths.capacity() > 4 * paths.len() {
            paths.shrink_to(2 * paths.len());
        }
    }
}

/// An identifier to tell a further path by that none of these has, who have none beyond the `greatest`; zero
/// if there is none left.
pub(super) fn free_id(paths: &[Path], greatest: u16) -> u16 {
    // Mostly there is room behind the last one given, and nothing to search for.
    greatest.checked_add(1).unwrap_or_else(|| {
        let mut taken: Vec<u16> = paths.iter().map(|path| path.told_as).collect();
        taken.sort_unstable();
        (1..=u16::MAX).find(|id| taken.binary_search(id).is_err()).unwrap_or(0)
    })
}
