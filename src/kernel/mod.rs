//! The Linux kernel, through rtnetlink and socket options: namespaces, links, addresses, routes,
//! and the TCP sockets that BGP needs.
//!
//! Owns every system call the program makes on the network. Decides nothing: what to install comes
//! from `fib`, what to attach from `cni`, what to build from `lab`.

pub mod addresses;
pub mod announce;
pub mod bell;
pub mod bridge;
mod conflict;
pub mod datagram;
mod exchange;
mod filter;
pub mod found;
mod frame;
pub mod installer;
pub mod links;
mod look;
mod mirror;
pub mod netlink;
mod netlink_socket;
pub mod netns;
pub mod nexthop_message;
mod nexthops;
mod notice;
pub mod port_holder;
pub mod priority;
mod refusal;
mod route_message;
mod route_reply;
mod route_request;
pub mod route_writer;
pub mod router_discovery;
pub mod routes;
pub mod rules;
pub mod settings;
pub mod socket;
mod sys;
pub mod sysctl;
pub mod watch;

pub use bell::Bell;
pub use installer::Installer;
pub use netlink::Netlink;
pub use netns::NetNs;
pub use route_writer::RouteWriter;
pub use watch::Watch;

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
