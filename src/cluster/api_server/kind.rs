//! Which objects are watched, where they are on the API server, and which are wanted when.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::cluster::objects::{GROUP, ObjectSet, selector};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// `v1 Node`.
    Node,
    /// `BgpConfiguration`.
    BgpConfiguration,
    /// `BgpPeer`.
    BgpPeer,
    /// `v1 Secret`, in Routelet's own namespace.
    Secret,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Node, Kind::BgpConfiguration, Kind::BgpPeer, Kind::Secret];

    /// As objects write it under `kind`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Node => "Node",
            Kind::BgpConfiguration => "BgpConfiguration",
            Kind::BgpPeer => "BgpPeer",
            Kind::Secret => "Secret",
        }
    }

    /// As objects write it under `apiVersion`.
    pub(super) fn api_version(self) -> String {
        match self {
            Kind::Node | Kind::Secret => "v1".to_owned(),
            Kind::BgpConfiguration | Kind::BgpPeer => format!("{GROUP}/v1alpha1"),
        }
    }

    /// As roles and paths write it.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Node => "nodes",
            Kind::BgpConfiguration => "bgpconfigurations",
            Kind::BgpPeer => "bgppeers",
            Kind::Secret => "secrets",
        }
    }

    /// A CustomResourceDefinition makes it known to the API server.
    pub(super) fn is_custom(self) -> bool {
        matches!(self, Kind::BgpConfiguration | Kind::BgpPeer)
    }

    /// Path of the collection; `namespace` is Routelet's own.
    pub(super) fn path(self, namespace: &str) -> String {
        let plural = self.plural();
        match self {
            Kind::Node => format!("/api/v1/{plural}"),
            Kind::BgpConfiguration | Kind::BgpPeer => format!("/apis/{GROUP}/v1alpha1/{plural}"),
            Kind::Secret => format!("/api/v1/namespaces/{namespace}/{plural}"),
        }
    }
}

/// What one watch is about: all objects of a kind, or one by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    pub(super) kind: Kind,
    pub(super) name: Option<String>,
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
/// of all racks on every node.
pub(super) fn wanted(objects: &ObjectSet, node_name: &str) -> BTreeSet<Resource> {
    let always = [Kind::Node, Kind::BgpConfiguration, Kind::BgpPeer];
    let mut wanted: BTreeSet<Resource> = always.map(|kind| Resource { kind, name: None }).into();
    let Some(node) = objects.nodes.get(node_name) else { return wanted };
    for peer in objects.peers.values() {
        let elsewhere = peer.node_selector.as_ref().is_some_and(|s| !selector::matches(s, &node.labels));
        if elsewhere {
            continue;
        }
        let secrets = peer.secrets().map(|name| Resource { kind: Kind::Secret, name: Some(name.to_owned()) });
        wanted.extend(secrets);
    }
    wanted
}
