//! The paths of one destination: mostly one, which then needs no allocation of its own.

use super::path::Path;

/// A list of paths.
#[derive(Debug, Default)]
pub(super) enum Paths {
    #[default]
    None,
    One(Path),
    Many(Vec<Path>),
}

impl Paths {
    pub(super) fn as_slice(&self) -> &[Path] {
        match self {
            Paths::None => &[],
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Many(paths) => paths,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Path] {
        match self {
            Paths::None => &mut [],
            Paths::One(path) => std::slice::from_mut(path),
            Paths::Many(paths) => paths,
        }
    }

    pub(super) fn push(&mut self, path: Path) {
        *self = match std::mem::take(self) {
            Paths::None => Paths::One(path),
            Paths::One(first) => Paths::Many(vec![first, path]),
            Paths::Many(mut paths) => {
                paths.push(path);
                Paths::Many(paths)
            }
        };
    }

    /// Removes one path; the others keep their order.
    pub(super) fn remove(&mut self, at: usize) -> Path {
        let (removed, rest) = match std::mem::take(self) {
            Paths::One(path) => (path, Paths::None),
            Paths::Many(mut paths) => {
                let removed = paths.remove(at);
                let rest = match paths.len() {
                    1 => paths.pop().map_or(Paths::None, Paths::One),
                    _ => Paths::Many(paths),
                };
                (removed, rest)
            }
            Paths::None => unreachable!("no path has an index in an empty list"),
        };
        *self = rest;
        removed
    }
}
