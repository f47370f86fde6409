//! Wiring: the driver loop, transport, metrics, start and stop.
//!
//! The `driver` owns the speaker and never waits for anybody; around it, on the same thread, are tasks for the
//! manifests, for the API and for HTTP. A second thread has a task for each connection and listening
//! socket: no work on a table keeps those waiting. What they have for the driver comes through one
//! bounded queue of `Input`s. Failures do not wait in it: BFD and the watch of the kernel have threads
//! of their own, and the driver hears them first. So has the writer of kernel routes.

mod audit;
mod bfd;
mod clock;
mod configuration;
mod connections;
mod departure;
mod descriptors;
mod driver;
mod exempt;
pub mod http;
mod input;
mod keepers;
mod kernel_watch;
mod link_peers;
mod listeners;
pub mod log;
mod masquerade;
pub mod metrics;
mod node;
mod objects;
pub mod options;
mod own_node;
mod pods;
mod pools;
mod report;
mod rounds;
mod routes;
mod rules;
mod session_thread;
mod settings;
mod source;
mod sweep;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use anyhow::{Context, bail};
pub use options::Options;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::info;

use crate::api;
use crate::cluster::api_server::{self, Health};
use crate::cluster::{self, ApiServer, ManifestDirectory};
use crate::kernel::Netlink;
use crate::kernel::routes::Ownership;
use clock::Clock;
use configuration::{Configuration, Told};
use departure::{Ending, Signals};
use driver::Driver;
use exempt::Exempt;
use http::{Readiness, Sight};
use keepers::{Keepers, Known};
use objects::Objects;
use report::{Reporter, Sights};
use session_thread::SessionThread;

/// Inputs that may wait for the driver before their senders do.
const QUEUE: usize = 1024;
/// Our routes until a configuration says otherwise.
const DEFAULT_OWNERSHIP: Ownership = Ownership { table: 254, protocol: 114 };

/// Runs the daemon until SIGTERM or SIGINT. Kernel routes stay when it ends: `routelet cleanup`
/// removes them.
///
/// SIGTERM, which a service or a pod gets to be replaced, leaves peers in the belief that we restart:
/// those that speak graceful restart keep our routes (RFC 4724); but if the Node leaves, too, they are asked to
/// prefer other paths first (RFC 8326). SIGINT, a person's Ctrl-C, tells them that we leave.
///
/// # Errors
/// The daemon could not start, or a part without which it is of no use has ended.
pub async fn run(options: Options) -> anyhow::Result<()> {
    log::init(options.log_format)?;
    let mut signals = Signals::listen()?;
    let (api, http) = listen(&options).await?;
    // With it, whoever writes to the API server gets a client of its own by `ApiServer::client`.
    let (objects, api_server) = source_of(&options).await?;
    // A conversation takes requests in turn, and a dump of a large table is a long one. Each task has a
    // conversation of its own, so that none waits for another's.
    let (answers, answers_heard) = mpsc::unbounded_channel();
    let exempt = Arc::new(Exempt::default());
    let writer = Arc::new(routes::start_writer(DEFAULT_OWNERSHIP, exempt.clone(), answers)?);
    info!(node = options.node_name, version = env!("CARGO_PKG_VERSION"), "routelet starts");

    let (inputs, queue) = mpsc::channel(QUEUE);
    let told = Told::nothing(DEFAULT_OWNERSHIP);
    let (readiness, readiness_seen) = watch::channel(Readiness::default());
    let (stop, stopped) = oneshot::channel();
    let prepare = Arc::new(Notify::new());
    own_node::start(api_server.as_ref(), &options.node_name, &told.compiled.subscribe(), &readiness_seen)?;
    let known = Known {
        compiled: told.compiled.subscribe(),
        prepared: told.prepared.subscribe(),
        readiness: readiness_seen.clone(),
        objects: Objects::new(&objects, told.errors.subscribe()),
        owned: told.ownership.subscribe(),
        exempt,
    };
    let (keepers, source) = Keepers::start(known, options.paths.clone(), prepare.clone(), inputs.clone())?;

    let urgent = kernel_watch::start(writer.port(), told.ownership.subscribe())?;
    tokio::spawn(audit::run(source.clone()));
    let limit = options.shutdown_drain_timeout.0;
    let ending = Ending { compiled: told.compiled.subscribe(), look: source.clone(), limit };
    let (manifests, readiness_shown) = (told.manifests.subscribe(), readiness_seen.clone());
    let sight = Sight { source: source.clone(), readiness: readiness_shown, manifests };
    let sessions = SessionThread::start().context("starting the thread of the sessions")?;
    let (input, port) = ((inputs.clone(), queue), (writer.clone(), answers_heard));
    let driver = Driver::new(seed(), Clock::start(), input, urgent, port, readiness, sessions.handle());
    let sights = Sights {
        look: source.clone(),
        compiled: told.compiled.subscribe(),
        errors: told.errors.subscribe(),
        readiness: readiness_seen,
        not_listening: driver.not_listening(),
    };
    let reporter = Reporter::start(api_server, &options.node_name, seed(), sights)?;
    let configuration = Configuration {
        node_name: options.node_name,
        paths: options.paths,
        netlink: Netlink::open()?,
        writer,
        told,
        prepare,
        inputs,
    };
    let mut configuration = tokio::spawn(configuration.follow(objects));
    let mut api = tokio::spawn(api.serve(source, std::future::pending()));
    let mut http = tokio::spawn(http::serve(http, sight, std::future::pending()));
    let mut driver = tokio::spawn(driver.run(stopped));

    let interrupted = tokio::select! {
        interrupted = signals.interrupted() => interrupted,
        ended = &mut driver => bail!("the driver has ended: {ended:?}"),
        ended = &mut configuration => bail!("nobody follows the manifests any more: {ended:?}"),
        ended = &mut api => bail!("the API has ended: {ended:?}"),
        ended = &mut http => bail!("the metrics server has ended: {ended:?}"),
    };
    let departure = signals.prepare(interrupted, &ending).await;
    reporter.end().await;
    // A driver that is gone is noticed in the next line.
    let _ = stop.send(departure);
    driver.await.context("taking leave of the peers")?;
    keepers.end(interrupted).await?;
    api.abort();
    // The socket file goes with its server.
    let _ = api.await;
    Ok(())
}

/// Where the daemon is asked: by commands, and over HTTP. Before the first of thousands of descriptors, it is permitted
/// to have them.
async fn listen(options: &Options) -> anyhow::Result<(api::Listener, TcpListener)> {
    descriptors::raise_limit();
    let api = api::Listener::bind(&options.api_socket)?;
    let http = TcpListener::bind(options.metrics_listen)
        .await
        .with_context(|| format!("listening for metrics on {}", options.metrics_listen))?;
    Ok((api, http))
}

/// The API server, and how it stands as a source.
type Server = (ApiServer, watch::Receiver<Health>);

/// Where the objects come from; with it the API server, if that is where.
async fn source_of(options: &Options) -> anyhow::Result<(cluster::Source, Option<Server>)> {
    let objects = &options.objects;
    if let Some(directory) = &objects.manifests {
        let watch = ManifestDirectory::new(directory).watch()?;
        return Ok((cluster::Source::Manifests(Box::new(watch)), None));
    }
    let server = api_server::connect(objects.kubeconfig.as_deref(), objects.namespace.as_deref()).await?;
    info!(url = server.url(), by = server.origin(), namespace = server.namespace(), "the API server");
    let watch = server.watch(&options.node_name, &options.paths.state_dir)?;
    let health = watch.health();
    Ok((cluster::Source::ApiServer(Box::new(watch)), Some((server, health))))
}

/// A number that differs from start to start and from node to node, for the jitter of timers.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
