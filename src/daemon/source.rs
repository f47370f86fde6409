//! How the API and the metrics reach the speaker: by a question, or an order, that the driver takes in turn.
//! All routes are asked for in portions, between which the driver does its work. An audit reads the kernel
//! by itself, and asks the driver to compare.

use tokio::sync::{mpsc, oneshot, watch};

use super::audit::Audits;
use super::input::Input;
use super::objects::Objects;
use crate::api::{
    Destinations, FirewallView, KernelView, ObjectsView, PodsView, RouteFilter, RuleView, SettingView,
    Source, TableFilter, Unavailable,
};
use crate::fib::Difference;
use crate::kernel::routes::Ownership;
use crate::speaker::peer_table::{Cursor, Portion};
use crate::speaker::view::{FibRouteView, PeerView, RouteView, Summary};
use crate::speaker::{DrainTerms, DrainView, Speaker};
use crate::time::Instant;

/// Destinations that the driver looks at in one go: some 20 ms of its time.
const PORTION: usize = 8192;

/// A handle on the driver for those who only look.
#[derive(Debug, Clone)]
pub struct Look {
    inputs: mpsc::Sender<Input>,
    settings: watch::Receiver<Vec<SettingView>>,
    rules: watch::Receiver<Vec<RuleView>>,
    pods: watch::Receiver<PodsView>,
    firewall: watch::Receiver<FirewallView>,
    objects: Objects,
    audits: Audits,
}

impl Look {
    /// A handle on the driver behind `inputs`, and on what those have found who look after settings,
    /// rules and pods; `objects` is where the objects come from, `ownership` which kernel routes are ours.
    pub fn new(
        inputs: mpsc::Sender<Input>,
        settings: watch::Receiver<Vec<SettingView>>,
        rules: watch::Receiver<Vec<RuleView>>,
        pods: watch::Receiver<PodsView>,
        firewall: watch::Receiver<FirewallView>,
        objects: Objects,
        ownership: watch::Receiver<Ownership>,
    ) -> Look {
        Look { inputs, settings, rules, pods, firewall, objects, audits: Audits::new(ownership) }
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
        self.send(Input::Query(query)).await?;
        answer.await.map_err(|_| stopping())
    }

    /// What audits have found.
    pub fn audits(&self) -> &Audits {
        &self.audits
    }

    /// Has the driver do something, which is refused while there is no configuration to do it with.
    ///
    /// # Errors
    /// The driver is gone, or there is no configuration.
    async fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Speaker, Instant) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let order = Box::new(move |speaker: &mut Speaker, now: Instant| {
            let done = speaker.is_configured().then(|| order(speaker, now));
            // Whoever asked may have stopped waiting.
            let _ = reply.send(done);
        });
        self.send(Input::Order(order)).await?;
        answer.await.map_err(|_| stopping())?.ok_or_else(unconfigured)
    }

    /// Hands the driver an input.
    ///
    /// # Errors
    /// The driver is gone.
    pub async fn send(&self, input: Input) -> Result<(), Unavailable> {
        self.inputs.send(input).await.map_err(|_| stopping())
    }
}

fn stopping() -> Unavailable {
    Unavailable("the daemon is stopping".to_owned())
}

pub(super) fn unconfigured() -> Unavailable {
    Unavailable("no valid configuration has been read yet".to_owned())
}

impl Source for Look {
    async fn alive(&self) -> Result<(), Unavailable> {
        self.ask(|_, _| ()).await
    }

    async fn summary(&self) -> Result<Summary, Unavailable> {
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

    fn kernel(&self) -> KernelView {
        KernelView {
            settings: self.settings.borrow().clone(),
            rules: self.rules.borrow().clone(),
            differences: self.audits.last(),
        }
    }

    fn pods(&self) -> PodsView {
        PodsView { firewall: self.firewall.borrow().clone(), ..self.pods.borrow().clone() }
    }

    fn objects(&self) -> ObjectsView {
        self.objects.view()
    }

    async fn fib(&self) -> Result<Vec<FibRouteView>, Unavailable> {
        self.ask(|speaker, _| speaker.fib()).await
    }

    async fn audit(&self) -> Result<Vec<Difference>, Unavailable> {
        Ok(self.audits.audit(self).await?.0)
    }

    async fn drain(&self) -> Result<Option<DrainView>, Unavailable> {
        self.ask(|speaker, _| speaker.drain_view()).await
    }

    async fn start_drain(&self, terms: DrainTerms) -> Result<bool, Unavailable> {
        self.order(|speaker, now| speaker.handle_drain(now, terms)).await
    }

    async fn undrain(&self) -> Result<bool, Unavailable> {
        self.order(Speaker::handle_undrain).await
    }
}
