//! The message header, and cutting a TCP stream into messages (RFC 4271 §4.1, §6.1).

use super::MessageError;

/// Octets of marker, length and type.
pub const HEADER_LENGTH: usize = 19;
/// The largest message of RFC 4271.
pub const MAX_MESSAGE_LENGTH: usize = 4096;

/// Looks at the start of `stream`. Returns the length of the first message when it is there in
/// full, `None` when more octets are needed.
///
/// # Errors
/// The marker, the length or the type breaks RFC 4271 §6.1; reported as soon as the header is
/// there, without waiting for a body that a wrong length may promise.
pub fn message_length(stream: &[u8]) -> Result<Option<usize>, MessageError> {
    let _ = stream;
    todo!()
}
