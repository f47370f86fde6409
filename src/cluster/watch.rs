//! Watching a directory of manifests: a new set of objects whenever what it says has changed.
//!
//! The kernel tells of every single step by which a file is changed; an editor takes five for one
//! save. So after the first step we wait until nothing has happened for a moment, and only then read.
//! What makes this dependable is that reading, not the events, decides what is new: events may come too
//! often or be too many for the queue, and nothing is lost or repeated.
//!
//! Kubernetes mounts a ConfigMap as symlinks through `..data`, which it swaps in one rename; a
//! configuration tool may replace the whole directory. Therefore the watch covers the directory, every
//! directory on the path to it, and those that its symlinks lead to, and is laid anew before each
//! reading. A change before the watch is laid is seen by the reading; one after it is an event.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Error;
use super::manifests::{ManifestDirectory, Reading};

/// How long nothing must have happened before the directory is read.
const QUIET: Duration = Duration::from_millis(50);

/// The longest that a directory which never comes to rest goes unread.
const PATIENCE: Duration = Duration::from_secs(1);

/// A directory of manifests under watch.
#[derive(Debug)]
pub struct Watch {
    directory: ManifestDirectory,
    queue: Queue,
    state: State,
    /// What was handed out last: the reading, or the text of the error.
    last: Option<Result<Reading, String>>,
}

/// What a watch is about to do. Kept outside of the futures, so that dropping one loses nothing.
#[derive(Debug)]
enum State {
    /// Wait for a change.
    Idle,
    /// Wait until `quiet`, which each change puts off, but not past `give_up`.
    Settling { quiet: Instant, give_up: Instant },
    /// Lay the watch anew and read.
    Due,
    /// Wait for the reading.
    Reading(JoinHandle<Result<Reading, Error>>),
}

impl ManifestDirectory {
    /// Starts to watch the directory. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// The directory cannot be watched. That it does not exist is no such error: [`Watch::next`] says
    /// so, and goes on when it appears.
    pub fn watch(self) -> Result<Watch, Error> {
        let queue = Queue::lay(self.path()).map_err(|source| watch_error(&self, source))?;
        Ok(Watch { directory: self, queue, state: State::Due, last: None })
    }
}

impl Watch {
    /// The objects as they are now, at the first call; afterwards, as soon as they or what is wrong with
    /// them has changed. May be dropped and called again at any time.
    ///
    /// # Errors
    /// The directory cannot be read or holds something malformed. Whoever asked keeps the objects of
    /// the last good reading, and asks again: the next answer comes with the next change.
    pub async fn next(&mut self) -> Result<Reading, Error> {
        loop {
            match &mut self.state {
                State::Idle => {
                    self.queue.changed().await.map_err(|source| watch_error(&self.directory, source))?;
                    let now = Instant::now();
                    self.state = State::Settling { quiet: now + QUIET, give_up: now + PATIENCE };
                }
                State::Settling { quiet, give_up } => match timeout_at(*quiet, self.queue.changed()).await {
                    Ok(changed) => {
                        changed.map_err(|source| watch_error(&self.directory, source))?;
                        *quiet = Instant::now() + QUIET;
                        if *quiet > *give_up {
                            self.state = State::Due;
                        }
                    }
                    Err(_) => self.state = State::Due,
                },
                State::Due => {
                    self.state = State::Idle;
                    self.queue = Queue::lay(self.directory.path())
                        .map_err(|source| watch_error(&self.directory, source))?;
                    let directory = self.directory.clone();
                    self.state = State::Reading(tokio::task::spawn_blocking(move || directory.read()));
                }
                State::Reading(task) => {
                    let outcome = task.await;
                    self.state = State::Idle;
                    let outcome = outcome.map_err(|error| watch_error(&self.directory, error.into()))?;
                    if self.is_news(&outcome) {
                        return outcome;
                    }
                }
            }
        }
    }

    /// The directory that is watched.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Whether an outcome differs from the last one; remembers it.
    fn is_news(&mut self, outcome: &Result<Reading, Error>) -> bool {
        let outcome = match outcome {
            Ok(reading) => Ok(reading.clone()),
            Err(error) => Err(error.to_string()),
        };
        let news = self.last.as_ref() != Some(&outcome);
        self.last = Some(outcome);
        news
    }
}

fn watch_error(directory: &ManifestDirectory, source: io::Error) -> Error {
    Error::Watch { path: directory.path().to_owned(), source }
}

/// An inotify queue and what to make of its events.
#[derive(Debug)]
struct Queue {
    inotify: AsyncFd<Descriptor>,
    concerns: BTreeMap<WatchDescriptor, Concern>,
}

/// Which events of a watched directory matter.
#[derive(Debug)]
enum Concern {
    /// All.
    Everything,
    /// Those about these entries.
    Entries(BTreeSet<OsString>),
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
    fn lay(path: &Path) -> io::Result<Queue> {
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
        match (self.concerns.entry(watch).or_insert_with(|| Concern::Entries(BTreeSet::new())), entry) {
            (Concern::Entries(entries), Some(entry)) => drop(entries.insert(entry)),
            (concern, None) => *concern = Concern::Everything,
            (Concern::Everything, Some(_)) => {}
        }
        Ok(())
    }

    /// Waits for an event that matters.
    async fn changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match ready.try_io(|inotify| Ok(inotify.get_ref().0.read_events()?)) {
                Ok(events)
                    if events
                        .as_ref()
                        .is_ok_and(|events| !events.iter().any(|event| self.matters(event))) => {}
                Ok(events) => return events.map(drop),
                Err(_would_block) => {}
            }
        }
    }

    fn matters(&self, event: &InotifyEvent) -> bool {
        match self.concerns.get(&event.wd) {
            Some(Concern::Entries(entries)) => match &event.name {
                Some(name) => entries.contains(name),
                // About the directory itself; times and modes of those on the way do not matter.
                None => !event.mask.contains(AddWatchFlags::IN_ATTRIB),
            },
            // Everything, or the queue has overflowed and anything may have happened.
            Some(Concern::Everything) | None => true,
        }
    }
}

#[cfg(test)]
mod tests;
