//! What can be asked about addresses and forwarding, in a [`Batch`] (`linux/if_addr.h`,
//! `linux/rtnetlink.h`, `linux/netconf.h`; rtnetlink(7)).

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use nix::libc;

use super::batch::{At, Batch, Outcome, Place};
use super::frame::{Attributes, NLM_F_CREATE, NLM_F_EXCL, address, attribute, attributes, u8_at, u32_at};
use crate::prefix::Family;

/// Message types (`linux/rtnetlink.h`).
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
pub(super) const NEW_ROUTE: u16 = 24;
pub(super) const GET_ROUTE: u16 = 26;
const GET_NETCONF: u16 = 82;

/// Attributes of an address (`IFA_*`).
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;

/// Flags of an address (`IFA_F_*`): usable at once; somebody else has it; not known yet whether.
const NODAD: u32 = 0x02;
const DADFAILED: u32 = 0x08;
const TENTATIVE: u32 = 0x40;

/// Attributes of a route (`RTA_*`).
pub(super) const RTA_DST: u16 = 1;
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
pub(super) const RTA_VIA: u16 = 18;

/// Marks the addresses that are ours, as it does routes (Linux 5.18; before, nothing is marked).
pub const OURS: u8 = 114;

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAddress {
    /// Index of the link.
    pub link: u32,
    /// The address with the length of its prefix.
    pub address: IpNetwork,
    /// Who set it (`IFA_PROTO`): [`OURS`], or 0 for a person.
    pub protocol: u8,
    /// Of IPv6: the kernel is still finding out whether somebody else has it (RFC 4862 §5.4).
    pub tentative: bool,
    /// Of IPv6: somebody else has it.
    pub duplicate: bool,
}

impl Batch {
    /// Adds an address, marked as ours. IPv6 addresses are usable at once: no duplicate detection. That it
    /// is there already is success.
    pub fn add_address(&mut self, link: At<'_>, network: IpNetwork) -> Place {
        self.add_address_with(link, network, NODAD)
    }

    /// The same, but IPv6 addresses are not usable until the kernel has found out that nobody else has them.
    pub fn add_doubtful_address(&mut self, link: At<'_>, network: IpNetwork) -> Place {
        self.add_address_with(link, network, 0)
    }

    fn add_address_with(&mut self, link: At<'_>, network: IpNetwork, flags: u32) -> Place {
        let what = (format!("add address {network} to link {}", link.name), Some(Errno::EEXIST));
        let header = address_header(link.index, network);
        self.push(what, (NEW_ADDRESS, NLM_F_CREATE | NLM_F_EXCL), &header, |attributes| {
            put_network(attributes, network);
            attributes.put(IFA_PROTO, &[OURS]);
            if network.is_ipv6() {
                attributes.put_u32(IFA_FLAGS, flags);
            }
        })
    }

    /// Removes an address. That it is not there is success.
    pub fn remove_address(&mut self, link: At<'_>, network: IpNetwork) -> Place {
        let what = (format!("remove address {network} from link {}", link.name), Some(Errno::EADDRNOTAVAIL));
        let header = address_header(link.index, network);
        self.push(what, (DEL_ADDRESS, 0), &header, |attributes| put_network(attributes, network))
    }

    /// Asks for the route that the kernel would take to a destination, by an interface if one is given
    /// ([`Outcome::on_link`]).
    pub fn look_up_route(&mut self, to: IpAddr, interface: Option<u32>) -> Place {
        let what = (format!("look up the route to {to}"), Some(Errno::ENETUNREACH));
        let length = if to.is_ipv4() { 32 } else { 128 };
        let header = [family(to), length, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        self.push(what, (GET_ROUTE, 0), &header, |attributes| {
            attributes.put_address(RTA_DST, to);
            if let Some(interface) = interface {
                attributes.put_u32(RTA_OIF, interface);
            }
        })
    }

    /// Asks whether the kernel forwards packets of a family ([`Outcome::forwards`]). Not known in a kernel
    /// without the family.
    pub fn look_up_forwarding(&mut self, family: Family) -> Place {
        /// `NETCONFA_IFINDEX`; `NETCONFA_IFINDEX_ALL`.
        const IFINDEX: u16 = 1;
        const ALL: i32 = -1;
        let what = (format!("look up forwarding of {family}"), Some(Errno::EOPNOTSUPP));
        let header = [family_number(family), 0, 0, 0];
        self.push(what, (GET_NETCONF, 0), &header, |attributes| {
            attributes.put_u32(IFINDEX, ALL.cast_unsigned());
        })
    }
}

impl Outcome {
    /// The link by which the kernel would send directly to the destination of a route that was looked up;
    /// `None` if it would not, or by a router.
    pub fn on_link(&self, place: Place) -> Option<u32> {
        /// `RTN_UNICAST`.
        const UNICAST: u8 = 1;
        let route = self.answer(place).filter(|route| !is_via_router(route))?;
        let link = attribute(route.get(12..)?, RTA_OIF)?;
        u32_at(link, 0).filter(|_| u8_at(route, 7) == Some(UNICAST))
    }

    /// Whether the kernel forwards; `None` if it did not say.
    pub fn forwards(&self, place: Place) -> Option<bool> {
        /// `NETCONFA_FORWARDING`.
        const FORWARDING: u16 = 2;
        u32_at(attribute(self.answer(place)?.get(4..)?, FORWARDING)?, 0).map(|value| value != 0)
    }
}

/// A question for all addresses of a link, of both families.
pub(super) fn dump_addresses(link: u32) -> (u16, [u8; 8]) {
    let mut header = [0; 8];
    header[4..].copy_from_slice(&link.to_ne_bytes());
    (GET_ADDRESS, header)
}

/// The address in the body of an `RTM_NEWADDR`. On a point-to-point link the kernel puts the far end into
/// `IFA_ADDRESS` and ours into `IFA_LOCAL`; an IPv6 address without a far end comes as `IFA_ADDRESS` alone.
pub(super) fn read_address(kind: u16, body: &[u8]) -> Option<LinkAddress> {
    if kind != NEW_ADDRESS {
        return None;
    }
    let value = |wanted| attribute(body.get(8..)?, wanted);
    let found = address(value(IFA_LOCAL).or_else(|| value(IFA_ADDRESS))?)?;
    let protocol = value(IFA_PROTO).and_then(|value| u8_at(value, 0)).unwrap_or(0);
    let flags = value(IFA_FLAGS).and_then(|value| u32_at(value, 0)).unwrap_or(0);
    let network = IpNetwork::new(found, u8_at(body, 1)?).ok()?;
    Some(LinkAddress {
        link: u32_at(body, 4)?,
        address: network,
        protocol,
        tentative: flags & TENTATIVE != 0,
        duplicate: flags & DADFAILED != 0,
    })
}

/// Whether the body of an `RTM_NEWROUTE` says that its destination is an address of this machine.
pub(super) fn is_local_route(body: &[u8]) -> bool {
    /// `RTN_LOCAL`.
    const LOCAL: u8 = 2;
    u8_at(body, 7) == Some(LOCAL)
}

/// Whether the body of an `RTM_NEWROUTE` names a router.
pub(super) fn is_via_router(body: &[u8]) -> bool {
    attributes(body.get(12..).unwrap_or_default()).any(|(kind, _)| [RTA_GATEWAY, RTA_VIA].contains(&kind))
}

/// `struct ifaddrmsg`.
fn address_header(link: u32, network: IpNetwork) -> [u8; 8] {
    let [a, b, c, d] = link.to_ne_bytes();
    [family(network.ip()), network.prefix(), 0, 0, a, b, c, d]
}

fn put_network(attributes: &mut Attributes, network: IpNetwork) {
    attributes.put_address(IFA_LOCAL, network.ip());
    attributes.put_address(IFA_ADDRESS, network.ip());
}

pub(super) fn family(address: IpAddr) -> u8 {
    family_number(Family::of(address))
}

pub(super) fn family_number(family: Family) -> u8 {
    match family {
        Family::Ipv4Unicast => libc::AF_INET as u8,
        Family::Ipv6Unicast => libc::AF_INET6 as u8,
    }
}
