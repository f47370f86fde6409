//! Watching a directory of manifests: a new set of objects whenever what it says has changed.
//!
//! The kernel tells of every single step by which a file is changed; an editor takes five for one
//! save. So after the first step we wait until nothing has happened for a moment and every manifest that
//! somebody has begun to write is closed, and only then read: a writer may rest for long between
//! truncating a file and filling it, and half a file would take sessions down. For the same reason a
//! reading during which something happened is thrown away. Neither goes on without end.
//!
//! What makes this dependable is that reading, not the events, decides what is new: events may come too
//! often or be too many for the queue, and nothing is lost or repeated.
//!
//! Kubernetes mounts a ConfigMap as symlinks through `..data`, which it swaps in one rename; a
//! configuration tool may replace the whole directory. Therefore the watch covers the directory, every
//! directory on the path to it, and those that its symlinks lead to, and is laid anew before each
//! reading. A change before the watch is laid is seen by the reading; one after it is an event.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use self::queue::{Change, Queue, Unfinished};
use super::Error;
use super::manifests::{ManifestDirectory, Reading};

mod queue;

/// How long nothing must have happened before the directory is read.
const QUIET: Duration = Duration::from_millis(50);

/// The longest that a directory goes unread in which things happen without end that are not about manifests.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest that it goes unread from the first change of a manifest on: for as long a writer may take.
const STALL: Duration = Duration::from_secs(5);

/// A directory of manifests under watch.
#[derive(Debug)]
pub struct Watch {
    directory: ManifestDirectory,
    queue: Queue,
    unfinished: Unfinished,
    state: State,
    /// What was handed out last: the reading, or the text of the error.
    last: Option<Result<Reading, String>>,
}

/// What a watch is about to do. Kept outside of the futures, so that dropping one loses nothing.
#[derive(Debug)]
enum State {
    /// Wait for a change.
    Idle,
    /// Wait for rest.
    Settling(Unrest),
    /// Lay the watch anew and read.
    Due(Unrest),
    /// Wait for the reading.
    Reading(JoinHandle<Result<Reading, Error>>, Unrest),
}

/// Changes that have not been read yet.
#[derive(Debug, Clone, Copy)]
struct Unrest {
    /// Until when nothing may happen.
    quiet: Instant,
    /// When it is read whatever happens, as long as no manifest is among what has changed.
    patience: Instant,
    /// The same since the first change of a manifest.
    stall: Option<Instant>,
}

impl Unrest {
    fn new() -> Unrest {
        let now = Instant::now();
        Unrest { quiet: now, patience: now + PATIENCE, stall: None }
    }

    fn stirred(mut self, change: Change) -> Unrest {
        let now = Instant::now();
        self.quiet = now + QUIET;
        if change == Change::Manifest {
            self.stall.get_or_insert(now + STALL);
        }
        self
    }

    fn give_up(&self) -> Instant {
        self.stall.unwrap_or(self.patience)
    }

    /// When to read, if nothing happens until then.
    fn due(&self, unfinished: &Unfinished) -> Instant {
        if unfinished.is_empty() { self.quiet.min(self.give_up()) } else { self.give_up() }
    }
}

impl ManifestDirectory {
    /// Starts to watch the directory. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// The directory cannot be watched. That it does not exist is no such error: [`Watch::next`] says
    /// so, and goes on when it appears.
    pub fn watch(self) -> Result<Watch, Error> {
        let queue = Queue::lay(self.path()).map_err(|source| watch_error(&self, source))?;
        Ok(Watch {
            directory: self,
            queue,
            unfinished: Unfinished::default(),
            state: State::Due(Unrest::new()),
            last: None,
        })
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
            let step = self.step().await;
            if let Some(outcome) = step.map_err(|source| watch_error(&self.directory, source))?
                && self.is_news(&outcome)
            {
                return outcome;
            }
        }
    }

    /// Goes on to the next state; gives what was read when that may be trusted.
    async fn step(&mut self) -> io::Result<Option<Result<Reading, Error>>> {
        match &mut self.state {
            State::Idle => {
                let change = self.queue.changed(&mut self.unfinished).await?;
                self.state = State::Settling(Unrest::new().stirred(change));
            }
            State::Settling(unrest) => {
                let due = unrest.due(&self.unfinished);
                match timeout_at(due, self.queue.changed(&mut self.unfinished)).await {
                    Ok(change) => *unrest = unrest.stirred(change?),
                    Err(_) => self.state = State::Due(*unrest),
                }
            }
            State::Due(unrest) => {
                let unrest = *unrest;
                self.state = State::Idle;
                self.begin(unrest)?;
            }
            State::Reading(task, unrest) => {
                let (outcome, unrest) = (task.await, *unrest);
                self.state = State::Idle;
                let outcome = outcome?;
                if let Some(change) = self.queue.drain(&mut self.unfinished)? {
                    let stirred = unrest.stirred(change);
                    if Instant::now() < stirred.give_up() {
                        self.state = State::Settling(stirred);
                        return Ok(None);
                    }
                    // That has to do, until the next one.
                    self.state = State::Settling(Unrest::new().stirred(change));
                }
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    /// Lays the watch anew and begins to read, unless something has happened in the meantime.
    fn begin(&mut self, unrest: Unrest) -> io::Result<()> {
        // The old one goes after the new one is there: no file begins to be written unseen.
        let queue = Queue::lay(self.directory.path())?;
        let change = std::mem::replace(&mut self.queue, queue).drain(&mut self.unfinished)?;
        let unrest = change.map_or(unrest, |change| unrest.stirred(change));
        if change.is_some() && Instant::now() < unrest.give_up() {
            self.state = State::Settling(unrest);
            return Ok(());
        }
        self.unfinished.forget();
        let directory = self.directory.clone();
        self.state = State::Reading(tokio::task::spawn_blocking(move || directory.read()), unrest);
        Ok(())
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

#[cfg(test)]
mod tests;
