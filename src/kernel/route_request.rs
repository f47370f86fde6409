//! What is asked of the kernel about routes, as octets: install, remove, look up, dump.
//!
//! Pure: sends nothing. The layout is `linux/rtnetlink.h`'s. A route names its next hops itself, or refers
//! to a group by number; an IPv4 route through an IPv6 router (RFC 8950) carries `RTA_VIA` where others
//! carry `RTA_GATEWAY`.

use std::net::IpAddr;

use super::frame::{Attributes, Requests};
use super::routes::Ownership;
use super::rtm::{self, route as wire};
use crate::fib::{NextHop, Route, Target};
use crate::prefix::{Family, Prefix};

/// Answer a lookup with the route that was found in the table, not with what it came to
/// (`RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH`).
const AS_IN_TABLE: u32 = 0x1000 | 0x2000;

/// Adds a request to install a route of ours. Whether it creates or replaces is for `flags` to say.
pub(super) fn install(requests: &mut Requests, flags: u16, ownership: Ownership, route: &Route) {
    let kind = if route.target == Target::Unreachable { wire::UNREACHABLE } else { wire::UNICAST };
    let header = header(ownership, route.prefix, wire::UNIVERSE, kind);
    requests.push(rtm::NEW_ROUTE, flags, &header, |attributes| {
        key(attributes, ownership, route.prefix, route.metric);
        match (&route.target, route.group) {
            (Target::Unreachable, _) => {}
            (Target::Via(_), Some(group)) => attributes.put_u32(wire::NEXTHOP_ID, group.0),
            (Target::Via(hops), None) => via(attributes, route.prefix.family(), hops),
        }
    });
}

/// Adds a request to remove ours for this prefix and metric, whatever its target: the kernel takes all next
/// hops of a multipath route when none is named, and leaves routes of another protocol alone.
pub(super) fn remove(requests: &mut Requests, ownership: Ownership, prefix: Prefix, metric: u32) {
    let header = header(ownership, prefix, wire::NOWHERE, wire::UNSPECIFIED);
    requests.push(rtm::DEL_ROUTE, 0, &header, |attributes| key(attributes, ownership, prefix, metric));
}

/// Adds a request for the routes of one table; of one protocol alone where it is not 0.
pub(super) fn dump(requests: &mut Requests, family: Family, table: u32, protocol: u8) {
    let ownership = Ownership { table, protocol };
    let mut header = [0; wire::HEADER];
    header[0] = address_family(family);
    header[4] = short(ownership);
    header[5] = protocol;
    requests.push(rtm::GET_ROUTE, 0, &header, |attributes| put_table(attributes, ownership));
}

/// Adds a request for the route that packets to this address would take.
pub(super) fn look_up(requests: &mut Requests, address: IpAddr) {
    let family = Family::of(address);
    let mut header = [0; wire::HEADER];
    header[0] = address_family(family);
    header[1] = if family == Family::Ipv4Unicast { 32 } else { 128 };
    header[8..].copy_from_slice(&AS_IN_TABLE.to_ne_bytes());
    requests
        .push(rtm::GET_ROUTE, 0, &header, |attributes| attributes.put_address(wire::DESTINATION, address));
}

/// `struct rtmsg` of a route of ours.
fn header(ownership: Ownership, prefix: Prefix, scope: u8, kind: u8) -> [u8; wire::HEADER] {
    let family = address_family(prefix.family());
    [family, prefix.length(), 0, 0, short(ownership), ownership.protocol, scope, kind, 0, 0, 0, 0]
}

fn address_family(family: Family) -> u8 {
    match family {
        Family::Ipv4Unicast => nix::libc::AF_INET as u8,
        Family::Ipv6Unicast => nix::libc::AF_INET6 as u8,
    }
}

/// The header has room for table numbers of one octet only; 0 stands for the others.
fn short(ownership: Ownership) -> u8 {
    u8::try_from(ownership.table).unwrap_or(0)
}

fn put_table(attributes: &mut Attributes, ownership: Ownership) {
    if short(ownership) == 0 {
        attributes.put_u32(wire::TABLE, ownership.table);
    }
}

fn key(attributes: &mut Attributes, ownership: Ownership, prefix: Prefix, metric: u32) {
    put_table(attributes, ownership);
    attributes.put_address(wire::DESTINATION, prefix.address());
    attributes.put_u32(wire::PRIORITY, metric);
}

fn via(attributes: &mut Attributes, family: Family, hops: &[NextHop]) {
    if let [hop] = hops {
        gateway(attributes, family, hop.via);
        if let Some(interface) = hop.interface {
            attributes.put_u32(wire::INTERFACE, interface);
        }
        return;
    }
    attributes.nest(wire::MULTIPATH, |attributes| {
        for hop in hops {
            // `struct rtnexthop`: flags, the weight (the kernel counts from nought), the interface.
            let [a, b, c, d] = hop.interface.unwrap_or_default().to_ne_bytes();
            attributes.record(&[0, hop.weight.saturating_sub(1), a, b, c, d], |attributes| {
                gateway(attributes, family, hop.via);
            });
        }
    });
}

fn gateway(attributes: &mut Attributes, family: Family, via: IpAddr) {
    if Family::of(via) == family {
        return attributes.put_address(wire::GATEWAY, via);
    }
    // `struct rtvia`.
    attributes.record(&wire::VIA.to_ne_bytes(), |attributes| {
        attributes.raw(&u16::from(address_family(Family::of(via))).to_ne_bytes());
        match via {
            IpAddr::V4(via) => attributes.raw(&via.octets()),
            IpAddr::V6(via) => attributes.raw(&via.octets()),
        }
    });
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteScope, RouteType};

    use super::super::frame::frames;
    use super::super::route_message as other;
    use super::super::route_reply::Reply;
    use super::*;
    use crate::fib::GroupId;

    const OURS: Ownership = Ownership { table: 254, protocol: 114 };

    fn hop(via: &str, interface: u32) -> NextHop {
        NextHop { via: via.parse().unwrap(), interface: Some(interface), weight: 1 }
    }

    fn route_to(prefix: &str, target: Target) -> Route {
        Route { prefix: prefix.parse().unwrap(), target, metric: 20, group: None }
    }

    fn forms() -> Vec<Route> {
        let weighted = |via, weight| NextHop { weight, ..hop(via, 2) };
        vec![
            route_to("10.244.2.0/24", Target::Via(vec![hop("192.168.1.12", 2)])),
            route_to("10.244.2.0/24", Target::Via(vec![hop("192.168.1.12", 2), hop("192.168.1.13", 3)])),
            route_to("10.244.2.0/24", Target::Via(vec![weighted("10.0.0.1", 1), weighted("10.0.0.2", 4)])),
            route_to("10.244.2.0/24", Target::Via(vec![weighted("10.0.0.1", 255), weighted("10.0.0.2", 1)])),
            route_to("10.244.2.0/24", Target::Via(vec![hop("fe80::1", 2)])),
            route_to("10.244.2.0/24", Target::Via(vec![hop("192.168.1.12", 2), hop("fe80::1", 3)])),
            route_to("0.0.0.0/0", Target::Unreachable),
            route_to("fd00:244:2::/48", Target::Via(vec![hop("fd00::12", 2)])),
            route_to("fd00:244:2::/48", Target::Via(vec![hop("fd00::12", 2), hop("fe80::1", 3)])),
            route_to("::/0", Target::Unreachable),
        ]
    }

    /// What a codec that is not ours makes of a request.
    fn read(requests: &Requests) -> (u16, RouteMessage) {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(requests.octets()).unwrap();
        match message.payload {
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewRoute(route)
                | RouteNetlinkMessage::DelRoute(route)
                | RouteNetlinkMessage::GetRoute(route),
            ) => (message.header.flags, route),
            payload => panic!("{payload:?}"),
        }
    }

    /// The route as that codec describes it.
    fn route(message: &RouteMessage) -> Option<Route> {
        let (prefix, metric) = other::key(message)?;
        let target = match message.header.kind {
            RouteType::Unreachable => Target::Unreachable,
            _ => {
                let hop = |exit: other::Exit| {
                    Some(NextHop { via: exit.via?, interface: exit.interface, weight: exit.weight })
                };
                Target::Via(other::exits(message).into_iter().map(hop).collect::<Option<_>>()?)
            }
        };
        Some(Route { prefix, target, metric, group: None })
    }

    fn installed(ownership: Ownership, route: &Route) -> Requests {
        let mut requests = Requests::default();
        install(&mut requests, NLM_F_CREATE | NLM_F_EXCL, ownership, route);
        requests
    }

    /// Another codec reads what was meant, and so does ours: a route looks alike in requests and replies.
    #[test]
    fn every_form_is_read_as_what_it_is() {
        for table in [1, 254, 255, 256, 100_000] {
            let ownership = Ownership { table, protocol: 114 };
            for form in forms() {
                let requests = installed(ownership, &form);
                let (flags, message) = read(&requests);
                assert_eq!(flags, 1 | NLM_F_CREATE | NLM_F_EXCL);
                assert_eq!(route(&message).as_ref(), Some(&form));
                assert!(other::is_ours(ownership, &message));
                assert_eq!(message.header.scope, RouteScope::Universe);

                let frame = frames(requests.octets()).next().unwrap();
                let reply = Reply::parse(frame.body).unwrap();
                assert_eq!((reply.prefix, reply.metric), (form.prefix, form.metric));
                assert_eq!((reply.table, reply.protocol, reply.nexthop), (table, 114, None));
                assert_eq!(reply.target(), Some(form.target));
            }
        }
    }

    #[test]
    fn a_route_through_a_group_names_nothing_else() {
        let mut route = forms().remove(1);
        route.group = Some(GroupId(0x7200_0001));
        let requests = installed(OURS, &route);
        let (_, message) = read(&requests);
        assert_eq!(message.attributes.len(), 3, "{message:?}");
        assert!(matches!(message.attributes[2], RouteAttribute::NhId(0x7200_0001)), "{message:?}");
        let frame = frames(requests.octets()).next().unwrap();
        assert_eq!(Reply::parse(frame.body).unwrap().nexthop, Some(0x7200_0001));
        assert_eq!(Reply::parse(frame.body).unwrap().target(), None, "nothing is known without the group");
    }

    #[test]
    fn a_removal_matches_any_target_of_ours() {
        let mut requests = Requests::default();
        let prefix = "10.0.0.0/8".parse().unwrap();
        remove(&mut requests, OURS, prefix, 20);
        let (flags, message) = read(&requests);
        assert_eq!((flags, message.header.kind), (1, RouteType::Unspec));
        assert_eq!(message.header.scope, RouteScope::NoWhere);
        assert!(other::is_ours(OURS, &message));
        assert_eq!(other::key(&message), Some((prefix, 20)));
    }

    #[test]
    fn a_look_up_asks_for_what_stands_in_the_table() {
        let mut requests = Requests::default();
        look_up(&mut requests, "fd00::1".parse().unwrap());
        let (_, message) = read(&requests);
        assert_eq!(message.header.destination_prefix_length, 128);
        assert_eq!(message.header.flags.bits(), AS_IN_TABLE);
        assert!(matches!(message.attributes[..], [RouteAttribute::Destination(_)]), "{message:?}");
    }

    #[test]
    fn a_dump_is_of_one_table_and_of_whom_it_says() {
        for (table, protocol) in [(254, 0), (70_000, 114)] {
            let mut requests = Requests::default();
            dump(&mut requests, Family::Ipv6Unicast, table, protocol);
            let (_, message) = read(&requests);
            assert_eq!((other::table(&message), u8::from(message.header.protocol)), (table, protocol));
        }
    }
}
