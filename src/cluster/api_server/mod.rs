//! The API server of a Kubernetes cluster as a source of objects.
//!
//! ```text
//!  server ══ follow (list, watch) ─► seen ─► collection ─► watch ─► Reading
//!            one task a resource     reduced,  one set               one a burst
//!                                    decoded      └──► cache (file)
//! ```
//!
//! [`connect`] finds the server. [`ApiServer::watch`] follows what one node needs: all Nodes, the `BgpConfiguration`s and
//! `BgpPeer`s, and of the Secrets those that peers of this node name. [`ApiServer::client`] gives a client to whoever
//! has something to write there; the daemon has the one [`ApiServer`] of its process in `daemon::run`, and none with
//! manifests.
//!
//! What an outage of the server changes is nothing, however long it lasts: the last good set stays, and is kept in a file
//! for a daemon that starts meanwhile. What a malformed object changes is nothing but itself: its last good version
//! stays, and everybody else's changes go on.

mod access;
mod cache;
mod collection;
mod follow;
mod health;
mod kind;
mod pace;
mod page;
mod request;
mod seen;
mod set;
mod watch;

pub use access::{ApiServer, DEFAULT_NAMESPACE, connect};
pub use cache::FILE_NAME;
pub use health::{Health, KindHealth};
pub use kind::{Kind, Resource};
pub use watch::Watch;
