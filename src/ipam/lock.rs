//! The lock of a reservation directory: `flock` on its file `lock`, as `host-local` takes it.
//!
//! The kernel lets go of it when its holder ends, however that ends, and grants it in the order in
//! which it was asked for. A holder that hangs would make everybody hang, so the wait has an end.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::Error;

/// How long to wait. `host-local` holds the lock for a third of a second where 20,000 addresses are
/// taken, and a hundred of them may stand in line.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the kernel lists who holds what lock (proc(5)).
const LOCKS: &str = "/proc/locks";

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "the lock goes with the file")] File);

/// Takes the lock, making its file if asked to; `None` when there is no file, or no directory for it.
pub(super) fn take(path: &Path, make: bool, patience: Duration) -> Result<Option<Lock>, Error> {
    let mut how = File::options();
    let file = match how.read(true).write(true).create(make).truncate(false).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io("open", path)(source)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", path)(source)),
        Err(TryLockError::WouldBlock) => wait(file, path, patience).map(Some),
    }
}

/// Waits in a thread, which can be left behind. It then lets go of the lock as soon as it has it.
fn wait(file: File, path: &Path, patience: Duration) -> Result<Lock, Error> {
    let inode = file.metadata().map_err(Error::io("look at", path))?.ino();
    let (sender, receiver) = mpsc::sync_channel(0);
    let waiter = move || {
        let outcome = file.lock().map(|()| Lock(file));
        // Nobody listens any more if it took too long.
        let _ = sender.send(outcome);
    };
    let spawned = thread::Builder::new().name("store lock".to_owned()).spawn(waiter);
    spawned.map_err(Error::io("wait for", path))?;
    match receiver.recv_timeout(patience) {
        Ok(outcome) => outcome.map_err(Error::io("lock", path)),
        Err(_) => Err(Error::Locked { path: path.to_owned(), waited: patience, holder: holder(inode) }),
    }
}

/// The process that holds a `flock` on the file with this inode number, as `pid (name)`. Inode numbers
/// of two file systems may be the same: this is for a person to go by.
fn holder(inode: u64) -> Option<String> {
    let locks = fs::read_to_string(LOCKS).ok()?;
    // "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"; lines of those who wait have "->" second.
    let pid = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else { return None };
        (place.rsplit(':').next()?.parse() == Ok(inode)).then_some(pid)
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(if name.is_empty() { format!("process {pid}") } else { format!("process {pid} ({})", name.trim()) })
}
