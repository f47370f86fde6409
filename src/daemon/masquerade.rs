//! Keeps the set of destinations that see pods under their own addresses, where pods are masqueraded, and looks
//! after the nftables of which that is a part.
//!
//! The plugin and the daemon share tables of nftables ([`crate::kernel::nftables`]): what belongs to a pod is
//! the plugin's, what the whole cluster and the routers know is put in here. Tables are made where the objects
//! ask for masquerade, or by the plugin where its configuration does; nobody else has to pay for the
//! tracking of connections that they bring.
//!
//! What is learned changes with every route. It is asked for a few times a minute and never in full: beyond
//! [`MOST`] destinations none of those is exempt, which still has every packet answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::source::Look;
use crate::api::FirewallView;
use crate::cluster::{Compiled, PodNetwork};
use crate::kernel::Error;
use crate::kernel::nftables::Nftables;
use crate::prefix::{self, Prefix};

/// How often to look whether there are tables, and what has been learned.
const EVERY: Duration = Duration::from_secs(1);
/// How often to look at all of them, and at other people's.
const THOROUGHLY: Duration = Duration::from_secs(60);
/// Destinations learned that can be exempt.
const MOST: usize = 8192;

/// Who looks after it.
#[derive(Debug)]
pub struct Keeper {
    /// What the objects ask for, once the node is made so.
    prepared: watch::Receiver<Option<Arc<Compiled>>>,
    look: Arc<Look>,
    told: watch::Sender<FirewallView>,
    state: State,
}

/// What a round goes on from. It goes to another thread and back, for the kernel keeps whoever asks waiting.
#[derive(Debug, Default)]
struct State {
    nftables: Option<Nftables>,
    /// What was exempt in the last round, and in which table.
    exempt: Option<(u64, Vec<Prefix>)>,
    thorough: Option<Instant>,
    view: FirewallView,
}

impl Keeper {
    /// A keeper that tells what it finds. `prepared` is what the node has been made ready for.
    pub fn new(
        prepared: watch::Receiver<Option<Arc<Compiled>>>,
        look: Arc<Look>,
        told: watch::Sender<FirewallView>,
    ) -> Keeper {
        Keeper { prepared, look, told, state: State::default() }
    }

    /// Runs until the driver is gone.
    pub async fn run(mut self) {
        loop {
            let compiled = self.prepared.borrow_and_update().clone();
            if let Some(compiled) = compiled.filter(|c| !c.network.pod_cidrs.is_empty()) {
                let before = self.state.exempt.is_some();
                if !self.round(compiled).await {
                    return;
                }
                if !before && self.state.exempt.is_some() {
                    // There is a table: what has been learned is asked for from now on.
                    continue;
                }
            }
            tokio::select! {
                changed = self.prepared.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// One look; `false` when the driver is gone.
    async fn round(&mut self, compiled: Arc<Compiled>) -> bool {
        let pods = &compiled.network.pods;
        let wanted = pods.masquerade || self.state.exempt.is_some();
        let learned = if wanted && !pods.masquerade_learned {
            match self.look.ask(|speaker, _| speaker.destinations(MOST)).await {
                Ok(learned) => learned,
                Err(_) => return false,
            }
        } else {
            Some(vec![])
        };
        let mut state = std::mem::take(&mut self.state);
        let done = tokio::task::spawn_blocking(move || {
            let outcome = state.look_after(&compiled.network.pods, learned);
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
    fn look_after(&mut self, pods: &PodNetwork, learned: Option<Vec<Prefix>>) -> Result<(), Error> {
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
        let table = nftables.table()?;
        if table.is_none() && !pods.masquerade {
            self.exempt = None;
            self.view.exempt = None;
            return Ok(());
        }
        self.view.too_many_learned = learned.is_none();
        let exempt = prefix::aggregate(pods.exempt.iter().copied().chain(learned.unwrap_or_default()));
        let is_so = self.exempt.as_ref().is_some_and(|(of, is)| Some(*of) == table && *is == exempt);
        if !is_so {
            nftables.set_exempt(&exempt)?;
            self.view.exempt = Some(exempt.len() as u64);
            self.exempt = nftables.table()?.map(|table| (table, exempt));
        }
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
