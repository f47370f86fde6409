//! The thread that serves the sockets of all sessions: it reads, cuts into messages, and writes.
//!
//! It knows no table, so that no work on one keeps a socket waiting: whatever the driver does, what a
//! peer says is noticed when it arrives, and a peer hears from us in time.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A hold on the thread. Dropping it ends the thread, and with it every task there.
#[derive(Debug)]
pub struct SessionThread {
    handle: Handle,
    /// Gone with this: tells the thread to end.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SessionThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread, or nothing to wait for sockets with.
    pub fn start() -> io::Result<SessionThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("sessions".to_owned()).spawn(move || {
            // An error says that the sender is gone, which is what is waited for.
            let _ = runtime.block_on(ended);
        })?;
        Ok(SessionThread { handle, running: Some(running), thread: Some(thread) })
    }

    /// Where to spawn what belongs on the thread. Sockets must be made by a task there, too: the thread
    /// that they are registered on is the one that is told when they are ready.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for SessionThread {
    fn drop(&mut self) {
        self.running = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
