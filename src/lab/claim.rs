//! How a lab is found by its name: an abstract Unix socket that lives exactly as long as the lab.
//!
//! Binding it is the lock that keeps two labs of one name apart; asking it tells which processes hold
//! the nodes; and a connection that ends tells that the lab has. No file is involved, hence none can
//! be left over.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind::WouldBlock;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;

const PREFIX: &str = "routelet-lab/";

/// How long a lab may take to go once asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a lab says about itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Status {
    /// The holder's process id of each node.
    pub nodes: BTreeMap<String, u32>,
}

/// The right to a name.
#[derive(Debug)]
pub struct Claim(UnixListener);

impl Claim {
    /// Claims a name.
    ///
    /// # Errors
    /// A lab of that name is up; the error says how to take it down.
    pub fn stake(name: &str) -> anyhow::Result<Claim> {
        match UnixListener::bind_addr(&address(name)?) {
            Ok(listener) => Ok(Claim(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let who = ask(name).map_or_else(|_| String::new(), |lab| format!(" (process {})", lab.pid));
                bail!(
                    "a lab named {name} is up already{who}: take it down with `routelet-lab down --name {name}`, \
                     or give this one another name with --name"
                )
            }
            Err(error) => Err(error).with_context(|| format!("claiming the name {name}")),
        }
    }

    /// Answers whoever asks, as long as the lab lives. Connections are left with the caller, whose
    /// business it is to close them last: their end tells `down` that the lab has gone.
    ///
    /// # Errors
    /// The socket cannot be listened on.
    pub async fn serve(
        self,
        status: Rc<watch::Sender<Status>>,
        connections: &RefCell<Vec<tokio::net::UnixStream>>,
    ) -> anyhow::Result<()> {
        self.0.set_nonblocking(true).context("serving the lab's socket")?;
        let listener = tokio::net::UnixListener::from_std(self.0).context("serving the lab's socket")?;
        loop {
            let (mut stream, _) = listener.accept().await.context("serving the lab's socket")?;
            let mut line = serde_json::to_vec(&*status.borrow())?;
            line.push(b'\n');
            if stream.write_all(&line).await.is_ok() {
                let mut connections = connections.borrow_mut();
                // Nobody says anything on a connection: one that can be read is one that was closed.
                connections.retain(|old| matches!(old.try_read(&mut [0]), Err(e) if e.kind() == WouldBlock));
                connections.push(stream);
            }
        }
    }
}

/// A lab that answered.
#[derive(Debug)]
pub struct Lab {
    /// What it said.
    pub status: Status,
    /// Its process, as the kernel knows it.
    pub pid: i32,
    stream: UnixStream,
}

/// Asks the lab of that name.
///
/// # Errors
/// There is none.
pub fn ask(name: &str) -> anyhow::Result<Lab> {
    let stream = match UnixStream::connect_addr(&address(name)?) {
        Ok(stream) => stream,
        Err(_) => match running()?.as_slice() {
            [] => bail!("no lab is up: start one with `routelet-lab`"),
            others => bail!("no lab named {name} is up; there is {}", others.join(", ")),
        },
    };
    stream.set_read_timeout(Some(PATIENCE)).context("asking the lab")?;
    // Any user may bind such a name. Only root's answer decides whom we signal or follow.
    let credentials = getsockopt(&stream, PeerCredentials).context("asking the lab")?;
    if credentials.uid() != 0 {
        bail!("what answers as the lab {name} is process {}, which is not root's", credentials.pid());
    }
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).context("asking the lab")?;
    let status = serde_json::from_str(&line).context("the lab's answer makes no sense")?;
    Ok(Lab { status, pid: credentials.pid(), stream })
}

/// The one lab that is up, or the one named.
///
/// # Errors
/// There is none, or more than one and no name.
pub fn find(name: Option<&str>) -> anyhow::Result<Lab> {
    if let Some(name) = name {
        return ask(name);
    }
    match running()?.as_slice() {
        [] => bail!("no lab is up: start one with `routelet-lab`"),
        [name] => ask(name),
        names => bail!("more than one lab is up: say which with --name ({})", names.join(", ")),
    }
}

impl Lab {
    /// Ends the lab and waits until nothing of it is left.
    ///
    /// # Errors
    /// It cannot be signalled, or does not go.
    pub fn take_down(mut self) -> anyhow::Result<()> {
        let lab = Pid::from_raw(self.pid);
        kill(lab, Signal::SIGTERM).with_context(|| format!("ending process {lab}"))?;
        if self.gone().is_err() {
            // Nothing can be left over by that either: see `sandbox`.
            kill(lab, Signal::SIGKILL).with_context(|| format!("killing process {lab}"))?;
            self.gone().with_context(|| format!("process {lab} does not end"))?;
        }
        Ok(())
    }

    fn gone(&mut self) -> io::Result<()> {
        // The stream ends when the lab's last descriptor closes.
        let mut nothing = [0; 64];
        while self.stream.read(&mut nothing)? > 0 {}
        Ok(())
    }
}

/// Names of all labs that are up.
fn running() -> anyhow::Result<Vec<String>> {
    let table = std::fs::read_to_string("/proc/net/unix").context("reading /proc/net/unix")?;
    let mut names: Vec<String> = table
        .lines()
        // Connections bear the name too; a listening socket has the flag __SO_ACCEPTCON.
        .filter(|line| line.split_whitespace().nth(3) == Some("00010000"))
        .filter_map(|line| line.split_once(&format!(" @{PREFIX}")).map(|(_, name)| name.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn address(name: &str) -> anyhow::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("{PREFIX}{name}"))
        .with_context(|| format!("{name:?} is no name for a lab"))
}
