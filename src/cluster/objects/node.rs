//! A `v1 Node`, reduced to what routing needs.
//!
//! Heartbeats, images and conditions change all the time and mean nothing here: two versions of a
//! Node that route alike are equal. Of a condition no more is kept than that it says that the node [leaves](Leaving).

mod leaving;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as k8s;

pub use self::leaving::{DRAIN_ANNOTATION, Leaving};
use super::{Problems, metadata_name};
use crate::prefix::{Family, Prefix};

/// What a Node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// `metadata.labels`, for selectors.
    pub labels: BTreeMap<String, String>,
    /// Signs that it leaves. Empty for a node that stays.
    pub leaving: BTreeSet<Leaving>,
    /// `InternalIP` entries of `status.addresses`, in order.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`, or `spec.podCIDR` where that alone is set.
    pub pod_cidrs: Vec<Prefix>,
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

    /// Name and contents of a Node object.
    pub(super) fn read(node: k8s::Node, problems: &mut Problems) -> (String, Node) {
        let name = metadata_name(&node.metadata, problems);
        let leaving = Leaving::signs(&node, problems);
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
        let labels = node.metadata.labels.unwrap_or_default();
        (name, Node { labels, leaving, addresses, pod_cidrs })
    }
}

fn read_pod_cidr(field: &str, text: &str, pod_cidrs: &mut Vec<Prefix>, problems: &mut Problems) {
    match text.parse() {
        Ok(prefix) if pod_cidrs.contains(&prefix) => problems.add(field, format!("{prefix} is listed twice")),
        Ok(prefix) => pod_cidrs.push(prefix),
        Err(error) => problems.add(field, error.to_string()),
    }
}
