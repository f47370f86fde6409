//! A containerlab topology in network namespaces on one machine.
