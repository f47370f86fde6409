//! Address allocation on disk.
