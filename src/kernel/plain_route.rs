//! What can be asked about routes in a [`Batch`], and plain routes, as a person would add them by hand: the
//! kernel's `boot` protocol (`linux/rtnetlink.h`; rtnetlink(7)). For pods; those of lab hosts are added by
//! `addresses`. The routes of the FIB are another matter: `routes`.

use std::net::IpAddr;

use nix::errno::Errno;
use nix::libc;

use super::batch::{At, Batch, Outcome, Place};
use super::frame::{NLM_F_CREATE, NLM_F_EXCL, address, attribute, attributes, u8_at, u32_at};
use super::rtm::{self, family, family_number, route};
use crate::prefix::{Family, Prefix};

/// The table that routes are in unless somebody says otherwise.
pub const MAIN: u32 = route::MAIN;

/// Metrics of a route (`RTAX_*`).
const MTU: u16 = 2;
const ADVMSS: u16 = 8;

/// `RTPROT_BOOT`.
const BOOT: u8 = 3;

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
        let scope = options.scope.unwrap_or(if on_link { route::ON_LINK } else { 0 });
        // Numbers that do not fit go into an attribute, which counts wherever it is.
        let table = options.table.unwrap_or(MAIN);
        let short_table = u8::try_from(table).unwrap_or(0);
        let [family, length] = [family(destination.address()), destination.length()];
        let header = [family, length, 0, 0, short_table, BOOT, scope, route::UNICAST, 0, 0, 0, 0];
        self.push((what, None), (rtm::NEW_ROUTE, NLM_F_CREATE | NLM_F_EXCL), &header, |attributes| {
            attributes.put_address(route::DESTINATION, destination.address());
            match (via, destination.family()) {
                (Some(IpAddr::V6(via)), Family::Ipv4Unicast) => {
                    let family = (libc::AF_INET6 as u16).to_ne_bytes();
                    attributes.put(route::VIA, &[&family[..], &via.octets()].concat());
                }
                (Some(via), _) => attributes.put_address(route::GATEWAY, via),
                (None, _) => {}
            }
            attributes.put_u32(route::INTERFACE, link.index);
            if short_table == 0 {
                attributes.put_u32(route::TABLE, table);
            }
            if let Some(priority) = options.priority {
                attributes.put_u32(route::PRIORITY, priority);
            }
            if options.mtu.is_some() || options.advmss.is_some() {
                attributes.nest(route::METRICS, |metrics| {
                    for (metric, value) in [(MTU, options.mtu), (ADVMSS, options.advmss)] {
                        if let Some(value) = value {
                            metrics.put_u32(metric, value);
                        }
                    }
                });
            }
        })
    }

    /// Asks for the route that the kernel would take to a destination, by an interface if one is given
    /// ([`Outcome::on_link`]).
    pub fn look_up_route(&mut self, to: IpAddr, interface: Option<u32>) -> Place {
        let what = (format!("look up the route to {to}"), Some(Errno::ENETUNREACH));
        let length = if to.is_ipv4() { 32 } else { 128 };
        let header = [family(to), length, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        self.push(what, (rtm::GET_ROUTE, 0), &header, |attributes| {
            attributes.put_address(route::DESTINATION, to);
            if let Some(interface) = interface {
                attributes.put_u32(route::INTERFACE, interface);
            }
        })
    }
}

impl Outcome {
    /// The link by which the kernel would send directly to the destination of a route that was looked up;
    /// `None` if it would not, or by a router.
    pub fn on_link(&self, place: Place) -> Option<u32> {
        let body = self.answer(place).filter(|body| !is_via_router(body))?;
        let link = attribute(body.get(route::HEADER..)?, route::INTERFACE)?;
        u32_at(link, 0).filter(|_| u8_at(body, 7) == Some(route::UNICAST))
    }
}

/// A question for all routes of a family in a table.
pub(super) fn dump_routes(family: Family, table: u32) -> (u16, [u8; 12]) {
    // A table whose number does not fit is picked out of all of them.
    let table = u8::try_from(table).unwrap_or(0);
    (rtm::GET_ROUTE, [family_number(family), 0, 0, 0, table, 0, 0, 0, 0, 0, 0, 0])
}

/// The destination in the body of an `RTM_NEWROUTE`, if the route is of that table.
pub(super) fn read_destination(kind: u16, body: &[u8], table: u32) -> Option<Prefix> {
    let value = |wanted| attribute(body.get(route::HEADER..)?, wanted);
    let of_table = value(route::TABLE).and_then(|value| u32_at(value, 0)).or(u8_at(body, 4).map(u32::from));
    if kind != rtm::NEW_ROUTE || of_table != Some(table) {
        return None;
    }
    let unspecified: IpAddr = match i32::from(u8_at(body, 0)?) {
        libc::AF_INET => std::net::Ipv4Addr::UNSPECIFIED.into(),
        _ => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let destination = value(route::DESTINATION).and_then(address).unwrap_or(unspecified);
    Prefix::new(destination, u8_at(body, 1)?)
}

/// Whether the body of an `RTM_NEWROUTE` says that its destination is an address of this machine.
pub(super) fn is_local_route(body: &[u8]) -> bool {
    u8_at(body, 7) == Some(route::LOCAL)
}

/// Whether the body of an `RTM_NEWROUTE` names a router.
pub(super) fn is_via_router(body: &[u8]) -> bool {
    attributes(body.get(route::HEADER..).unwrap_or_default())
        .any(|(kind, _)| [route::GATEWAY, route::VIA].contains(&kind))
}
