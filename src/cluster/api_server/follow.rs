//! One list and watch: what there is, and then what happens to it, for as long as anybody listens.
//!
//! A list comes in a stream where the server can do that, which takes the memory of one object, and in pages
//! where it cannot. The stream is asked for from the server's cache, no older than what was seen before: five thousand nodes
//! that start at once cost the server no reading of its store, and a list never goes back in time. A watch that ends goes on from the last
//! version, be that a bookmark's; only `410 Gone` takes a new list, and nothing is forgotten before that is whole.

use std::time::Duration;

use kube::Client;
use kube::api::{ListParams, VersionMatch, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::collection::News;
use super::kind::Resource;
use super::pace::Pace;
use super::page::Page;
use super::request::{Chunks, Failure, Lines, Status, send};
use super::seen::Seen;

/// Objects in a page of a list.
const PAGE: u32 = 500;
/// Watches begin no closer to each other than this.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long beyond its lifetime a watch is waited for.
const GRACE: u64 = 15;
/// How long a list may be silent in the middle.
const STALL: Duration = Duration::from_secs(60);
/// How long a watch may be silent whose server sends bookmarks, which it does once a minute.
const SILENCE: Duration = Duration::from_secs(150);

/// What the task of a watch tells.
#[derive(Debug)]
pub(super) enum Told {
    /// About objects.
    News(News),
    /// A watch has begun, or a bookmark has come: it is connected, and in step.
    InStep,
    /// Something has failed, and will be tried again after so long.
    Failed(Failure, Duration),
}

/// Follows a resource until nobody listens any more.
pub(super) async fn follow(
    client: Client,
    resource: Resource,
    path: String,
    tell: mpsc::Sender<(Resource, Told)>,
    seed: u64,
) {
    let selector = resource.name.as_ref().map(|name| format!("metadata.name={name}"));
    let mut follower = Follower {
        client,
        resource,
        requests: Request::new(path),
        selector,
        tell,
        pace: Pace::new(seed),
        version: "0".to_owned(),
        listed: false,
        gone: false,
        streams: true,
        patience: Duration::ZERO,
    };
    while !follower.tell.is_closed() {
        let began = Instant::now();
        match follower.round().await {
            Ok(()) => sleep_until(began + SHORTEST).await,
            Err(failure) => {
                let after = match failure {
                    Failure::Refused { after, .. } => after,
                    _ => None,
                };
                let pause = follower.pace.pause(after);
                follower.say(Told::Failed(failure, pause)).await;
                sleep(pause).await;
            }
        }
    }
}

struct Follower {
    client: Client,
    resource: Resource,
    requests: Request,
    selector: Option<String>,
    tell: mpsc::Sender<(Resource, Told)>,
    pace: Pace,
    /// The newest version that was seen: `0` for any, empty for the newest that there is.
    version: String,
    /// What there is has been told, as of `version`.
    listed: bool,
    /// It was gone, and nothing has been told since.
    gone: bool,
    /// The server may be asked to stream lists.
    streams: bool,
    /// How long the watch that is open may be silent.
    patience: Duration,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

impl Follower {
    /// Lists if need be, and watches until the watch ends.
    async fn round(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let mut lines = match self.begin().await {
            Err(Failure::Gone) => return self.gone(),
            begun => begun?,
        };
        self.say(Told::InStep).await;
        let mut events = 0_u32;
        while let Some(line) = lines.next(self.patience).await? {
            events = events.saturating_add(1);
            match self.event(&line).await {
                Err(Failure::Gone) => return self.gone(),
                Err(failure) => {
                    // It may have been an object: what there is has to be seen anew.
                    self.listed &= !matches!(failure, Failure::Broken(_));
                    return Err(failure);
                }
                Ok(()) => {
                    self.gone = false;
                    self.pace.good();
                }
            }
        }
        if events == 0 && began.elapsed() < SHORTEST {
            return Err(Failure::Unreachable("the watch ended as soon as it had begun".to_owned()));
        }
        self.pace.good();
        Ok(())
    }

    /// History is forgotten: a list comes next. That is nobody's failure, unless nothing was told in between.
    fn gone(&mut self) -> Result<(), Failure> {
        self.listed = false;
        if std::mem::replace(&mut self.gone, true) { Err(Failure::Gone) } else { Ok(()) }
    }

    /// A watch that is in step, after a list if need be.
    async fn begin(&mut self) -> Result<Lines, Failure> {
        if self.listed {
            return self.open(false).await.map(Chunks::lines);
        }
        if self.streams {
            match self.stream().await {
                // A server that knows no streamed lists refuses as it would any other parameter; one whose store
                // cannot tell of progress, such as etcd 3.4, by an error of its own.
                Err(Failure::Refused { status: 400 | 422 | 500, .. }) => self.streams = false,
                streamed => return self.latest_after_timeout(streamed),
            }
        }
        let listed = self.pages().await;
        self.latest_after_timeout(listed)?;
        self.open(false).await.map(Chunks::lines)
    }

    /// A server that was restored from a backup has not yet come to the version that we have seen, and may never:
    /// then what it has now is right.
    fn latest_after_timeout<T>(&mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(Failure::Refused { status: 504, .. }) = outcome {
            self.version.clear();
        }
        outcome
    }

    async fn open(&mut self, list: bool) -> Result<Chunks, Failure> {
        let lifetime = self.pace.lifetime();
        self.patience = Duration::from_secs(u64::from(lifetime) + GRACE);
        let parameters = WatchParams {
            field_selector: self.selector.clone(),
            timeout: Some(lifetime),
            send_initial_events: list,
            ..WatchParams::default()
        };
        let request = self.requests.watch(&parameters, &self.version).map_err(Failure::broken)?;
        send(&self.client, request).await
    }

    /// The list as the beginning of a watch.
    async fn stream(&mut self) -> Result<Lines, Failure> {
        let mut lines = self.open(true).await?.lines();
        let mut all = vec![];
        loop {
            let Some(line) = lines.next(STALL).await? else {
                return Err(Failure::Unreachable("the list ended before it was whole".to_owned()));
            };
            let event: Event = serde_json::from_slice(&line).map_err(Failure::broken)?;
            match event.kind.as_str() {
                "ADDED" | "MODIFIED" => all.extend(Seen::read(self.resource.kind, event.object)),
                "BOOKMARK" => {
                    let whole = event.object.pointer("/metadata/annotations/k8s.io~1initial-events-end");
                    if whole.is_some() {
                        self.listed(all, version_of(&event.object)?).await;
                        return Ok(lines);
                    }
                }
                "ERROR" => return Err(error(event.object)),
                _ => {}
            }
        }
    }

    /// The list page by page.
    async fn pages(&mut self) -> Result<(), Failure> {
        let mut all = vec![];
        let mut token = None;
        loop {
            let parameters = ListParams {
                field_selector: self.selector.clone(),
                limit: Some(PAGE),
                continue_token: token.take(),
                version_match: (!self.version.is_empty()).then_some(VersionMatch::NotOlderThan),
                resource_version: Some(self.version.clone()).filter(|version| !version.is_empty()),
                ..ListParams::default()
            };
            let request = self.requests.list(&parameters).map_err(Failure::broken)?;
            let body = send(&self.client, request).await?.whole().await?;
            let page = Page::read(self.resource.kind, &body).map_err(Failure::broken)?;
            all.extend(page.objects);
            token = page.metadata.continue_.filter(|token| !token.is_empty());
            if token.is_none() {
                let version = page.metadata.resource_version.filter(|version| !version.is_empty());
                let version = version.ok_or_else(|| Failure::broken("a list without a resourceVersion"))?;
                self.listed(all, version).await;
                return Ok(());
            }
        }
    }

    async fn listed(&mut self, all: Vec<Seen>, version: String) {
        self.listed = true;
        self.version = version;
        self.pace.good();
        self.say(Told::News(News::Listed(all))).await;
    }

    async fn event(&mut self, line: &[u8]) -> Result<(), Failure> {
        let event: Event = serde_json::from_slice(line).map_err(Failure::broken)?;
        if event.kind == "ERROR" {
            return Err(error(event.object));
        }
        let version = version_of(&event.object)?;
        if event.kind == "BOOKMARK" {
            self.patience = self.patience.min(SILENCE);
            self.say(Told::InStep).await;
        } else if let Some(seen) = Seen::read(self.resource.kind, event.object) {
            let news = match event.kind.as_str() {
                "DELETED" => News::Deleted(seen.name),
                _ => News::Applied(Box::new(seen)),
            };
            self.say(Told::News(news)).await;
        }
        self.version = version;
        Ok(())
    }

    /// Whoever stops listening has this task ended.
    async fn say(&self, told: Told) {
        let _ = self.tell.send((self.resource.clone(), told)).await;
    }
}

fn version_of(object: &Value) -> Result<String, Failure> {
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    let version = version.filter(|version| !version.is_empty()).map(str::to_owned);
    version.ok_or_else(|| Failure::broken("an object without a resourceVersion"))
}

fn error(object: Value) -> Failure {
    match serde_json::from_value::<Status>(object) {
        Ok(status) => status.failure(500, None),
        Err(error) => Failure::broken(error),
    }
}
