//! Telling a link who has an address: a gratuitous ARP request (RFC 5227 §2.3) or an unsolicited
//! neighbor advertisement (RFC 4861 §7.2.6).
//!
//! An address that is given to a new pod may stand in the caches of others with the old pod's
//! hardware address, and they would send into the void until it expires.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, sendto, socket};

use super::{Error, NetNs};

const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;

/// Announces addresses of an interface to everybody on its link. The interface must be up.
///
/// # Errors
/// There is no such interface, or it cannot send.
pub fn announce(namespace: &NetNs, interface: &str, addresses: &[IpAddr]) -> Result<(), Error> {
    namespace
        .enter(|| send(interface, addresses))?
        .map_err(Error::system(|| format!("announce the addresses of interface {interface}")))
}

fn send(interface: &str, addresses: &[IpAddr]) -> nix::Result<()> {
    let link = link_address(interface)?;
    let mac = link.addr().ok_or(nix::Error::ENODEV)?;
    // Protocol zero: the socket sends, and nothing is queued for it to receive.
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    for address in addresses {
        let frame = match *address {
            IpAddr::V4(address) => arp_announcement(mac, address),
            IpAddr::V6(address) => neighbor_advertisement(mac, address),
        };
        sendto(socket.as_raw_fd(), &frame, &link, MsgFlags::empty())?;
    }
    Ok(())
}

/// The address of the interface on its link: index and hardware address.
fn link_address(interface: &str) -> nix::Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .filter_map(|entry| entry.address)
        .find(|address| address.family() == Some(AddressFamily::Packet))
        .and_then(|address| address.as_link_addr().copied())
        .ok_or(nix::Error::ENODEV)
}

/// RFC 826's packet, as a request of an address for itself.
fn arp_announcement(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    const BROADCAST: [u8; 6] = [0xff; 6];
    const ETHERNET: [u8; 2] = [0, 1];
    const IPV4: [u8; 2] = [8, 0];
    const REQUEST: [u8; 2] = [0, 1];
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP);
    frame.extend([ETHERNET, IPV4, [6, 4], REQUEST].concat());
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// RFC 4861 §4.4, to all nodes, with the Override flag.
fn neighbor_advertisement(mac: [u8; 6], address: Ipv6Addr) -> Vec<u8> {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
    const TYPE: u8 = 136;
    const OVERRIDE: u8 = 0x20;
    const TARGET_LINK_LAYER_ADDRESS: [u8; 2] = [2, 1];
    /// Anything less would show that a router has forwarded it (RFC 4861 §7.1.2).
    const HOP_LIMIT: u8 = 255;
    let mut body = vec![TYPE, 0, 0, 0, OVERRIDE, 0, 0, 0];
    body.extend(address.octets());
    body.extend(TARGET_LINK_LAYER_ADDRESS);
    body.extend(mac);
    let checksum = icmpv6_checksum(address, ALL_NODES, &body);
    body[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = ethernet(ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0, 0, body.len() as u8, ICMPV6, HOP_LIMIT]);
    frame.extend(address.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(body);
    frame
}

fn ethernet(destination: [u8; 6], source: [u8; 6], ethertype: u16) -> Vec<u8> {
    [&destination[..], &source[..], &ethertype.to_be_bytes()[..]].concat()
}

/// RFC 4443 §2.3, over the pseudo-header of RFC 8200 §8.1. `body` has an even length.
fn icmpv6_checksum(source: Ipv6Addr, destination: Ipv6Addr, body: &[u8]) -> u16 {
    let pseudo =
        [&source.octets()[..], &destination.octets()[..], &[0, 0, 0, body.len() as u8, 0, 0, 0, ICMPV6]];
    let octets = [&pseudo.concat()[..], body].concat();
    let words = octets.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];

    #[test]
    fn an_arp_announcement_asks_everybody_for_itself() {
        let frame = arp_announcement(MAC, Ipv4Addr::new(10, 244, 1, 2));
        assert_eq!(frame.len(), 42);
        assert_eq!(frame[..14], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 10, 8, 6]);
        assert_eq!(frame[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[22..32], [2, 0, 0, 0, 0, 10, 10, 244, 1, 2]);
        assert_eq!(frame[32..], [0, 0, 0, 0, 0, 0, 10, 244, 1, 2]);
    }

    #[test]
    fn a_neighbor_advertisement_carries_a_good_checksum() {
        let source: Ipv6Addr = "fd00::2".parse().unwrap();
        let frame = neighbor_advertisement(MAC, source);
        assert_eq!(frame.len(), 14 + 40 + 32);
        let body = &frame[54..];
        assert_eq!(body[..2], [136, 0]);
        // With the checksum in its place the sum over everything is all ones.
        assert_eq!(icmpv6_checksum(source, "ff02::1".parse().unwrap(), body), 0);
    }
}
