//! Where the API's answers come from.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use super::kernel::KernelView;
use super::objects::ObjectsView;
use super::pods::PodsView;
use crate::fib::Difference;
use crate::prefix::{Family, Prefix};
use crate::speaker::peer_table::{AdjRib, Cursor, Portion};
use crate::speaker::view::{FibRouteView, PeerView, RouteView, Summary};
use crate::speaker::{DrainTerms, DrainView};

/// A speaker that can be looked at, and drained. The daemon implements it by asking its driver.
pub trait Source: Send + Sync + 'static {
    /// That somebody is there to ask. Sufficient for a health check, unlike the rest: a speaker
    /// without a configuration is alive, but has no summary.
    fn alive(&self) -> impl Future<Output = Result<(), Unavailable>> + Send {
        async { self.peers().await.map(drop) }
    }

    /// The whole speaker in a few numbers.
    fn summary(&self) -> impl Future<Output = Result<Summary, Unavailable>> + Send;

    /// Every peer, by name.
    fn peers(&self) -> impl Future<Output = Result<Vec<PeerView>, Unavailable>> + Send;

    /// The destinations that `filter` [wants](RouteFilter::wants), by family, then by prefix.
    fn routes(&self, filter: RouteFilter)
    -> impl Future<Output = Result<Vec<RouteView>, Unavailable>> + Send;

    /// A portion of one of a peer's tables; `None` if there is no such peer.
    fn peer_table(
        &self,
        asked: &TableFilter,
        from: Cursor,
    ) -> impl Future<Output = Result<Option<Portion>, Unavailable>> + Send;

    /// How the kernel stands beside its routes. Known without asking the speaker.
    fn kernel(&self) -> KernelView {
        KernelView::default()
    }

    /// How pods are attached. Known without asking the speaker.
    fn pods(&self) -> PodsView {
        PodsView::default()
    }

    /// Where the objects come from. Known without asking the speaker.
    fn objects(&self) -> ObjectsView {
        ObjectsView::default()
    }

    /// Every route of ours, by prefix.
    fn fib(&self) -> impl Future<Output = Result<Vec<FibRouteView>, Unavailable>> + Send;

    /// Where the kernel's routes, read back, differ from what is desired. May take as long as reading them
    /// twice does: seconds for a million.
    fn audit(&self) -> impl Future<Output = Result<Vec<Difference>, Unavailable>> + Send;

    /// How far a drain has come; `None` where there is none.
    fn drain(&self) -> impl Future<Output = Result<Option<DrainView>, Unavailable>> + Send;

    /// Begins a drain, and returns whether it has begun with this; else there was one already.
    fn start_drain(&self, terms: DrainTerms) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// Takes a drain back that was asked for by hand, and returns whether one has ended by that.
    fn undrain(&self) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

/// The speaker gives no answer: it has no configuration yet, is stopping, or is stuck.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Which routes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteFilter {
    /// Only this family.
    pub family: Option<Family>,
    /// Only these destinations.
    pub destinations: Destinations,
}

/// Which part of which table of which peer is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFilter {
    /// The peer's name.
    pub peer: String,
    /// Which of its tables.
    pub table: AdjRib,
    /// Only this family.
    pub family: Option<Family>,
    /// Only what lies inside this prefix.
    pub within: Option<Prefix>,
}

impl TableFilter {
    /// Whether a destination passes.
    pub fn wants(&self, prefix: Prefix) -> bool {
        self.within.is_none_or(|within| within.contains(prefix))
            && self.family.is_none_or(|family| prefix.family() == family)
    }
}

/// Which destinations are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Destinations {
    /// Every one.
    #[default]
    All,
    /// This prefix alone.
    Exactly(Prefix),
    /// The most specific prefix that covers this address.
    Covering(IpAddr),
}

impl RouteFilter {
    /// Whether a destination passes. Of several that cover an address, the API keeps the most
    /// specific one by itself.
    pub fn wants(&self, prefix: Prefix) -> bool {
        let destination = match self.destinations {
            Destinations::All => true,
            Destinations::Exactly(wanted) => prefix == wanted,
            Destinations::Covering(address) => prefix.contains_address(address),
        };
        destination && self.family.is_none_or(|family| prefix.family() == family)
    }

    /// Reduces what passed to what was asked for.
    pub(super) fn narrow(&self, routes: &mut Vec<RouteView>) {
        if let Destinations::Covering(_) = self.destinations {
            let longest = routes.iter().map(|route| route.prefix.length()).max();
            routes.retain(|route| Some(route.prefix.length()) == longest);
        }
    }
}

/// Waits for an answer of a [`Source`], but not for ever.
///
/// # Errors
/// The source's own, or that `limit` has passed.
pub(crate) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Unavailable>>,
) -> Result<T, Unavailable> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(Unavailable(format!("the speaker gave no answer within {limit:?}"))))
}
