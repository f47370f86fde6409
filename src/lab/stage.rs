//! Where the lab keeps its files: in memory that only the lab's processes see.
//!
//! The lab moves into a mount namespace of its own and covers `/run` with a tmpfs there. Whatever it
//! writes (manifests, logs) lies below [`ROOT`], is inherited by every node's namespace, and is
//! gone with the last of these processes, however they end. Nothing is ever written to the machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// Everything the lab writes lies here.
pub const ROOT: &str = "/run/lab";

/// The manifests that all nodes of the cluster share.
pub fn manifests() -> PathBuf {
    Path::new(ROOT).join("manifests")
}

/// The logs of all processes.
pub fn logs() -> PathBuf {
    Path::new(ROOT).join("logs")
}

/// Where a node's own `/run` is furnished before it takes its place.
pub fn node_run() -> PathBuf {
    Path::new(ROOT).join("node-run")
}

/// Makes sure that this is root.
///
/// # Errors
/// It is not; the error says what to do.
pub fn require_root() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab makes network namespaces, which needs root: run this with sudo, or as root");
    }
    Ok(())
}

/// Moves the calling process there. It must have one thread only.
///
/// # Errors
/// No privilege, or namespaces are not to be had here: the error says what to do.
pub fn enter() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| explain(error, "mount"))?;
    make_slaves().context("parting the lab's mounts from the machine's")?;
    detach_run().context("leaving the machine's /run")?;
    mount(Some("routelet-lab"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .context("mounting a tmpfs for the lab's files")?;
    for directory in [manifests(), logs(), node_run()] {
        std::fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    }
    Ok(())
}

/// Nothing that is mounted from now on is seen outside, while what is unmounted outside goes here too.
///
/// # Errors
/// No privilege.
pub fn make_slaves() -> Result<(), nix::Error> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
}

/// Lets go of what is mounted below the machine's `/run`. The namespaces of others are bound there,
/// and our copy of such a mount would keep one alive after its owner has removed it.
fn detach_run() -> anyhow::Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4));
    // The last mounted first: one may lie on another.
    for target in targets.filter(|target| target.starts_with("/run/")).collect::<Vec<_>>().into_iter().rev() {
        // A name with a space or the like stands there escaped, is not found, and stays mounted.
        let _ = umount2(target, MntFlags::MNT_DETACH);
    }
    Ok(())
}

/// What a refusal to make a namespace means to a person.
pub fn explain(error: nix::Error, kind: &str) -> anyhow::Error {
    let advice = match error {
        nix::Error::EPERM => {
            "root lacks CAP_SYS_ADMIN here, as in a container without --privileged: run the lab on the machine \
             itself, or in a privileged container"
        }
        nix::Error::ENOSPC => "the machine's limit is reached: raise it under /proc/sys/user/",
        nix::Error::EINVAL | nix::Error::ENOSYS => "this kernel is built without it",
        _ => "see namespaces(7)",
    };
    anyhow::anyhow!("cannot make a {kind} namespace: {error}; {advice}")
}
