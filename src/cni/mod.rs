//! The CNI plugin: one verb a file.
