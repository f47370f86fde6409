//! What is read of a Node, and what of it is refused.

use serde_json::json;

use super::*;
use crate::cluster::objects::Object;

fn read(object: serde_json::Value) -> Node {
    let object: k8s::Node = serde_json::from_value(object).unwrap();
    match Object::try_from(object).unwrap() {
        Object::Node(_, node) => node,
        other => panic!("{other}"),
    }
}

fn tainted(key: &str) -> serde_json::Value {
    json!({"metadata": {"name": "node1"}, "spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}})
}

/// A kubelet's Ready condition, at some heartbeat.
fn ready(status: &str, message: &str, heartbeat: &str) -> serde_json::Value {
    let condition = json!({
        "type": "Ready", "status": status, "message": message, "lastHeartbeatTime": heartbeat,
    });
    json!({"metadata": {"name": "node1"}, "status": {"conditions": [condition]}})
}

const MORNING: &str = "2026-01-01T06:00:00Z";

#[test]
fn each_sign_by_itself() {
    use Leaving::{Cordoned, Deleted, Drained, OutOfService, ScaledDown, ShuttingDown};
    let named = |metadata: serde_json::Value| json!({"metadata": metadata});
    let deleted = json!({"name": "node1", "deletionTimestamp": MORNING});
    let annotated =
        |value: &str| json!({"name": "node1", "annotations": {(DRAIN_ANNOTATION.to_owned()): value}});
    let ends = "[container runtime is down, node is shutting down]";
    for (object, expected) in [
        (named(json!({"name": "node1"})), None),
        (json!({"metadata": {"name": "node1"}, "spec": {"unschedulable": true}}), Some(Cordoned)),
        (json!({"metadata": {"name": "node1"}, "spec": {"unschedulable": false}}), None),
        (tainted("ToBeDeletedByClusterAutoscaler"), Some(ScaledDown)),
        (tainted("karpenter.sh/disrupted"), Some(ScaledDown)),
        // It may yet be used again.
        (tainted("DeletionCandidateOfClusterAutoscaler"), None),
        (named(deleted), Some(Deleted)),
        (ready("False", ends, MORNING), Some(ShuttingDown)),
        (ready("True", ends, MORNING), None),
        (ready("False", "container runtime is down", MORNING), None),
        (ready("Unknown", "Kubelet stopped posting node status.", MORNING), None),
        (tainted("node.cloudprovider.kubernetes.io/shutdown"), Some(OutOfService)),
        (tainted("node.kubernetes.io/out-of-service"), Some(OutOfService)),
        (tainted("node.kubernetes.io/not-ready"), None),
        (named(annotated("true")), Some(Drained)),
        (named(annotated("false")), None),
    ] {
        let text = object.to_string();
        let node = read(object);
        assert_eq!(node.leaving, expected.into_iter().collect(), "{text}");
        assert_eq!(node.leaves(), expected, "{text}");
        assert_eq!(node.unready, text.contains("\"False\"") || text.contains("\"Unknown\""), "{text}");
    }
}

#[test]
fn the_strongest_sign_counts_and_only_the_last_ones_end_pods() {
    let node = read(json!({
        "metadata": {"name": "node1", "deletionTimestamp": MORNING},
        "spec": {"unschedulable": true, "taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]},
    }));
    assert_eq!((node.leaving.len(), node.leaves()), (3, Some(Leaving::Deleted)));
    let of = |sign: Leaving| (sign.ends_daemon(), sign.ends_pods());
    assert_eq!(of(Leaving::Cordoned), (false, false), "it may come back, and its pods run");
    assert_eq!(of(Leaving::Deleted), (true, false), "whoever deletes it evicts its pods first");
    assert_eq!(of(Leaving::ShuttingDown), (true, false), "the kubelet ends pods, and our daemon after them");
    assert_eq!(of(Leaving::Drained), (true, true));
}

#[test]
fn heartbeats_and_the_annotations_of_others_make_no_difference() {
    let [morning, evening] = [MORNING, "2026-01-01T18:00:00Z"]
        .map(|heartbeat| read(ready("True", "kubelet is posting", heartbeat)));
    assert_eq!(morning, evening);
    let annotated = |value: &str| {
        let annotations = json!({"volumes.kubernetes.io/controller-managed-attach-detach": value});
        read(json!({"metadata": {"name": "node1", "annotations": annotations}}))
    };
    assert_eq!(annotated("1"), annotated("2"));
}

#[test]
fn a_drain_is_asked_for_or_it_is_not() {
    let annotations = json!({(DRAIN_ANNOTATION.to_owned()): "yes"});
    let object = json!({"metadata": {"name": "node1", "annotations": annotations}});
    let problems = Object::try_from(serde_json::from_value::<k8s::Node>(object).unwrap()).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["metadata.annotations.routelet.dev/drain: \"yes\" is neither \"true\" nor \"false\""]);
}

#[test]
fn what_is_written_down_is_read_back() {
    use Leaving::{Cordoned, Deleted, Drained, OutOfService, ScaledDown, ShuttingDown};
    let every = [Cordoned, ScaledDown, Deleted, ShuttingDown, OutOfService, Drained];
    for signs in [vec![], vec![Cordoned], vec![OutOfService], vec![Drained], every.to_vec()] {
        let mut object = json!({"metadata": {"name": "node1"}, "spec": {}, "status": {}});
        signs.iter().for_each(|sign| sign.show(&mut object));
        assert_eq!(read(object).leaving.into_iter().collect::<Vec<_>>(), signs);
    }
}
