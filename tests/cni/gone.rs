//! DEL ends when the link is gone, while the kernel has still to tidy up behind it: what follows at once
//! must not notice.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::rig::{Namespace, Node, answer};

const ROUNDS: usize = 100;

#[tokio::test]
async fn an_add_may_follow_at_once() {
    let (node, pod) = (Node::new(), Namespace::new());
    let conf = node.dual_stack();
    for round in 0..ROUNDS {
        let result = node.add("c1", &pod, &conf).result();
        assert_eq!(result["interfaces"][2]["name"], "eth0", "round {round}");
        node.del("c1", &pod, &conf).result();
        assert!(pod.link("eth0").await.is_none(), "round {round}");
    }
    assert_eq!(node.traces().await, [""; 0]);
}

#[tokio::test]
async fn the_namespace_may_end_at_once() {
    let node = Node::new();
    let conf = node.dual_stack();
    for _ in 0..ROUNDS {
        let pod = Namespace::new();
        node.add("c1", &pod, &conf).result();
        node.del("c1", &pod, &conf).result();
        drop(pod);
    }
    assert_eq!(node.traces().await, [""; 0]);
}

/// The child that asks the kernel is killed as soon as it is seen.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a deadline for what is polled")]
async fn a_killed_child_is_made_up_for() {
    let (node, pod) = (Node::new(), Namespace::new());
    let conf = node.dual_stack();
    let mut killed = 0;
    for round in 0..ROUNDS {
        node.add("c1", &pod, &conf).result();
        let del = node.spawn("DEL", "c1", &pod.path(), &conf);
        let children = format!("/proc/{0}/task/{0}/children", del.id());
        let deadline = Instant::now() + Duration::from_secs(5);
        // Ends when the plugin has: its file stays, as it has not been waited for, and names nobody.
        while let Ok(text) = fs::read_to_string(&children) {
            if let Some(child) = text.split_whitespace().next() {
                let child = Pid::from_raw(child.parse().unwrap());
                killed += usize::from(kill(child, Signal::SIGKILL).is_ok());
                break;
            }
            let state = fs::read_to_string(format!("/proc/{}/stat", del.id())).unwrap_or_default();
            if state.contains(") Z ") || Instant::now() > deadline {
                break;
            }
        }
        answer(del.wait_with_output().unwrap()).result();
        assert!(pod.link("eth0").await.is_none(), "round {round}");
        assert_eq!(node.traces().await, [""; 0], "round {round}");
    }
    assert!(killed > 0, "no child was ever seen");
}
