//! From objects to the driver: read, compile, prepare the node, hand over; and the same again
//! whenever something changes. What is wrong is logged and counted, and the last good state stays.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use super::input::Input;
use super::metrics::Manifests;
use super::node;
use super::options::Paths;
use super::routes::blocking;
use crate::cluster::{self, Basis, Compiled, Finding, NodeNetwork, Reading, Source};
use crate::fib::{Change, Found, Route};
use crate::kernel::route_writer::RouteWriter;
use crate::kernel::routes::Ownership;
use crate::kernel::{self, Installer, Netlink, found};

/// How long to wait before the node is prepared again, where that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Follows the objects for one node.
#[derive(Debug)]
pub struct Configuration {
    /// Name of the Node object that this daemon stands for.
    pub node_name: String,
    /// Where the node file goes, and where addresses are kept.
    pub paths: Paths,
    /// The kernel.
    pub netlink: Netlink,
    /// Who writes routes.
    pub writer: Arc<RouteWriter>,
    /// What others see of it.
    pub told: Told,
    /// Asked to prepare the node anew.
    pub prepare: Arc<Notify>,
    /// The driver.
    pub inputs: Sender<Input>,
}

/// How the configuration stands, for other parts of the daemon.
#[derive(Debug)]
pub struct Told {
    /// Which kernel routes are ours, for those who watch them.
    pub ownership: watch::Sender<Ownership>,
    /// What the objects mean, for those who look after settings and rules.
    pub compiled: watch::Sender<Option<Arc<Compiled>>>,
    /// The same, once the node has been made ready for pods as they say.
    pub prepared: watch::Sender<Option<Arc<Compiled>>>,
    /// What is wrong with the objects as they are, a finding each; empty where nothing is.
    pub errors: watch::Sender<Vec<String>>,
    /// How the objects stand, for the metrics.
    pub manifests: watch::Sender<Manifests>,
}

impl Told {
    /// Before there is a configuration.
    pub fn nothing(ownership: Ownership) -> Told {
        Told {
            ownership: watch::Sender::new(ownership),
            compiled: watch::Sender::default(),
            prepared: watch::Sender::default(),
            errors: watch::Sender::default(),
            manifests: watch::Sender::default(),
        }
    }
}

/// What is left to do for the current configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Read back the routes that a daemon before us left, then hand over.
    Adopt,
    /// Give the driver the new intent.
    HandOver,
    /// Make the node ready for pods.
    Prepare,
    /// Nothing.
    Done,
}

/// Of a configuration, what a node is made ready for: the network of its pods, and its own addresses.
type Standing = (NodeNetwork, Vec<IpAddr>);

/// What a reading comes to.
struct Judged {
    compiled: Compiled,
    /// What is wrong with single objects.
    faults: Vec<Finding>,
    /// What was passed over.
    warnings: Vec<Finding>,
}

impl Configuration {
    /// Runs until the driver is gone.
    pub async fn follow(self, mut source: Source) {
        let strict = matches!(source, Source::Manifests(_));
        let (mut said, mut basis) = (BTreeSet::new(), Basis::default());
        let mut current: Option<Compiled> = None;
        let mut step = Step::Done;
        // What the node was made ready for, as far as is known.
        let mut standing: Option<Standing> = None;
        loop {
            tokio::select! {
                reading = source.next() => match reading.and_then(|reading| match strict {
                    true => self.compile(reading),
                    false => self.compile_around(reading, current.as_ref(), &mut basis),
                }) {
                    Ok(judged) => {
                        self.count_good(&judged, &mut said);
                        let compiled = judged.compiled;
                        if current.as_ref() != Some(&compiled) {
                            // What was not adopted yet still has to be.
                            let first = current.is_none() || step == Step::Adopt;
                            step = if first { Step::Adopt } else { Step::HandOver };
                            current = Some(compiled);
                        }
                    }
                    Err(error) => self.count_error(&error, current.is_some()),
                },
                () = tokio::time::sleep(RETRY), if step != Step::Done => {}
                () = self.prepare.notified(), if current.is_some() && step == Step::Done => {
                    standing = None;
                    step = Step::Prepare;
                }
                () = self.inputs.closed() => return,
            }
            if let Some(compiled) = &current {
                step = self.carry_on(compiled, step, &mut standing).await;
            }
        }
    }

    /// Does what is left to do for a configuration, and returns where it got stuck. A node is not made ready
    /// again for what it is ready for: most changes are about peers and endpoints, and a look at the
    /// kernel that fails takes the node out of service.
    async fn carry_on(&self, compiled: &Compiled, mut step: Step, standing: &mut Option<Standing>) -> Step {
        if step == Step::Adopt || step == Step::HandOver {
            if let Err(error) = self.hand_over(compiled, step == Step::Adopt).await {
                error!("the kernel's routes cannot be read: {error}; trying again in {RETRY:?}");
                return step;
            }
            step = Step::Prepare;
        }
        if step == Step::Prepare {
            let wanted = (compiled.network.clone(), compiled.intent.addresses.clone());
            if standing.as_ref() == Some(&wanted) {
                self.told.prepared.send_replace(Some(Arc::new(compiled.clone())));
                return Step::Done;
            }
            *standing = self.prepare(compiled).await.then_some(wanted);
            if standing.is_some() {
                step = Step::Done;
            }
        }
        step
    }

    /// What the objects of a directory mean. It is one person's, and taken as a whole or not at all.
    fn compile(&self, reading: Reading) -> Result<Judged, cluster::Error> {
        let compiled = cluster::compile(&reading.objects, &self.node_name)?;
        Ok(Judged { compiled, faults: reading.faults, warnings: reading.warnings })
    }

    /// What the API server's objects mean, of which each stands for itself; and what is wrong with those that were
    /// left as they were.
    fn compile_around(
        &self,
        reading: Reading,
        last: Option<&Compiled>,
        basis: &mut Basis,
    ) -> Result<Judged, cluster::Error> {
        let Reading { objects, warnings, faults } = reading;
        // In a directory, an object that is missing may be on its way from one file to another; and a server that
        // knows no Node at all has lost its memory: a cluster that drained then would be without a network.
        let gone = !objects.nodes.is_empty() && !objects.nodes.contains_key(&self.node_name);
        if let Some(last) = last.filter(|_| gone) {
            let compiled = last.without_node();
            if compiled != *last {
                warn!("Node {}: is gone; draining", self.node_name);
            }
            return Ok(Judged { compiled, faults, warnings });
        }
        let (compiled, mut all) = cluster::compile_around(&objects, &self.node_name, last, basis)?;
        all.extend(faults);
        Ok(Judged { compiled, faults: all, warnings })
    }

    /// Gives the driver a new intent. At start, the routes that a daemon before us left are read
    /// back first; when the table or the protocol number changes, the old routes are removed last.
    async fn hand_over(&self, compiled: &Compiled, first: bool) -> Result<(), kernel::Error> {
        let fib = &compiled.intent.fib;
        let now = Ownership { table: fib.table, protocol: fib.protocol };
        let before = self.told.ownership.send_replace(now);
        self.writer.set_ownership(now);
        let adopted = if first {
            let writer = self.writer.clone();
            Some(blocking(move || writer.adopt()).await?)
        } else {
            None
        };
        let ownership_changed = !first && before != now;
        let intent = compiled.intent.clone();
        info!(
            asn = intent.asn,
            router_id = %intent.router_id,
            peers = intent.peers.len(),
            pod_cidrs = ?intent.pod_cidrs,
            "configured"
        );
        self.told.compiled.send_replace(Some(Arc::new(compiled.clone())));
        // The driver is gone only when the daemon stops.
        let _ = self.inputs.send(Input::Configured { intent, adopted, ownership_changed }).await;
        if ownership_changed {
            leave_behind(before, now).await?;
        }
        Ok(())
    }

    /// Makes the node ready for pods and tells the driver; `false` to be called again.
    async fn prepare(&self, compiled: &Compiled) -> bool {
        let addresses = &compiled.intent.addresses;
        let outcome = node::prepare(&self.netlink, &compiled.network, addresses, &self.paths).await;
        if let Err(error) = &outcome {
            error!("the node is not ready for pods: {error:#}; trying again in {RETRY:?}");
        }
        let _ = self.inputs.send(Input::Bridge(outcome.is_ok())).await;
        if outcome.is_ok() {
            self.told.prepared.send_replace(Some(Arc::new(compiled.clone())));
        }
        outcome.is_ok()
    }

    /// Says what has not been said of the objects before, and counts it.
    fn count_good(&self, judged: &Judged, said: &mut BTreeSet<Finding>) {
        let Judged { compiled, faults, warnings } = judged;
        for warning in warnings.iter().chain(&compiled.warnings).filter(|warning| !said.contains(warning)) {
            warn!("{warning}");
        }
        let new: Vec<&Finding> = faults.iter().filter(|fault| !said.contains(fault)).collect();
        for fault in &new {
            error!("{fault}; its last good version, if there was one, stays in force");
        }
        let count = new.len() as u64;
        *said = warnings.iter().chain(&compiled.warnings).chain(faults).cloned().collect();
        let last_good = unix_time();
        let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
        self.told.errors.send_if_modified(|errors| {
            let changed = *errors != words;
            *errors = words;
            changed
        });
        self.told.manifests.send_modify(|m| {
            m.valid = faults.is_empty();
            m.last_good = last_good;
            m.errors += count;
        });
    }

    fn count_error(&self, error: &cluster::Error, have_good: bool) {
        let kept = if have_good { "the last good state stays in force" } else { "nothing is configured yet" };
        let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        lines.iter().for_each(|line| error!("{line}"));
        error!("the objects are not usable as they are; {kept}");
        let count = lines.len() as u64;
        self.told.errors.send_replace(lines);
        self.told.manifests.send_modify(|m| {
            m.valid = false;
            m.errors += count;
        });
    }
}

/// Removes what is no longer ours: the routes, and under another protocol number the groups, too.
async fn leave_behind(before: Ownership, now: Ownership) -> Result<(), kernel::Error> {
    let remove = move || {
        let Found { routes, groups } = found::found(before)?;
        let mut changes: Vec<Change> = routes.iter().map(removal).collect();
        if before.protocol != now.protocol {
            changes.extend(groups.iter().flatten().map(|group| Change::RemoveGroup(group.id)));
        }
        for refusal in Installer::open(before)?.apply(&changes) {
            warn!("{}", refusal.reason);
        }
        Ok(())
    };
    // Half a million removals take seconds.
    blocking(remove).await
}

fn removal(route: &Route) -> Change {
    Change::Remove { prefix: route.prefix, metric: route.metric }
}

#[allow(clippy::disallowed_methods, reason = "a timestamp for people, which decides nothing")]
fn unix_time() -> Option<u64> {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok().map(|d| d.as_secs())
}
