//! When a node may take pods: `spec.readiness` of a `BgpConfiguration`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problems;
use super::duration::Span;

/// The key of the taint that is removed unless another is named.
pub const STARTUP_TAINT: &str = "routelet.dev/agent-not-ready";

/// What [`is_key`] takes, and the empty text.
const KEY: &str =
    "^(([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$";

/// What a node waits for before it takes its first pods: before the container runtime is given a
/// configuration, before the condition `NetworkUnavailable` of the Node is cleared and its startup taint
/// removed. It always waits for the bridge, for its own pod CIDRs to be announced, and for the kernel to have the
/// routes.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadinessSpec {
    /// Of how many peers all that they have is to be known (End-of-RIB). Default 1 where there is any peer,
    /// else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required_peers: Option<u32>,
    /// How long after the start of the daemon a node waits for these peers. Then it takes pods without
    /// them, and says which are missing. Default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Key of the taint that is removed from the Node once it can take pods, whatever its value and effect:
    /// give it to nodes as they join. Empty for none. Default `routelet.dev/agent-not-ready`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317), regex(pattern = KEY))]
    pub startup_taint: Option<String>,
}

impl ReadinessSpec {
    pub(super) fn check(&self, problems: &mut Problems) {
        if let Some(key) = self.startup_taint.as_deref().filter(|key| !key.is_empty() && !is_key(key)) {
            let text = format!("{key:?} is not the key of a taint, such as {STARTUP_TAINT}");
            problems.add("spec.readiness.startupTaint", text);
        }
    }
}

/// Whether Kubernetes would take it: a name, and before it, if anything, a DNS subdomain.
fn is_key(key: &str) -> bool {
    let part = |text: &str, most: usize, more: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        let outer = |c: char| c.is_ascii_alphanumeric();
        text.len() <= most && text.chars().all(inner) && text.starts_with(outer) && text.ends_with(outer)
    };
    match key.split_once('/') {
        Some((domain, name)) => part(domain, 253, "-.") && part(name, 63, "-_."),
        None => part(key, 63, "-_."),
    }
}
