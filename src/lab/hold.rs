//! Process 1 of a node: furnishes the node's namespaces, says so, and waits for the lab to end.
//!
//! A node sees the machine's files. What a router or a daemon may want to write (`/etc`, `/tmp`,
//! `/var`) is overlaid with memory, `/run` is the node's own, and so are `/proc` and `/sys`.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

use super::sandbox::Mount;
use super::stage;

/// What the holder says when the node is furnished. Anything else is an error in words.
pub const READY: &str = "ready";

/// Directories whose writes stay in the node.
const OVERLAID: [&str; 3] = ["/etc", "/tmp", "/var"];

/// The holder's whole life. `arguments` are the node's name and, three words each, its mounts:
/// `ro` or `rw`, source, target.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let furnished = furnish(arguments);
    let answer = match &furnished {
        Ok(()) => READY.to_owned(),
        Err(error) => format!("{error:#}").replace('\n', " "),
    };
    // If the lab is gone already, the pipe's end says so below.
    let _ = writeln!(std::io::stdout(), "{answer}");
    match furnished.and_then(|()| wait()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Waits until the lab's end of standard input closes, burying orphans meanwhile, as process 1 must.
fn wait() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut orphans = signal(SignalKind::child())?;
        let lifeline = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?;
        let mut lifeline = tokio::net::unix::pipe::Receiver::from_owned_fd(lifeline)?;
        let mut nothing = [0; 16];
        loop {
            tokio::select! {
                read = lifeline.read(&mut nothing) => if matches!(read, Ok(0) | Err(_)) { return Ok(()) },
                _ = orphans.recv() => bury(),
            }
        }
    })
}

fn bury() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}

fn furnish(arguments: &[OsString]) -> anyhow::Result<()> {
    let (name, mounts) = arguments.split_first().context("a holder needs a name")?;
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC,
    )
    .map_err(|error| stage::explain(error, "network"))?;
    stage::make_slaves().context("parting the node's mounts from the lab's")?;
    mount_new("proc", Path::new("/proc"), "")?;
    mount_new("sysfs", Path::new("/sys"), "")?;
    std::fs::write("/proc/sys/kernel/hostname", name.as_encoded_bytes()).context("setting the host name")?;

    let run = stage::node_run();
    mount_new("tmpfs", &run, "mode=755")?;
    for directory in OVERLAID {
        overlay(directory, &run)?;
    }
    for directory in ["netns", "lab/logs"] {
        make_directory(&run.join(directory))?;
    }
    bind(&Mount { source: stage::logs(), target: run.join("lab/logs"), read_only: true })?;
    for words in mounts.as_chunks::<3>().0 {
        place(words, &run)?;
    }
    // The node's /run covers the lab's.
    mount(Some(&run), "/run", None::<&str>, MsFlags::MS_MOVE, None::<&str>).context("moving the node's /run")
}

fn mount_new(kind: &str, target: &Path, options: &str) -> anyhow::Result<()> {
    mount(Some(kind), target, Some(kind), MsFlags::empty(), Some(options))
        .with_context(|| format!("mounting {kind} on {}", target.display()))
}

/// Covers a directory with itself, writes going to memory below `run`.
fn overlay(directory: &str, run: &Path) -> anyhow::Result<()> {
    let layer = run.join(".overlay").join(directory.trim_start_matches('/'));
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    make_directory(&upper)?;
    make_directory(&work)?;
    let permissions =
        std::fs::metadata(directory).with_context(|| format!("looking at {directory}"))?.permissions();
    std::fs::set_permissions(&upper, permissions).with_context(|| format!("preparing {directory}"))?;
    let options = format!("lowerdir={directory},upperdir={},workdir={}", upper.display(), work.display());
    mount(Some("overlay"), directory, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .with_context(|| format!("overlaying {directory} (does the kernel have overlayfs?)"))
}

/// Mounts what the topology binds.
fn place(words: &[OsString; 3], run: &Path) -> anyhow::Result<()> {
    let [mode, source, target] = words;
    let (source, mut target) = (PathBuf::from(source), PathBuf::from(target));
    if let Ok(below) = target.strip_prefix("/run") {
        target = run.join(below);
    }
    let there = target.exists();
    if source.is_dir() {
        make_directory(&target)?;
    } else if !there {
        make_directory(target.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(&target, "").with_context(|| format!("creating {}", target.display()))?;
    }
    bind(&Mount { source, target, read_only: mode == "ro" })
}

fn bind(bound: &Mount) -> anyhow::Result<()> {
    let Mount { source, target, read_only } = bound;
    let what = || format!("binding {} to {}", source.display(), target.display());
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>).with_context(what)?;
    if *read_only {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, target, None::<&str>, flags, None::<&str>).with_context(what)?;
    }
    Ok(())
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))
}
