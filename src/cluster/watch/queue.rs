//! The inotify queue: laying watches on all that leads to the manifests, and what its events say about them.
//!
//! Which events call for a reading and which files are being written is decided here; when to read is
//! decided by whoever asks. Order and meaning of the events: inotify(7).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::cluster::manifests::is_named_manifest;

/// What has happened, the graver the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Something that may change which files are read, and often is mere noise.
    Around,
    /// A file that is read, or would be.
    Manifest,
}

/// The files that somebody has begun to write and not closed yet. It outlives the queue.
///
/// The last event about a file decides, so that seeing some of them twice, in an old queue and in the
/// next, does no harm.
#[derive(Debug, Default)]
pub struct Unfinished(BTreeSet<PathBuf>);

impl Unfinished {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for none of them any longer: they are read as they are.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    fn note(&mut self, path: PathBuf, mask: AddWatchFlags) {
        // A link, too, is created, and nobody is going to close it; a file that is opened is empty at first.
        let begun = || path.symlink_metadata().is_ok_and(|file| file.is_file() && file.len() == 0);
        if mask.contains(AddWatchFlags::IN_MODIFY) || mask.contains(AddWatchFlags::IN_CREATE) && begun() {
            self.0.insert(path);
        } else if !mask.contains(AddWatchFlags::IN_ATTRIB) {
            self.0.remove(&path);
        }
    }

    /// A directory is gone from where it was, and nobody tells of its files any longer.
    fn leave(&mut self, directory: &Path) {
        self.0.retain(|path| !path.starts_with(directory));
    }
}

/// An inotify queue and what to make of its events.
#[derive(Debug)]
pub struct Queue {
    inotify: AsyncFd<Descriptor>,
    concerns: BTreeMap<WatchDescriptor, Concern>,
}

/// Which events of a watched directory matter.
#[derive(Debug)]
struct Concern {
    directory: PathBuf,
    /// Those about any entry: it is the directory of the manifests.
    everything: bool,
    /// Those about these entries, which lead to manifests or are some.
    entries: BTreeSet<OsString>,
}

impl Concern {
    /// What an event about an entry is.
    fn change(&self, entry: &OsStr) -> Option<Change> {
        if self.entries.contains(entry) || self.everything && is_named_manifest(Path::new(entry)) {
            Some(Change::Manifest)
        } else {
            self.everything.then_some(Change::Around)
        }
    }
}

/// The inotify descriptor as tokio wants it.
#[derive(Debug)]
struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

// tokio deprecates this constructor because a type may implement `AsRawFd` with a descriptor that it does
// not own. `Descriptor` owns its own, and the alternative is `unsafe`.
#[allow(deprecated, reason = "sound for a type that owns its descriptor")]
fn readable(inotify: Descriptor) -> io::Result<AsyncFd<Descriptor>> {
    AsyncFd::with_interest(inotify, Interest::READABLE)
}

impl Queue {
    /// Lays watches on the directory and on all that leads to its contents.
    ///
    /// # Errors
    /// The system refuses. A directory that does not exist is passed over.
    pub fn lay(path: &Path) -> io::Result<Queue> {
        let path = std::path::absolute(path)?;
        let inotify = Descriptor(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?);
        let mut queue = Queue { inotify: readable(inotify)?, concerns: BTreeMap::new() };
        // From the root down, each directory before its entry is looked at: what is missing now
        // cannot appear unnoticed later.
        let mut ancestors: Vec<&Path> = path.ancestors().skip(1).collect();
        ancestors.reverse();
        for (ancestor, below) in
            ancestors.iter().zip(ancestors.iter().skip(1).copied().chain([path.as_path()]))
        {
            queue.add_entry(ancestor, below)?;
        }
        queue.add(&path, None)?;
        queue.follow(&path)?;
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            queue.follow(&entry.path())?;
        }
        Ok(queue)
    }

    /// Watches what a symlink leads to.
    fn follow(&mut self, path: &Path) -> io::Result<()> {
        if !path.is_symlink() {
            return Ok(());
        }
        match path.canonicalize() {
            Ok(target) => target.parent().map_or(Ok(()), |parent| self.add_entry(parent, &target)),
            Err(_) => Ok(()),
        }
    }

    fn add_entry(&mut self, directory: &Path, entry: &Path) -> io::Result<()> {
        self.add(directory, entry.file_name().map(OsString::from))
    }

    /// Watches a directory, for one entry or for all.
    fn add(&mut self, directory: &Path, entry: Option<OsString>) -> io::Result<()> {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let watch = match self.inotify.get_ref().0.add_watch(directory, flags) {
            Ok(watch) => watch,
            // Not there, or not a directory: the one above tells when that changes.
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            // A directory on the way that may be passed but not read cannot be watched.
            Err(Errno::EACCES) if entry.is_some() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let concern = self.concerns.entry(watch).or_insert_with(|| Concern {
            directory: directory.to_owned(),
            everything: false,
            entries: BTreeSet::new(),
        });
        concern.everything |= entry.is_none();
        concern.entries.extend(entry);
        Ok(())
    }

    /// Waits for events that matter, and takes note of the files being written.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub async fn changed(&self, unfinished: &mut Unfinished) -> io::Result<Change> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match ready.try_io(|inotify| Ok(inotify.get_ref().0.read_events()?)) {
                Ok(events) => {
                    if let Some(change) = self.judge(&events?, unfinished) {
                        return Ok(change);
                    }
                }
                Err(_would_block) => {}
            }
        }
    }

    /// What has happened until now, without waiting.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn drain(&self, unfinished: &mut Unfinished) -> io::Result<Option<Change>> {
        let mut change = None;
        loop {
            match self.inotify.get_ref().0.read_events() {
                Ok(events) => change = change.max(self.judge(&events, unfinished)),
                Err(Errno::EAGAIN) => return Ok(change),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The gravest of what some events say.
    fn judge(&self, events: &[InotifyEvent], unfinished: &mut Unfinished) -> Option<Change> {
        // Every one is looked at, for the files being written.
        events.iter().map(|event| self.judge_one(event, unfinished)).max().flatten()
    }

    fn judge_one(&self, event: &InotifyEvent, unfinished: &mut Unfinished) -> Option<Change> {
        let Some(concern) = self.concerns.get(&event.wd) else {
            // The queue has overflowed and anything may have happened.
            return Some(Change::Manifest);
        };
        let Some(name) = &event.name else {
            // About the directory itself; times and modes of those on the way do not matter.
            let attributes = event.mask.contains(AddWatchFlags::IN_ATTRIB);
            if !attributes {
                unfinished.leave(&concern.directory);
            }
            return (concern.everything || !attributes).then_some(Change::Around);
        };
        let change = concern.change(name);
        if change == Some(Change::Manifest) {
            unfinished.note(concern.directory.join(name), event.mask);
        }
        change
    }
}
