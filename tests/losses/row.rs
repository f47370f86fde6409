//! A row of the table: what happens to the network while packets flow.

use std::time::Duration;

use crate::network::{Network, Traffic};
use crate::shape::Shape;

/// What ours owes to the reader of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// No packet is lost.
    Zero,
    /// At its end every stream flows; how many packets were lost until then is said.
    Recovers,
    /// How many are lost is said.
    Told,
}

/// A scenario.
pub struct Row {
    /// `SCENARIO=part` plays the rows whose name has the part in it.
    pub name: &'static str,
    pub shape: Shape,
    pub promise: Promise,
    /// Ours is put to it by every `cargo test`.
    pub always: bool,
    /// Streams to an address that two nodes have, in place of those of pods.
    pub shared: bool,
    /// Whether it means anything with this router.
    pub applies: fn(&Network) -> bool,
    pub play: fn(&Network, &Traffic),
}

/// A row that loses nothing, and is played always.
pub const fn lossless(name: &'static str, shape: Shape, play: fn(&Network, &Traffic)) -> Row {
    Row { name, shape, promise: Promise::Zero, always: true, shared: shape.shared, applies: |_| true, play }
}

/// A row after which all flows again.
pub const fn recovers(name: &'static str, shape: Shape, play: fn(&Network, &Traffic)) -> Row {
    Row { promise: Promise::Recovers, always: false, ..lossless(name, shape, play) }
}

impl Row {
    /// The same row, played always.
    pub const fn always(self) -> Row {
        Row { always: true, ..self }
    }

    /// The same row, for routers of which this is true alone.
    pub const fn where_it_applies(self, applies: fn(&Network) -> bool) -> Row {
        Row { applies, ..self }
    }

    /// The same row, promising nothing.
    pub const fn told(self) -> Row {
        Row { promise: Promise::Told, ..self }
    }
}

pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
