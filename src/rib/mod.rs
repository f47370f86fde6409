//! Paths, the decision process and policy (RFC 4271 §3.2, §9; RFC 4456; RFC 8212).
//!
//! A path's way through this room:
//!
//! ```text
//! Adj-RIB-In ─► import ─► LocRib ─► decision ─► export ─► UpdateGroup
//! ```
//!
//! Owns what is known and what is told; not how it is encoded (`bgp`) nor how it is forwarded
//! (`fib`, which this room does not know). Each file is a set of values and functions over them; the
//! speaker calls them in that order.

pub mod anycast;
pub mod as_path_rules;
mod counts;
pub mod decision;
mod destination;
pub mod export;
mod follower;
pub mod holds;
pub mod import;
pub mod intern;
mod leaving;
pub mod loc_rib;
pub mod news;
pub mod next_hop;
pub mod only_to_customer;
pub mod path;
mod paths;
pub mod paths_out;
mod pending;
pub mod policy;
mod statement;
mod table;
mod tally;
pub mod update_group;
pub mod well_known;

pub use decision::{Decision, Rule};
pub use intern::Interner;
pub use loc_rib::LocRib;
pub use path::{Path, PeerId, Rejection, Source};
pub use paths_out::PathsOut;
pub use statement::StatementId;
pub use update_group::UpdateGroup;
