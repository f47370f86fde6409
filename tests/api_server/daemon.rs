//! Real daemons in network namespaces, one of them fed by nothing but the server: it is killed while the server is away,
//! and comes back from what it kept.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use routelet::api::Client;
use routelet::fib::Target;
use routelet::kernel::links::VethPair;
use routelet::kernel::routes::Ownership;
use routelet::kernel::{NetNs, Netlink, found};
use serde_json::{Value, json};

use crate::rig::{Scratch, secret};
use crate::server::TestServer;

const OURS: Ownership = Ownership { table: 254, protocol: 114 };
/// Longer than anything takes that works: a connection attempt is repeated after 5 s.
const DEADLINE: Duration = Duration::from_secs(60);

/// Two nodes with a wire between them: node1 has the API server, node2 a directory.
struct Pair {
    directory: Scratch,
    namespaces: [NetNs; 2],
    server: TestServer,
    daemons: [Option<Child>; 2],
}

impl Pair {
    async fn new() -> Pair {
        assert!(nix::unistd::geteuid().is_root(), "this makes network namespaces: run it as root");
        let namespaces = [NetNs::create().unwrap(), NetNs::create().unwrap()];
        let netlinks = [0, 1].map(|i| Netlink::open_in(&namespaces[i]).unwrap());
        let wire = VethPair {
            name: "eth0",
            peer_name: "eth0",
            peer_namespace: Some(&namespaces[1]),
            mtu: None,
            peer_mac: None,
        };
        netlinks[0].add_veth(&wire).await.unwrap();
        for (i, netlink) in netlinks.iter().enumerate() {
            for name in ["lo", "eth0"] {
                let link = netlink.link(name).await.unwrap().unwrap();
                netlink.set_up(link.index, true).await.unwrap();
                if name == "eth0" {
                    netlink
                        .add_address(link.index, format!("192.168.1.1{}/24", i + 1).parse().unwrap())
                        .await
                        .unwrap();
                }
            }
        }
        let server = namespaces[0].enter(TestServer::start).unwrap();
        let directory = Scratch::new();
        fs::create_dir(directory.0.join("manifests")).unwrap();
        let pair = Pair { directory, namespaces, server, daemons: [None, None] };
        let key = secret("key");
        let others = [configuration(), node(1), node(2), peer(1), peer(2), key];
        others.iter().for_each(|object| pair.server.put(object.clone()));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": others});
        fs::write(pair.directory.0.join("manifests/all.json"), list.to_string()).unwrap();
        pair
    }

    fn start(&mut self, node: usize) {
        let log = File::options().create(true).append(true).open(self.path("log", node)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
        command.args(["run", "--node-name", &format!("node{}", node + 1)]);
        if node == 0 {
            command.arg("--kubeconfig").arg(self.server.kubeconfig(&self.directory.0));
        } else {
            command.arg("--manifests").arg(self.directory.0.join("manifests"));
        }
        command
            .arg("--api-socket")
            .arg(self.path("socket", node))
            .arg("--state-dir")
            .arg(self.path("state", node));
        command.env("ROUTELET_LOG", "info").stdin(Stdio::null()).stderr(log);
        self.daemons[node] = Some(self.namespaces[node].enter(|| command.spawn()).unwrap().unwrap());
    }

    fn kill(&mut self, node: usize) {
        let mut daemon = self.daemons[node].take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    fn path(&self, what: &str, node: usize) -> PathBuf {
        self.directory.0.join(format!("{what}{node}"))
    }

    fn log(&self, node: usize) -> String {
        fs::read_to_string(self.path("log", node)).unwrap_or_default()
    }

    /// Destinations that a node has learned, from its kernel.
    fn learned(&self, node: usize) -> Vec<String> {
        let found = self.namespaces[node].enter(|| found::found(OURS)).unwrap().unwrap();
        let learned = found.routes.iter().filter(|route| route.target != Target::Unreachable);
        learned.map(|route| route.prefix.to_string()).collect()
    }

    async fn established(&self, node: usize) -> bool {
        let Ok(mut client) = Client::connect(&self.path("socket", node)).await else { return false };
        let Ok(summary) = client.summary().await else { return false };
        summary.peers == 1 && summary.established == 1
    }

    fn metric(&self, node: usize, line: &str) -> bool {
        let text = self.namespaces[node].enter(metrics).unwrap();
        text.is_ok_and(|text| text.lines().any(|found| found == line))
    }

    fn status(&self, node: usize) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
        let output =
            command.arg("status").arg("--api-socket").arg(self.path("socket", node)).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    async fn eventually(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let wait = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            panic!("never: {what}; logs:\n{}\nand\n{}", self.log(0), self.log(1));
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().flatten() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn configuration() -> Value {
    json!({
        "apiVersion": "routelet.dev/v1alpha1", "kind": "BgpConfiguration", "metadata": {"name": "default"},
        "spec": {"asn": 64512, "mesh": "none"},
    })
}

fn node(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("node{number}"), "labels": {"name": format!("node{number}")}},
        "spec": {"podCIDRs": [format!("10.244.{number}.0/24")]},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("192.168.1.1{number}")}]},
    })
}

/// What a node has of the other, with a password from a Secret: a restart has to know that, too.
fn peer(on: usize) -> Value {
    let other = 3 - on;
    json!({
        "apiVersion": "routelet.dev/v1alpha1", "kind": "BgpPeer", "metadata": {"name": format!("from{on}")},
        "spec": {
            "nodeSelector": {"matchLabels": {"name": format!("node{on}")}},
            "address": format!("192.168.1.1{other}"), "asn": "internal", "timers": {"connectRetry": "1s"},
            "passwordSecretRef": {"name": "key", "key": "password"},
            "import": {"accept": [{"prefix": "10.244.0.0/16", "le": 24}]},
            "export": {"accept": [{"prefix": "10.244.0.0/16", "le": 24}]},
        },
    })
}

/// The metrics in this thread's namespace.
fn metrics() -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", 9179))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: routelet\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[tokio::test]
async fn a_daemon_that_is_killed_while_the_server_is_away_comes_back_from_what_it_kept() {
    let mut pair = Pair::new().await;
    pair.start(0);
    pair.start(1);
    let of = |pair: &Pair| (pair.learned(0), pair.learned(1));
    let both = (vec!["10.244.2.0/24".to_owned()], vec!["10.244.1.0/24".to_owned()]);
    pair.eventually("routes", async || of(&pair) == both).await;
    let cache = pair.path("state", 0).join("objects.json");
    pair.eventually("the objects kept", async || {
        fs::read_to_string(&cache).is_ok_and(|text| text.contains("c2VjcmV0"))
    })
    .await;

    // An outage changes nothing.
    pair.server.go_away();
    pair.eventually("away", async || pair.metric(0, "routelet_api_server_connected{kind=\"Node\"} 0")).await;
    assert!(pair.status(0).contains("the API server cannot be reached"), "{}", pair.status(0));
    assert!(pair.established(0).await && of(&pair) == both);

    // Nor does a restart in it, but for the session.
    pair.kill(0);
    pair.eventually("the session down", async || !pair.established(1).await).await;
    assert_eq!(of(&pair), both, "routes stay");
    pair.start(0);
    pair.eventually("the session back", async || pair.established(0).await && pair.established(1).await)
        .await;
    assert_eq!(of(&pair), both);
    assert!(pair.metric(0, "routelet_api_server_from_kept 1"));
    assert!(pair.status(0).contains("those kept from before are in force"), "{}", pair.status(0));
    assert!(pair.log(0).contains("starting from the objects kept in"), "{}", pair.log(0));
    assert!(!pair.log(0).contains("c2VjcmV0"), "no log shows a password");

    // What it has to say when it returns applies live.
    let namespace = pair.namespaces[0].enter(|| pair.server.come_back());
    namespace.unwrap();
    let more = json!({"spec": {"podCIDRs": ["10.244.1.0/24", "10.244.9.0/24"]}});
    pair.server.merge("/api/v1/nodes/node1", &more);
    pair.eventually("the new pod CIDR", async || pair.learned(1).contains(&"10.244.9.0/24".to_owned())).await;
    pair.eventually("from the server", async || pair.metric(0, "routelet_api_server_from_kept 0")).await;
    assert!(
        pair.metric(0, "routelet_bgp_session_flaps_total{peer=\"from1\"} 0"),
        "nobody's session was touched"
    );
}

#[test]
fn without_any_source_the_daemon_says_what_there_could_be() {
    let directory = Scratch::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
    command.args(["run", "--node-name", "node1", "--metrics-listen", "127.0.0.1:0", "--api-socket"]);
    command.arg(directory.0.join("socket")).env_clear();
    let said = |command: &mut Command| String::from_utf8(command.output().unwrap().stderr).unwrap();
    let text = said(&mut command);
    assert!(
        text.contains("no source of objects: name a directory with --manifests, or an API server"),
        "{text}"
    );
    let kubeconfig = directory.0.join("kubeconfig");
    let text = said(command.arg("--kubeconfig").arg(&kubeconfig));
    assert!(text.contains(&format!("kubeconfig {}: ", kubeconfig.display())), "{text}");
    assert!(text.contains("No such file or directory"), "{text}");
    fs::write(&kubeconfig, "apiVersion: v1\nkind: Config\nclusters: []\n").unwrap();
    let text = said(&mut command);
    assert!(text.contains(&format!("kubeconfig {}: ", kubeconfig.display())), "{text}");
}
