//! The OPEN message (RFC 4271 §4.2, §6.2, optional parameters of RFC 5492 and RFC 9072).
//!
//! Refuses what no session could accept. Whether this AS and identifier are the expected ones is
//! for the session to judge.

use std::net::Ipv4Addr;

use super::cursor::Cursor;
use super::header::{self, MAX_MESSAGE_LENGTH, MessageType};
use super::{Capability, MessageError, Reason};
use crate::prefix::Family;

/// The AS number that stands in the two-octet field of a speaker whose own does not fit (RFC 6793 §9).
pub const AS_TRANS: u16 = 23456;

const VERSION: u8 = 4;
/// Type of the optional parameter that carries capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;
/// Stands where the first parameter's type would, and says that lengths are of two octets
/// (RFC 9072 §2).
const EXTENDED: u8 = 255;

/// An OPEN message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS: from the four-octet capability where present, else from the header field.
    pub asn: u32,
    /// Proposed hold time in seconds; 0 turns keepalives off, 1 and 2 never get past the decoder.
    pub hold_time: u16,
    /// BGP identifier; never 0.0.0.0 past the decoder.
    pub router_id: Ipv4Addr,
    /// All capabilities, in wire order, from all capability parameters.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// The families offered. A speaker that sends no multiprotocol capability offers IPv4 unicast
    /// alone (RFC 4760 §8 read with RFC 4271).
    pub fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = vec![];
        let mut multiprotocol = false;
        for capability in &self.capabilities {
            match capability {
                Capability::Multiprotocol(family) => {
                    multiprotocol = true;
                    families.push(*family);
                }
                Capability::MultiprotocolOther { .. } => multiprotocol = true,
                _ => {}
            }
        }
        if !multiprotocol {
            families.push(Family::Ipv4Unicast);
        }
        families.sort();
        families.dedup();
        families
    }

    /// Whether the sender offered four-octet AS numbers (RFC 6793).
    pub fn four_octet_as(&self) -> bool {
        self.capabilities.iter().any(|c| matches!(c, Capability::FourOctetAs(_)))
    }

    /// Whether the sender offered route refresh (RFC 2918).
    pub fn route_refresh(&self) -> bool {
        self.capabilities.contains(&Capability::RouteRefresh)
    }
}

impl Open {
    /// Decodes the octets after the header.
    ///
    /// # Errors
    /// As RFC 4271 §6.2 says, field by field: version, AS (zero by RFC 7607 §2), hold time,
    /// identifier, optional parameters.
    pub(super) fn decode(body: &[u8]) -> Result<Open, MessageError> {
        let mut cursor = Cursor::new(body);
        let short = || malformed("the OPEN ends within its fixed fields");
        let version = cursor.u8().ok_or_else(short)?;
        if version != VERSION {
            let what = format!("BGP version {version}, we speak {VERSION}");
            return Err(MessageError::because(Reason::UNSUPPORTED_VERSION_NUMBER, [0, VERSION], what));
        }
        let field = cursor.u16().ok_or_else(short)?;
        if field == 0 {
            return Err(MessageError::because(Reason::BAD_PEER_AS, [], "AS 0"));
        }
        let hold_time = cursor.u16().ok_or_else(short)?;
        if matches!(hold_time, 1 | 2) {
            let what = format!("hold time of {hold_time} s; it must be 0 or at least 3 s");
            return Err(MessageError::because(Reason::UNACCEPTABLE_HOLD_TIME, [], what));
        }
        let router_id = Ipv4Addr::from(cursor.array::<4>().ok_or_else(short)?);
        if router_id.is_unspecified() {
            return Err(MessageError::because(Reason::BAD_BGP_IDENTIFIER, [], "BGP identifier 0.0.0.0"));
        }
        let capabilities = decode_parameters(cursor.rest())?;
        let four_octet = capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        Ok(Open { asn: four_octet.unwrap_or(field.into()), hold_time, router_id, capabilities })
    }

    /// Appends the message: all capabilities in one parameter, in the extended form of RFC 9072 when
    /// they take more than 255 octets. Capabilities past 4,096 octets are left out.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = header::begin(MessageType::Open, out);
        out.push(VERSION);
        out.extend(u16::try_from(self.asn).unwrap_or(AS_TRANS).to_be_bytes());
        out.extend(self.hold_time.to_be_bytes());
        out.extend(self.router_id.octets());
        // Seven more octets are the most that the framing of parameters takes.
        let room = MAX_MESSAGE_LENGTH - (out.len() - start) - 7;
        let mut capabilities = vec![];
        for capability in &self.capabilities {
            let end = capabilities.len();
            capability.encode(&mut capabilities);
            if capabilities.len() > room {
                capabilities.truncate(end);
                break;
            }
        }
        let length = capabilities.len();
        // The lengths fit: the arm gives the bound for the short form, `room` for the extended one.
        match length {
            0 => out.push(0),
            1..=253 => out.extend([length as u8 + 2, CAPABILITIES, length as u8]),
            _ => {
                out.extend([EXTENDED, EXTENDED]);
                out.extend((length as u16 + 3).to_be_bytes());
                out.push(CAPABILITIES);
                out.extend((length as u16).to_be_bytes());
            }
        }
        out.extend(capabilities);
        header::finish(start, out);
    }
}

/// Decodes the length of the optional parameters and the parameters themselves.
fn decode_parameters(octets: &[u8]) -> Result<Vec<Capability>, MessageError> {
    let mut cursor = Cursor::new(octets);
    let mut promised =
        usize::from(cursor.u8().ok_or_else(|| malformed("no length of the optional parameters"))?);
    // RFC 9072 §2: the extended form is told by the type octet; the length octet before it is then
    // disregarded, except that it is not zero.
    let extended = promised != 0 && cursor.rest().first() == Some(&EXTENDED);
    if extended {
        cursor.take(1);
        let length = cursor.u16().ok_or_else(|| malformed("no extended length of the parameters"))?;
        promised = length.into();
    }
    let present = cursor.rest().len();
    if promised != present {
        let what = format!("optional parameters of {promised} octets announced, {present} present");
        return Err(malformed(what));
    }
    let mut capabilities = vec![];
    while let Some(kind) = cursor.u8() {
        let length = if extended { cursor.u16() } else { cursor.u8().map(u16::from) };
        let left = cursor.rest().len();
        let value = length.and_then(|length| cursor.take(length.into())).ok_or_else(|| {
            malformed(format!("optional parameter {kind} overruns the message, {left} octets before its end"))
        })?;
        if kind != CAPABILITIES {
            let what = format!("optional parameter {kind} is not supported");
            return Err(MessageError::because(Reason::UNSUPPORTED_OPTIONAL_PARAMETER, [], what));
        }
        Capability::decode_all(value, &mut capabilities)?;
    }
    Ok(capabilities)
}

fn malformed(what: impl Into<String>) -> MessageError {
    MessageError::because(Reason::MALFORMED_OPEN, [], what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixed fields of AS 64512, hold time 90, 192.168.1.11, then `parameters`.
    fn body(parameters: &[u8]) -> Vec<u8> {
        [&[4, 0xfc, 0, 0, 90, 192, 168, 1, 11], parameters].concat()
    }

    fn open(capabilities: Vec<Capability>) -> Open {
        let asn = capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        Open {
            asn: asn.unwrap_or(64512),
            hold_time: 90,
            router_id: Ipv4Addr::new(192, 168, 1, 11),
            capabilities,
        }
    }

    fn encoded(open: &Open) -> Vec<u8> {
        let mut out = vec![];
        open.encode(&mut out);
        out.split_off(header::HEADER_LENGTH)
    }

    #[test]
    fn every_framing_of_the_same_capabilities_reads_the_same() {
        let capabilities = vec![Capability::RouteRefresh, Capability::FourOctetAs(70000)];
        let (refresh, as4) = ([2, 0], [65, 4, 0, 1, 0x11, 0x70]);
        let framings = [
            [&[10, 2, 8], &refresh[..], &as4].concat(),
            [&[12, 2, 2], &refresh[..], &[2, 6], &as4].concat(),
            [&[14, 2, 0, 2, 2], &refresh[..], &[2, 6], &as4].concat(),
            [&[255, 255, 0, 11, 2, 0, 8], &refresh[..], &as4].concat(),
            [&[1, 255, 0, 14, 2, 0, 2], &refresh[..], &[2, 0, 6], &as4].concat(),
        ];
        for framing in framings {
            let found = Open::decode(&body(&framing)).unwrap();
            assert_eq!(found, open(capabilities.clone()), "{framing:?}");
        }
        assert_eq!(encoded(&open(capabilities)), {
            let mut expected = body(&[10, 2, 8, 2, 0, 65, 4, 0, 1, 0x11, 0x70]);
            expected[1..3].copy_from_slice(&AS_TRANS.to_be_bytes());
            expected
        });
    }

    #[test]
    fn without_parameters() {
        assert_eq!(Open::decode(&body(&[0])), Ok(open(vec![])));
        assert_eq!(encoded(&open(vec![])), body(&[0]));
    }

    #[test]
    fn many_capabilities_take_the_extended_form() {
        for size in [251, 252, 255] {
            let unknown = Capability::Unknown { code: 99, data: vec![7; size] };
            let octets = encoded(&open(vec![unknown.clone()]));
            assert_eq!(octets[9] == 255 && octets[10] == 255, size > 251, "{size}");
            assert_eq!(Open::decode(&octets), Ok(open(vec![unknown])));
        }
        let unknown = Capability::Unknown { code: 99, data: vec![7; 255] };
        let mut whole = vec![];
        open(vec![unknown.clone(); 100]).encode(&mut whole);
        assert_eq!(header::message_length(&whole), Ok(Some(whole.len())));
        let found = Open::decode(&whole[header::HEADER_LENGTH..]).unwrap();
        assert_eq!(found.capabilities, vec![unknown; 15]);
    }

    #[test]
    fn fixed_fields() {
        let table: [(usize, &[u8], Reason, &[u8]); 7] = [
            (0, &[3], Reason::UNSUPPORTED_VERSION_NUMBER, &[0, 4]),
            (0, &[5], Reason::UNSUPPORTED_VERSION_NUMBER, &[0, 4]),
            (1, &[0, 0], Reason::BAD_PEER_AS, &[]),
            (3, &[0, 1], Reason::UNACCEPTABLE_HOLD_TIME, &[]),
            (3, &[0, 2], Reason::UNACCEPTABLE_HOLD_TIME, &[]),
            (5, &[0, 0, 0, 0], Reason::BAD_BGP_IDENTIFIER, &[]),
            (9, &[1], Reason::MALFORMED_OPEN, &[]),
        ];
        for (at, octets, reason, data) in table {
            let mut body = body(&[0]);
            body[at..at + octets.len()].copy_from_slice(octets);
            let notification = Open::decode(&body).unwrap_err().notification;
            assert_eq!((notification.reason(), &notification.data[..]), (reason, data), "{at} {octets:?}");
        }
        for hold_time in [0, 3] {
            let mut body = body(&[0]);
            body[4] = hold_time;
            assert_eq!(Open::decode(&body).unwrap().hold_time, u16::from(hold_time));
        }
    }

    #[test]
    fn optional_parameters() {
        let malformed = Reason::MALFORMED_OPEN;
        let table: [(&[u8], Reason); 12] = [
            (&[1], malformed),
            (&[0, 2, 0], malformed),
            (&[2, 2, 1], malformed),
            (&[1, 2], malformed),
            (&[3, 2, 2, 2], malformed),
            (&[4, 2, 2, 65, 0], malformed),
            (&[4, 1, 2, 0, 0], Reason::UNSUPPORTED_OPTIONAL_PARAMETER),
            (&[255, 255], malformed),
            (&[255, 255, 0, 4, 2, 0, 0], malformed),
            (&[255, 255, 0, 2, 2, 0], malformed),
            (&[255, 255, 0, 4, 2, 0, 9, 2], malformed),
            (&[255, 255, 0, 3, 3, 0, 0], Reason::UNSUPPORTED_OPTIONAL_PARAMETER),
        ];
        for (parameters, reason) in table {
            let error = Open::decode(&body(parameters)).unwrap_err();
            assert_eq!(error.notification.reason(), reason, "{parameters:?}: {error}");
        }
        assert_eq!(Open::decode(&body(&[255, 255, 0, 0])), Ok(open(vec![])));
    }
}
