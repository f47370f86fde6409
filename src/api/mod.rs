//! gRPC over a View, on a Unix socket: the only place where proto types and domain types meet.
//!
//! Owns the service of `proto/routelet/v1alpha1/routelet.proto`, both ends of it: [`serve`] for the
//! daemon, [`Client`] for the commands. What it shows comes from a [`Source`], which the daemon
//! implements by asking its driver; this room neither knows how nor keeps a copy. Lists go out as
//! streams and are converted as the reader takes them.
//!
//! The socket is the whole access control: it is made with mode 0600, and there is no TCP.

mod client;
mod convert;
mod drain;
#[cfg(test)]
pub(crate) mod fixture;
mod kernel;
mod objects;
mod pods;
pub mod proto;
mod server;
mod socket;
mod source;
#[cfg(test)]
pub(crate) mod tests;
mod words;

use std::io;
use std::path::PathBuf;

pub use client::{Answers, Client};
pub use kernel::{KernelView, RuleView, SettingView};
pub use objects::{ObjectsView, WatchedKindView};
pub use pods::{CniConfigView, FirewallView, PodsView, PoolView};
pub use proto::PeerTable;
pub use server::serve;
pub use socket::Listener;
pub(crate) use source::within;
pub use source::{Destinations, RouteFilter, Source, TableFilter, Unavailable};
pub use words::Word;

/// Where the daemon answers unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/routelet/routelet.sock";

/// Why the API cannot be served or reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket belongs to a daemon that is alive.
    #[error("another routelet daemon answers on {}", .0.display())]
    Taken(PathBuf),
    /// Something that is not a socket lies at the socket's path, and is not ours to remove.
    #[error("{} is there already and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// A step of making the socket failed.
    #[error("API socket {}: {what}: {source}", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The step.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The server ended by itself.
    #[error("API server: {0}")]
    Server(#[source] tonic::transport::Error),
    /// Nobody answers on the socket.
    #[error("no routelet daemon answers on {}: {source}", .path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The connection could be made, but what is there does not speak gRPC.
    #[error("{} is not the API socket of a routelet daemon: {source}", .path.display())]
    NotAnApi {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The daemon refused or broke off.
    #[error("the daemon answers: {}", .0.message())]
    Refused(#[source] Box<tonic::Status>),
}
