//! A lab as a test sees it: a process, its result, a way in.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The lab's program, as a person would run it: not under cargo.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_routelet-lab"));
    command.env_remove("CARGO").env_remove("CARGO_PKG_NAME").stdin(Stdio::null());
    command
}

/// A name that no other test's lab has.
pub fn name(what: &str) -> String {
    format!("test-{what}-{}", std::process::id())
}

/// A lab that stays up until it is dropped.
pub struct Lab {
    pub name: String,
    pub child: Child,
    lines: Receiver<String>,
}

impl Lab {
    /// Starts a lab. Its result goes to standard output as JSON.
    pub fn start(what: &str, options: &[&str]) -> Lab {
        let name = name(what);
        let mut command = program();
        command.args(["--output", "json", "--name", &name]).args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
            });
        }
        Lab { name, child, lines }
    }

    /// Waits until the lab says `text`, in progress or result; returns all it has said until then.
    pub fn wait_for(&self, text: &str) -> String {
        let mut said = String::new();
        while !said.contains(text) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => said = format!("{said}{line}\n"),
                Err(_) => panic!("the lab never said {text:?}; it said:\n{said}"),
            }
        }
        said
    }

    /// Waits until everything has been checked and the lab stays up.
    pub fn wait_until_up(&self) {
        // Were anything wrong it would be "up, with the faults above".
        self.wait_for("The lab is up. Look around");
    }

    /// Runs a command on a node.
    pub fn exec(&self, node: &str, command: &[&str]) -> Output {
        self.exec_command(node, command).output().unwrap()
    }

    /// A command on a node, to be run.
    pub fn exec_command(&self, node: &str, command: &[&str]) -> Command {
        let mut run = program();
        run.args(["exec", "--name", &self.name, node, "--"]).args(command);
        run
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays a lab once and returns its result.
pub fn once(what: &str, options: &[&str]) -> Value {
    let mut command = program();
    command.args(["--once", "--output", "json", "--name", &name(what)]).args(options);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{what}: {}\n{said}", done.status);
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Whether a program is installed; says so if not.
pub fn installed(program: &str) -> bool {
    let directories = ["/usr/sbin", "/usr/bin", "/usr/lib/frr", "/usr/local/sbin", "/usr/local/bin"];
    let there = directories.iter().any(|directory| std::path::Path::new(directory).join(program).is_file());
    if !there {
        let skipped = format!("skipped: {program} is not installed\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), skipped.as_bytes());
    }
    there
}
