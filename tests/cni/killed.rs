//! SIGKILL at every system call of ADD, DEL, GC and CHECK, then what runtimes do next: nothing is
//! left, and the node goes on.

use std::path::Path;

use serde_json::{Value, json};

use super::rig::{Namespace, Node, PLUGIN};
use super::steps::{self, Fault, Hit, Run};

/// What comes after a call that was killed. Each ends with nothing left of the attachment.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// DEL, as it should be.
    Del,
    /// DEL as containerd calls it the second time: `CNI_NETNS` is empty.
    DelWithoutNamespace,
    /// The runtime dies with its call, and asks for the pod again. Whatever comes of it, a DEL follows.
    AddAgain,
    /// GC with no valid attachment.
    Collect,
    /// The pod's namespace ends; DEL names what is no longer there.
    NamespaceGone,
}

const EVERY: [Next; 5] =
    [Next::Del, Next::DelWithoutNamespace, Next::AddAgain, Next::Collect, Next::NamespaceGone];

/// A container that is attached again and again.
struct Scene {
    node: Node,
    pod: Namespace,
    conf: Value,
}

impl Scene {
    fn new(conf: fn(&Node) -> Value) -> Scene {
        let (node, pod) = (Node::new(), Namespace::new());
        let conf = conf(&node);
        Scene { node, pod, conf }
    }

    /// A call that is killed at a boundary.
    fn killed(&self, verb: &str, conf: &Value, at: usize, fault: Fault) -> Option<Hit> {
        let child = self.node.start(self.node.command(Path::new(PLUGIN), verb, "c1", &self.pod.path()));
        let Run { hit, output } = steps::run(child, conf.to_string().as_bytes(), at, fault);
        // What dies on its way must not have said that it succeeded, but for the very last step.
        assert!(hit.is_some() || output.status.success(), "{verb}: {output:?}");
        hit
    }

    async fn recover(&mut self, next: Next, hit: Hit) {
        let of = |verb: &str, netns: &str| self.node.call(verb, "c1", netns, &self.conf);
        match next {
            Next::Del => drop(of("DEL", &self.pod.path()).result()),
            Next::DelWithoutNamespace => drop(of("DEL", "").result()),
            Next::AddAgain => {
                let answer = of("ADD", &self.pod.path());
                if answer.success {
                    self.must_be_whole(answer.document);
                } else {
                    assert_eq!(answer.error().0, 102, "{hit}");
                }
                of("DEL", &self.pod.path()).result();
            }
            Next::Collect => {
                let mut conf = self.conf.clone();
                conf["cniVersion"] = json!("1.1.0");
                conf["cni.dev/valid-attachments"] = json!([]);
                self.node.call("GC", "", "", &conf).result();
            }
            Next::NamespaceGone => {
                let path = self.pod.path();
                self.pod = Namespace::new();
                self.node.call("DEL", "c1", &path, &self.conf).result();
            }
        }
        assert_eq!(self.node.traces().await, [""; 0], "{next:?} after the kill {hit}");
        // GC releases nothing where nothing is held. It is one file, which the next call takes away.
        let debris = self.node.debris();
        let tolerated = matches!(next, Next::Collect) && debris == [".new"];
        assert!(debris.is_empty() || tolerated, "{next:?} after the kill {hit}: {debris:?}");
        assert_eq!(self.pod.names().await, ["lo"], "{next:?} after the kill {hit}");
    }

    /// The pod is as the result says.
    fn must_be_whole(&self, result: Value) {
        let mut conf = self.conf.clone();
        conf["prevResult"] = result;
        if conf["cniVersion"] == "0.3.1" {
            conf["cniVersion"] = json!("0.4.0");
        }
        self.node.call("CHECK", "c1", &self.pod.path(), &conf).result();
    }

    fn whole_add(&self, hit: Hit) {
        let answer = self.node.add("c1", &self.pod, &self.conf);
        assert!(answer.success, "the next ADD after the kill {hit}: {}", answer.document);
        self.must_be_whole(answer.document);
    }
}

/// Kills a call at every boundary. With `each`, everything that may follow is tried after each one;
/// else it takes turns.
async fn kill_everywhere(verb: &str, conf: fn(&Node) -> Value, fault: Fault, each: bool) {
    let mut scene = Scene::new(conf);
    for at in 0.. {
        let following = if each { &EVERY[..] } else { std::slice::from_ref(&EVERY[at % EVERY.len()]) };
        for next in following {
            if verb == "DEL" {
                scene.node.add("c1", &scene.pod, &scene.conf).result();
            }
            let Some(hit) = scene.killed(verb, &scene.conf, at, fault) else {
                assert!(at > 30, "{verb} made {at} system calls");
                return;
            };
            scene.recover(*next, hit).await;
            if at % EVERY.len() == 0 || !each {
                assert_eq!(scene.node.ruled(), [""; 0], "{next:?} after the kill {hit}");
            }
        }
    }
}

#[tokio::test]
async fn add_with_the_addresses_of_the_node() {
    kill_everywhere("ADD", Node::dual_stack, Fault::Kill, true).await;
}

#[tokio::test]
async fn add_with_rules() {
    kill_everywhere("ADD", Node::with_rules, Fault::Kill, false).await;
}

#[tokio::test]
async fn del_with_the_addresses_of_the_node() {
    kill_everywhere("DEL", Node::dual_stack, Fault::Kill, true).await;
}

/// DEL leaves a wait to a process of its own: either may die alone, or both at once.
#[tokio::test]
async fn del_with_all_its_processes() {
    kill_everywhere("DEL", Node::dual_stack, Fault::KillAll, false).await;
}

#[tokio::test]
async fn del_with_rules() {
    kill_everywhere("DEL", Node::with_rules, Fault::Kill, false).await;
}

/// The first ADD on a node makes the bridge: half of one must not stop the next.
#[tokio::test]
async fn the_first_add_on_a_node() {
    for at in 0.. {
        let mut scene = Scene::new(Node::dual_stack);
        let Some(hit) = scene.killed("ADD", &scene.conf, at, Fault::Kill) else { break };
        scene.recover(EVERY[at % EVERY.len()], hit).await;
        scene.whole_add(hit);
    }
}

#[tokio::test]
async fn gc() {
    let scene = Scene::new(Node::with_rules);
    let other = Namespace::new();
    let mut kept = scene.conf.clone();
    kept["runtimeConfig"] = json!({"portMappings": [{"hostPort": 9090, "containerPort": 90}]});
    kept["prevResult"] = scene.node.add("kept", &other, &kept).result();
    let (traces, ruled) = (scene.node.traces().await, scene.node.ruled());
    assert!(!ruled.is_empty());
    let mut collect = scene.conf.clone();
    collect["cni.dev/valid-attachments"] = json!([{"containerID": "kept", "ifname": "eth0"}]);
    for at in 0.. {
        scene.node.add("c1", &scene.pod, &scene.conf).result();
        let Some(hit) = scene.killed("GC", &collect, at, Fault::Kill) else { break };
        if at % 2 == 0 {
            scene.node.call("GC", "", "", &collect).result();
        } else {
            scene.node.del("c1", &scene.pod, &scene.conf).result();
        }
        assert_eq!(scene.node.traces().await, traces, "{hit}");
        assert_eq!(scene.node.ruled(), ruled, "{hit}");
        scene.node.call("CHECK", "kept", &other.path(), &kept).result();
    }
    scene.node.del("c1", &scene.pod, &scene.conf).result();
    assert_eq!(scene.node.traces().await, traces);
}

#[tokio::test]
async fn check_and_status_change_nothing() {
    let scene = Scene::new(Node::dual_stack);
    let mut conf = scene.conf.clone();
    conf["prevResult"] = scene.node.add("c1", &scene.pod, &scene.conf).result();
    let before = scene.node.traces().await;
    for verb in ["CHECK", "STATUS"] {
        for at in 0.. {
            let Some(hit) = scene.killed(verb, &conf, at, Fault::Kill) else { break };
            assert_eq!(scene.node.traces().await, before, "{verb}, {hit}");
            scene.node.call("CHECK", "c1", &scene.pod.path(), &conf).result();
        }
    }
}
