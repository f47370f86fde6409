//! Trouble at a chosen place: every system call that changes the disk asks here first.

use std::cell::Cell;
use std::io;

/// What is to happen at which of the changes, counted from one.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The process is killed before it: neither this nor any later change is made.
    Kill(usize),
    /// It fails, and the program goes on.
    Fail(usize, i32),
}

thread_local! {
    static PLAN: Cell<Option<(Fault, usize)>> = const { Cell::new(None) };
}

/// Errors of a disk that is full, broken, or mounted to be read only.
pub const ERRNOS: [i32; 3] = [28, 5, 30];

/// Runs `act` with a fault ahead. Also says whether `act` came so far as to meet it.
pub fn run<T>(fault: Fault, act: impl FnOnce() -> T) -> (T, bool) {
    PLAN.set(Some((fault, 0)));
    let outcome = act();
    let (_, changes) = PLAN.take().unwrap();
    let (Fault::Kill(at) | Fault::Fail(at, _)) = fault;
    (outcome, changes >= at)
}

/// Called before each change.
pub fn before_change() -> io::Result<()> {
    let Some((fault, before)) = PLAN.get() else { return Ok(()) };
    PLAN.set(Some((fault, before + 1)));
    match fault {
        Fault::Kill(at) if before + 1 >= at => Err(io::Error::other("killed")),
        Fault::Fail(at, errno) if before + 1 == at => Err(io::Error::from_raw_os_error(errno)),
        _ => Ok(()),
    }
}
