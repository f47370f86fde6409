//! A server, a client, and time that runs as fast as the answers come.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use routelet::cluster::api_server;
use routelet::cluster::report::Seen;
use routelet::time::Instant;
use serde_json::{Value, json};

use crate::server::TestServer;

pub const STATUSES: &str = "/apis/routelet.dev/v1alpha1/bgpnodestatuses";
pub const PEERS: &str = "/apis/routelet.dev/v1alpha1/bgppeers";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/routelet/leases";
pub const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
/// How often a daemon looks.
pub const LOOK: Duration = Duration::from_secs(5);

/// A directory that goes when the test does.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub struct Rig {
    pub server: TestServer,
    directory: Scratch,
    now: Cell<Instant>,
}

impl Rig {
    /// A server with these nodes.
    pub fn new(nodes: &[&str]) -> Rig {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("routelet-report-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let server = TestServer::start();
        for node in nodes {
            server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}));
        }
        Rig { server, directory: Scratch(path), now: Cell::new(Instant::ORIGIN + LOOK) }
    }

    pub async fn client(&self) -> Client {
        let kubeconfig = self.server.kubeconfig(&self.directory.0);
        api_server::connect(Some(&kubeconfig), None).await.unwrap().client().unwrap()
    }

    pub fn now(&self) -> Instant {
        self.now.get()
    }

    pub fn wall(&self) -> Timestamp {
        let seconds = (self.now() - Instant::ORIGIN).as_secs();
        Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap()
    }

    /// Lets a look's time pass.
    pub fn pass(&self) {
        self.now.set(self.now() + LOOK);
    }

    /// How many requests of that method came to paths that begin so.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.server.requests().iter().filter(|r| r.method == method && r.path.starts_with(path)).count()
    }

    /// The status of an object.
    pub fn status(&self, path: &str) -> Value {
        self.server.object(path).map(|object| object["status"].clone()).unwrap_or_default()
    }
}

/// The message of a condition of a status.
pub fn message(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition["type"] == kind);
    found.map_or(String::new(), |condition| condition["message"].as_str().unwrap().to_owned())
}

/// A node that has this to complain of.
pub fn seen(trouble: &str) -> Seen {
    let errors = if trouble.is_empty() { vec![] } else { vec![trouble.to_owned()] };
    Seen { errors, ..Seen::default() }
}
