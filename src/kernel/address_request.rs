//! What can be asked about addresses and forwarding, in a [`Batch`] (`linux/if_addr.h`, `linux/netconf.h`;
//! rtnetlink(7)).

use ipnetwork::IpNetwork;
use nix::errno::Errno;

use super::batch::{At, Batch, Outcome, Place};
use super::frame::{Attributes, NLM_F_CREATE, NLM_F_EXCL, address, attribute, u8_at, u32_at};
use super::rtm::{self, family, family_number};
use crate::prefix::Family;

/// Attributes of an address (`IFA_*`).
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;

/// Flags of an address (`IFA_F_*`): usable at once; somebody else has it; not known yet whether.
const NODAD: u32 = 0x02;
const DADFAILED: u32 = 0x08;
const TENTATIVE: u32 = 0x40;

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
        self.push(what, (rtm::NEW_ADDRESS, NLM_F_CREATE | NLM_F_EXCL), &header, |attributes| {
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
        self.push(what, (rtm::DEL_ADDRESS, 0), &header, |attributes| put_network(attributes, network))
    }

    /// Asks whether the kernel forwards packets of a family ([`Outcome::forwards`]). Not known in a kernel
    /// without the family.
    pub fn look_up_forwarding(&mut self, family: Family) -> Place {
        /// `NETCONFA_IFINDEX`; `NETCONFA_IFINDEX_ALL`.
        const IFINDEX: u16 = 1;
        const ALL: i32 = -1;
        let what = (format!("look up forwarding of {family}"), Some(Errno::EOPNOTSUPP));
        let header = [family_number(family), 0, 0, 0];
        self.push(what, (rtm::GET_NETCONF, 0), &header, |attributes| {
            attributes.put_u32(IFINDEX, ALL.cast_unsigned());
        })
    }
}

impl Outcome {
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
    (rtm::GET_ADDRESS, header)
}

/// The address in the body of an `RTM_NEWADDR`. On a point-to-point link the kernel puts the far end into
/// `IFA_ADDRESS` and ours into `IFA_LOCAL`; an IPv6 address without a far end comes as `IFA_ADDRESS` alone.
pub(super) fn read_address(kind: u16, body: &[u8]) -> Option<LinkAddress> {
    if kind != rtm::NEW_ADDRESS {
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

/// `struct ifaddrmsg`.
fn address_header(link: u32, network: IpNetwork) -> [u8; 8] {
    let [a, b, c, d] = link.to_ne_bytes();
    [family(network.ip()), network.prefix(), 0, 0, a, b, c, d]
}

fn put_network(attributes: &mut Attributes, network: IpNetwork) {
    attributes.put_address(IFA_LOCAL, network.ip());
    attributes.put_address(IFA_ADDRESS, network.ip());
}
