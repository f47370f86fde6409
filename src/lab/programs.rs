//! Processes that stay: daemons and routers, with their logs, their readiness and their end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::{Instant, sleep};

use super::binaries::Binaries;
use super::sandbox::Sandbox;
use super::tor::{Setup, Step, gobgp};
use crate::kernel::Installer;
use crate::kernel::routes::Ownership;

/// How long a router's program may take to open its socket.
const START: Duration = Duration::from_secs(10);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Kernel routes that are carried over from GoBGP: table `main`, `RTPROT_BGP`.
const CARRIED: Ownership = Ownership { table: 254, protocol: 186 };

/// All processes that the lab has started and that are to stay. They end with this.
#[derive(Debug)]
pub struct Programs<'a> {
    binaries: &'a Binaries,
    running: RefCell<Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    node: String,
    program: String,
    child: Child,
}

impl<'a> Programs<'a> {
    /// None yet.
    pub fn new(binaries: &'a Binaries) -> Programs<'a> {
        Programs { binaries, running: RefCell::new(Vec::new()) }
    }

    /// Starts a program on a node; what it says goes to the node's log.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        &self,
        sandbox: &Sandbox,
        words: &[String],
        environment: Option<&BTreeMap<String, String>>,
    ) -> anyhow::Result<()> {
        let mut command = self.command(words)?;
        command.envs(environment.into_iter().flatten());
        let log = sandbox.log()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = sandbox.spawn(&mut command)?;
        self.keep(sandbox, words, child);
        Ok(())
    }

    /// Does what a router's setup says.
    ///
    /// # Errors
    /// A file cannot be written, or a program ends or does not become ready.
    pub async fn set_up(&self, sandbox: &Sandbox, setup: &Setup) -> anyhow::Result<()> {
        for (path, user) in &setup.directories {
            let outside = sandbox.path(path);
            std::fs::create_dir_all(&outside).with_context(|| format!("creating {}", path.display()))?;
            // Where a program is built to run as root there is no such user, and no need.
            if let Some(user) = user.and_then(|user| nix::unistd::User::from_name(user).ok().flatten()) {
                std::os::unix::fs::chown(&outside, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                    .with_context(|| format!("giving {} to {}", path.display(), user.name))?;
            }
        }
        for (path, text) in &setup.files {
            sandbox.write(path, text)?;
        }
        for step in &setup.steps {
            self.perform(sandbox, step).await?;
        }
        Ok(())
    }

    async fn perform(&self, sandbox: &Sandbox, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Start(words) => self.start(sandbox, words, None),
            Step::Run(words) => {
                let mut command = self.command(words)?;
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let done = sandbox.spawn(&mut command)?.wait_with_output()?;
                if !done.status.success() {
                    let said = String::from_utf8_lossy(&done.stderr).into_owned();
                    bail!("{}: `{}` failed: {}", sandbox.name, words.join(" "), said.trim_end());
                }
                Ok(())
            }
            Step::AwaitFile(path) => {
                let what = format!("{}: {} has not appeared", sandbox.name, path.display());
                await_condition(self, sandbox, START, &what, || sandbox.path(path).exists()).await
            }
            Step::AwaitPort(port) => {
                let what = format!("{}: nobody listens on TCP port {port}", sandbox.name);
                await_condition(self, sandbox, START, &what, || is_listening(sandbox.pid, *port)).await
            }
            Step::Carry(words) => {
                let mut command = self.command(words)?;
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(sandbox.log()?);
                let mut child = sandbox.spawn(&mut command)?;
                let mut installer = sandbox.network()?.enter(|| Installer::open(CARRIED))??;
                if let Some(stdout) = child.stdout.take() {
                    let stdout = pipe(stdout).context("reading a monitor")?;
                    tokio::spawn(async move {
                        let mut lines = BufReader::new(stdout).lines();
                        while let Ok(Some(line)) = lines.next_line().await {
                            carry(&mut installer, &line);
                        }
                    });
                }
                self.keep(sandbox, words, child);
                Ok(())
            }
        }
    }

    fn command(&self, words: &[String]) -> anyhow::Result<Command> {
        let (program, arguments) = words.split_first().context("a command is empty")?;
        let mut command = match program.as_str() {
            "routelet" => Command::new(self.binaries.daemon()),
            other => Command::new(other),
        };
        command.args(arguments);
        Ok(command)
    }

    fn keep(&self, sandbox: &Sandbox, words: &[String], child: Child) {
        let program = words.first().map(String::as_str).unwrap_or_default();
        let program = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.running.borrow_mut().push(Running { node: sandbox.name.clone(), program, child });
    }

    /// Programs that have ended although they were to stay, in words.
    pub fn ended(&self) -> Vec<String> {
        let mut ended = Vec::new();
        for running in self.running.borrow_mut().iter_mut() {
            if let Ok(Some(status)) = running.child.try_wait() {
                ended.push(format!("{}: {} has ended ({status})", running.node, running.program));
            }
        }
        ended
    }
}

impl Drop for Programs<'_> {
    fn drop(&mut self) {
        for running in self.running.borrow_mut().iter_mut() {
            // Gone already is as good. Waited for here, because a namespace ends only when its
            // last process has been waited for.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// Waits until `condition` holds.
///
/// # Errors
/// Time is up, or a program has ended; the error shows the end of the node's log.
pub async fn await_condition(
    programs: &Programs<'_>,
    sandbox: &Sandbox,
    patience: Duration,
    what: &str,
    condition: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    while !condition() {
        if let Some(ended) = programs.ended().first() {
            bail!("{ended}\n{}", tail(sandbox));
        }
        if Instant::now() >= deadline {
            bail!("{what} within {} s\n{}", patience.as_secs(), tail(sandbox));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// The end of a node's log.
fn tail(sandbox: &Sandbox) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(super::stage::logs().join(format!("{}.log", sandbox.name)))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(2000)))?;
        let mut octets = Vec::new();
        file.read_to_end(&mut octets)?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    };
    match read() {
        Ok(text) if !text.trim().is_empty() => format!("its log ends:\n{}", text.trim_end()),
        _ => "its log is empty".to_owned(),
    }
}

/// Whether a TCP port is listened on in the network namespace of a process.
fn is_listening(pid: u32, port: u16) -> bool {
    ["tcp", "tcp6"].iter().any(|table| {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().and_then(|local| local.rsplit(':').next());
            // State 0A is LISTEN.
            local == Some(format!("{port:04X}").as_str()) && fields.nth(1) == Some("0A")
        })
    })
}

fn pipe(stdout: ChildStdout) -> std::io::Result<tokio::net::unix::pipe::Receiver> {
    tokio::net::unix::pipe::Receiver::from_owned_fd(stdout.into())
}

/// Carries one line of a GoBGP monitor into the kernel.
fn carry(installer: &mut Installer, line: &str) {
    let Ok(changes) = gobgp::parse(line) else { return };
    // A route that the kernel refuses shows in the matrix.
    let _ = installer.apply(&changes);
}
