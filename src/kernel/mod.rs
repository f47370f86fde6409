//! The Linux kernel, through rtnetlink and socket options: namespaces, links, addresses, routes,
//! and the TCP sockets that BGP needs.
//!
//! Owns every system call the program makes on the network. Decides nothing: what to install comes
//! from `fib`, what to attach from `cni`, what to build from `lab`.

// What the plugin needs, too.
pub mod address_request;
pub mod announce;
pub mod batch;
mod bridge;
pub mod bridge_request;
mod conversation;
pub mod digest;
mod exchange;
mod frame;
pub mod link;
pub mod link_request;
mod netlink_socket;
pub mod netns;
mod news;
pub mod nftables;
pub mod plain_route;
mod refusal;
mod rtm;
mod station_request;
mod sys;
pub mod sysctl;
mod unlink;

// What takes a runtime, or is the daemon's alone.
#[cfg(feature = "shell")]
pub mod addresses;
#[cfg(feature = "shell")]
pub mod bell;
#[cfg(feature = "shell")]
mod conflict;
#[cfg(feature = "shell")]
pub mod datagram;
#[cfg(feature = "shell")]
mod filter;
#[cfg(feature = "shell")]
pub mod found;
#[cfg(feature = "shell")]
pub mod installer;
#[cfg(feature = "shell")]
pub mod links;
#[cfg(feature = "shell")]
mod look;
#[cfg(feature = "shell")]
pub mod md5_counters;
#[cfg(feature = "shell")]
mod mirror;
#[cfg(feature = "shell")]
pub mod netlink;
#[cfg(feature = "shell")]
pub mod nexthop_message;
#[cfg(feature = "shell")]
mod nexthops;
#[cfg(feature = "shell")]
mod notice;
#[cfg(feature = "shell")]
pub mod port_holder;
#[cfg(feature = "shell")]
pub mod priority;
#[cfg(feature = "shell")]
mod route_message;
#[cfg(feature = "shell")]
mod route_reply;
#[cfg(feature = "shell")]
mod route_request;
#[cfg(feature = "shell")]
pub mod route_writer;
#[cfg(feature = "shell")]
pub mod router_discovery;
#[cfg(feature = "shell")]
pub mod routes;
#[cfg(feature = "shell")]
pub mod rules;
#[cfg(feature = "shell")]
pub mod settings;
#[cfg(feature = "shell")]
pub mod socket;
#[cfg(feature = "shell")]
pub mod watch;

pub use address_request::LinkAddress;
pub use batch::{At, Batch, Outcome, Place};
pub use conversation::Conversation;
pub use netns::NetNs;
pub use news::{Deadline, News};
pub use plain_route::RouteOptions;

#[cfg(feature = "shell")]
pub use self::{bell::Bell, installer::Installer, netlink::Netlink, route_writer::RouteWriter, watch::Watch};

use crate::prefix::Prefix;

/// Why the kernel did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a netlink request.
    #[error("{what}: {source}")]
    Netlink {
        /// What was being asked, with the names involved.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was being done, with the names involved.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Another listener has the address.
    #[cfg(feature = "shell")]
    #[error("listen on {address}: {holder}")]
    PortTaken {
        /// The address that was asked for.
        address: std::net::SocketAddr,
        /// Who has it.
        holder: port_holder::Holder,
    },
    /// Somebody else's route stands where ours would go. It has been left alone.
    #[error("install {prefix} metric {metric}: there is a route already, made by {owner}")]
    ForeignRoute {
        /// Destination.
        prefix: Prefix,
        /// The kernel's priority, which both would have.
        metric: u32,
        /// Name and number of the other route's protocol.
        owner: String,
    },
    /// Somebody else has a nexthop object with the number of ours. It has been left alone.
    #[error("set nexthop group {id}: somebody else has a nexthop object of that number")]
    ForeignGroup {
        /// The number.
        id: u32,
    },
    /// The kernel is older than Linux 5.3, or built without them.
    #[error("the kernel knows no nexthop groups")]
    NoNexthopGroups,
    /// What should be a bridge is something else.
    #[error("{name} exists and is no bridge: it is a {kind}; remove it, or name another bridge")]
    NotABridge {
        /// Name of the interface.
        name: String,
        /// What it is.
        kind: String,
    },
    /// A port of the node is mapped to another pod already.
    #[error("{port} is taken: {holder}")]
    HostPortTaken {
        /// The port.
        port: String,
        /// Who has it.
        holder: String,
    },
    /// Others have changed nftables every time that we were about to.
    #[error("{what}: others keep changing it")]
    Contended {
        /// What was being done.
        what: &'static str,
    },
    /// The kernel turns an IPv6 route's metric 0 into 1024.
    #[error("install {prefix} metric 0: an IPv6 route cannot have metric 0")]
    MetricZero {
        /// Destination.
        prefix: Prefix,
    },
}

impl Error {
    /// For `map_err` on a system call: says what was being done.
    fn system<E: Into<std::io::Error>>(what: impl FnOnce() -> String) -> impl FnOnce(E) -> Error {
        move |source| Error::System { what: what(), source: source.into() }
    }
}
