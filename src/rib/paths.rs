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

    /// An identifier to tell a further path by that none of these has; zero if there is none left.
    pub(super) fn free_id(&self) -> u16 {
        let taken = |id| self.as_slice().iter().any(|path| path.told_as == id);
        let greatest = self.as_slice().iter().map(|path| path.told_as).max().unwrap_or(0);
        // Mostly there is room behind the last one, and nothing to search for.
        greatest.checked_add(1).or_else(|| (1..=u16::MAX).find(|id| !taken(*id))).unwrap_or(0)
    }

    /// Removes the paths that are `gone`; the others keep their order. `false` if there were none.
    pub(super) fn remove_all(&mut self, gone: impl Fn(&Path) -> bool) -> bool {
        if !self.as_slice().iter().any(&gone) {
            return false;
        }
        *self = match std::mem::take(self) {
            Paths::None | Paths::One(_) => Paths::None,
            Paths::Many(mut paths) => {
                paths.retain(|path| !gone(path));
                Paths::from(paths)
            }
        };
        true
    }

    /// Removes one path; the others keep their order.
    pub(super) fn remove(&mut self, at: usize) -> Path {
        let (removed, rest) = match std::mem::take(self) {
            Paths::One(path) => (path, Paths::None),
            Paths::Many(mut paths) => {
                let removed = paths.remove(at);
                (removed, Paths::from(paths))
            }
            Paths::None => unreachable!("no path has an index in an empty list"),
        };
        *self = rest;
        removed
    }
}

impl From<Vec<Path>> for Paths {
    fn from(mut paths: Vec<Path>) -> Paths {
        match paths.len() {
            0 | 1 => paths.pop().map_or(Paths::None, Paths::One),
            _ => Paths::Many(paths),
        }
    }
}
