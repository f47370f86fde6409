//! Telling a link who has an address: a gratuitous ARP request (RFC 5227 §2.3) or an unsolicited
//! neighbor advertisement (RFC 4861 §7.2.6).
//!
//! An address that is given to a new pod may stand in the caches of others with the old pod's
//! hardware address, and they would send into the void until it expires.
//!
//! The ARP request is the kernel's own: it sends one for every address of an interface that has
//! `arp_notify` set when its hardware address is set, be it to what it was. A packet socket could
//! send the frame too, but closing one waits until every processor has been through the scheduler,
//! which made an ADD take ten milliseconds longer.

use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};

use netlink_packet_route::link::{AfSpecInet, AfSpecUnspec, InetDevConf, LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::links::Link;
use super::{Error, NetNs, Netlink};

/// All nodes on the link (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

impl Netlink {
    /// Whether packets to and from these addresses of a link pass now. The kernel finishes with a
    /// link that was set up a moment ago, and with its IPv6 addresses, after it has answered: until
    /// then it drops what comes for them, and sends multicast to the default router.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn can_use(&self, link: &Link, addresses: &[IpAddr]) -> Result<bool, Error> {
        for address in addresses.iter().filter(|address| address.is_ipv6()) {
            let own = self.route_to(*address, None).await?;
            let everybody = self.route_to(ALL_NODES.into(), Some(link.index)).await?;
            let local = own.is_some_and(|route| route.header.kind == RouteType::Local);
            let via_router = |route: &RouteMessage| {
                route.attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::Gateway(_)))
            };
            if !local || everybody.is_none_or(|route| via_router(&route)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The route that the kernel would take to an IPv6 destination; `None` for no route.
    async fn route_to(&self, to: IpAddr, interface: Option<u32>) -> Result<Option<RouteMessage>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet6;
        message.header.destination_prefix_length = 128;
        message.attributes.push(RouteAttribute::Destination(to.into()));
        message.attributes.extend(interface.map(RouteAttribute::Oif));
        match self.query(RouteNetlinkMessage::GetRoute(message)).await {
            Ok(RouteNetlinkMessage::NewRoute(route)) => Ok(Some(route)),
            Ok(_) => Ok(None),
            Err(refusal) if refusal.is(nix::Error::ENETUNREACH) => Ok(None),
            Err(refusal) => Err(refusal.to(format_args!("look up the route to {to}"))),
        }
    }

    /// Announces usable addresses of a link to everybody on it. The link must be in `namespace`, the
    /// one that this conversation is in. IPv4 addresses are announced all, if any is given.
    ///
    /// # Errors
    /// There is no such link, or it cannot send.
    pub async fn announce(&self, namespace: &NetNs, link: &Link, addresses: &[IpAddr]) -> Result<(), Error> {
        if let Some(mac) = link.mac
            && addresses.iter().any(IpAddr::is_ipv4)
        {
            self.set_arp_notify(link).await?;
            self.set_mac(link.index, mac).await?;
        }
        for address in addresses {
            if let (IpAddr::V6(address), Some(mac)) = (*address, link.mac) {
                namespace
                    .enter(|| advertise(link.index, mac, address))?
                    .map_err(Error::system(|| format!("announce {address} on interface {}", link.name)))?;
            }
        }
        Ok(())
    }

    /// By netlink and not by sysctl: the lookup of a file there is linear in the number of
    /// namespaces.
    async fn set_arp_notify(&self, link: &Link) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        let mut conf = InetDevConf::default();
        conf.arp_notify = 1;
        let inet = AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(conf)]);
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![inet]));
        let what = format_args!("set arp_notify of link {}", link.name);
        self.change(RouteNetlinkMessage::SetLink(message), 0).await.map_err(|refusal| refusal.to(what))
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
