//! What a daemon writes into its own Node once it can take pods: each word once, and nobody else's lost.

use std::time::Duration;

use routelet::cluster::api_server;
use routelet::cluster::own_node::{Word, tell};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::faults::Fault;
use crate::rig::{NODES, Rig, node};
use crate::server::Recorded;

const TAINT: &str = "routelet.dev/agent-not-ready";
const FOREIGN: &str = "example.com/maintenance";

/// A daemon's part that writes, and a server.
struct Scene {
    rig: Rig,
    word: watch::Sender<Word>,
    task: JoinHandle<()>,
}

impl Scene {
    /// node1 with these taints and, if there is one, this status of the condition. It cannot take pods yet.
    async fn new(taints: &[&str], condition: Option<&str>) -> Scene {
        let rig = Rig::new();
        let mut object = node(1);
        object["spec"]["taints"] = tainted(taints);
        if let Some(status) = condition {
            let condition =
                json!({"type": "NetworkUnavailable", "status": status, "reason": "NoRouteCreated"});
            object["status"]["conditions"].as_array_mut().unwrap().push(condition);
        }
        rig.server.put(object);
        let kubeconfig = rig.server.kubeconfig(&rig.directory.0);
        let client = api_server::connect(Some(&kubeconfig), None).await.unwrap().client().unwrap();
        let (word, heard) = watch::channel(Word::default());
        let task = tokio::spawn(tell(client, "node1".to_owned(), heard));
        Scene { rig, word, task }
    }

    fn ready(&self) {
        self.word.send_replace(Word { ready: true, startup_taint: Some(TAINT.to_owned()) });
    }

    fn object(&self) -> Value {
        self.rig.server.object(&path()).unwrap()
    }

    fn taints(&self) -> Vec<String> {
        let object = self.object();
        let taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
        taints.iter().map(|taint| taint["key"].as_str().unwrap().to_owned()).collect()
    }

    /// The condition of a type, if it is there.
    fn condition(&self, kind: &str) -> Option<Value> {
        let conditions = self.object()["status"]["conditions"].as_array().cloned().unwrap();
        conditions.into_iter().find(|condition| condition["type"] == kind)
    }

    /// That both words stand, and the foreign taint as well.
    async fn until_told(&self) {
        let told = || {
            let condition = self.condition("NetworkUnavailable");
            condition.is_some_and(|c| c["status"] == "False") && self.taints() == [FOREIGN]
        };
        self.rig.eventually("both words, and the foreign taint", told).await;
    }

    fn patches(&self) -> Vec<Recorded> {
        self.rig.server.requests().into_iter().filter(|request| request.method == "PATCH").collect()
    }

    /// That nothing is written for a while.
    async fn assert_quiet(&self) {
        let before = self.patches().len();
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(self.patches().len(), before, "{:?}", self.patches());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn path() -> String {
    format!("{NODES}/node1")
}

fn tainted(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({"key": key, "effect": "NoSchedule"})).collect()
}

#[tokio::test]
async fn each_word_is_written_once_and_nothing_before_the_node_can_take_pods() {
    let scene = Scene::new(&[FOREIGN, TAINT], Some("True")).await;
    scene.rig.eventually("a watch", || scene.rig.server.count(NODES, "watch") > 0).await;
    scene.assert_quiet().await;
    assert_eq!(scene.patches().len(), 0);
    scene.ready();
    scene.until_told().await;
    let condition = scene.condition("NetworkUnavailable").unwrap();
    assert_eq!(condition["reason"], "RouteletIsUp");
    assert!(scene.condition("Ready").is_some_and(|ready| ready["status"] == "True"), "it is the kubelet's");
    // What a kubelet writes means nothing.
    let mut heartbeat = scene.object()["status"]["conditions"].clone();
    heartbeat[0]["lastHeartbeatTime"] = json!("2026-11-01T00:05:00Z");
    scene.rig.server.merge(&path(), &json!({"status": {"conditions": heartbeat}}));
    scene.word.send_replace(Word::default());
    scene.ready();
    scene.assert_quiet().await;
    let written: Vec<String> = scene.patches().into_iter().map(|request| request.path).collect();
    assert_eq!(written, [format!("{}/status", path()), path()]);
}

#[tokio::test]
async fn what_somebody_undoes_is_written_again() {
    let scene = Scene::new(&[FOREIGN, TAINT], None).await;
    scene.ready();
    scene.until_told().await;
    scene.rig.server.merge(&path(), &json!({"spec": {"taints": tainted(&[FOREIGN, TAINT])}}));
    scene.until_told().await;
    assert_eq!(scene.patches().len(), 3);
}

#[tokio::test]
async fn a_taint_that_comes_while_ours_goes_survives() {
    let scene = Scene::new(&[TAINT], Some("False")).await;
    // The list is on its way when there is another.
    scene.rig.server.fail_times(&path(), Fault::Slow(Duration::from_millis(500)), 1);
    scene.ready();
    scene.rig.eventually("a write", || scene.patches().len() == 1).await;
    scene.rig.server.merge(&path(), &json!({"spec": {"taints": tainted(&[TAINT, FOREIGN])}}));
    scene.until_told().await;
    let versions: Vec<Value> = scene
        .patches()
        .into_iter()
        .map(|request| request.body["metadata"]["resourceVersion"].clone())
        .collect();
    assert_eq!(versions.len(), 2, "the first was refused");
    assert_ne!(versions[0], versions[1]);
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_and_not_in_a_hurry() {
    let scene = Scene::new(&[FOREIGN, TAINT], None).await;
    let status = format!("{}/status", path());
    scene.rig.server.fail_times(&status, Fault::Status(503, "not now"), 2);
    let begun = tokio::time::Instant::now();
    scene.ready();
    scene.until_told().await;
    assert!(begun.elapsed() >= Duration::from_secs(3), "after 1 s, then 2 s");
    assert_eq!(scene.patches().iter().filter(|request| request.path == status).count(), 3);
}
