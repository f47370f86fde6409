//! A small API server over HTTP: objects in memory, with resource versions, lists, watches and writes, of any resource
//! that has a path. It runs on a thread of its own, goes away and comes back, and can be told to fail.
//!
//! What it does is what a client can see of the real one, as far as a client of ours looks: paged and streamed lists,
//! bookmarks, `410 Gone` once history is forgotten, field selectors on `metadata.name`, merge patches, strategic ones of conditions, and server-side
//! apply (which merges), conflicts by resource version, the `status` subresource. Every request is kept for the test to read.
//! It admits everything and knows no schema.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::faults::{Fault, Faults};
use crate::paths::{self, Place};
use crate::streams;

/// The server. Ends when it is dropped.
pub struct TestServer {
    pub(crate) store: Arc<Store>,
    address: SocketAddr,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub content_type: String,
    /// `Null` if there was no JSON.
    pub body: Value,
}

/// What the server knows, which outlives it going away.
pub struct Store {
    inner: Mutex<Inner>,
    /// Counts everything that watches have to look at.
    pub(crate) stirred: watch::Sender<u64>,
}

#[derive(Default)]
pub struct Inner {
    /// The newest resource version.
    pub(crate) version: u64,
    /// Watches from before this one are told that it is gone.
    pub(crate) oldest: u64,
    /// Objects by path.
    pub(crate) objects: BTreeMap<String, Value>,
    /// What has happened, by resource version: path of the object, type of the event, the object.
    pub(crate) history: Vec<(u64, String, &'static str, Value)>,
    /// Said to watches that are open: path of a collection and what.
    pub(crate) said: Vec<(String, streams::Say)>,
    pub(crate) faults: Faults,
    /// Watches that begin with a list are refused, as older servers do.
    pages_alone: bool,
    requests: Vec<Recorded>,
}

impl TestServer {
    /// Starts one on 127.0.0.1, in the network namespace of the calling thread.
    pub fn start() -> TestServer {
        let store = Store { inner: Mutex::default(), stirred: watch::Sender::new(0) };
        store.inner().version = 100;
        let store = Arc::new(store);
        let (address, running) = serve(store.clone(), "127.0.0.1:0".parse().unwrap());
        TestServer { store, address, running: Some(running) }
    }

    /// Ends all connections, and refuses new ones.
    pub fn go_away(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            thread.join().unwrap();
        }
    }

    /// Serves again, where it did before. To be called in the same network namespace.
    pub fn come_back(&mut self) {
        assert!(self.running.is_none(), "it has not been away");
        let (_, running) = serve(self.store.clone(), self.address);
        self.running = Some(running);
    }

    /// Writes a kubeconfig for it into a directory.
    pub fn kubeconfig(&self, directory: &Path) -> PathBuf {
        let path = directory.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "test", "user": {"token": "a-token"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Creates an object, or replaces it, as `kubectl replace` would.
    pub fn put(&self, object: Value) {
        let path = paths::of(&object);
        self.store.put(&path, object);
    }

    /// Changes part of an object by a merge patch.
    pub fn merge(&self, path: &str, patch: &Value) {
        let mut object = self.object(path).unwrap_or_else(|| panic!("there is no {path}"));
        merge(&mut object, patch);
        self.store.put(path, object);
    }

    /// Deletes an object by its path.
    pub fn delete(&self, path: &str) {
        assert!(self.store.delete(path), "there is no {path}");
    }

    /// The object at a path.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.store.inner().objects.get(path).cloned()
    }

    /// The requests so far, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.store.inner().requests.clone()
    }

    /// How many requests came for a collection whose query has this key.
    pub fn count(&self, path: &str, key: &str) -> usize {
        let requests = self.requests();
        requests.iter().filter(|r| r.method == "GET" && r.path == path && r.query.contains_key(key)).count()
    }

    /// Has requests to paths that begin so answered otherwise, until [`Self::mend`].
    pub fn fail(&self, path: &str, fault: Fault) {
        self.store.inner().faults.add(path, fault, 0, None);
    }

    /// The same for the next so many requests.
    pub fn fail_times(&self, path: &str, fault: Fault, times: usize) {
        self.store.inner().faults.add(path, fault, 0, Some(times));
    }

    /// The same for one request, after so many that are answered rightly.
    pub fn fail_after(&self, path: &str, spared: usize, fault: Fault) {
        self.store.inner().faults.add(path, fault, spared, Some(1));
    }

    /// Takes all faults back.
    pub fn mend(&self) {
        self.store.inner().faults = Faults::default();
    }

    /// Gives lists in pages alone, as older servers do.
    pub fn stream_no_lists(&self) {
        self.store.inner().pages_alone = true;
    }

    /// Forgets what happened until now: whoever watches from before is told `410 Gone`.
    pub fn forget_history(&self) {
        let mut inner = self.store.inner();
        inner.version += 1;
        inner.oldest = inner.version;
        inner.history.clear();
    }

    /// Says something to all open watches of a collection.
    pub fn say(&self, path: &str, say: streams::Say) {
        self.store.inner().said.push((path.to_owned(), say));
        self.store.stir();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.go_away();
    }
}

impl Inner {
    pub(crate) fn streamed_lists(&self) -> bool {
        !self.pages_alone
    }
}

impl Store {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        // A test that has failed elsewhere has said so.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stir(&self) {
        self.stirred.send_modify(|count| *count += 1);
    }

    fn put(&self, path: &str, mut object: Value) -> Value {
        let mut inner = self.inner();
        inner.version += 1;
        let version = inner.version;
        let existing = inner.objects.get(path);
        let kind = if existing.is_some() { "MODIFIED" } else { "ADDED" };
        let uid = existing.map_or(json!(format!("uid-{version}")), |old| old["metadata"]["uid"].clone());
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        object["metadata"]["uid"] = uid;
        inner.objects.insert(path.to_owned(), object.clone());
        inner.history.push((version, path.to_owned(), kind, object.clone()));
        drop(inner);
        self.stir();
        object
    }

    fn delete(&self, path: &str) -> bool {
        let mut inner = self.inner();
        let Some(mut object) = inner.objects.remove(path) else { return false };
        inner.version += 1;
        let version = inner.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        inner.history.push((version, path.to_owned(), "DELETED", object));
        drop(inner);
        self.stir();
        true
    }
}

/// Serves on a thread of its own until the sender is dropped.
fn serve(store: Arc<Store>, address: SocketAddr) -> (SocketAddr, (oneshot::Sender<()>, JoinHandle<()>)) {
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = Router::new().fallback(answer).with_state(store);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.spawn(async move {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await
        });
        // An error says that the sender is gone, which is what is waited for. The connections go with the runtime.
        let _ = runtime.block_on(stopped);
    });
    (address, (stop, thread))
}

async fn answer(State(store): State<Arc<Store>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let recorded = Recorded {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: paths::query(parts.uri.query().unwrap_or_default()),
        content_type: content_type.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let fault = {
        let mut inner = store.inner();
        inner.requests.push(recorded.clone());
        inner.faults.next(&recorded.path)
    };
    match fault {
        Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
        Some(fault) => return fault.response(),
        None => {}
    }
    let Some(place) = Place::parse(&recorded.path) else {
        return status(StatusCode::NOT_FOUND, "no such path");
    };
    match recorded.method.as_str() {
        "GET" if place.name.is_some() => match store.inner().objects.get(&place.object()) {
            Some(object) => reply(StatusCode::OK, object),
            None => status(StatusCode::NOT_FOUND, &format!("{} not found", place.object())),
        },
        "GET" if recorded.query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") => {
            streams::watch(store, &recorded)
        }
        "GET" => streams::list(&store, &recorded),
        "POST" => store.create(&place, recorded.body),
        "PUT" | "PATCH" => store.change(&place, &recorded),
        "DELETE" if store.delete(&place.object()) => {
            reply(StatusCode::OK, &json!({"kind": "Status", "status": "Success"}))
        }
        _ => status(StatusCode::NOT_FOUND, &format!("{} not found", place.object())),
    }
}

impl Store {
    fn create(&self, place: &Place, mut object: Value) -> Response {
        if let Some(prefix) = object["metadata"]["generateName"].as_str() {
            let name = format!("{prefix}{}", self.inner().version);
            object["metadata"]["name"] = json!(name);
        }
        let Some(name) = object["metadata"]["name"].as_str() else {
            return status(StatusCode::UNPROCESSABLE_ENTITY, "metadata.name: Required value");
        };
        let path = format!("{}/{name}", place.collection);
        if self.inner().objects.contains_key(&path) {
            return status(StatusCode::CONFLICT, &format!("{path} already exists"));
        }
        reply(StatusCode::CREATED, &self.put(&path, object))
    }

    /// PUT and PATCH, of an object or of its status alone.
    fn change(&self, place: &Place, request: &Recorded) -> Response {
        let path = place.object();
        let applied = request.content_type.starts_with("application/apply-patch");
        let existing = self.inner().objects.get(&path).cloned();
        let Some(mut object) =
            existing.or_else(|| applied.then(|| json!({"metadata": {"name": place.name}})))
        else {
            return status(StatusCode::NOT_FOUND, &format!("{path} not found"));
        };
        if request.content_type.starts_with("application/json-patch") {
            return status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this server knows no JSON patches");
        }
        let mut change = request.body.clone();
        if request.content_type.starts_with("application/strategic-merge-patch") {
            merge_conditions(&object, &mut change);
        }
        if let Some(version) = change["metadata"]["resourceVersion"].as_str()
            && object["metadata"]["resourceVersion"] != version
        {
            return status(StatusCode::CONFLICT, &format!("{path} has been modified"));
        }
        match (place.subresource.as_deref(), request.method.as_str()) {
            (Some("status"), "PUT") => object["status"] = change["status"].take(),
            (Some("status"), _) => merge(&mut object["status"], &change["status"]),
            (_, "PUT") => object = change,
            _ => merge(&mut object, &change),
        }
        reply(StatusCode::OK, &self.put(&path, object))
    }
}

/// What a strategic merge patch does to conditions, as a merge patch: they are told apart by their type.
fn merge_conditions(object: &Value, patch: &mut Value) {
    let Some(changes) = patch["status"]["conditions"].as_array().cloned() else { return };
    let mut conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for change in changes {
        match conditions.iter_mut().find(|condition| condition["type"] == change["type"]) {
            Some(condition) => merge(condition, &change),
            None => conditions.push(change),
        }
    }
    patch["status"]["conditions"] = json!(conditions);
}

/// A merge patch (RFC 7396).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], change);
        }
    }
}

/// A `Status` that says what went wrong.
pub fn status(code: StatusCode, message: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": paths::reason(code), "code": code.as_u16(),
    });
    reply(code, &status)
}

/// JSON as an answer.
pub fn reply(code: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
