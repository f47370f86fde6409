//! One netlink conversation: an rtnetlink handle and the task that drives it.

use super::{Error, NetNs};

/// A connection to the routing part of the kernel in one network namespace. Its task ends with it.
#[derive(Debug)]
pub struct Netlink {
    pub(super) handle: rtnetlink::Handle,
    task: tokio::task::JoinHandle<()>,
}

impl Netlink {
    /// Connects in the calling thread's namespace. Needs a tokio runtime.
    ///
    /// # Errors
    /// The socket could not be opened.
    pub fn open() -> Result<Netlink, Error> {
        todo!()
    }

    /// Connects in the given namespace.
    ///
    /// # Errors
    /// The namespace could not be entered or the socket not be opened.
    pub fn open_in(namespace: &NetNs) -> Result<Netlink, Error> {
        let _ = namespace;
        todo!()
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}
