//! The thread that writes routes: batches go in, answers come out, urgent ones first.
//!
//! Owns the queue and the thread; what a change means to the kernel is the [`Installer`]'s business. Writing
//! blocks: the kernel takes six microseconds for a route, and a replacement of a group under many
//! routes may take it a second. On a thread of its own that delays nothing but later routes.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::Error;
use super::installer::Installer;
use super::routes::Ownership;
use crate::fib::{Batch, BatchId, Found, Refusal};

/// A thread that writes routes and groups of ours. Dropping it ends the thread after the batch under way;
/// what waits is neither made nor answered.
#[derive(Debug)]
pub struct RouteWriter {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    port: u32,
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// What is to be done.
#[derive(Debug)]
struct Waiting {
    urgent: VecDeque<Job>,
    rest: VecDeque<Job>,
    /// For batches that come from now on.
    ownership: Ownership,
    ended: bool,
}

#[derive(Debug)]
enum Job {
    Write(Ownership, Batch),
    Adopt(Ownership, SyncSender<Result<Found, Error>>),
}

impl RouteWriter {
    /// Starts the thread, in the calling thread's namespace. It calls `before` with each batch that is about
    /// to be made, and `answer` when it has been, with the changes that were refused; either that waits holds
    /// up the batches behind it.
    ///
    /// # Errors
    /// The socket could not be opened, or the thread not be started.
    pub fn start(
        ownership: Ownership,
        before: impl FnMut(&Batch) + Send + 'static,
        answer: impl FnMut(BatchId, Vec<Refusal>) + Send + 'static,
    ) -> Result<RouteWriter, Error> {
        let installer = Installer::open(ownership)?;
        let port = installer.port();
        let waiting = Waiting { urgent: VecDeque::new(), rest: VecDeque::new(), ownership, ended: false };
        let queue = Arc::new(Queue { waiting: Mutex::new(waiting), changed: Condvar::new() });
        let thread = thread::Builder::new()
            .name("route-writer".to_owned())
            .spawn({
                let queue = queue.clone();
                move || work(&queue, installer, ownership, before, answer)
            })
            .map_err(Error::system(|| "start the thread that writes routes".to_owned()))?;
        Ok(RouteWriter { queue, thread: Some(thread), port })
    }

    /// Queues a batch: behind all others, or, if it is urgent, behind other urgent ones. Its changes apply to
    /// the table and protocol that were last set.
    pub fn write(&self, batch: Batch) {
        let mut waiting = self.queue.lock();
        let urgent = batch.urgent;
        let job = Job::Write(waiting.ownership, batch);
        if urgent {
            waiting.urgent.push_back(job)
        } else {
            waiting.rest.push_back(job)
        }
        self.queue.changed.notify_one();
    }

    /// Batches that are queued from now on are for this table and protocol. What was written before stays as
    /// it is.
    pub fn set_ownership(&self, ownership: Ownership) {
        self.queue.lock().ownership = ownership;
    }

    /// The number that the kernel puts on news of what the thread did.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Reads what the kernel holds of ours, behind all batches that wait, and takes it over: removes single
    /// next hops that no group needs. Blocks the calling thread meanwhile.
    ///
    /// # Errors
    /// The dump failed or was interrupted too often to be consistent.
    pub fn adopt(&self) -> Result<Found, Error> {
        let (sender, result) = sync_channel(1);
        let mut waiting = self.queue.lock();
        let job = Job::Adopt(waiting.ownership, sender);
        waiting.rest.push_back(job);
        drop(waiting);
        self.queue.changed.notify_one();
        let ended = || std::io::Error::other("the thread that writes routes has ended");
        result.recv().map_err(|_| Error::system(|| "read our routes".to_owned())(ended()))?
    }
}

impl Drop for RouteWriter {
    fn drop(&mut self) {
        self.queue.lock().ended = true;
        self.queue.changed.notify_one();
        // When its own answer drops it, the thread ends by itself.
        if let Some(thread) = self.thread.take().filter(|it| it.thread().id() != thread::current().id()) {
            // A panic in there has been told where it happened.
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// What is behind the lock is whole after each statement, also where a holder panicked.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next thing to do; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if waiting.ended {
                return None;
            }
            let urgent = waiting.urgent.pop_front();
            if let Some(job) = urgent.or_else(|| waiting.rest.pop_front()) {
                return Some(job);
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(
    queue: &Queue,
    mut installer: Installer,
    mut current: Ownership,
    mut before: impl FnMut(&Batch),
    mut answer: impl FnMut(BatchId, Vec<Refusal>),
) {
    while let Some(job) = queue.next() {
        let (Job::Write(ownership, _) | Job::Adopt(ownership, _)) = &job;
        if *ownership != current {
            current = *ownership;
            installer.set_ownership(current);
        }
        match job {
            Job::Write(_, batch) => {
                before(&batch);
                answer(batch.id, installer.apply(&batch.changes));
            }
            // Who asked may have stopped waiting.
            Job::Adopt(_, sender) => drop(sender.send(installer.adopt())),
        }
    }
}
