//! containerd on a node: with Debian's defaults, as far as a node without control groups of its own allows.
//!
//! Debian's paths are all private to the node, so that `ctr`, which knows no others, works as it does on a machine.
//! No container is put into a control group: what would have to be removed afterwards is never made, and the
//! test runs where the hierarchy is somebody else's. runc accepts this from whoever it takes for a plain user.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use routelet::lab::sandbox::Sandbox;

use crate::image;

/// Where containerd answers.
pub const SOCKET: &str = "/run/containerd/containerd.sock";

/// Where runtimes look for plugins unless told otherwise.
const PLUGINS: &str = "/opt/cni/bin";

/// Where the daemon is to write the network configuration, and runtimes look for it.
pub const NETWORK: &str = "/etc/cni/net.d/10-routelet.conflist";

/// Names that our plugin has in there: its own, and that of a plugin without which containerd does not start a pod.
const NAMES: [&str; 2] = ["routelet-cni", "loopback"];

/// The reference plugins that a node may have used before.
const REFERENCE: [&str; 2] = ["/usr/lib/cni/bridge", "/usr/lib/cni/host-local"];

/// runc as containerd is to run it.
pub const RUNC: &str = "/run/runc";

const RUNC_SCRIPT: &str = "#!/bin/sh\nexec /usr/sbin/runc --rootless true \"$@\"\n";

/// Where containerd reads its configuration.
pub const CONFIGURATION: &str = "/run/containerd.toml";

/// Makes the directories that Debian's containerd uses the node's own, and shows it control groups that it cannot
/// write to.
const FURNISH: &str = "
mount -t cgroup2 none /sys/fs/cgroup
mount -o remount,bind,ro /sys/fs/cgroup
mkdir -p /run/opt/upper /run/opt/work
mount -t overlay -o lowerdir=/opt,upperdir=/run/opt/upper,workdir=/run/opt/work overlay /opt
for directory in /opt/cni/bin /etc/cni/net.d /var/lib/cni /var/lib/containerd; do
    mkdir -p $directory
    mount -t tmpfs none $directory
done
";

/// Prepares a node for [`command`].
pub fn furnish(node: &Sandbox) -> anyhow::Result<()> {
    run(node, Command::new("sh").args(["-ec", FURNISH]))?;
    node.write(Path::new(RUNC), RUNC_SCRIPT)?;
    run(node, Command::new("chmod").args(["755", RUNC]))?;
    node.write(Path::new(CONFIGURATION), &configuration())?;
    for name in NAMES {
        let ours = env!("CARGO_BIN_EXE_routelet-cni");
        run(node, Command::new("ln").args(["-s", ours, &format!("{PLUGINS}/{name}")]))?;
    }
    run(node, Command::new("ln").arg("-s").args(REFERENCE).arg(PLUGINS))?;
    Ok(())
}

/// The command that starts it.
pub fn command() -> Command {
    let mut command = Command::new("containerd");
    command.args(["--config", CONFIGURATION]);
    command
}

/// `restrict_oom_score_adj`: in a container on a CI machine nobody may make himself less likely to be killed.
fn configuration() -> String {
    format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_cgroup = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{RUNC}"
"#,
        image = image::NAME
    )
}

/// What a command prints that runs to its end on a node, and succeeds.
pub fn run(node: &Sandbox, command: &mut Command) -> anyhow::Result<String> {
    use std::process::Stdio;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = format!("{command:?}");
    let done = node.spawn(command)?.wait_with_output()?;
    ensure!(done.status.success(), "{}: {what}: {}", node.name, String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
