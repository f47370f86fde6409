//! Which kernel routes are ours, and what all others say about the way to a next hop.
//!
//! Only reads. Routes of ours are written by [`super::installer`] and read by [`super::found`].

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteHeader, RouteMessage, RouteType};

use super::route_message::{self as wire, Exit};
use super::{Error, Netlink};
use crate::prefix::Family;
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
            for message in self.table(family, table).await? {
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

    /// The routes of one table, of everybody.
    async fn table(&self, family: Family, table: u32) -> Result<Vec<RouteMessage>, Error> {
        let request = RouteNetlinkMessage::GetRoute(wire::dump(family, table));
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
