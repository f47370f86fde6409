//! Which objects are watched, where they are on the API server, and which are wanted when.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::cluster::objects::{BgpAdvertisementSpec, GROUP, ObjectSet, selector};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `v1 Node`.
    Node,
    /// `BgpConfiguration`.
    BgpConfiguration,
    /// `BgpPeer`.
    BgpPeer,
    /// `v1 Secret`, in Routelet's own namespace.
    Secret,
    /// `BgpAdvertisement`.
    BgpAdvertisement,
    /// `v1 Service`, in all namespaces.
    Service,
    /// `discovery.k8s.io/v1 EndpointSlice`, in all namespaces.
    EndpointSlice,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [
        Kind::Node,
        Kind::BgpConfiguration,
        Kind::BgpPeer,
        Kind::Secret,
        Kind::BgpAdvertisement,
        Kind::Service,
        Kind::EndpointSlice,
    ];

    /// As objects write it under `kind`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Node => "Node",
            Kind::BgpConfiguration => "BgpConfiguration",
            Kind::BgpPeer => "BgpPeer",
            Kind::Secret => "Secret",
            Kind::BgpAdvertisement => "BgpAdvertisement",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
        }
    }

    /// As objects write it under `apiVersion`.
    pub(super) fn api_version(self) -> String {
        match self {
            Kind::Node | Kind::Secret | Kind::Service => "v1".to_owned(),
            Kind::EndpointSlice => "discovery.k8s.io/v1".to_owned(),
            Kind::BgpConfiguration | Kind::BgpPeer | Kind::BgpAdvertisement => format!("{GROUP}/v1alpha1"),
        }
    }

    /// As roles and paths write it.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Node => "nodes",
            Kind::BgpConfiguration => "bgpconfigurations",
            Kind::BgpPeer => "bgppeers",
            Kind::Secret => "secrets",
            Kind::BgpAdvertisement => "bgpadvertisements",
            Kind::Service => "services",
            Kind::EndpointSlice => "endpointslices",
        }
    }

    /// A CustomResourceDefinition makes it known to the API server.
    pub(super) fn is_custom(self) -> bool {
        matches!(self, Kind::BgpConfiguration | Kind::BgpPeer | Kind::BgpAdvertisement)
    }

    /// Others say whether it is wanted. Without it a node can do all else.
    pub(super) fn is_dependent(self) -> bool {
        matches!(self, Kind::Secret | Kind::Service | Kind::EndpointSlice)
    }

    /// Path of the collection; `namespace` is Routelet's own.
    pub(super) fn path(self, namespace: &str) -> String {
        let (version, plural) = (self.api_version(), self.plural());
        match self {
            Kind::Secret => format!("/api/v1/namespaces/{namespace}/{plural}"),
            _ if version.contains('/') => format!("/apis/{version}/{plural}"),
            _ => format!("/api/{version}/{plural}"),
        }
    }
}

/// What one watch is about: all objects of a kind, or one by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    pub(super) name: Option<String>,
}

impl Resource {
    /// The one that tells of an object.
    pub(super) fn of(kind: Kind, name: &str) -> Resource {
        Resource { kind, name: (kind == Kind::Secret).then(|| name.to_owned()) }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        self.name.iter().try_for_each(|name| write!(f, " {name}"))
    }
}

/// What has to be watched for the node `node_name`, as far as the objects so far tell.
///
/// Of Secrets, those that peers of this node name, one watch each: so many as a node has passwords, and not those
/// of all racks on every node. Services and their endpoints, which change with every pod, only while an
/// advertisement has this node announce some.
pub(super) fn wanted(objects: &ObjectSet, node_name: &str) -> BTreeSet<Resource> {
    let whole = |kind| Resource { kind, name: None };
    let always = [Kind::Node, Kind::BgpConfiguration, Kind::BgpPeer, Kind::BgpAdvertisement];
    let mut wanted: BTreeSet<Resource> = always.map(whole).into();
    let Some(node) = objects.nodes.get(node_name) else { return wanted };
    let here = |selector: &Option<LabelSelector>| {
        selector.as_ref().is_none_or(|selector| selector::matches(selector, &node.labels))
    };
    for peer in objects.peers.values().filter(|peer| here(&peer.node_selector)) {
        let secrets = peer.secrets().map(|name| Resource { kind: Kind::Secret, name: Some(name.to_owned()) });
        wanted.extend(secrets);
    }
    let announces =
        |spec: &BgpAdvertisementSpec| spec.service_selector.is_some() && here(&spec.node_selector);
    if objects.advertisements.values().any(announces) {
        wanted.extend([Kind::Service, Kind::EndpointSlice].map(whole));
    }
    wanted
}
