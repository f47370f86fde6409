//! Executing the plugin that `ipam.type` names (CNI specification, section 4).
//!
//! It is looked for in `CNI_PATH`, gets this process's environment and the whole configuration as it
//! came, and says what it has to say on the same stderr. Its error is our error, with its code.
//!
//! The specification sets it no limit. A runtime gives up on us some day, and would leave it behind
//! if it hangs; so it is ended before that, with everything it has started.

use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use serde_json::{Map, Value};

use super::addressing::read_route;
use super::conf::Network;
use super::convert;
use super::environment::{self, Command};
use super::field::Section;
use super::result::{Dns, Ip, Success};
use super::version::Version;
use super::{Code, Error};

/// How long a plugin may take. The reference `dhcp` asks for a lease for up to a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// The most that is read of what a plugin prints, in octets. A result takes some hundred.
const LONGEST: u64 = 1 << 20;

/// The most of it that is repeated in an error, in characters.
const QUOTED: usize = 200;

/// A plugin that gives addresses, as `ipam.type` names it.
#[derive(Debug)]
pub struct Delegate<'a> {
    name: &'a str,
    program: PathBuf,
    network: &'a Network,
    patience: Duration,
}

impl<'a> Delegate<'a> {
    /// Looks for the plugin.
    ///
    /// # Errors
    /// `CNI_PATH` is absent, or the plugin is in none of its directories.
    pub fn find(name: &'a str, network: &'a Network) -> Result<Delegate<'a>, Error> {
        if network.root().text("type")?.as_deref() == Some(name) {
            let why = format!("{name} would execute itself; name a plugin that gives addresses");
            return Err(Error::invalid("ipam.type", why));
        }
        let path = &network.plugin_path;
        if path.is_empty() {
            let why = format!("CNI_PATH is absent: the plugin {name:?} of ipam.type is looked for in it");
            return Err(environment::wrong(why));
        }
        let candidates = path.split(':').filter(|directory| !directory.is_empty());
        let mut candidates = candidates.map(|directory| PathBuf::from(directory).join(name));
        match candidates.find(|candidate| candidate.is_file()) {
            Some(program) => Ok(Delegate { name, program, network, patience: PATIENCE }),
            None => {
                let why = format!("there is no plugin {name:?} in CNI_PATH {path}; install it there");
                Err(Error::invalid("ipam.type", why))
            }
        }
    }

    /// ADD: asks for addresses. If that fails the plugin is asked to forget it.
    ///
    /// # Errors
    /// The plugin cannot be executed, fails, takes too long, or does not print a result.
    pub fn add(&self) -> Result<Success, Error> {
        let added = self.execute(Command::Add).and_then(|printed| self.read(&printed));
        added.map_err(|error| {
            let forgotten = self.execute(Command::Del);
            error.also(forgotten.err().as_slice())
        })
    }

    /// DEL, CHECK, STATUS or GC.
    ///
    /// # Errors
    /// The plugin cannot be executed, fails, or takes too long.
    pub fn call(&self, command: Command) -> Result<(), Error> {
        self.execute(command).map(drop)
    }

    fn execute(&self, command: Command) -> Result<Vec<u8>, Error> {
        let mut child = Process::new(&self.program)
            .env("CNI_COMMAND", command.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Of its own, so that what it starts can be ended with it.
            .process_group(0)
            .spawn()
            .map_err(|e| {
                self.failed(Code::Io, format!("cannot be executed: {}", self.program.display()), e)
            })?;
        let (printed, status) = self.talk(&mut child, command)?;
        if status.success() { Ok(printed) } else { Err(self.told(&printed, status)) }
    }

    /// Hands the configuration over and takes what is printed. The two go side by side: neither pipe
    /// holds much, and a plugin may print before it has read.
    fn talk(&self, child: &mut Child, command: Command) -> Result<(Vec<u8>, ExitStatus), Error> {
        if let Some(mut stdin) = child.stdin.take() {
            let text = self.network.text().to_vec();
            // One that ends without having read is judged by what it printed.
            thread::spawn(move || drop(stdin.write_all(&text)));
        }
        let (sender, receiver) = mpsc::channel();
        let (stdout, process) = (child.stdout.take(), child.id());
        thread::spawn(move || {
            let mut printed = Vec::new();
            let read = stdout.map_or(Ok(0), |stdout| stdout.take(LONGEST + 1).read_to_end(&mut printed));
            let ended = read.and_then(|_| match printed.len() as u64 {
                // It may never end.
                LONGEST.. => Ok(()),
                _ => await_end(process),
            });
            // Nobody waits any more if it took too long.
            let _ = sender.send(ended.map(|()| printed));
        });
        let broken = |e: io::Error| self.failed(Code::Io, "cannot be listened to", e);
        match receiver.recv_timeout(self.patience) {
            Ok(Ok(printed)) if printed.len() as u64 > LONGEST => {
                end(child);
                let why = format!("ended after {LONGEST} octets; a result is one JSON document");
                Err(self.failed(Code::Decode, "prints without end", why))
            }
            Ok(Ok(printed)) => Ok((printed, child.wait().map_err(broken)?)),
            Ok(Err(e)) => {
                end(child);
                Err(broken(e))
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                end(child);
                let message = format!("has not answered {command} in {} s", self.patience.as_secs_f32());
                Err(self.failed(
                    Code::TryAgainLater,
                    message,
                    "it was ended; its log may say what it waits for",
                ))
            }
        }
    }

    /// What a plugin that failed says of it.
    fn told(&self, printed: &[u8], status: ExitStatus) -> Error {
        let document: Option<Map<String, Value>> = serde_json::from_slice(printed).ok();
        let text = |key: &str| document.as_ref()?.get(key)?.as_str().map(str::to_owned);
        let code = document.as_ref().and_then(|document| document.get("code")?.as_u64()?.try_into().ok());
        match (code, text("msg")) {
            (Some(code), Some(message)) => {
                self.failed(Code::Foreign(code), message, text("details").unwrap_or_default())
            }
            _ => self.failed(
                Code::Delegate,
                format!("failed ({status}) without a reason"),
                format!("it printed {}; see its stderr", quote(printed)),
            ),
        }
    }

    fn read(&self, printed: &[u8]) -> Result<Success, Error> {
        read_result(printed, self.network.version)
            .map_err(|why| self.failed(Code::Decode, "printed no usable result", why))
    }

    fn failed(&self, code: Code, message: impl std::fmt::Display, details: impl std::fmt::Display) -> Error {
        Error::new(code, format!("IPAM plugin {}: {message}", self.name), details)
    }
}

/// Returns when a process has ended, and leaves it to be collected: until then its number is nobody else's.
fn await_end(process: u32) -> io::Result<()> {
    let process = Pid::from_raw(i32::try_from(process).map_err(io::Error::other)?);
    loop {
        match waitid(Id::Pid(process), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends a plugin with everything it has started.
fn end(child: &mut Child) {
    // What has ended by itself meanwhile is fine as well.
    if let Ok(group) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads what an address plugin printed, in the shape of the version it says, else of `otherwise`.
/// Interfaces are none of its business.
///
/// # Errors
/// It is no result, or has no address; the text says what is wrong and where.
pub fn read_result(printed: &[u8], otherwise: Version) -> Result<Success, String> {
    let document: Map<String, Value> =
        serde_json::from_slice(printed).map_err(|e| format!("{e}: {}", quote(printed)))?;
    let document = convert::upgrade(&document, otherwise);
    let success = read_success(&Section::root(&document)).map_err(|error| error.to_string())?;
    match success.ips.as_slice() {
        [] => Err(format!("there is no address in it: {}", quote(printed))),
        _ => Ok(success),
    }
}

fn read_success(root: &Section<'_>) -> Result<Success, Error> {
    Ok(Success {
        ips: root.sections("ips")?.iter().map(read_ip).collect::<Result<_, Error>>()?,
        routes: root.sections("routes")?.iter().map(read_route).collect::<Result<_, Error>>()?,
        dns: Dns::read(root)?,
        interfaces: Vec::new(),
    })
}

fn read_ip(section: &Section<'_>) -> Result<Ip, Error> {
    let place = || section.path("address");
    let text = section.text("address")?.ok_or_else(|| Error::invalid(place(), "it is absent"))?;
    if !text.contains('/') {
        return Err(Error::invalid(place(), format!("{text:?} has no prefix length")));
    }
    let address = text.parse().map_err(|e| Error::invalid(place(), format!("{text:?}: {e}")))?;
    Ok(Ip { address, gateway: section.parsed("gateway")?, interface: None })
}

/// The beginning of what was printed, on one line.
fn quote(printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(printed);
    let short: String = text.chars().take(QUOTED).collect();
    format!("{short:?}{}", if short.len() < text.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A configuration for a plugin `giver` that is a script in a directory of its own.
    fn network(name: &str, script: &str) -> (Network, PathBuf) {
        let directory = std::env::temp_dir().join(format!("routelet-delegate-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let program = directory.join("giver");
        fs::write(&program, format!("#!/bin/sh\nD={}\n{script}\n", directory.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let text = br#"{"cniVersion": "1.1.0", "name": "n", "type": "bridge", "ipam": {"type": "giver"}}"#;
        let mut network = Network::parse(text).unwrap();
        network.plugin_path = directory.display().to_string();
        (network, directory)
    }

    /// Whether a process is gone before long, or about to be collected by whoever inherited it.
    #[allow(clippy::disallowed_methods, reason = "a signal takes its time")]
    fn ends(process: &str) -> bool {
        (0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ") || state.contains(") X ")
        })
    }

    #[test]
    fn one_that_hangs_is_ended_with_all_that_it_started() {
        let (network, directory) = network("hangs", "sleep 1000 & echo $! > $D/child; wait");
        let delegate =
            Delegate { patience: Duration::from_millis(700), ..Delegate::find("giver", &network).unwrap() };
        let error = delegate.call(Command::Add).unwrap_err();
        assert_eq!(error.code, Code::TryAgainLater);
        assert_eq!(error.message, "IPAM plugin giver: has not answered ADD in 0.7 s");
        let child = fs::read_to_string(directory.join("child")).unwrap();
        assert!(ends(child.trim()), "it goes on");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn one_that_falls_silent_and_stays_is_ended_as_well() {
        let (network, directory) = network("silent", "echo $$ > $D/self; exec >&-; exec sleep 1000");
        let delegate =
            Delegate { patience: Duration::from_millis(700), ..Delegate::find("giver", &network).unwrap() };
        let error = delegate.call(Command::Del).unwrap_err();
        assert_eq!(error.message, "IPAM plugin giver: has not answered DEL in 0.7 s");
        let process = fs::read_to_string(directory.join("self")).unwrap();
        assert!(ends(process.trim()), "it goes on");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn one_that_reads_nothing_and_prints_much_is_no_deadlock() {
        let (mut network, directory) = network("much", "head -c 500000 /dev/zero; exit 1");
        let filler = "x".repeat(500_000);
        let text = format!(r#"{{"name": "n", "filler": "{filler}", "ipam": {{"type": "giver"}}}}"#);
        let path = std::mem::take(&mut network.plugin_path);
        network = Network::parse(text.as_bytes()).unwrap();
        network.plugin_path = path;
        let error = Delegate::find("giver", &network).unwrap().call(Command::Check).unwrap_err();
        assert_eq!(error.code, Code::Delegate);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn one_that_cannot_be_executed_is_named() {
        let (network, directory) = network("mode", "");
        fs::set_permissions(directory.join("giver"), fs::Permissions::from_mode(0o644)).unwrap();
        let error = Delegate::find("giver", &network).unwrap().call(Command::Add).unwrap_err();
        assert_eq!(error.code, Code::Io);
        assert!(error.message.contains("giver") && error.details.contains("denied"), "{error}");
        fs::remove_dir_all(directory).unwrap();
    }
}
