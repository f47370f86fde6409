//! A `v1 Node`, reduced to what routing needs.
//!
//! Heartbeats, images and conditions change all the time and mean nothing here: two versions of a
//! Node that route alike are equal. Of a condition no more is kept than whether the node
//! is ready, and that it [leaves](Leaving).
//!
//! Three annotations speak for their node alone, and win over every `BgpConfiguration`:
//!
//! | annotation | |
//! |---|---|
//! | `routelet.dev/asn` | its AS |
//! | `routelet.dev/router-id` | its BGP identifier |
//! | `routelet.dev/pod-cidrs` | pod CIDRs besides `spec.podCIDRs`, with commas between them |
//!
//! Kubernetes gives a node one pod CIDR of each family at the most, and none where the node IPAM of
//! kube-controller-manager is off. The annotation adds to what there is and takes nothing away. A fourth,
//! [`DRAIN_ANNOTATION`], asks for a drain.

mod leaving;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use k8s_openapi::api::core::v1 as k8s;

pub use self::leaving::{DRAIN_ANNOTATION, Leaving};
use super::values::{Asn, Identifier};
use super::{Problems, from_node, metadata_name};
use crate::prefix::{Family, Prefix};

/// What a Node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// `metadata.labels`, for selectors.
    pub labels: BTreeMap<String, String>,
    /// Those of `metadata.annotations` that a [`FromNode`](super::from_node::FromNode) may name.
    pub annotations: BTreeMap<String, String>,
    /// Signs that it leaves. Empty for a node that stays.
    pub leaving: BTreeSet<Leaving>,
    /// Its kubelet says that it is not ready, or has fallen silent. A sign for other nodes alone: what is at
    /// work on this one goes on.
    pub unready: bool,
    /// `InternalIP` entries of `status.addresses`, in order.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`, or `spec.podCIDR` where that alone is set; then those of the annotation.
    pub pod_cidrs: Vec<Prefix>,
    /// The annotation with its AS.
    pub asn: Option<Asn>,
    /// The annotation with its BGP identifier.
    pub router_id: Option<Ipv4Addr>,
}

impl Node {
    /// The first address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// The strongest sign that it leaves; `None` for a node that stays.
    pub fn leaves(&self) -> Option<Leaving> {
        self.leaving.last().copied()
    }

    /// Whether other nodes may count on it: it is ready, as far as is known, and does not leave.
    pub fn stays(&self) -> bool {
        !self.unready && self.leaves().is_none()
    }

    /// Name and contents of a Node object.
    pub(super) fn read(node: k8s::Node, problems: &mut Problems) -> (String, Node) {
        let name = metadata_name(&node.metadata, problems);
        let leaving = Leaving::signs(&node, problems);
        let unready = leaving::is_unready(&node);
        let spec = node.spec.unwrap_or_default();
        let listed = spec.pod_cidrs.unwrap_or_default();
        let mut pod_cidrs = vec![];
        for (i, text) in listed.iter().enumerate() {
            read_pod_cidr(&format!("spec.podCIDRs[{i}]"), text, &mut pod_cidrs, problems);
        }
        match (&spec.pod_cidr, listed.first()) {
            (Some(text), None) if !text.is_empty() => {
                read_pod_cidr("spec.podCIDR", text, &mut pod_cidrs, problems);
            }
            // Kubernetes keeps the two in step, so one of them is an oversight.
            (Some(text), Some(first)) if text != first => {
                problems.add("spec.podCIDR", format!("{text} differs from the first of podCIDRs, {first}"));
            }
            _ => {}
        }
        let mut annotations = node.metadata.annotations.unwrap_or_default();
        annotations.retain(|key, _| from_node::is_kept(key));
        read_annotated_pod_cidrs(&annotations, &mut pod_cidrs, problems);
        let status = node.status.unwrap_or_default();
        let mut addresses = vec![];
        for (i, entry) in status.addresses.iter().flatten().enumerate() {
            if entry.type_ != "InternalIP" {
                continue;
            }
            match entry.address.parse::<IpAddr>() {
                Ok(address) if address.is_unspecified() || address.is_multicast() => problems.add(
                    format!("status.addresses[{i}].address"),
                    format!("{address} is not the address of one host"),
                ),
                Ok(address) if addresses.contains(&address) => {}
                Ok(address) => addresses.push(address),
                Err(_) => problems.add(
                    format!("status.addresses[{i}].address"),
                    format!("{:?} is not an IP address", entry.address),
                ),
            }
        }
        let asn = annotated(&annotations, ASN, problems);
        let router_id = annotated(&annotations, ROUTER_ID, problems).map(|Identifier(id)| id);
        let labels = node.metadata.labels.unwrap_or_default();
        (name, Node { labels, annotations, leaving, unready, addresses, pod_cidrs, asn, router_id })
    }
}

const ASN: &str = "routelet.dev/asn";
const ROUTER_ID: &str = "routelet.dev/router-id";
const POD_CIDRS: &str = "routelet.dev/pod-cidrs";

fn annotation(key: &str) -> String {
    format!("metadata.annotations.{key}")
}

/// The value of an annotation, if it is there.
fn annotated<T: FromStr<Err: fmt::Display>>(
    annotations: &BTreeMap<String, String>,
    key: &str,
    problems: &mut Problems,
) -> Option<T> {
    let text = annotations.get(key)?;
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(annotation(key), format!("{text:?}: {error}"));
            None
        }
    }
}

/// Adds the pod CIDRs of the annotation. One that `spec` has, too, is no contradiction.
fn read_annotated_pod_cidrs(
    annotations: &BTreeMap<String, String>,
    pod_cidrs: &mut Vec<Prefix>,
    problems: &mut Problems,
) {
    let Some(text) = annotations.get(POD_CIDRS) else { return };
    let mut annotated = vec![];
    for part in text.split(',') {
        read_pod_cidr(&annotation(POD_CIDRS), part.trim(), &mut annotated, problems);
    }
    let news: Vec<Prefix> = annotated.into_iter().filter(|prefix| !pod_cidrs.contains(prefix)).collect();
    pod_cidrs.extend(news);
}

fn read_pod_cidr(field: &str, text: &str, pod_cidrs: &mut Vec<Prefix>, problems: &mut Problems) {
    match text.parse() {
        Ok(prefix) if pod_cidrs.contains(&prefix) => problems.add(field, format!("{prefix} is listed twice")),
        Ok(prefix) => pod_cidrs.push(prefix),
        Err(error) => problems.add(field, error.to_string()),
    }
}
