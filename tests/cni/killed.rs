//! SIGKILL at any moment of an ADD or a DEL, then a DEL: nothing is left.

use std::process::Child;
use std::time::{Duration, Instant};

use super::rig::{Namespace, Node};

const ROUNDS: u32 = 60;

/// Kills after `delay`, and waits until the kernel has done what the process had asked of it.
fn kill_after(mut child: Child, delay: Duration) -> bool {
    #[allow(clippy::disallowed_methods, reason = "the moment of death is what is being tried out")]
    std::thread::sleep(delay);
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

/// How long a call takes here, at the least.
#[allow(clippy::disallowed_methods, reason = "a measurement")]
fn duration(call: impl Fn()) -> Duration {
    let measure = || {
        let start = Instant::now();
        call();
        start.elapsed()
    };
    (0..3).map(|_| measure()).min().unwrap()
}

#[tokio::test]
async fn a_killed_add_leaves_nothing_that_del_does_not_find() {
    let (node, pod) = (Node::new(), Namespace::new());
    let conf = node.dual_stack();
    let whole = duration(|| {
        node.add("c1", &pod, &conf).result();
        node.del("c1", &pod, &conf).result();
    });
    let (mut killed, mut half_done) = (0, 0);
    for round in 0..ROUNDS {
        let child = node.spawn("ADD", "c1", &pod.path(), &conf);
        killed += u32::from(kill_after(child, whole * round / ROUNDS));
        half_done += u32::from(!node.traces().await.is_empty());
        // With and without the namespace, as runtimes do.
        let netns = if round % 2 == 0 { pod.path() } else { String::new() };
        node.call("DEL", "c1", &netns, &conf).result();
        assert_eq!(node.traces().await, [""; 0], "round {round}");
        assert_eq!(pod.names().await, ["lo"], "round {round}");
    }
    assert!(killed > 5 && half_done > 5, "killed {killed}, of which {half_done} half done");
    node.add("c1", &pod, &conf).result();
}

#[tokio::test]
async fn a_killed_del_is_finished_by_the_next() {
    let (node, pod) = (Node::new(), Namespace::new());
    let conf = node.dual_stack();
    let whole = duration(|| {
        node.del("c1", &pod, &conf).result();
    });
    for round in 0..ROUNDS {
        node.add("c1", &pod, &conf).result();
        kill_after(node.spawn("DEL", "c1", &pod.path(), &conf), whole * 2 * round / ROUNDS);
        node.call("DEL", "c1", "", &conf).result();
        assert_eq!(node.traces().await, [""; 0], "round {round}");
        assert_eq!(pod.names().await, ["lo"], "round {round}");
    }
}
