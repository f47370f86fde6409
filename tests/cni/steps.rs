//! Steps a call of the plugin from system call to system call (ptrace(2)), to kill it at one of them
//! or to make that one fail.
//!
//! Boundaries are counted from the first reading of stdin on, over the plugin and every process it
//! makes: what comes before is the loader, and has done nothing yet. `strace --inject` counts each
//! kind of system call by itself, so that "the Nth of all" cannot be said to it.
//!
//! A system call that is made to fail is not carried out, but for close(2), which closes whatever it
//! returns. Registers are named as x86-64 names them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Output};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How long a call may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// The kernel's numbers of two system calls.
const READ: u64 = 0;
const CLOSE: u64 = 3;

/// What happens at the chosen boundary, instead of the system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process that is about to make it dies; those it has made live on.
    Kill,
    /// All processes of the call die, as when a container of theirs is killed.
    KillAll,
    /// It fails.
    Fail(Errno),
}

/// A system call that a fault has hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Which one, counted from 0.
    pub at: usize,
    /// The kernel's number of it.
    pub number: u64,
    /// Its first argument: for many, a file descriptor.
    pub argument: u64,
    /// Whether the plugin itself made it, and not a process it had made.
    pub of_plugin: bool,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.of_plugin { "the plugin" } else { "a process of its making" };
        write!(f, "at {}, system call {}({:#x}, …) of {who}", self.at, self.number, self.argument)
    }
}

/// How a stepped call went.
#[derive(Debug)]
pub struct Run {
    /// What the fault has hit; `None` if the call ended before.
    pub hit: Option<Hit>,
    /// What the plugin printed, and how it ended.
    pub output: Output,
}

/// Lets `child`, which must not have been fed yet, read `input` and go on to its end, with one fault
/// on the way. Returns when every process it made has ended as well. No other child of this thread
/// may be alive.
pub fn run(mut child: Child, input: &[u8], at: usize, fault: Fault) -> Run {
    let plugin = Pid::from_raw(child.id().try_into().unwrap());
    let (finished, watched) = mpsc::channel::<()>();
    let alive = Arc::new(Mutex::new(vec![plugin]));
    let to_kill = alive.clone();
    let watchdog = std::thread::spawn(move || {
        let hangs = watched.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
        if hangs {
            kill_all(&to_kill);
        }
        hangs
    });
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(plugin, options).unwrap();
    ptrace::interrupt(plugin).unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let mut tracer =
        Tracer { plugin, alive, at, fault, next: 0, counting: false, hit: None, inside: BTreeMap::new() };
    let status = tracer.follow();
    drop(finished);
    assert!(!watchdog.join().unwrap(), "the call hung after a fault: {:?} {fault:?}", tracer.hit);
    let mut output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    child.stdout.take().unwrap().read_to_end(&mut output.stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut output.stderr).unwrap();
    Run { hit: tracer.hit, output }
}

fn kill_all(alive: &Mutex<Vec<Pid>>) {
    for pid in alive.lock().unwrap().iter() {
        // It may be dead by now, and its end not told yet.
        let _ = kill(*pid, Signal::SIGKILL);
    }
}

struct Tracer {
    plugin: Pid,
    /// Processes of the call that have not ended.
    alive: Arc<Mutex<Vec<Pid>>>,
    at: usize,
    fault: Fault,
    /// Number of the next system call.
    next: usize,
    counting: bool,
    hit: Option<Hit>,
    /// The processes that are inside a system call, and what it has to return.
    inside: BTreeMap<Pid, Option<Errno>>,
}

impl Tracer {
    /// To the end of the last process. Returns how the plugin ended.
    fn follow(&mut self) -> ExitStatus {
        let mut ended = None;
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Ok(status) => status,
                Err(Errno::ECHILD) => return ended.unwrap(),
                Err(error) => panic!("cannot wait: {error}"),
            };
            let (pid, signal) = match status {
                WaitStatus::Exited(pid, code) => {
                    self.ended(pid, code << 8, &mut ended);
                    continue;
                }
                WaitStatus::Signaled(pid, signal, _) => {
                    self.ended(pid, signal as i32, &mut ended);
                    continue;
                }
                WaitStatus::PtraceSyscall(pid) => {
                    self.boundary(pid);
                    (pid, None)
                }
                WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
                WaitStatus::PtraceEvent(pid, ..) => {
                    let mut alive = self.alive.lock().unwrap();
                    if !alive.contains(&pid) {
                        alive.push(pid);
                    }
                    (pid, None)
                }
                other => panic!("unexpected: {other:?}"),
            };
            // ESRCH: it has been killed meanwhile; that it is dead is still to come.
            match ptrace::syscall(pid, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => panic!("cannot go on: {error}"),
            }
        }
    }

    fn ended(&self, pid: Pid, status: i32, of_plugin: &mut Option<ExitStatus>) {
        self.alive.lock().unwrap().retain(|alive| *alive != pid);
        if pid == self.plugin {
            *of_plugin = Some(ExitStatus::from_raw(status));
        }
    }

    /// A process stands before or after a system call.
    fn boundary(&mut self, pid: Pid) {
        let Ok(mut registers) = ptrace::getregs(pid) else { return };
        if let Some(result) = self.inside.remove(&pid) {
            if let Some(errno) = result {
                registers.rax = i64::from(-(errno as i32)).cast_unsigned();
                let _ = ptrace::setregs(pid, registers);
            }
            return;
        }
        self.inside.insert(pid, None);
        self.counting |= registers.orig_rax == READ && registers.rdi == 0;
        if !self.counting {
            return;
        }
        let at = self.next;
        self.next += 1;
        if at != self.at {
            return;
        }
        let of_plugin = pid == self.plugin;
        self.hit = Some(Hit { at, number: registers.orig_rax, argument: registers.rdi, of_plugin });
        match self.fault {
            Fault::Kill => kill(pid, Signal::SIGKILL).unwrap(),
            Fault::KillAll => kill_all(&self.alive),
            Fault::Fail(errno) => {
                self.inside.insert(pid, Some(errno));
                if registers.orig_rax != CLOSE {
                    // There is no such system call: the kernel does nothing.
                    registers.orig_rax = u64::MAX;
                    ptrace::setregs(pid, registers).unwrap();
                }
            }
        }
    }
}
