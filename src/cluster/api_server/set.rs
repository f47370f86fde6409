//! What this source asks of a set of objects beyond what a directory does, which never changes one.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde::Serialize;
use serde_json::{Value, json};

use super::kind::Kind;
use crate::cluster::objects::endpoint_slice::{Endpoint, EndpointState, SERVICE_NAME};
use crate::cluster::objects::service::TrafficPolicy;
use crate::cluster::objects::{EndpointSlice, NamespacedName, Node, Object, ObjectSet, Secret, Service};
use crate::prefix::Family;

/// Whether a set has this very object.
pub(super) fn contains(set: &ObjectSet, object: &Object) -> bool {
    match object {
        Object::Node(name, node) => set.nodes.get(name) == Some(node),
        Object::Secret(name, secret) => set.secrets.get(name) == Some(secret),
        Object::Configuration(name, spec) => set.configurations.get(name) == Some(&**spec),
        Object::Peer(name, spec) => set.peers.get(name) == Some(&**spec),
        Object::Advertisement(name, spec) => set.advertisements.get(name) == Some(&**spec),
        Object::Service(name, service) => set.services.get(name) == Some(&**service),
        Object::EndpointSlice(name, slice) => set.endpoint_slices.get(name) == Some(slice),
    }
}

/// Takes the object of a name, as [`Seen`](super::seen::Seen) has it, out of a set.
pub(super) fn remove(set: &mut ObjectSet, kind: Kind, name: &str) {
    match kind {
        Kind::Node => drop(set.nodes.remove(name)),
        Kind::Secret => drop(set.secrets.remove(name)),
        Kind::BgpConfiguration => drop(set.configurations.remove(name)),
        Kind::BgpPeer => drop(set.peers.remove(name)),
        Kind::BgpAdvertisement => drop(set.advertisements.remove(name)),
        Kind::Service => drop(set.services.remove(&namespaced(name))),
        Kind::EndpointSlice => drop(set.endpoint_slices.remove(&namespaced(name))),
    }
}

fn namespaced(name: &str) -> NamespacedName {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    NamespacedName { namespace: namespace.to_owned(), name: name.to_owned() }
}

/// All objects of a set as manifests, from which the same set can be read.
pub(super) fn manifests(set: &ObjectSet) -> Vec<Value> {
    let ObjectSet { nodes, secrets, configurations, peers, advertisements, services, endpoint_slices } = set;
    let mut all: Vec<Value> = nodes.iter().map(|(name, node)| of_node(name, node)).collect();
    all.extend(secrets.iter().map(|(name, secret)| of_secret(name, secret)));
    all.extend(configurations.iter().map(|(name, spec)| of_spec(Kind::BgpConfiguration, name, spec)));
    all.extend(peers.iter().map(|(name, spec)| of_spec(Kind::BgpPeer, name, spec)));
    all.extend(advertisements.iter().map(|(name, spec)| of_spec(Kind::BgpAdvertisement, name, spec)));
    all.extend(services.iter().map(|(name, service)| of_service(name, service)));
    all.extend(endpoint_slices.iter().map(|(name, slice)| of_slice(name, slice)));
    all
}

fn of_node(name: &str, node: &Node) -> Value {
    // Its AS and its BGP identifier are among the annotations.
    let Node { labels, annotations, leaving, unready, addresses, pod_cidrs, asn: _, router_id: _ } = node;
    let pod_cidrs: Vec<String> = pod_cidrs.iter().map(ToString::to_string).collect();
    let addresses: Vec<Value> =
        addresses.iter().map(|address| json!({"type": "InternalIP", "address": address})).collect();
    let mut manifest = json!({
        "apiVersion": Kind::Node.api_version(), "kind": Kind::Node.name(),
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {"podCIDRs": pod_cidrs},
        "status": {"addresses": addresses},
    });
    if *unready {
        manifest["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown"}]);
    }
    leaving.iter().for_each(|sign| sign.show(&mut manifest));
    manifest
}

fn of_service(name: &NamespacedName, service: &Service) -> Value {
    let Service {
        labels,
        cluster_ips,
        external_ips,
        ingress_ips,
        load_balancer_class,
        external_traffic_policy,
        internal_traffic_policy,
    } = service;
    let policy = |policy: &TrafficPolicy| match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    };
    let ingress: Vec<Value> = ingress_ips.iter().map(|ip| json!({"ip": ip})).collect();
    json!({
        "apiVersion": Kind::Service.api_version(), "kind": Kind::Service.name(),
        "metadata": {"name": name.name, "namespace": name.namespace, "labels": labels},
        "spec": {
            "type": "LoadBalancer", "clusterIPs": cluster_ips, "externalIPs": external_ips,
            "loadBalancerClass": load_balancer_class,
            "externalTrafficPolicy": policy(external_traffic_policy),
            "internalTrafficPolicy": policy(internal_traffic_policy),
        },
        "status": {"loadBalancer": {"ingress": ingress}},
    })
}

fn of_slice(name: &NamespacedName, slice: &EndpointSlice) -> Value {
    let EndpointSlice { service, endpoints } = slice;
    let family = endpoints.first().map_or(Family::Ipv4Unicast, Endpoint::family);
    let endpoints = endpoints.iter().map(|Endpoint { address, node, state }| {
        let terminates = *state == EndpointState::Terminating;
        json!({
            "addresses": [address], "nodeName": node,
            "conditions": {"ready": !terminates, "serving": true, "terminating": terminates},
        })
    });
    let endpoints: Vec<Value> = endpoints.collect();
    json!({
        "apiVersion": Kind::EndpointSlice.api_version(), "kind": Kind::EndpointSlice.name(),
        "metadata": {
            "name": name.name, "namespace": name.namespace,
            "labels": service.as_ref().map(|service| json!({SERVICE_NAME: service})),
        },
        "addressType": if family == Family::Ipv4Unicast { "IPv4" } else { "IPv6" },
        "endpoints": endpoints,
    })
}

fn of_secret(name: &str, secret: &Secret) -> Value {
    let values = secret.keys().filter_map(|key| Some((key, ByteString(secret.value(key)?.to_vec()))));
    let data: BTreeMap<&str, ByteString> = values.collect();
    json!({
        "apiVersion": Kind::Secret.api_version(), "kind": Kind::Secret.name(),
        "metadata": {"name": name},
        "data": data,
    })
}

/// A custom resource.
fn of_spec(kind: Kind, name: &str, spec: &impl Serialize) -> Value {
    json!({"apiVersion": kind.api_version(), "kind": kind.name(), "metadata": {"name": name}, "spec": spec})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::api_server::seen::Seen;
    use crate::cluster::manifests::parse;

    /// Every kind with every field that is kept of it.
    const OBJECTS: &str = r#"
apiVersion: v1
kind: Node
metadata:
  name: node1
  labels: {rack: a}
  annotations: {routelet.dev/asn: "64513", routelet.dev/router-id: 10.0.0.1, routelet.dev/pod-cidrs: "10.9.0.0/24, fd00:9::/64", routelet.dev/drain: "true"}
  deletionTimestamp: "2026-11-01T00:00:00Z"
spec:
  podCIDRs: [10.244.1.0/24]
  unschedulable: true
  taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}, {key: node.kubernetes.io/out-of-service, effect: NoExecute}]
status:
  addresses: [{type: InternalIP, address: 192.168.1.11}, {type: InternalIP, address: "fd00::11"}]
  conditions: [{type: Ready, status: "False", message: node is shutting down}]
---
apiVersion: v1
kind: Secret
metadata: {name: tor-a}
data: {password: /wD+}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpConfiguration
metadata: {name: default}
spec: {asn: 64512, gracefulRestart: {restartTime: 90s}, serviceCIDRs: [10.96.0.0/12], fib: {table: 100}}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: tor-a}
spec: {address: 192.168.1.1, asn: 65000, timers: {hold: 9s}, passwordSecretRef: {name: tor-a, key: password}, import: {accept: [{prefix: 0.0.0.0/0, le: 24}]}}
---
apiVersion: routelet.dev/v1alpha1
kind: BgpAdvertisement
metadata: {name: services}
spec: {serviceSelector: {}, addresses: [loadBalancer, cluster], communities: ["65000:1"]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {type: LoadBalancer, clusterIPs: [10.96.0.9], externalIPs: [192.0.2.1], loadBalancerClass: a/b, externalTrafficPolicy: Local}
status: {loadBalancer: {ingress: [{ip: 203.0.113.7}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
endpoints:
- {addresses: ["fd00::1"], nodeName: node1, conditions: {ready: true}}
- {addresses: ["fd00::2"], conditions: {ready: false, serving: true, terminating: true}}
"#;

    #[test]
    fn what_is_kept_is_read_again_as_it_was() {
        let set = parse([("objects.yaml", OBJECTS)]).unwrap().objects;
        let mut read = ObjectSet::default();
        let mut kinds = vec![];
        for manifest in manifests(&set) {
            let kind = Kind::ALL.into_iter().find(|kind| manifest["kind"] == kind.name()).unwrap();
            let seen = Seen::read(kind, manifest).unwrap();
            assert_eq!(seen.warnings, []);
            let object = seen.says.unwrap();
            assert!(contains(&set, &object), "{object}");
            read.apply(object);
            kinds.push((kind, seen.name));
        }
        assert_eq!(read, set);
        assert_eq!(set.nodes["node1"].leaving.len(), 6);
        // Every kind is there, and can be taken out.
        assert_eq!(kinds.len(), Kind::ALL.len());
        for (kind, name) in kinds {
            remove(&mut read, kind, &name);
        }
        assert_eq!(read, ObjectSet::default());
    }
}
