//! The API server of a Kubernetes cluster as a source of objects.
//!
//! ```text
//!  server ══ follow (list, watch) ─► seen ─► collection ─► watch ─► Reading
//!            one task a resource     reduced,  one set               one a burst
//!                                    decoded      └──► cache (file)
//! ```
//!
//! [`connect`] finds the server. [`ApiServer::watch`] follows what one node needs: all Nodes, the `BgpConfiguration`s,
//! `BgpPeer`s and `BgpAdvertisement`s; of the Secrets those that peers of this node name; Services and
//! EndpointSlices while an advertisement has the node announce some. [`ApiServer::client`] gives a client to whoever
//! has something to write there; the daemon has the one [`ApiServer`] of its process in `daemon::run`, and none with
//! manifests.
//!
//! What an outage of the server changes is nothing, however long it lasts: the last good set stays, and is kept in a file
//! for a daemon that starts meanwhile. What a malformed object changes is nothing but itself: its last good version
//! stays, that of the file at a start, and everybody else's changes go on.
//!
//! # What it costs the server
//!
//! Four watches a node, one more for each password, and two more with Services. Lists are rare: one at
//! start, streamed from the server's cache where it can do that, and another only after `410 Gone`. A watch begins anew every four to
//! five minutes, which for 5,000 nodes is 75 requests a second. What weighs is what Nodes say: a kubelet writes
//! its Node's status every five minutes even if nothing has changed, so that 5,000 of them make 17 events a second, which the
//! server sends to each of 5,000 daemons, at some kilobytes each. That is what every watch of all Nodes costs; the kubelets'
//! `nodeStatusReportFrequency` is what lowers it. Here, such an event is decoded, found to be no change, and
//! dropped.

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
pub use kind::Kind;
pub use watch::Watch;
