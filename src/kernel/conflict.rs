//! Whose a route is that stands where one of ours is to go.
//!
//! Only reads. The kernel can be asked which route packets to an address take, but not for the route of
//! one prefix and metric. Mostly the answer to the first question is that route; otherwise the
//! whole table has to be read, once for all that are in doubt.

use std::collections::BTreeMap;

use super::Error;
use super::exchange::Exchange;
use super::found::missing_table_is_empty;
use super::frame::Requests;
use super::refusal::Refusal;
use super::route_reply::{Reply, is_of};
use super::route_request as wire;
use super::routes::Ownership;
use super::rtm;
use crate::fib::Route;
use crate::prefix::{Family, Prefix};

/// With more in doubt than this, reading the table is quicker than asking for each.
const SINGLY: usize = 64;

/// What the kernel keeps one route for.
type Key = (Prefix, u32);

/// Whether each of these routes may replace what stands in its place: it is ours, or gone by now.
///
/// # Errors
/// The table could not be read.
pub(super) fn look(
    exchange: &mut Exchange,
    ownership: Ownership,
    taken: &[(usize, &Route)],
) -> Result<Vec<Result<(), Error>>, Error> {
    let mut owners: BTreeMap<Key, Option<String>> = BTreeMap::new();
    if taken.len() <= SINGLY {
        for (_, route) in taken {
            if let Some(verdict) = probe(exchange, ownership, route) {
                owners.insert((route.prefix, route.metric), verdict);
            }
        }
    }
    let doubtful: Vec<Key> = (taken.iter().map(|(_, route)| (route.prefix, route.metric)))
        .filter(|key| !owners.contains_key(key))
        .collect();
    for family in Family::ALL {
        let of_family = || doubtful.iter().filter(|(prefix, _)| prefix.family() == family);
        if of_family().next().is_none() {
            continue;
        }
        let found = read(exchange, ownership, family, of_family());
        owners.extend(found.map_err(|refusal| refusal.to("see whose route stands there already"))?);
    }
    let verdict = |route: &Route| match owners.get(&(route.prefix, route.metric)) {
        Some(Some(owner)) => {
            Err(Error::ForeignRoute { prefix: route.prefix, metric: route.metric, owner: owner.clone() })
        }
        _ => Ok(()),
    };
    Ok(taken.iter().map(|(_, route)| verdict(route)).collect())
}

/// Asks for the route to the prefix's first address. If that is the one in question: its owner, where it is
/// not ours.
fn probe(exchange: &mut Exchange, ownership: Ownership, route: &Route) -> Option<Option<String>> {
    let mut requests = Requests::default();
    wire::look_up(&mut requests, route.prefix.address());
    let mut verdict = None;
    let answer = exchange.query(&requests, |kind, body| {
        let Some(reply) = Reply::parse(body).filter(|_| kind == rtm::NEW_ROUTE) else { return };
        if is_at(&reply, ownership, route) {
            verdict = Some((reply.protocol != ownership.protocol).then(|| reply.owner()));
        }
    });
    // An unreachable route answers with an error: that is told from nothing by the table.
    answer.ok()?;
    // In IPv6 somebody else's may stand behind ours, and would go with it.
    verdict.filter(|owner| owner.is_some() || route.prefix.family() == Family::Ipv4Unicast)
}

fn is_at(reply: &Reply, ownership: Ownership, route: &Route) -> bool {
    (reply.prefix, reply.metric, reply.table) == (route.prefix, route.metric, ownership.table)
}

/// Who else has routes for these keys, from the whole table.
fn read<'a>(
    exchange: &mut Exchange,
    ownership: Ownership,
    family: Family,
    keys: impl Iterator<Item = &'a Key>,
) -> Result<BTreeMap<Key, Option<String>>, Refusal> {
    let mut owners: BTreeMap<Key, Option<String>> = keys.map(|key| (*key, None)).collect();
    let mut requests = Requests::default();
    const ANYBODY: u8 = 0;
    wire::dump(&mut requests, family, ownership.table, ANYBODY);
    let foreign = exchange.dump(&mut requests, |foreign: &mut Vec<(Key, String)>, kind, body| {
        if kind != rtm::NEW_ROUTE || is_of(ownership.protocol, body) {
            return;
        }
        let Some(reply) = Reply::parse(body) else { return };
        let key = (reply.prefix, reply.metric);
        if reply.table == ownership.table && owners.contains_key(&key) {
            foreign.push((key, reply.owner()));
        }
    });
    for (key, owner) in missing_table_is_empty(foreign)? {
        owners.insert(key, Some(owner));
    }
    Ok(owners)
}
