//! Capabilities advertised in OPEN (RFC 5492).
//!
//! Owns their wire form in both directions; the optional parameters that carry them are in
//! [`super::open`], what follows from them is negotiated by the session.
//!
//! Ours rather than zettabgp's: `BgpCapability::from_buffer` refuses a whole OPEN for a host name it
//! dislikes and takes a family for unknown when the reserved octet is not zero, where RFC 4760 §8
//! says to ignore that octet.

use super::cursor::Cursor;
use super::{MessageError, Reason, nlri};
use crate::prefix::Family;

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const FOUR_OCTET_AS: u8 = 65;

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
    /// Four-octet AS numbers (RFC 6793), with the speaker's real AS.
    FourOctetAs(u32),
    /// Any other capability, kept as received.
    Unknown {
        /// Capability code.
        code: u8,
        /// Capability value.
        data: Vec<u8>,
    },
}

impl Capability {
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
            _ => Ok(Capability::Unknown { code, data: value.to_vec() }),
        }
    }

    /// Appends the capability. An unknown one of more than 255 octets, which has no wire form and no
    /// decoder makes, is left out.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Capability::Multiprotocol(family) => encode_multiprotocol(nlri::afi(*family), nlri::UNICAST, out),
            Capability::MultiprotocolOther { afi, safi } => encode_multiprotocol(*afi, *safi, out),
            Capability::RouteRefresh => out.extend([ROUTE_REFRESH, 0]),
            Capability::FourOctetAs(asn) => {
                out.extend([FOUR_OCTET_AS, 4]);
                out.extend(asn.to_be_bytes());
            }
            Capability::Unknown { code, data } => {
                if let Ok(length) = u8::try_from(data.len()) {
                    out.extend([*code, length]);
                    out.extend(data);
                }
            }
        }
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
        let table: [(Capability, &[u8]); 6] = [
            (Capability::Multiprotocol(Family::Ipv4Unicast), &[1, 4, 0, 1, 0, 1]),
            (Capability::Multiprotocol(Family::Ipv6Unicast), &[1, 4, 0, 2, 0, 1]),
            (Capability::MultiprotocolOther { afi: 25, safi: 70 }, &[1, 4, 0, 25, 0, 70]),
            (Capability::RouteRefresh, &[2, 0]),
            (Capability::FourOctetAs(4_200_000_000), &[65, 4, 0xfa, 0x56, 0xea, 0]),
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
    fn the_reserved_octet_of_a_family_is_ignored() {
        assert_eq!(decode(&[1, 4, 0, 2, 99, 1]), Ok(vec![Capability::Multiprotocol(Family::Ipv6Unicast)]));
    }

    #[test]
    fn errors() {
        let table: [(&[u8], &str); 7] = [
            (&[64], "capability 64 ends before its length octet (Open Message Error)"),
            (
                &[2, 0, 73, 200, 1],
                "capability 73 of 200 octets, 1 octets before the end (Open Message Error)",
            ),
            (&[1, 3, 0, 1, 0], "multiprotocol capability of 3 octets instead of 4 (Open Message Error)"),
            (&[2, 1, 0], "route refresh capability of 1 octets instead of 0 (Open Message Error)"),
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
