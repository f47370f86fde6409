//! What this source asks of a set of objects beyond what a directory does, which never changes one.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde::Serialize;
use serde_json::{Value, json};

use super::kind::Kind;
use crate::cluster::objects::{Node, Object, ObjectSet, Secret};

/// Whether a set has this very object.
pub(super) fn contains(set: &ObjectSet, object: &Object) -> bool {
    match object {
        Object::Node(name, node) => set.nodes.get(name) == Some(node),
        Object::Secret(name, secret) => set.secrets.get(name) == Some(secret),
        Object::Configuration(name, spec) => set.configurations.get(name) == Some(&**spec),
        Object::Peer(name, spec) => set.peers.get(name) == Some(&**spec),
    }
}

/// Takes the object of a name out of a set.
pub(super) fn remove(set: &mut ObjectSet, kind: Kind, name: &str) {
    match kind {
        Kind::Node => drop(set.nodes.remove(name)),
        Kind::Secret => drop(set.secrets.remove(name)),
        Kind::BgpConfiguration => drop(set.configurations.remove(name)),
        Kind::BgpPeer => drop(set.peers.remove(name)),
    }
}

/// All objects of a set as manifests.
pub(super) fn manifests(set: &ObjectSet) -> Vec<Value> {
    let ObjectSet { nodes, secrets, configurations, peers } = set;
    let nodes = nodes.iter().map(|(name, node)| of_node(name, node));
    let secrets = secrets.iter().map(|(name, secret)| of_secret(name, secret));
    let configurations =
        configurations.iter().map(|(name, spec)| of_spec(Kind::BgpConfiguration, name, spec));
    let peers = peers.iter().map(|(name, spec)| of_spec(Kind::BgpPeer, name, spec));
    nodes.chain(secrets).chain(configurations).chain(peers).collect()
}

fn of_node(name: &str, node: &Node) -> Value {
    let Node { labels, addresses, pod_cidrs } = node;
    let pod_cidrs: Vec<String> = pod_cidrs.iter().map(ToString::to_string).collect();
    let addresses: Vec<Value> =
        addresses.iter().map(|address| json!({"type": "InternalIP", "address": address})).collect();
    json!({
        "apiVersion": Kind::Node.api_version(), "kind": Kind::Node.name(),
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDRs": pod_cidrs},
        "status": {"addresses": addresses},
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
