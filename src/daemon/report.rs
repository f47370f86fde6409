//! Tells the API server how this node stands: looks around every few seconds, and has
//! [`crate::cluster::report`] write what is worth it. Nothing else waits for this task.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::clock::Clock;
use super::http::Readiness;
use super::source::Look;
use crate::cluster::api_server::{Health, Kind};
use crate::cluster::objects::bgp_node_status::Versions;
use crate::cluster::report::{Audit, Md5, NodeWriter, Overseer, Seen, Terms, lease};
use crate::cluster::{ApiServer, Compiled};
use crate::kernel::md5_counters::{self, Md5Counters};
use crate::time::Instant;

/// How often the node is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// For how long a dropped segment is held to say something. A peer that cannot get through tries again
/// every two minutes at the least (RFC 4271 §10, ConnectRetryTime).
const MD5_LASTS: Duration = Duration::from_secs(150);
/// How long giving the Lease up may keep the daemon from ending.
const LEAVE: Duration = Duration::from_secs(2);

/// What there is to be looked at beside the speaker.
#[derive(Debug, Clone)]
pub struct Sights {
    /// The speaker, and what audits have found.
    pub look: Arc<Look>,
    /// What the objects ask for.
    pub compiled: watch::Receiver<Option<Arc<Compiled>>>,
    /// What is wrong with the objects as they are.
    pub errors: watch::Receiver<Vec<String>>,
    /// Whether the node can do its work.
    pub readiness: watch::Receiver<Readiness>,
    /// Where it cannot listen, and why.
    pub not_listening: watch::Receiver<BTreeMap<SocketAddr, String>>,
}

/// The task, while it runs. With manifests there is none: nobody would read what it writes.
#[derive(Debug)]
pub struct Reporter(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Reporter {
    /// Starts to report on a node to the API server, if there is one. `seed` differs from daemon to daemon.
    ///
    /// # Errors
    /// There is no client for that server.
    pub fn start(
        server: Option<(ApiServer, watch::Receiver<Health>)>,
        node_name: &str,
        seed: u64,
        sights: Sights,
    ) -> anyhow::Result<Reporter> {
        let Some((server, health)) = server else { return Ok(Reporter(None)) };
        let client = server.client()?;
        let writer = NodeWriter::new(&client, node_name, Terms::of_node(1), seed);
        let overseer = Overseer::new(&client, server.namespace(), node_name, 1, seed);
        let (stop, stopped) = oneshot::channel();
        let versions = Versions {
            routelet: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        };
        let clock = Clock::start();
        let watcher = Watcher { sights, health, versions, pending_since: None, md5: Md5Watch::default() };
        let node_name = node_name.to_owned();
        let task = tokio::spawn(async move {
            let mut overseer = overseer;
            tokio::select! {
                () = report(watcher, writer, &mut overseer, clock, &node_name) => {}
                _ = stopped => {}
            }
            // Another can have it at once, and need not wait for it to run out.
            let _ = tokio::time::timeout(LEAVE, overseer.release(clock.now())).await;
        });
        Ok(Reporter(Some((stop, task))))
    }

    /// Ends it.
    pub async fn end(self) {
        let Some((stop, task)) = self.0 else { return };
        drop(stop);
        if let Err(error) = task.await {
            warn!("telling the API server how the node stands: {error}");
        }
    }
}

/// Reports until the driver is gone.
async fn report(
    mut watcher: Watcher,
    mut writer: NodeWriter,
    overseer: &mut Overseer,
    clock: Clock,
    node_name: &str,
) {
    let mut nodes = 1;
    loop {
        let size = watcher.cluster_size();
        if size != nodes {
            nodes = size;
            writer.set_terms(Terms::of_node(nodes));
            overseer.set_rank(lease::rank(node_name, nodes));
        }
        match watcher.look(clock.now()).await {
            Some(seen) => writer.step(clock.now(), Timestamp::now(), &seen).await,
            None => return,
        }
        overseer.step(|| clock.now(), Timestamp::now()).await;
        tokio::time::sleep(LOOK).await;
    }
}

/// Looks at the node, and remembers what takes more than one look.
struct Watcher {
    sights: Sights,
    /// How the API server stands as a source.
    health: watch::Receiver<Health>,
    versions: Versions,
    /// Since when there have been routes that are desired and not installed.
    pending_since: Option<Instant>,
    md5: Md5Watch,
}

impl Watcher {
    fn cluster_size(&self) -> usize {
        let health = self.health.borrow();
        let nodes = health.kinds.get(&Kind::Node).map_or(0, |kind| kind.objects);
        usize::try_from(nodes).unwrap_or(usize::MAX).max(1)
    }

    /// All that is seen now; `None` if the driver is gone.
    async fn look(&mut self, now: Instant) -> Option<Seen> {
        let look = &self.sights.look;
        let asked = look.ask(|speaker, now| (speaker.summary(), speaker.peers(now))).await;
        let (summary, peers) = asked.ok()?;
        let is_pending = summary.as_ref().is_some_and(|summary| summary.fib_pending > 0);
        self.pending_since = self.pending_since.or(Some(now)).filter(|_| is_pending);
        match md5_counters::read() {
            Ok(counters) => self.md5.note(now, counters),
            Err(error) => debug!("{error}"),
        }
        let compiled = self.sights.compiled.borrow().clone();
        let audit = look.audits().last_audit();
        let not_ready = match &*self.sights.readiness.borrow() {
            Readiness::Ready => vec![],
            Readiness::NotReady(reasons) => reasons.clone(),
        };
        Some(Seen {
            versions: self.versions.clone(),
            summary,
            peers,
            pod_cidrs: compiled.as_ref().map(|c| c.intent.pod_cidrs.clone()).unwrap_or_default(),
            not_ready,
            errors: self.sights.errors.borrow().clone(),
            warnings: compiled.iter().flat_map(|c| &c.warnings).map(ToString::to_string).collect(),
            pending_for: self.pending_since.map(|since| now - since),
            audit: audit.map(|(differences, ago)| Audit { differences, ago }),
            not_listening: self.sights.not_listening.borrow().values().cloned().collect(),
            not_followed: not_followed(&self.health.borrow()),
            md5: self.md5.lately(now),
        })
    }
}

/// Kinds that the API server does not let us watch, and why.
fn not_followed(health: &Health) -> Vec<String> {
    let trouble = health.kinds.values().filter_map(|kind| kind.trouble.clone());
    trouble.collect()
}

/// When the kernel's counters last went up.
#[derive(Debug, Default)]
struct Md5Watch {
    before: Option<Md5Counters>,
    wrong: Option<Instant>,
    unexpected: Option<Instant>,
}

impl Md5Watch {
    fn note(&mut self, now: Instant, counters: Md5Counters) {
        let before = self.before.replace(counters).unwrap_or(counters);
        if counters.failure > before.failure || counters.not_found > before.not_found {
            self.wrong = Some(now);
        }
        if counters.unexpected > before.unexpected {
            self.unexpected = Some(now);
        }
    }

    fn lately(&self, now: Instant) -> Md5 {
        let lately = |at: Option<Instant>| at.is_some_and(|at| now - at < MD5_LASTS);
        Md5 { wrong: lately(self.wrong), unexpected: lately(self.unexpected) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_say_something_only_when_they_go_up_and_for_a_while() {
        let at = |seconds| Instant::ORIGIN + Duration::from_secs(seconds);
        let counters = |not_found, unexpected, failure| Md5Counters { not_found, unexpected, failure };
        let mut watch = Md5Watch::default();
        watch.note(at(0), counters(5, 5, 5));
        assert_eq!(watch.lately(at(0)), Md5::default(), "nobody knows when that was");
        watch.note(at(5), counters(5, 5, 6));
        assert_eq!(watch.lately(at(5)), Md5 { wrong: true, unexpected: false });
        watch.note(at(10), counters(5, 6, 6));
        assert_eq!(watch.lately(at(154)), Md5 { wrong: true, unexpected: true });
        assert_eq!(watch.lately(at(155)), Md5 { wrong: false, unexpected: true });
        assert_eq!(watch.lately(at(160)), Md5::default());
    }
}
