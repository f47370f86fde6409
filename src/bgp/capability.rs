//! Capabilities advertised in OPEN (RFC 5492).
//!
//! Owns their wire form in both directions, with that of graceful restart in `restart`; the optional
//! parameters that carry them are in [`super::open`], what follows from them is negotiated by the
//! session.
//!
//! Ours rather than zettabgp's: `BgpCapability::from_buffer` refuses a whole OPEN for a host name it
//! dislikes and takes a family for unknown when the reserved octet is not zero, where RFC 4760 §8
//! says to ignore that octet.

mod restart;

pub use restart::{GracefulRestart, LongLivedFamily, RestartFamily};

use super::cursor::Cursor;
pub use super::nlri::family as family_of;
use super::{MessageError, Reason, Role, nlri};
use crate::prefix::Family;

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_NEXT_HOP: u8 = 5;
const EXTENDED_MESSAGE: u8 = 6;
const GRACEFUL_RESTART: u8 = 64;
const LONG_LIVED_GRACEFUL_RESTART: u8 = 71;
const FOUR_OCTET_AS: u8 = 65;
const ADD_PATH: u8 = 69;
const ENHANCED_ROUTE_REFRESH: u8 = 70;
const FQDN: u8 = 73;

/// The longest host name sent: with it the capability has the 255 octets it can have.
const MAX_HOST_NAME: usize = 253;

/// One capability, as sent or received.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Multiprotocol extensions for a family we keep a table of (RFC 4760 §8).
    Multiprotocol(Family),
    /// Multiprotocol extensions for any other AFI and SAFI.
    MultiprotocolOther {
        /// Address family identifier.
        afi: u16,
        /// Subsequent address family identifier.
        safi: u8,
    },
    /// Route refresh (RFC 2918).
    RouteRefresh,
    /// Next hops of another family than the prefixes they are for (RFC 8950 §4).
    ExtendedNextHop(Vec<NextHopFamily>),
    /// Messages of up to 65,535 octets (RFC 8654).
    ExtendedMessage,
    /// What the speaker is to its peer (RFC 9234 §4.1).
    Role(Role),
    /// Graceful restart (RFC 4724 §3).
    GracefulRestart(GracefulRestart),
    /// Long-lived graceful restart (RFC 9494 §3).
    LongLivedGracefulRestart(Vec<LongLivedFamily>),
    /// Four-octet AS numbers (RFC 6793), with the speaker's real AS.
    FourOctetAs(u32),
    /// Several paths for one prefix (RFC 7911 §4).
    AddPath(Vec<AddPathFamily>),
    /// Marks around a route refresh (RFC 7313).
    EnhancedRouteRefresh,
    /// The speaker's name (draft-walton-bgp-hostname-capability). Shown and not acted on.
    Fqdn {
        /// Host name.
        host: String,
        /// Domain name; may be empty.
        domain: String,
    },
    /// Any other capability, kept as received. So are role, extended next hop, Add-Path, graceful
    /// restart and name where they have a form that their specifications do not know.
    Unknown {
        /// Capability code.
        code: u8,
        /// Capability value.
        data: Vec<u8>,
    },
}

/// A family in the extended next hop capability (RFC 8950 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NextHopFamily {
    /// Address family identifier of the prefixes.
    pub afi: u16,
    /// Subsequent address family identifier of the prefixes; two octets here and nowhere else.
    pub safi: u16,
    /// Address family identifier of their next hops.
    pub next_hop_afi: u16,
}

impl NextHopFamily {
    /// IPv6 next hops for IPv4 unicast: the one combination that concerns us.
    pub const IPV4_OVER_IPV6: NextHopFamily =
        NextHopFamily { afi: 1, safi: nlri::UNICAST as u16, next_hop_afi: 2 };

    /// `None` where the value is not a whole number of families.
    fn decode_all(value: &[u8]) -> Option<Vec<NextHopFamily>> {
        let (families, []) = value.as_chunks::<6>() else { return None };
        let one = |&[a, b, c, d, e, f]: &[u8; 6]| NextHopFamily {
            afi: u16::from_be_bytes([a, b]),
            safi: u16::from_be_bytes([c, d]),
            next_hop_afi: u16::from_be_bytes([e, f]),
        };
        Some(families.iter().map(one).collect())
    }

    fn octets(self) -> impl Iterator<Item = u8> {
        [self.afi, self.safi, self.next_hop_afi].into_iter().flat_map(u16::to_be_bytes)
    }
}

/// A family in the Add-Path capability (RFC 7911 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddPathFamily {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// What the speaker is able to do.
    pub directions: AddPath,
}

/// In which directions prefixes bear path identifiers (RFC 7911 §4), as seen by the speaker in
/// question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AddPath {
    /// It receives several paths for one prefix.
    pub receive: bool,
    /// It sends several paths for one prefix.
    pub send: bool,
}

impl AddPath {
    /// What is left of our offer when the peer makes this one.
    pub fn agreed(self, peer: AddPath) -> AddPath {
        AddPath { receive: self.receive && peer.send, send: self.send && peer.receive }
    }
}

impl AddPathFamily {
    /// A family that we keep a table of.
    pub fn unicast(family: Family, directions: AddPath) -> AddPathFamily {
        AddPathFamily { afi: nlri::afi(family), safi: nlri::UNICAST, directions }
    }

    const RECEIVE: u8 = 1;
    const SEND: u8 = 2;

    /// `None` where the value is not a whole number of families, or names a direction that there is
    /// not: RFC 7911 §4 has the capability ignored then.
    fn decode_all(value: &[u8]) -> Option<Vec<AddPathFamily>> {
        let (families, []) = value.as_chunks::<4>() else { return None };
        let one = |&[high, low, safi, directions]: &[u8; 4]| {
            let known = (Self::RECEIVE..=Self::RECEIVE | Self::SEND).contains(&directions);
            known.then_some(AddPathFamily {
                afi: u16::from_be_bytes([high, low]),
                safi,
                directions: AddPath {
                    receive: directions & Self::RECEIVE != 0,
                    send: directions & Self::SEND != 0,
                },
            })
        };
        families.iter().map(one).collect()
    }

    fn octets(self) -> [u8; 4] {
        let [high, low] = self.afi.to_be_bytes();
        let bit = |set, bit| if set { bit } else { 0 };
        let AddPath { receive, send } = self.directions;
        [high, low, self.safi, bit(receive, Self::RECEIVE) | bit(send, Self::SEND)]
    }
}

impl Capability {
    /// Code of the role capability.
    pub(super) const ROLE: u8 = 9;

    /// Decodes the value of one capability parameter, which may hold several capabilities.
    ///
    /// # Errors
    /// Open Message Error, unspecific, when a capability overruns the parameter or one that we act on
    /// has a length it cannot have; Bad Peer AS for an AS number of zero (RFC 7607 §2).
    pub(super) fn decode_all(parameter: &[u8], into: &mut Vec<Capability>) -> Result<(), MessageError> {
        let malformed = |what| MessageError::because(Reason::MALFORMED_OPEN, [], what);
        let mut cursor = Cursor::new(parameter);
        while let Some(code) = cursor.u8() {
            let length = cursor
                .u8()
                .ok_or_else(|| malformed(format!("capability {code} ends before its length octet")))?;
            let left = cursor.rest().len();
            let value = cursor.take(length.into()).ok_or_else(|| {
                malformed(format!("capability {code} of {length} octets, {left} octets before the end"))
            })?;
            into.push(Capability::decode(code, value)?);
        }
        Ok(())
    }

    fn decode(code: u8, value: &[u8]) -> Result<Capability, MessageError> {
        let bad_length = |name, right| {
            let what = format!("{name} capability of {} octets instead of {right}", value.len());
            MessageError::because(Reason::MALFORMED_OPEN, [], what)
        };
        match code {
            MULTIPROTOCOL => {
                let &[afi_high, afi_low, _reserved, safi] =
                    value.as_array().ok_or_else(|| bad_length("multiprotocol", 4))?;
                let afi = u16::from_be_bytes([afi_high, afi_low]);
                Ok(match nlri::family(afi, safi) {
                    Some(family) => Capability::Multiprotocol(family),
                    None => Capability::MultiprotocolOther { afi, safi },
                })
            }
            ROUTE_REFRESH if value.is_empty() => Ok(Capability::RouteRefresh),
            ROUTE_REFRESH => Err(bad_length("route refresh", 0)),
            EXTENDED_MESSAGE if value.is_empty() => Ok(Capability::ExtendedMessage),
            EXTENDED_MESSAGE => Err(bad_length("extended message", 0)),
            ENHANCED_ROUTE_REFRESH if value.is_empty() => Ok(Capability::EnhancedRouteRefresh),
            ENHANCED_ROUTE_REFRESH => Err(bad_length("enhanced route refresh", 0)),
            FOUR_OCTET_AS => {
                let asn = value.as_array().ok_or_else(|| bad_length("four-octet AS", 4))?;
                match u32::from_be_bytes(*asn) {
                    0 => {
                        let what = "AS 0 in the four-octet AS capability";
                        Err(MessageError::because(Reason::BAD_PEER_AS, [], what))
                    }
                    asn => Ok(Capability::FourOctetAs(asn)),
                }
            }
            _ => {
                let unknown = || Capability::Unknown { code, data: value.to_vec() };
                Ok(Capability::decode_lenient(code, value).unwrap_or_else(unknown))
            }
        }
    }

    /// Those whose malformation is no reason to refuse an OPEN.
    fn decode_lenient(code: u8, value: &[u8]) -> Option<Capability> {
        match (code, value) {
            (Capability::ROLE, [number]) => Role::of(*number).map(Capability::Role),
            (EXTENDED_NEXT_HOP, value) => NextHopFamily::decode_all(value).map(Capability::ExtendedNextHop),
            (ADD_PATH, value) => AddPathFamily::decode_all(value).map(Capability::AddPath),
            (GRACEFUL_RESTART, value) => GracefulRestart::decode(value).map(Capability::GracefulRestart),
            (LONG_LIVED_GRACEFUL_RESTART, value) => {
                LongLivedFamily::decode_all(value).map(Capability::LongLivedGracefulRestart)
            }
            (FQDN, value) => {
                let mut cursor = Cursor::new(value);
                let mut name = || {
                    let length = cursor.u8()?;
                    String::from_utf8(cursor.take(length.into())?.to_vec()).ok()
                };
                let (host, domain) = (name()?, name()?);
                cursor.rest().is_empty().then_some(Capability::Fqdn { host, domain })
            }
            _ => None,
        }
    }

    /// Appends the capability. One of more than 255 octets, which has no wire form and no decoder
    /// makes, is left out; names are cut to that length.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Capability::Multiprotocol(family) => encode_multiprotocol(nlri::afi(*family), nlri::UNICAST, out),
            Capability::MultiprotocolOther { afi, safi } => encode_multiprotocol(*afi, *safi, out),
            Capability::RouteRefresh => out.extend([ROUTE_REFRESH, 0]),
            Capability::ExtendedNextHop(families) => {
                let value: Vec<u8> = families.iter().flat_map(|family| family.octets()).collect();
                encode_value(EXTENDED_NEXT_HOP, &value, out);
            }
            Capability::AddPath(families) => {
                let value: Vec<u8> = families.iter().flat_map(|family| family.octets()).collect();
                encode_value(ADD_PATH, &value, out);
            }
            Capability::ExtendedMessage => out.extend([EXTENDED_MESSAGE, 0]),
            Capability::Role(role) => out.extend([Capability::ROLE, 1, *role as u8]),
            Capability::GracefulRestart(restart) => encode_value(GRACEFUL_RESTART, &restart.encode(), out),
            Capability::LongLivedGracefulRestart(families) => {
                let value: Vec<u8> = families.iter().flat_map(|family| family.octets()).collect();
                encode_value(LONG_LIVED_GRACEFUL_RESTART, &value, out);
            }
            Capability::EnhancedRouteRefresh => out.extend([ENHANCED_ROUTE_REFRESH, 0]),
            Capability::Fqdn { host, domain } => {
                let host = &host[..host.floor_char_boundary(MAX_HOST_NAME)];
                let domain = &domain[..domain.floor_char_boundary(MAX_HOST_NAME - host.len())];
                // Both names together are cut to what one octet counts.
                let mut value = vec![host.len() as u8];
                value.extend(host.bytes());
                value.push(domain.len() as u8);
                value.extend(domain.bytes());
                encode_value(FQDN, &value, out);
            }
            Capability::FourOctetAs(asn) => {
                out.extend([FOUR_OCTET_AS, 4]);
                out.extend(asn.to_be_bytes());
            }
            Capability::Unknown { code, data } => encode_value(*code, data, out),
        }
    }
}

fn encode_value(code: u8, value: &[u8], out: &mut Vec<u8>) {
    if let Ok(length) = u8::try_from(value.len()) {
        out.extend([code, length]);
        out.extend(value);
    }
}

fn encode_multiprotocol(afi: u16, safi: u8, out: &mut Vec<u8>) {
    let [high, low] = afi.to_be_bytes();
    out.extend([MULTIPROTOCOL, 4, high, low, 0, safi]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(parameter: &[u8]) -> Result<Vec<Capability>, MessageError> {
        let mut capabilities = vec![];
        Capability::decode_all(parameter, &mut capabilities).map(|()| capabilities)
    }

    #[test]
    fn both_directions() {
        let restart = GracefulRestart {
            restarting: true,
            notification: true,
            restart_time: 0x123,
            families: vec![RestartFamily { afi: 2, safi: 1, forwarding: true }],
        };
        let name = |host: &str, domain: &str| Capability::Fqdn { host: host.into(), domain: domain.into() };
        let next_hops =
            vec![NextHopFamily::IPV4_OVER_IPV6, NextHopFamily { afi: 1, safi: 128, next_hop_afi: 2 }];
        let add_path =
            |safi, receive, send| AddPathFamily { afi: 2, safi, directions: AddPath { receive, send } };
        let add_paths = vec![add_path(1, true, true), add_path(4, true, false), add_path(128, false, true)];
        let table: [(Capability, &[u8]); 16] = [
            (Capability::Multiprotocol(Family::Ipv4Unicast), &[1, 4, 0, 1, 0, 1]),
            (Capability::Multiprotocol(Family::Ipv6Unicast), &[1, 4, 0, 2, 0, 1]),
            (Capability::MultiprotocolOther { afi: 25, safi: 70 }, &[1, 4, 0, 25, 0, 70]),
            (Capability::RouteRefresh, &[2, 0]),
            (Capability::FourOctetAs(4_200_000_000), &[65, 4, 0xfa, 0x56, 0xea, 0]),
            (Capability::ExtendedNextHop(next_hops), &[5, 12, 0, 1, 0, 1, 0, 2, 0, 1, 0, 128, 0, 2]),
            (Capability::AddPath(add_paths), &[69, 12, 0, 2, 1, 3, 0, 2, 4, 1, 0, 2, 128, 2]),
            (Capability::ExtendedMessage, &[6, 0]),
            (Capability::EnhancedRouteRefresh, &[70, 0]),
            (Capability::Role(Role::Customer), &[9, 1, 3]),
            (Capability::GracefulRestart(GracefulRestart::default()), &[64, 2, 0, 0]),
            (Capability::GracefulRestart(restart), &[64, 6, 0xc1, 0x23, 0, 2, 1, 0x80]),
            (
                Capability::LongLivedGracefulRestart(vec![LongLivedFamily::of(
                    Family::Ipv6Unicast,
                    true,
                    3600,
                )]),
                &[71, 7, 0, 2, 1, 0x80, 0, 0x0e, 0x10],
            ),
            (name("node1", ""), b"\x49\x07\x05node1\x00"),
            (name("node1", "lan"), b"\x49\x0a\x05node1\x03lan"),
            (Capability::Unknown { code: 73, data: b"\x09no length".to_vec() }, b"\x49\x0a\x09no length"),
        ];
        for (capability, octets) in table {
            assert_eq!(decode(octets), Ok(vec![capability.clone()]));
            let mut out = vec![];
            capability.encode(&mut out);
            assert_eq!(out, octets);
        }
    }

    #[test]
    fn what_has_no_known_form_is_kept_as_it_is() {
        let table: [&[u8]; 12] = [
            &[5, 5, 0, 1, 0, 1, 0],
            &[69, 3, 0, 1, 1],
            &[69, 4, 0, 1, 1, 0],
            &[69, 8, 0, 1, 1, 3, 0, 2, 1, 4],
            &[9, 1, 5],
            &[9, 0],
            &[9, 2, 0, 0],
            &[64, 1, 0],
            &[64, 5, 0, 0, 0, 1, 1],
            &[73, 0],
            &[73, 3, 1, b'a', 9],
            &[73, 3, 1, 0xff, 0],
        ];
        for octets in table {
            let unknown = Capability::Unknown { code: octets[0], data: octets[2..].to_vec() };
            assert_eq!(decode(octets), Ok(vec![unknown]));
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut out = vec![];
        Capability::Fqdn { host: "é".repeat(200), domain: "lan".into() }.encode(&mut out);
        assert_eq!(decode(&out), Ok(vec![Capability::Fqdn { host: "é".repeat(126), domain: "l".into() }]));
    }

    #[test]
    fn the_reserved_octet_of_a_family_is_ignored() {
        assert_eq!(decode(&[1, 4, 0, 2, 99, 1]), Ok(vec![Capability::Multiprotocol(Family::Ipv6Unicast)]));
    }

    #[test]
    fn errors() {
        let table: [(&[u8], &str); 9] = [
            (&[64], "capability 64 ends before its length octet (Open Message Error)"),
            (
                &[2, 0, 73, 200, 1],
                "capability 73 of 200 octets, 1 octets before the end (Open Message Error)",
            ),
            (&[1, 3, 0, 1, 0], "multiprotocol capability of 3 octets instead of 4 (Open Message Error)"),
            (&[2, 1, 0], "route refresh capability of 1 octets instead of 0 (Open Message Error)"),
            (&[6, 1, 0], "extended message capability of 1 octets instead of 0 (Open Message Error)"),
            (&[70, 1, 0], "enhanced route refresh capability of 1 octets instead of 0 (Open Message Error)"),
            (&[65, 0], "four-octet AS capability of 0 octets instead of 4 (Open Message Error)"),
            (
                &[65, 5, 0, 0, 0, 1, 0],
                "four-octet AS capability of 5 octets instead of 4 (Open Message Error)",
            ),
            (&[65, 4, 0, 0, 0, 0], "AS 0 in the four-octet AS capability (Open Message Error: Bad Peer AS)"),
        ];
        for (octets, expected) in table {
            assert_eq!(decode(octets).unwrap_err().to_string(), expected);
        }
    }
}
