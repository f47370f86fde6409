//! News of our tables as they are made, for a program that waits for one.
//!
//! Others change their tables without end, as kube-proxy does: whoever waits for ours is not woken by that.

use super::layout::TABLE;
use super::message::{self, kind, message_type};
use crate::kernel::Error;
use crate::kernel::frame::{Frame, attribute, text};
use crate::kernel::news::{self, Deadline, Heard, Subject};

/// A subscription.
#[derive(Debug)]
pub struct News(news::News);

impl News {
    /// Subscribes in the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn subscribe() -> Result<News, Error> {
        news::News::of(Subject::Nftables).map(News)
    }

    /// Waits, for ever if need be, until a table of ours may have been made. Whether it was has to be looked
    /// up: it may be gone again, and of too many changes at once some are lost.
    ///
    /// # Errors
    /// It cannot be waited.
    pub fn wait(&mut self) -> Result<(), Error> {
        while let Heard::Nothing = self.0.hear(Deadline::never(), |frame| is_ours(frame).then_some(()))? {}
        Ok(())
    }
}

/// Whether the message is about a new table of ours.
fn is_ours(frame: Frame<'_>) -> bool {
    let name = || frame.body.get(message::header(0).len()..).and_then(|rest| attribute(rest, message::TABLE));
    frame.kind == message_type(kind::NEW_TABLE) && name().is_some_and(|name| text(name) == TABLE)
}
