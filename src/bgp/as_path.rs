//! The AS_PATH attribute (RFC 4271 §4.3, §5.1.2; four-octet form of RFC 6793).
//!
//! The path as the decision process and policy see it; its wire form is in `as_path/wire.rs`.

mod wire;

use std::fmt;

pub(super) use wire::AsWidth;

/// One segment of an AS_PATH.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// AS_SEQUENCE: ordered.
    Sequence(Vec<u32>),
    /// AS_SET: unordered; deprecated by RFC 9774.
    Set(Vec<u32>),
    /// AS_CONFED_SEQUENCE (RFC 5065).
    ConfedSequence(Vec<u32>),
    /// AS_CONFED_SET (RFC 5065).
    ConfedSet(Vec<u32>),
}

/// A sequence of AS path segments, the most recent AS first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct AsPath {
    /// Segments in wire order. Adjacent sequences are allowed; none is empty.
    pub segments: Vec<Segment>,
}

impl AsPath {
    /// A path of one AS_SEQUENCE; the empty path for no AS.
    pub fn sequence(asns: impl Into<Vec<u32>>) -> AsPath {
        let asns = asns.into();
        AsPath { segments: if asns.is_empty() { vec![] } else { vec![Segment::Sequence(asns)] } }
    }

    /// Length as the decision process counts it: a set counts one (RFC 4271 §9.1.2.2 a), a
    /// confederation segment nothing (RFC 5065 §5.3).
    pub fn hops(&self) -> usize {
        self.segments
            .iter()
            .map(|segment| match segment {
                Segment::Sequence(asns) => asns.len(),
                Segment::Set(_) => 1,
                Segment::ConfedSequence(_) | Segment::ConfedSet(_) => 0,
            })
            .sum()
    }

    /// The neighbouring AS: the first AS of the path when it begins with a sequence.
    pub fn neighbor(&self) -> Option<u32> {
        match self.segments.first() {
            Some(Segment::Sequence(asns)) => asns.first().copied(),
            _ => None,
        }
    }

    /// Whether `asn` occurs anywhere in the path: the loop check of RFC 4271 §9.1.2.
    pub fn contains(&self, asn: u32) -> bool {
        self.segments.iter().any(|segment| segment.asns().contains(&asn))
    }

    /// This path with `asn` put in front `times` times (RFC 4271 §5.1.2 b).
    pub fn prepended(&self, asn: u32, times: usize) -> AsPath {
        let mut path = self.clone();
        if times == 0 {
            return path;
        }
        match path.segments.first_mut() {
            Some(Segment::Sequence(asns)) => {
                asns.splice(0..0, std::iter::repeat_n(asn, times));
            }
            _ => path.segments.insert(0, Segment::Sequence(vec![asn; times])),
        }
        path
    }

    /// This path without the AS numbers that `keep` rejects, nor the segments that leaves empty.
    pub fn filtered(&self, keep: impl Fn(u32) -> bool) -> AsPath {
        let kept = |segment: &Segment| {
            let asns: Vec<u32> = segment.asns().iter().copied().filter(|asn| keep(*asn)).collect();
            (!asns.is_empty()).then(|| segment.with(asns))
        };
        AsPath { segments: self.segments.iter().filter_map(kept).collect() }
    }

    /// This path with each AS number replaced by what `change` makes of it.
    pub fn mapped(&self, change: impl Fn(u32) -> u32) -> AsPath {
        let changed =
            |segment: &Segment| segment.with(segment.asns().iter().map(|asn| change(*asn)).collect());
        AsPath { segments: self.segments.iter().map(changed).collect() }
    }
}

impl Segment {
    /// A segment of this kind with other AS numbers.
    fn with(&self, asns: Vec<u32>) -> Segment {
        match self {
            Segment::Sequence(_) => Segment::Sequence(asns),
            Segment::Set(_) => Segment::Set(asns),
            Segment::ConfedSequence(_) => Segment::ConfedSequence(asns),
            Segment::ConfedSet(_) => Segment::ConfedSet(asns),
        }
    }

    /// The AS numbers of the segment in wire order.
    pub fn asns(&self) -> &[u32] {
        match self {
            Segment::Sequence(asns)
            | Segment::Set(asns)
            | Segment::ConfedSequence(asns)
            | Segment::ConfedSet(asns) => asns,
        }
    }
}

impl fmt::Display for AsPath {
    /// `65000 65001 {65010,65011} (64512)`, as route servers and looking glasses print it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
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
        let path = AsPath {
            segments: vec![
                Segment::ConfedSequence(vec![1, 2]),
                Segment::Sequence(vec![3, 4]),
                Segment::Set(vec![5, 6, 7]),
            ],
        };
        assert_eq!(path.hops(), 3);
        assert_eq!(path.to_string(), "(1 2) 3 4 {5,6,7}");
    }

    #[test]
    fn filtering_and_mapping_keep_the_kind_of_segments() {
        let path = AsPath { segments: vec![Segment::Sequence(vec![1, 2]), Segment::Set(vec![2])] };
        assert_eq!(path.filtered(|asn| asn != 2), AsPath::sequence([1]));
        assert_eq!(path.mapped(|asn| asn + 5).to_string(), "6 7 {7}");
    }

    #[test]
    fn prepending_extends_a_leading_sequence_only() {
        assert_eq!(AsPath::default().prepended(1, 2), AsPath::sequence([1, 1]));
        assert_eq!(AsPath::sequence([2]).prepended(1, 1), AsPath::sequence([1, 2]));
        let set = AsPath { segments: vec![Segment::Set(vec![2])] };
        assert_eq!(set.prepended(1, 1).to_string(), "1 {2}");
        assert_eq!(set.prepended(1, 0), set);
    }
}
