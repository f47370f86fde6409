//! What a daemon writes into its own Node once it can forward for pods: the condition `NetworkUnavailable` is
//! `False`, and the startup taint is gone.
//!
//! The condition keeps the scheduler off a node while it is `True`, which some clouds and installers set as a
//! node joins. The taint does so wherever nobody sets the condition: register kubelets with it. Both are written
//! once, and again only when somebody has undone them: we watch our own Node. Nothing is written while the
//! node cannot forward, and nothing is taken back then, nor at the end of the daemon. The network of pods that
//! run goes on through a restart; and `True` would have the node controller taint the node, and so keep the
//! restarted daemon's own rollout from going on.
//!
//! Nobody else's words are lost. The condition is merged into the list by its type (a strategic merge patch on
//! `nodes/status`). Taints are an atomic list, so the new list says from which version of the Node it was made,
//! and is refused (409) if there has been another since; then it is made anew from that one.
//!
//! # What it costs the API server
//!
//! One watch of one object, which most heartbeats leave alone (kubelets renew Leases), and two writes in the life
//! of a node. If something undoes them for ever, or refuses them, attempts are made after pauses that double from
//! 1 s to 5 minutes, and begin anew when all has been well for 10 minutes.
//!
//! # What it needs to be allowed
//!
//! `get`, `list`, `watch` and `patch` on `nodes`, `patch` on `nodes/status`.

#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::report::{Error, within};

/// The condition.
const CONDITION: &str = "NetworkUnavailable";
/// Why it is `False`.
const REASON: &str = "RouteletIsUp";
/// The first pause after an attempt.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const PAUSE_MOST: Duration = Duration::from_secs(300);
/// Pauses begin anew when nothing has been left to write for so long.
const REST: Duration = Duration::from_secs(600);

/// What is to be said of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Word {
    /// It can forward for pods. While it cannot, nothing is said.
    pub ready: bool,
    /// Key of the taint that is to go then, if one is.
    pub startup_taint: Option<String>,
}

/// What is left to be written.
#[derive(Debug, Clone, PartialEq, Default)]
struct Left {
    condition: bool,
    /// The taints that are to stay, where one is to go.
    taints: Option<Vec<k8s::Taint>>,
}

impl Left {
    /// What is left to be written to a Node as it is.
    fn of(node: &k8s::Node, word: &Word) -> Left {
        if !word.ready {
            return Left::default();
        }
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
        let stands = |c: &k8s::NodeCondition| c.type_ == CONDITION && c.status == "False";
        let condition = !conditions.unwrap_or_default().iter().any(stands);
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let ours = |taint: &&k8s::Taint| Some(&taint.key) == word.startup_taint.as_ref();
        let kept = taints.iter().filter(|taint| !ours(taint)).cloned().collect();
        Left { condition, taints: taints.iter().any(|taint| ours(&taint)).then_some(kept) }
    }

    fn is_nothing(&self) -> bool {
        *self == Left::default()
    }
}

/// When the next attempt may be made.
#[derive(Debug)]
struct Pauses {
    next: Instant,
    pause: Duration,
    rest_since: Option<Instant>,
}

impl Pauses {
    fn new(now: Instant) -> Pauses {
        Pauses { next: now, pause: PAUSE, rest_since: None }
    }

    /// Something is left to be written, or nothing.
    fn note(&mut self, now: Instant, left: bool) {
        match self.rest_since {
            Some(since) if left => {
                if now - since >= REST {
                    self.pause = PAUSE;
                }
                self.rest_since = None;
            }
            None if !left => self.rest_since = Some(now),
            _ => {}
        }
    }

    /// An attempt is made.
    fn attempt(&mut self, now: Instant) {
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MOST);
    }
}

/// Writes what `word` says into the Node `name`, whenever it is not there, until nobody says anything any more.
pub async fn tell(client: Client, name: String, mut word: watch::Receiver<Word>) {
    let nodes: Api<k8s::Node> = Api::all(client);
    let mut seen = std::pin::pin!(versions(nodes.clone(), &name));
    let (mut node, mut pauses) = (None::<k8s::Node>, Pauses::new(Instant::now()));
    loop {
        let said = word.borrow_and_update().clone();
        let left = node.as_ref().map(|node| Left::of(node, &said)).unwrap_or_default();
        pauses.note(Instant::now(), !left.is_nothing());
        tokio::select! {
            version = seen.next() => match version {
                Some(version) => node = Some(version),
                None => return,
            },
            changed = word.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(pauses.next), if !left.is_nothing() => {
                pauses.attempt(Instant::now());
                let Some(current) = &node else { continue };
                match write(&nodes, current, &said).await {
                    Ok(version) => node = Some(version),
                    Err(error) => {
                        warn!("Node {name} is not told yet that it can take pods: {error}");
                        node = within(nodes.get(&name)).await.ok().or(node);
                    }
                }
            }
        }
    }
}

/// The Node, each time that it has changed.
fn versions(nodes: Api<k8s::Node>, name: &str) -> impl Stream<Item = k8s::Node> + Send + use<> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    watcher(nodes, config).default_backoff().filter_map(async |event| match event {
        Ok(watcher::Event::Apply(node) | watcher::Event::InitApply(node)) => Some(node),
        Ok(_) => None,
        Err(error) => {
            debug!("watching our own Node: {error}");
            None
        }
    })
}

/// Writes what is left, and returns the Node as it is then.
async fn write(nodes: &Api<k8s::Node>, node: &k8s::Node, word: &Word) -> Result<k8s::Node, Error> {
    let (name, parameters) = (node.name_any(), PatchParams::default());
    let mut current = node.clone();
    if Left::of(&current, word).condition {
        let patch = Patch::Strategic(condition(&Timestamp::now().to_string()));
        current = within(nodes.patch_status(&name, &parameters, &patch)).await?;
        info!("Node {name}: {CONDITION} is False");
    }
    if let Some(taints) = Left::of(&current, word).taints {
        let version = current.resource_version();
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
        current = within(nodes.patch(&name, &parameters, &Patch::Merge(patch))).await?;
        info!("Node {name}: the startup taint is removed");
    }
    Ok(current)
}

/// A patch that clears the condition.
fn condition(now: &str) -> Value {
    json!({"status": {"conditions": [{
        "type": CONDITION,
        "status": "False",
        "reason": REASON,
        "message": "Routelet can forward for pods on this node",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }]}})
}
