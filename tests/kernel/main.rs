//! The kernel room against the real kernel, in network namespaces that each test makes for itself
//! and that vanish with it. Needs root.

mod links;
mod rig;
mod routes;
