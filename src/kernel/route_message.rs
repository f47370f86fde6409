//! Routes of everybody and in all their forms, from netlink messages: for next-hop resolution.
//!
//! Pure: sends nothing. The layout is `linux/rtnetlink.h`'s; an IPv4 route through an IPv6 router
//! (RFC 8950) carries `RTA_VIA` where others carry `RTA_GATEWAY`. What is asked about routes of ours, and what
//! comes back, are `route_request`'s and `route_reply`'s.

use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHopFlags, RouteProtocol, RouteVia,
};

use super::routes::Ownership;
use crate::fib::NextHop;
use crate::prefix::{Family, Prefix};

/// A message that asks for the routes of one table.
pub(super) fn dump(family: Family, table: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    set_table(&mut message, table);
    message
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4Unicast => AddressFamily::Inet,
        Family::Ipv6Unicast => AddressFamily::Inet6,
    }
}

/// The header has room for table numbers of one octet only.
fn set_table(message: &mut RouteMessage, table: u32) {
    match u8::try_from(table) {
        Ok(short) => message.header.table = short,
        Err(_) => {
            message.header.table = RouteHeader::RT_TABLE_UNSPEC;
            message.attributes.push(RouteAttribute::Table(table));
        }
    }
}

/// A route's table.
pub(super) fn table(message: &RouteMessage) -> u32 {
    let long = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or(message.header.table.into())
}

/// Whether a route is ours.
pub(super) fn is_ours(ownership: Ownership, message: &RouteMessage) -> bool {
    u8::from(message.header.protocol) == ownership.protocol && table(message) == ownership.table
}

/// Destination and metric: what the kernel keeps one route of ours for. `None` for routes that no
/// route of ours can collide with: those for some type of service or source address only, and those
/// of other families (multicast, MPLS).
pub(super) fn key(message: &RouteMessage) -> Option<(Prefix, u32)> {
    if message.header.tos != 0 || message.header.source_prefix_length != 0 {
        return None;
    }
    let mut address = match message.header.address_family {
        AddressFamily::Inet => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut metric = 0;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(found)) => address = (*found).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(found)) => address = (*found).into(),
            RouteAttribute::Priority(found) => metric = *found,
            _ => {}
        }
    }
    Some((Prefix::new(address, message.header.destination_prefix_length)?, metric))
}

/// One way out as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    /// The router; `None` on a connected subnet.
    pub(super) via: Option<IpAddr>,
    /// The interface's index.
    pub(super) interface: Option<u32>,
    /// The kernel would not use it now: its link is down or has no carrier.
    pub(super) dead: bool,
    /// Its share of the packets, relative to the route's other exits.
    pub(super) weight: u8,
}

/// All ways out of a unicast route.
pub(super) fn exits(message: &RouteMessage) -> Vec<Exit> {
    let many = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let Some(many) = many else {
        let interface = message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        // A route with a single exit has that exit's flags in its header's low octet.
        let flags = RouteNextHopFlags::from_bits_retain(message.header.flags.bits() as u8);
        return vec![Exit { via: via(&message.attributes), interface, dead: is_dead(flags), weight: 1 }];
    };
    many.iter()
        .map(|hop| Exit {
            via: via(&hop.attributes),
            interface: (hop.interface_index != 0).then_some(hop.interface_index),
            dead: is_dead(hop.flags),
            weight: hop.hops.saturating_add(1),
        })
        .collect()
}

fn is_dead(flags: RouteNextHopFlags) -> bool {
    flags.intersects(RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown)
}

fn via(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some((*address).into()),
        RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}

/// Next hops in the order and form that [`crate::fib::Target::Via`] wants.
pub(super) fn sorted(mut hops: Vec<NextHop>) -> Vec<NextHop> {
    hops.sort_unstable();
    hops.dedup();
    hops
}

/// Whose route it is, in words: the protocol's name where the kernel's headers give it one.
pub(super) fn owner(protocol: RouteProtocol) -> String {
    match protocol {
        RouteProtocol::Other(number) => format!("protocol {number}"),
        named => format!("{named} (protocol {})", u8::from(named)),
    }
}
