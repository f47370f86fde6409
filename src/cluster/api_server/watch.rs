//! The API server under watch: whole sets of objects, one for each burst of changes.
//!
//! A thread of its own lists, watches, decodes and keeps; the daemon's driver shares no processor time with five
//! thousand Nodes that arrive. What it hands over is always the newest set alone.
//!
//! After a change it waits until nothing has happened for a moment, but not for long. Before the first set, every kind
//! that is needed has been listed; if that takes too long, the set that was kept before is the first. An object that is
//! malformed by then is as it was kept. Later, a set waits a while for what it newly needs, such as the Secret of a peer
//! that has just come.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::ApiServer;
use super::cache::Cache;
use super::collection::{Collection, News};
use super::follow::{Told, follow};
use super::health::{Health, Watches};
use super::kind::Resource;
use super::request::Failure;
use crate::cluster::{Error, Reading};

/// How long nothing must have happened before a set is handed over.
const QUIET: Duration = Duration::from_millis(50);
/// The longest that a change waits in which things happen without end.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the server has to tell all there is before the set kept from before comes into force.
const START: Duration = Duration::from_secs(3);
/// How long a set waits for what it newly needs.
const NEED: Duration = Duration::from_secs(5);
/// The set is kept no more often than this.
const KEEP: Duration = Duration::from_secs(5);
/// What may wait to be taken in.
const QUEUE: usize = 256;

/// The API server under watch.
#[derive(Debug)]
pub struct Watch {
    readings: watch::Receiver<Option<Arc<Reading>>>,
    health: watch::Receiver<Health>,
    origin: String,
    /// Gone with this: tells the thread to end.
    _running: oneshot::Sender<()>,
}

impl ApiServer {
    /// Starts to watch what the node `node_name` needs, and to keep it in the directory `state_dir`.
    ///
    /// # Errors
    /// The system gives no thread, or the credentials cannot be used.
    pub fn watch(&self, node_name: &str, state_dir: impl Into<PathBuf>) -> Result<Watch, Error> {
        let failed = |text: String| Error::ApiServer { origin: self.origin().to_owned(), text };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let client = {
            let _entered = runtime.enter();
            self.client()
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => {
                // To wait for its end is not allowed on the caller's.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let (readings, readings_seen) = watch::channel(None);
        let health = Health { server: self.url(), ..Health::default() };
        let (health, health_seen) = watch::channel(health);
        let (tell, told) = mpsc::channel(QUEUE);
        let gatherer = Gatherer {
            client,
            namespace: self.namespace().to_owned(),
            node_name: node_name.to_owned(),
            cache: Cache::new(state_dir.into(), self),
            seed: seed(),
            tell,
            tasks: BTreeMap::new(),
            collection: Collection::default(),
            watches: Watches::default(),
            readings,
            health,
            began: Instant::now(),
            change: None,
            needs_since: None,
            cached: None,
            keep: None,
            kept: None,
        };
        let (running, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("objects".to_owned());
        thread
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = gatherer.run(told) => {}
                        // An error says that the sender is gone, which is what is waited for.
                        _ = ended => {}
                    }
                });
            })
            .map_err(|error| failed(error.to_string()))?;
        Ok(Watch {
            readings: readings_seen,
            health: health_seen,
            origin: self.origin().to_owned(),
            _running: running,
        })
    }
}

impl Watch {
    /// The objects as they are, once the server has told of all that are needed, or has not and they are known from
    /// before; afterwards, as soon as they or what is wrong with them has changed. May be dropped and called
    /// again at any time.
    ///
    /// # Errors
    /// The thread of the watches has ended, which it does not do by itself.
    pub async fn next(&mut self) -> Result<Reading, Error> {
        loop {
            if self.readings.changed().await.is_err() {
                let text = "the thread that watches the API server has ended".to_owned();
                return Err(Error::ApiServer { origin: self.origin.clone(), text });
            }
            let reading = self.readings.borrow_and_update().clone();
            if let Some(reading) = reading {
                return Ok(Reading::clone(&reading));
            }
        }
    }

    /// How the watches stand, as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

/// The thread's own.
struct Gatherer {
    client: Client,
    namespace: String,
    node_name: String,
    cache: Cache,
    seed: u64,
    tell: mpsc::Sender<(Resource, Told)>,
    tasks: BTreeMap<Resource, JoinHandle<()>>,
    collection: Collection,
    watches: Watches,
    readings: watch::Sender<Option<Arc<Reading>>>,
    health: watch::Sender<Health>,
    began: Instant,
    /// The first and the last change that is not handed over yet.
    change: Option<(Instant, Instant)>,
    /// Since when something that is needed has not been listed.
    needs_since: Option<Instant>,
    /// When the set was written that is in force, if that was kept from before.
    cached: Option<u64>,
    /// When the set is to be kept.
    keep: Option<Instant>,
    /// When it was last.
    kept: Option<Instant>,
}

impl Gatherer {
    async fn run(mut self, mut told: mpsc::Receiver<(Resource, Told)>) {
        self.want();
        loop {
            let due = self.due();
            tokio::select! {
                // Whoever tells stands in line; time is looked at when they have been heard.
                biased;
                Some((resource, told)) = told.recv() => self.take(&resource, told),
                () = sleep_until(due) => {}
            }
            self.look();
        }
    }

    fn take(&mut self, resource: &Resource, told: Told) {
        if !self.tasks.contains_key(resource) {
            // Said before its end was.
            return;
        }
        let now = unix_time();
        let news = match told {
            Told::InStep => {
                self.watches.in_step(resource, now);
                None
            }
            Told::Failed(failure, pause) => {
                self.watches.failed(resource, &failure, pause);
                let missing = match failure {
                    Failure::Refused { status: 404, .. } => resource.kind.is_custom(),
                    // A server that starts refuses for a moment what it permits; one that goes on is not waited for.
                    Failure::Refused { status: 403, .. } => {
                        resource.kind.is_dependent() && self.has_nothing()
                    }
                    _ => false,
                };
                missing.then_some(News::Missing)
            }
            Told::News(news) => {
                match news {
                    News::Listed(_) => self.watches.listed(resource, now),
                    _ => self.watches.in_step(resource, now),
                }
                Some(news)
            }
        };
        if news.is_some_and(|news| self.collection.take(resource, news)) {
            let now = Instant::now();
            let first = self.change.map_or(now, |(first, _)| first);
            self.change = Some((first, now));
            self.want();
        }
        self.show();
    }

    /// Begins and ends watches as the objects now say.
    fn want(&mut self) {
        self.collection.want(&self.node_name);
        let ended: Vec<Resource> =
            self.tasks.keys().filter(|resource| !self.collection.wants(resource)).cloned().collect();
        for resource in ended {
            if let Some(task) = self.tasks.remove(&resource) {
                task.abort();
            }
            self.watches.end(&resource);
        }
        let begun: Vec<Resource> = self
            .collection
            .resources()
            .filter(|resource| !self.tasks.contains_key(resource))
            .cloned()
            .collect();
        for resource in begun {
            self.watches.begin(&resource);
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let path = resource.kind.path(&self.namespace);
            let (client, tell) = (self.client.clone(), self.tell.clone());
            let task = tokio::spawn(follow(client, resource.clone(), path, tell, self.seed));
            self.tasks.insert(resource, task);
        }
        let needs = self.collection.awaited().next().is_some();
        self.needs_since = needs.then(|| self.needs_since.unwrap_or_else(Instant::now));
    }

    /// Nothing has been handed over, and nothing was kept from before that could have been.
    fn has_nothing(&self) -> bool {
        !self.started() && self.began > Instant::now()
    }

    fn started(&self) -> bool {
        self.readings.borrow().is_some()
    }

    /// When a change is to be handed over; `None` while it has to wait for what it needs.
    fn handover(&self) -> Option<Instant> {
        let (first, last) = self.change?;
        let rested = (last + QUIET).min(first + PATIENCE);
        match self.needs_since {
            None => Some(rested),
            Some(since) => self.started().then(|| rested.max(since + NEED)),
        }
    }

    /// When there is something to be done, if nothing happens.
    fn due(&self) -> Instant {
        let start = (!self.started() && self.cached.is_none()).then_some(self.began + START);
        let later = Instant::now() + Duration::from_secs(3600);
        [start, self.handover(), self.keep].into_iter().flatten().min().unwrap_or(later)
    }

    /// Does what is due.
    fn look(&mut self) {
        let now = Instant::now();
        let due = |gatherer: &Gatherer| gatherer.handover().is_some_and(|at| at <= now);
        if due(self) && !self.started() {
            self.recall();
        }
        if due(self) {
            self.hand_over();
        }
        if !self.started() && self.began + START <= now {
            self.restore();
            // Once is enough: from here on, the server has to tell.
            self.began = now + Duration::from_secs(365 * 24 * 3600);
        }
        if self.keep.is_some_and(|at| at <= now) {
            self.keep();
        }
    }

    fn hand_over(&mut self) {
        self.change = None;
        if self.needs_since.is_none() && self.cached.take().is_some() {
            info!("the API server has told all there is: the objects kept from before are replaced");
        }
        for resource in self.collection.awaited() {
            let why = self.watches.trouble(resource).unwrap_or("it has not been told of yet");
            warn!("{resource} is needed and not there: {why}");
        }
        let reading = Reading {
            objects: self.collection.objects().clone(),
            warnings: self.collection.warnings(),
            faults: self.collection.faults(),
        };
        let changed = self.readings.borrow().as_deref() != Some(&reading);
        if changed {
            self.readings.send_replace(Some(Arc::new(reading)));
        }
        if self.cached.is_none() && (changed || self.kept.is_none()) && self.keep.is_none() {
            let now = Instant::now();
            self.keep = Some(self.kept.map_or(now, |kept| now.max(kept + KEEP)));
        }
        self.show();
    }

    /// Puts the set kept from before in force.
    fn restore(&mut self) {
        let waiting: Vec<String> = self.collection.awaited().map(|resource| self.why(resource)).collect();
        let waiting = waiting.join("; ");
        let path = self.cache.path().display().to_string();
        match self.cache.read() {
            Ok(Some(kept)) => {
                let count = kept.objects.len();
                self.collection.restore(&self.node_name, kept.objects);
                self.cached = Some(kept.written);
                self.want();
                warn!(
                    objects = count,
                    "the API server has not told all there is: starting from the objects kept in {path}, of {} s ago. \
                     Still waiting: {waiting}",
                    unix_time().unwrap_or(kept.written).saturating_sub(kept.written)
                );
                self.hand_over();
            }
            Ok(None) => warn!("nothing is configured yet, and nothing kept in {path}. Waiting: {waiting}"),
            Err(error) => {
                warn!(
                    "the objects kept in {path} are of no use: {error}. Nothing is configured yet. Waiting: {waiting}"
                );
            }
        }
    }

    /// Of an object that is malformed as we start, the last good version is the one that a daemon before us kept.
    fn recall(&mut self) {
        if !self.collection.lacks_good_versions() {
            return;
        }
        match self.cache.read() {
            Ok(Some(kept)) => {
                self.collection.recall(kept.objects);
                self.want();
            }
            Ok(None) => {}
            Err(error) => {
                warn!("the objects kept in {} are of no use: {error}", self.cache.path().display());
            }
        }
    }

    fn why(&self, resource: &Resource) -> String {
        self.watches.trouble(resource).map_or_else(|| resource.to_string(), str::to_owned)
    }

    fn keep(&mut self) {
        self.keep = None;
        self.kept = Some(Instant::now());
        if let Err(error) = self.cache.write(self.collection.objects(), unix_time().unwrap_or_default()) {
            let path = self.cache.path().display();
            warn!("the objects cannot be kept in {path} for a start without the API server: {error}");
        }
    }

    fn show(&self) {
        let kinds = self.watches.view(|kind| self.collection.count(kind));
        self.health.send_if_modified(|health| {
            let changed = health.kinds != kinds || health.cached != self.cached;
            if changed {
                health.kinds = kinds;
                health.cached = self.cached;
            }
            changed
        });
    }
}

/// A number that differs from start to start and from node to node.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

#[allow(clippy::disallowed_methods, reason = "a timestamp for people, which decides nothing")]
fn unix_time() -> Option<u64> {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok().map(|d| d.as_secs())
}
