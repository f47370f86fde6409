//! Network layer reachability information: lists of prefixes (RFC 4271 §4.3, RFC 4760 §5), each with a
//! path identifier where that was agreed on (RFC 7911 §3).
//!
//! Owns the form alone. Which field a list stands in, and what follows from an error in it, is the
//! business of [`super::update`].

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Codec;
use crate::prefix::{Address, Family, Net, Prefix};

/// Tells the paths to one prefix apart that one speaker announces on one session (RFC 7911 §3). Zero
/// where the session has no identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PathId(pub u32);

impl PathId {
    /// What stands for the one path to a prefix on a session without identifiers.
    pub const NONE: PathId = PathId(0);
}

/// A prefix with the identifier of one path to it (RFC 7911 §3). Ordered by prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathNlri {
    /// The prefix.
    pub prefix: Prefix,
    /// Which path to it.
    pub id: PathId,
}

/// What lists are made of: prefixes, alone or with a path identifier. Which of the two, is settled when
/// the session comes up, so that neither kind of list pays for the other.
pub trait Nlri: Copy {
    /// Octets of the path identifier.
    const ID_OCTETS: usize;

    /// One entry. The identifier is [`PathId::NONE`] where there are none.
    fn new(prefix: Prefix, id: PathId) -> Self;

    /// The prefix.
    fn prefix(self) -> Prefix;

    /// The path identifier, likewise.
    fn id(self) -> PathId;
}

impl Nlri for Prefix {
    const ID_OCTETS: usize = 0;

    fn new(prefix: Prefix, _: PathId) -> Prefix {
        prefix
    }

    fn prefix(self) -> Prefix {
        self
    }

    fn id(self) -> PathId {
        PathId::NONE
    }
}

impl Nlri for PathNlri {
    const ID_OCTETS: usize = 4;

    fn new(prefix: Prefix, id: PathId) -> PathNlri {
        PathNlri { prefix, id }
    }

    fn prefix(self) -> Prefix {
        self.prefix
    }

    fn id(self) -> PathId {
        self.id
    }
}

/// A list as it came: either has entries with identifiers or without.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct List {
    pub prefixes: Vec<Prefix>,
    pub paths: Vec<PathNlri>,
}

impl List {
    /// Decodes a list as the session's sides have agreed on it.
    pub(super) fn decode(codec: &Codec, family: Family, octets: &[u8]) -> Result<List, Malformed> {
        if codec.add_path[family as usize].receive {
            Ok(List { paths: decode(family, octets)?, prefixes: vec![] })
        } else {
            Ok(List { prefixes: decode(family, octets)?, paths: vec![] })
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.prefixes.is_empty() && self.paths.is_empty()
    }
}

/// Why a list of prefixes is not syntactically correct (RFC 7606 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("prefix length {length} at octet {at} exceeds {most}")]
    TooLong { length: u8, at: usize, most: u8 },
    #[error("the path identifier at octet {at} needs {missing} more octets than there are")]
    NoIdentifier { at: usize, missing: usize },
    #[error("the prefix of length {length} at octet {at} needs {missing} more octets than there are")]
    Overrun { length: u8, at: usize, missing: usize },
}

/// The AFI of a family (RFC 4760); the SAFI is always unicast.
pub(super) fn afi(family: Family) -> u16 {
    match family {
        Family::Ipv4Unicast => 1,
        Family::Ipv6Unicast => 2,
    }
}

/// The SAFI of every family we keep a table of.
pub(super) const UNICAST: u8 = 1;

/// The family that AFI and SAFI name, if we keep a table of it.
pub fn family(afi: u16, safi: u8) -> Option<Family> {
    match (afi, safi) {
        (1, UNICAST) => Some(Family::Ipv4Unicast),
        (2, UNICAST) => Some(Family::Ipv6Unicast),
        _ => None,
    }
}

/// Octets that the longest prefix of a family takes.
pub(super) fn longest(family: Family) -> usize {
    match family {
        Family::Ipv4Unicast => 1 + 4,
        Family::Ipv6Unicast => 1 + 16,
    }
}

/// Decodes prefixes until `octets` are used up. Bits past a prefix length are irrelevant
/// (RFC 4271 §4.3) and cleared.
pub(super) fn decode<T: Nlri>(family: Family, octets: &[u8]) -> Result<Vec<T>, Malformed> {
    match family {
        Family::Ipv4Unicast => decode_as::<T, Ipv4Addr>(octets),
        Family::Ipv6Unicast => decode_as::<T, Ipv6Addr>(octets),
    }
}

/// An address in the order of the wire.
trait WireAddress: Address {
    /// The address that the octets begin with; what is not there is zero.
    fn read(octets: &[u8]) -> Self;
}

impl WireAddress for Ipv4Addr {
    fn read(octets: &[u8]) -> Self {
        padded::<4>(octets).into()
    }
}

impl WireAddress for Ipv6Addr {
    fn read(octets: &[u8]) -> Self {
        padded::<16>(octets).into()
    }
}

/// The first octets, behind the last of them zeros. Only the end of a list needs any.
fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    octets.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; N];
        padded[..octets.len()].copy_from_slice(octets);
        padded
    })
}

/// Reads a whole address at each entry, whatever its length, and lets the prefix cut it to its own: a
/// list has hundreds of them, and copying as many octets as there are takes three times as long.
fn decode_as<T: Nlri, A: WireAddress>(octets: &[u8]) -> Result<Vec<T>, Malformed>
where
    Prefix: From<Net<A>>,
{
    // Few lists have prefixes that are on average shorter than half (IPv4) or a third (IPv6) of an address.
    let mut prefixes =
        Vec::with_capacity(octets.len().div_ceil(T::ID_OCTETS + 2 + usize::from(A::BITS / 32)));
    let mut rest = octets;
    while !rest.is_empty() {
        let at = octets.len() - rest.len();
        let Some((id, (&length, after))) = split_id::<T>(rest) else {
            return Err(Malformed::NoIdentifier { at, missing: T::ID_OCTETS + 1 - rest.len() });
        };
        let Some(net) = Net::new(A::read(after), length) else {
            return Err(Malformed::TooLong { length, at, most: A::BITS });
        };
        let size = usize::from(length).div_ceil(8);
        let Some(after) = after.get(size..) else {
            return Err(Malformed::Overrun { length, at, missing: size - after.len() });
        };
        prefixes.push(T::new(net.into(), id));
        rest = after;
    }
    Ok(prefixes)
}

/// Splits an entry into its identifier, its length octet and what follows.
fn split_id<T: Nlri>(octets: &[u8]) -> Option<(PathId, (&u8, &[u8]))> {
    let (id, rest) = octets.split_at_checked(T::ID_OCTETS)?;
    let id = id.as_array().map_or(PathId::NONE, |id| PathId(u32::from_be_bytes(*id)));
    Some((id, rest.split_first()?))
}

/// Appends prefixes while they fit into `room` octets; returns those that did not.
pub(super) fn encode<'a, T: Nlri>(prefixes: &'a [T], room: usize, out: &mut Vec<u8>) -> &'a [T] {
    let start = out.len();
    // Entries are written with all octets of their address, and each over the end of the one before: so
    // there is room for the longest behind the last.
    let most = room.min(prefixes.len().saturating_mul(T::ID_OCTETS + MOST)) + T::ID_OCTETS + MOST;
    out.resize(start + most, 0);
    let space = &mut out[start..];
    let mut at = 0;
    let mut written = 0;
    for entry in prefixes {
        let prefix = entry.prefix();
        let end = at + T::ID_OCTETS + 1 + usize::from(prefix.length()).div_ceil(8);
        if end > room {
            break;
        }
        if T::ID_OCTETS > 0 {
            space[at..at + 4].copy_from_slice(&entry.id().0.to_be_bytes());
            at += 4;
        }
        space[at] = prefix.length();
        match prefix {
            Prefix::V4(net) => space[at + 1..at + 5].copy_from_slice(&net.address().octets()),
            Prefix::V6(net) => space[at + 1..at + 17].copy_from_slice(&net.address().octets()),
        }
        at = end;
        written += 1;
    }
    out.truncate(start + at);
    &prefixes[written..]
}

/// Octets of the longest prefix of any family.
const MOST: usize = 1 + 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn both_directions() {
        let table: [(Family, &[&str], &[u8]); 4] = [
            (
                Family::Ipv4Unicast,
                &["0.0.0.0/0", "10.244.1.0/24", "10.0.0.0/9"],
                &[0, 24, 10, 244, 1, 9, 10, 0],
            ),
            (Family::Ipv4Unicast, &["192.0.2.1/32"], &[32, 192, 0, 2, 1]),
            (Family::Ipv6Unicast, &["::/0", "fd00:244::/33"], &[0, 33, 0xfd, 0, 2, 0x44, 0]),
            (
                Family::Ipv6Unicast,
                &["fd00::1/128"],
                &[128, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            ),
        ];
        for (family, texts, octets) in table {
            assert_eq!(decode(family, octets), Ok(prefixes(texts)));
            let mut out = vec![];
            assert_eq!(encode(&prefixes(texts), octets.len(), &mut out), &[]);
            assert_eq!(out, octets);
        }
    }

    #[test]
    fn bits_past_the_length_are_cleared() {
        assert_eq!(decode(Family::Ipv4Unicast, &[9, 10, 0xff]), Ok(prefixes(&["10.128.0.0/9"])));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = |family, octets: &[u8]| decode::<Prefix>(family, octets).unwrap_err().to_string();
        assert_eq!(error(Family::Ipv4Unicast, &[8, 10, 33]), "prefix length 33 at octet 2 exceeds 32");
        assert_eq!(error(Family::Ipv4Unicast, &[255]), "prefix length 255 at octet 0 exceeds 32");
        assert_eq!(error(Family::Ipv6Unicast, &[129]), "prefix length 129 at octet 0 exceeds 128");
        assert_eq!(
            error(Family::Ipv4Unicast, &[24, 10, 244]),
            "the prefix of length 24 at octet 0 needs 1 more octets than there are"
        );
    }

    #[test]
    fn with_identifiers() {
        let octets = [0, 0, 0, 7, 8, 10, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 9, 10, 0x80];
        let path = |text: &str, id| PathNlri { prefix: text.parse().unwrap(), id: PathId(id) };
        let paths = [path("10.0.0.0/8", 7), path("0.0.0.0/0", u32::MAX), path("10.128.0.0/9", 0)];
        assert_eq!(decode(Family::Ipv4Unicast, &octets), Ok(paths.to_vec()));
        let mut out = vec![];
        assert_eq!(encode(&paths, octets.len(), &mut out), &[]);
        assert_eq!(out, octets);
        assert_eq!(encode(&paths, octets.len() - 1, &mut vec![]), &paths[2..]);
        let error = |octets: &[u8]| decode::<PathNlri>(Family::Ipv4Unicast, octets).unwrap_err().to_string();
        let short = |at, missing| {
            format!("the path identifier at octet {at} needs {missing} more octets than there are")
        };
        assert_eq!(error(&[0, 0, 0, 7, 8, 10, 0, 0]), short(6, 3));
        assert_eq!(error(&[0, 0, 0, 7]), short(0, 1));
        assert_eq!(error(&[0, 0, 0, 7, 33]), "prefix length 33 at octet 0 exceeds 32");
    }

    #[test]
    fn stops_where_the_room_ends() {
        let all = prefixes(&["10.0.0.0/8", "10.244.1.0/24", "10.0.0.0/8"]);
        let mut out = vec![0xee];
        assert_eq!(encode(&all, 5, &mut out), &all[1..]);
        assert_eq!(out, [0xee, 8, 10]);
    }
}
