//! A `v1 Service`, reduced to what routing needs: which addresses it has, and who may answer them.
//!
//! Ports, selectors of pods and session affinity mean nothing here: two versions of a Service that
//! route alike are equal.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as k8s;

use super::{NamespacedName, Problems, namespaced_name};

/// What a Service says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// `metadata.labels`, for selectors.
    pub labels: BTreeMap<String, String>,
    /// `spec.clusterIPs`, or `spec.clusterIP` where that alone is set. A headless Service has none, and
    /// neither has one of type `ExternalName`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Addresses of `status.loadBalancer.ingress` for a Service of type `LoadBalancer`. Entries with
    /// `ipMode: Proxy` are not among them: they are somebody else's, who sends on to nodes or pods.
    pub ingress_ips: Vec<IpAddr>,
    /// `spec.loadBalancerClass`.
    pub load_balancer_class: Option<String>,
    /// `spec.externalTrafficPolicy`, for external and load balancer addresses.
    pub external_traffic_policy: TrafficPolicy,
    /// `spec.internalTrafficPolicy`, for cluster addresses.
    pub internal_traffic_policy: TrafficPolicy,
}

/// Which endpoints a node hands the packets of a Service to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrafficPolicy {
    /// Any of the cluster's.
    #[default]
    Cluster,
    /// Those on the node itself; without one, the packets are dropped.
    Local,
}

impl Service {
    /// Name and contents of a Service object.
    pub(super) fn read(service: k8s::Service, problems: &mut Problems) -> (NamespacedName, Service) {
        let name = namespaced_name(&service.metadata, problems);
        let spec = service.spec.unwrap_or_default();
        let has_cluster_ip = spec.type_.as_deref() != Some("ExternalName");
        let cluster_ips = match (&spec.cluster_ips, &spec.cluster_ip) {
            _ if !has_cluster_ip => vec![],
            (Some(listed), _) if !listed.is_empty() => addresses("spec.clusterIPs", listed, problems),
            (_, Some(one)) => address("spec.clusterIP", one, problems).into_iter().collect(),
            (_, None) => vec![],
        };
        let external = spec.external_ips.unwrap_or_default();
        let status = service.status.and_then(|status| status.load_balancer).unwrap_or_default();
        let mut ingress_ips = vec![];
        for (i, ingress) in status.ingress.iter().flatten().enumerate() {
            let field = format!("status.loadBalancer.ingress[{i}].ip");
            let own = ingress.ip_mode.as_deref() != Some("Proxy");
            let ip = ingress.ip.as_deref().and_then(|ip| address(&field, ip, problems));
            ingress_ips.extend(ip.filter(|ip| own && !ingress_ips.contains(ip)));
        }
        if spec.type_.as_deref() != Some("LoadBalancer") {
            // What it was given while it was one; Kubernetes takes it back in its own time.
            ingress_ips.clear();
        }
        let external_policy = spec.external_traffic_policy.as_deref();
        let internal_policy = spec.internal_traffic_policy.as_deref();
        let service = Service {
            labels: service.metadata.labels.unwrap_or_default(),
            cluster_ips,
            external_ips: addresses("spec.externalIPs", &external, problems),
            ingress_ips,
            load_balancer_class: spec.load_balancer_class,
            external_traffic_policy: policy("spec.externalTrafficPolicy", external_policy, problems),
            internal_traffic_policy: policy("spec.internalTrafficPolicy", internal_policy, problems),
        };
        (name, service)
    }
}

fn addresses(field: &str, listed: &[String], problems: &mut Problems) -> Vec<IpAddr> {
    let mut addresses = vec![];
    for (i, text) in listed.iter().enumerate() {
        let read = address(&format!("{field}[{i}]"), text, problems);
        addresses.extend(read.filter(|read| !addresses.contains(read)));
    }
    addresses
}

/// An address, unless the text is none: Kubernetes writes `None` for a headless Service, and nothing
/// before an address is allocated.
fn address(field: &str, text: &str, problems: &mut Problems) -> Option<IpAddr> {
    if text.is_empty() || text == "None" {
        return None;
    }
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() || address.is_loopback() => {
            problems.add(field, format!("{address} is not an address that a Service could be reached by"));
            None
        }
        Ok(address) => Some(address),
        Err(_) => {
            problems.add(field, format!("{text:?} is not an IP address"));
            None
        }
    }
}

fn policy(field: &str, text: Option<&str>, problems: &mut Problems) -> TrafficPolicy {
    match text {
        None | Some("" | "Cluster") => TrafficPolicy::Cluster,
        Some("Local") => TrafficPolicy::Local,
        Some(other) => {
            problems.add(field, format!("{other:?} is not a traffic policy: Cluster or Local"));
            TrafficPolicy::Cluster
        }
    }
}
