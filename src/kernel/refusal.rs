//! A netlink request that the kernel refused: its number for the reason, and its words where it has any.

use std::io;

use super::Error;

/// Number of the attribute that explains a refusal (`NLMSGERR_ATTR_MSG`).
pub(super) const EXPLANATION: u16 = 1;

/// The kernel's "no", before it is known what the question meant.
#[derive(Debug)]
pub(super) struct Refusal {
    source: io::Error,
    /// Why, in the kernel's words, where it has any.
    pub(super) explanation: Option<String>,
}

impl Refusal {
    pub(super) fn new(source: io::Error) -> Refusal {
        Refusal { source, explanation: None }
    }

    pub(super) fn of(code: i32) -> Refusal {
        Refusal::new(io::Error::from_raw_os_error(code.saturating_abs()))
    }

    pub(super) fn closed() -> Refusal {
        Refusal::new(io::Error::new(io::ErrorKind::BrokenPipe, "the netlink connection has ended"))
    }

    /// Whether the kernel's reason is this one.
    pub(super) fn is(&self, errno: nix::Error) -> bool {
        self.source.raw_os_error() == Some(errno as i32)
    }

    /// The error to hand out: what was asked, and the kernel's explanation where it gave one.
    pub(super) fn to(self, what: impl std::fmt::Display) -> Error {
        let what = match self.explanation {
            Some(explanation) => format!("{what}: {}", explanation.trim_end_matches('.')),
            None => what.to_string(),
        };
        Error::Netlink { what, source: self.source }
    }
}
