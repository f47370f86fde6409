//! MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760 §3, §4; IPv6 next hops of RFC 2545 §3, also for
//! IPv4 prefixes, RFC 8950 §3).
//!
//! An error in here cannot be treated as a withdrawal, for it hides which prefixes to withdraw: it
//! resets the session (RFC 7606 §5.3, §7.11, §7.12).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::walk::RawAttribute;
use crate::bgp::cursor::Cursor;
use crate::bgp::nlri::{self, List};
use crate::bgp::{Codec, MessageError, Reason};
use crate::prefix::Family;

/// What MP_REACH_NLRI says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bgp) struct Reach {
    pub next_hop: IpAddr,
    pub link_local_next_hop: Option<Ipv6Addr>,
    pub prefixes: List,
}

/// What MP_UNREACH_NLRI says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bgp) struct Unreach {
    pub family: Family,
    pub prefixes: List,
}

/// A family that was not negotiated. Its NLRI is ignored and the session kept, which RFC 4760 §7
/// permits and which costs the agreed families nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign {
    afi: u16,
    safi: u8,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nlri::family(self.afi, self.safi) {
            Some(family) => write!(f, "{family}")?,
            None => write!(f, "AFI {} SAFI {}", self.afi, self.safi)?,
        }
        f.write_str(" was not negotiated; its NLRI is ignored")
    }
}

impl Reach {
    /// Decodes MP_REACH_NLRI.
    ///
    /// # Errors
    /// Optional Attribute Error when the next hop has a length that the family cannot have, or the
    /// NLRI is syntactically incorrect.
    pub(super) fn decode(codec: &Codec, raw: &RawAttribute) -> Result<Result<Reach, Foreign>, MessageError> {
        let mut cursor = Cursor::new(raw.value);
        let family = match negotiated_family(codec, &mut cursor).ok_or_else(|| short(raw))? {
            Ok(family) => family,
            Err(foreign) => return Ok(Err(foreign)),
        };
        let length = cursor.u8().ok_or_else(|| short(raw))?;
        let octets = cursor.take(length.into()).ok_or_else(|| short(raw))?;
        let (next_hop, link_local_next_hop) = next_hops(codec, family, octets)
            .ok_or_else(|| error(raw, format!("MP_REACH_NLRI: next hop of {length} octets for {family}")))?;
        let _reserved = cursor.u8().ok_or_else(|| short(raw))?;
        let prefixes = prefixes(codec, raw, "MP_REACH_NLRI", family, cursor.rest())?;
        Ok(Ok(Reach { next_hop, link_local_next_hop, prefixes }))
    }
}

impl Unreach {
    /// Decodes MP_UNREACH_NLRI.
    ///
    /// # Errors
    /// Optional Attribute Error when the NLRI is syntactically incorrect.
    pub(super) fn decode(
        codec: &Codec,
        raw: &RawAttribute,
    ) -> Result<Result<Unreach, Foreign>, MessageError> {
        let mut cursor = Cursor::new(raw.value);
        Ok(match negotiated_family(codec, &mut cursor).ok_or_else(|| short(raw))? {
            Ok(family) => {
                let prefixes = prefixes(codec, raw, "MP_UNREACH_NLRI", family, cursor.rest())?;
                Ok(Unreach { family, prefixes })
            }
            Err(foreign) => Err(foreign),
        })
    }
}

fn negotiated_family(codec: &Codec, cursor: &mut Cursor) -> Option<Result<Family, Foreign>> {
    let (afi, safi) = (cursor.u16()?, cursor.u8()?);
    let family = nlri::family(afi, safi).filter(|family| codec.families.contains(family));
    Some(family.ok_or(Foreign { afi, safi }))
}

/// The next hop and the link-local one beside it. A lone link-local address, which RFC 2545 does not
/// provide for but unnumbered peers send, is a next hop like any other: alone in 16 octets, or
/// behind `::` in 32.
///
/// RFC 8950 §3: IPv4 prefixes have an IPv6 next hop only where that was agreed on; the length tells
/// the two apart.
fn next_hops(codec: &Codec, family: Family, octets: &[u8]) -> Option<(IpAddr, Option<Ipv6Addr>)> {
    let ipv6 = family == Family::Ipv6Unicast || codec.extended_next_hop;
    match octets.len() {
        4 if family == Family::Ipv4Unicast => Some((Ipv4Addr::from(*octets.as_array::<4>()?).into(), None)),
        16 if ipv6 => Some((Ipv6Addr::from(*octets.as_array::<16>()?).into(), None)),
        32 if ipv6 => {
            let (global, link_local) = octets.split_first_chunk::<16>()?;
            let global = Ipv6Addr::from(*global);
            let link_local = Ipv6Addr::from(*link_local.as_array::<16>()?);
            match (global.is_unspecified(), link_local.is_unicast_link_local()) {
                (true, true) => Some((link_local.into(), None)),
                (false, true) => Some((global.into(), Some(link_local))),
                (_, false) => Some((global.into(), None)),
            }
        }
        _ => None,
    }
}

fn prefixes(
    codec: &Codec,
    raw: &RawAttribute,
    name: &str,
    family: Family,
    octets: &[u8],
) -> Result<List, MessageError> {
    List::decode(codec, family, octets).map_err(|malformed| error(raw, format!("{name}: {malformed}")))
}

fn short(raw: &RawAttribute) -> MessageError {
    let what = format!("attribute {} of {} octets ends within its fixed fields", raw.code, raw.value.len());
    error(raw, what)
}

fn error(raw: &RawAttribute, what: String) -> MessageError {
    MessageError::because(Reason::OPTIONAL_ATTRIBUTE_ERROR, raw.octets, what)
}

/// Whether an address can be a next hop as far as the address alone can tell (RFC 4271 §6.3: a valid
/// IP host address). A loopback address is none on the wire (RFC 1122 §3.2.1.3 g, RFC 4291 §2.5.3): it
/// would resolve to ourselves. Whether it is reachable, or our own, is not asked here.
pub(in crate::bgp) fn is_host_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets()[0], 1..=126 | 128..=223),
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_loopback() && !address.is_multicast(),
    }
}
