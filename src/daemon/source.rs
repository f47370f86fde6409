//! How the API and the metrics look at the speaker: by a question that the driver answers in turn. All
//! routes are asked for in portions, between which the driver does its work.

use tokio::sync::{mpsc, oneshot};

use super::input::Input;
use crate::api::{Destinations, RouteFilter, Source, TableFilter, Unavailable};
use crate::speaker::Speaker;
use crate::speaker::peer_table::{Cursor, Portion};
use crate::speaker::view::{FibRouteView, PeerView, RouteView, Summary};
use crate::time::Instant;

/// Destinations that the driver looks at in one go: some 20 ms of its time.
const PORTION: usize = 8192;

/// A handle on the driver for those who only look.
#[derive(Debug, Clone)]
pub struct Look {
    inputs: mpsc::Sender<Input>,
}

impl Look {
    /// A handle on the driver behind `inputs`.
    pub fn new(inputs: mpsc::Sender<Input>) -> Look {
        Look { inputs }
    }

    /// Asks the driver.
    ///
    /// # Errors
    /// The driver is gone.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Speaker, Instant) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let query = Box::new(move |speaker: &Speaker, now: Instant| {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(question(speaker, now));
        });
        let stopping = || Unavailable("the daemon is stopping".to_owned());
        self.inputs.send(Input::Query(query)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }
}

impl Source for Look {
    async fn alive(&self) -> Result<(), Unavailable> {
        self.ask(|_, _| ()).await
    }

    async fn summary(&self) -> Result<Summary, Unavailable> {
        let unconfigured = || Unavailable("no valid configuration has been read yet".to_owned());
        self.ask(|speaker, _| speaker.summary()).await?.ok_or_else(unconfigured)
    }

    async fn peers(&self) -> Result<Vec<PeerView>, Unavailable> {
        self.ask(|speaker, now| speaker.peers(now)).await
    }

    async fn routes(&self, filter: RouteFilter) -> Result<Vec<RouteView>, Unavailable> {
        if filter.destinations != Destinations::All {
            return self.ask(move |speaker, _| speaker.routes(|prefix| filter.wants(prefix))).await;
        }
        let (mut routes, mut next) = (vec![], Some(Cursor::default()));
        while let Some(from) = next {
            let question = move |speaker: &Speaker, _: Instant| {
                speaker.routes_portion(|prefix| filter.wants(prefix), from, PORTION)
            };
            let portion = self.ask(question).await?;
            routes.extend(portion.routes);
            next = portion.next;
        }
        let sorted = tokio::task::spawn_blocking(move || {
            routes.sort_unstable_by_key(|route| route.prefix);
            routes
        });
        sorted.await.map_err(|error| Unavailable(format!("sorting the routes: {error}")))
    }

    async fn peer_table(&self, asked: &TableFilter, from: Cursor) -> Result<Option<Portion>, Unavailable> {
        let asked = asked.clone();
        let question = move |speaker: &Speaker, _: Instant| {
            speaker.peer_table(&asked.peer, asked.table, |prefix| asked.wants(prefix), from)
        };
        self.ask(question).await
    }

    async fn fib(&self) -> Result<Vec<FibRouteView>, Unavailable> {
        self.ask(|speaker, _| speaker.fib()).await
    }
}
