//! The AS_PATH attribute (RFC 4271 §4.3, §5.1.2; four-octet form of RFC 6793).
//!
//! The path as the decision process and policy see it; its wire form is in `as_path/wire.rs`. There are
//! tens of thousands of different paths in a full table, and so a path is one allocation of exactly its
//! size, whatever its segments: they stand in it one behind the other and are borrowed from it.

mod wire;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter;

pub(super) use wire::AsWidth;

/// One segment of an AS_PATH, its AS numbers in wire order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment<'a> {
    /// AS_SEQUENCE: ordered.
    Sequence(&'a [u32]),
    /// AS_SET: unordered; deprecated by RFC 9774.
    Set(&'a [u32]),
    /// AS_CONFED_SEQUENCE (RFC 5065).
    ConfedSequence(&'a [u32]),
    /// AS_CONFED_SET (RFC 5065).
    ConfedSet(&'a [u32]),
}

/// A sequence of AS path segments, the most recent AS first. Made of segments by collecting them;
/// adjacent sequences stay apart, and a segment without AS numbers is none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AsPath {
    /// For each segment a head, which says kind and count, and then its AS numbers.
    words: Box<[u32]>,
}

/// The bits of a head that count AS numbers; the kind, as on the wire, stands in those above.
const COUNT: u32 = 0x00ff_ffff;

/// The head of a segment. `count` does not exceed [`COUNT`].
fn head(kind: u8, count: usize) -> u32 {
    u32::from(kind) << 24 | count as u32 & COUNT
}

impl AsPath {
    /// A path of one AS_SEQUENCE; the empty path for no AS.
    pub fn sequence(asns: impl AsRef<[u32]>) -> AsPath {
        AsPath::from_iter([Segment::Sequence(asns.as_ref())])
    }

    /// Segments in wire order; none is empty.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> + Clone {
        let mut rest = &*self.words;
        iter::from_fn(move || {
            let (head, after) = rest.split_first()?;
            let (asns, after) = after.split_at_checked((head & COUNT) as usize)?;
            rest = after;
            Segment::new((head >> 24) as u8, asns)
        })
    }

    /// Every AS number in wire order, of whatever segment.
    pub fn asns(&self) -> impl Iterator<Item = u32> {
        self.segments().flat_map(Segment::asns).copied()
    }

    /// Length as the decision process counts it: a set counts one (RFC 4271 §9.1.2.2 a), a
    /// confederation segment nothing (RFC 5065 §5.3).
    pub fn hops(&self) -> usize {
        self.segments()
            .map(|segment| match segment {
                Segment::Sequence(asns) => asns.len(),
                Segment::Set(_) => 1,
                Segment::ConfedSequence(_) | Segment::ConfedSet(_) => 0,
            })
            .sum()
    }

    /// The neighbouring AS: the first AS of the path when it begins with a sequence.
    pub fn neighbor(&self) -> Option<u32> {
        match self.segments().next() {
            Some(Segment::Sequence(asns)) => asns.first().copied(),
            _ => None,
        }
    }

    /// Whether `asn` occurs anywhere in the path: the loop check of RFC 4271 §9.1.2.
    pub fn contains(&self, asn: u32) -> bool {
        self.segments().any(|segment| segment.asns().contains(&asn))
    }

    /// This path with `asn` put in front `times` times (RFC 4271 §5.1.2 b).
    pub fn prepended(&self, asn: u32, times: usize) -> AsPath {
        let (count, rest) = match self.segments().next() {
            Some(Segment::Sequence(asns)) if asns.len() + times <= COUNT as usize => {
                (asns.len() + times, &self.words[1..])
            }
            _ if times == 0 => return self.clone(),
            _ => (times, &*self.words),
        };
        let mut words = Vec::with_capacity(1 + times + rest.len());
        words.push(head(Segment::SEQUENCE, count));
        words.extend(iter::repeat_n(asn, times));
        words.extend_from_slice(rest);
        AsPath { words: words.into() }
    }

    /// This path without the AS numbers that `keep` rejects, nor the segments that leaves empty.
    pub fn filtered(&self, keep: impl Fn(u32) -> bool) -> AsPath {
        let mut words = Vec::with_capacity(self.words.len());
        for segment in self.segments() {
            let at = words.len();
            words.push(0);
            words.extend(segment.asns().iter().copied().filter(|asn| keep(*asn)));
            match words.len() - at - 1 {
                0 => words.truncate(at),
                count => words[at] = head(segment.kind(), count),
            }
        }
        AsPath { words: words.into() }
    }

    /// This path with each AS number replaced by what `change` makes of it.
    pub fn mapped(&self, change: impl Fn(u32) -> u32) -> AsPath {
        let mut words = Vec::with_capacity(self.words.len());
        for segment in self.segments() {
            words.push(head(segment.kind(), segment.asns().len()));
            words.extend(segment.asns().iter().copied().map(&change));
        }
        AsPath { words: words.into() }
    }
}

impl<'a> FromIterator<Segment<'a>> for AsPath {
    fn from_iter<I: IntoIterator<Item = Segment<'a>>>(segments: I) -> AsPath {
        let mut words = vec![];
        for segment in segments {
            for asns in segment.asns().chunks(COUNT as usize) {
                words.reserve_exact(1 + asns.len());
                words.push(head(segment.kind(), asns.len()));
                words.extend_from_slice(asns);
            }
        }
        AsPath { words: words.into() }
    }
}

impl Hash for AsPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (pairs, odd) = self.words.as_chunks::<2>();
        for [first, second] in pairs {
            state.write_u64(u64::from(*first) << 32 | u64::from(*second));
        }
        odd.iter().for_each(|word| state.write_u32(*word));
    }
}

impl<'a> Segment<'a> {
    /// The AS numbers of the segment in wire order.
    pub fn asns(self) -> &'a [u32] {
        match self {
            Segment::Sequence(asns)
            | Segment::Set(asns)
            | Segment::ConfedSequence(asns)
            | Segment::ConfedSet(asns) => asns,
        }
    }
}

impl fmt::Debug for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.segments()).finish()
    }
}

impl fmt::Display for AsPath {
    /// `65000 65001 {65010,65011} (64512)`, as route servers and looking glasses print it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            let (open, separator, close) = match segment {
                Segment::Sequence(_) => ("", " ", ""),
                Segment::Set(_) => ("{", ",", "}"),
                Segment::ConfedSequence(_) => ("(", " ", ")"),
                Segment::ConfedSet(_) => ("[", ",", "]"),
            };
            f.write_str(open)?;
            for (j, asn) in segment.asns().iter().enumerate() {
                if j > 0 {
                    f.write_str(separator)?;
                }
                write!(f, "{asn}")?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_count_a_set_once_and_confederations_never() {
        let segments =
            [Segment::ConfedSequence(&[1, 2]), Segment::Sequence(&[3, 4]), Segment::Set(&[5, 6, 7])];
        let path = AsPath::from_iter(segments);
        assert_eq!(path.hops(), 3);
        assert_eq!(path.to_string(), "(1 2) 3 4 {5,6,7}");
        assert!(path.segments().eq(segments));
        assert!(path.asns().eq(1..=7));
        assert_eq!(AsPath::from_iter([Segment::Set(&[])]), AsPath::default());
    }

    #[test]
    fn filtering_and_mapping_keep_the_kind_of_segments() {
        let path = AsPath::from_iter([Segment::Sequence(&[1, 2]), Segment::Set(&[2])]);
        assert_eq!(path.filtered(|asn| asn != 2), AsPath::sequence([1]));
        assert_eq!(path.mapped(|asn| asn + 5).to_string(), "6 7 {7}");
    }

    #[test]
    fn prepending_extends_a_leading_sequence_only() {
        assert_eq!(AsPath::default().prepended(1, 2), AsPath::sequence([1, 1]));
        assert_eq!(AsPath::default().prepended(1, 0), AsPath::default());
        assert_eq!(AsPath::sequence([2]).prepended(1, 1), AsPath::sequence([1, 2]));
        assert_eq!(AsPath::sequence([2]).prepended(1, 0), AsPath::sequence([2]));
        let set = AsPath::from_iter([Segment::Set(&[2])]);
        assert_eq!(set.prepended(1, 1).to_string(), "1 {2}");
        assert_eq!(set.prepended(1, 0), set);
    }
}
