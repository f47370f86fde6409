//! Commands on a lab that is up: run something on a node, take the lab down, and what the lab
//! itself has done inside a node.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns};

use super::output::Output;
use super::sandbox::{Doors, outside};
use super::{claim, pods, stage};
use crate::kernel::NetNs;

/// Runs a command on a node, or in the network of a pod (`node1/pod1`), with this terminal, and
/// returns its exit code. The lab's programs come first in its `PATH`.
///
/// # Errors
/// There is no such lab, node or pod, or the command cannot be run.
pub fn exec(lab: Option<&str>, place: &str, command: &[OsString]) -> anyhow::Result<ExitCode> {
    stage::require_root()?;
    let lab = claim::find(lab)?;
    let (node, pod) = place.split_once('/').map_or((place, None), |(node, pod)| (node, Some(pod)));
    let Some(pid) = lab.status.nodes.get(node) else {
        let names: Vec<_> = lab.status.nodes.keys().map(String::as_str).collect();
        bail!("the lab has no node {node}; there is {}", names.join(", "));
    };
    let (program, arguments) = command.split_first().context("there is no command to run")?;
    let mut path = std::env::current_exe().context("finding the lab's own executable")?;
    path.pop();
    let mut path = path.into_os_string();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin:");
    path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));

    let network = match pod {
        Some(pod) => {
            let network = NetNs::open(outside(*pid, &pods::namespace(pod)));
            Some(network.with_context(|| format!("{node} has no pod {pod}"))?)
        }
        None => None,
    };
    Doors::open(*pid).with_context(|| format!("{node} has ended"))?.walk_through()?;
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).current_dir("/");
    if let Some(network) = &network {
        setns(network, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {place}"))?;
    }
    let status =
        command.status().with_context(|| format!("running {} on {place}", program.to_string_lossy()))?;
    // As a shell reports it: 128 and the signal's number.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Takes a lab down and waits until nothing is left.
///
/// # Errors
/// There is no such lab, or it does not go.
pub fn down(lab: Option<&str>) -> anyhow::Result<()> {
    stage::require_root()?;
    claim::find(lab)?.take_down()?;
    Output::new(false).step("the lab is down; nothing of it is left");
    Ok(())
}

/// Makes a pod's namespace; the lab runs this on a node.
///
/// # Errors
/// The kernel refuses.
pub fn make_netns(path: &Path) -> anyhow::Result<()> {
    NetNs::create_at(path)?;
    Ok(())
}
