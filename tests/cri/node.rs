//! One node: the lab's namespaces, Routelet's daemon and containerd in them.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use routelet::lab::report::NodeReport;
use routelet::lab::sandbox::Sandbox;
use routelet::lab::stage;

use crate::client::Cri;
use crate::{image, runtime, wait};

/// Where the archive of the image is seen on a node.
pub const IMAGE: &str = "/run/image/image.tar";

/// Unmade in the order in which one holds the other. `kill` spares process 1, and the shell that says it.
const DOWN: &str = "
kill -9 -1
awk '$2 ~ \"^/run/(containerd|netns)\" { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
rm -rf /run/containerd /run/netns /run/routelet /run/pods
mkdir /run/netns
ip link delete cni0
nft flush ruleset
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
";

/// A node of the cluster.
pub struct Node {
    pub name: String,
    pub sandbox: Sandbox,
    daemon: Option<Child>,
    containerd: Option<Child>,
}

impl Node {
    /// A node on which nothing runs yet.
    pub fn new(sandbox: Sandbox) -> anyhow::Result<Node> {
        runtime::furnish(&sandbox)?;
        Ok(Node { name: sandbox.name.clone(), sandbox, daemon: None, containerd: None })
    }

    /// Starts Routelet's daemon, as a DaemonSet would.
    pub fn start_daemon(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
        command.args(["run", "--node-name", &self.name, "--manifests", "/etc/routelet"]);
        command.args(["--cni-config", runtime::NETWORK]);
        self.daemon = Some(self.start("routelet", command)?);
        Ok(())
    }

    /// Ends the daemon without a warning.
    pub fn kill_daemon(&mut self) {
        end(self.daemon.take(), Signal::SIGKILL);
    }

    /// Starts containerd and waits until it serves.
    pub async fn start_containerd(&mut self) -> anyhow::Result<()> {
        self.containerd = Some(self.start("containerd", runtime::command())?);
        wait::until("containerd answers", async || {
            let cri = self.cri().await.map_err(|error| error.to_string())?;
            cri.conditions().await.map(drop).map_err(|status| status.to_string())
        })
        .await
    }

    /// Waits until the daemon's sessions are established.
    pub async fn await_sessions(&self) -> anyhow::Result<()> {
        wait::until("the daemon's sessions", async || {
            let report = NodeReport::ask(&self.sandbox).await.map_err(|error| error.to_string())?;
            if report.is_settled() { Ok(()) } else { Err(report.sessions_down().join("; ")) }
        })
        .await
    }

    /// Brings a node on which something failed back into order: everything runs, and there are no pods.
    pub async fn tidy(&mut self) -> anyhow::Result<()> {
        self.kill_daemon();
        self.start_daemon()?;
        self.end_containerd(Signal::SIGKILL);
        self.start_containerd().await?;
        wait::until("NetworkReady", async || self.network_ready().await).await?;
        self.remove_all_pods().await?;
        self.await_sessions().await
    }

    /// Gives containerd the image.
    pub async fn import_image(&self) -> anyhow::Result<()> {
        self.run(&format!("ctr --namespace k8s.io images import {IMAGE}"))?;
        let cri = self.cri().await?;
        wait::until("the image is known", async || match cri.image(image::NAME).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("it is not".to_owned()),
            Err(status) => Err(status.to_string()),
        })
        .await
    }

    /// Ends containerd. Its pods run on.
    pub fn end_containerd(&mut self, signal: Signal) {
        end(self.containerd.take(), signal);
    }

    /// A new conversation with containerd.
    pub async fn cri(&self) -> anyhow::Result<Cri> {
        Cri::connect(&self.sandbox.path(runtime::SOCKET)).await
    }

    /// Waits until containerd goes by a configuration that names a plugin of this type.
    pub async fn await_plugin(&self, kind: &str) -> anyhow::Result<()> {
        let cri = self.cri().await?;
        wait::until(&format!("containerd uses {kind}"), async || {
            let network = cri.network().await.map_err(|status| status.to_string())?;
            if network.contains(&format!("\"type\":\"{kind}\"")) { Ok(()) } else { Err(network) }
        })
        .await
    }

    /// Whether containerd would attach a pod; why not, if not.
    pub async fn network_ready(&self) -> Result<(), String> {
        let cri = self.cri().await.map_err(|error| error.to_string())?;
        let conditions = cri.conditions().await.map_err(|status| status.to_string())?;
        match conditions.into_iter().find(|condition| condition.kind == "NetworkReady") {
            Some(condition) if condition.status => Ok(()),
            Some(condition) => Err(condition.message),
            None => Err("there is no such condition".to_owned()),
        }
    }

    /// Stops and removes every pod, as a kubelet does whose pods have all been deleted.
    pub async fn remove_all_pods(&self) -> anyhow::Result<()> {
        let cri = self.cri().await?;
        for id in cri.pods().await? {
            cri.stop_pod(&id).await.with_context(|| format!("{}: stopping {id}", self.name))?;
            cri.remove_pod(&id).await.with_context(|| format!("{}: removing {id}", self.name))?;
        }
        Ok(())
    }

    /// What a command prints that runs to its end here, and succeeds.
    pub fn run(&self, line: &str) -> anyhow::Result<String> {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        runtime::run(&self.sandbox, command.args(words))
    }

    /// What a script of the shell prints here, which succeeds.
    pub fn run_script(&self, script: &str) -> anyhow::Result<String> {
        runtime::run(&self.sandbox, Command::new("sh").args(["-ec", script]))
    }

    /// As far as pods are concerned, the machine is switched off, and on again: no process has lived on, no namespace, no
    /// link of theirs, no rule, nothing in `/run`; and this is another boot.
    pub fn go_down(&mut self) -> anyhow::Result<()> {
        self.kill_daemon();
        self.end_containerd(Signal::SIGKILL);
        self.run_script(DOWN).map(drop)
    }

    /// The ends of its logs.
    pub fn logs(&self) -> String {
        let tail = |program: &str| {
            let text = fs::read_to_string(self.log(program)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| !line.contains("level=info")).collect();
            let lines = lines[lines.len().saturating_sub(25)..].join("\n");
            format!("-- {program} on {}\n{lines}\n", self.name)
        };
        tail("routelet") + &tail("containerd")
    }

    fn log(&self, program: &str) -> PathBuf {
        stage::logs().join(format!("{}-{program}.log", self.name))
    }

    fn start(&self, program: &str, mut command: Command) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(self.log(program))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.sandbox.spawn(&mut command)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A node ends only when those whom we started there have been waited for.
        self.kill_daemon();
        self.end_containerd(Signal::SIGKILL);
    }
}

fn end(child: Option<Child>, signal: Signal) {
    let Some(mut child) = child else { return };
    // That it has ended by itself is as good.
    let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal);
    child.wait().unwrap();
}
