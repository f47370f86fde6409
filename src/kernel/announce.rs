//! Telling a link who has an address: a gratuitous ARP request (RFC 5227 §2.3) or an unsolicited
//! neighbor advertisement (RFC 4861 §7.2.6); and waiting until that is heard.
//!
//! An address that is given to a new pod may stand in the caches of others with the old pod's
//! hardware address, and they would send into the void until it expires.
//!
//! The ARP request is the kernel's own: it sends one for every address of an interface that has
//! `arp_notify` set when its hardware address is set, be it to what it was
//! ([`Batch::set_up_talkative`]). A packet socket could send the frame too, but closing one waits
//! until every processor has been through the scheduler, which made an ADD take ten milliseconds
//! longer.

use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::address_request::LinkAddress;
use super::batch::{At, Batch};
use super::link::Link;
use super::news::{Deadline, News, Subject};
use super::plain_route::{is_local_route, is_via_router};
use super::{Conversation, Error, NetNs};

/// All nodes on the link (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

impl Conversation {
    /// Waits until a link passes packets on, which it does some time after it is up, and later still as a port
    /// of a bridge; whether it does in time. On Linux 6.8 and later the question settles it. The conversation must be in the calling
    /// thread's namespace.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn await_forwarding(&mut self, port: u32, deadline: Deadline) -> Result<bool, Error> {
        let mut forwards = || {
            let mut batch = Batch::new();
            let place = batch.look_up_link_at(port);
            let link = self.carry_out(batch)?.link(place);
            let passes = |link: Link| link.running && (link.forwarding || link.master.is_none());
            // What is no longer there is not worth waiting for.
            Ok(link.is_none_or(passes))
        };
        Ok(forwards()? || News::of(Subject::Links)?.wait_until(deadline, forwards)?)
    }

    /// Waits until packets to and from these IPv6 addresses of a link pass; whether they do in time. The
    /// kernel finishes with a link that was set up a moment ago, and with its IPv6 addresses, after it has
    /// answered: until then it drops what comes for them, and sends multicast to the default router. The
    /// conversation must be in `namespace`.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn await_usable(
        &mut self,
        namespace: &NetNs,
        link: At<'_>,
        addresses: &[Ipv6Addr],
        deadline: Deadline,
    ) -> Result<bool, Error> {
        if addresses.is_empty() {
            return Ok(true);
        }
        let mut usable = || {
            let mut batch = Batch::new();
            let everybody = batch.look_up_route(ALL_NODES.into(), Some(link.index));
            let own: Vec<_> =
                addresses.iter().map(|address| batch.look_up_route((*address).into(), None)).collect();
            let outcome = self.carry_out(batch)?;
            let routed = |place, is: fn(&[u8]) -> bool| outcome.answer(place).is_some_and(is);
            Ok(own.into_iter().all(|place| routed(place, is_local_route))
                && routed(everybody, |route| !is_via_router(route)))
        };
        let subscribe = || namespace.enter(|| News::of(Subject::Ipv6Routes))?;
        Ok(usable()? || subscribe()?.wait_until(deadline, usable)?)
    }

    /// Waits until the kernel has found out of each address of a link whether somebody else has it, and
    /// returns one that somebody has. The conversation must be in `namespace`.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn await_duplicates(
        &mut self,
        namespace: &NetNs,
        link: At<'_>,
        deadline: Deadline,
    ) -> Result<Option<LinkAddress>, Error> {
        let mut duplicate = None;
        let mut known = || {
            let addresses = self.addresses(link.index)?;
            duplicate = addresses.iter().find(|address| address.duplicate).copied();
            Ok(duplicate.is_some() || !addresses.iter().any(|address| address.tentative))
        };
        if !known()? {
            namespace.enter(|| News::of(Subject::Ipv6Addresses))??.wait_until(deadline, known)?;
        }
        Ok(duplicate)
    }

    /// Announces usable addresses of a link, with its hardware address, to everybody on it. The conversation
    /// must be in `namespace`. IPv4 addresses are announced all, if any is given, and only if the link was
    /// set up by [`Batch::set_up_talkative`].
    ///
    /// # Errors
    /// There is no such link, or it cannot send.
    pub fn announce(
        &mut self,
        namespace: &NetNs,
        link: At<'_>,
        mac: [u8; 6],
        addresses: &[IpAddr],
    ) -> Result<(), Error> {
        if addresses.iter().any(IpAddr::is_ipv4) {
            let mut batch = Batch::new();
            batch.set_mac(link, mac);
            self.carry_out(batch)?;
        }
        for address in addresses {
            if let IpAddr::V6(address) = *address {
                namespace
                    .enter(|| advertise(link.index, mac, address))?
                    .map_err(Error::system(|| format!("announce {address} on interface {}", link.name)))?;
            }
        }
        Ok(())
    }
}

/// Sends an unsolicited advertisement of `address` in the calling thread's namespace.
fn advertise(interface: u32, mac: [u8; 6], address: Ipv6Addr) -> std::io::Result<()> {
    /// Anything less would show that a router has forwarded it (RFC 4861 §7.1.2).
    const HOP_LIMIT: u32 = 255;
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_multicast_hops_v6(HOP_LIMIT)?;
    socket.set_multicast_loop_v6(false)?;
    socket.bind(&SockAddr::from(SocketAddrV6::new(address, 0, 0, interface)))?;
    let everybody = SocketAddrV6::new(ALL_NODES, 0, 0, interface);
    socket.send_to(&advertisement(mac, address), &SockAddr::from(everybody))?;
    Ok(())
}

/// RFC 4861 §4.4, with the Override flag. The kernel fills in the checksum (RFC 3542 §3.1).
fn advertisement(mac: [u8; 6], address: Ipv6Addr) -> Vec<u8> {
    const TYPE: u8 = 136;
    const OVERRIDE: u8 = 0x20;
    const TARGET_LINK_LAYER_ADDRESS: [u8; 2] = [2, 1];
    let head = [TYPE, 0, 0, 0, OVERRIDE, 0, 0, 0];
    [&head[..], &address.octets()[..], &TARGET_LINK_LAYER_ADDRESS[..], &mac[..]].concat()
}
