//! What a route looks like in netlink: messages from changes, and routes from messages.
//!
//! Pure: sends nothing. The layout is `linux/rtnetlink.h`'s; an IPv4 route through an IPv6 router
//! (RFC 8950) carries `RTA_VIA` where others carry `RTA_GATEWAY`.

use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteProtocol,
    RouteScope, RouteType, RouteVia,
};

use super::routes::Ownership;
use crate::fib::{NextHop, Route, Target};
use crate::prefix::{Family, Prefix};

/// A message that installs a route of ours. Whether it creates or replaces is the request's flags'
/// business.
pub(super) fn install(ownership: Ownership, route: &Route) -> RouteMessage {
    let mut message = ours(ownership, route.prefix, route.metric);
    message.header.scope = RouteScope::Universe;
    match &route.target {
        Target::Unreachable => message.header.kind = RouteType::Unreachable,
        Target::Via(hops) => {
            message.header.kind = RouteType::Unicast;
            if let [hop] = hops.as_slice() {
                message.attributes.push(gateway(route.prefix.family(), hop.via));
                message.attributes.extend(hop.interface.map(RouteAttribute::Oif));
            } else {
                let hops = hops.iter().map(|hop| one_of_many(route.prefix.family(), hop)).collect();
                message.attributes.push(RouteAttribute::MultiPath(hops));
            }
        }
    }
    message
}

/// A message that removes ours for this prefix and metric, whatever its target: the kernel takes
/// all next hops of a multipath route when none is named.
pub(super) fn remove(ownership: Ownership, prefix: Prefix, metric: u32) -> RouteMessage {
    let mut message = ours(ownership, prefix, metric);
    message.header.scope = RouteScope::NoWhere;
    message
}

/// A message that asks for the routes of one table; of one protocol alone where given.
pub(super) fn dump(family: Family, table: u32, protocol: Option<u8>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.header.protocol = protocol.unwrap_or_default().into();
    set_table(&mut message, table);
    message
}

fn ours(ownership: Ownership, prefix: Prefix, metric: u32) -> RouteMessage {
    let mut message = dump(prefix.family(), ownership.table, Some(ownership.protocol));
    message.header.destination_prefix_length = prefix.length();
    message.attributes.push(RouteAttribute::Destination(prefix.address().into()));
    message.attributes.push(RouteAttribute::Priority(metric));
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

fn gateway(family: Family, via: IpAddr) -> RouteAttribute {
    if Family::of(via) == family {
        RouteAttribute::Gateway(via.into())
    } else {
        RouteAttribute::Via(via.into())
    }
}

fn one_of_many(family: Family, hop: &NextHop) -> RouteNextHop {
    let mut message = RouteNextHop::default();
    message.interface_index = hop.interface.unwrap_or_default();
    // The kernel counts from nought: its field was once for something else.
    message.hops = hop.weight.saturating_sub(1);
    message.attributes.push(gateway(family, hop.via));
    message
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

/// The route in a message; `None` when it is of a form that we never install, such as a blackhole
/// or a route to a link without a router.
pub(super) fn route(message: &RouteMessage) -> Option<Route> {
    let (prefix, metric) = key(message)?;
    let target = match message.header.kind {
        RouteType::Unreachable => Target::Unreachable,
        RouteType::Unicast => {
            let hops: Option<Vec<NextHop>> = exits(message)
                .into_iter()
                .map(|exit| Some(NextHop { via: exit.via?, interface: exit.interface, weight: exit.weight }))
                .collect();
            Target::Via(sorted(hops.filter(|hops| !hops.is_empty())?))
        }
        _ => return None,
    };
    Some(Route { prefix, target, metric, group: None })
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

/// Next hops in the order and form that [`Target::Via`] wants.
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

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ownership = Ownership { table: 254, protocol: 114 };

    fn hop(via: &str, interface: u32) -> NextHop {
        NextHop { via: via.parse().unwrap(), interface: Some(interface), weight: 1 }
    }

    fn weighted(one: u8, other: u8) -> Target {
        let of = |via, weight| NextHop { weight, ..hop(via, 2) };
        Target::Via(vec![of("192.168.1.12", one), of("192.168.1.13", other)])
    }

    fn route_to(prefix: &str, target: Target) -> Route {
        Route { prefix: prefix.parse().unwrap(), target, metric: 20, group: None }
    }

    /// What goes to the kernel is read back as what it was, by way of the bytes.
    #[test]
    fn every_form_survives_the_wire() {
        use netlink_packet_core::{Emitable, Parseable};
        let forms = [
            route_to("10.244.2.0/24", Target::Via(vec![hop("192.168.1.12", 2)])),
            route_to("10.244.2.0/24", Target::Via(vec![hop("192.168.1.12", 2), hop("192.168.1.13", 3)])),
            route_to("10.244.2.0/24", weighted(1, 4)),
            route_to("10.244.2.0/24", weighted(255, 100)),
            route_to("10.244.2.0/24", Target::Via(vec![hop("fe80::1", 2)])),
            route_to("10.244.2.0/24", Target::Via(vec![hop("192.168.1.12", 2), hop("fe80::1", 3)])),
            route_to("0.0.0.0/0", Target::Unreachable),
            route_to("fd00:244:2::/48", Target::Via(vec![hop("fd00::12", 2)])),
            route_to("fd00:244:2::/48", Target::Via(vec![hop("fd00::12", 2), hop("fe80::1", 3)])),
            route_to("::/0", Target::Unreachable),
        ];
        for table in [254, 255, 256, 100_000] {
            let ownership = Ownership { table, protocol: 114 };
            for form in &forms {
                let message = install(ownership, form);
                let mut bytes = vec![0; message.buffer_len()];
                message.emit(&mut bytes);
                let parsed = RouteMessage::parse(&bytes).unwrap();
                assert_eq!(route(&parsed).as_ref(), Some(form));
                assert!(is_ours(ownership, &parsed) && !is_ours(OURS, &parsed) || table == OURS.table);
            }
        }
    }

    #[test]
    fn the_family_of_the_router_decides_the_attribute() {
        let attribute = |prefix: &str, via: &str| {
            let message = install(OURS, &route_to(prefix, Target::Via(vec![hop(via, 2)])));
            message.attributes.into_iter().nth(2).unwrap()
        };
        assert!(matches!(attribute("10.0.0.0/8", "192.0.2.1"), RouteAttribute::Gateway(_)));
        assert!(matches!(attribute("10.0.0.0/8", "2001:db8::1"), RouteAttribute::Via(_)));
        assert!(matches!(attribute("fd00::/8", "2001:db8::1"), RouteAttribute::Gateway(_)));
    }

    #[test]
    fn a_removal_matches_any_target_of_ours() {
        let message = remove(OURS, "10.0.0.0/8".parse().unwrap(), 20);
        assert_eq!(message.header.kind, RouteType::Unspec);
        assert_eq!(message.header.scope, RouteScope::NoWhere);
        assert_eq!(u8::from(message.header.protocol), 114);
        assert_eq!(key(&message), Some(("10.0.0.0/8".parse().unwrap(), 20)));
    }

    #[test]
    fn next_hops_come_back_sorted_whatever_the_kernel_s_order() {
        let wild = route_to("fd00::/8", Target::Via(vec![hop("fe80::2", 3), hop("fe80::1", 3)]));
        let tame = Target::Via(vec![hop("fe80::1", 3), hop("fe80::2", 3)]);
        assert_eq!(route(&install(OURS, &wild)).unwrap().target, tame);
    }

    #[test]
    fn forms_that_we_never_install_are_no_routes_of_ours() {
        let mut message = install(OURS, &route_to("10.0.0.0/8", Target::Unreachable));
        message.header.kind = RouteType::BlackHole;
        assert_eq!(route(&message), None);
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Oif(2));
        assert_eq!(route(&message), None, "a link without a router");
        assert_eq!(exits(&message), [Exit { via: None, interface: Some(2), dead: false, weight: 1 }]);
    }

    #[test]
    fn owners_have_names() {
        assert_eq!(owner(RouteProtocol::Bird), "bird (protocol 12)");
        assert_eq!(owner(RouteProtocol::Other(115)), "protocol 115");
    }

    /// Routes of other people pass through here as well, whatever they may look like.
    #[test]
    fn whatever_parses_is_read_without_harm() {
        use netlink_packet_core::{Emitable, Parseable};
        use proptest::prelude::*;
        let forms = [
            route_to("10.244.2.0/24", Target::Via(vec![hop("192.168.1.12", 2), hop("fe80::1", 3)])),
            route_to("fd00:244:2::/48", Target::Via(vec![hop("fd00::12", 2)])),
            route_to("::/0", Target::Unreachable),
        ];
        let sound = forms.map(|form| {
            let message = install(OURS, &form);
            let mut bytes = vec![0; message.buffer_len()];
            message.emit(&mut bytes);
            bytes
        });
        let change = (any::<prop::sample::Index>(), any::<u8>());
        let changes = prop::collection::vec(change, 0..6);
        let strategy = (prop::sample::select(sound.to_vec()), changes, any::<prop::sample::Index>());
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) };
        proptest!(config, |((mut bytes, changes, end) in strategy)| {
            for (at, octet) in changes {
                let at = at.index(bytes.len());
                bytes[at] = octet;
            }
            if bytes[0] % 4 == 0 {
                bytes.truncate(end.index(bytes.len()));
            }
            if let Ok(message) = RouteMessage::parse(&bytes) {
                let read = route(&message);
                prop_assert!(read.is_none_or(|route| Some((route.prefix, route.metric)) == key(&message)));
                prop_assert!(is_ours(OURS, &message) == (table(&message) == 254
                    && u8::from(message.header.protocol) == 114));
                exits(&message);
                prop_assert!(!owner(message.header.protocol).is_empty());
            }
        });
    }
}
