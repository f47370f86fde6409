//! What the API server is told of routers, and how often: the parts that write, in virtual time, and a whole daemon,
//! against the small server of `tests/api_server`, which keeps every request.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod daemon;
#[allow(dead_code, reason = "shared with the tests of the source of objects")]
#[path = "../api_server/faults.rs"]
mod faults;
mod node;
#[allow(dead_code, reason = "shared with the tests of the source of objects")]
#[path = "../api_server/paths.rs"]
mod paths;
mod peers;
mod rig;
#[allow(dead_code, reason = "shared with the tests of the source of objects")]
#[path = "../api_server/server.rs"]
mod server;
#[allow(dead_code, reason = "shared with the tests of the source of objects")]
#[path = "../api_server/streams.rs"]
mod streams;
