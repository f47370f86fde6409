//! What a kubelet and a Prometheus ask over HTTP: `/metrics`, `/healthz`, `/readyz`.
//!
//! Plain HTTP without authentication, on an address of the operator's choice: nothing here is
//! secret, and nothing can be changed.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::metrics::{self, Manifests};
use crate::api::{Source, Unavailable, within};

/// How long the speaker may take over an answer before the daemon counts as stuck. Longer than a
/// table of a million routes can hold it up; a kubelet's probe needs a `timeoutSeconds` above it.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a reader may go on reading once the daemon is asked to stop.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// Whether the node can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot yet, or no longer, for these reasons: sentences for a person.
    NotReady(Vec<String>),
}

impl Default for Readiness {
    /// As a daemon begins.
    fn default() -> Readiness {
        Readiness::NotReady(vec!["no valid configuration has been read yet".to_owned()])
    }
}

/// Where the answers come from.
#[derive(Debug)]
pub struct Sight<S> {
    /// The speaker.
    pub source: Arc<S>,
    /// Whether the node can do its work.
    pub readiness: watch::Receiver<Readiness>,
    /// How the daemon stands with its manifests.
    pub manifests: watch::Receiver<Manifests>,
}

impl<S> Clone for Sight<S> {
    fn clone(&self) -> Self {
        Sight {
            source: Arc::clone(&self.source),
            readiness: self.readiness.clone(),
            manifests: self.manifests.clone(),
        }
    }
}

/// Answers on `listener` until `shutdown` completes.
///
/// # Errors
/// The server failed.
pub async fn serve<S: Source>(
    listener: TcpListener,
    sight: Sight<S>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics::<S>))
        .route("/healthz", get(healthz::<S>))
        .route("/readyz", get(readyz::<S>))
        .with_state(sight);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        // An error says that `stop` is gone, which asks for the same.
        let _ = stopped.await;
    });
    let server = server.into_future();
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = shutdown => drop(stop),
    }
    // A reader that has stalled must not hold the daemon.
    tokio::time::timeout(STOP_LIMIT, server).await.unwrap_or(Ok(()))
}

/// The metrics of this moment. A speaker that gives no answer fails the scrape, which Prometheus
/// shows as `up` = 0; old numbers would hide it.
async fn metrics<S: Source>(State(sight): State<Sight<S>>) -> Response {
    match exposition(&sight).await {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(Unavailable(reason)) => failure(reason),
    }
}

async fn exposition<S: Source>(sight: &Sight<S>) -> Result<String, Unavailable> {
    let peers = within(ANSWER_LIMIT, sight.source.peers()).await?;
    // Without a configuration there is no summary, and just then one wants to see why.
    let summary = within(ANSWER_LIMIT, sight.source.summary()).await.ok();
    let manifests = *sight.manifests.borrow();
    let (kernel, pods, objects) = (sight.source.kernel(), sight.source.pods(), sight.source.objects());
    metrics::render(summary.as_ref(), &peers, &manifests, &kernel, &pods, &objects)
        .map_err(|error| Unavailable(error.to_string()))
}

/// Alive: the speaker answers in bounded time. Not whether anything works; that is `/readyz`, and
/// restarting a daemon whose peers are down would help nobody.
async fn healthz<S: Source>(State(sight): State<Sight<S>>) -> Response {
    match within(ANSWER_LIMIT, sight.source.alive()).await {
        Ok(()) => "ok\n".into_response(),
        Err(Unavailable(reason)) => failure(reason),
    }
}

/// Ready: pods may be sent here.
async fn readyz<S: Source>(State(sight): State<Sight<S>>) -> Response {
    match &*sight.readiness.borrow() {
        Readiness::Ready => "ok\n".into_response(),
        Readiness::NotReady(reasons) => failure(reasons.join("\n")),
    }
}

fn failure(reason: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::api::fixture::Fixture;

    struct Served {
        address: SocketAddr,
        readiness: watch::Sender<Readiness>,
        stop: oneshot::Sender<()>,
        server: JoinHandle<io::Result<()>>,
    }

    async fn serve_fixture(fixture: Fixture) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, readiness_seen) = watch::channel(Readiness::Ready);
        let (_, manifests) = watch::channel(Manifests::default());
        let (stop, stopped) = oneshot::channel();
        let sight = Sight { source: Arc::new(fixture), readiness: readiness_seen, manifests };
        let server = tokio::spawn(serve(listener, sight, async {
            let _ = stopped.await;
        }));
        Served { address, readiness, stop, server }
    }

    /// Status line, headers and body of a plain HTTP exchange.
    async fn ask(address: SocketAddr, request: &str) -> (String, String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: routelet\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let (status, headers) = head.split_once("\r\n").unwrap();
        (status.to_owned(), headers.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let served = serve_fixture(Fixture::Node1).await;
        let (status, headers, body) = ask(served.address, "GET /metrics").await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert!(headers.contains("content-type: text/plain; version=0.0.4"), "{headers}");
        assert!(body.contains("\nroutelet_bgp_session_established{peer=\"node2\"} 1\n"), "{body}");
    }

    #[tokio::test]
    async fn health_is_the_speaker_s_answer() {
        let served = serve_fixture(Fixture::Node1).await;
        let (status, _, body) = ask(served.address, "GET /healthz").await;
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));

        // Bad manifests are not cured by a restart.
        let served = serve_fixture(Fixture::Unconfigured).await;
        assert_eq!(ask(served.address, "GET /healthz").await.0, "HTTP/1.1 200 OK");
        let (_, _, body) = ask(served.address, "GET /metrics").await;
        assert!(body.contains("\nroutelet_manifests_valid 0\n"), "{body}");

        let served = serve_fixture(Fixture::Silent("the driver has stopped")).await;
        for path in ["GET /healthz", "GET /metrics"] {
            let (status, _, body) = ask(served.address, path).await;
            assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
            assert_eq!(body, "the driver has stopped\n");
        }
    }

    #[tokio::test]
    async fn readiness_gives_its_reasons() {
        let served = serve_fixture(Fixture::Node1).await;
        assert_eq!(ask(served.address, "GET /readyz").await.0, "HTTP/1.1 200 OK");

        let reasons = ["no manifest names this node", "kernel routes are not yet read"];
        served.readiness.send(Readiness::NotReady(reasons.map(str::to_owned).to_vec())).unwrap();
        let (status, _, body) = ask(served.address, "GET /readyz").await;
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        assert_eq!(body, "no manifest names this node\nkernel routes are not yet read\n");
    }

    #[tokio::test]
    async fn nothing_else_is_here_and_nothing_can_be_changed() {
        let served = serve_fixture(Fixture::Node1).await;
        assert_eq!(ask(served.address, "GET /").await.0, "HTTP/1.1 404 Not Found");
        assert_eq!(ask(served.address, "POST /readyz").await.0, "HTTP/1.1 405 Method Not Allowed");
    }

    #[tokio::test]
    async fn shutdown_waits_for_no_idle_reader() {
        let served = serve_fixture(Fixture::Stuck).await;
        let mut stuck = TcpStream::connect(served.address).await.unwrap();
        stuck.write_all(b"GET /healthz HTTP/1.1\r\nHost: routelet\r\n\r\n").await.unwrap();
        served.stop.send(()).unwrap();
        tokio::time::timeout(ANSWER_LIMIT, served.server).await.unwrap().unwrap().unwrap();
    }
}
