//! What the kernel says about links, addresses, routes and nexthop objects, read from the octets
//! (`linux/rtnetlink.h`, `linux/if_link.h`, `linux/nexthop.h`).
//!
//! Pure. Looks at the header first and at attributes only where somebody asks: of a table with a million
//! routes of ours, nobody asks about more than one octet each. Notices and the answers to a dump look
//! alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::frame::{
    Frame, HEADER, NLM_F_APPEND, NLM_F_REPLACE, address, attribute, attributes, text, u16_at, u32_at,
};
use super::routes::Ownership;
use super::rtm::{self, route};
use crate::fib::{GroupId, NextHop, Route, Target};
use crate::prefix::Prefix;

/// Where `rtm_protocol` stands in a message about a route, and `nh_protocol` in one about a nexthop
/// object: header included.
pub(super) const ROUTE_PROTOCOL_AT: usize = HEADER + 5;
/// See [`ROUTE_PROTOCOL_AT`].
pub(super) const NEXTHOP_PROTOCOL_AT: usize = HEADER + 2;

const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const NEXTHOP_HEADER: usize = 8;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// A link, as far as routes depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkState {
    pub(super) index: u32,
    pub(super) name: String,
    /// Administratively up.
    pub(super) up: bool,
    /// The lower layer is there.
    pub(super) carrier: bool,
    /// Both have been so for a moment: up to a second passes after they begin to be.
    pub(super) running: bool,
    /// Index of the link it is a port of.
    pub(super) master: Option<u32>,
}

impl LinkState {
    /// Whether packets can leave by it.
    pub(super) fn works(&self) -> bool {
        self.up && self.carrier
    }
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkAddress {
    pub(super) link: u32,
    pub(super) address: IpAddr,
    pub(super) length: u8,
}

/// One way out of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exit {
    /// The router; `None` on a connected subnet.
    pub(super) via: Option<IpAddr>,
    /// The interface's index.
    pub(super) interface: Option<u32>,
    /// Its share of the packets, from 1.
    pub(super) weight: u8,
}

/// What tells routes apart that lead to one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RouteKey {
    pub(super) table: u32,
    pub(super) prefix: Prefix,
    pub(super) metric: u32,
}

/// What stands at a [`RouteKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteState {
    pub(super) protocol: u8,
    /// `RTN_*`.
    pub(super) kind: u8,
    /// Its own ways out; those of its object where it has one, or none then.
    pub(super) exits: Vec<Exit>,
    /// The nexthop object it refers to.
    pub(super) object: Option<u32>,
    /// The local address that packets get: where that goes, so does an IPv4 route.
    pub(super) source: Option<IpAddr>,
}

/// A nexthop object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    /// One way out.
    Single(Exit),
    /// Several others, each with its weight.
    Group(Vec<(u32, u8)>),
    /// Packets are dropped.
    Blackhole,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    Link(LinkState),
    LinkGone(u32),
    Address(LinkAddress),
    AddressGone(LinkAddress),
    /// A route was added, in place of another if `replaces`, behind others if `appends`.
    Route {
        key: RouteKey,
        state: RouteState,
        replaces: bool,
        appends: bool,
    },
    RouteGone {
        key: RouteKey,
        state: RouteState,
    },
    Object {
        id: u32,
        protocol: u8,
        object: Object,
    },
    ObjectGone {
        id: u32,
        protocol: u8,
    },
}

impl Notice {
    /// Reads a message; `None` for one that tells nothing of interest: a bridge's view of its port, a
    /// route for some type of service or source only, one that is cached, another family's.
    pub(super) fn read(frame: Frame<'_>) -> Option<Notice> {
        match frame.kind {
            rtm::NEW_LINK => link(frame.body).map(Notice::Link),
            rtm::DEL_LINK => link(frame.body).map(|link| Notice::LinkGone(link.index)),
            rtm::NEW_ADDRESS => link_address(frame.body).map(Notice::Address),
            rtm::DEL_ADDRESS => link_address(frame.body).map(Notice::AddressGone),
            rtm::NEW_ROUTE => read_route(frame.body).map(|(key, state)| Notice::Route {
                key,
                state,
                replaces: frame.flags & NLM_F_REPLACE != 0,
                appends: frame.flags & NLM_F_APPEND != 0,
            }),
            rtm::DEL_ROUTE => read_route(frame.body).map(|(key, state)| Notice::RouteGone { key, state }),
            rtm::NEW_NEXTHOP => {
                let (id, object) = object(frame.body)?;
                Some(Notice::Object { id, protocol: *frame.body.get(2)?, object })
            }
            rtm::DEL_NEXTHOP => {
                let (id, _) = object(frame.body)?;
                Some(Notice::ObjectGone { id, protocol: *frame.body.get(2)? })
            }
            _ => None,
        }
    }

    /// Whether it matters for next hops: routes of other tables than ours and `main` do not.
    pub(super) fn concerns(&self, ownership: Ownership) -> bool {
        match self {
            Notice::Route { key, .. } | Notice::RouteGone { key, .. } => {
                [route::MAIN, ownership.table].contains(&key.table)
            }
            _ => true,
        }
    }
}

/// Whether a message is about a route of ours, told without reading it further.
pub(super) fn is_our_route(ownership: Ownership, frame: Frame<'_>) -> bool {
    frame.body.get(5) == Some(&ownership.protocol) && table(frame.body) == Some(ownership.table)
}

/// The header has room for table numbers of one octet only.
fn table(body: &[u8]) -> Option<u32> {
    let long = attribute(body.get(route::HEADER..)?, route::TABLE);
    long.and_then(|value| u32_at(value, 0)).or_else(|| body.get(4).map(|short| u32::from(*short)))
}

/// A route of ours as it stands now; `None` if it is of a form that we never install, such as one to a
/// link without a router, or if it does not say where it leads.
pub(super) fn our_route(key: RouteKey, state: &RouteState) -> Option<Route> {
    let target = match state.kind {
        route::UNREACHABLE => Target::Unreachable,
        route::UNICAST => {
            let hops = state
                .exits
                .iter()
                .map(|exit| Some(NextHop { via: exit.via?, interface: exit.interface, weight: exit.weight }));
            let mut hops = hops.collect::<Option<Vec<NextHop>>>().filter(|hops| !hops.is_empty())?;
            hops.sort_unstable();
            hops.dedup();
            Target::Via(hops)
        }
        _ => return None,
    };
    Some(Route { prefix: key.prefix, target, metric: key.metric, group: state.object.map(GroupId) })
}

fn link(body: &[u8]) -> Option<LinkState> {
    const UP: u32 = 1;
    const RUNNING: u32 = 1 << 6;
    const LOWER_UP: u32 = 1 << 16;
    const NAME: u16 = 3;
    const MASTER: u16 = 10;
    // Bridges tell of their ports in messages of the same number and another family, deletions included.
    if *body.first()? != 0 {
        return None;
    }
    let flags = u32_at(body, 8)?;
    let mut link = LinkState {
        index: u32_at(body, 4)?,
        name: String::new(),
        up: flags & UP != 0,
        carrier: flags & LOWER_UP != 0,
        running: flags & RUNNING != 0,
        master: None,
    };
    for (kind, value) in attributes(body.get(LINK_HEADER..)?) {
        match kind {
            NAME => link.name = text(value),
            MASTER => link.master = u32_at(value, 0),
            _ => {}
        }
    }
    Some(link)
}

fn link_address(body: &[u8]) -> Option<LinkAddress> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    let (mut own, mut other) = (None, None);
    for (kind, value) in attributes(body.get(ADDRESS_HEADER..)?) {
        match kind {
            LOCAL => own = address(value),
            // The other end of a point-to-point link, where there is a local address beside it.
            ADDRESS => other = address(value),
            _ => {}
        }
    }
    Some(LinkAddress { link: u32_at(body, 4)?, address: own.or(other)?, length: *body.get(1)? })
}

fn read_route(body: &[u8]) -> Option<(RouteKey, RouteState)> {
    const CLONED: u32 = 0x200;
    let header = body.get(..route::HEADER)?;
    let (family, length, source_length, tos) = (header[0], header[1], header[2], header[3]);
    let mut destination: IpAddr = match family {
        AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    if source_length != 0 || tos != 0 || u32_at(header, 8)? & CLONED != 0 {
        return None;
    }
    let (mut table, mut metric) = (u32::from(header[4]), 0);
    let (mut out, mut gateway) = (None, None);
    let mut state =
        RouteState { protocol: header[5], kind: header[7], exits: vec![], object: None, source: None };
    for (kind, value) in attributes(&body[route::HEADER..]) {
        match kind {
            route::DESTINATION => destination = address(value)?,
            route::INTERFACE => out = u32_at(value, 0),
            route::GATEWAY => gateway = address(value),
            route::VIA => gateway = address(value.get(2..)?),
            route::PRIORITY => metric = u32_at(value, 0)?,
            route::SOURCE => state.source = address(value),
            route::MULTIPATH => state.exits = many_exits(value),
            route::TABLE => table = u32_at(value, 0)?,
            route::NEXTHOP_ID => state.object = u32_at(value, 0),
            _ => {}
        }
    }
    if state.exits.is_empty() && (out.is_some() || gateway.is_some()) {
        state.exits.push(Exit { via: gateway, interface: out, weight: 1 });
    }
    Some((RouteKey { table, prefix: Prefix::new(destination, length)?, metric }, state))
}

/// The ways out of a route that has several (`struct rtnexthop`).
fn many_exits(mut rest: &[u8]) -> Vec<Exit> {
    const HEADER: usize = 8;
    let mut exits = vec![];
    while let Some(length) = u16_at(rest, 0).map(usize::from)
        && let Some(hop) = rest.get(..length).filter(|hop| hop.len() >= HEADER)
    {
        let via = attributes(&hop[HEADER..]).find_map(|(kind, value)| match kind {
            route::GATEWAY => address(value),
            route::VIA => address(value.get(2..)?),
            _ => None,
        });
        // The kernel counts weights from nought: its field was once for something else.
        let weight = hop[3].saturating_add(1);
        exits.push(Exit { via, interface: u32_at(hop, 4).filter(|index| *index != 0), weight });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    exits
}

fn object(body: &[u8]) -> Option<(u32, Object)> {
    const ID: u16 = 1;
    const GROUP: u16 = 2;
    const BLACKHOLE: u16 = 4;
    const OUT: u16 = 5;
    const GATEWAY: u16 = 6;
    let (mut id, mut out, mut gateway, mut other) = (None, None, None, None);
    for (kind, value) in attributes(body.get(NEXTHOP_HEADER..)?) {
        match kind {
            ID => id = u32_at(value, 0),
            // `struct nexthop_grp`: id, weight less one, padding.
            GROUP => {
                let members = value.chunks_exact(8);
                let member = |octets: &[u8]| Some((u32_at(octets, 0)?, octets[4].saturating_add(1)));
                other = Some(Object::Group(members.filter_map(member).collect()));
            }
            BLACKHOLE => other = Some(Object::Blackhole),
            OUT => out = u32_at(value, 0),
            GATEWAY => gateway = address(value),
            _ => {}
        }
    }
    Some((id?, other.unwrap_or(Object::Single(Exit { via: gateway, interface: out, weight: 1 }))))
}
