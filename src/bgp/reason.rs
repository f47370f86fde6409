//! The error codes and subcodes of NOTIFICATION, with their names in the IANA registry.
//!
//! From RFC 4271 §4.5, and from the RFCs that added to it: RFC 4486 (Cease), RFC 5492 (Unsupported
//! Capability), RFC 6608 (FSM errors), RFC 7313 (ROUTE-REFRESH), RFC 8538 (Hard Reset), RFC 9234
//! (Role Mismatch), RFC 9384 (BFD Down) and RFC 9687 (Send Hold Timer).

use std::fmt;

/// Error code and subcode of a NOTIFICATION.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reason {
    /// Error code.
    pub code: u8,
    /// Error subcode; 0 is unspecific.
    pub subcode: u8,
}

macro_rules! reasons {
    ($($constant:ident = $code:literal / $subcode:literal, $name:literal;)*) => {
        impl Reason {
            $(
                #[doc = concat!($name, " (", $code, "/", $subcode, ").")]
                pub const $constant: Reason = Reason { code: $code, subcode: $subcode };
            )*

            fn subcode_name(self) -> Option<&'static str> {
                match (self.code, self.subcode) {
                    $(($code, $subcode) => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    CONNECTION_NOT_SYNCHRONIZED = 1 / 1, "Connection Not Synchronized";
    BAD_MESSAGE_LENGTH = 1 / 2, "Bad Message Length";
    BAD_MESSAGE_TYPE = 1 / 3, "Bad Message Type";
    MALFORMED_OPEN = 2 / 0, "Unspecific";
    UNSUPPORTED_VERSION_NUMBER = 2 / 1, "Unsupported Version Number";
    BAD_PEER_AS = 2 / 2, "Bad Peer AS";
    BAD_BGP_IDENTIFIER = 2 / 3, "Bad BGP Identifier";
    UNSUPPORTED_OPTIONAL_PARAMETER = 2 / 4, "Unsupported Optional Parameter";
    UNACCEPTABLE_HOLD_TIME = 2 / 6, "Unacceptable Hold Time";
    UNSUPPORTED_CAPABILITY = 2 / 7, "Unsupported Capability";
    ROLE_MISMATCH = 2 / 11, "Role Mismatch";
    MALFORMED_ATTRIBUTE_LIST = 3 / 1, "Malformed Attribute List";
    UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE = 3 / 2, "Unrecognized Well-known Attribute";
    MISSING_WELL_KNOWN_ATTRIBUTE = 3 / 3, "Missing Well-known Attribute";
    ATTRIBUTE_FLAGS_ERROR = 3 / 4, "Attribute Flags Error";
    ATTRIBUTE_LENGTH_ERROR = 3 / 5, "Attribute Length Error";
    INVALID_ORIGIN_ATTRIBUTE = 3 / 6, "Invalid ORIGIN Attribute";
    INVALID_NEXT_HOP_ATTRIBUTE = 3 / 8, "Invalid NEXT_HOP Attribute";
    OPTIONAL_ATTRIBUTE_ERROR = 3 / 9, "Optional Attribute Error";
    INVALID_NETWORK_FIELD = 3 / 10, "Invalid Network Field";
    MALFORMED_AS_PATH = 3 / 11, "Malformed AS_PATH";
    HOLD_TIMER_EXPIRED = 4 / 0, "Unspecific";
    UNEXPECTED_MESSAGE_IN_OPEN_SENT = 5 / 1, "Receive Unexpected Message in OpenSent State";
    UNEXPECTED_MESSAGE_IN_OPEN_CONFIRM = 5 / 2, "Receive Unexpected Message in OpenConfirm State";
    UNEXPECTED_MESSAGE_IN_ESTABLISHED = 5 / 3, "Receive Unexpected Message in Established State";
    MAXIMUM_PREFIXES = 6 / 1, "Maximum Number of Prefixes Reached";
    ADMINISTRATIVE_SHUTDOWN = 6 / 2, "Administrative Shutdown";
    PEER_DECONFIGURED = 6 / 3, "Peer De-configured";
    ADMINISTRATIVE_RESET = 6 / 4, "Administrative Reset";
    CONNECTION_REJECTED = 6 / 5, "Connection Rejected";
    OTHER_CONFIGURATION_CHANGE = 6 / 6, "Other Configuration Change";
    CONNECTION_COLLISION = 6 / 7, "Connection Collision Resolution";
    OUT_OF_RESOURCES = 6 / 8, "Out of Resources";
    HARD_RESET = 6 / 9, "Hard Reset";
    BFD_DOWN = 6 / 10, "BFD Down";
    INVALID_ROUTE_REFRESH_LENGTH = 7 / 1, "Invalid Message Length";
    SEND_HOLD_TIMER_EXPIRED = 8 / 0, "Unspecific";
}

impl Reason {
    /// Whether what ends a session for this reason is not to be outlived by routes: the peer is told
    /// so by a Hard Reset where it understands (RFC 8538 §3.1). The RFC leaves the choice to each
    /// speaker; what is meant to stop traffic does.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Reason::MAXIMUM_PREFIXES
                | Reason::ADMINISTRATIVE_SHUTDOWN
                | Reason::PEER_DECONFIGURED
                | Reason::BFD_DOWN
        )
    }

    fn code_name(self) -> Option<&'static str> {
        Some(match self.code {
            1 => "Message Header Error",
            2 => "Open Message Error",
            3 => "Update Message Error",
            4 => "Hold Timer Expired",
            5 => "Finite State Machine Error",
            6 => "Cease",
            7 => "Route Refresh Message Error",
            8 => "Send Hold Timer Expired",
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    /// `Open Message Error: Bad Peer AS`, with numbers in place of names that nobody has registered.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "error code {}", self.code)?,
        }
        match (self.subcode, self.subcode_name()) {
            (0, _) => Ok(()),
            (_, Some(name)) => write!(f, ": {name}"),
            (subcode, None) => write!(f, ": subcode {subcode}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_names_where_there_are_some() {
        let text = |code, subcode| Reason { code, subcode }.to_string();
        assert_eq!(text(2, 2), "Open Message Error: Bad Peer AS");
        assert_eq!(text(2, 0), "Open Message Error");
        assert_eq!(text(4, 0), "Hold Timer Expired");
        assert_eq!(text(5, 3), "Finite State Machine Error: Receive Unexpected Message in Established State");
        assert_eq!(text(6, 99), "Cease: subcode 99");
        assert_eq!(text(99, 0), "error code 99");
        assert_eq!(text(99, 7), "error code 99: subcode 7");
    }
}
