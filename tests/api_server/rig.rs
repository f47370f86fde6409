//! A server, a directory, and what a daemon's source makes of them.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use routelet::cluster::api_server::{self, Health, Kind, Watch};
use routelet::cluster::{ObjectSet, Reading};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::server::TestServer;

/// Longer than anything takes that works.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub const NODE: Kind = Kind::Node;
pub const NODES: &str = "/api/v1/nodes";
pub const PEERS: &str = "/apis/routelet.dev/v1alpha1/bgppeers";
pub const CONFIGURATIONS: &str = "/apis/routelet.dev/v1alpha1/bgpconfigurations";
pub const SECRETS: &str = "/api/v1/namespaces/routelet/secrets";

/// A directory that goes when the test does.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("routelet-api-server-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server with the configuration `default` and two nodes, and room for a daemon's state.
pub struct Rig {
    pub server: TestServer,
    pub directory: Scratch,
}

impl Rig {
    pub fn new() -> Rig {
        let server = TestServer::start();
        server.put(configuration());
        server.put(node(1));
        server.put(node(2));
        Rig { server, directory: Scratch::new() }
    }

    /// What node1 watches. A watch that is dropped is a daemon that was killed.
    pub async fn watch(&self) -> Observed {
        let kubeconfig = self.server.kubeconfig(&self.directory.0);
        let server = api_server::connect(Some(&kubeconfig), None).await.unwrap();
        let watch = server.watch("node1", self.state_dir()).unwrap();
        Observed { watch, last: Reading::default() }
    }

    /// Waits for a condition.
    pub async fn eventually(&self, what: &str, condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(DEADLINE, wait).await.is_ok(), "never: {what}");
    }

    pub fn state_dir(&self) -> PathBuf {
        self.directory.0.join("state")
    }

    pub fn cache(&self) -> PathBuf {
        self.state_dir().join(api_server::FILE_NAME)
    }
}

/// A watch, and what it has shown.
pub struct Observed {
    pub watch: Watch,
    pub last: Reading,
}

impl Observed {
    /// The next reading.
    pub async fn next(&mut self) -> &Reading {
        let next = timeout(DEADLINE, self.watch.next()).await.expect("nothing new is handed over");
        self.last = next.unwrap();
        &self.last
    }

    /// Reads until the set is as wanted.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&ObjectSet) -> bool) -> &Reading {
        let found = timeout(DEADLINE, async {
            while !wanted(&self.last.objects) {
                self.last = self.watch.next().await.unwrap();
            }
        });
        assert!(found.await.is_ok(), "not seen: {what}; seen: {:?}", self.last);
        &self.last
    }

    /// Names of the nodes in the next reading that has these.
    pub async fn until_nodes(&mut self, names: &[&str]) {
        self.until(&format!("{names:?}"), |objects| objects.nodes.keys().eq(names.iter())).await;
    }

    /// That nothing new is handed over for a while.
    pub async fn assert_quiet(&mut self) {
        let came = timeout(Duration::from_millis(600), self.watch.next()).await;
        assert!(came.is_err(), "{came:?}");
    }

    /// Waits until the watches stand as wanted.
    pub async fn until_health(&self, what: &str, wanted: impl Fn(&Health) -> bool) -> Health {
        let mut health = self.watch.health();
        let found = timeout(DEADLINE, health.wait_for(|health| wanted(health)));
        match found.await {
            Ok(found) => found.unwrap().clone(),
            Err(_) => panic!("not so: {what}; but {:?}", self.watch.health().borrow()),
        }
    }
}

pub fn configuration() -> Value {
    json!({
        "apiVersion": "routelet.dev/v1alpha1", "kind": "BgpConfiguration", "metadata": {"name": "default"},
        "spec": {"asn": 64512},
    })
}

/// A Node of the reference cluster, with what else a real one has.
pub fn node(number: usize) -> Value {
    let [high, low] = [number / 250, number % 250];
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": format!("node{number}"), "labels": {"kubernetes.io/hostname": format!("node{number}")},
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {}}}],
        },
        "spec": {"podCIDRs": [format!("10.{}.{low}.0/24", 100 + high)], "providerID": "kind://docker"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": format!("192.168.{high}.{}", low + 1)},
                {"type": "Hostname", "address": format!("node{number}")},
            ],
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-11-01T00:00:00Z"}],
            "aFieldOfALaterKubernetes": {"x": 1},
        },
    })
}

pub fn peer(name: &str, address: &str, secret: Option<&str>) -> Value {
    let mut spec = json!({"address": address, "asn": 65000});
    if let Some(secret) = secret {
        spec["passwordSecretRef"] = json!({"name": secret, "key": "password"});
    }
    json!({"apiVersion": "routelet.dev/v1alpha1", "kind": "BgpPeer", "metadata": {"name": name}, "spec": spec})
}

/// A Secret with the password `secret`.
pub fn secret(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "routelet"},
        "data": {"password": "c2VjcmV0"},
    })
}
