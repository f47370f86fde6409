//! A `v1 Node`, reduced to what routing needs.
//!
//! Heartbeats, images and conditions change all the time and mean nothing here: two versions of a
//! Node that route alike are equal.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as k8s;

use super::{Problems, metadata_name};
use crate::prefix::{Family, Prefix};

/// What a Node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// `metadata.labels`, for selectors.
    pub labels: BTreeMap<String, String>,
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

    /// Name and contents of a Node object.
    pub(super) fn read(node: k8s::Node, problems: &mut Problems) -> (String, Node) {
        let name = metadata_name(&node.metadata, problems);
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
        (name, Node { labels: node.metadata.labels.unwrap_or_default(), addresses, pod_cidrs })
    }
}

fn read_pod_cidr(field: &str, text: &str, pod_cidrs: &mut Vec<Prefix>, problems: &mut Problems) {
    match text.parse() {
        Ok(prefix) if pod_cidrs.contains(&prefix) => problems.add(field, format!("{prefix} is listed twice")),
        Ok(prefix) => pod_cidrs.push(prefix),
        Err(error) => problems.add(field, error.to_string()),
    }
}
