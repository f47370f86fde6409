//! BGP-4 on the wire, and one session's state machine (RFC 4271).
//!
//! Owns: framing, every message and attribute in both directions, the reaction that RFC 4271 §6 or
//! RFC 7606 names for what is malformed, and the session FSM of RFC 4271 §8. Knows nothing of
//! tables, policy, other sessions or sockets.
//!
//! Bytes travel upwards through three files: [`header`] cuts the stream into messages, [`message`]
//! decodes one, [`session`] says what it means. Peer input is never trusted: what a
//! decoder cannot accept becomes a [`MessageError`], which carries the NOTIFICATION to answer with,
//! or an [`update::AttributeFault`] with the RFC 7606 treatment.
//!
//! The values of path attributes are decoded by the `zettabgp` package, behind guards that check
//! flags and exact lengths first; the rest of the wire format is ours, for the reasons given in
//! [`attribute`].

pub mod as_path;
pub mod attribute;
pub mod capability;
mod cursor;
pub mod extended_community;
pub mod header;
pub mod message;
mod nlri;
pub mod notification;
pub mod open;
pub mod reason;
pub mod role;
pub mod session;
pub mod update;

pub use as_path::{AsPath, Segment};
pub use attribute::{Community, ExactList, LargeCommunity, Origin, PathAttributes, Rare, RareAttributes};
pub use capability::Capability;
pub use extended_community::{ExtendedCommunity, ExtendedKind};
pub use message::{Codec, Message};
pub use nlri::{Nlri, PathId, PathNlri};
pub use notification::{MessageError, Notification};
pub use open::Open;
pub use reason::Reason;
pub use role::Role;
pub use session::Session;
pub use update::{Announcement, Update};
