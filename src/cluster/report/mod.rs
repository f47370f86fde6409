//! What the cluster is told of its routers: a `BgpNodeStatus` for each node, the status of each `BgpPeer`,
//! events. Nothing of it is needed for a packet to be forwarded, and nothing waits for it.
//!
//! ```text
//!  speaker's View ─┐
//!  findings       ─┼─► node::report ─► pace ─► BgpNodeStatus of this node ──┐ watched by one node,
//!  kernel         ─┘   (pure)        (pure)    + events on its Node         ▼ the holder of the Lease
//!                                                           aggregate ─► pace ─► status of each BgpPeer
//!                                                            (pure)               + events on it
//! ```
//!
//! With manifests as the source of objects nothing is written: there is nobody to read it.
//!
//! # What it costs the API server
//!
//! Every node writes its own object and no other, once what it says has changed:
//!
//! - at most 5 times at a distance of 10 s, then once every 2 minutes (a bucket of writes that fills up by one
//!   every 2 minutes): 35 writes in an hour at most, 30 in each that follows, however its network flaps, and
//!   failed attempts are among them. The last state is written within 2 minutes, or 3 in a large cluster, once the
//!   server answers; mostly within seconds;
//! - counters of prefixes are no change, unless by about a fifth, and then wait for 10 minutes;
//! - after a random part of a spread of 1 s for each 100 nodes (from 1 s to 60 s). What all see at once is written
//!   by 100 nodes a second at most; with more than 6,000 nodes, by all of them in a minute;
//! - a write that fails is tried again after 5 s, 10 s, … 300 s, of which half is random, and not before what
//!   the server asks for (`retryAfterSeconds`).
//!
//! For 5,000 nodes with one `BgpPeer` for each rack of 40 nodes, that is:
//!
//! | | requests | watch events |
//! |---|---|---|
//! | nothing happens | 0 writes, but one a renewal of the Lease each 15 s; 3.5 reads of it a second | 0 |
//! | a ToR fails: 40 nodes lose a session | 40 writes, over at most 50 s; 1 to 3 of its `BgpPeer` | 40 to one watcher; 3 to each node that watches `BgpPeer`s |
//! | a reflector fails that all have | 5,000 writes in 50 s: 100 a second | 5,000 to one watcher |
//! | rolling update, 50 nodes at a time, 30 s each | 2 or 3 writes and a read for each node: 5 writes a second | the same, to one watcher |
//! | everything flaps for ever | 42 writes a second (5,000 each 2 minutes) | the same, to one watcher |
//! | the server was away for an hour | each node tries every 150 to 300 s meanwhile (22 a second); then the last state of each, once, over 5 minutes | |
//!
//! A `BgpNodeStatus` has 2 KB and 250 octets more for each session, of which 250 at most are listed. The node that
//! holds the Lease reads all of them once when it begins to (5,000: some 15 MB, in pages of 500), and is then sent the
//! changes; no other node watches them. It writes each `BgpPeer` at most 10 times at a distance of 10 s, then
//! once a minute. Those go to every node, as `BgpPeer`s are watched by all: with 125 racks that flap for ever 2
//! events a second to each.
//!
//! Events are told along with writes of a status, and are never more: what happened between two writes is one
//! event that says what came of it.
//!
//! # What it needs to be allowed
//!
//! | API group | resource | verbs | for |
//! |---|---|---|---|
//! | `routelet.dev` | `bgpnodestatuses` | `get`, `create`, `patch`; `list`, `watch` | its own object; all of them, where it holds the Lease |
//! | `routelet.dev` | `bgpnodestatuses/status` | `patch` | what it says |
//! | `routelet.dev` | `bgppeers` | `list`, `watch` | what is said of them |
//! | `routelet.dev` | `bgppeers/status` | `patch` | the same |
//! | `""` | `nodes` | `get` | the owner of its object |
//! | `events.k8s.io` | `events` | `create`, `patch` | in the namespace `default`, where those on objects without one go |
//! | `coordination.k8s.io` | `leases` | `get`, `create`, `update` | `routelet-status` in Routelet's own namespace |

pub mod aggregate;
pub mod announce;
mod api;
mod condition;
mod follow;
pub mod lease;
pub mod node;
mod overseer;
pub mod pace;
pub mod reason;
mod writer;

pub(super) use api::within;
pub use api::{Error, MANAGER};
pub use node::{Audit, Seen};
pub use overseer::{LEASE, Overseer};
pub use pace::Terms;
pub use reason::Md5;
pub use writer::NodeWriter;
