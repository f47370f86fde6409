//! The UPDATE message (RFC 4271 §4.3, MP_REACH_NLRI and MP_UNREACH_NLRI of RFC 4760, error handling
//! of RFC 7606).
//!
//! Owns what a message says of prefixes; `decode` decides their fate when something in it is
//! malformed, `encode` packs them.

mod decode;
mod encode;

use super::{PathAttributes, PathNlri};
use crate::prefix::{Family, Prefix};
pub(super) use decode::decode;
pub(super) use encode::{encode_announcements, encode_end_of_rib, encode_withdrawals};

/// An UPDATE, after RFC 7606 has been applied: prefixes to be treated as withdrawn are already in
/// `withdrawn`, discarded attributes are already gone. Withdrawals come first: a prefix that is in
/// both lists is announced (RFC 4271 §4.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// Prefixes withdrawn, of any family.
    pub withdrawn: Vec<Prefix>,
    /// Paths withdrawn by their identifiers (RFC 7911), likewise.
    pub withdrawn_paths: Vec<PathNlri>,
    /// Prefixes announced: at most one entry from the body and one from MP_REACH_NLRI.
    pub announced: Vec<Announcement>,
    /// The family this message marks the end of the initial update for (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    /// What was malformed and how it was treated; empty for a clean message.
    pub faults: Vec<AttributeFault>,
}

/// Prefixes that share one set of attributes: all with path identifiers or all without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The attributes, next hop included.
    pub attributes: PathAttributes,
    /// Prefixes of one family.
    pub prefixes: Vec<Prefix>,
    /// Prefixes of one family with path identifiers, where the session has them (RFC 7911).
    pub paths: Vec<PathNlri>,
}

/// The RFC 7606 §2 reactions short of a session reset (which is a `MessageError`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Treatment {
    /// All prefixes of the message are handled as if withdrawn.
    TreatAsWithdraw,
    /// The attribute alone is dropped.
    AttributeDiscard,
}

/// One malformed attribute and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeFault {
    /// Type code of the attribute; 0 for a fault of the message body.
    pub code: u8,
    /// What was done.
    pub treatment: Treatment,
    /// What was wrong, for a person.
    pub what: String,
    /// The offending attribute's bytes, header included, cut at 64.
    pub bytes: Vec<u8>,
}
