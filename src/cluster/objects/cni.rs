//! How pods are attached: `spec.cni` of a `BgpConfiguration`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::values::{Cidr, InterfaceName, Mtu, ValueError, schema, text};

/// How pods are attached.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CniSpec {
    /// Name of the pods' network: the runtime's configuration bears it, and the directory that pod addresses
    /// are kept in. To take over a node that has pods, give the name that their network has. Default
    /// `pod-network`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkName>,
    /// Whether pods share a bridge, or are routed to one by one. Default `bridge`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Name of the bridge that pods share. Default `cni0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<InterfaceName>,
    /// MTU of the pods, and of the bridge, in octets, or `auto`. Default `auto`: that of the interface that holds the
    /// node's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<Mtu>,
    /// Whether a pod reaches itself through a Service, by the port of the bridge that it came in by. Default
    /// true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hairpin: Option<bool>,
    /// Whether pods reach what lies outside the cluster under the node's address. Default false: their
    /// addresses are routed as they are, which needs routers that know the way back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masquerade: Option<bool>,
    /// Destinations that see pods under their own addresses all the same. The pod CIDRs of all nodes
    /// always do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub masquerade_exempt: Option<Vec<Cidr>>,
    /// Whether destinations that routes were learned to by BGP are no exception either: those routers mostly
    /// know the way back. A learned default route is never one. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masquerade_learned: Option<bool>,
}

/// How a pod is connected to its node.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The pods of a node share a link: a bridge.
    #[default]
    Bridge,
    /// Each has one of its own, and a route to its address.
    Routed,
}

/// Name of a CNI network: a part of file names (CNI specification 1.1.0, section 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkName(String);

impl NetworkName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkName {
    type Err = ValueError;

    fn from_str(name: &str) -> Result<Self, ValueError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        // A component of a path has 255 octets.
        if begins && name.chars().all(allowed) && name.len() <= 200 {
            return Ok(NetworkName(name.to_owned()));
        }
        Err(ValueError::new(format!(
            "{name:?} is not a network name: up to 200 letters, digits, '_', '.', '-', a letter or digit first"
        )))
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text!(NetworkName, "the name of a network");
schema!(NetworkName, {"type": "string", "maxLength": 200, "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"});
