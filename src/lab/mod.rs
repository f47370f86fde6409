//! A containerlab topology in network namespaces on one machine.

pub mod exec_line;
pub mod manifests;
pub mod plan;
pub mod topology;
pub mod tor;
