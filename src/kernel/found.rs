//! What the kernel holds of ours: routes and nexthop groups, read by the hundred thousand.
//!
//! Only reads. Foreign routes are skipped by their header where the kernel has not left them out already.

use std::collections::BTreeMap;

use super::Error;
use super::exchange::Exchange;
use super::frame::Requests;
use super::nexthop_message::{self, Object};
use super::nexthops::Nexthops;
use super::refusal::Refusal;
use super::route_reply::{Reply, is_of};
use super::route_request as wire;
use super::routes::Ownership;
use super::rtm;
use crate::fib::{Found, Group, GroupId, Route, Target};
use crate::prefix::Family;

/// Routes and groups of ours in the calling thread's namespace. Next hops carry the interface that the kernel
/// found for them.
///
/// # Errors
/// The dump failed or was interrupted too often to be consistent.
pub fn found(ownership: Ownership) -> Result<Found, Error> {
    read(&mut Exchange::open()?, ownership).map(|(found, _)| found)
}

/// Groups of ours alone; `None` where the kernel knows no nexthop groups. Costs as much as there are
/// groups, however many routes there are.
///
/// # Errors
/// As [`found`].
pub fn groups(ownership: Ownership) -> Result<Option<Vec<Group>>, Error> {
    let nexthops = nexthops(&mut Exchange::open()?, ownership.protocol)?;
    Ok(nexthops.map(|nexthops| nexthops.groups()))
}

/// The same through a socket that is open, and the objects behind the groups.
pub(super) fn read(
    exchange: &mut Exchange,
    ownership: Ownership,
) -> Result<(Found, Option<Nexthops>), Error> {
    let nexthops = nexthops(exchange, ownership.protocol)?;
    let groups = nexthops.as_ref().map(Nexthops::groups);
    let members: BTreeMap<u32, Target> =
        groups.iter().flatten().map(|group| (group.id.0, Target::Via(group.members.clone()))).collect();
    let mut routes = Vec::new();
    for family in Family::ALL {
        let mut requests = Requests::default();
        wire::dump(&mut requests, family, ownership.table, ownership.protocol);
        let dumped = exchange.dump(&mut requests, |routes: &mut Vec<Route>, kind, body| {
            if kind == rtm::NEW_ROUTE && is_of(ownership.protocol, body) {
                routes.extend(route(ownership, &members, body));
            }
        });
        let dumped = missing_table_is_empty(dumped)
            .map_err(|refusal| refusal.to(format_args!("read routing table {}", ownership.table)))?;
        routes.extend(one_for_each_key(dumped));
    }
    Ok((Found { routes, groups }, nexthops))
}

/// The nexthop objects of a protocol's; `None` where the kernel knows none.
pub(super) fn nexthops(exchange: &mut Exchange, protocol: u8) -> Result<Option<Nexthops>, Error> {
    let mut requests = Requests::default();
    nexthop_message::dump(&mut requests);
    let objects = exchange.dump(&mut requests, |objects: &mut Vec<Object>, kind, body| {
        if kind == rtm::NEW_NEXTHOP {
            objects.extend(nexthop_message::parse(body));
        }
    });
    match objects {
        Ok(objects) => Ok(Some(Nexthops::read(&objects, protocol))),
        // Linux before 5.3.
        Err(refusal) if refusal.is(nix::Error::EOPNOTSUPP) => Ok(None),
        Err(refusal) => Err(refusal.to("read nexthop objects")),
    }
}

/// A table that nobody has written to does not exist.
pub(super) fn missing_table_is_empty<T: Default>(dumped: Result<T, Refusal>) -> Result<T, Refusal> {
    match dumped {
        Err(refusal) if refusal.is(nix::Error::ENOENT) => Ok(T::default()),
        dumped => dumped,
    }
}

/// The route in a message's body, if it is ours and of a form that we install.
fn route(ownership: Ownership, members: &BTreeMap<u32, Target>, body: &[u8]) -> Option<Route> {
    let reply = Reply::parse(body).filter(|reply| reply.table == ownership.table)?;
    let group = reply.nexthop.and_then(|id| Some((GroupId(id), members.get(&id)?)));
    let (group, target) = match group {
        Some((id, members)) => (Some(id), members.clone()),
        None => (None, reply.target()?),
    };
    Some(Route { prefix: reply.prefix, target, metric: reply.metric, group })
}

/// One route for each prefix and metric, in order.
fn one_for_each_key(mut routes: Vec<Route>) -> Vec<Route> {
    // Dumps are almost in order. Stable, since of several IPv4 routes the first is the one that forwards.
    routes.sort_by_key(|route| (route.prefix, route.metric));
    routes.dedup_by(|more, route| {
        let same = (more.prefix, more.metric) == (route.prefix, route.metric);
        // Some kernels describe each next hop of an IPv6 route in a message of its own.
        if let (true, Family::Ipv6Unicast, Target::Via(more), Target::Via(hops)) =
            (same, route.prefix.family(), &more.target, &mut route.target)
        {
            hops.extend(more);
            hops.sort_unstable();
            hops.dedup();
        }
        same
    });
    routes
}
