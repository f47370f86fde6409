//! Scheduling: real-time priority for a thread that has little to do and must do it on time.

use std::io;

use super::sys;

/// Where the thread stands among real-time threads: above none but ordinary ones.
const LOWEST_REAL_TIME: i32 = 1;

/// Lets the calling thread run before every ordinary one (sched(7), `SCHED_RR`). Threads it starts do
/// not inherit it.
///
/// # Errors
/// The process may not (`CAP_SYS_NICE`), or its cgroup has no real-time share.
pub fn raise_this_thread() -> io::Result<()> {
    sys::set_round_robin(LOWEST_REAL_TIME)
}
