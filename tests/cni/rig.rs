//! What the tests stand on: a node, pods, and calls of the plugin. All of it goes with the test:
//! namespaces are held by open files alone and named to the plugin as files of this process.

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use ipnetwork::IpNetwork;
use routelet::kernel::links::Link;
use routelet::kernel::{NetNs, Netlink};
use serde_json::{Value, json};

/// The plugin under test.
pub const PLUGIN: &str = env!("CARGO_BIN_EXE_routelet-cni");

/// A namespace with a conversation with its kernel.
pub struct Namespace {
    pub handle: NetNs,
    pub netlink: Netlink,
}

impl Namespace {
    pub fn new() -> Namespace {
        assert!(
            nix::unistd::geteuid().is_root(),
            "the cni tests make network namespaces and must run as root: sudo -E cargo test --test cni"
        );
        let handle = NetNs::create().unwrap();
        let netlink = Netlink::open_in(&handle).unwrap();
        Namespace { handle, netlink }
    }

    /// A path by which other processes can open the namespace while this one lives.
    pub fn path(&self) -> String {
        path_of(&self.handle)
    }

    pub async fn link(&self, name: &str) -> Option<Link> {
        self.netlink.link(name).await.unwrap()
    }

    pub async fn names(&self) -> Vec<String> {
        self.netlink.links().await.unwrap().into_iter().map(|link| link.name).collect()
    }

    /// Addresses of a link, without link-local ones.
    pub async fn addresses(&self, name: &str) -> Vec<String> {
        let index = self.link(name).await.unwrap().index;
        let of_link = |a: &IpNetwork| matches!(a, IpNetwork::V6(a) if a.ip().is_unicast_link_local());
        let all = self.netlink.addresses(index).await.unwrap();
        all.iter().filter(|a| !of_link(a)).map(IpNetwork::to_string).collect()
    }
}

/// A node: a namespace and a directory.
pub struct Node {
    pub namespace: Namespace,
    pub directory: PathBuf,
}

/// How a call ended.
#[derive(Debug)]
pub struct Answer {
    pub success: bool,
    pub document: Value,
}

impl Answer {
    /// The result of a call that must have succeeded.
    #[track_caller]
    pub fn result(self) -> Value {
        assert!(self.success, "{}", self.document);
        self.document
    }

    /// Code and text of a call that must have failed.
    #[track_caller]
    pub fn error(self) -> (u64, String) {
        assert!(!self.success, "{}", self.document);
        let text = |key: &str| self.document[key].as_str().unwrap().to_owned();
        (self.document["code"].as_u64().unwrap(), format!("{} | {}", text("msg"), text("details")))
    }
}

impl Node {
    pub fn new() -> Node {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("routelet-cni-node-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Node { namespace: Namespace::new(), directory }
    }

    /// The configuration that many clusters have, kept to this node's directory.
    pub fn configuration(&self) -> Value {
        json!({
            "cniVersion": "0.3.1", "name": "pod-network", "type": "bridge",
            "bridge": "cni0", "isGateway": true, "ipMasq": true,
            "ipam": {
                "type": "host-local", "subnet": "10.244.0.0/16", "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": self.directory.join("networks"),
            },
            "nodeFile": self.node_file(),
        })
    }

    /// Our own IPAM, newest version, with the pod CIDRs of both families in the node file.
    pub fn dual_stack(&self) -> Value {
        let node_file =
            json!({"podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"], "bridge": "cni0", "mtu": 1400});
        fs::write(self.node_file(), node_file.to_string()).unwrap();
        json!({
            "cniVersion": "1.1.0", "name": "pod-network", "type": "routelet-cni", "isGateway": true,
            "hairpinMode": true, "nodeFile": self.node_file(),
            "ipam": {"type": "routelet", "dataDir": self.directory.join("networks")},
        })
    }

    /// The configuration that many clusters have, with everything that is done to a pod's packets.
    pub fn with_rules(&self) -> Value {
        let mut conf = self.configuration();
        conf["cniVersion"] = json!("1.1.0");
        conf["macspoofchk"] = json!(true);
        conf["runtimeConfig"] = json!({"portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 8053, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
        ]});
        conf
    }

    pub fn node_file(&self) -> PathBuf {
        self.directory.join("node.json")
    }

    /// Starts the plugin in the node's namespace and hands it the configuration.
    pub fn spawn(&self, verb: &str, container: &str, netns: &str, conf: &Value) -> Child {
        self.spawn_other(Path::new(PLUGIN), verb, container, netns, conf, "")
    }

    /// The same for any plugin.
    pub fn spawn_other(
        &self,
        plugin: &Path,
        verb: &str,
        container: &str,
        netns: &str,
        conf: &Value,
        args: &str,
    ) -> Child {
        let mut command = self.command(plugin, verb, container, netns);
        command.env("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAME=p{args}"));
        self.feed(command, conf)
    }

    /// How a plugin is called, but for the configuration.
    pub fn command(&self, plugin: &Path, verb: &str, container: &str, netns: &str) -> Command {
        let mut command = Command::new(plugin);
        command
            .env_clear()
            // The reference plugins look for iptables.
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", container)
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=p")
            .env("CNI_PATH", plugin.parent().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts it in the node's namespace. It waits for its configuration.
    pub fn start(&self, mut command: Command) -> Child {
        // A child starts in the namespace of the thread that makes it.
        self.namespace.handle.enter(|| command.spawn()).unwrap().unwrap()
    }

    /// Starts it and hands it the configuration.
    pub fn feed(&self, command: Command, conf: &Value) -> Child {
        let mut child = self.start(command);
        // It may have been killed, or have failed, before it has read.
        let _ = child.stdin.take().unwrap().write_all(conf.to_string().as_bytes());
        child
    }

    pub fn call(&self, verb: &str, container: &str, netns: &str, conf: &Value) -> Answer {
        answer(self.spawn(verb, container, netns, conf).wait_with_output().unwrap())
    }

    pub fn add(&self, container: &str, pod: &Namespace, conf: &Value) -> Answer {
        self.call("ADD", container, &pod.path(), conf)
    }

    pub fn del(&self, container: &str, pod: &Namespace, conf: &Value) -> Answer {
        self.call("DEL", container, &pod.path(), conf)
    }

    /// Addresses that have a file, in order of name.
    pub fn reservations(&self) -> Vec<String> {
        let names = files(&self.directory.join("networks/pod-network"));
        names.into_iter().filter(|name| name.parse::<std::net::IpAddr>().is_ok()).collect()
    }

    /// Everything that exists on account of pods: address files, owner records, veth ends.
    pub async fn traces(&self) -> Vec<String> {
        let mut traces = self.reservations();
        traces.extend(files(&self.directory.join("networks/pod-network/owners")));
        let links = self.namespace.netlink.links().await.unwrap();
        traces.extend(links.into_iter().filter(|l| l.kind.as_deref() == Some("veth")).map(|l| l.name));
        traces
    }

    /// Every firewall rule of the node, without counters, as nft(8) shows it.
    pub fn rules(&self) -> String {
        run(&self.namespace.handle, "nft", &["--stateless", "list", "ruleset"])
    }

    /// Whom rules of ours are about, in order: what each element of the sets and maps says. Empty sets stay
    /// when the last pod's DEL is cut short.
    pub fn ruled(&self) -> Vec<String> {
        let rules = self.rules();
        let mut ruled: Vec<String> = rules
            .split("comment \"")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
            .collect();
        ruled.sort();
        ruled
    }

    /// Files that are neither part of the store's form nor anybody's: what a write cut short left.
    pub fn debris(&self) -> Vec<String> {
        let store = files(&self.directory.join("networks/pod-network"));
        let known = |name: &String| {
            name == "lock"
                || name == "owners"
                || name == "resting"
                || name.starts_with("last_reserved_ip.")
                || name.parse::<std::net::IpAddr>().is_ok()
        };
        store.into_iter().filter(|name| !known(name)).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Runs a program in a namespace, where it must succeed. Returns what it printed.
#[track_caller]
pub fn run(namespace: &NetNs, program: &str, arguments: &[&str]) -> String {
    let output = namespace.enter(|| Command::new(program).args(arguments).output()).unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A path by which other processes can open a namespace while its handle is open.
pub fn path_of(namespace: &NetNs) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), namespace.as_fd().as_raw_fd())
}

/// Reads what a call printed. There is at most one document, and nothing else, ever.
pub fn answer(output: Output) -> Answer {
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let document = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")),
    };
    Answer { success: output.status.success(), document }
}

fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
