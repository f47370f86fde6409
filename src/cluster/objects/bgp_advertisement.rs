//! `BgpAdvertisement`: which addresses of Services the nodes announce, and with what.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{CommunityText, LargeCommunityText};
use super::{Problems, selector};

/// Addresses of Services that the selected nodes announce, besides their pod CIDRs.
///
/// An address is announced while the Service has an endpoint of its family to hand packets to; under
/// the traffic policy `Local` only by nodes that have one themselves. An endpoint that terminates
/// but still serves counts while none is ready anywhere. A Node with the label
/// `node.kubernetes.io/exclude-from-external-load-balancers` announces none.
///
/// External peers are told what the `export` of their `BgpPeer` accepts, too. Several advertisements
/// that come to the same prefix on a node make one route of it: with the communities of all, the highest
/// local preference, told to whomever any of them tells it to.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[kube(group = "routelet.dev", version = "v1alpha1", kind = "BgpAdvertisement", derive = "PartialEq")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.peers) || size(self.peers) > 0 || has(self.mesh) && self.mesh"
).message("must not be empty; leave it out for every peer").field_path(".peers"))]
pub struct BgpAdvertisementSpec {
    /// Nodes that announce. Absent or empty means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "selector::schema")]
    pub node_selector: Option<LabelSelector>,
    /// Services whose addresses are announced, by their labels. Absent means none, empty all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "selector::schema")]
    pub service_selector: Option<LabelSelector>,
    /// Namespaces of these Services. Absent means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Option<Vec<String>>,
    /// Which of their addresses. Default `[loadBalancer]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub addresses: Option<Vec<AddressKind>>,
    /// Load balancer addresses only of Services with one of these classes (`spec.loadBalancerClass`), `""`
    /// being that of Services without any. Absent means every class: addresses are allocated by others and
    /// announced here, so that a class need not be Routelet's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub load_balancer_classes: Option<Vec<String>>,
    /// Names of the `BgpPeer`s that are told. Absent means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub peers: Option<Vec<String>>,
    /// Whether the other nodes are told in the mesh, and with them what is behind reflectors. Default: where
    /// `peers` is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mesh: Option<bool>,
    /// Length of the prefixes that are announced in place of single addresses, as long as they hold at
    /// least one. Packets to the other addresses of such a prefix are discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_length: Option<AggregationLength>,
    /// Communities: `65000:100`, or the name of a well-known one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub communities: Option<Vec<CommunityText>>,
    /// Large communities (RFC 8092): `65000:1:2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub large_communities: Option<Vec<LargeCommunityText>>,
    /// LOCAL_PREF, for internal peers. Default 100. Never sent to an external peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_preference: Option<u32>,
    /// Tell, as a transitive link bandwidth community, how many endpoints the node has, so that peers
    /// spread packets unevenly: a megabit per second stands for one. A node that serves without any counts
    /// as one. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_by_endpoints: Option<bool>,
}

/// A kind of address that a Service has.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub enum AddressKind {
    /// Those of `status.loadBalancer.ingress`.
    LoadBalancer,
    /// Those of `spec.externalIPs`.
    External,
    /// Those of `spec.clusterIPs`.
    Cluster,
}

/// Lengths of aggregates by family. Absent: single addresses.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AggregationLength {
    /// From 8 to 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 32))]
    pub ipv4: Option<u8>,
    /// From 16 to 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 128))]
    pub ipv6: Option<u8>,
}

impl BgpAdvertisementSpec {
    /// Notes what is wrong with it by itself.
    pub(super) fn check(&self, problems: &mut Problems) {
        for (selector, field) in
            [(&self.node_selector, "spec.nodeSelector"), (&self.service_selector, "spec.serviceSelector")]
        {
            if let Some(selector) = selector {
                selector::check(selector, field, problems);
            }
        }
        check_list(self.namespaces.as_deref(), "spec.namespaces", "every namespace", problems);
        check_list(self.addresses.as_deref(), "spec.addresses", "load balancer addresses", problems);
        let classes = self.load_balancer_classes.as_deref();
        check_list(classes, "spec.loadBalancerClasses", "every class", problems);
        // With no peer at all there is still the mesh.
        if self.mesh != Some(true) || self.peers.as_ref().is_some_and(|peers| !peers.is_empty()) {
            check_list(self.peers.as_deref(), "spec.peers", "every peer", problems);
        }
        if let Some(lengths) = &self.aggregation_length {
            for (length, field, range) in [(lengths.ipv4, "ipv4", 8..=32), (lengths.ipv6, "ipv6", 16..=128)] {
                if length.is_some_and(|length| !range.contains(&length)) {
                    let text = format!("must be from {} to {}", range.start(), range.end());
                    problems.add(format!("spec.aggregationLength.{field}"), text);
                }
            }
        }
    }
}

/// An empty list means nothing by its letter and everything by its absence, so that it is most likely a
/// slip.
fn check_list<T: PartialEq>(list: Option<&[T]>, field: &str, all: &str, problems: &mut Problems) {
    let Some(list) = list else { return };
    if list.is_empty() {
        problems.add(field, format!("must not be empty; leave it out for {all}"));
    }
    for (i, item) in list.iter().enumerate() {
        if list[..i].contains(item) {
            problems.add(format!("{field}[{i}]"), "is listed twice");
        }
    }
}
