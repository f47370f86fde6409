//! Network namespaces: a handle to one, making and removing them, and running code inside.
//!
//! A namespace lives as long as something holds it: a process, an open handle ([`NetNs`]), or a
//! bind mount under a path such as `/run/netns/NAME` (namespaces(7)). Entering is a matter of the
//! single thread that does it (setns(2)), which is why [`NetNs::enter`] takes a closure and not a
//! future: an `await` could continue on another thread.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};

use super::Error;

/// Where the kernel shows the calling thread's own namespace. `/proc/self` would show the main
/// thread's.
const OWN: &str = "/proc/thread-self/ns/net";

/// A handle that keeps a network namespace alive.
#[derive(Debug)]
pub struct NetNs {
    file: File,
}

impl NetNs {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> Result<NetNs, Error> {
        let file = File::open(OWN).map_err(Error::system(|| format!("open {OWN}")))?;
        Ok(NetNs { file })
    }

    /// The namespace at a path such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// The path does not exist or is not a network namespace.
    pub fn open(path: impl AsRef<Path>) -> Result<NetNs, Error> {
        let path = path.as_ref();
        let what = || format!("open network namespace {}", path.display());
        let file = File::open(path).map_err(Error::system(what))?;
        // A plain file opens as well; entering it would fail later and far from the cause.
        let filesystem = nix::sys::statfs::fstatfs(&file).map_err(Error::system(what))?;
        if filesystem.filesystem_type() != nix::sys::statfs::NSFS_MAGIC {
            return Err(Error::system(what)(std::io::Error::new(
                ErrorKind::InvalidInput,
                "the file is not a namespace",
            )));
        }
        Ok(NetNs { file })
    }

    /// A new namespace that ends with its last handle, link or process. Its loopback is down.
    ///
    /// # Errors
    /// No privilege (`CAP_SYS_ADMIN`), or the kernel's limit of namespaces is reached.
    pub fn create() -> Result<NetNs, Error> {
        in_new_namespace(NetNs::current)
    }

    /// A new namespace bound to `path`, as a container runtime does under `/run/netns`. The
    /// directory must exist. Its loopback is down.
    ///
    /// # Errors
    /// The path is taken, or no privilege. Nothing is left behind.
    pub fn create_at(path: impl AsRef<Path>) -> Result<NetNs, Error> {
        let path = path.as_ref();
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(Error::system(|| format!("create network namespace {}", path.display())))?;
        let bound = in_new_namespace(|| {
            mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .map_err(Error::system(|| format!("bind a network namespace to {}", path.display())))?;
            NetNs::current()
        });
        if bound.is_err() {
            // The first error is the one worth telling.
            let _ = NetNs::remove_at(path);
        }
        bound
    }

    /// Unbinds a namespace from `path` and removes the file. It lives on while anything else holds
    /// it. That it is gone already is success.
    ///
    /// # Errors
    /// No privilege, or the path cannot be removed.
    pub fn remove_at(path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let what = || format!("remove network namespace {}", path.display());
        match umount2(path, MntFlags::MNT_DETACH) {
            // EINVAL: there, but nothing is mounted on it, as after a reboot or half a creation.
            Ok(()) | Err(nix::Error::EINVAL) => {}
            Err(nix::Error::ENOENT) => return Ok(()),
            Err(error) => return Err(Error::system(what)(error)),
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::system(what)(error)),
            _ => Ok(()),
        }
    }

    /// What makes this namespace the same as another: device and inode of its handle.
    ///
    /// # Errors
    /// None in practice; the handle is open.
    pub fn identity(&self) -> Result<(u64, u64), Error> {
        let metadata =
            self.file.metadata().map_err(Error::system(|| "identify a network namespace".to_owned()))?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Whether there is an interface of that name. Asked without the kernel's lock on links, which those who
    /// change one hold in turn.
    ///
    /// # Errors
    /// The namespace cannot be entered, or the kernel refuses to say.
    pub fn has_interface(&self, name: &str) -> Result<bool, Error> {
        match self.enter(|| if_nametoindex(name))? {
            Ok(_) => Ok(true),
            Err(nix::Error::ENODEV) => Ok(false),
            Err(error) => Err(Error::system(|| format!("look for interface {name}"))(error)),
        }
    }

    /// Runs `f` with the calling thread inside this namespace, and brings the thread back. Sockets
    /// that `f` opens stay in the namespace. `f` must not await.
    ///
    /// # Errors
    /// The thread could not enter. Not being able to return aborts the process: a thread in the
    /// wrong namespace would do damage.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> Result<R, Error> {
        let home = Home(NetNs::current()?);
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .map_err(Error::system(|| "enter a network namespace".to_owned()))?;
        let result = f();
        drop(home);
        Ok(result)
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Brings the thread back when dropped, also when what it ran inside panics.
struct Home(NetNs);

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.0.file, CloneFlags::CLONE_NEWNET) {
            tracing::error!(%error, "cannot return to the own network namespace; aborting");
            std::process::abort();
        }
    }
}

/// Runs `f` in a namespace of its own. A fresh thread does it and ends: the calling one need never
/// find its way back.
fn in_new_namespace<R: Send>(f: impl FnOnce() -> Result<R, Error> + Send) -> Result<R, Error> {
    let body = || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(Error::system(|| "make a network namespace".to_owned()))?;
        f()
    };
    std::thread::scope(|scope| match scope.spawn(body).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
