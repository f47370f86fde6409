//! Paths, the decision process and policy (RFC 4271 §3.2, §9; RFC 4456; RFC 8212).
//!
//! A path's way through this room:
//!
//! ```text
//! Adj-RIB-In ─► import ─► LocRib ─► decision ─► export ─► AdjRibOut
//! ```
//!
//! Owns what is known and what is told; not how it is encoded (`bgp`) nor how it is forwarded
//! (`fib`, which this room does not know). Each file is a set of values and functions over them; the
//! speaker calls them in that order.

pub mod adj_rib_out;
pub mod anycast;
pub mod as_path_rules;
mod counts;
pub mod decision;
mod destination;
pub mod export;
pub mod import;
pub mod intern;
mod leaving;
pub mod loc_rib;
pub mod next_hop;
pub mod only_to_customer;
pub mod path;
mod paths;
mod paths_out;
mod pending;
pub mod policy;
mod table;
pub mod well_known;

pub use adj_rib_out::AdjRibOut;
pub use decision::{Decision, Rule};
pub use intern::Interner;
pub use loc_rib::LocRib;
pub use path::{Path, PeerId, Rejection, Source};
