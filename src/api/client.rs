//! The commands' end of the API.

use std::path::Path;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::proto::routelet_client::RouteletClient;
use super::proto::{
    AuditFibRequest, Drain, DrainStarted, FibDifference, FibRoute, GetSummaryRequest, ListFibRequest,
    ListPeerTableRequest, ListPeersRequest, ListRoutesRequest, Peer, PeerTable, Route, StartDrainRequest,
    Summary, UndrainRequest, Undrained, WatchDrainRequest,
};
use super::{Error, RouteFilter};
use crate::prefix::Prefix;

/// A conversation with a running daemon.
#[derive(Debug, Clone)]
pub struct Client {
    inner: RouteletClient<Channel>,
}

impl Client {
    /// Connects to the daemon that answers on a socket.
    ///
    /// # Errors
    /// Nobody answers there, or something that is not a routelet daemon.
    pub async fn connect(path: &Path) -> Result<Client, Error> {
        // The first connection is made here rather than inside tonic, for the kernel's own answer.
        let connection = UnixStream::connect(path)
            .await
            .map_err(|source| Error::Unreachable { path: path.to_owned(), source })?;
        let mut first = Some(connection);
        let socket = path.to_owned();
        let connector = service_fn(move |_| {
            let first = first.take();
            let socket = socket.clone();
            async move {
                let stream = match first {
                    Some(stream) => stream,
                    None => UnixStream::connect(socket).await?,
                };
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        // gRPC wants an authority; a Unix socket has none, and the server does not look.
        let channel = Endpoint::from_static("http://routelet")
            .connect_with_connector(connector)
            .await
            .map_err(|source| Error::NotAnApi { path: path.to_owned(), source })?;
        Ok(Client { inner: RouteletClient::new(channel) })
    }

    /// The whole speaker in a few numbers.
    ///
    /// # Errors
    /// The daemon refused or broke off.
    pub async fn summary(&mut self) -> Result<Summary, Error> {
        Ok(self.inner.get_summary(GetSummaryRequest {}).await?.into_inner())
    }

    /// Every peer, or the one of that name.
    ///
    /// # Errors
    /// The daemon refused or broke off.
    pub async fn peers(&mut self, name: Option<&str>) -> Result<Answers<Peer>, Error> {
        let request = ListPeersRequest { name: name.map(str::to_owned) };
        Ok(Answers(self.inner.list_peers(request).await?.into_inner()))
    }

    /// The routes that `filter` lets through.
    ///
    /// # Errors
    /// The daemon refused or broke off.
    pub async fn routes(&mut self, filter: RouteFilter) -> Result<Answers<Route>, Error> {
        let request = ListRoutesRequest::from(filter);
        Ok(Answers(self.inner.list_routes(request).await?.into_inner()))
    }

    /// One of a peer's tables, as far as it lies inside `within`.
    ///
    /// # Errors
    /// There is no such peer, or the daemon refused or broke off.
    pub async fn peer_table(
        &mut self,
        peer: &str,
        table: PeerTable,
        within: Option<Prefix>,
    ) -> Result<Answers<Route>, Error> {
        let request = ListPeerTableRequest {
            peer: peer.to_owned(),
            table: table.into(),
            family: 0,
            within: within.map(|within| within.to_string()),
        };
        Ok(Answers(self.inner.list_peer_table(request).await?.into_inner()))
    }

    /// Every route of ours.
    ///
    /// # Errors
    /// The daemon refused or broke off.
    pub async fn fib(&mut self) -> Result<Answers<FibRoute>, Error> {
        Ok(Answers(self.inner.list_fib(ListFibRequest {}).await?.into_inner()))
    }

    /// Where the kernel's routes differ from what is desired.
    ///
    /// # Errors
    /// The daemon refused or broke off.
    pub async fn audit(&mut self) -> Result<Answers<FibDifference>, Error> {
        Ok(Answers(self.inner.audit_fib(AuditFibRequest {}).await?.into_inner()))
    }

    /// Begins a drain.
    ///
    /// # Errors
    /// The daemon refused or broke off.
    pub async fn start_drain(&mut self, request: StartDrainRequest) -> Result<DrainStarted, Error> {
        Ok(self.inner.start_drain(request).await?.into_inner())
    }

    /// A drain as it is now and whenever it has changed, until it has come to its end or is taken back.
    ///
    /// # Errors
    /// The daemon refused or broke off.
    pub async fn watch_drain(&mut self) -> Result<Answers<Drain>, Error> {
        Ok(Answers(self.inner.watch_drain(WatchDrainRequest {}).await?.into_inner()))
    }

    /// Takes a drain back.
    ///
    /// # Errors
    /// The daemon refused or broke off.
    pub async fn undrain(&mut self) -> Result<Undrained, Error> {
        Ok(self.inner.undrain(UndrainRequest {}).await?.into_inner())
    }
}

/// A list that arrives piece by piece.
#[derive(Debug)]
pub struct Answers<T>(tonic::Streaming<T>);

impl<T> Answers<T> {
    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// The daemon broke off in the middle: what has arrived is not the whole list.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        Ok(self.0.message().await?)
    }

    /// All that are left.
    ///
    /// # Errors
    /// As of [`Answers::next`].
    pub async fn collect(mut self) -> Result<Vec<T>, Error> {
        let mut all = vec![];
        while let Some(one) = self.next().await? {
            all.push(one);
        }
        Ok(all)
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Error {
        Error::Refused(Box::new(status))
    }
}
