//! A network namespace with processes in it. All of it goes when it does.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use routelet::kernel::NetNs;

/// Far longer than anything takes that works.
const DEADLINE: Duration = Duration::from_secs(20);

/// A machine.
pub struct Host {
    pub namespace: NetNs,
    /// For its configuration, sockets and log.
    pub directory: PathBuf,
    processes: Mutex<Vec<Child>>,
    prompt: bool,
}

impl Host {
    /// A machine that forwards, and spreads flows over next hops.
    pub fn new(directory: PathBuf) -> Host {
        fs::create_dir_all(&directory).unwrap();
        // FRR gives up root before it makes its sockets.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&directory, open).unwrap();
        let namespace = NetNs::create().unwrap();
        let host = Host { namespace, directory, processes: Mutex::default(), prompt: false };
        host.run("ip link set lo up");
        let settings = [
            ("ipv4/ip_forward", "1"),
            ("ipv4/fib_multipath_hash_policy", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/fib_multipath_hash_policy", "1"),
            // Else addresses go with the carrier of some links.
            ("ipv6/conf/all/keep_addr_on_down", "1"),
            ("ipv6/conf/default/keep_addr_on_down", "1"),
        ];
        for (name, value) in settings {
            let path = format!("/proc/sys/net/{name}");
            host.namespace.enter(|| fs::write(path, value)).unwrap().unwrap();
        }
        host
    }

    /// A machine that has processors of its own, as far as can be: that all others share two must not make its BFD
    /// miss packets.
    pub fn prompt(directory: PathBuf) -> Host {
        let mut host = Host::new(directory);
        host.prompt = true;
        host
    }

    /// What a command prints that runs to its end here. That it fails is no error: see what it did.
    pub fn run(&self, line: &str) -> String {
        self.run_words(&line.split(' ').collect::<Vec<_>>())
    }

    /// Runs a command that must not fail.
    pub fn do_run(&self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = Command::new(words[0]);
        let output = self.namespace.enter(|| command.args(&words[1..]).output()).unwrap().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The same as [`Host::run`], where an argument has spaces in it.
    pub fn run_words(&self, words: &[&str]) -> String {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        let output = self.namespace.enter(|| command.output()).unwrap();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", words[0]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a process that runs until it is killed; what it says goes to the log.
    pub fn start(&self, line: &str) {
        let log = File::options().create(true).append(true).open(self.directory.join("log")).unwrap();
        let line = if self.prompt { format!("nice -n -15 {line}") } else { line.to_owned() };
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("ROUTELET_LOG", "debug,h2=off,hyper=off,tower=off,tonic=off");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.namespace.enter(|| command.spawn()).unwrap();
        self.processes.lock().unwrap().push(child.unwrap_or_else(|error| panic!("{}: {error}", words[0])));
    }

    /// Sends a signal to all that runs here, and waits until it has ended.
    pub fn end(&self, signal: Signal) {
        let children: Vec<Child> = self.processes.lock().unwrap().drain(..).collect();
        for child in &children {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            // One may have ended with another.
            let _ = kill(pid, signal);
        }
        for mut child in children {
            child.wait().unwrap();
        }
    }

    /// Waits until all that runs here has ended by itself.
    pub fn await_end(&self) {
        self.eventually("the end of every process", || {
            self.processes.lock().unwrap().iter_mut().all(|child| child.try_wait().unwrap().is_some())
        });
        self.processes.lock().unwrap().clear();
    }

    /// A file's place on this machine.
    pub fn path(&self, file: &str) -> String {
        self.directory.join(file).to_str().unwrap().to_owned()
    }

    /// What its processes have said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Waits for a condition, for as long as anything takes that works.
    ///
    /// # Panics
    /// It never holds.
    pub fn eventually(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(holds_in_time(condition), "never: {what}; log:\n{}", self.log());
    }

    /// The links by which packets to a prefix leave, in whichever way the kernel was told.
    pub fn links_to(&self, prefix: &str) -> Vec<String> {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        let text = self.run(&format!("ip {family} route show {prefix}"));
        let mut found = after(&text, "dev");
        if found.is_empty() {
            found = after(&text, "nhid").iter().flat_map(|id| self.links_of(id)).collect();
        }
        found.sort();
        found
    }

    /// The links of a next hop object: its own, or those of the members of a group.
    fn links_of(&self, id: &str) -> Vec<String> {
        let text = self.run(&format!("ip nexthop show id {id}"));
        let mut found = after(&text, "dev");
        for group in after(&text, "group") {
            // A member is an id, and its weight after a comma.
            let members = group.split('/').filter_map(|member| member.split(',').next());
            found.extend(members.flat_map(|member| self.links_of(member)));
        }
        found
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end(Signal::SIGKILL);
    }
}

/// The words that follow a word.
fn after(text: &str, word: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == word).map(|pair| pair[1].to_owned()).collect()
}

/// Whether a condition comes to hold while it is worth waiting.
fn holds_in_time(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let asked = Instant::now();
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        // A question that costs much is asked less often: what is asked must get on, too.
        std::thread::sleep(asked.elapsed().clamp(Duration::from_millis(20), Duration::from_secs(1)));
    }
}
