//! Two nodes with a wire between them, the manifests they share, and a daemon on each.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use routelet::api::Client;
use routelet::api::proto::Peer;
use routelet::fib::{Change, Route, Target};
use routelet::kernel::links::VethPair;
use routelet::kernel::routes::Ownership;
use routelet::kernel::watch::{Event, Watch};
use routelet::kernel::{Installer, NetNs, Netlink, found};
use routelet::prefix::Prefix;

const OURS: Ownership = Ownership { table: 254, protocol: 114 };
/// Longer than anything takes that works: a connection attempt is repeated after 5 s.
const DEADLINE: Duration = Duration::from_secs(20);
/// A node is ready without its peers, for many a test starts but one.
const ALONE: &str = "readiness: {requiredPeers: 0}";

/// Which families the cluster uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    Ipv4,
    Ipv6,
    Dual,
}

impl Addressing {
    fn pick(self, v4: &str, v6: &str) -> Vec<String> {
        match self {
            Addressing::Ipv4 => vec![v4.to_owned()],
            Addressing::Ipv6 => vec![v6.to_owned()],
            Addressing::Dual => vec![v4.to_owned(), v6.to_owned()],
        }
    }
}

/// One node.
struct Node {
    namespace: NetNs,
    netlink: Netlink,
    addresses: Vec<String>,
    pod_cidrs: Vec<String>,
    /// More of its object: fields of `metadata`, of `spec` and of `status`, each with a comma before it.
    more: [String; 3],
    daemon: Option<Child>,
}

/// Two nodes. Everything of it goes when it does.
pub struct Cluster {
    directory: PathBuf,
    nodes: Vec<Node>,
}

impl Cluster {
    /// `node1` and `node2`, without a daemon yet, and manifests for a full mesh.
    pub async fn new(name: &str, addressing: Addressing) -> Cluster {
        assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
        let directory = std::env::temp_dir()
            .join(format!("routelet-daemon-{}-{name}-{addressing:?}", std::process::id()));
        fs::create_dir_all(directory.join("manifests")).unwrap();
        let mut nodes = vec![];
        for i in 1..=2 {
            let namespace = NetNs::create().unwrap();
            let netlink = Netlink::open_in(&namespace).unwrap();
            let loopback = netlink.link("lo").await.unwrap().unwrap();
            netlink.set_up(loopback.index, true).await.unwrap();
            nodes.push(Node {
                namespace,
                netlink,
                addresses: addressing.pick(&format!("192.168.1.1{i}"), &format!("fd00:192:168:1::1{i}")),
                pod_cidrs: addressing.pick(&format!("10.244.{i}.0/24"), &format!("fd00:10:244:{i}::/64")),
                more: Default::default(),
                daemon: None,
            });
        }
        let wire = VethPair {
            name: "eth0",
            peer_name: "eth0",
            peer_namespace: Some(&nodes[1].namespace),
            mtu: None,
            peer_mac: None,
        };
        nodes[0].netlink.add_veth(&wire).await.unwrap();
        for node in &nodes {
            let link = node.netlink.link("eth0").await.unwrap().unwrap();
            node.netlink.set_up(link.index, true).await.unwrap();
            for address in &node.addresses {
                let length = if address.contains(':') { 64 } else { 24 };
                let network = format!("{address}/{length}").parse().unwrap();
                node.netlink.add_address(link.index, network).await.unwrap();
            }
        }
        let cluster = Cluster { directory, nodes };
        cluster.write("configuration.yaml", &configuration("full"));
        cluster.write_nodes();
        cluster
    }

    /// Writes a file into the manifests directory.
    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.join("manifests").join(file), text).unwrap();
    }

    pub fn remove(&self, file: &str) {
        fs::remove_file(self.directory.join("manifests").join(file)).unwrap();
    }

    /// Gives a node's end of the wire another address.
    pub async fn add_address(&self, node: usize, network: &str) {
        let netlink = &self.nodes[node].netlink;
        let link = netlink.link("eth0").await.unwrap().unwrap();
        netlink.add_address(link.index, network.parse().unwrap()).await.unwrap();
    }

    /// A conversation with a node's kernel.
    pub fn netlink(&self, node: usize) -> &Netlink {
        &self.nodes[node].netlink
    }

    /// What `routelet status` shows.
    pub fn status(&self, node: usize) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
        command.arg("status").arg("--api-socket").arg(self.socket(node));
        let output = self.nodes[node].namespace.enter(|| command.output()).unwrap().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a kubelet is told: the status line and the reasons.
    pub fn readiness(&self, node: usize) -> String {
        self.nodes[node].namespace.enter(|| get("/readyz")).unwrap().unwrap_or_default()
    }

    /// Reads a setting below `/proc/sys/net`.
    pub fn setting(&self, node: usize, name: &str) -> String {
        let path = format!("/proc/sys/net/{name}");
        let value = self.nodes[node].namespace.enter(|| fs::read_to_string(&path)).unwrap();
        value.unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
    }

    /// Writes one.
    pub fn set(&self, node: usize, name: &str, value: &str) {
        let path = format!("/proc/sys/net/{name}");
        let written = self.nodes[node].namespace.enter(|| fs::write(&path, value)).unwrap();
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// `ip` in a node's namespace: another program's hand.
    pub fn run_ip(&self, node: usize, arguments: &str) {
        let mut ip = Command::new("ip");
        let output = self.nodes[node].namespace.enter(|| ip.args(arguments.split(' ')).output().unwrap());
        let output = output.unwrap();
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn namespace(&self, node: usize) -> &NetNs {
        &self.nodes[node].namespace
    }

    /// The peers that a node's daemon shows.
    pub async fn peers(&self, node: usize) -> Vec<Peer> {
        let Ok(mut client) = Client::connect(&self.socket(node)).await else { return vec![] };
        let Ok(peers) = client.peers(None).await else { return vec![] };
        peers.collect().await.unwrap_or_default()
    }

    /// A configuration without a mesh, and what comes with it.
    pub fn configure(&self, objects: &str) {
        self.write("configuration.yaml", &format!("{}---\n{objects}", configuration("none")));
    }

    /// The configuration `default` with this spec, beside the AS.
    pub fn configure_spec(&self, spec: &str) {
        let text = "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {name: default}\n";
        self.write("configuration.yaml", &format!("{text}spec: {{asn: 64512, {ALONE}, {spec}}}\n"));
    }

    pub fn replace_pod_cidrs(&mut self, node: usize, prefixes: &[&str]) {
        self.nodes[node].pod_cidrs = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        self.write_nodes();
    }

    pub fn add_pod_cidr(&mut self, node: usize, prefix: &str) {
        self.nodes[node].pod_cidrs.push(prefix.to_owned());
        self.write_nodes();
    }

    /// In place of the mesh, a BgpPeer object on each node for the other, with these passwords.
    pub fn peer_by_object(&self, passwords: &[&str; 2]) {
        let mut text = configuration("none");
        for (i, password) in passwords.iter().enumerate() {
            let (name, other) = (i + 1, &self.nodes[1 - i]);
            let prefixes = |cidrs: &[String]| {
                cidrs.iter().map(|c| format!("{{prefix: {c}}}")).collect::<Vec<_>>().join(", ")
            };
            write!(
                text,
                "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: key{name}}}\nstringData: {{password: {password}}}\n\
                 ---\napiVersion: routelet.dev/v1alpha1\nkind: BgpPeer\nmetadata: {{name: from{name}}}\n\
                 spec:\n  nodeSelector: {{matchLabels: {{name: node{name}}}}}\n  address: {}\n  asn: internal\n  \
                 timers: {{connectRetry: 1s}}\n  gracefulRestart: {{enabled: false}}\n  passwordSecretRef: {{name: key{name}, key: password}}\n  \
                 import: {{accept: [{}]}}\n  export: {{accept: [{}]}}\n",
                other.addresses[0],
                prefixes(&other.pod_cidrs),
                prefixes(&self.nodes[i].pod_cidrs),
            )
            .unwrap();
        }
        self.write("configuration.yaml", &text);
    }

    /// Has a Node say more of itself, in its `metadata`, `spec` and `status`, instead of what it said before.
    pub fn say_of_node(&mut self, node: usize, more: [&str; 3]) {
        let field = |text: &str| if text.is_empty() { String::new() } else { format!(", {text}") };
        self.nodes[node].more = more.map(field);
        self.write_nodes();
    }

    fn write_nodes(&self) {
        let mut text = String::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let addresses: Vec<String> =
                node.addresses.iter().map(|a| format!("{{type: InternalIP, address: \"{a}\"}}")).collect();
            write!(
                text,
                "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node{0}, labels: {{name: node{0}}}{3}}}\n\
                 spec: {{podCIDRs: [{1}]{4}}}\nstatus: {{addresses: [{2}]{5}}}\n",
                i + 1,
                node.pod_cidrs.join(", "),
                addresses.join(", "),
                node.more[0],
                node.more[1],
                node.more[2],
            )
            .unwrap();
        }
        self.write("nodes.yaml", &text);
    }

    pub fn start(&mut self, node: usize) {
        let log = self.log_file(node);
        let log = File::options().create(true).append(true).open(log).unwrap();
        let daemon = self.spawn(node, Stdio::from(log));
        self.nodes[node].daemon = Some(daemon);
    }

    /// Starts a daemon that cannot write to `/proc/sys`, like one in a container without privileges.
    pub fn start_confined(&mut self, node: usize) {
        const READ_ONLY: &str = "mount -o bind,ro /proc/sys /proc/sys && exec \"$@\"";
        let log = File::options().create(true).append(true).open(self.log_file(node)).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", READ_ONLY, "sh", env!("CARGO_BIN_EXE_routelet")]);
        let daemon = self.spawn_by(command, node, Stdio::from(log));
        self.nodes[node].daemon = Some(daemon);
    }

    /// Runs a second daemon on the first one's socket until it gives up.
    pub fn run_again(&self, node: usize) -> Output {
        self.spawn(node, Stdio::piped()).wait_with_output().unwrap()
    }

    fn spawn(&self, node: usize, stderr: Stdio) -> Child {
        self.spawn_by(Command::new(env!("CARGO_BIN_EXE_routelet")), node, stderr)
    }

    fn spawn_by(&self, mut command: Command, node: usize, stderr: Stdio) -> Child {
        command
            .args(["run", "--node-name", &format!("node{}", node + 1), "--manifests"])
            .arg(self.directory.join("manifests"))
            .arg("--api-socket")
            .arg(self.socket(node))
            .arg("--state-dir")
            .arg(self.state_dir(node))
            .arg("--cni-config")
            .arg(self.cni_config(node))
            .arg("--cni-data-dir")
            .arg(self.data_dir(node))
            .env("ROUTELET_LOG", "debug,h2=off,hyper=off,tower=off,tonic=off")
            .stdin(Stdio::null())
            .stderr(stderr);
        self.nodes[node].namespace.enter(|| command.spawn()).unwrap().unwrap()
    }

    pub async fn kill(&mut self, node: usize) {
        self.end(node, Signal::SIGKILL).await;
    }

    pub async fn terminate(&mut self, node: usize) {
        assert!(self.end(node, Signal::SIGTERM).await.success(), "{}", self.log(node));
    }

    pub async fn leave(&mut self, node: usize) {
        assert!(self.end(node, Signal::SIGINT).await.success(), "{}", self.log(node));
    }

    /// Sends a daemon a signal that does not end it.
    pub fn signal(&self, node: usize, signal: Signal) {
        let daemon = self.nodes[node].daemon.as_ref().unwrap();
        kill(Pid::from_raw(daemon.id().cast_signed()), signal).unwrap();
    }

    async fn end(&mut self, node: usize, signal: Signal) -> std::process::ExitStatus {
        let mut daemon = self.nodes[node].daemon.take().unwrap();
        kill(Pid::from_raw(daemon.id().cast_signed()), signal).unwrap();
        tokio::task::spawn_blocking(move || daemon.wait()).await.unwrap().unwrap()
    }

    /// `routelet cleanup` on a node.
    pub fn cleanup(&self, node: usize) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
        command.arg("cleanup").arg("--api-socket").arg(self.socket(node)).arg("--state-dir");
        command.arg(self.state_dir(node)).arg("--cni-config").arg(self.cni_config(node));
        let output = self.nodes[node].namespace.enter(|| command.output()).unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What a command does that asks a node's daemon.
    pub fn run_routelet(&self, node: usize, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
        command.args(arguments).arg("--api-socket").arg(self.socket(node));
        command.output().unwrap()
    }

    /// What a command prints that asks a node's daemon.
    pub fn routelet(&self, node: usize, arguments: &[&str]) -> String {
        let output = self.run_routelet(node, arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Prefixes of our routes through another node, in order.
    pub async fn learned(&self, node: usize) -> Vec<Prefix> {
        let routes = self.routes(node);
        routes.into_iter().filter(|r| r.target != Target::Unreachable).map(|r| r.prefix).collect()
    }

    /// Prefixes of our unreachable routes, in order.
    pub async fn aggregates(&self, node: usize) -> Vec<Prefix> {
        let routes = self.routes(node);
        routes.into_iter().filter(|r| r.target == Target::Unreachable).map(|r| r.prefix).collect()
    }

    /// Deletes our learned routes behind the daemon's back, in a conversation of its own.
    pub async fn delete_learned(&self, node: usize) {
        let mut stranger = self.nodes[node].namespace.enter(|| Installer::open(OURS)).unwrap().unwrap();
        let learned = self.routes(node).into_iter().filter(|r| r.target != Target::Unreachable);
        let removals: Vec<Change> =
            learned.map(|r| Change::Remove { prefix: r.prefix, metric: r.metric }).collect();
        assert_eq!(stranger.apply(&removals), []);
    }

    fn routes(&self, node: usize) -> Vec<Route> {
        self.nodes[node].namespace.enter(|| found::found(OURS)).unwrap().unwrap().routes
    }

    pub async fn set_wire(&self, node: usize, up: bool) {
        let netlink = &self.nodes[node].netlink;
        let link = netlink.link("eth0").await.unwrap().unwrap();
        netlink.set_up(link.index, up).await.unwrap();
        // The kernel drops IPv6 addresses with the link.
        if up {
            for address in self.nodes[node].addresses.iter().filter(|a| a.contains(':')) {
                netlink.add_address(link.index, format!("{address}/64").parse().unwrap()).await.unwrap();
            }
        }
    }

    pub fn pod_cidrs(&self, node: usize) -> Vec<Prefix> {
        let mut prefixes: Vec<Prefix> =
            self.nodes[node].pod_cidrs.iter().map(|p| p.parse().unwrap()).collect();
        prefixes.sort();
        prefixes
    }

    pub async fn await_learned(&self, node: usize, expected: &[Prefix]) {
        self.eventually(node, &format!("routes to {expected:?}"), async || {
            self.learned(node).await == expected
        })
        .await;
    }

    pub async fn await_down(&self, node: usize, peer: &str) {
        self.await_metric(node, &format!("routelet_bgp_session_established{{peer=\"{peer}\"}} 0")).await;
    }

    /// Waits until a node has all that its peer has told.
    pub async fn await_end_of_rib(&self, node: usize, peer: &str) {
        for family in ["ipv4Unicast", "ipv6Unicast"] {
            if self.pod_cidrs(node).iter().any(|p| p.family().to_string() == family) {
                let labels = format!("peer=\"{peer}\",family=\"{family}\"");
                self.await_metric(node, &format!("routelet_bgp_end_of_rib_received{{{labels}}} 1")).await;
            }
        }
    }

    /// Starts a daemon again and waits until it has swept what it found.
    pub async fn start_again(&mut self, node: usize) {
        const SWEPT: &str = "routes left from before the start are swept";
        let before = self.log(node).matches(SWEPT).count();
        self.start(node);
        self.eventually(node, SWEPT, async || self.log(node).matches(SWEPT).count() > before).await;
    }

    /// Waits for a line of `/metrics`.
    pub async fn await_metric(&self, node: usize, line: &str) {
        self.eventually(node, line, async || {
            let text = self.nodes[node].namespace.enter(|| get("/metrics")).unwrap();
            text.is_ok_and(|text| text.lines().any(|l| l == line))
        })
        .await;
    }

    /// What `/readyz` answers; nothing where nobody does.
    pub fn ready(&self, node: usize) -> String {
        self.nodes[node].namespace.enter(|| get("/readyz")).unwrap().unwrap_or_default()
    }

    /// Waits until the kernel refuses a segment for its MD5 signature.
    pub async fn await_md5_failure(&self, node: usize) {
        let namespace = &self.nodes[node].namespace;
        let before = namespace.enter(md5_failures).unwrap();
        self.eventually(node, "a segment with a wrong signature", async || {
            namespace.enter(md5_failures).unwrap() > before
        })
        .await;
    }

    /// Packets that a node has refused because they came from too far away.
    pub fn dropped_for_ttl(&self, node: usize) -> u64 {
        self.nodes[node].namespace.enter(|| tcp_counters(&["TCPMinTTLDrop"])).unwrap()
    }

    /// Counts changes of our routes from now on.
    pub async fn route_changes(&self, node: usize) -> RouteChanges {
        let watch = self.nodes[node].namespace.enter(|| Watch::open(OURS)).unwrap().unwrap();
        RouteChanges { watch }
    }

    pub fn log(&self, node: usize) -> String {
        fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    pub async fn eventually(&self, node: usize, what: &str, condition: impl AsyncFnMut() -> bool) {
        self.within(DEADLINE, node, what, condition).await;
    }

    /// Waits for a condition for as long as a certain work may take on a busy machine.
    pub async fn within(
        &self,
        deadline: Duration,
        node: usize,
        what: &str,
        mut condition: impl AsyncFnMut() -> bool,
    ) {
        let wait = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(deadline, wait).await.is_err() {
            let learned = self.learned(node).await;
            let other = self.log(1 - node);
            panic!(
                "node{} never: {what}; it has {learned:?}; its log:\n{}\nthe other's:\n{other}",
                node + 1,
                self.log(node)
            );
        }
    }

    /// Directory of the node file.
    pub fn state_dir(&self, node: usize) -> PathBuf {
        self.directory.join(format!("state{node}"))
    }

    /// Where a node's daemon writes the container runtime's configuration.
    pub fn cni_config(&self, node: usize) -> PathBuf {
        self.directory.join(format!("net.d{node}/10-routelet.conflist"))
    }

    /// Where a node's plugin keeps addresses.
    pub fn data_dir(&self, node: usize) -> PathBuf {
        self.directory.join(format!("networks{node}"))
    }

    fn socket(&self, node: usize) -> PathBuf {
        self.directory.join(format!("api{node}.sock"))
    }

    fn log_file(&self, node: usize) -> PathBuf {
        self.directory.join(format!("log{node}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.nodes.iter_mut().filter_map(|node| node.daemon.as_mut()) {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Changes that the kernel reports of our routes.
pub struct RouteChanges {
    watch: Watch,
}

impl RouteChanges {
    /// How many there have been.
    pub async fn count(mut self) -> usize {
        let mut count = 0;
        // What has happened is in the socket already.
        while let Ok(event) = tokio::time::timeout(Duration::from_millis(50), self.watch.next()).await {
            count += usize::from(!matches!(event, Event::UnderlayChanged(_)));
        }
        count
    }
}

fn configuration(mesh: &str) -> String {
    format!(
        "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {{name: default}}\n\
         spec: {{asn: 64512, mesh: {mesh}, {ALONE}}}\n"
    )
}

/// The kernel's count of segments refused for their MD5 signature, in this thread's namespace.
fn md5_failures() -> u64 {
    tcp_counters(&["TCPMD5Failure", "TCPMD5NotFound", "TCPMD5Unexpected"])
}

/// The sum of these counters of the kernel's TCP, in this thread's namespace.
fn tcp_counters(wanted: &[&str]) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let found = names.split(' ').zip(values.split(' ')).filter(|(name, _)| wanted.contains(name));
    found.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

/// The answer to an HTTP request, head and all, in this thread's namespace.
fn get(path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", 9179))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: routelet\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
