//! Network namespaces: a handle to one, and running code inside it.

use std::path::Path;

use super::Error;

/// A handle that keeps a network namespace alive.
#[derive(Debug)]
pub struct NetNs {
    file: std::fs::File,
}

impl NetNs {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> Result<NetNs, Error> {
        todo!()
    }

    /// The namespace at a path such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// The path does not exist or is not a network namespace.
    pub fn open(path: impl AsRef<Path>) -> Result<NetNs, Error> {
        let _ = path.as_ref();
        todo!()
    }

    /// Runs `f` with the calling thread inside this namespace, and brings the thread back. Sockets
    /// that `f` opens stay in the namespace. `f` must not await.
    ///
    /// # Errors
    /// The thread could not enter. Not being able to return aborts the process: a thread in the
    /// wrong namespace would do damage.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> Result<R, Error> {
        let _ = (&self.file, f);
        todo!()
    }
}
