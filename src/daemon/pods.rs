//! Looks after what pods are attached with: the container runtime's configuration, and the addresses.
//!
//! The configuration is written when the node can take pods for the first time since the daemon started, and
//! again whenever it is not as it should be. It stays when the node cannot take any for a while: a runtime
//! without one cannot let go of a pod either.

use std::path::Path;
use std::sync::Arc;

use rtnetlink::MulticastGroup;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::http::Readiness;
use super::options::Paths;
use super::pools;
use super::rounds::Rounds;
use super::sweep::Sweeper;
use crate::api::{CniConfigView, PodsView, PoolView};
use crate::cluster::objects::cni::Mode;
use crate::cluster::{Compiled, PodNetwork};
use crate::cni::conflist::{self, Conflist};
use crate::ipam::Store;
use crate::ipam::node::FILE_NAME;

/// Links come and go with pods.
const LINKS: &[MulticastGroup] = &[MulticastGroup::Link];

/// Who looks after it.
#[derive(Debug)]
pub struct Keeper {
    paths: Paths,
    /// What the objects ask for, once the node is made so.
    prepared: watch::Receiver<Option<Arc<Compiled>>>,
    readiness: watch::Receiver<Readiness>,
    /// The node could take pods, if only for a while.
    was_ready: bool,
    sweeper: Sweeper,
    /// What has been found, for the API and the metrics.
    told: watch::Sender<PodsView>,
    /// Whom to ask to prepare the node anew: nobody needs a former gateway any more.
    prepare: Arc<Notify>,
}

impl Keeper {
    /// A keeper, and what it finds. `prepared` is what the node has been made ready for; by `prepare` it asks
    /// for the node to be prepared anew.
    pub fn new(
        paths: Paths,
        prepared: watch::Receiver<Option<Arc<Compiled>>>,
        readiness: watch::Receiver<Readiness>,
        prepare: Arc<Notify>,
    ) -> (Keeper, watch::Receiver<PodsView>) {
        let (told, seen) = watch::channel(PodsView::default());
        (
            Keeper {
                paths,
                prepared,
                readiness,
                was_ready: false,
                sweeper: Sweeper::default(),
                told,
                prepare,
            },
            seen,
        )
    }

    /// Runs until nobody makes the node ready any more.
    pub async fn run(mut self) {
        let mut rounds = Rounds::begin(self.prepared.clone(), LINKS, "pods");
        loop {
            let in_order = match rounds.look() {
                Some(compiled) => self.look_after(&compiled).await,
                None => true,
            };
            tokio::select! {
                told = rounds.next(in_order) => if !told { return },
                told = self.readiness.changed() => if told.is_err() { return },
            }
        }
    }

    /// Puts in place what is missing, and tells what there is; `false` if something is not as it should be.
    async fn look_after(&mut self, compiled: &Compiled) -> bool {
        self.was_ready |= *self.readiness.borrow_and_update() == Readiness::Ready;
        let config = self.paths.cni_config.as_deref().map(|path| self.keep_config(path, compiled));
        let pools = match self.paths.cni_data_dir.clone() {
            Some(data_dir) => self.keep_addresses(&data_dir, &compiled.network.pods.name).await,
            None => vec![],
        };
        if pools.iter().any(|pool| pool.former && pool.taken == 0) {
            self.prepare.notify_one();
        }
        let in_order = config.as_ref().is_none_or(|config| config.in_place);
        let view = PodsView { config, pools, swept: self.sweeper.freed(), ..PodsView::default() };
        self.told.send_if_modified(|told| {
            let news = *told != view;
            *told = view;
            news
        });
        in_order
    }

    /// Frees what pods that are gone have left, and counts the rest.
    async fn keep_addresses(&mut self, data_dir: &Path, network: &str) -> Vec<PoolView> {
        self.sweeper.sweep(data_dir, network).await;
        let store = Store::new(data_dir, network);
        pools::count(&store, &self.paths.state_dir.join(FILE_NAME)).unwrap_or_else(|error| {
            warn!("how many addresses are taken is not known: {error}");
            vec![]
        })
    }

    fn keep_config(&self, path: &Path, compiled: &Compiled) -> CniConfigView {
        let before = self.told.borrow().config.clone();
        let (in_place, fault) = if compiled.network.pod_cidrs.is_empty() {
            (false, Some("the node has no pod CIDR".to_owned()))
        } else if !self.was_ready {
            (false, Some("the node cannot take pods yet".to_owned()))
        } else {
            self.write_config(path, &compiled.network.pods)
        };
        let view = CniConfigView { path: path.display().to_string(), in_place, fault };
        if let Some(fault) = view.fault.as_ref().filter(|_| before.is_none_or(|b| b.fault != view.fault)) {
            warn!("network configuration {}: {fault}", view.path);
        }
        view
    }

    fn write_config(&self, path: &Path, pods: &PodNetwork) -> (bool, Option<String>) {
        match conflist(pods, &self.paths).put(path) {
            Ok(true) => info!("wrote the container runtime's network configuration {}", path.display()),
            Ok(false) => {}
            Err(error) => return (false, Some(error.to_string())),
        }
        let shadow = conflist::shadowed_by(path);
        (true, shadow.map(|other| format!("container runtimes take {} instead: remove it", other.display())))
    }
}

/// Ends a keeper. If the node leaves for good, the runtime's configuration goes with it.
pub async fn end(keeper: JoinHandle<()>, paths: &Paths, leaves: bool) {
    keeper.abort();
    // Until it has ended, it would put back what is removed.
    let _ = keeper.await;
    let Some(path) = paths.cni_config.as_deref().filter(|_| leaves) else { return };
    match conflist::remove(path) {
        Ok(true) => info!("removed the container runtime's network configuration {}", path.display()),
        Ok(false) => {}
        Err(error) => warn!("{error}"),
    }
}

/// What the runtime is told.
fn conflist(pods: &PodNetwork, paths: &Paths) -> Conflist {
    Conflist {
        name: pods.name.clone(),
        routed: pods.mode == Mode::Routed,
        hairpin: pods.hairpin,
        masquerade: pods.masquerade,
        node_file: paths.state_dir.join(FILE_NAME),
        data_dir: paths.cni_data_dir.clone().unwrap_or_default(),
    }
}
