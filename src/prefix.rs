//! Address families and canonical prefixes: the nouns every room shares.
//!
//! A prefix here is always canonical: its host bits are zero and its length fits its family. What
//! arrives from outside (NLRI, manifests, the kernel) is parsed into these types once, so that no
//! later comparison has to wonder whether `10.0.0.5/8` equals `10.0.0.0/8`.

mod aggregate;
pub mod hash;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

pub use aggregate::aggregate;

/// An address family with unicast SAFI, the only kind of table this program keeps (RFC 4760).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4Unicast,
    /// AFI 2, SAFI 1.
    Ipv6Unicast,
}

impl Family {
    /// Every family, in the order tables and listings use.
    pub const ALL: [Family; 2] = [Family::Ipv4Unicast, Family::Ipv6Unicast];

    /// The family an address belongs to.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::Ipv4Unicast,
            IpAddr::V6(_) => Family::Ipv6Unicast,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4Unicast => "ipv4Unicast",
            Family::Ipv6Unicast => "ipv6Unicast",
        })
    }
}

/// An address type a table can be generic over, so that IPv4 and IPv6 share every line of code and
/// neither pays for the other's size.
pub trait Address: Copy + Ord + fmt::Debug + fmt::Display + Into<IpAddr> + Send + 'static {
    /// The unicast family of these addresses.
    const FAMILY: Family;
    /// Length of an address in bits.
    const BITS: u8;

    /// This address with every bit past `length` cleared.
    fn masked(self, length: u8) -> Self;

    /// How many bits this address and another have in common at their start.
    fn common_bits(self, other: Self) -> u8;

    /// The address in two words, for hashing; in the second alone where it fits.
    fn words(self) -> [u64; 2];
}

impl Address for Ipv4Addr {
    const FAMILY: Family = Family::Ipv4Unicast;
    const BITS: u8 = 32;

    fn masked(self, length: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
        Ipv4Addr::from_bits(self.to_bits() & mask)
    }

    fn common_bits(self, other: Self) -> u8 {
        (self.to_bits() ^ other.to_bits()).leading_zeros() as u8
    }

    fn words(self) -> [u64; 2] {
        [0, self.to_bits().into()]
    }
}

impl Address for Ipv6Addr {
    const FAMILY: Family = Family::Ipv6Unicast;
    const BITS: u8 = 128;

    fn masked(self, length: u8) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
        Ipv6Addr::from_bits(self.to_bits() & mask)
    }

    fn common_bits(self, other: Self) -> u8 {
        (self.to_bits() ^ other.to_bits()).leading_zeros() as u8
    }

    fn words(self) -> [u64; 2] {
        [(self.to_bits() >> 64) as u64, self.to_bits() as u64]
    }
}

/// A canonical prefix of one address family. Ordered by address, then by length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Net<A> {
    address: A,
    length: u8,
}

impl<A: Address> Net<A> {
    /// The prefix of `length` bits that contains `address`; `None` when the length does not fit.
    pub fn new(address: A, length: u8) -> Option<Self> {
        (length <= A::BITS).then(|| Net { address: address.masked(length), length })
    }

    /// The first address of the prefix.
    pub fn address(self) -> A {
        self.address
    }

    /// The prefix length in bits.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether `other` lies inside this prefix (or is the same).
    pub fn contains(self, other: Self) -> bool {
        self.length <= other.length && other.address.masked(self.length) == self.address
    }

    /// The longest prefix that contains both.
    pub fn common(self, other: Self) -> Self {
        let length = self.address.common_bits(other.address).min(self.length).min(other.length);
        Net { address: self.address.masked(length), length }
    }
}

/// Word by word: tables of a million prefixes are looked up by this.
impl<A: Address> Hash for Net<A> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [high, low] = self.address.words();
        if A::BITS > 64 {
            state.write_u64(high);
        }
        state.write_u64(low.rotate_left(8) ^ u64::from(self.length));
    }
}

impl<A: Address> fmt::Display for Net<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl<A: Address> fmt::Debug for Net<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A canonical prefix of either family: a destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Prefix {
    /// An IPv4 prefix.
    V4(Net<Ipv4Addr>),
    /// An IPv6 prefix.
    V6(Net<Ipv6Addr>),
}

impl Prefix {
    /// The prefix of `length` bits that contains `address`; `None` when the length does not fit.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Net::new(address, length).map(Prefix::V4),
            IpAddr::V6(address) => Net::new(address, length).map(Prefix::V6),
        }
    }

    /// The prefix that holds this one address (`/32` or `/128`).
    pub fn host(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Prefix::V4(Net { address, length: 32 }),
            IpAddr::V6(address) => Prefix::V6(Net { address, length: 128 }),
        }
    }

    /// The first address of the prefix.
    pub fn address(self) -> IpAddr {
        match self {
            Prefix::V4(net) => net.address.into(),
            Prefix::V6(net) => net.address.into(),
        }
    }

    /// The prefix length in bits.
    pub fn length(self) -> u8 {
        match self {
            Prefix::V4(net) => net.length,
            Prefix::V6(net) => net.length,
        }
    }

    /// The family whose table this prefix belongs in.
    pub fn family(self) -> Family {
        match self {
            Prefix::V4(_) => Family::Ipv4Unicast,
            Prefix::V6(_) => Family::Ipv6Unicast,
        }
    }

    /// Whether `other` lies inside this prefix (or is the same).
    pub fn contains(self, other: Prefix) -> bool {
        match (self, other) {
            (Prefix::V4(a), Prefix::V4(b)) => a.contains(b),
            (Prefix::V6(a), Prefix::V6(b)) => a.contains(b),
            _ => false,
        }
    }

    /// The longest prefix that contains both; `None` for two families.
    pub fn common(self, other: Prefix) -> Option<Prefix> {
        match (self, other) {
            (Prefix::V4(a), Prefix::V4(b)) => Some(Prefix::V4(a.common(b))),
            (Prefix::V6(a), Prefix::V6(b)) => Some(Prefix::V6(a.common(b))),
            _ => None,
        }
    }

    /// Whether `address` lies inside this prefix.
    pub fn contains_address(self, address: IpAddr) -> bool {
        self.contains(Prefix::host(address))
    }
}

impl From<Net<Ipv4Addr>> for Prefix {
    fn from(net: Net<Ipv4Addr>) -> Self {
        Prefix::V4(net)
    }
}

impl From<Net<Ipv6Addr>> for Prefix {
    fn from(net: Net<Ipv6Addr>) -> Self {
        Prefix::V6(net)
    }
}

impl From<ipnetwork::IpNetwork> for Prefix {
    /// Host bits are cleared; `ipnetwork` has already checked the length.
    fn from(network: ipnetwork::IpNetwork) -> Self {
        match network {
            ipnetwork::IpNetwork::V4(n) => {
                Prefix::V4(Net { address: n.ip().masked(n.prefix()), length: n.prefix() })
            }
            ipnetwork::IpNetwork::V6(n) => {
                Prefix::V6(Net { address: n.ip().masked(n.prefix()), length: n.prefix() })
            }
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.length())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is no `ADDRESS/LENGTH`, or the address or length does not parse.
    #[error("{0:?} is not of the form ADDRESS/LENGTH")]
    Form(String),
    /// The length exceeds the family's 32 or 128 bits.
    #[error("prefix length of {0:?} is out of range")]
    Length(String),
    /// Bits past the prefix length are set; the canonical prefix is given.
    #[error("{0:?} has host bits set; the prefix is {1}")]
    HostBits(String, Prefix),
}

impl FromStr for Prefix {
    type Err = ParseError;

    /// Strict: a length is required and host bits must be zero, for a person who writes
    /// `10.244.1.5/24` may have meant either the prefix or the address.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let form = || ParseError::Form(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(form)?;
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let length: u8 = length.parse().map_err(|_| form())?;
        let prefix = Prefix::new(address, length).ok_or_else(|| ParseError::Length(text.to_owned()))?;
        if prefix.address() != address {
            return Err(ParseError::HostBits(text.to_owned(), prefix));
        }
        Ok(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn new_clears_host_bits() {
        assert_eq!(Prefix::new("10.1.2.3".parse().unwrap(), 8), Some(prefix("10.0.0.0/8")));
        assert_eq!(Prefix::new("10.1.2.3".parse().unwrap(), 0), Some(prefix("0.0.0.0/0")));
        assert_eq!(Prefix::new("fd00::1".parse().unwrap(), 64), Some(prefix("fd00::/64")));
        assert_eq!(Prefix::new("fd00::1".parse().unwrap(), 0), Some(prefix("::/0")));
        assert_eq!(Prefix::new("10.0.0.0".parse().unwrap(), 33), None);
        assert_eq!(Prefix::new("::".parse().unwrap(), 129), None);
    }

    #[test]
    fn contains_respects_length_and_family() {
        assert!(prefix("10.0.0.0/8").contains(prefix("10.244.1.0/24")));
        assert!(prefix("10.0.0.0/8").contains(prefix("10.0.0.0/8")));
        assert!(!prefix("10.244.1.0/24").contains(prefix("10.0.0.0/8")));
        assert!(!prefix("0.0.0.0/0").contains(prefix("::/0")));
        assert!(prefix("::/0").contains_address("fd00::1".parse().unwrap()));
    }

    #[test]
    fn common_is_the_longest_that_contains_both() {
        let common = |a: &str, b: &str| prefix(a).common(prefix(b));
        assert_eq!(common("10.0.0.0/24", "10.0.1.0/24"), Some(prefix("10.0.0.0/23")));
        assert_eq!(common("10.0.0.0/8", "10.1.0.0/16"), Some(prefix("10.0.0.0/8")));
        assert_eq!(common("10.0.0.0/8", "192.0.0.0/8"), Some(prefix("0.0.0.0/0")));
        assert_eq!(common("fd00::/64", "fd00::1:0:0:0:0/64"), Some(prefix("fd00::/63")));
        assert_eq!(common("10.0.0.0/8", "fd00::/64"), None);
    }

    #[test]
    fn parse_says_what_is_wrong() {
        let error = |text: &str| text.parse::<Prefix>().unwrap_err().to_string();
        assert_eq!(error("10.0.0.1"), "\"10.0.0.1\" is not of the form ADDRESS/LENGTH");
        assert_eq!(error("10.0.0.0/33"), "prefix length of \"10.0.0.0/33\" is out of range");
        assert_eq!(error("10.0.0.1/8"), "\"10.0.0.1/8\" has host bits set; the prefix is 10.0.0.0/8");
    }

    #[test]
    fn compact_enough_for_a_million() {
        assert_eq!(size_of::<Net<Ipv4Addr>>(), 5);
        assert_eq!(size_of::<Net<Ipv6Addr>>(), 17);
    }
}
