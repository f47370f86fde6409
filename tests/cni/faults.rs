//! Every system call of the plugin fails, one at a time and in several ways: it says so in one
//! document, never reports a success that is none, and leaves nothing behind that DEL does not find.
//!
//! Memory is left out: a process that gets none ends, and then it was killed (`killed`). So are the
//! calls by which it ends, and setns(2): a thread that cannot come back from the pod ends the process.

use std::path::Path;

use nix::errno::Errno;
use serde_json::{Value, json};

use super::rig::{Namespace, Node, PLUGIN};
use super::steps::{self, Fault, Hit};

const ERRORS: [Errno; 4] = [Errno::EIO, Errno::ENOSPC, Errno::ENOMEM, Errno::EINTR];

/// Linux on x86-64.
mod number {
    pub const WRITE: u64 = 1;
    /// mmap, mprotect, munmap, brk, mremap, madvise.
    pub const OF_MEMORY: [u64; 6] = [9, 10, 11, 12, 25, 28];
    /// exit, exit_group, setns.
    pub const OF_THE_END: [u64; 3] = [60, 231, 308];
}

struct Scene {
    node: Node,
    pod: Namespace,
    conf: Value,
}

/// What came of a call that met an error.
struct Outcome {
    hit: Hit,
    errno: Errno,
    success: bool,
    document: Value,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {}, answer {}", self.hit, self.errno, self.document)
    }
}

impl Scene {
    fn new(conf: fn(&Node) -> Value) -> Scene {
        let (node, pod) = (Node::new(), Namespace::new());
        let conf = conf(&node);
        Scene { node, pod, conf }
    }

    /// A call with one error on the way. `None` when it makes fewer system calls; `Some(None)` when
    /// that one is left out.
    fn faulty(&self, verb: &str, conf: &Value, at: usize, errno: Errno) -> Option<Option<Outcome>> {
        let child = self.node.start(self.node.command(Path::new(PLUGIN), verb, "c1", &self.pod.path()));
        let run = steps::run(child, conf.to_string().as_bytes(), at, Fault::Fail(errno));
        let hit = run.hit?;
        if number::OF_MEMORY.contains(&hit.number) || number::OF_THE_END.contains(&hit.number) {
            return Some(None);
        }
        let stderr = String::from_utf8_lossy(&run.output.stderr).into_owned();
        assert_eq!(stderr, "", "{verb}: {hit} with {errno}");
        let success = run.output.status.success();
        assert!(run.output.status.code().is_some(), "{verb}: {hit} with {errno}: {:?}", run.output.status);
        let mute = hit.number == number::WRITE && hit.argument == 1;
        let document = match run.output.stdout.as_slice() {
            b"" => Value::Null,
            text => serde_json::from_slice(text).unwrap(),
        };
        let outcome = Outcome { hit, errno, success, document };
        if !success && !mute {
            outcome.must_be_an_error(verb);
        }
        Some(Some(outcome))
    }

    /// While the pod has its link or its rules, its address is nobody else's.
    async fn must_not_free_what_answers(&self, outcome: &Outcome) {
        let traces = self.node.traces().await;
        let is_there = traces.iter().any(|trace| trace.starts_with("veth")) || !self.node.ruled().is_empty();
        assert!(!is_there || !self.node.reservations().is_empty(), "{outcome}: {traces:?}");
    }
}

impl Outcome {
    fn must_be_an_error(&self, verb: &str) {
        assert!(self.document["code"].as_u64().is_some_and(|code| code > 0), "{verb}: {self}");
        let text = |key: &str| self.document[key].as_str().unwrap_or_default().to_owned();
        assert!(!text("msg").is_empty(), "{verb}: {self}");
        // A person has to see what it was, wherever the plugin passes it on.
        let told = format!("{} {}", text("msg"), text("details"));
        assert!(told.len() > 20, "{verb}: {self}");
    }
}

/// Each boundary with each error, without end.
fn everywhere() -> impl Iterator<Item = (usize, Errno)> {
    (0..).flat_map(|at| ERRORS.map(|errno| (at, errno)))
}

/// Each boundary with one of the errors, without end.
fn in_turns() -> impl Iterator<Item = (usize, Errno)> {
    (0..).zip(ERRORS.into_iter().cycle())
}

/// ADD either fails, and leaves nothing that DEL does not find, or the pod is whole.
async fn add(conf: fn(&Node) -> Value, faults: impl Iterator<Item = (usize, Errno)>) {
    let scene = Scene::new(conf);
    let Scene { node, pod, conf } = &scene;
    let mut failures = 0;
    for (at, errno) in faults {
        let Some(outcome) = scene.faulty("ADD", conf, at, errno) else { break };
        if let Some(outcome) = outcome {
            if outcome.success {
                let mut check = conf.clone();
                check["prevResult"] = outcome.document.clone();
                let answer = node.call("CHECK", "c1", &pod.path(), &check);
                assert!(answer.success, "{outcome}: {}", answer.document);
            } else {
                failures += 1;
                scene.must_not_free_what_answers(&outcome).await;
            }
            node.del("c1", pod, conf).result();
            assert_eq!(node.traces().await, [""; 0], "{outcome}");
            assert_eq!(pod.names().await, ["lo"], "{outcome}");
            assert_eq!(node.ruled(), [""; 0], "{outcome}");
        } else {
            node.del("c1", pod, conf).result();
        }
    }
    assert!(failures > 20, "{failures}");
}

#[tokio::test]
async fn add_with_the_addresses_of_the_node() {
    add(Node::dual_stack, everywhere()).await;
}

#[tokio::test]
async fn add_with_rules() {
    add(Node::with_rules, in_turns()).await;
}

#[tokio::test]
async fn del() {
    let scene = Scene::new(Node::with_rules);
    let Scene { node, pod, conf } = &scene;
    for (at, errno) in in_turns() {
        let _ = node.add("c1", pod, conf);
        let Some(outcome) = scene.faulty("DEL", conf, at, errno) else { break };
        let Some(outcome) = outcome else { continue };
        scene.must_not_free_what_answers(&outcome).await;
        if !outcome.success {
            // Without the namespace: by then, it is gone for the runtime.
            node.call("DEL", "c1", "", conf).result();
        }
        assert_eq!(node.traces().await, [""; 0], "{outcome}");
        assert_eq!(pod.names().await, ["lo"], "{outcome}");
        assert_eq!(node.ruled(), [""; 0], "{outcome}");
    }
}

#[tokio::test]
async fn gc() {
    let scene = Scene::new(Node::with_rules);
    let Scene { node, pod, conf } = &scene;
    let mut collect = conf.clone();
    collect["cni.dev/valid-attachments"] = json!([]);
    for (at, errno) in in_turns() {
        let _ = node.add("c1", pod, conf);
        let Some(outcome) = scene.faulty("GC", &collect, at, errno) else { break };
        let Some(outcome) = outcome else { continue };
        scene.must_not_free_what_answers(&outcome).await;
        if !outcome.success {
            node.call("GC", "", "", &collect).result();
        }
        assert_eq!(node.traces().await, [""; 0], "{outcome}");
        assert_eq!(node.ruled(), [""; 0], "{outcome}");
    }
}

/// What only looks has to say that it could not look, and has to leave things alone.
#[tokio::test]
async fn check_and_status() {
    let scene = Scene::new(Node::dual_stack);
    let Scene { node, pod, conf } = &scene;
    let mut conf = conf.clone();
    conf["prevResult"] = node.add("c1", pod, &conf).result();
    let before = node.traces().await;
    for verb in ["CHECK", "STATUS"] {
        for (at, errno) in everywhere() {
            let Some(outcome) = scene.faulty(verb, &conf, at, errno) else { break };
            let Some(outcome) = outcome else { continue };
            assert_eq!(node.traces().await, before, "{outcome}");
        }
    }
    node.call("CHECK", "c1", &pod.path(), &conf).result();
}
