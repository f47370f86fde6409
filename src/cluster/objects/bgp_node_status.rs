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
    printcolumn(name = "ASN", type_ = "integer", json_path = ".status.asn"),
    printcolumn(name = "Sessions", type_ = "string", json_path = ".status.up"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.versions.routelet"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
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
    #[serde(rename = "podCIDRs", default, skip_serializing_if = "Vec::is_empty")]
    pub pod_cidrs: Vec<String>,
    /// How many of its sessions are established, such as `3/4`.
    #[serde(default)]
    pub up: String,
    /// Its sessions by name; of very many those of `BgpPeer`s first, and those that are down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionReport>,
    /// Sessions that are not listed because they are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sessions_not_listed: u32,
    /// How the kernel's routes stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fib: Option<FibReport>,
    /// What runs on the node.
    #[serde(default)]
    pub versions: Versions,
    /// `Ready`, `ConfigurationValid`, `FibInStep`, `Listening`, `Draining` and `ApiServer`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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

fn is_zero(number: &u32) -> bool {
    *number == 0
}
