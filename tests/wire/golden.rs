//! Octets from other speakers.
