//! What is written into our own Node, and when.

use super::*;

const TAINT: &str = "routelet.dev/agent-not-ready";

fn word() -> Word {
    Word { ready: true, startup_taint: Some(TAINT.to_owned()) }
}

fn node(taints: &[&str], condition: Option<&str>) -> k8s::Node {
    let taints: Vec<Value> = taints.iter().map(|key| json!({"key": key, "effect": "NoSchedule"})).collect();
    let conditions: Vec<Value> =
        condition.iter().map(|status| json!({"type": CONDITION, "status": status})).collect();
    serde_json::from_value(json!({
        "metadata": {"name": "node1"}, "spec": {"taints": taints}, "status": {"conditions": conditions},
    }))
    .unwrap()
}

/// Whether the condition is to be written, and which taints are to be left.
fn left(node: &k8s::Node, word: &Word) -> (bool, Option<Vec<String>>) {
    let Left { condition, taints } = Left::of(node, word);
    (condition, taints.map(|taints| taints.into_iter().map(|taint| taint.key).collect()))
}

#[test]
fn what_is_left_to_be_written() {
    let none = || None;
    for (node, condition, taints) in [
        (node(&[], None), true, none()),
        (node(&[], Some("True")), true, none()),
        (node(&[], Some("Unknown")), true, none()),
        // Whoever has said so: a second writer would only quarrel about the reason.
        (node(&[], Some("False")), false, none()),
        (node(&[TAINT], Some("False")), false, Some(vec![])),
        (node(&["a", TAINT, "b"], Some("True")), true, Some(vec!["a".to_owned(), "b".to_owned()])),
        (node(&["a"], Some("False")), false, none()),
        (k8s::Node::default(), true, none()),
    ] {
        assert_eq!(left(&node, &word()), (condition, taints), "{node:?}");
    }
}

#[test]
fn a_node_that_cannot_forward_is_told_nothing_and_without_a_taint_none_goes() {
    let node = node(&[TAINT], Some("True"));
    assert!(Left::of(&node, &Word { ready: false, ..word() }).is_nothing());
    assert_eq!(left(&node, &Word { startup_taint: None, ..word() }), (true, None));
}

#[test]
fn attempts_become_rare_and_a_long_rest_makes_up_for_them() {
    let begin = Instant::now();
    let mut pauses = Pauses::new(begin);
    let (mut now, mut attempts) = (begin, 0);
    while now - begin < Duration::from_secs(3600) {
        now = pauses.next;
        pauses.note(now, true);
        pauses.attempt(now);
        attempts += 1;
    }
    assert_eq!(attempts, 21, "in an hour");
    // Undone soon after it was written: that is the same quarrel.
    pauses.note(now, false);
    pauses.note(now + Duration::from_secs(60), true);
    assert_eq!(pauses.pause, PAUSE_MOST);
    pauses.note(now, false);
    pauses.note(now + REST, true);
    assert_eq!(pauses.pause, PAUSE);
}
