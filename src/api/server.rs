//! The daemon's end of the API.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream, TryStreamExt as _};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::drain::watched;
use super::proto::routelet_server::{Routelet, RouteletServer};
use super::proto::{
    AuditFibRequest, Drain, DrainStarted, FibDifference, FibRoute, GetSummaryRequest, ListFibRequest,
    ListPeerTableRequest, ListPeersRequest, ListRoutesRequest, Peer, Route, StartDrainRequest, Summary,
    UndrainRequest, Undrained, WatchDrainRequest,
};
use super::source::within;
use super::{Error, Listener, RouteFilter, Source, TableFilter, Unavailable};
use crate::speaker::DrainTerms;
use crate::speaker::peer_table::{Cursor, Portion};
use crate::speaker::view::RouteView;

/// How long the speaker may take over one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long the kernel's routes may take to be read and compared, twice. Some 5 s for a million on an idle
/// machine.
const AUDIT_LIMIT: Duration = Duration::from_secs(60);
/// How long a reader may go on reading once the daemon is asked to stop.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// Binds the API socket and answers on it until `shutdown` completes.
///
/// # Errors
/// As of [`Listener::bind`], or the server failed.
pub async fn serve<S: Source>(
    path: &Path,
    source: Arc<S>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    Listener::bind(path)?.serve(source, shutdown).await
}

impl Listener {
    /// Answers until `shutdown` completes, then removes the socket. Apart from [`serve`] for a
    /// daemon that wants to know early that the socket is its own.
    ///
    /// # Errors
    /// The server failed.
    pub async fn serve<S: Source>(
        self,
        source: Arc<S>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let (incoming, _file) = self.into_incoming();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tonic::transport::Server::builder()
            .add_service(RouteletServer::new(Service { source }))
            .serve_with_incoming_shutdown(incoming, async {
                // An error says that `stop` is gone, which asks for the same.
                let _ = stopped.await;
            });
        tokio::pin!(server);
        tokio::select! {
            ended = &mut server => return ended.map_err(Error::Server),
            () = shutdown => drop(stop),
        }
        // A reader that has stalled in the middle of a list would hold the daemon for ever.
        tokio::time::timeout(STOP_LIMIT, server).await.unwrap_or(Ok(())).map_err(Error::Server)
    }
}

struct Service<S> {
    source: Arc<S>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl<S: Source> Routelet for Service<S> {
    async fn get_summary(&self, _: Request<GetSummaryRequest>) -> Result<Response<Summary>, Status> {
        let mut summary = within(ANSWER_LIMIT, self.source.summary()).await?.into();
        self.source.kernel().tell(&mut summary);
        self.source.pods().tell(&mut summary);
        self.source.objects().tell(&mut summary);
        Ok(Response::new(summary))
    }

    type ListPeersStream = Answers<Peer>;

    async fn list_peers(
        &self,
        request: Request<ListPeersRequest>,
    ) -> Result<Response<Self::ListPeersStream>, Status> {
        let mut peers = within(ANSWER_LIMIT, self.source.peers()).await?;
        if let Some(name) = request.into_inner().name {
            peers.retain(|peer| peer.name == name);
        }
        Ok(answers(peers))
    }

    type ListRoutesStream = Answers<Route>;

    async fn list_routes(
        &self,
        request: Request<ListRoutesRequest>,
    ) -> Result<Response<Self::ListRoutesStream>, Status> {
        let filter = RouteFilter::try_from(request.into_inner()).map_err(Status::invalid_argument)?;
        let mut routes = within(ANSWER_LIMIT, self.source.routes(filter)).await?;
        filter.narrow(&mut routes);
        Ok(answers(routes))
    }

    type ListPeerTableStream = Answers<Route>;

    async fn list_peer_table(
        &self,
        request: Request<ListPeerTableRequest>,
    ) -> Result<Response<Self::ListPeerTableStream>, Status> {
        let asked = TableFilter::try_from(request.into_inner()).map_err(Status::invalid_argument)?;
        let first = within(ANSWER_LIMIT, self.source.peer_table(&asked, Cursor::default())).await?;
        let first = first.ok_or_else(|| Status::not_found(format!("no peer is called {:?}", asked.peer)))?;
        Ok(Response::new(in_portions(self.source.clone(), asked, first)))
    }

    type ListFibStream = Answers<FibRoute>;

    async fn list_fib(&self, _: Request<ListFibRequest>) -> Result<Response<Self::ListFibStream>, Status> {
        Ok(answers(within(ANSWER_LIMIT, self.source.fib()).await?))
    }

    type AuditFibStream = Answers<FibDifference>;

    async fn audit_fib(&self, _: Request<AuditFibRequest>) -> Result<Response<Self::AuditFibStream>, Status> {
        Ok(answers(within(AUDIT_LIMIT, self.source.audit()).await?))
    }

    async fn start_drain(
        &self,
        request: Request<StartDrainRequest>,
    ) -> Result<Response<DrainStarted>, Status> {
        let terms = DrainTerms::try_from(request.into_inner()).map_err(Status::invalid_argument)?;
        let begun = within(ANSWER_LIMIT, self.source.start_drain(terms)).await?;
        let drain = within(ANSWER_LIMIT, self.source.drain()).await?;
        Ok(Response::new(DrainStarted { begun, drain: drain.map(Into::into) }))
    }

    async fn undrain(&self, _: Request<UndrainRequest>) -> Result<Response<Undrained>, Status> {
        let ended = within(ANSWER_LIMIT, self.source.undrain()).await?;
        let left = if ended { None } else { within(ANSWER_LIMIT, self.source.drain()).await? };
        Ok(Response::new(Undrained { ended, kept_by: left.map(|drain| drain.terms.reason) }))
    }

    type WatchDrainStream = Answers<Drain>;

    async fn watch_drain(
        &self,
        _: Request<WatchDrainRequest>,
    ) -> Result<Response<Self::WatchDrainStream>, Status> {
        Ok(Response::new(Box::pin(watched(self.source.clone()))))
    }
}

/// A table as a stream, of which one portion at a time is in memory: the next is asked for when the
/// reader has taken the one before.
fn in_portions<S: Source>(source: Arc<S>, asked: TableFilter, first: Portion) -> Answers<Route> {
    let portions = stream::try_unfold(Next::Known(first), move |next| {
        let (source, asked) = (source.clone(), asked.clone());
        async move {
            let portion = match next {
                Next::Known(portion) => portion,
                // A peer that is gone meanwhile has nothing more to show.
                Next::From(cursor) => {
                    within(ANSWER_LIMIT, source.peer_table(&asked, cursor)).await?.unwrap_or_default()
                }
                Next::Nothing => return Ok::<_, Status>(None),
            };
            let next = portion.next.map_or(Next::Nothing, Next::From);
            Ok(Some((portion.routes, next)))
        }
    });
    let each = |routes: Vec<RouteView>| stream::iter(routes.into_iter().map(|route| Ok(route.into())));
    Box::pin(portions.map_ok(each).try_flatten())
}

/// What of a table comes next.
enum Next {
    Known(Portion),
    From(Cursor),
    Nothing,
}

/// Views as a stream of messages, each converted when the reader has room for it.
fn answers<View, Message>(views: Vec<View>) -> Response<Answers<Message>>
where
    View: Into<Message> + Send + 'static,
{
    Response::new(Box::pin(stream::iter(views.into_iter().map(|view| Ok(view.into())))))
}

impl From<Unavailable> for Status {
    fn from(unavailable: Unavailable) -> Status {
        Status::unavailable(unavailable.to_string())
    }
}
