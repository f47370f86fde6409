//! Three routers on one segment, each in a network namespace of its own: our daemon, the other
//! speaker, and a second daemon of ours where a scenario needs a third. All of it goes when it does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use routelet::kernel::links::VethPair;
use routelet::kernel::{NetNs, Netlink};
use serde_json::Value;

use crate::joined::ALL;
use crate::speaker::{Family, Setup, Speaker, words};

/// Unless `DEADLINE` says how many seconds. Far longer than anything takes that works, shorter than the hold time of 90 s. Costs time only where
/// something is wrong.
const DEADLINE: Duration = Duration::from_secs(60);

/// A router.
pub struct Host {
    namespace: NetNs,
    /// For its configuration, sockets and log.
    pub directory: PathBuf,
    processes: Mutex<Vec<Child>>,
}

impl Host {
    fn new(directory: PathBuf) -> Host {
        fs::create_dir_all(directory.join("manifests")).unwrap();
        // FRR gives up root before it makes its sockets.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&directory, open).unwrap();
        let host = Host { namespace: NetNs::create().unwrap(), directory, processes: Mutex::default() };
        host.run(&words(&["ip", "link", "set", "lo", "up"]));
        host
    }

    /// What a command prints that runs to its end on this router.
    pub fn run(&self, line: &[String]) -> String {
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::null());
        let output = self.namespace.enter(|| command.output()).unwrap().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a process that runs until this router is killed.
    pub fn start(&self, line: &[String]) {
        let log = File::options().create(true).append(true).open(self.directory.join("log")).unwrap();
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).env("ROUTELET_LOG", "debug,h2=off,hyper=off,tower=off,tonic=off");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.namespace.enter(|| command.spawn()).unwrap();
        self.processes.lock().unwrap().push(child.unwrap_or_else(|error| panic!("{}: {error}", line[0])));
    }

    /// Ends all that runs here, our daemons for good: nobody is to wait for their return.
    pub fn leave(&self) {
        self.end(Signal::SIGINT);
    }

    /// Ends all that runs here, our daemons as for an upgrade.
    pub fn terminate(&self) {
        self.end(Signal::SIGTERM);
    }

    fn end(&self, signal: Signal) {
        for mut child in self.processes.lock().unwrap().drain(..) {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            kill(pid, signal).unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGKILL to all that runs here.
    pub fn kill(&self) {
        for mut child in self.processes.lock().unwrap().drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// A signal to all that runs here.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        for child in self.processes.lock().unwrap().iter() {
            let process = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
            nix::sys::signal::kill(process, signal).unwrap();
        }
    }

    /// Empties the log; its processes go on at the beginning.
    pub fn forget_log(&self) {
        File::options().write(true).open(self.directory.join("log")).unwrap().set_len(0).unwrap();
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

    /// What the daemon says of a command.
    pub fn routelet(&self, arguments: &[&str]) -> Value {
        let socket = self.directory.join("api");
        let mut line = words(&[env!("CARGO_BIN_EXE_routelet")]);
        line.extend(words(arguments));
        line.extend(words(&["-o", "json", "--api-socket", socket.to_str().unwrap()]));
        serde_json::from_str(&self.run(&line)).unwrap_or_default()
    }
}

fn holds_in_time(mut condition: impl FnMut() -> bool) -> bool {
    #[allow(clippy::disallowed_methods, reason = "a deadline of real processes")]
    let now = Instant::now;
    let deadline = now()
        + std::env::var("DEADLINE").map_or(DEADLINE, |seconds| Duration::from_secs(seconds.parse().unwrap()));
    loop {
        let asked = now();
        if condition() {
            return true;
        }
        if now() > deadline {
            return false;
        }
        // A question that costs much is asked less often: what is asked must get on, too.
        std::thread::sleep(asked.elapsed().clamp(Duration::from_millis(50), Duration::from_secs(1)));
    }
}

/// The three routers, at `.1`, `.2` and `.3` or `::1`, `::2` and `::3`.
pub struct Lab<'a> {
    pub us: Host,
    pub them: Host,
    pub third: Host,
    pub setup: Setup,
    pub speaker: &'a dyn Speaker,
    directory: PathBuf,
}

impl<'a> Lab<'a> {
    /// The routers and their segment; nothing runs yet.
    pub fn new(speaker: &'a dyn Speaker, setup: Setup) -> Lab<'a> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("routelet-interop-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let host = |name: &str| Host::new(directory.join(name));
        let lab = Lab {
            us: host("us"),
            them: host("them"),
            third: host("third"),
            setup,
            speaker,
            directory: directory.clone(),
        };
        lab.wire();
        lab
    }

    /// The segment is a bridge in their namespace.
    fn wire(&self) {
        let ip = |host: &Host, text: &str| host.run(&words(&text.split(' ').collect::<Vec<_>>()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        ip(&self.them, "ip link add lan type bridge");
        ip(&self.them, "ip link set lan up");
        for (host, port) in [(&self.us, "port1"), (&self.third, "port3")] {
            let pair = VethPair {
                name: port,
                peer_name: "eth0",
                peer_namespace: Some(&host.namespace),
                mtu: None,
                peer_mac: None,
            };
            runtime.block_on(async {
                let netlink = Netlink::open_in(&self.them.namespace).unwrap();
                netlink.add_veth(&pair).await.unwrap();
            });
            ip(&self.them, &format!("ip link set {port} master lan up"));
            ip(host, "ip link set eth0 up");
        }
        let links = [(1, &self.us, "eth0"), (2, &self.them, "lan"), (3, &self.third, "eth0")];
        if self.setup.routed {
            return self.route_between(&links);
        }
        for (number, host, link) in links {
            ip(host, &format!("ip address add 10.9.0.{number}/24 dev {link}"));
            ip(host, &format!("ip address add fd09::{number}/64 dev {link} nodad"));
        }
    }

    /// The third is a router between two subnets, at .9 of each; we and they are at our loopbacks.
    fn route_between(&self, links: &[(u8, &Host, &str)]) {
        let ip = |host: &Host, text: &str| host.run(&words(&text.split(' ').collect::<Vec<_>>()));
        ip(&self.third, "sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        for (number, host, link) in &links[..2] {
            let other = 3 - number;
            ip(host, &format!("ip address add 10.8.{number}.{number}/24 dev {link}"));
            ip(host, &format!("ip address add fd08:{number}::{number}/64 dev {link} nodad"));
            ip(host, &format!("ip address add 10.9.0.{number}/32 dev lo"));
            ip(host, &format!("ip address add fd09::{number}/128 dev lo nodad"));
            ip(host, &format!("ip route add 10.9.0.{other}/32 via 10.8.{number}.9"));
            ip(host, &format!("ip route add fd09::{other}/128 via fd08:{number}::9"));
            ip(&self.third, &format!("ip address add 10.8.{number}.9/24 dev eth0"));
            ip(&self.third, &format!("ip address add fd08:{number}::9/64 dev eth0 nodad"));
            ip(&self.third, &format!("ip route add 10.9.0.{number}/32 via 10.8.{number}.{number}"));
            ip(&self.third, &format!("ip route add fd09::{number}/128 via fd08:{number}::{number}"));
        }
    }

    /// Starts the other speaker, from the same files if it ran before.
    pub fn start_them(&self) {
        let config = self.them.directory.join("config");
        fs::write(&config, self.speaker.config(&self.them.directory, &self.setup)).unwrap();
        // OpenBGPD refuses a configuration that others may read, FRR one that it may not read itself.
        let mode = if self.speaker.name() == "OpenBGPD" { 0o600 } else { 0o644 };
        fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        for (line, ready) in self.speaker.programs(&self.them.directory, &self.setup) {
            if let Some(file) = &ready {
                let _ = fs::remove_file(file);
            }
            self.them.start(&line);
            if let Some(file) = ready {
                self.them.eventually(&file, || Path::new(&file).exists());
            }
        }
        self.speaker.started(&self.them, &self.setup);
    }

    /// Starts our daemon with pod CIDRs and more of its BgpPeer object, such as `passive: true`.
    pub fn start_us(&self, pod_cidrs: &[String], more: &str) {
        self.configure_us(pod_cidrs, more);
        start_daemon(&self.us);
    }

    /// Writes our manifests, which a running daemon follows.
    pub fn configure_us(&self, pod_cidrs: &[String], more: &str) {
        let peer = peer_object("them", &self.setup.family.address(2), self.setup.asn, more);
        let third = self.setup.family.address(3);
        let third = match self.setup.third_asn {
            Some(asn) => peer_object("third", &third, asn, ""),
            None if more.contains("routeReflectorClient") => {
                peer_object("third", &third, self.setup.our_asn, more)
            }
            None => String::new(),
        };
        let fourth = if more.contains("addPath") && !third.is_empty() {
            peer_object("fourth", &self.setup.family.address(4), self.setup.our_asn, more)
        } else {
            String::new()
        };
        let text = manifests(&self.setup, 1, pod_cidrs) + &peer + &third + &fourth;
        fs::write(self.us.directory.join("manifests/all.yaml"), text).unwrap();
    }

    /// Starts the third router: a daemon of our AS, or that of the setup, that peers with the second or
    /// the first.
    pub fn start_third(&self, pod_cidrs: &[String], with: u8) {
        self.start_third_of(pod_cidrs, with, self.setup.our_asn);
    }

    /// Starts the third router with a peer of this AS.
    pub fn start_third_of(&self, pod_cidrs: &[String], with: u8, peer_asn: u32) {
        let peer = peer_object("reflector", &self.setup.family.address(with), peer_asn, "");
        let asn = self.setup.third_asn.unwrap_or(self.setup.our_asn);
        let text = manifests(&Setup { our_asn: asn, ..self.setup.clone() }, 3, pod_cidrs) + &peer;
        fs::write(self.third.directory.join("manifests/all.yaml"), text).unwrap();
        start_daemon(&self.third);
    }

    /// The same with a session with the first from its own address and another from a fourth.
    pub fn start_third_twice(&self, pod_cidrs: &[String]) {
        let family = self.setup.family;
        let address = format!("{}{}", family.address(4), family.pick("/24", "/64"));
        let mut line = words(&["ip", "address", "add", &address, "dev", "eth0"]);
        line.extend((family == Family::Ipv6).then(|| "nodad".to_owned()));
        self.third.run(&line);
        self.configure_third(pod_cidrs, &[3, 4]);
        start_daemon(&self.third);
    }

    /// Has the third hold sessions with the first from these addresses.
    pub fn configure_third(&self, pod_cidrs: &[String], sources: &[u8]) {
        let family = self.setup.family;
        let session = |from: &u8| {
            let source = format!("sourceAddress: \"{}\"", family.address(*from));
            peer_object(&format!("from{from}"), &family.address(1), self.setup.our_asn, &source)
        };
        let sessions: String = sources.iter().map(session).collect();
        let text = manifests(&self.setup, 3, pod_cidrs) + &sessions;
        fs::write(self.third.directory.join("manifests/all.yaml"), text).unwrap();
    }

    /// `routelet peers them`.
    pub fn session(&self) -> Value {
        self.us.routelet(&["peers", "them"])
    }

    pub fn established(&self) -> bool {
        self.session()["establishedSeconds"].is_u64()
    }

    /// How often a session has been lost.
    pub fn flaps(&self) -> u64 {
        self.session()["flaps"].as_u64().unwrap_or(0)
    }

    pub fn await_established(&self) {
        self.eventually("a session", || self.established());
    }

    /// Our paths to a prefix.
    pub fn paths(&self, prefix: &str) -> Vec<Value> {
        let routes = self.us.routelet(&["routes", prefix]);
        routes[0]["paths"].as_array().cloned().unwrap_or_default()
    }

    /// Our best path to a prefix.
    pub fn path(&self, prefix: &str) -> Option<Value> {
        best_path(&self.us, prefix)
    }

    /// The third router's best path to a prefix.
    pub fn third_path(&self, prefix: &str) -> Option<Value> {
        best_path(&self.third, prefix)
    }

    /// How many routes through another router our kernel has.
    pub fn installed(&self) -> usize {
        let family = if self.setup.carried() == Family::Ipv4 { "-4" } else { "-6" };
        let text = self.us.run(&words(&["ip", family, "route", "show", "proto", "114"]));
        text.lines().filter(|line| line.contains(" via ")).count()
    }

    /// The kernel's counters of segments that our TCP refused whose names start so: for a wrong MD5
    /// signature `TCPMD5`, for a TTL that is too low `TCPMinTTLDrop`.
    pub fn refused_segments(&self, start: &str) -> u64 {
        let text = self.us.run(&words(&["cat", "/proc/thread-self/net/netstat"]));
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = (lines.next().unwrap().split(' '), lines.next().unwrap().split(' '));
        let counters = names.zip(values).filter(|(name, _)| name.starts_with(start));
        counters.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
    }

    /// Waits for a condition, for as long as anything takes that works.
    ///
    /// # Panics
    /// It never holds. Says what both sides know.
    pub fn eventually(&self, what: &str, condition: impl FnMut() -> bool) {
        if !holds_in_time(condition) {
            self.fail(&format!("never: {what}"));
        }
    }

    /// Ends the scenario with all that both sides know.
    pub fn fail(&self, what: &str) -> ! {
        let tail = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(80)..].join("\n")
        };
        panic!(
            "{what}\n-- our session: {}\n-- our routes: {}\n-- our log:\n{}\n-- third's log:\n{}\n-- their state:\n{}\n-- their log:\n{}",
            self.session(),
            self.us.routelet(&["routes"]),
            tail(self.us.log()),
            tail(self.third.log()),
            tail(self.speaker.state(&self.them, &self.setup)),
            tail(self.them.log()),
        )
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        for host in [&self.us, &self.them, &self.third] {
            host.kill();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn best_path(host: &Host, prefix: &str) -> Option<Value> {
    let routes = host.routelet(&["routes", prefix]);
    routes[0]["paths"].as_array()?.iter().find(|path| path["best"] == true).cloned()
}

fn start_daemon(host: &Host) {
    let path = |name: &str| host.directory.join(name).to_str().unwrap().to_owned();
    let (manifests, socket, state) = (path("manifests"), path("api"), path("state"));
    host.start(&words(&[
        env!("CARGO_BIN_EXE_routelet"),
        "run",
        "--node-name",
        "node",
        "--manifests",
        &manifests,
        "--api-socket",
        &socket,
        "--state-dir",
        &state,
    ]));
}

fn manifests(setup: &Setup, router: u8, pod_cidrs: &[String]) -> String {
    let cidrs: Vec<String> = pod_cidrs.iter().map(|cidr| format!("\"{cidr}\"")).collect();
    format!(
        "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {{name: default}}\n\
         spec: {{asn: {}, mesh: none, routerId: 10.9.0.{router}}}\n---\napiVersion: v1\nkind: Node\n\
         metadata: {{name: node}}\nspec: {{podCIDRs: [{}]}}\n\
         status: {{addresses: [{{type: InternalIP, address: \"{}\"}}, {{type: InternalIP, address: \"{}\"}}]}}\n\
         ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: right}}\nstringData: {{password: right}}\n\
         ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: wrong}}\nstringData: {{password: wrong}}\n",
        setup.our_asn,
        cidrs.join(", "),
        setup.family.address(router),
        setup.family.other().address(router),
    )
}

fn peer_object(name: &str, address: &str, asn: u32, more: &str) -> String {
    let unless = |field: &str, text: String| if more.contains(field) { String::new() } else { text };
    let timers = unless("timers:", "timers: {connectRetry: 1s}".to_owned());
    let import = unless("import:", format!("import: {{accept: {ALL}}}"));
    let export = unless("export:", format!("export: {{accept: {ALL}, communities: [\"64512:100\"]}}"));
    let address = unless("interface:", format!("address: \"{address}\""));
    let asn = unless("asn: external", format!("asn: {asn}"));
    format!(
        "---\napiVersion: routelet.dev/v1alpha1\nkind: BgpPeer\nmetadata: {{name: {name}}}\nspec:\n  \
         {address}\n  {asn}\n  {import}\n  {export}\n  {timers}\n  {more}\n"
    )
}
