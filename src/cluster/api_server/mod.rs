//! The API server of a Kubernetes cluster as a source of objects.
//!
//! [`connect`] finds it. A client for what is to be written there comes from [`ApiServer::client`]; the
//! daemon has the one [`ApiServer`] of its process in `daemon::run`, and none with manifests.

mod access;

pub use access::{ApiServer, DEFAULT_NAMESPACE, connect};
