//! What the daemon must be allowed at the API server, and what for: the one list that the manifests' RBAC is
//! held against.

/// Objects of which namespace a permission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Of the whole cluster, or of kinds without a namespace.
    Cluster,
    /// Of the namespace that the daemon runs in.
    Own,
    /// Of `default`, where events about objects without a namespace go.
    Default,
}

/// Something the daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// API group; empty for the core.
    pub group: &'static str,
    /// Resource, with its subresource if that is meant.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Where.
    pub scope: Scope,
    /// What for, in words.
    pub why: &'static str,
}

/// To follow a collection.
const FOLLOW: &[&str] = &["list", "watch"];

/// All of them.
pub const ALL: &[Permission] = &[
    cluster("", "nodes", FOLLOW, "addresses, pod CIDRs and labels of every node"),
    cluster("", "nodes", &["get"], "the owner of the node's BgpNodeStatus"),
    cluster("", "nodes", &["patch"], "the startup taint of its own node, once that can take pods"),
    cluster("", "nodes/status", &["patch"], "the condition NetworkUnavailable of its own node"),
    cluster("", "services", FOLLOW, "addresses to announce"),
    cluster("discovery.k8s.io", "endpointslices", FOLLOW, "whether a service has endpoints on the node"),
    cluster("routelet.dev", "bgpconfigurations", FOLLOW, "configuration"),
    cluster("routelet.dev", "bgppeers", FOLLOW, "configuration"),
    cluster("routelet.dev", "bgpadvertisements", FOLLOW, "configuration"),
    cluster("routelet.dev", "bgppeers/status", &["patch"], "which nodes have the session"),
    cluster("routelet.dev", "bgpnodestatuses", &["get", "create", "patch"], "what it says of its own node"),
    cluster("routelet.dev", "bgpnodestatuses", FOLLOW, "where it is the one that sums them up"),
    cluster("routelet.dev", "bgpnodestatuses/status", &["patch"], "what it says of its own node"),
    own("", "secrets", FOLLOW, "passwords that peers refer to"),
    own("coordination.k8s.io", "leases", &["get", "create", "update"], "which daemon sums statuses up"),
    Permission {
        group: "events.k8s.io",
        resource: "events",
        verbs: &["create", "patch"],
        scope: Scope::Default,
        why: "what has happened to nodes and peers",
    },
];

const fn cluster(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    why: &'static str,
) -> Permission {
    Permission { group, resource, verbs, scope: Scope::Cluster, why }
}

const fn own(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    why: &'static str,
) -> Permission {
    Permission { group, resource, verbs, scope: Scope::Own, why }
}
