//! AS_PATH and AS4_PATH on the wire (RFC 4271 §4.3, RFC 5065 §3, RFC 6793 §4).
//!
//! Ours rather than zettabgp's, whose decoder loops for ever on a stray octet behind the last
//! segment and whose encoder writes sequences as sets.

use super::{AsPath, Segment, head};
use crate::bgp::cursor::Cursor;
use crate::bgp::open::AS_TRANS;

/// The most AS numbers one segment can hold: its count is one octet.
const SEGMENT_LIMIT: usize = 255;

/// How many octets an AS number takes in AS_PATH and AGGREGATOR: two towards a peer without the
/// four-octet capability (RFC 6793 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bgp) enum AsWidth {
    Two,
    Four,
}

impl AsWidth {
    pub fn octets(self) -> usize {
        match self {
            AsWidth::Two => 2,
            AsWidth::Four => 4,
        }
    }

    /// Appends all the AS numbers that `octets` hold, which are whole ones.
    fn read_all(self, octets: &[u8], asns: &mut Vec<u32>) {
        match self {
            AsWidth::Two => {
                let (pairs, _) = octets.as_chunks::<2>();
                asns.extend(pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))));
            }
            AsWidth::Four => {
                let (fours, _) = octets.as_chunks::<4>();
                asns.extend(fours.iter().map(|four| u32::from_be_bytes(*four)));
            }
        }
    }

    pub fn read(self, cursor: &mut Cursor) -> Option<u32> {
        match self {
            AsWidth::Two => cursor.u16().map(u32::from),
            AsWidth::Four => cursor.u32(),
        }
    }

    /// Appends an AS number, or AS_TRANS in place of one that does not fit.
    pub fn write(self, asn: u32, out: &mut Vec<u8>) {
        match self {
            AsWidth::Two => out.extend(u16::try_from(asn).unwrap_or(AS_TRANS).to_be_bytes()),
            AsWidth::Four => out.extend(asn.to_be_bytes()),
        }
    }
}

impl<'a> Segment<'a> {
    /// The type code of AS_SEQUENCE.
    pub(super) const SEQUENCE: u8 = 2;

    pub(super) fn new(kind: u8, asns: &'a [u32]) -> Option<Segment<'a>> {
        Some(match kind {
            1 => Segment::Set(asns),
            Segment::SEQUENCE => Segment::Sequence(asns),
            3 => Segment::ConfedSequence(asns),
            4 => Segment::ConfedSet(asns),
            _ => return None,
        })
    }

    pub(super) fn kind(self) -> u8 {
        match self {
            Segment::Set(_) => 1,
            Segment::Sequence(_) => Segment::SEQUENCE,
            Segment::ConfedSequence(_) => 3,
            Segment::ConfedSet(_) => 4,
        }
    }

    fn is_confederation(self) -> bool {
        matches!(self, Segment::ConfedSequence(_) | Segment::ConfedSet(_))
    }
}

impl AsPath {
    /// Decodes the value of AS_PATH or AS4_PATH.
    ///
    /// # Errors
    /// What RFC 7606 §7.2 calls malformed, and AS 0 (RFC 7607 §2), in words.
    pub(in crate::bgp) fn decode(value: &[u8], width: AsWidth) -> Result<AsPath, String> {
        let mut cursor = Cursor::new(value);
        // Exact for a path of one segment, whose head stands for two octets.
        let mut words = Vec::with_capacity(value.len().div_ceil(width.octets()));
        while let Some(kind) = cursor.u8() {
            let Some(count) = cursor.u8() else {
                return Err("one octet is left after the last segment".into());
            };
            if count == 0 {
                return Err("a segment is empty".into());
            }
            let size = usize::from(count) * width.octets();
            let left = cursor.rest().len();
            let Some(octets) = cursor.take(size) else {
                return Err(format!("a segment of {count} AS numbers overruns the {left} octets left"));
            };
            words.push(head(kind, count.into()));
            let at = words.len();
            width.read_all(octets, &mut words);
            if words[at..].contains(&0) {
                return Err("AS 0".into());
            }
            if Segment::new(kind, &[]).is_none() {
                return Err(format!("there is no segment type {kind}"));
            }
        }
        Ok(AsPath { words: words.into() })
    }

    /// Appends the value of AS_PATH, segments of more than 255 AS numbers split: what was put in front
    /// of a full segment gets one of its own (RFC 4271 §5.1.2).
    pub(in crate::bgp) fn encode(&self, width: AsWidth, out: &mut Vec<u8>) {
        for segment in self.segments() {
            let (front, full) = segment.asns().split_at(segment.asns().len() % SEGMENT_LIMIT);
            let front = Some(front).filter(|asns| !asns.is_empty());
            for asns in front.into_iter().chain(full.chunks(SEGMENT_LIMIT)) {
                // A chunk holds no more than SEGMENT_LIMIT, which fits an octet.
                out.extend([segment.kind(), asns.len() as u8]);
                asns.iter().for_each(|asn| width.write(*asn, out));
            }
        }
    }

    /// Whether the path has confederation segments, which no peer outside may send (RFC 5065 §5.3).
    pub(in crate::bgp) fn has_confederation(&self) -> bool {
        self.segments().any(Segment::is_confederation)
    }

    /// The path as AS4_PATH carries it, which excludes confederation segments (RFC 6793 §3).
    pub(in crate::bgp) fn without_confederation(&self) -> AsPath {
        self.segments().filter(|segment| !segment.is_confederation()).collect()
    }

    /// Whether a two-octet speaker needs AS4_PATH beside AS_PATH (RFC 6793 §4.2.2).
    pub(in crate::bgp) fn needs_four_octets(&self) -> bool {
        let mut outside = self.segments().filter(|segment| !segment.is_confederation());
        outside.any(|segment| segment.asns().iter().any(|asn| *asn > u32::from(u16::MAX)))
    }

    /// This AS_PATH from a two-octet speaker with its AS4_PATH put in (RFC 6793 §4.2.3): `as4` is
    /// the tail, and what it lacks in length is taken from the front of this path.
    pub(in crate::bgp) fn merged(self, as4: &AsPath) -> AsPath {
        let Some(mut missing) = self.hops().checked_sub(as4.hops()) else {
            return self;
        };
        let mut front = vec![];
        for segment in self.segments() {
            match segment {
                // Confederation segments count nothing, and are kept in front and next to what is kept.
                Segment::ConfedSequence(_) | Segment::ConfedSet(_) => front.push(segment),
                _ if missing == 0 => break,
                Segment::Set(_) => {
                    missing -= 1;
                    front.push(segment);
                }
                Segment::Sequence(asns) => {
                    let kept = &asns[..asns.len().min(missing)];
                    missing -= kept.len();
                    front.push(Segment::Sequence(kept));
                    if kept.len() < asns.len() {
                        break;
                    }
                }
            }
        }
        let mut joined = vec![];
        let mut tail = as4.segments().peekable();
        if let (Some(Segment::Sequence(last)), Some(Segment::Sequence(first))) = (front.last(), tail.peek()) {
            joined = [*last, first].concat();
            front.pop();
            tail.next();
        }
        front.into_iter().chain([Segment::Sequence(&joined)]).chain(tail).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::as_path::Segment::{ConfedSequence, ConfedSet, Sequence, Set};

    fn path<'a>(segments: impl IntoIterator<Item = Segment<'a>>) -> AsPath {
        segments.into_iter().collect()
    }

    #[test]
    fn both_directions() {
        let two = path([Sequence(&[1, 2]), Set(&[3]), ConfedSequence(&[4]), ConfedSet(&[5])]);
        let octets = [2, 2, 0, 1, 0, 2, 1, 1, 0, 3, 3, 1, 0, 4, 4, 1, 0, 5];
        assert_eq!(AsPath::decode(&octets, AsWidth::Two), Ok(two.clone()));
        let mut out = vec![];
        two.encode(AsWidth::Two, &mut out);
        assert_eq!(out, octets);

        let four = path([Sequence(&[0x0102_0304])]);
        assert_eq!(AsPath::decode(&[2, 1, 1, 2, 3, 4], AsWidth::Four), Ok(four.clone()));
        out.clear();
        four.encode(AsWidth::Two, &mut out);
        assert_eq!(out, [2, 1, 0x5b, 0xa0], "AS_TRANS where the number does not fit");
        assert_eq!(AsPath::decode(&[], AsWidth::Four), Ok(AsPath::default()));
    }

    #[test]
    fn long_segments_are_split() {
        let mut out = vec![];
        AsPath::sequence([7; 256]).encode(AsWidth::Two, &mut out);
        assert_eq!(out.len(), 2 + 255 * 2 + 2 + 2);
        assert_eq!(out[..6], [2, 1, 0, 7, 2, 255]);
        assert_eq!(AsPath::decode(&out, AsWidth::Two).unwrap().hops(), 256);
    }

    #[test]
    fn malformed() {
        let table: [(&[u8], &str); 6] = [
            (&[2, 1, 0, 7, 2], "one octet is left after the last segment"),
            (&[2, 0], "a segment is empty"),
            (&[2, 2, 0, 7], "a segment of 2 AS numbers overruns the 2 octets left"),
            (&[2, 1, 0, 0], "AS 0"),
            (&[0, 1, 0, 7], "there is no segment type 0"),
            (&[5, 1, 0, 7], "there is no segment type 5"),
        ];
        for (octets, what) in table {
            assert_eq!(AsPath::decode(octets, AsWidth::Two), Err(what.into()));
        }
    }

    #[test]
    fn as4_path_is_the_tail_of_the_merged_path() {
        const TRANS: u32 = AS_TRANS as u32;
        // AS_PATH, AS4_PATH, and what RFC 6793 §4.2.3 makes of them.
        let table = [
            (vec![Sequence(&[1, TRANS])], vec![Sequence(&[1, 70000])], "1 70000"),
            (vec![Sequence(&[1, 2, TRANS])], vec![Sequence(&[70000])], "1 2 70000"),
            (vec![Sequence(&[TRANS])], vec![Sequence(&[1, 70000])], "23456"),
            (
                vec![Sequence(&[1]), Set(&[2, 3]), Sequence(&[TRANS])],
                vec![Sequence(&[70000])],
                "1 {2,3} 70000",
            ),
            (
                vec![Sequence(&[1, TRANS]), Set(&[2, TRANS])],
                vec![Sequence(&[70000]), Set(&[2, 70001])],
                "1 70000 {2,70001}",
            ),
            (vec![ConfedSequence(&[9]), Sequence(&[TRANS])], vec![Sequence(&[70000])], "(9) 70000"),
            (
                vec![Sequence(&[1]), ConfedSequence(&[9]), Sequence(&[TRANS])],
                vec![Sequence(&[70000])],
                "1 (9) 70000",
            ),
            (vec![Sequence(&[1, 2])], vec![], "1 2"),
        ];
        for (as_path, as4_path, merged) in table {
            assert_eq!(path(as_path).merged(&path(as4_path)).to_string(), merged);
        }
    }
}
