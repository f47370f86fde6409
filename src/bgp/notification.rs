//! NOTIFICATION (RFC 4271 §4.5, §6) and the error every decoder returns.
//!
//! Owns the message and the text an operator may put into it (RFC 9003); the registry of codes is in
//! [`super::reason`], the choice between them lies with whoever finds the error.

use std::fmt;

use super::header::{self, MAX_MESSAGE_LENGTH, MessageType};
use super::{Reason, nlri};
use crate::prefix::Family;

/// The longest shutdown communication in octets (RFC 9003 §2).
const MAX_COMMUNICATION: usize = 255;

/// A NOTIFICATION message: why a session is being closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Error code (RFC 4271 §4.5).
    pub code: u8,
    /// Error subcode; 0 is unspecific.
    pub subcode: u8,
    /// Diagnostic data whose form the subcode decides.
    pub data: Vec<u8>,
}

impl Notification {
    /// An Administrative Shutdown or Administrative Reset that says why, in at most 255 octets of
    /// UTF-8; what is longer is cut between characters (RFC 9003 §2).
    pub fn with_communication(reason: Reason, text: &str) -> Notification {
        let text = &text[..text.floor_char_boundary(MAX_COMMUNICATION)];
        // At most 255 octets are left, so the length fits its octet.
        let data = std::iter::once(text.len() as u8).chain(text.bytes()).collect();
        Notification { code: reason.code, subcode: reason.subcode, data }
    }

    /// The same as a Hard Reset: the peer is not to keep our routes over it (RFC 8538 §3.1).
    pub fn into_hard_reset(self) -> Notification {
        let Reason { code, subcode } = Reason::HARD_RESET;
        let data = [self.code, self.subcode].into_iter().chain(self.data).collect();
        Notification { code, subcode, data }
    }

    /// What a Hard Reset is about: the NOTIFICATION in its data (RFC 8538 §3.1).
    pub fn encapsulated(&self) -> Option<Notification> {
        let hard_reset = self.reason() == Reason::HARD_RESET && self.data.len() >= 2;
        hard_reset.then(|| Notification::decode(&self.data))
    }

    /// A Cease for too many prefixes of a family, with the limit (RFC 4486 §4).
    pub fn maximum_prefixes(family: Family, limit: u32) -> Notification {
        /// Unicast.
        const SAFI: u8 = 1;
        let data = [&nlri::afi(family).to_be_bytes()[..], &[SAFI], &limit.to_be_bytes()].concat();
        let Reason { code, subcode } = Reason::MAXIMUM_PREFIXES;
        Notification { code, subcode, data }
    }

    /// Code and subcode, which know their names.
    pub fn reason(&self) -> Reason {
        Reason { code: self.code, subcode: self.subcode }
    }

    /// The text that came with an Administrative Shutdown or Reset (RFC 9003 §2), made safe to print:
    /// what is not UTF-8 is replaced, control characters and those that reorder text are escaped, and
    /// a length that overruns the message yields what there is.
    pub fn communication(&self) -> Option<String> {
        if !matches!(self.reason(), Reason::ADMINISTRATIVE_SHUTDOWN | Reason::ADMINISTRATIVE_RESET) {
            return None;
        }
        let (&length, text) = self.data.split_first()?;
        let text = text.get(..length.into()).unwrap_or(text);
        let mut printable = String::new();
        for character in String::from_utf8_lossy(text).chars() {
            match character {
                // Bidirectional overrides and isolates can make a log line read as another one.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    printable.extend(character.escape_unicode());
                }
                control if control.is_control() => printable.extend(control.escape_default()),
                other => printable.push(other),
            }
        }
        (!printable.is_empty()).then_some(printable)
    }

    /// Decodes the octets after the header.
    ///
    /// The header has been checked for a length of at least 21; a missing octet would read as zero,
    /// for a NOTIFICATION is never answered with another (RFC 4271 §6.4).
    pub(super) fn decode(body: &[u8]) -> Notification {
        let octet = |index| body.get(index).copied().unwrap_or(0);
        Notification { code: octet(0), subcode: octet(1), data: body.get(2..).unwrap_or(&[]).to_vec() }
    }

    /// Appends the message, its data cut to what 4,096 octets hold.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = header::begin(MessageType::Notification, out);
        out.extend([self.code, self.subcode]);
        out.extend(self.data.iter().take(MAX_MESSAGE_LENGTH - header::HEADER_LENGTH - 2));
        header::finish(start, out);
    }
}

impl fmt::Display for Notification {
    /// `Cease: Administrative Shutdown "maintenance until 4"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason().fmt(f)?;
        if let Some(text) = self.communication() {
            write!(f, " \"{text}\"")?;
        }
        match self.encapsulated() {
            // One in another in another would be the peer's joke.
            Some(inner) if inner.reason() != Reason::HARD_RESET => write!(f, " ({inner})"),
            _ => Ok(()),
        }
    }
}

/// A message that cannot be accepted, with the NOTIFICATION that RFC 4271 §6 asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({notification})")]
pub struct MessageError {
    /// What to send before closing the session.
    pub notification: Notification,
    /// What was wrong and where, for the log.
    pub what: String,
}

impl MessageError {
    /// An error with a code and subcode known by name.
    pub fn because(reason: Reason, data: impl Into<Vec<u8>>, what: impl Into<String>) -> MessageError {
        let notification = Notification { code: reason.code, subcode: reason.subcode, data: data.into() };
        MessageError { notification, what: what.into() }
    }
}

impl From<Reason> for Notification {
    /// Without data.
    fn from(reason: Reason) -> Notification {
        Notification { code: reason.code, subcode: reason.subcode, data: vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shutdown(data: &[u8]) -> Notification {
        Notification { code: 6, subcode: 2, data: data.to_vec() }
    }

    #[test]
    fn shutdown_text_of_any_content_prints_safely() {
        let text = |data: &[u8]| shutdown(data).communication();
        assert_eq!(text(b"\x05hello"), Some("hello".into()));
        assert_eq!(text(b"\x05hello, and what follows"), Some("hello".into()));
        assert_eq!(text(b"\xffhello"), Some("hello".into()), "a length past the end yields what there is");
        assert_eq!(text(b""), None);
        assert_eq!(text(b"\x00"), None);
        assert_eq!(text(b"\x03a\nb"), Some("a\\nb".into()));
        assert_eq!(text(b"\x05\x1b[31m"), Some("\\u{1b}[31m".into()));
        assert_eq!(text(b"\x02\xff\xfe"), Some("\u{fffd}\u{fffd}".into()));
        assert_eq!(text("\u{3}\u{202e}".as_bytes()), Some("\\u{202e}".into()));
        assert_eq!(Notification { code: 6, subcode: 6, data: b"\x05hello".to_vec() }.communication(), None);
    }

    #[test]
    fn shutdown_text_is_cut_between_characters() {
        let long = "é".repeat(200);
        let notification = Notification::with_communication(Reason::ADMINISTRATIVE_SHUTDOWN, &long);
        assert_eq!(notification.data.len(), 255);
        assert_eq!(notification.communication(), Some("é".repeat(127)));
        assert_eq!(
            Notification::with_communication(Reason::ADMINISTRATIVE_RESET, "back at 4").to_string(),
            "Cease: Administrative Reset \"back at 4\""
        );
    }

    #[test]
    fn a_hard_reset_tells_what_it_is_about() {
        let farewell = Notification::with_communication(Reason::ADMINISTRATIVE_SHUTDOWN, "bye");
        let hard = farewell.clone().into_hard_reset();
        assert_eq!((hard.code, hard.subcode, &hard.data[..]), (6, 9, &b"\x06\x02\x03bye"[..]));
        assert_eq!(hard.encapsulated(), Some(farewell.clone()));
        assert_eq!(hard.to_string(), "Cease: Hard Reset (Cease: Administrative Shutdown \"bye\")");
        assert_eq!(farewell.encapsulated(), None);
        let empty = Notification { code: 6, subcode: 9, data: vec![6] };
        assert_eq!((empty.encapsulated(), empty.to_string()), (None, "Cease: Hard Reset".to_owned()));
        assert_eq!(hard.into_hard_reset().to_string(), "Cease: Hard Reset", "not for ever");
    }

    #[test]
    fn too_many_prefixes_names_family_and_limit() {
        let sent = Notification::maximum_prefixes(Family::Ipv6Unicast, 0x0102_0304);
        assert_eq!((sent.code, sent.subcode, &sent.data[..]), (6, 1, &[0, 2, 1, 1, 2, 3, 4][..]));
    }

    #[test]
    fn an_error_says_what_was_wrong_and_what_it_is_called() {
        let error = MessageError::because(Reason::BAD_PEER_AS, [], "peer is in AS 1");
        assert_eq!(error.to_string(), "peer is in AS 1 (Open Message Error: Bad Peer AS)");
    }
}
