//! `BgpConfiguration`: what holds for all nodes, or, with a node selector, for some.
//!
//! Every field is optional here. What an absent one means is decided where the objects of a node are
//! laid over each other, in [`crate::cluster::intent`]: absent in an override means "as `default`
//! says", absent in both means the built-in default.

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU16, NonZeroU32};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::bfd::MeshBfdSpec;
use super::cni::CniSpec;
use super::from_node::FromNode;
use super::graceful_restart::GracefulRestartSpec;
use super::kernel::{KernelSpec, RuleSpec};
use super::readiness::ReadinessSpec;
use super::values::{Asn, Cidr, Table};
use super::{Problems, selector};

/// Cluster-wide settings of every router. The object named `default` holds for all nodes; any other
/// has a node selector and overrides, field by field, what `default` says for the nodes it selects.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[kube(group = "routelet.dev", version = "v1alpha1", kind = "BgpConfiguration", derive = "PartialEq")]
#[kube(validation = (
    "self.metadata.name == 'default' || has(self.spec.nodeSelector) \
     && (has(self.spec.nodeSelector.matchLabels) && size(self.spec.nodeSelector.matchLabels) > 0 \
     || has(self.spec.nodeSelector.matchExpressions) \
     && size(self.spec.nodeSelector.matchExpressions) > 0)",
    "spec.nodeSelector is required: only the configuration named default holds for every node",
))]
#[kube(validation = (
    "self.metadata.name != 'default' || !(has(self.spec.nodeSelector) \
     && (has(self.spec.nodeSelector.matchLabels) && size(self.spec.nodeSelector.matchLabels) > 0 \
     || has(self.spec.nodeSelector.matchExpressions) \
     && size(self.spec.nodeSelector.matchExpressions) > 0))",
    "spec.nodeSelector: the configuration named default holds for every node; give an override another \
     name",
))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BgpConfigurationSpec {
    /// Nodes the override is for. Not allowed on `default`, required on all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "selector::schema")]
    pub node_selector: Option<LabelSelector>,
    /// The AS of the nodes. Default 64512. A Node's annotation `routelet.dev/asn` says otherwise for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<Asn>,
    /// Where each Node says its AS: one AS per rack, with a label by the rack. A Node that does not has
    /// `asn`, and no part in anything where that is not given either. In an override, `asn` alone
    /// outdoes `asnFrom` of `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn_from: Option<FromNode>,
    /// The BGP identifier, which must differ from node to node. Default: the node's first IPv4
    /// address, or a number made from its name. A Node's annotation `routelet.dev/router-id` says otherwise
    /// for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (
        "isIP(self) && ip(self).family() == 4 && !ip(self).isUnspecified()",
        "must be an IPv4 address, and 0.0.0.0 identifies nobody (RFC 6286)",
    ))]
    pub router_id: Option<Ipv4Addr>,
    /// Where each Node says its BGP identifier. A Node that does not has the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router_id_from: Option<FromNode>,
    /// Sessions among the nodes themselves. Default `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh: Option<Mesh>,
    /// Which nodes reflect routes (RFC 4456) with `mesh: reflectors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reflectors: Option<Reflectors>,
    /// Where incoming sessions are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<ListenSpec>,
    /// Mark of the packets of all sessions (`SO_MARK`), for `ip rule add fwmark` and filters to match.
    /// Default 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_mark: Option<u32>,
    /// Graceful restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graceful_restart: Option<GracefulRestartSpec>,
    /// BFD on the sessions among the nodes. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd: Option<MeshBfdSpec>,
    /// How best paths become kernel routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fib: Option<FibSpec>,
    /// How pods are attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cni: Option<CniSpec>,
    /// When a node may take pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ReadinessSpec>,
    /// Settings of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelSpec>,
    /// Service CIDRs of the cluster, which no peer may announce to a node.
    #[serde(rename = "serviceCIDRs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub service_cidrs: Option<Vec<Cidr>>,
}

/// Sessions among the nodes.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Mesh {
    /// Every node with every other.
    Full,
    /// Every node with the nodes that reflect, and these with each other.
    Reflectors,
    /// None.
    None,
}

/// Which nodes are route reflectors.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reflectors {
    /// Nodes that reflect.
    #[schemars(schema_with = "selector::schema")]
    pub node_selector: LabelSelector,
    /// Cluster identifier that they share (RFC 4456 §7). Default: each one's BGP identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = (
        "isIP(self) && ip(self).family() == 4 && !ip(self).isUnspecified()",
        "must be an IPv4 address, and 0.0.0.0 identifies nobody (RFC 6286)",
    ))]
    pub cluster_id: Option<Ipv4Addr>,
}

/// Where incoming sessions are accepted.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenSpec {
    /// TCP port. Default 179.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<NonZeroU16>,
    /// Local addresses. Default all; an empty list means outgoing sessions only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "addresses")]
    pub addresses: Option<Vec<IpAddr>>,
}

/// How best paths become kernel routes.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FibSpec {
    /// Whether they do at all. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install: Option<bool>,
    /// Routing table: `main`, `local`, `default` or a number. Default `main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// Rules by which packets are routed by the table, where that is none of `main`, `local` and
    /// `default`. Default none: somebody else's rules lead there, or a VRF.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rules: Option<Vec<RuleSpec>>,
    /// Metric of the routes. Default 20. Zero is refused: the kernel reads it as 1024 for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<NonZeroU32>,
    /// Most next hops of one route; 1 turns multipath off. Default 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_paths: Option<NonZeroU16>,
    /// Whether routes share their next hops through the kernel's nexthop groups (`nhid` in `ip route`), so
    /// that any number of them moves at once when a peer or a link fails. Default true; kernels
    /// without them get plain routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop_groups: Option<bool>,
    /// Whether a route with one next hop holds the second best in the kernel, as a member of its group
    /// that gets no packets: when the link of the first goes down, the kernel turns to it by itself.
    /// `ip route` then shows both. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_backup: Option<bool>,
    /// Protocol number by which our routes are told apart, from 5. Default 114.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5))]
    pub protocol: Option<u8>,
}

impl BgpConfigurationSpec {
    /// Name of the object that holds for every node.
    pub const DEFAULT_NAME: &str = "default";

    /// Notes what is wrong with the object by itself, beyond what its types can say.
    pub(super) fn check(&self, name: &str, problems: &mut Problems) {
        let selects = self.node_selector.as_ref().is_some_and(|selector| !selector::is_empty(selector));
        match (name == Self::DEFAULT_NAME, selects) {
            (true, true) => problems.add(
                "spec.nodeSelector",
                "the configuration named default holds for every node; give an override another name",
            ),
            (false, false) => problems.add(
                "spec.nodeSelector",
                "required: only the configuration named default holds for every node",
            ),
            _ => {}
        }
        if let Some(selector) = &self.node_selector {
            selector::check(selector, "spec.nodeSelector", problems);
        }
        if let Some(reflectors) = &self.reflectors {
            selector::check(&reflectors.node_selector, "spec.reflectors.nodeSelector", problems);
            check_identifier("spec.reflectors.clusterId", reflectors.cluster_id, problems);
        }
        check_identifier("spec.routerId", self.router_id, problems);
        for (field, from) in [("spec.asnFrom", &self.asn_from), ("spec.routerIdFrom", &self.router_id_from)] {
            if let Some(from) = from {
                from.check(field, problems);
            }
        }
        if let Some(restart) = &self.graceful_restart {
            restart.check(problems);
        }
        let rules = self.fib.as_ref().and_then(|fib| fib.rules.as_deref()).unwrap_or_default();
        for (index, rule) in rules.iter().enumerate() {
            rule.check(&format!("spec.fib.rules[{index}]"), problems);
        }
        if let Some(bfd) = &self.bfd {
            bfd.check(problems);
        }
        if let Some(readiness) = &self.readiness {
            readiness.check(problems);
        }
        if self.fib.as_ref().and_then(|fib| fib.protocol).is_some_and(|protocol| protocol < 5) {
            // 0 to 4 mean unspecified, redirect, kernel, boot and static (RTPROT_* in rtnetlink.h).
            problems.add("spec.fib.protocol", "0 to 4 are the kernel's and the administrator's own");
        }
    }
}

/// Addresses of ours, the unspecified ones among them.
fn addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "string",
            "maxLength": 45,
            "x-kubernetes-validations": [{"rule": "isIP(self)", "message": "must be an IP address"}],
        },
    })
}

fn check_identifier(field: &str, identifier: Option<Ipv4Addr>, problems: &mut Problems) {
    if identifier.is_some_and(|identifier| identifier.is_unspecified()) {
        problems.add(field, "0.0.0.0 identifies nobody (RFC 6286)");
    }
}
