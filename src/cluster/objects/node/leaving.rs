//! By what a Node shows that it leaves the cluster, for a while or for good.
//!
//! Kubernetes has no one word for it. Each sign stands for a different moment in the life of a node, and
//! what matters to routing is whether pods that run there are still to be reached: see [`Leaving::ends_pods`].

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::core::v1 as k8s;
use serde_json::{Value, json};

use crate::cluster::objects::Problems;

/// Annotation of a Node by which a person asks for a drain, with the value `true`.
pub const DRAIN_ANNOTATION: &str = "routelet.dev/drain";

/// What a kubelet puts into its Ready condition during a graceful shutdown
/// (`pkg/kubelet/nodeshutdown`), among other sentences.
const SHUTTING_DOWN: &str = "node is shutting down";
/// Taints of those who scale clusters down. Pods are evicted after them, and run until then.
const SCALING_DOWN: [&str; 2] = ["ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted"];
/// Taints that say, by a cloud's controller and by a person, that nothing runs there any more.
const OUT_OF_SERVICE: [&str; 2] =
    ["node.cloudprovider.kubernetes.io/shutdown", "node.kubernetes.io/out-of-service"];

/// One sign that a node leaves, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaving {
    /// `spec.unschedulable`: no new pods come. Those that run may stay for days.
    Cordoned,
    /// A taint of an autoscaler: pods are evicted, then the machine goes.
    ScaledDown,
    /// `metadata.deletionTimestamp`. The object goes when its finalizers are done; some of them evict pods
    /// first.
    Deleted,
    /// The kubelet says that the machine shuts down: it ends pods, ours among the last.
    ShuttingDown,
    /// A taint says that nothing runs here.
    OutOfService,
    /// Somebody has asked for a drain, by [`DRAIN_ANNOTATION`].
    Drained,
}

impl Leaving {
    /// Whether nobody counts on pods that run there any more. With the other signs they run to their end
    /// and are to be reached till then.
    pub fn ends_pods(self) -> bool {
        self >= Leaving::OutOfService
    }

    /// Whether a daemon that is told to end then is not to be started again soon.
    pub fn ends_daemon(self) -> bool {
        self >= Leaving::ScaledDown
    }

    /// Puts the sign into a manifest of a Node, by what [`Leaving`] is read from.
    pub(in crate::cluster) fn show(self, node: &mut Value) {
        let mut taint = |key: &str| match node.pointer_mut("/spec/taints").and_then(Value::as_array_mut) {
            Some(taints) => taints.push(json!({"key": key, "effect": "NoExecute"})),
            None => node["spec"]["taints"] = json!([{"key": key, "effect": "NoExecute"}]),
        };
        match self {
            Leaving::Cordoned => node["spec"]["unschedulable"] = json!(true),
            Leaving::ScaledDown => taint(SCALING_DOWN[0]),
            Leaving::Deleted => node["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:00Z"),
            Leaving::ShuttingDown => {
                let condition = json!({"type": "Ready", "status": "False", "message": SHUTTING_DOWN});
                node["status"]["conditions"] = json!([condition]);
            }
            Leaving::OutOfService => taint(OUT_OF_SERVICE[0]),
            Leaving::Drained => node["metadata"]["annotations"][DRAIN_ANNOTATION] = json!("true"),
        }
    }

    /// All signs on a Node.
    pub(super) fn signs(node: &k8s::Node, problems: &mut Problems) -> BTreeSet<Leaving> {
        let spec = node.spec.as_ref();
        let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let tainted = |keys: &[&str]| taints.iter().any(|taint| keys.contains(&taint.key.as_str()));
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
        let shuts_down = |condition: &k8s::NodeCondition| {
            let says_so = |text: &String| text.contains(SHUTTING_DOWN);
            condition.type_ == "Ready"
                && condition.status != "True"
                && condition.message.as_ref().is_some_and(says_so)
        };
        let annotation = node.metadata.annotations.as_ref().and_then(|all| all.get(DRAIN_ANNOTATION));
        let drained = match annotation.map(String::as_str) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let text = format!("{other:?} is neither \"true\" nor \"false\"");
                problems.add(format!("metadata.annotations.{DRAIN_ANNOTATION}"), text);
                false
            }
        };
        let signs = [
            (Leaving::Cordoned, spec.is_some_and(|spec| spec.unschedulable == Some(true))),
            (Leaving::ScaledDown, tainted(&SCALING_DOWN)),
            (Leaving::Deleted, node.metadata.deletion_timestamp.is_some()),
            (Leaving::ShuttingDown, conditions.unwrap_or_default().iter().any(shuts_down)),
            (Leaving::OutOfService, tainted(&OUT_OF_SERVICE)),
            (Leaving::Drained, drained),
        ];
        signs.into_iter().filter_map(|(sign, shown)| shown.then_some(sign)).collect()
    }
}

/// Whether the Ready condition says no, or that nobody knows. A Node without one is not looked after by a kubelet.
pub(super) fn is_unready(node: &k8s::Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default().iter().any(|c| c.type_ == "Ready" && c.status != "True")
}

impl fmt::Display for Leaving {
    /// What is the case with the node, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Leaving::Cordoned => f.write_str("the Node is cordoned"),
            Leaving::ScaledDown => f.write_str("an autoscaler removes the Node"),
            Leaving::Deleted => f.write_str("the Node is being deleted"),
            Leaving::ShuttingDown => f.write_str("the machine shuts down"),
            Leaving::OutOfService => f.write_str("the Node is tainted as out of service"),
            Leaving::Drained => write!(f, "the Node is annotated with {DRAIN_ANNOTATION}"),
        }
    }
}
