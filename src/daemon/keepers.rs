//! Those who keep something right beside the driver: settings, policy rules, what pods are attached with. What
//! they find, the API and the metrics show.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::exempt::Exempt;
use super::http::Readiness;
use super::input::Input;
use super::objects::Objects;
use super::options::Paths;
use super::source::Look;
use super::{masquerade, pods, rules, settings};
use crate::api::FirewallView;
use crate::cluster::Compiled;
use crate::kernel::routes::Ownership;

/// What they need to know, as it changes.
#[derive(Debug)]
pub struct Known {
    /// What the objects ask for.
    pub compiled: watch::Receiver<Option<Arc<Compiled>>>,
    /// The same, once the node has been made ready for pods.
    pub prepared: watch::Receiver<Option<Arc<Compiled>>>,
    /// Whether the node can do its work.
    pub readiness: watch::Receiver<Readiness>,
    /// Where the objects come from.
    pub objects: Objects,
    /// Which kernel routes are ours.
    pub owned: watch::Receiver<Ownership>,
    /// Where pods reach without being masqueraded.
    pub exempt: Arc<Exempt>,
}

/// The tasks that have something to take back when the node leaves for good.
#[derive(Debug)]
pub struct Keepers {
    compiled: watch::Receiver<Option<Arc<Compiled>>>,
    paths: Paths,
    rules: JoinHandle<()>,
    pods: JoinHandle<()>,
}

impl Keepers {
    /// Starts them all. By `prepare` they ask for the node to be prepared anew.
    ///
    /// # Errors
    /// The kernel cannot be talked to, or a thread not be started.
    pub fn start(
        known: Known,
        paths: Paths,
        prepare: Arc<Notify>,
        inputs: Sender<Input>,
    ) -> anyhow::Result<(Keepers, Arc<Look>)> {
        let Known { compiled, prepared, readiness, objects, owned, exempt } = known;
        let (settings, settings_seen) =
            settings::Keeper::new(compiled.clone(), prepare.clone(), inputs.clone())?;
        let (rules, rules_seen) = rules::Keeper::new(compiled.clone())?;
        let (pods, pods_seen) = pods::Keeper::new(paths.clone(), prepared.clone(), readiness, prepare);
        tokio::spawn(settings.run());
        let (rules, pods) = (tokio::spawn(rules.run()), tokio::spawn(pods.run()));
        let (firewall, firewall_seen) = watch::channel(FirewallView::default());
        let look = Look::new(inputs, settings_seen, rules_seen, pods_seen, firewall_seen, objects, owned);
        let look = Arc::new(look);
        tokio::spawn(masquerade::Keeper::new(prepared, look.clone(), exempt, firewall)?.run());
        Ok((Keepers { compiled, paths, rules, pods }, look))
    }

    /// Ends them. If the node leaves for good, what they have made goes with it.
    ///
    /// # Errors
    /// The policy rules there are cannot be read.
    pub async fn end(self, leaves: bool) -> anyhow::Result<()> {
        // First, for it has runtimes send no more pods.
        pods::end(self.pods, &self.paths, leaves).await;
        rules::end(self.rules, self.compiled.borrow().as_deref().filter(|_| leaves)).await
    }
}
