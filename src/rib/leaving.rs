//! Sources that have left one family, and the walk through its table that removes their paths.
//!
//! The table may have a million destinations, and a node of a large cluster leaves every minute. So the
//! walk is made in portions, and there is one for all that leave meanwhile: a source that joins it makes
//! it go round the table once more.

use super::path::Source;

/// Destinations looked at in one portion: some tens of microseconds.
const PORTION: usize = 4096;

/// Those whose paths are on their way out.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// Ascending.
    sources: Vec<Source>,
    /// The place to go on at.
    at: usize,
    /// What they have lies before this place: the table may grow meanwhile, but not by anything of theirs.
    end: usize,
    /// Places to be looked at until it is over.
    left: usize,
}

impl Leaving {
    /// Whether there is nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// A source leaves a table of so many places.
    pub(super) fn join(&mut self, source: Source, places: usize) {
        if let Err(at) = self.sources.binary_search(&source) {
            self.sources.insert(at, source);
        }
        (self.end, self.left) = (places, places);
    }

    /// Whether a source is leaving.
    pub(super) fn has(&self, source: Source) -> bool {
        self.sources.binary_search(&source).is_ok()
    }

    /// The next places to be looked at in a table of so many. Whoever takes them looks at them; there
    /// are none behind the last.
    pub(super) fn next(&mut self, places: usize) -> std::ops::Range<usize> {
        // The table may have become shorter, too.
        let places = places.min(self.end);
        if self.at >= places {
            self.at = 0;
        }
        if places == 0 {
            self.left = 0;
        }
        let end = places.min(self.at + PORTION.min(self.left));
        let next = self.at..end;
        self.left -= next.len();
        self.at = end;
        next
    }

    /// Whether all has been looked at, which is the end of it.
    pub(super) fn end_if_done(&mut self) -> bool {
        if self.left == 0 {
            *self = Leaving::default();
        }
        self.left == 0
    }

    /// A source has been removed from all of the table by other means.
    pub(super) fn part(&mut self, source: Source) {
        self.sources.retain(|of| *of != source);
        if self.sources.is_empty() {
            *self = Leaving::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rib::PeerId;

    #[test]
    fn a_walk_goes_round_once_after_the_last_who_joined() {
        let source = |number| Source::Peer(PeerId::new(number));
        let places = 3 * PORTION;
        let mut leaving = Leaving::default();
        leaving.join(source(1), places);
        assert_eq!(leaving.next(places), 0..PORTION);
        leaving.join(source(2), places);
        let mut seen = vec![];
        while !leaving.end_if_done() {
            assert!(leaving.has(source(1)) && leaving.has(source(2)));
            seen.push(leaving.next(places).start / PORTION);
        }
        assert_eq!(seen, [1, 2, 0]);
        assert!(leaving.is_empty() && !leaving.has(source(1)));
    }

    /// What grows at the end must not be looked at in place of what lies before the walk.
    #[test]
    fn a_table_that_grows_meanwhile_is_walked_all_round() {
        let source = |number| Source::Peer(PeerId::new(number));
        let mut leaving = Leaving::default();
        leaving.join(source(1), 2 * PORTION);
        assert_eq!(leaving.next(2 * PORTION), 0..PORTION);
        leaving.join(source(2), 2 * PORTION);
        let mut seen = vec![];
        while !leaving.end_if_done() {
            seen.push(leaving.next(4 * PORTION).start / PORTION);
        }
        assert_eq!(seen, [1, 0]);
    }

    #[test]
    fn a_table_that_shrinks_meanwhile_ends_the_walk_all_the_same() {
        let mut leaving = Leaving::default();
        leaving.join(Source::Local, 4 * PORTION);
        let mut rounds = 0;
        while !leaving.end_if_done() {
            let next = leaving.next(PORTION / 2);
            assert!(next.end <= PORTION / 2);
            rounds += 1;
        }
        assert_eq!(rounds, 8, "half a portion at a time");
    }

    #[test]
    fn a_table_that_has_emptied_meanwhile_ends_it_at_once() {
        let mut leaving = Leaving::default();
        leaving.join(Source::Local, PORTION);
        assert_eq!(leaving.next(0), 0..0);
        assert!(leaving.end_if_done());
    }
}
