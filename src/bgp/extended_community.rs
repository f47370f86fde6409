//! Extended communities (RFC 4360, RFC 5668; draft-ietf-idr-link-bandwidth): what their octets mean,
//! and how they are written.
//!
//! Paths carry them as eight octets each, known or not; this file reads the kinds that people write:
//! `rt:65000:100`, `ro:192.0.2.1:7`, `link-bandwidth:65000:125000000`, `opaque:6:1`. Everything else is
//! written as `0x` and sixteen hexadecimal digits, so that each has one text and can be named.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Types: the high octet (RFC 4360 §3, RFC 5668 §2).
const TWO_OCTET_AS: u8 = 0x00;
const IPV4_ADDRESS: u8 = 0x01;
const FOUR_OCTET_AS: u8 = 0x02;
const OPAQUE: u8 = 0x03;
/// Set in the type of a community that does not cross the border of an AS (RFC 4360 §2).
const NON_TRANSITIVE: u8 = 0x40;
/// Subtypes (RFC 4360 §4, §5; draft-ietf-idr-link-bandwidth §3).
const ROUTE_TARGET: u8 = 0x02;
const ROUTE_ORIGIN: u8 = 0x03;
const LINK_BANDWIDTH: u8 = 0x04;

/// One extended community, as its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// A kind of extended community that can be meant as a whole, whatever its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExtendedKind {
    /// Route target (RFC 4360 §4).
    RouteTarget,
    /// Route origin (RFC 4360 §5).
    RouteOrigin,
    /// Link bandwidth, transitive or not (draft-ietf-idr-link-bandwidth).
    LinkBandwidth,
}

/// A text is no extended community; says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an extended community such as \"rt:65000:100\", \"ro:192.0.2.1:7\", \
     \"link-bandwidth:65000:125000000\" (octets per second), \"opaque:6:1\" or \"0x0002fde800000064\""
)]
pub struct NotExtended(String);

impl ExtendedKind {
    /// Every kind with the word that texts begin with.
    const WORDS: [(ExtendedKind, &'static str); 3] = [
        (ExtendedKind::RouteTarget, "rt"),
        (ExtendedKind::RouteOrigin, "ro"),
        (ExtendedKind::LinkBandwidth, "link-bandwidth"),
    ];
}

impl ExtendedCommunity {
    /// The link bandwidth of an AS: `rate` in octets per second, as the draft has it.
    pub fn link_bandwidth(asn: u16, rate: f32, transitive: bool) -> ExtendedCommunity {
        let kind = if transitive { TWO_OCTET_AS } else { TWO_OCTET_AS | NON_TRANSITIVE };
        ExtendedCommunity(joined([kind, LINK_BANDWIDTH], asn.to_be_bytes(), rate.to_be_bytes()))
    }

    /// Whether it may cross the border of an AS (RFC 4360 §2).
    pub fn is_transitive(self) -> bool {
        self.0[0] & NON_TRANSITIVE == 0
    }

    /// What kind it is, where that is one of those with a name.
    pub fn kind(self) -> Option<ExtendedKind> {
        match (self.0[0], self.0[1]) {
            (TWO_OCTET_AS | IPV4_ADDRESS | FOUR_OCTET_AS, ROUTE_TARGET) => Some(ExtendedKind::RouteTarget),
            (TWO_OCTET_AS | IPV4_ADDRESS | FOUR_OCTET_AS, ROUTE_ORIGIN) => Some(ExtendedKind::RouteOrigin),
            (kind, LINK_BANDWIDTH) if kind & !NON_TRANSITIVE == TWO_OCTET_AS => {
                Some(ExtendedKind::LinkBandwidth)
            }
            _ => None,
        }
    }

    /// The bandwidth in octets per second, if it says one that can be reckoned with: a positive number.
    pub fn bandwidth(self) -> Option<f32> {
        let [.., b0, b1, b2, b3] = self.0;
        let rate = f32::from_be_bytes([b0, b1, b2, b3]);
        (self.kind() == Some(ExtendedKind::LinkBandwidth) && rate.is_finite() && rate > 0.0).then_some(rate)
    }
}

fn joined(head: [u8; 2], a: [u8; 2], b: [u8; 4]) -> [u8; 8] {
    [head[0], head[1], a[0], a[1], b[0], b[1], b[2], b[3]]
}

/// The administrator and number of a route target or origin, in the narrowest form that holds the AS.
fn administered(subtype: u8, administrator: &str, number: &str) -> Option<[u8; 8]> {
    if let Ok(address) = administrator.parse::<Ipv4Addr>() {
        let [a, b, c, d] = address.octets();
        let [e, f] = number.parse::<u16>().ok()?.to_be_bytes();
        return Some([IPV4_ADDRESS, subtype, a, b, c, d, e, f]);
    }
    if let Ok(asn) = administrator.parse::<u16>() {
        let number: u32 = number.parse().ok()?;
        return Some(joined([TWO_OCTET_AS, subtype], asn.to_be_bytes(), number.to_be_bytes()));
    }
    let [a, b, c, d] = administrator.parse::<u32>().ok()?.to_be_bytes();
    let [e, f] = number.parse::<u16>().ok()?.to_be_bytes();
    Some([FOUR_OCTET_AS, subtype, a, b, c, d, e, f])
}

fn opaque(subtype: &str, value: &str) -> Option<[u8; 8]> {
    let [0, 0, a, b, c, d, e, f] = value.parse::<u64>().ok()?.to_be_bytes() else { return None };
    Some([OPAQUE, subtype.parse().ok()?, a, b, c, d, e, f])
}

fn link_bandwidth(asn: &str, rate: &str, transitive: bool) -> Option<[u8; 8]> {
    let rate = rate.parse::<f32>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0)?;
    Some(ExtendedCommunity::link_bandwidth(asn.parse().ok()?, rate, transitive).0)
}

fn parse(text: &str) -> Option<[u8; 8]> {
    if let Some(digits) = text.strip_prefix("0x") {
        let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        return u64::from_str_radix(digits, 16).ok().filter(|_| plain).map(u64::to_be_bytes);
    }
    let mut parts = text.split(':');
    let (word, a, b) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    match word {
        "rt" => administered(ROUTE_TARGET, a, b),
        "ro" => administered(ROUTE_ORIGIN, a, b),
        "link-bandwidth" => link_bandwidth(a, b, false),
        "link-bandwidth-transitive" => link_bandwidth(a, b, true),
        "opaque" => opaque(a, b),
        _ => None,
    }
}

impl FromStr for ExtendedCommunity {
    type Err = NotExtended;

    fn from_str(text: &str) -> Result<Self, NotExtended> {
        parse(text).map(ExtendedCommunity).ok_or_else(|| NotExtended(text.to_owned()))
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, subtype, a, b, c, d, low0, low1] = self.0;
        let word = if subtype == ROUTE_TARGET { "rt" } else { "ro" };
        let (short, long) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([a, b, c, d]));
        let (number, small) = (u32::from_be_bytes([c, d, low0, low1]), u16::from_be_bytes([low0, low1]));
        let rate = f32::from_bits(number);
        match (kind, subtype) {
            (TWO_OCTET_AS, ROUTE_TARGET | ROUTE_ORIGIN) => write!(f, "{word}:{short}:{number}"),
            (IPV4_ADDRESS, ROUTE_TARGET | ROUTE_ORIGIN) => {
                write!(f, "{word}:{}:{small}", Ipv4Addr::from(long))
            }
            // An AS that fits two octets would be read back in the other form.
            (FOUR_OCTET_AS, ROUTE_TARGET | ROUTE_ORIGIN) if long > u32::from(u16::MAX) => {
                write!(f, "{word}:{long}:{small}")
            }
            (OPAQUE, _) => {
                write!(f, "opaque:{subtype}:{}", u64::from_be_bytes([0, 0, a, b, c, d, low0, low1]))
            }
            (_, LINK_BANDWIDTH)
                if kind & !NON_TRANSITIVE == TWO_OCTET_AS && rate.is_finite() && rate.is_sign_positive() =>
            {
                let form = if self.is_transitive() { "-transitive" } else { "" };
                write!(f, "link-bandwidth{form}:{short}:{rate}")
            }
            _ => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

impl FromStr for ExtendedKind {
    type Err = NotExtended;

    fn from_str(text: &str) -> Result<Self, NotExtended> {
        let word = text.strip_suffix(":*");
        let found = ExtendedKind::WORDS.iter().find(|(_, known)| Some(*known) == word);
        found.map(|(kind, _)| *kind).ok_or_else(|| NotExtended(text.to_owned()))
    }
}

impl fmt::Display for ExtendedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = ExtendedKind::WORDS.iter().find(|(kind, _)| kind == self);
        write!(f, "{}:*", found.map_or("", |(_, word)| word))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_is_written_as_it_is_read() {
        for (text, octets) in [
            ("rt:65000:100", [0x00, 0x02, 0xfd, 0xe8, 0, 0, 0, 100]),
            ("ro:65000:4294967295", [0x00, 0x03, 0xfd, 0xe8, 0xff, 0xff, 0xff, 0xff]),
            ("rt:70000:100", [0x02, 0x02, 0, 1, 0x11, 0x70, 0, 100]),
            ("ro:192.0.2.1:7", [0x01, 0x03, 192, 0, 2, 1, 0, 7]),
            ("opaque:6:1", [0x03, 0x06, 0, 0, 0, 0, 0, 1]),
            ("link-bandwidth:65000:125000000", [0x40, 0x04, 0xfd, 0xe8, 0x4c, 0xee, 0x6b, 0x28]),
            ("link-bandwidth-transitive:65000:1", [0x00, 0x04, 0xfd, 0xe8, 0x3f, 0x80, 0, 0]),
            ("0x0202000000640005", [0x02, 0x02, 0, 0, 0, 100, 0, 5]),
            ("0x4004fde87fc00000", [0x40, 0x04, 0xfd, 0xe8, 0x7f, 0xc0, 0, 0]),
        ] {
            assert_eq!(text.parse(), Ok(ExtendedCommunity(octets)), "{text}");
            assert_eq!(ExtendedCommunity(octets).to_string(), text);
        }
        for wrong in [
            "rt:1",
            "rt:1:2:3",
            "rt:70000:65536",
            "rt:192.0.2.1:65536",
            "xx:1:2",
            "link-bandwidth:1:-1",
            "link-bandwidth:1:NaN",
            "link-bandwidth:70000:1",
            "opaque:256:1",
            "opaque:1:281474976710656",
            "0x+002fde800000064",
            "0x00",
            "",
        ] {
            assert!(wrong.parse::<ExtendedCommunity>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn kinds_are_meant_as_a_whole() {
        for text in ["rt:*", "ro:*", "link-bandwidth:*"] {
            assert_eq!(text.parse::<ExtendedKind>().unwrap().to_string(), text);
        }
        assert!("opaque:*".parse::<ExtendedKind>().is_err() && "rt".parse::<ExtendedKind>().is_err());
        let kind = |text: &str| text.parse::<ExtendedCommunity>().unwrap().kind();
        assert_eq!(kind("link-bandwidth-transitive:1:1"), Some(ExtendedKind::LinkBandwidth));
        assert_eq!(kind("link-bandwidth:1:1"), Some(ExtendedKind::LinkBandwidth));
        assert_eq!(kind("opaque:4:1"), None);
    }

    #[test]
    fn a_bandwidth_that_cannot_be_reckoned_with_is_none() {
        let of = |rate| ExtendedCommunity::link_bandwidth(65000, rate, true).bandwidth();
        assert_eq!(of(1.25e9), Some(1.25e9));
        for useless in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(of(useless), None, "{useless}");
        }
        assert_eq!("rt:1:1".parse::<ExtendedCommunity>().unwrap().bandwidth(), None);
    }

    proptest! {
        #[test]
        fn every_community_has_a_text_that_means_it(mut octets in any::<[u8; 8]>(), known in any::<bool>()) {
            if known {
                (octets[0], octets[1]) = (octets[0] & 0x43, octets[1] & 0x07);
            }
            let community = ExtendedCommunity(octets);
            prop_assert_eq!(community.to_string().parse(), Ok(community));
        }
    }
}
