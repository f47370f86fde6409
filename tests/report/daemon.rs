//! A real daemon, which every peer fails in another way, and what the API server is told of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use routelet::kernel::links::VethPair;
use routelet::kernel::{NetNs, Netlink};
use serde_json::{Value, json};

use crate::rig::{LEASES, PEERS, STATUSES, message};
use crate::server::TestServer;

/// Longer than anything takes that works: five writes are 10 s apart, and what is said at first may be less.
const DEADLINE: Duration = Duration::from_secs(120);

/// A daemon that ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory that goes when the test does.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two namespaces with a wire between them, and addresses on it.
async fn wire(addresses: [&[&str]; 2]) -> [NetNs; 2] {
    assert!(nix::unistd::geteuid().is_root(), "this makes network namespaces: run it as root");
    let namespaces = [NetNs::create().unwrap(), NetNs::create().unwrap()];
    let netlinks = [0, 1].map(|i| Netlink::open_in(&namespaces[i]).unwrap());
    let (name, peer_name, peer_namespace) = ("eth0", "eth0", Some(&namespaces[1]));
    let pair = VethPair { name, peer_name, peer_namespace, mtu: None, peer_mac: None };
    netlinks[0].add_veth(&pair).await.unwrap();
    for (netlink, addresses) in netlinks.iter().zip(addresses) {
        for name in ["lo", "eth0"] {
            let link = netlink.link(name).await.unwrap().unwrap();
            netlink.set_up(link.index, true).await.unwrap();
        }
        let link = netlink.link("eth0").await.unwrap().unwrap();
        for address in addresses {
            netlink.add_address(link.index, format!("{address}/24").parse().unwrap()).await.unwrap();
        }
    }
    namespaces
}

fn start(namespace: &NetNs, directory: &Path, node: &str, source: [&str; 2]) -> Daemon {
    let path = |what: &str| directory.join(format!("{what}-{node}"));
    let log = File::options().create(true).append(true).open(path("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_routelet"));
    command.args(["run", "--node-name", node]).args(source);
    command.arg("--api-socket").arg(path("socket")).arg("--state-dir").arg(path("state"));
    command.env("ROUTELET_LOG", "info").env_remove("KUBECONFIG").stdin(Stdio::null()).stderr(log);
    Daemon(namespace.enter(|| command.spawn()).unwrap().unwrap())
}

fn configuration(asn: u32) -> Value {
    json!({
        "apiVersion": "routelet.dev/v1alpha1", "kind": "BgpConfiguration", "metadata": {"name": "default"},
        "spec": {"asn": asn, "mesh": "none"},
    })
}

fn node(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"podCIDRs": ["10.244.1.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    })
}

/// A `BgpPeer` with what else there is to say of it. The kernel takes 3 s to find that nobody has an address, so that
/// whoever is to be missed needs a longer time to connect than this.
fn peer(name: &str, address: &str, asn: u32, more: Value) -> Value {
    let mut spec = json!({"address": address, "asn": asn, "timers": {"connectRetry": "1s"}});
    crate::server::merge(&mut spec, &more);
    json!({"apiVersion": "routelet.dev/v1alpha1", "kind": "BgpPeer", "metadata": {"name": name}, "spec": spec})
}

/// A Secret `key`; the password in base64.
fn secret(password: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "routelet"},
        "data": {"password": password},
    })
}

fn signed(source: &str) -> Value {
    json!({"sourceAddress": source, "passwordSecretRef": {"name": "key", "key": "password"}})
}

/// The reason of each session of `node1`.
fn reasons(server: &TestServer) -> BTreeMap<String, String> {
    let status = server.object(&format!("{STATUSES}/node1")).map(|o| o["status"].clone()).unwrap_or_default();
    let sessions = status["sessions"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    sessions.iter().map(|session| (text(&session["peer"]), text(&session["reason"]))).collect()
}

#[tokio::test]
async fn each_trouble_is_told_by_its_name() {
    let namespaces = wire([&["192.168.1.11", "192.168.1.21"], &["192.168.1.12", "192.168.1.13"]]).await;
    let server = namespaces[0].enter(TestServer::start).unwrap();
    let directory = Scratch(std::env::temp_dir().join(format!("routelet-told-{}", std::process::id())));
    fs::create_dir_all(directory.0.join("manifests")).unwrap();
    let theirs = [
        configuration(64999),
        node("node2", "192.168.1.12"),
        secret("b3RoZXI="),
        peer("node1", "192.168.1.11", 64512, json!({"sourceAddress": "192.168.1.12"})),
        peer("signed", "192.168.1.21", 64512, signed("192.168.1.13")),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": theirs}).to_string();
    fs::write(directory.0.join("manifests/all.json"), list).unwrap();
    let ours = [
        configuration(64512),
        node("node1", "192.168.1.11"),
        secret("c2VjcmV0"),
        peer("absent", "192.168.1.99", 65000, json!({"timers": {"connectRetry": "5s"}})),
        peer("password", "192.168.1.13", 64999, signed("192.168.1.21")),
        peer("refusing", "192.168.1.13", 65000, json!({"sourceAddress": "192.168.1.11", "port": 1790})),
        peer("wrong-as", "192.168.1.12", 65000, json!({"sourceAddress": "192.168.1.11"})),
    ];
    ours.into_iter().for_each(|object| server.put(object));
    let manifests = directory.0.join("manifests");
    let _them = start(&namespaces[1], &directory.0, "node2", ["--manifests", manifests.to_str().unwrap()]);
    let kubeconfig = server.kubeconfig(&directory.0);
    let _us = start(&namespaces[0], &directory.0, "node1", ["--kubeconfig", kubeconfig.to_str().unwrap()]);

    let expected = [
        ("absent", "NoRoute"),
        ("password", "PasswordMismatch"),
        ("refusing", "ConnectionRefused"),
        ("wrong-as", "AsMismatch"),
    ];
    let expected: BTreeMap<String, String> =
        expected.map(|(peer, reason)| (peer.to_owned(), reason.to_owned())).into();
    let of_peer =
        |name: &str| server.object(&format!("{PEERS}/{name}")).unwrap_or_default()["status"].clone();
    let told = || {
        reasons(&server) == expected
            && expected.keys().all(|name| of_peer(name)["notEstablished"][0]["reason"] == expected[name])
    };
    let waited = tokio::time::timeout(DEADLINE, async {
        while !told() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let in_time = waited.await.is_ok();
    let log = fs::read_to_string(directory.0.join("log-node1")).unwrap_or_default();
    assert!(in_time, "told: {:?}; {}; log:\n{log}", reasons(&server), of_peer("wrong-as"));
    let status = of_peer("wrong-as");
    assert_eq!((&status["up"], &status["down"]), (&json!("0/1"), &json!("node1")));
    let words = message(&status, "Established");
    assert!(words.contains("peer is in AS 64999, we expect AS 65000"), "{words}");
    let lease = server.object(&format!("{LEASES}/routelet-status")).unwrap();
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("node1_"), "{lease}");
}
