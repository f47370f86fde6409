//! A containerlab topology in network namespaces on one machine.

pub mod topology;
