//! NOTIFICATION (RFC 4271 §4.5, §6) and the error every decoder returns.

use std::fmt;

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
    /// An error with the given NOTIFICATION fields.
    pub fn new(code: u8, subcode: u8, data: Vec<u8>, what: impl Into<String>) -> MessageError {
        MessageError { notification: Notification { code, subcode, data }, what: what.into() }
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code, self.subcode)
    }
}
