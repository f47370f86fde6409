//! A node's namespaces: making them, running programs inside, ending them.
//!
//! A node is a process id, network, mount, host name and IPC namespace around one small process, its
//! *holder* ([`super::hold`]), which is process 1 there. The holder waits for the end of its standard
//! input, a pipe that only the lab holds open. So when the lab ends in whatever way, the holder ends;
//! and when process 1 ends, the kernel kills every process of the namespace and takes the
//! namespaces down. Nobody has to clean up, therefore nothing can be forgotten.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns, unshare};

use super::stage;
use crate::kernel::NetNs;

/// The running program, also where its file has been replaced or is out of sight.
const MYSELF: &str = "/proc/self/exe";

/// A node that this process keeps alive.
#[derive(Debug)]
pub struct Sandbox {
    /// The node's name.
    pub name: String,
    /// The holder's process id, as seen by the machine.
    pub pid: u32,
    doors: Doors,
    holder: Child,
    lifeline: Option<ChildStdin>,
}

/// Something of the machine that is to appear inside a node.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Absolute path here.
    pub source: PathBuf,
    /// Absolute path there.
    pub target: PathBuf,
    /// Not writable there.
    pub read_only: bool,
}

impl Sandbox {
    /// Makes a node's namespaces. Returns when they are furnished; all links, loopback included,
    /// are still down.
    ///
    /// # Errors
    /// The kernel refuses a namespace or a mount.
    pub fn start(name: &str, mounts: &[Mount]) -> anyhow::Result<Sandbox> {
        let mut command = Command::new(MYSELF);
        command.arg(super::HOLD).arg(name);
        for mount in mounts {
            let mode = if mount.read_only { "ro" } else { "rw" };
            command.args([mode.into(), OsString::from(&mount.source), OsString::from(&mount.target)]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        // A process id namespace is for the children of whoever asks for it, so a thread asks.
        let mut holder = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWPID).map_err(|error| stage::explain(error, "process id"))?;
            command.spawn().context("starting a node's holder")
        })?;
        let lifeline = holder.stdin.take();
        let mut answer = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut answer).context("waiting for a node's holder")?;
        }
        if answer.trim_end() != super::hold::READY {
            drop(lifeline);
            holder.wait().context("ending a node's holder")?;
            let answer = answer.trim_end();
            bail!("{name}: {}", if answer.is_empty() { "its holder ended at once" } else { answer });
        }
        let pid = holder.id();
        let doors = Doors::open(pid).with_context(|| format!("entering the namespaces of {name}"))?;
        Ok(Sandbox { name: name.to_owned(), pid, doors, holder, lifeline })
    }

    /// Starts a program inside. It ends with the node at the latest.
    ///
    /// # Errors
    /// It cannot be entered, or the program cannot be started.
    pub fn spawn(&self, command: &mut Command) -> anyhow::Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        // Its own process group: a Ctrl-C at the terminal is the lab's to answer.
        command.process_group(0).current_dir("/");
        in_thread(|| {
            self.doors.walk_through()?;
            command.spawn().with_context(|| format!("starting {program} on {}", self.name))
        })
    }

    /// The node's network namespace.
    ///
    /// # Errors
    /// The holder has gone.
    pub fn network(&self) -> anyhow::Result<NetNs> {
        Ok(NetNs::open(format!("/proc/{}/ns/net", self.pid))?)
    }

    /// Where a path inside is found from outside.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        outside(self.pid, inside.as_ref())
    }

    /// Writes a file inside, with its directories.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, inside: &Path, text: &str) -> anyhow::Result<()> {
        let what = || format!("writing {} on {}", inside.display(), self.name);
        let path = self.path(inside);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).with_context(what)?;
        }
        std::fs::write(&path, text).with_context(what)
    }

    /// A log file for a program inside; the same file if there is one already.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn log(&self) -> anyhow::Result<File> {
        let path = stage::logs().join(format!("{}.log", self.name));
        let mut options = File::options();
        options.create(true).append(true).mode(0o644);
        options.open(&path).with_context(|| format!("opening {}", path.display()))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // Ends when the kernel has taken the namespace down, programs inside included.
        let _ = self.holder.wait();
    }
}

/// Where a path inside the namespaces of process `pid` is found from outside.
pub fn outside(pid: u32, inside: &Path) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join("root").join(inside.strip_prefix("/").unwrap_or(inside))
}

/// The namespaces of a node, held open.
#[derive(Debug)]
pub struct Doors(Vec<(File, CloneFlags)>);

impl Doors {
    /// Opens the namespaces of a process.
    ///
    /// # Errors
    /// There is no such process.
    pub fn open(pid: u32) -> io::Result<Doors> {
        // Mounts last: behind that door /proc is another one.
        let doors = [
            ("pid", CloneFlags::CLONE_NEWPID),
            ("net", CloneFlags::CLONE_NEWNET),
            ("uts", CloneFlags::CLONE_NEWUTS),
            ("ipc", CloneFlags::CLONE_NEWIPC),
            ("mnt", CloneFlags::CLONE_NEWNS),
        ];
        let open = |(name, flag)| Ok((File::open(format!("/proc/{pid}/ns/{name}"))?, flag));
        doors.into_iter().map(open).collect::<io::Result<Vec<_>>>().map(Doors)
    }

    /// Takes the calling thread inside, for good; its future children are in the process id
    /// namespace too.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn walk_through(&self) -> anyhow::Result<()> {
        // A thread that shares its root and working directory with others may not change mounts.
        unshare(CloneFlags::CLONE_FS).context("leaving the lab's directory")?;
        for (file, flag) in &self.0 {
            setns(file, *flag).with_context(|| format!("entering a namespace ({flag:?})"))?;
        }
        Ok(())
    }
}

/// Runs `f` on a thread of its own, which may end up in other namespaces.
fn in_thread<R: Send>(f: impl FnOnce() -> anyhow::Result<R> + Send) -> anyhow::Result<R> {
    std::thread::scope(|scope| match scope.spawn(f).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
