//! The message header, and cutting a TCP stream into messages (RFC 4271 §4.1, §6.1; RFC 8654 §3).

use super::{MessageError, Reason};

/// Octets of marker, length and type.
pub const HEADER_LENGTH: usize = 19;
/// The largest message of RFC 4271.
pub const MAX_MESSAGE_LENGTH: usize = 4096;
/// The largest message between two speakers of extended messages (RFC 8654 §3).
pub const MAX_EXTENDED_LENGTH: usize = 65_535;

const MARKER: [u8; 16] = [0xff; 16];

/// The message types there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageType {
    Open = 1,
    Update = 2,
    Notification = 3,
    Keepalive = 4,
    RouteRefresh = 5,
}

impl MessageType {
    fn of(octet: u8) -> Option<MessageType> {
        Some(match octet {
            1 => MessageType::Open,
            2 => MessageType::Update,
            3 => MessageType::Notification,
            4 => MessageType::Keepalive,
            5 => MessageType::RouteRefresh,
            _ => return None,
        })
    }

    /// The lengths RFC 4271 §6.1 allows for this type, header included. The upper bound is the
    /// session's, save for OPEN and KEEPALIVE, which RFC 8654 §3 leaves as they were.
    ///
    /// RFC 7313 §5 has an error of its own for the length of a ROUTE-REFRESH, which depends on its
    /// subtype and quotes the message: its decoder judges that.
    fn lengths(self) -> std::ops::RangeInclusive<usize> {
        match self {
            MessageType::Open => 29..=MAX_MESSAGE_LENGTH,
            MessageType::Update => 23..=MAX_EXTENDED_LENGTH,
            MessageType::Notification => 21..=MAX_EXTENDED_LENGTH,
            MessageType::Keepalive => 19..=19,
            MessageType::RouteRefresh => 19..=MAX_EXTENDED_LENGTH,
        }
    }
}

/// A header that has been found sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Length of the message, header included.
    pub length: usize,
    /// Type of the message.
    pub kind: MessageType,
}

/// Looks at the start of `stream`. Returns the length of the first message when it is there in
/// full, `None` when more octets are needed. No message may be longer than 4,096 octets.
///
/// # Errors
/// The marker, the length or the type breaks RFC 4271 §6.1; reported as soon as the header is
/// there, without waiting for a body that a wrong length may promise.
pub fn message_length(stream: &[u8]) -> Result<Option<usize>, MessageError> {
    message_length_within(MAX_MESSAGE_LENGTH, stream)
}

/// As [`message_length`], with messages of up to `most` octets: [`MAX_EXTENDED_LENGTH`] where both
/// sides speak extended messages.
///
/// # Errors
/// As for [`message_length`].
pub fn message_length_within(most: usize, stream: &[u8]) -> Result<Option<usize>, MessageError> {
    Ok(decode(most, stream)?.map(|header| header.length).filter(|length| *length <= stream.len()))
}

/// Decodes the header at the start of `stream`; `None` when fewer than its 19 octets are there.
///
/// # Errors
/// As for [`message_length_within`].
pub(super) fn decode(most: usize, stream: &[u8]) -> Result<Option<Header>, MessageError> {
    let Some(&[ref marker @ .., high, low, octet]) = stream.first_chunk::<HEADER_LENGTH>() else {
        return Ok(None);
    };
    if *marker != MARKER {
        let what = "the marker in the message header is not all ones";
        return Err(MessageError::because(Reason::CONNECTION_NOT_SYNCHRONIZED, [], what));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let bad_length = |what| MessageError::because(Reason::BAD_MESSAGE_LENGTH, [high, low], what);
    if !(HEADER_LENGTH..=most).contains(&length) {
        return Err(bad_length(format!("message length {length} is outside 19 to {most}")));
    }
    let kind = MessageType::of(octet).ok_or_else(|| {
        let what = format!("there is no message type {octet}");
        MessageError::because(Reason::BAD_MESSAGE_TYPE, [octet], what)
    })?;
    if !kind.lengths().contains(&length) {
        return Err(bad_length(format!("{kind:?} message of {length} octets")));
    }
    Ok(Some(Header { length, kind }))
}

/// Starts a message at the end of `out`; returns where, for [`finish`].
pub(super) fn begin(kind: MessageType, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend(MARKER);
    out.extend([0, 0, kind as u8]);
    start
}

/// Enters the length of the message that begins at `start` and ends where `out` does.
pub(super) fn finish(start: usize, out: &mut [u8]) {
    let length = out.len() - start;
    debug_assert!(length <= MAX_EXTENDED_LENGTH, "an encoder has outgrown the message");
    // Every encoder stays within the session's limit, which fits two octets.
    out[start + 16..start + 18].copy_from_slice(&(length as u16).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header without body.
    fn header(length: u16, kind: u8) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        MARKER.into_iter().chain([high, low, kind]).collect()
    }

    #[test]
    fn lengths_are_judged_by_the_header_alone() {
        // Type, length, and whether RFC 4271 §6.1 accepts it.
        let table = [
            (1, 28, false),
            (1, 29, true),
            (2, 22, false),
            (2, 23, true),
            (3, 20, false),
            (3, 21, true),
            (4, 18, false),
            (4, 19, true),
            (4, 20, false),
            (5, 23, true),
            (1, 4096, true),
            (2, 4096, true),
            (3, 4096, true),
            (1, 4097, false),
            (2, 65535, false),
            (2, 0, false),
        ];
        judge(MAX_MESSAGE_LENGTH, &table);
    }

    #[test]
    fn extended_messages_are_any_but_open_and_keepalive() {
        // RFC 8654 §3.
        let table = [
            (1, 4096, true),
            (1, 4097, false),
            (2, 4097, true),
            (2, 65535, true),
            (2, 22, false),
            (3, 65535, true),
            (4, 4097, false),
            (5, 4097, true),
        ];
        judge(MAX_EXTENDED_LENGTH, &table);
    }

    fn judge(most: usize, table: &[(u8, u16, bool)]) {
        for &(kind, length, fine) in table {
            match message_length_within(most, &header(length, kind)) {
                Ok(found) => assert!(fine && found == (length == 19).then_some(19), "{kind} {length}"),
                Err(error) => {
                    assert!(!fine, "{kind} {length}: {error}");
                    assert_eq!(error.notification.reason(), Reason::BAD_MESSAGE_LENGTH);
                    assert_eq!(error.notification.data, length.to_be_bytes());
                }
            }
        }
    }

    #[test]
    fn a_wrong_marker_comes_before_all_else_and_an_unknown_type_last() {
        for octet in 0..16 {
            let mut stream = header(0, 99);
            stream[octet] = 0xfe;
            let error = message_length(&stream).unwrap_err();
            assert_eq!(error.notification.reason(), Reason::CONNECTION_NOT_SYNCHRONIZED);
        }
        for kind in [0, 6, 255] {
            let error = message_length(&header(19, kind)).unwrap_err();
            assert_eq!(
                error.notification,
                crate::bgp::Notification { code: 1, subcode: 3, data: vec![kind] }
            );
        }
        assert_eq!(
            message_length(&header(18, 99)).unwrap_err().notification.reason(),
            Reason::BAD_MESSAGE_LENGTH
        );
    }

    #[test]
    fn waits_for_the_header_and_then_for_the_body() {
        let mut stream = header(21, 3);
        assert_eq!(message_length(&stream[..18]), Ok(None));
        assert_eq!(message_length(&[0; 18]), Ok(None), "nothing is judged before the header is there");
        assert_eq!(message_length(&stream), Ok(None));
        stream.extend([6, 2]);
        assert_eq!(message_length(&stream), Ok(Some(21)));
        stream.push(0xff);
        assert_eq!(message_length(&stream), Ok(Some(21)), "what follows belongs to the next message");
    }
}
