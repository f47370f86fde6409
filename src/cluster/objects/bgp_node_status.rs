//! `BgpNodeStatus`: what the router of one node says of itself. Written by that node alone, and never
//! read back by it but to go on from where it was.
//!
//! What is in it is made by [`crate::cluster::report`]. Nothing here is ever refused: a later version may
//! say more.

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The router of the node of the same name. There is nothing to be configured in it; it goes when its
/// Node goes.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[kube(
    group = "routelet.dev",
    version = "v1alpha1",
    kind = "BgpNodeStatus",
    plural = "bgpnodestatuses",
    shortname = "bgpns",
    category = "routelet",
    status = "NodeReport",
    derive = "PartialEq",
    printcolumn = r#"{"name":"ASN","type":"integer","jsonPath":".status.asn"}"#,
    printcolumn = r#"{"name":"Sessions","type":"string","jsonPath":".status.up"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.versions.routelet"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BgpNodeStatusSpec {}

/// What the router of a node says of itself.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// The AS of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Its BGP identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router_id: Option<Ipv4Addr>,
    /// What it originates for its pods.
    #[serde(rename = "podCIDRs", default)]
    pub pod_cidrs: Vec<String>,
    /// How many of its sessions are established, such as `3/4`.
    #[serde(default)]
    pub up: String,
    /// Its sessions by name; of very many those of `BgpPeer`s first, and those that are down.
    #[serde(default)]
    pub sessions: Vec<SessionReport>,
    /// Sessions that are not listed because they are too many.
    #[serde(default)]
    pub sessions_not_listed: u32,
    /// How the kernel's routes stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fib: Option<FibReport>,
    /// What runs on the node.
    #[serde(default)]
    pub versions: Versions,
    /// `Ready`, `ConfigurationValid`, `FibInStep`, `Listening`, `Draining` and `ApiServer`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// One session of a node.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SessionReport {
    /// Name of the `BgpPeer`, with `/ADDRESS` behind it for a peer of a range; for a session of the mesh,
    /// that of the other node.
    pub peer: String,
    /// Where the session comes from.
    pub origin: SessionOrigin,
    /// The peer's address.
    pub address: IpAddr,
    /// Its AS, as it shows it or as it is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Whether it is up.
    pub state: SessionState,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Why it is as it is, in one word: `Established`, `AsMismatch`, `HoldTimerExpired`, …
    pub reason: String,
    /// The same in words; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What each family carries that the two have agreed on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<FamilyReport>,
    /// What BFD says about the path, where it is watched: `Up`, `Down`, `Init`, `AdminDown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd: Option<String>,
}

/// Where a session comes from.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionOrigin {
    /// A `BgpPeer`.
    BgpPeer,
    /// A `BgpPeer` with a range.
    Range,
    /// The mesh of the nodes.
    Mesh,
}

/// Whether a session is up. The states of the FSM in between change every few seconds, and are for
/// `routelet peers`.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionState {
    /// It is not.
    Down,
    /// It is.
    Established,
}

/// Prefixes of one family on one session.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct FamilyReport {
    /// `ipv4Unicast` or `ipv6Unicast`.
    pub family: String,
    /// Received, before policy.
    pub received: u64,
    /// Of these, accepted.
    pub accepted: u64,
    /// Announced to the peer.
    pub advertised: u64,
}

/// How the kernel's routes stand.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct FibReport {
    /// Routes of ours in the kernel.
    pub installed: u64,
    /// Where the last audit has found the kernel to differ from what is desired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differences: Option<u64>,
    /// When that was. An audit that finds what the last one found is not worth a write of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_audit: Option<Time>,
}

/// What runs on a node.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// Routelet's.
    #[serde(default)]
    pub routelet: String,
    /// The kernel's release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;
    use crate::cluster::objects::BgpPeer;

    /// Names of the columns of `kubectl get` by what they show.
    fn columns(crd: &serde_json::Value) -> Vec<(String, String)> {
        let version = &crd["spec"]["versions"][0];
        assert!(version["subresources"]["status"].is_object(), "{version}");
        let columns = version["additionalPrinterColumns"].as_array().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let narrow = columns.iter().filter(|column| column["priority"].as_i64().unwrap_or_default() == 0);
        narrow.map(|column| (text(&column["name"]), text(&column["jsonPath"]))).collect()
    }

    fn expected(rows: &[(&str, &str)]) -> Vec<(String, String)> {
        rows.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect()
    }

    #[test]
    fn both_kinds_show_in_kubectl_who_is_up() {
        let crd = serde_json::to_value(BgpNodeStatus::crd()).unwrap();
        assert_eq!(crd["spec"]["names"]["plural"], "bgpnodestatuses");
        assert_eq!(crd["spec"]["names"]["shortNames"][0], "bgpns");
        assert_eq!(crd["spec"]["scope"], "Cluster");
        let ready = r#".status.conditions[?(@.type=="Ready")].status"#;
        let rows = [
            ("ASN", ".status.asn"),
            ("Sessions", ".status.up"),
            ("Ready", ready),
            ("Version", ".status.versions.routelet"),
            ("Age", ".metadata.creationTimestamp"),
        ];
        assert_eq!(columns(&crd), expected(&rows));

        let crd = serde_json::to_value(BgpPeer::crd()).unwrap();
        assert_eq!(crd["spec"]["names"]["shortNames"][0], "bgpp");
        let rows = [
            ("Address", ".spec.address"),
            ("ASN", ".spec.asn"),
            ("Up", ".status.up"),
            ("Down", ".status.down"),
            ("Age", ".metadata.creationTimestamp"),
        ];
        assert_eq!(columns(&crd), expected(&rows));
    }
}
