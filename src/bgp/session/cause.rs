//! Why a session ended or could not begin: its kind, for whoever acts on it or counts, beside the words
//! that people read.

use crate::bgp::Reason;

/// Why a session ended, or an attempt to make one failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub cause: Cause,
    /// What happened, for a person.
    pub words: String,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// We ended it with this NOTIFICATION, or would have if there had been a connection.
    Sent(Reason),
    /// The peer ended it with this NOTIFICATION.
    Received(Reason),
    /// There was no connection, or no longer one.
    Broken(Break),
}

/// What has become of a connection, or of an attempt to make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Break {
    /// Nobody listens there, or a filter says so.
    Refused,
    /// No route leads to the peer, or nobody on its link has the address.
    NoRoute,
    /// The peer's side has not answered, or not acknowledged what was sent.
    NoAnswer,
    /// The address that the session is to come from is not one of this machine.
    NoSource,
    /// The peer's side has closed or reset it without saying why in BGP.
    Closed,
    /// Anything else, as the words have it.
    Other,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(cause: Cause, words: impl Into<String>) -> Failure {
        Failure { cause, words: words.into() }
    }

    /// A connection that is gone, or never was.
    pub fn broken(kind: Break, words: impl Into<String>) -> Failure {
        Failure::new(Cause::Broken(kind), words)
    }
}

impl From<&str> for Failure {
    fn from(words: &str) -> Failure {
        Failure::broken(Break::Other, words)
    }
}

impl From<String> for Failure {
    fn from(words: String) -> Failure {
        Failure::broken(Break::Other, words)
    }
}
