//! What the cluster is told of a `BgpPeer`: all nodes' sessions with it, taken together by one of them
//! (see [`crate::cluster::report`]).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All nodes' sessions with one peer.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct BgpPeerStatus {
    /// Nodes that report a session with it.
    #[serde(default)]
    pub nodes: u32,
    /// Of these, nodes all of whose sessions with it are established.
    #[serde(default)]
    pub established: u32,
    /// The two, such as `3/4`.
    #[serde(default)]
    pub up: String,
    /// Names of the others, such as `node2, node7, … 3 more`; empty where there are none.
    #[serde(default)]
    pub down: String,
    /// The first ten of them, each with what is wrong.
    #[serde(default)]
    pub not_established: Vec<NodeTrouble>,
    /// `Established` and `Degraded`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The generation of the `BgpPeer` that there was when this was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A node without a session that it should have.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeTrouble {
    /// Its name.
    pub node: String,
    /// What is wrong, in one word.
    pub reason: String,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}
