//! The lab, played: the real program with real routers, checked from outside. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod capture;
mod errors;
mod leftovers;
mod matrix;
mod objects;
mod rig;
mod schema;
