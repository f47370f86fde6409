//! Spans of addresses, each with the lengths that prefixes which begin there may have.
//!
//! A prefix list says of every address which lengths it matches there. That changes at the first and
//! behind the last address of each entry and nowhere else, so that one binary search finds what holds for
//! a prefix, however the entries lie inside each other.

use super::work;

/// Lengths of prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lengths([u64; 3]);

/// Addresses as numbers, and what holds from each on until the next.
#[derive(Debug)]
pub(super) struct Spans<Bits> {
    /// Ascending. Nothing holds before the first.
    starts: Vec<Bits>,
    lengths: Vec<Lengths>,
}

impl Lengths {
    /// From `least` to `most`, both included.
    pub(super) fn between(least: u8, most: u8) -> Lengths {
        let mut lengths = Lengths::default();
        (least..=most).for_each(|length| lengths.0[usize::from(length / 64)] |= 1 << (length % 64));
        lengths
    }

    pub(super) fn contains(self, length: u8) -> bool {
        self.0[usize::from(length / 64)] & (1 << (length % 64)) != 0
    }

    fn or(self, other: Lengths) -> Lengths {
        let ([a, b, c], [d, e, f]) = (self.0, other.0);
        Lengths([a | d, b | e, c | f])
    }
}

/// A kind of address as a number.
pub(super) trait Number: Copy + Ord {
    /// The address behind it, if there is one.
    fn next(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<u32> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<u128> {
        self.checked_add(1)
    }
}

impl<Bits> Default for Spans<Bits> {
    fn default() -> Self {
        Spans { starts: vec![], lengths: vec![] }
    }
}

impl<Bits: Number> Spans<Bits> {
    /// What holds at an address.
    pub(super) fn at(&self, address: Bits) -> Lengths {
        let behind = self.starts.partition_point(|start| {
            work::step();
            *start <= address
        });
        behind.checked_sub(1).map_or(Lengths::default(), |at| self.lengths[at])
    }

    /// From `start` on, this holds. What has been said of the same address is forgotten.
    fn say(&mut self, start: Bits, lengths: Lengths) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.lengths.pop();
        }
        if self.lengths.last().copied().unwrap_or_default() != lengths {
            self.starts.push(start);
            self.lengths.push(lengths);
        }
    }
}

/// From first and last addresses with what holds between them. Those that lie inside another come behind
/// it, and else they are ascending.
impl<Bits: Number> FromIterator<(Bits, Bits, Lengths)> for Spans<Bits> {
    fn from_iter<I: IntoIterator<Item = (Bits, Bits, Lengths)>>(blocks: I) -> Self {
        let mut spans = Spans::default();
        // The blocks around where we are, the innermost last, each with what those around it add.
        let mut around: Vec<(Bits, Lengths)> = vec![];
        let leave = |spans: &mut Self, around: &mut Vec<(Bits, Lengths)>, last: Bits| {
            around.pop();
            let lengths = around.last().map_or(Lengths::default(), |(_, lengths)| *lengths);
            if let Some(next) = last.next() {
                spans.say(next, lengths);
            }
        };
        for (first, last, lengths) in blocks {
            while let Some((end, _)) = around.last().copied()
                && end < first
            {
                leave(&mut spans, &mut around, end);
            }
            let lengths = around.last().map_or(lengths, |(_, outer)| outer.or(lengths));
            spans.say(first, lengths);
            around.push((last, lengths));
        }
        while let Some((end, _)) = around.last().copied() {
            leave(&mut spans, &mut around, end);
        }
        spans.starts.shrink_to_fit();
        spans.lengths.shrink_to_fit();
        spans
    }
}
