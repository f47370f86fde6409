//! The words that stand for the API's enumerations, in tables and in JSON alike.

use serde::Serializer;

use super::proto::{DrainStage, Family, FibState, FibTarget, Origin, PeerOrigin, SessionState};

/// An enumeration of the API whose values have words.
pub trait Word: TryFrom<i32> + Copy {
    /// The word, as the proto file gives it in quotes.
    fn word(self) -> &'static str;

    /// The word for a value off the wire. A daemon newer than this program may know one more.
    fn word_of(value: i32) -> &'static str {
        Self::try_from(value).map_or("unknown", Self::word)
    }
}

/// Serializes a message's enumeration field as its word. Named by `build.rs`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
pub(super) fn serialize<W: Word, S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(W::word_of(*value))
}

impl Word for Family {
    fn word(self) -> &'static str {
        match self {
            Family::Unspecified => "unspecified",
            Family::Ipv4Unicast => "ipv4Unicast",
            Family::Ipv6Unicast => "ipv6Unicast",
        }
    }
}

impl Word for PeerOrigin {
    fn word(self) -> &'static str {
        match self {
            PeerOrigin::Unspecified => "unspecified",
            PeerOrigin::Configured => "configured",
            PeerOrigin::Mesh => "mesh",
            PeerOrigin::Dynamic => "dynamic",
        }
    }
}

impl Word for SessionState {
    fn word(self) -> &'static str {
        match self {
            SessionState::Unspecified => "unspecified",
            SessionState::Idle => "Idle",
            SessionState::Connect => "Connect",
            SessionState::Active => "Active",
            SessionState::OpenSent => "OpenSent",
            SessionState::OpenConfirm => "OpenConfirm",
            SessionState::Established => "Established",
        }
    }
}

impl Word for Origin {
    fn word(self) -> &'static str {
        match self {
            Origin::Unspecified => "unspecified",
            Origin::Igp => "igp",
            Origin::Egp => "egp",
            Origin::Incomplete => "incomplete",
        }
    }
}

impl Word for FibTarget {
    fn word(self) -> &'static str {
        match self {
            FibTarget::Unspecified => "unspecified",
            FibTarget::Via => "via",
            FibTarget::Unreachable => "unreachable",
            FibTarget::None => "none",
        }
    }
}

impl Word for FibState {
    fn word(self) -> &'static str {
        match self {
            FibState::Unspecified => "unspecified",
            FibState::Installed => "installed",
            FibState::Pending => "pending",
            FibState::Failed => "failed",
        }
    }
}

impl Word for DrainStage {
    fn word(self) -> &'static str {
        match self {
            DrainStage::Unspecified => "unspecified",
            DrainStage::Asking => "asking",
            DrainStage::Settling => "settling",
            DrainStage::Withdrawing => "withdrawing",
            DrainStage::Closing => "closing",
            DrainStage::Drained => "drained",
        }
    }
}
