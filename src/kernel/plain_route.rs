//! Plain routes, as a person would add them by hand: the kernel's `boot` protocol (`linux/rtnetlink.h`;
//! rtnetlink(7)). For pods; those of lab hosts are added by `addresses`. The routes of the FIB are another
//! matter: `routes`.

use std::net::IpAddr;

use nix::libc;

use super::address_request::{
    GET_ROUTE, NEW_ROUTE, RTA_DST, RTA_GATEWAY, RTA_OIF, RTA_VIA, family, family_number,
};
use super::batch::{At, Batch, Place};
use super::frame::{NLM_F_CREATE, NLM_F_EXCL, address, attribute, u8_at, u32_at};
use crate::prefix::{Family, Prefix};

/// More attributes of a route (`RTA_*`), and metrics in one of them (`RTAX_*`).
const RTA_PRIORITY: u16 = 6;
const RTA_METRICS: u16 = 8;
const RTA_TABLE: u16 = 15;
const RTAX_MTU: u16 = 2;
const RTAX_ADVMSS: u16 = 8;

/// The main table (`RT_TABLE_MAIN`).
pub const MAIN: u32 = 254;

/// `RTPROT_BOOT`, `RTN_UNICAST`, `RT_SCOPE_LINK`.
const BOOT: u8 = 3;
const UNICAST: u8 = 1;
const SCOPE_LINK: u8 = 253;

/// What may be said of a route; the kernel's own choice where it is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// Largest packet along the path, in octets.
    pub mtu: Option<u32>,
    /// Largest TCP segment to announce, in octets.
    pub advmss: Option<u32>,
    /// The lower, the better.
    pub priority: Option<u32>,
    /// The routing table; the main one unless said.
    pub table: Option<u32>,
    /// How far the destinations are (`RT_SCOPE_*`): 0 anywhere, 253 on the link, 254 on this host. IPv6 has
    /// no scopes, and its kernel does not look.
    pub scope: Option<u8>,
}

impl Batch {
    /// Adds a route by a link and, if given, by a router there.
    pub fn add_route(
        &mut self,
        link: At<'_>,
        destination: Prefix,
        via: Option<IpAddr>,
        options: RouteOptions,
    ) -> Place {
        let what = match via {
            Some(via) => format!("add route to {destination} via {via}"),
            None => format!("add route to {destination}"),
        };
        // As ip(8) does: a route without a router reaches only what is on the link.
        let on_link = via.is_none() && destination.family() == Family::Ipv4Unicast;
        let scope = options.scope.unwrap_or(if on_link { SCOPE_LINK } else { 0 });
        // Numbers that do not fit go into an attribute, which counts wherever it is.
        let table = options.table.unwrap_or(MAIN);
        let short_table = u8::try_from(table).unwrap_or(0);
        let [family, length] = [family(destination.address()), destination.length()];
        let header = [family, length, 0, 0, short_table, BOOT, scope, UNICAST, 0, 0, 0, 0];
        self.push((what, None), (NEW_ROUTE, NLM_F_CREATE | NLM_F_EXCL), &header, |attributes| {
            attributes.put_address(RTA_DST, destination.address());
            match (via, destination.family()) {
                (Some(IpAddr::V6(via)), Family::Ipv4Unicast) => {
                    let family = (libc::AF_INET6 as u16).to_ne_bytes();
                    attributes.put(RTA_VIA, &[&family[..], &via.octets()].concat());
                }
                (Some(via), _) => attributes.put_address(RTA_GATEWAY, via),
                (None, _) => {}
            }
            attributes.put_u32(RTA_OIF, link.index);
            if short_table == 0 {
                attributes.put_u32(RTA_TABLE, table);
            }
            if let Some(priority) = options.priority {
                attributes.put_u32(RTA_PRIORITY, priority);
            }
            if options.mtu.is_some() || options.advmss.is_some() {
                attributes.nest(RTA_METRICS, |metrics| {
                    for (metric, value) in [(RTAX_MTU, options.mtu), (RTAX_ADVMSS, options.advmss)] {
                        if let Some(value) = value {
                            metrics.put_u32(metric, value);
                        }
                    }
                });
            }
        })
    }
}

/// A question for all routes of a family in a table.
pub(super) fn dump_routes(family: Family, table: u32) -> (u16, [u8; 12]) {
    // A table whose number does not fit is picked out of all of them.
    let table = u8::try_from(table).unwrap_or(0);
    (GET_ROUTE, [family_number(family), 0, 0, 0, table, 0, 0, 0, 0, 0, 0, 0])
}

/// The destination in the body of an `RTM_NEWROUTE`, if the route is of that table.
pub(super) fn read_destination(kind: u16, body: &[u8], table: u32) -> Option<Prefix> {
    let value = |wanted| attribute(body.get(12..)?, wanted);
    let of_table = value(RTA_TABLE).and_then(|value| u32_at(value, 0)).or(u8_at(body, 4).map(u32::from));
    if kind != NEW_ROUTE || of_table != Some(table) {
        return None;
    }
    let unspecified: IpAddr = match i32::from(u8_at(body, 0)?) {
        libc::AF_INET => std::net::Ipv4Addr::UNSPECIFIED.into(),
        _ => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let destination = value(RTA_DST).and_then(address).unwrap_or(unspecified);
    Prefix::new(destination, u8_at(body, 1)?)
}
