//! File descriptors: one for each session, and more.
//!
//! A process is given 1,024 of them unless somebody cares, for the sake of programs that call select(2). This one
//! does not, and a reflector has thousands of sessions: it takes as many as it may.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Raises the limit of descriptors as far as that is permitted. What it was stays in force where that fails.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard.max(soft), hard)?;
        Ok((soft, hard))
    });
    match raised {
        Ok((soft, hard)) => debug!(from = soft, to = hard, "limit of file descriptors"),
        Err(error) => warn!("cannot raise the limit of file descriptors: {error}"),
    }
}
