//! Lists and watches of the test server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::paths;
use crate::server::{Inner, Recorded, Store, reply, status};

/// What to say to watches that are open.
#[derive(Debug, Clone)]
pub enum Say {
    /// The newest resource version.
    Bookmark,
    /// This, as a line.
    Line(String),
    /// Goodbye, as when the time of a watch is over.
    End,
    /// Half a line, and then nothing: the connection is cut.
    HalfALine,
}

impl Say {
    /// An ERROR event with a status.
    pub fn error(code: u16, message: &str) -> Say {
        let reason = paths::reason(StatusCode::from_u16(code).unwrap());
        Say::Line(event(
            "ERROR",
            &json!({"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code}),
        ))
    }
}

type Line = Result<String, std::io::Error>;

/// A list, in pages if asked for. A page that is asked for after history was forgotten is gone.
pub fn list(store: &Store, request: &Recorded) -> Response {
    let inner = store.inner();
    let (version, start) = match request.query.get("continue") {
        None => (inner.version, 0),
        Some(token) => {
            let (version, start) = token.split_once('-').unwrap();
            (version.parse::<u64>().unwrap(), start.parse::<usize>().unwrap())
        }
    };
    if version < inner.oldest {
        return status(StatusCode::GONE, "The provided continue parameter is too old");
    }
    let limit = request.query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    let objects = selected(&inner, request);
    let mut items: Vec<Value> =
        objects.iter().skip(start).take(limit).map(|(_, object)| (*object).clone()).collect();
    let end = start + items.len();
    if request.path.starts_with("/api/") {
        // As the real one does it with its own kinds.
        for item in &mut items {
            item.as_object_mut().unwrap().retain(|key, _| key != "kind" && key != "apiVersion");
        }
    }
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if end < objects.len() {
        metadata["continue"] = json!(format!("{version}-{end}"));
    }
    reply(StatusCode::OK, &json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
}

fn selected<'a>(inner: &'a Inner, request: &Recorded) -> BTreeMap<&'a String, &'a Value> {
    inner.objects.iter().filter(|(path, _)| concerns(path, request)).collect()
}

/// Whether an object is among those asked for.
fn concerns(path: &str, request: &Recorded) -> bool {
    let name =
        request.query.get("fieldSelector").and_then(|selector| selector.strip_prefix("metadata.name="));
    let named = name.is_none_or(|name| path.rsplit('/').next() == Some(name));
    named && paths::is_in(path, &request.path)
}

fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn bookmark(version: u64, initial: bool) -> String {
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if initial {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    event("BOOKMARK", &json!({"kind": "Bookmark", "apiVersion": "v1", "metadata": metadata}))
}

/// A watch: from a resource version, or a list that goes over into one.
pub fn watch(store: Arc<Store>, request: &Recorded) -> Response {
    let streamed = request.query.get("sendInitialEvents").is_some_and(|value| value == "true");
    let from =
        request.query.get("resourceVersion").and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
    let mut first = vec![];
    let mut seen = from;
    let inner = store.inner();
    let said = inner.said.len();
    if streamed {
        if !inner.streamed_lists() {
            let text = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            return status(StatusCode::UNPROCESSABLE_ENTITY, text);
        }
        first.extend(selected(&inner, request).into_values().map(|object| event("ADDED", object)));
        first.push(bookmark(inner.version, true));
        seen = inner.version;
    } else if from < inner.oldest {
        return status(StatusCode::GONE, &format!("too old resource version: {from} ({})", inner.oldest));
    }
    drop(inner);
    let (lines, body) = mpsc::channel::<Line>(16);
    tokio::spawn(stream(store, request.clone(), lines, first, (seen, said)));
    Response::new(Body::from_stream(ReceiverStream::new(body)))
}

async fn stream(
    store: Arc<Store>,
    request: Recorded,
    lines: mpsc::Sender<Line>,
    mut next: Vec<String>,
    (mut seen, mut said): (u64, usize),
) {
    let mut stirred = store.stirred.subscribe();
    let seconds = request.query.get("timeoutSeconds").map_or(3600, |text| text.parse().unwrap());
    let end = tokio::time::sleep(Duration::from_secs(seconds));
    tokio::pin!(end);
    loop {
        stirred.borrow_and_update();
        let mut last = None;
        {
            let inner = store.inner();
            for (version, path, kind, object) in &inner.history {
                if *version <= seen {
                    continue;
                }
                seen = *version;
                if concerns(path, &request) {
                    next.push(event(kind, object));
                }
            }
            for (path, say) in &inner.said[said..] {
                match say {
                    _ if *path != request.path => {}
                    Say::Bookmark => next.push(bookmark(inner.version, false)),
                    Say::Line(line) => next.push(line.clone()),
                    end => last = Some(end.clone()),
                }
            }
            said = inner.said.len();
        }
        for line in next.drain(..) {
            if lines.send(Ok(line)).await.is_err() {
                return;
            }
        }
        match last {
            Some(Say::HalfALine) => {
                let _ = lines.send(Ok("{\"type\": \"MODIFIED\", \"object\": {\"metad".to_owned())).await;
                let _ = lines.send(Err(std::io::Error::other("cut"))).await;
                return;
            }
            Some(_) => return,
            None => {}
        }
        tokio::select! {
            changed = stirred.changed() => changed.unwrap(),
            () = &mut end => return,
            () = lines.closed() => return,
        }
    }
}
