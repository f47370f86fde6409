//! What a row's peer is to the daemon, and so how each side is set up: the manifest's `spec`, the OPEN,
//! and the attributes of a sound announcement.

use crate::peer::{attribute, open, parameters, update};

/// Of AS 65000 unless internal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// External, four-octet AS numbers, IPv4 alone.
    External,
    /// As `External`, and IPv6.
    Dual,
    /// External, without the capability of four-octet AS numbers.
    TwoOctet,
    /// External, with extended messages.
    Extended,
    /// External, with route refresh and its marks.
    Enhanced,
    /// External; the daemon takes no more than two prefixes.
    Limited,
    /// External; the daemon is its customer.
    OurProvider,
    /// External; the daemon is its provider.
    OurCustomer,
    /// External; both are peers in the sense of RFC 9234.
    Lateral,
    /// Internal, IPv4 and IPv6; not a client of the daemon's.
    Internal,
    /// As `Internal`, without the capability of four-octet AS numbers.
    InternalTwoOctet,
    /// As `Internal`, and a client of the daemon's.
    Client,
    /// External, and the daemon connects too.
    Active,
}

pub const IPV4: [u8; 6] = [1, 4, 0, 1, 0, 1];
pub const IPV6: [u8; 6] = [1, 4, 0, 2, 0, 1];
pub const AS4: [u8; 6] = [65, 4, 0, 0, 0xfd, 0xe8];
const AS4_INTERNAL: [u8; 6] = [65, 4, 0, 0, 0xfc, 0];

impl Side {
    pub fn is_internal(self) -> bool {
        matches!(self, Side::Internal | Side::InternalTwoOctet | Side::Client)
    }

    fn asn(self) -> u16 {
        if self.is_internal() { 64512 } else { 65000 }
    }

    /// Fields of the `BgpPeer`, beside address and policy.
    pub fn spec(self) -> &'static str {
        match self {
            Side::External | Side::Dual | Side::TwoOctet | Side::Extended | Side::Enhanced => {
                "asn: 65000, passive: true"
            }
            Side::Limited => "asn: 65000, passive: true",
            Side::OurProvider => "asn: 65000, passive: true, role: customer",
            Side::OurCustomer => "asn: 65000, passive: true, role: provider",
            Side::Lateral => "asn: 65000, passive: true, role: peer",
            Side::Internal | Side::InternalTwoOctet => "asn: 64512, passive: true",
            Side::Client => "asn: 64512, passive: true, routeReflectorClient: true",
            Side::Active => "asn: 65000",
        }
    }

    /// A sound OPEN.
    pub fn open(self, identifier: [u8; 4]) -> Vec<u8> {
        let capabilities: Vec<&[u8]> = match self {
            Side::TwoOctet => vec![&IPV4],
            Side::InternalTwoOctet => vec![&IPV4, &IPV6],
            Side::Extended => vec![&IPV4, &AS4, &[6, 0]],
            Side::Enhanced => vec![&IPV4, &AS4, &[2, 0], &[70, 0]],
            Side::Dual => vec![&IPV4, &IPV6, &AS4],
            Side::Internal | Side::Client => vec![&IPV4, &IPV6, &AS4_INTERNAL],
            _ => vec![&IPV4, &AS4],
        };
        open(self.asn(), identifier, 90, &parameters(&capabilities.concat()))
    }

    /// The mandatory attributes but NEXT_HOP; internally LOCAL_PREF 100.
    pub fn base(self) -> Vec<Vec<u8>> {
        let as_path: &[u8] = match self {
            Side::TwoOctet => &[2, 1, 0xfd, 0xe8],
            side if side.is_internal() => &[],
            _ => &[2, 1, 0, 0, 0xfd, 0xe8],
        };
        let mut base = vec![vec![0x40, 1, 1, 0], attribute(0x40, 2, as_path)];
        if self.is_internal() {
            base.push(vec![0x40, 5, 4, 0, 0, 0, 100]);
        }
        base
    }

    /// A sound announcement of one prefix.
    pub fn announce(self, address: [u8; 4], nlri: &[u8]) -> Vec<u8> {
        let mut attributes = self.base();
        let ipv6 = nlri[0] == 64;
        attributes.push(if ipv6 { reach(&next_hop(address), nlri) } else { attribute(0x40, 3, &address) });
        let attributes: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
        update(&[], &attributes, if ipv6 { &[] } else { nlri })
    }
}

/// MP_REACH_NLRI of IPv6.
pub fn reach(next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = u8::try_from(next_hop.len()).unwrap();
    attribute(0x80, 14, &[&[0, 2, 1, length], next_hop, &[0], nlri].concat())
}

/// The IPv6 next hop that goes with a peer's address.
pub fn next_hop(address: [u8; 4]) -> [u8; 16] {
    let [_, _, c, d] = address;
    [0xfd, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 1, c, d]
}
