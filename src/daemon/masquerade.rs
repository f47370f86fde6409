//! Keeps the set of destinations that see pods under their own addresses, where pods are masqueraded, and looks
//! after the nftables of which that is a part.
//!
//! The plugin and the daemon share tables of nftables ([`crate::kernel::nftables`]): what belongs to a pod is
//! the plugin's, what the whole cluster and the routers know is put in here. Tables are made where the objects
//! ask for masquerade, or by the plugin where its configuration does; nobody else has to pay for the
//! tracking of connections that they bring.
//!
//! What is learned changes with every route. New routes are told of where they are written ([`Exempt`]); here
//! all of it is asked for once a second, if it is not beyond [`MOST`] destinations, so that those go which
//! are not reached any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::exempt::{Exempt, MOST};
use super::source::Look;
use crate::api::FirewallView;
use crate::cluster::{Compiled, PodNetwork};
use crate::kernel::Error;
use crate::kernel::nftables::{News, Nftables};
use crate::prefix::Prefix;

/// How often to look whether there are tables, and what has been learned.
const EVERY: Duration = Duration::from_secs(1);
/// How often to look at all of them, and at other people's.
const THOROUGHLY: Duration = Duration::from_secs(60);

/// Who looks after it.
#[derive(Debug)]
pub struct Keeper {
    /// What the objects ask for, once the node is made so.
    prepared: watch::Receiver<Option<Arc<Compiled>>>,
    look: Arc<Look>,
    exempt: Arc<Exempt>,
    /// Something has changed in nftables.
    news: Arc<Notify>,
    told: watch::Sender<FirewallView>,
    state: State,
}

/// What a round goes on from. It goes to another thread and back, for the kernel keeps whoever asks waiting.
#[derive(Debug, Default)]
struct State {
    nftables: Option<Nftables>,
    /// There was a table in the last round.
    stands: bool,
    thorough: Option<Instant>,
    view: FirewallView,
}

impl Keeper {
    /// A keeper that tells what it finds. `prepared` is what the node has been made ready for.
    ///
    /// # Errors
    /// The thread that hears of tables could not be started.
    pub fn new(
        prepared: watch::Receiver<Option<Arc<Compiled>>>,
        look: Arc<Look>,
        exempt: Arc<Exempt>,
        told: watch::Sender<FirewallView>,
    ) -> std::io::Result<Keeper> {
        let news = Arc::new(Notify::new());
        let heard = news.clone();
        std::thread::Builder::new().name("nftables-news".to_owned()).spawn(move || hear(&heard))?;
        Ok(Keeper { prepared, look, exempt, news, told, state: State::default() })
    }

    /// Runs until the driver is gone.
    pub async fn run(mut self) {
        loop {
            let compiled = self.prepared.borrow_and_update().clone();
            if let Some(compiled) = compiled.filter(|c| !c.network.pod_cidrs.is_empty()) {
                let before = self.state.stands;
                if !self.round(compiled).await {
                    return;
                }
                if !before && self.state.stands {
                    // There is a table: what has been learned is asked for from now on.
                    continue;
                }
            }
            tokio::select! {
                changed = self.prepared.changed() => if changed.is_err() { return },
                () = self.news.notified(), if !self.state.stands => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// One look; `false` when the driver is gone.
    async fn round(&mut self, compiled: Arc<Compiled>) -> bool {
        let pods = &compiled.network.pods;
        let wanted = pods.masquerade || self.state.stands;
        self.exempt.begin_round();
        let learned = if wanted && !pods.masquerade_learned {
            match self.look.ask(|speaker, _| speaker.destinations(MOST)).await {
                Ok(learned) => learned,
                Err(_) => return false,
            }
        } else {
            Some(vec![])
        };
        let mut state = std::mem::take(&mut self.state);
        let exempt = self.exempt.clone();
        let done = tokio::task::spawn_blocking(move || {
            let outcome = state.look_after(&compiled.network.pods, learned, &exempt);
            state.tell(outcome);
            state
        });
        // The daemon is stopping.
        let Ok(state) = done.await else { return false };
        self.told.send_if_modified(|told| {
            let news = *told != state.view;
            *told = state.view.clone();
            news
        });
        self.state = state;
        true
    }
}

impl State {
    fn look_after(
        &mut self,
        pods: &PodNetwork,
        learned: Option<Vec<Prefix>>,
        exempt: &Exempt,
    ) -> Result<(), Error> {
        if self.nftables.is_none() {
            self.nftables = Some(Nftables::open()?);
        }
        let Some(nftables) = &mut self.nftables else { return Ok(()) };
        let thorough = self.thorough.is_none_or(|last| last.elapsed() >= THOROUGHLY);
        if thorough {
            self.view.dropping = nftables.dropping_forward()?;
            if nftables.repair()? {
                warn!("somebody had taken rules out of our nftables; they are back");
            }
            let gone = nftables.retain(&pods.name, |owner| owner.is_attached())?;
            if !gone.is_empty() {
                info!(pods = gone.len(), "took pods that are gone out of our nftables");
            }
            self.thorough = Some(Instant::now());
        }
        self.stands = nftables.table()?.is_some() || pods.masquerade;
        self.view.too_many_learned = learned.is_none();
        let learned = learned.filter(|_| !pods.masquerade_learned);
        let prefixes = exempt.set(&pods.exempt, learned, self.stands)?;
        self.view.exempt = self.stands.then_some(prefixes as u64);
        Ok(())
    }

    fn tell(&mut self, outcome: Result<(), Error>) {
        let fault = outcome.err().map(|error| error.to_string());
        if let Some(fault) = fault.as_ref().filter(|_| self.view.fault != fault) {
            warn!("{fault}; trying again every {EVERY:?}");
            self.nftables = None;
        }
        self.view.fault = fault;
    }
}

/// Tells of changes as long as the daemon runs. Without, a new table is found within a second.
fn hear(news: &Notify) {
    let outcome = News::subscribe().and_then(|mut subscription| {
        loop {
            subscription.wait()?;
            news.notify_one();
        }
    });
    let Err::<std::convert::Infallible, _>(error) = outcome;
    warn!("{error}; looking every {EVERY:?}");
}
