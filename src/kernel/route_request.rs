//! What is asked of the kernel about routes, as octets: install, remove, look up, dump.
//!
//! Pure: sends nothing. The layout is `linux/rtnetlink.h`'s. A route names its next hops itself, or refers
//! to a group by number; an IPv4 route through an IPv6 router (RFC 8950) carries `RTA_VIA` where others
//! carry `RTA_GATEWAY`.

use std::net::IpAddr;

use super::frame::{Attributes, Requests};
use super::routes::Ownership;
use crate::fib::{NextHop, Route, Target};
use crate::prefix::{Family, Prefix};

/// Message types.
pub(super) const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;

/// Attributes (`RTA_…`).
pub(super) const DESTINATION: u16 = 1;
pub(super) const INTERFACE: u16 = 4;
pub(super) const GATEWAY: u16 = 5;
pub(super) const PRIORITY: u16 = 6;
pub(super) const MULTIPATH: u16 = 9;
pub(super) const TABLE: u16 = 15;
pub(super) const VIA: u16 = 18;
pub(super) const NEXTHOP_ID: u16 = 30;

/// Kinds of route (`RTN_…`).
const UNSPECIFIED: u8 = 0;
pub(super) const UNICAST: u8 = 1;
pub(super) const UNREACHABLE: u8 = 7;

/// Scopes (`RT_SCOPE_…`).
const UNIVERSE: u8 = 0;
const NOWHERE: u8 = 255;

/// Octets of `struct rtmsg`.
pub(super) const HEADER: usize = 12;

/// Answer a lookup with the route that was found in the table, not with what it came to
/// (`RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH`).
const AS_IN_TABLE: u32 = 0x1000 | 0x2000;

/// Adds a request to install a route of ours. Whether it creates or replaces is for `flags` to say.
pub(super) fn install(requests: &mut Requests, flags: u16, ownership: Ownership, route: &Route) {
    let kind = if route.target == Target::Unreachable { UNREACHABLE } else { UNICAST };
    let header = header(ownership, route.prefix, UNIVERSE, kind);
    requests.push(NEW_ROUTE, flags, &header, |attributes| {
        key(attributes, ownership, route.prefix, route.metric);
        match (&route.target, route.group) {
            (Target::Unreachable, _) => {}
            (Target::Via(_), Some(group)) => attributes.put_u32(NEXTHOP_ID, group.0),
            (Target::Via(hops), None) => via(attributes, route.prefix.family(), hops),
        }
    });
}

/// Adds a request to remove ours for this prefix and metric, whatever its target: the kernel takes all next
/// hops of a multipath route when none is named, and leaves routes of another protocol alone.
pub(super) fn remove(requests: &mut Requests, ownership: Ownership, prefix: Prefix, metric: u32) {
    let header = header(ownership, prefix, NOWHERE, UNSPECIFIED);
    requests.push(DELETE_ROUTE, 0, &header, |attributes| key(attributes, ownership, prefix, metric));
}

/// Adds a request for the routes of one table; of one protocol alone where it is not 0.
pub(super) fn dump(requests: &mut Requests, family: Family, table: u32, protocol: u8) {
    let ownership = Ownership { table, protocol };
    let mut header = [0; HEADER];
    header[0] = address_family(family);
    header[4] = short(ownership);
    header[5] = protocol;
    requests.push(GET_ROUTE, 0, &header, |attributes| put_table(attributes, ownership));
}

/// Adds a request for the route that packets to this address would take.
pub(super) fn look_up(requests: &mut Requests, address: IpAddr) {
    let family = Family::of(address);
    let mut header = [0; HEADER];
    header[0] = address_family(family);
    header[1] = if family == Family::Ipv4Unicast { 32 } else { 128 };
    header[8..].copy_from_slice(&AS_IN_TABLE.to_ne_bytes());
    requests.push(GET_ROUTE, 0, &header, |attributes| attributes.put_address(DESTINATION, address));
}

/// `struct rtmsg` of a route of ours.
fn header(ownership: Ownership, prefix: Prefix, scope: u8, kind: u8) -> [u8; HEADER] {
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
        attributes.put_u32(TABLE, ownership.table);
    }
}

fn key(attributes: &mut Attributes, ownership: Ownership, prefix: Prefix, metric: u32) {
    put_table(attributes, ownership);
    attributes.put_address(DESTINATION, prefix.address());
    attributes.put_u32(PRIORITY, metric);
}

fn via(attributes: &mut Attributes, family: Family, hops: &[NextHop]) {
    if let [hop] = hops {
        gateway(attributes, family, hop.via);
        if let Some(interface) = hop.interface {
            attributes.put_u32(INTERFACE, interface);
        }
        return;
    }
    attributes.nest(MULTIPATH, |attributes| {
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
        return attributes.put_address(GATEWAY, via);
    }
    // `struct rtvia`.
    attributes.record(&VIA.to_ne_bytes(), |attributes| {
        attributes.raw(&u16::from(address_family(Family::of(via))).to_ne_bytes());
        match via {
            IpAddr::V4(via) => attributes.raw(&via.octets()),
            IpAddr::V6(via) => attributes.raw(&via.octets()),
        }
    });
}
