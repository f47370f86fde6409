//! The objects that the daemon is told by: Kubernetes' own and ours, each right by itself.
//!
//! An [`Object`] is made from a decoded Kubernetes object by checking everything about it that needs
//! no other object. An [`ObjectSet`] holds such objects by name and is what both sources hand to
//! [`super::intent::compile`].
//!
//! What a check here finds, the API server should refuse before: the attributes `schemars` and `x_kube` of a type
//! say the same as its check, as schema and in CEL. `tests/deploy/crds.rs` holds the two together.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub mod bfd;
pub mod bgp_advertisement;
pub mod bgp_configuration;
pub mod bgp_node_status;
pub mod bgp_peer;
pub mod cni;
pub mod duration;
pub mod endpoint_slice;
pub mod from_node;
pub mod graceful_restart;
pub mod kernel;
pub mod node;
pub mod readiness;
pub mod secret;
pub mod selector;
pub mod service;
pub mod values;

pub use bgp_advertisement::{BgpAdvertisement, BgpAdvertisementSpec};
pub use bgp_configuration::{BgpConfiguration, BgpConfigurationSpec};
pub use bgp_node_status::BgpNodeStatus;
pub use bgp_peer::{BgpPeer, BgpPeerSpec};
pub use endpoint_slice::EndpointSlice;
pub use node::Node;
pub use secret::Secret;
pub use service::Service;

/// API group of our own kinds.
pub const GROUP: &str = "routelet.dev";

/// Namespace and name of an object that has both, in order of the namespaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespacedName {
    /// The namespace: `default` where a manifest names none.
    pub namespace: String,
    /// The name within it.
    pub name: String,
}

impl fmt::Display for NamespacedName {
    /// As `kubectl` writes it: `shop/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// All objects of a cluster that matter here, by name.
///
/// Secrets go by name alone: those that peers refer to live in the daemon's own namespace, and a
/// manifests directory stands for that one namespace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObjectSet {
    /// `v1 Node`.
    pub nodes: BTreeMap<String, Node>,
    /// `v1 Secret`.
    pub secrets: BTreeMap<String, Secret>,
    /// `BgpConfiguration`.
    pub configurations: BTreeMap<String, BgpConfigurationSpec>,
    /// `BgpPeer`.
    pub peers: BTreeMap<String, BgpPeerSpec>,
    /// `BgpAdvertisement`.
    pub advertisements: BTreeMap<String, BgpAdvertisementSpec>,
    /// `v1 Service`.
    pub services: BTreeMap<NamespacedName, Service>,
    /// `discovery.k8s.io/v1 EndpointSlice`.
    pub endpoint_slices: BTreeMap<NamespacedName, EndpointSlice>,
}

impl ObjectSet {
    /// Adds an object, or replaces the one of the same kind and name.
    pub fn apply(&mut self, object: Object) {
        match object {
            Object::Node(name, node) => drop(self.nodes.insert(name, node)),
            Object::Secret(name, secret) => drop(self.secrets.insert(name, secret)),
            Object::Configuration(name, spec) => drop(self.configurations.insert(name, *spec)),
            Object::Peer(name, spec) => drop(self.peers.insert(name, *spec)),
            Object::Advertisement(name, spec) => drop(self.advertisements.insert(name, *spec)),
            Object::Service(name, service) => drop(self.services.insert(name, *service)),
            Object::EndpointSlice(name, slice) => drop(self.endpoint_slices.insert(name, slice)),
        }
    }
}

/// One object with its name, every field of which makes sense by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// `v1 Node`.
    Node(String, Node),
    /// `v1 Secret`.
    Secret(String, Secret),
    /// `BgpConfiguration`.
    Configuration(String, Box<BgpConfigurationSpec>),
    /// `BgpPeer`.
    Peer(String, Box<BgpPeerSpec>),
    /// `BgpAdvertisement`.
    Advertisement(String, Box<BgpAdvertisementSpec>),
    /// `v1 Service`.
    Service(NamespacedName, Box<Service>),
    /// `discovery.k8s.io/v1 EndpointSlice`.
    EndpointSlice(NamespacedName, EndpointSlice),
}

impl fmt::Display for Object {
    /// Kind and name: `BgpPeer tor-a`, `Service shop/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Node(name, _) => write!(f, "Node {name}"),
            Object::Secret(name, _) => write!(f, "Secret {name}"),
            Object::Configuration(name, _) => write!(f, "BgpConfiguration {name}"),
            Object::Peer(name, _) => write!(f, "BgpPeer {name}"),
            Object::Advertisement(name, _) => write!(f, "BgpAdvertisement {name}"),
            Object::Service(name, _) => write!(f, "Service {name}"),
            Object::EndpointSlice(name, _) => write!(f, "EndpointSlice {name}"),
        }
    }
}

/// Something wrong with one object by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text}")]
pub struct Problem {
    /// Path of the field, such as `spec.timers.hold`.
    pub field: String,
    /// What is wrong.
    pub text: String,
}

/// Collects problems, so that one look at an object finds all of them.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, text: impl Into<String>) {
        self.0.push(Problem { field: field.into(), text: text.into() });
    }

    /// The object, if there are none.
    fn or(self, object: Object) -> Result<Object, Vec<Problem>> {
        if self.0.is_empty() { Ok(object) } else { Err(self.0) }
    }
}

/// The name of an object. Every Kubernetes object has one, and it is a DNS subdomain (RFC 1123).
fn metadata_name(metadata: &ObjectMeta, problems: &mut Problems) -> String {
    let name = metadata.name.clone().unwrap_or_default();
    let valid = name.len() <= 253
        && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.'))
        && name.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    if name.is_empty() {
        problems.add("metadata.name", "required");
    } else if !valid {
        problems
            .add("metadata.name", "must be lower-case letters, digits and hyphens, in parts joined by dots");
    }
    name
}

/// Namespace and name of an object that has both.
fn namespaced_name(metadata: &ObjectMeta, problems: &mut Problems) -> NamespacedName {
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    NamespacedName { namespace, name: metadata_name(metadata, problems) }
}

impl TryFrom<k8s::Node> for Object {
    type Error = Vec<Problem>;

    fn try_from(object: k8s::Node) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let (name, node) = Node::read(object, &mut problems);
        problems.or(Object::Node(name, node))
    }
}

impl TryFrom<k8s::Secret> for Object {
    type Error = Vec<Problem>;

    fn try_from(object: k8s::Secret) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let (name, secret) = Secret::read(object, &mut problems);
        problems.or(Object::Secret(name, secret))
    }
}

impl TryFrom<BgpConfiguration> for Object {
    type Error = Vec<Problem>;

    fn try_from(object: BgpConfiguration) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let name = metadata_name(&object.metadata, &mut problems);
        object.spec.check(&name, &mut problems);
        problems.or(Object::Configuration(name, Box::new(object.spec)))
    }
}

impl TryFrom<BgpPeer> for Object {
    type Error = Vec<Problem>;

    fn try_from(object: BgpPeer) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let name = metadata_name(&object.metadata, &mut problems);
        object.spec.check(&mut problems);
        problems.or(Object::Peer(name, Box::new(object.spec)))
    }
}

impl TryFrom<BgpAdvertisement> for Object {
    type Error = Vec<Problem>;

    fn try_from(object: BgpAdvertisement) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let name = metadata_name(&object.metadata, &mut problems);
        object.spec.check(&mut problems);
        problems.or(Object::Advertisement(name, Box::new(object.spec)))
    }
}

impl TryFrom<k8s::Service> for Object {
    type Error = Vec<Problem>;

    fn try_from(object: k8s::Service) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let (name, service) = Service::read(object, &mut problems);
        problems.or(Object::Service(name, Box::new(service)))
    }
}

impl TryFrom<discovery::EndpointSlice> for Object {
    type Error = Vec<Problem>;

    fn try_from(object: discovery::EndpointSlice) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let (name, slice) = EndpointSlice::read(object, &mut problems);
        problems.or(Object::EndpointSlice(name, slice))
    }
}
