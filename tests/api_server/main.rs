//! The API server as a source of objects, against a small server over HTTP that can do wrong whatever the real one
//! does: `server` serves, `faults` and `streams` are what it can be told. Other tests that need an API server may take
//! these modules in by their path.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cached;
mod daemon;
mod failures;
mod faults;
mod lists;
mod objects;
mod own_node;
mod paths;
mod real;
mod rig;
mod server;
mod streams;
mod writes;
