//! Where a route enters the kernel: our routes in one table, told apart by protocol number.
//!
//! The kernel keeps one route per prefix and metric, whoever made it: `NLM_F_REPLACE` overwrites
//! another program's route without asking, in IPv4 and in IPv6, and so does every tool that uses
//! it. Therefore routes are first asked for with `NLM_F_EXCL`, which can overwrite nothing. Only
//! those that the kernel answers with "exists" are looked at, and replaced where what exists is
//! ours; anybody else's stays, and the change fails with its owner's name.
//!
//! What else had to be found out about Linux (6.1 to 6.18):
//!
//! - A replacement takes the place of a route of any form, in both families: one next hop by many,
//!   many by an unreachable one, and back. A removal without next hops takes all of them.
//! - IPv6 knows no metric 0: it becomes 1024. Such an install is refused here, for we would not
//!   recognise the route again.
//! - IPv4 routes go silently when their link is set down or deleted; IPv6 routes with a notice.

use std::collections::BTreeMap;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteHeader, RouteMessage, RouteType};

use super::netlink::Refusal;
use super::route_message::{self as wire, Exit};
use super::{Error, Netlink};
use crate::fib::{Change, Route, Target};
use crate::prefix::{Family, Prefix};
use crate::rib::next_hop::UnderlayRoute;

/// Which kernel routes are ours. Routes outside are read for next-hop resolution alone and touched
/// by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// Routing table id; 254 is `main`.
    pub table: u32,
    /// Protocol number (`rtm_protocol`).
    pub protocol: u8,
}

impl Netlink {
    /// Applies a batch of changes and returns one result for each, in order. A failed change does
    /// not hold back the rest. A prefix and metric may occur once in a batch: replacements are made
    /// after everything else.
    pub async fn apply_routes(&self, ownership: Ownership, changes: &[Change]) -> Vec<Result<(), Error>> {
        let requests = changes
            .iter()
            .filter(|change| !is_unspeakable(change))
            .filter_map(|change| match change {
                Change::Install(route) | Change::Replace(route) => Some(create(ownership, route)),
                Change::Remove { prefix, metric } => {
                    Some((RouteNetlinkMessage::DelRoute(wire::remove(ownership, *prefix, *metric)), 0))
                }
                Change::SetGroup(_) | Change::RemoveGroup(_) => None,
            })
            .collect();
        let mut answers = self.changes(requests).await.into_iter();
        let mut results = Vec::with_capacity(changes.len());
        let mut taken = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            let Some(prefix) = change.prefix() else {
                results.push(Ok(()));
                continue;
            };
            if is_unspeakable(change) {
                results.push(Err(Error::MetricZero { prefix }));
                continue;
            }
            let answer = answers.next().unwrap_or_else(|| Err(Refusal::closed()));
            results.push(match (change, answer) {
                (_, Ok(())) => Ok(()),
                (Change::Remove { .. }, Err(refusal)) if refusal.is(nix::Error::ESRCH) => Ok(()),
                (Change::Install(route) | Change::Replace(route), Err(refusal))
                    if refusal.is(nix::Error::EEXIST) =>
                {
                    taken.push((index, route));
                    Ok(())
                }
                (_, Err(refusal)) => Err(refusal.to(change)),
            });
        }
        if !taken.is_empty() {
            self.replace(ownership, &taken, &mut results).await;
        }
        results
    }

    /// All routes of ours, of both families, by prefix and metric. Next hops carry the interface
    /// that the kernel found for them.
    ///
    /// # Errors
    /// The dump failed or was interrupted too often to be consistent.
    pub async fn our_routes(&self, ownership: Ownership) -> Result<Vec<Route>, Error> {
        let mut found: BTreeMap<(Prefix, u32), Target> = BTreeMap::new();
        for family in Family::ALL {
            for message in self.table(family, ownership.table, Some(ownership.protocol)).await? {
                let Some(route) = wire::route(&message).filter(|_| wire::is_ours(ownership, &message)) else {
                    continue;
                };
                let known = found.entry((route.prefix, route.metric)).or_insert_with(|| route.target.clone());
                // Some kernels describe each next hop of an IPv6 route in a message of its own. Of
                // several IPv4 routes the first is the one that forwards.
                if let (Family::Ipv6Unicast, Target::Via(hops), Target::Via(more)) =
                    (family, known, route.target)
                {
                    *hops = wire::sorted([hops.as_slice(), &more].concat());
                }
            }
        }
        Ok(found
            .into_iter()
            .map(|((prefix, metric), target)| Route { prefix, target, metric, group: None })
            .collect())
    }

    /// The routes that next hops are resolved by: every unicast route of our table and of `main`
    /// that is not ours and whose link works now. A route with several next hops comes as several.
    ///
    /// # Errors
    /// The dump failed or was interrupted too often to be consistent.
    pub async fn underlay(&self, ownership: Ownership) -> Result<Vec<UnderlayRoute>, Error> {
        let working: Vec<u32> = (self.links().await?.iter())
            .filter(|link| link.up && link.carrier)
            .map(|link| link.index)
            .collect();
        let works = |exit: &Exit| {
            !exit.dead && exit.interface.is_none_or(|index| working.binary_search(&index).is_ok())
        };
        let mut tables = vec![u32::from(RouteHeader::RT_TABLE_MAIN), ownership.table];
        tables.dedup();
        let mut underlay = Vec::new();
        for (table, family) in tables.iter().flat_map(|table| Family::ALL.map(|family| (*table, family))) {
            for message in self.table(family, table, None).await? {
                if wire::is_ours(ownership, &message) || message.header.kind != RouteType::Unicast {
                    continue;
                }
                let Some((prefix, metric)) = wire::key(&message) else { continue };
                underlay.extend(wire::exits(&message).into_iter().filter(works).map(|exit| UnderlayRoute {
                    prefix,
                    via: exit.via,
                    interface: exit.interface,
                    metric,
                }));
            }
        }
        Ok(underlay)
    }

    /// Replaces what exists for these routes, each with its place in `results`, where it is ours. (Who
    /// deletes ours and puts his in its place between our look and our replacement loses his: the
    /// kernel has no way to ask for both at once.)
    async fn replace(
        &self,
        ownership: Ownership,
        taken: &[(usize, &Route)],
        results: &mut [Result<(), Error>],
    ) {
        let existing = match self.existing(ownership.table, taken).await {
            Ok(existing) => existing,
            Err(error) => {
                let reason = error.to_string();
                for (index, route) in taken {
                    results[*index] = Err(Error::Netlink {
                        what: format!("see whose route to {} metric {} is", route.prefix, route.metric),
                        source: std::io::Error::other(reason.clone()),
                    });
                }
                return;
            }
        };
        let mut replacements = Vec::new();
        for (index, route) in taken {
            let holders = existing.get(&(route.prefix, route.metric)).map_or(&[][..], Vec::as_slice);
            if let Some(other) = holders.iter().find(|message| !wire::is_ours(ownership, message)) {
                results[*index] = Err(Error::ForeignRoute {
                    prefix: route.prefix,
                    metric: route.metric,
                    owner: wire::owner(other.header.protocol),
                });
            } else if holders.len() != 1 || wire::route(&holders[0]).as_ref() != Some(*route) {
                replacements.push((*index, *route));
            }
        }
        let requests = replacements
            .iter()
            .map(|(_, route)| (create(ownership, route).0, NLM_F_CREATE | NLM_F_REPLACE))
            .collect();
        let answers = self.changes(requests).await;
        for ((index, route), answer) in replacements.iter().zip(answers) {
            results[*index] = answer.map_err(|refusal| refusal.to(Change::Install((*route).clone())));
        }
    }

    /// Everybody's routes for the given ones' prefixes and metrics.
    async fn existing(
        &self,
        table: u32,
        of: &[(usize, &Route)],
    ) -> Result<BTreeMap<(Prefix, u32), Vec<RouteMessage>>, Error> {
        let mut existing: BTreeMap<(Prefix, u32), Vec<RouteMessage>> =
            of.iter().map(|(_, route)| ((route.prefix, route.metric), Vec::new())).collect();
        for family in Family::ALL {
            if !of.iter().any(|(_, route)| route.prefix.family() == family) {
                continue;
            }
            for message in self.table(family, table, None).await? {
                if let Some(holders) = wire::key(&message).and_then(|key| existing.get_mut(&key)) {
                    holders.push(message);
                }
            }
        }
        Ok(existing)
    }

    /// The routes of one table, of everybody or of one protocol.
    async fn table(
        &self,
        family: Family,
        table: u32,
        protocol: Option<u8>,
    ) -> Result<Vec<RouteMessage>, Error> {
        let request = RouteNetlinkMessage::GetRoute(wire::dump(family, table, protocol));
        let found = match self.dump(request).await {
            // A table that nobody has written to does not exist.
            Err(refusal) if refusal.is(nix::Error::ENOENT) => Vec::new(),
            found => found.map_err(|refusal| refusal.to(format_args!("read routing table {table}")))?,
        };
        Ok(found
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewRoute(message) if wire::table(&message) == table => Some(message),
                _ => None,
            })
            .collect())
    }
}

fn create(ownership: Ownership, route: &Route) -> (RouteNetlinkMessage, u16) {
    (RouteNetlinkMessage::NewRoute(wire::install(ownership, route)), NLM_F_CREATE | NLM_F_EXCL)
}

/// Whether the kernel would take the change to mean something else.
fn is_unspeakable(change: &Change) -> bool {
    matches!(change, Change::Install(route) | Change::Replace(route) if route.metric == 0 && route.prefix.family() == Family::Ipv6Unicast)
}
