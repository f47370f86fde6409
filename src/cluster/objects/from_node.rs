//! A value that each node has for itself: read from a label or an annotation of its Node.
//!
//! One object can so speak for all racks: the labels that a provisioner sets say which AS and which ToR a
//! node has.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Node, Problems};

/// Prefixes of the annotations that are kept of a Node: ours, and those by which a node that comes from
/// another daemon may already say its AS or its peers.
const KEPT: [&str; 3] = ["routelet.dev/", "kube-router.io/", "projectcalico.org/"];

/// Whether an annotation of this key is kept of a Node. All others change for reasons of their own.
pub(super) fn is_kept(key: &str) -> bool {
    KEPT.iter().any(|prefix| key.starts_with(prefix))
}

/// Where a Node has a value. One of the two is needed.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = (
    "has(self.nodeLabel) != has(self.nodeAnnotation)",
    "needs nodeLabel or nodeAnnotation, and not both",
))]
pub struct FromNode {
    /// Key of a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub node_label: Option<String>,
    /// Key of an annotation that begins with `routelet.dev/`, `kube-router.io/` or `projectcalico.org/`; no
    /// other is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317), regex(pattern = r"^(routelet\.dev|kube-router\.io|projectcalico\.org)/"))]
    pub node_annotation: Option<String>,
}

impl FromNode {
    /// What a Node has there; `None` where it has nothing.
    pub fn of<'n>(&self, node: &'n Node) -> Option<&'n str> {
        let value = match (&self.node_label, &self.node_annotation) {
            (Some(key), _) => node.labels.get(key),
            (None, key) => node.annotations.get(key.as_ref()?),
        };
        value.map(String::as_str)
    }

    /// The field of a Node that is meant, such as `metadata.labels.rack`.
    pub fn field(&self) -> String {
        match (&self.node_label, &self.node_annotation) {
            (Some(key), _) => format!("metadata.labels.{key}"),
            (None, key) => format!("metadata.annotations.{}", key.as_deref().unwrap_or_default()),
        }
    }

    pub(super) fn check(&self, field: &str, problems: &mut Problems) {
        match (&self.node_label, &self.node_annotation) {
            (None, None) => problems.add(field, "needs nodeLabel or nodeAnnotation"),
            (Some(_), Some(_)) => problems.add(format!("{field}.nodeAnnotation"), "excludes nodeLabel"),
            (Some(label), None) if label.is_empty() => {
                problems.add(format!("{field}.nodeLabel"), "must not be empty");
            }
            (None, Some(key)) if !is_kept(key) => {
                let text = format!("only annotations that begin with {} are looked at", KEPT.join(", "));
                problems.add(format!("{field}.nodeAnnotation"), text);
            }
            _ => {}
        }
    }
}
