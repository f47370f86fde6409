//! One peer's tables: its Adj-RIB-In before and after import policy, what that rejected and why, and
//! its Adj-RIB-Out; and the whole table.
//!
//! A table may be large, so it is shown in portions: whoever asks comes back with the [`Cursor`] of the
//! one before. Between portions the table may change; what comes or goes meanwhile may be missed.

use std::borrow::Cow;

use super::Speaker;
use super::settle::Facts;
use super::view::{PathView, RouteView};
use crate::bgp::{PathAttributes, PathId, PathNlri};
use crate::prefix::{Family, Prefix};
use crate::rib::loc_rib::{Destination, Place};
use crate::rib::{Path, PeerId, Rejection, Source};

/// How many destinations are looked at for one portion.
const PORTION: usize = 2048;

/// Which of a peer's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdjRib {
    /// Adj-RIB-In before policy: all that the peer has announced, as it did.
    Received,
    /// Of these, what does not take part in the decision, each with its reason.
    Rejected,
    /// Of these, what policy has accepted, as it has changed it.
    Accepted,
    /// Adj-RIB-Out: what the peer has been told.
    Announced,
}

/// Where a portion begins.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    family: Family,
    after: Option<Place>,
}

impl Default for Cursor {
    /// The beginning.
    fn default() -> Cursor {
        Cursor { family: Family::Ipv4Unicast, after: None }
    }
}

/// Part of a table. In one peer's tables, the paths of a destination are those of the peer.
#[derive(Debug, Clone, Default)]
pub struct Portion {
    /// Destinations, in no order.
    pub routes: Vec<RouteView>,
    /// Where the next portion begins; `None` behind the last.
    pub next: Option<Cursor>,
}

impl Speaker {
    /// A portion of one of a peer's tables, as far as it is `wanted`; `None` if there is no such peer.
    pub fn peer_table(
        &self,
        peer: &str,
        table: AdjRib,
        wanted: impl Fn(Prefix) -> bool,
        from: Cursor,
    ) -> Option<Portion> {
        let id = *self.names.get(peer)?;
        let (places, next) = self.places(from, PORTION);
        let found = places.iter().map(|place| self.rib.at(*place)).filter(|(prefix, _)| wanted(*prefix));
        let view = |(prefix, destination): (Prefix, &Destination)| {
            let paths = self.entries(peer, id, table, prefix, destination);
            (!paths.is_empty()).then_some(RouteView { prefix, decided_by: None, paths })
        };
        Some(Portion { routes: found.filter_map(view).collect(), next })
    }

    /// A portion of all destinations with their paths, the best first, as far as they are `wanted`: those
    /// among the next `most`.
    pub fn routes_portion(&self, wanted: impl Fn(Prefix) -> bool, from: Cursor, most: usize) -> Portion {
        let (places, next) = self.places(from, most);
        let found = places.iter().map(|place| self.rib.at(*place)).filter(|(prefix, _)| wanted(*prefix));
        let named = self.names_paths(from.family);
        let view = |(prefix, destination)| self.route_view(prefix, destination, named);
        Portion { routes: found.filter_map(view).collect(), next }
    }

    /// Where the next `most` destinations lie, and where to go on behind them.
    fn places(&self, from: Cursor, most: usize) -> (Vec<Place>, Option<Cursor>) {
        let places = self.rib.walk(from.family, from.after, most);
        let next = match places.last() {
            Some(last) if places.len() == most => Some(Cursor { after: Some(*last), ..from }),
            _ => match from.family {
                Family::Ipv4Unicast => Some(Cursor { family: Family::Ipv6Unicast, after: None }),
                Family::Ipv6Unicast => None,
            },
        };
        (places, next)
    }

    /// What one of a peer's tables has for a destination.
    fn entries(
        &self,
        name: &str,
        id: PeerId,
        table: AdjRib,
        prefix: Prefix,
        destination: &Destination,
    ) -> Vec<PathView> {
        let view = |attributes: &PathAttributes| PathView {
            peer: Some(name.to_owned()),
            path_id: None,
            told_as: None,
            attributes: attributes.clone(),
            changed: None,
            best: false,
            multipath: false,
            stale: false,
            ineligible: None,
        };
        let Some(peer) = self.peers.get(&id) else { return vec![] };
        if table == AdjRib::Announced {
            let told = self.told(id, prefix).into_iter();
            return told.map(|(told_as, attributes)| PathView { told_as, ..view(attributes) }).collect();
        }
        let source = Source::Peer(id);
        let named = self.bears_identifier(prefix.family(), source);
        let received = destination.paths().iter().filter(|path| path.source == source);
        let entry = |path: &Path| {
            let ineligible = self.facts().and_then(|facts| facts.ineligible(prefix, path));
            let attributes = match table {
                AdjRib::Rejected if ineligible.is_none() => return None,
                AdjRib::Accepted if path.rejected.is_some() => return None,
                AdjRib::Accepted => &path.attributes,
                _ => path.received(),
            };
            Some(PathView {
                path_id: Some(path.path_id).filter(|_| named),
                best: destination.best().is_some_and(|best| std::ptr::eq(best, path)),
                stale: peer.is_stale(PathNlri { prefix, id: path.path_id }),
                ineligible,
                ..view(attributes)
            })
        };
        received.filter_map(entry).collect()
    }

    /// What a peer has been told of a prefix; with identifiers, where its paths have them.
    pub(super) fn told(&self, id: PeerId, prefix: Prefix) -> Vec<(Option<PathId>, &PathAttributes)> {
        let alone = self.rib.find(prefix).and_then(|place| self.groups.told(id, place));
        let named = self.peers.get(&id).into_iter().flat_map(|peer| peer.out.told(prefix));
        let named = named.map(|(path, attributes)| (Some(path), attributes));
        alone.map(|attributes| (None, attributes)).into_iter().chain(named).collect()
    }

    fn facts(&self) -> Option<Facts<'_>> {
        Some(Facts::new(self.intent.as_ref()?, &self.peers, &self.next_hops, self.presence()))
    }
}

impl Facts<'_> {
    /// Why a path takes no part in the decision, where it does not; with the rule that rejected it, if
    /// one did.
    pub(super) fn ineligible(&self, prefix: Prefix, path: &Path) -> Option<Cow<'static, str>> {
        let why = self.candidate(path).err()?;
        let rule = || {
            let Source::Peer(id) = path.source else { return None };
            self.peers.get(&id)?.intent.import.rejected_by(prefix, path.received())
        };
        match path.rejected {
            Some(Rejection::ImportPolicy) => Some(
                rule().map_or(why.into(), |index| format!("import rule {} rejects it", index + 1).into()),
            ),
            _ => Some(why.into()),
        }
    }
}
