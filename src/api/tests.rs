//! The API from end to end, over a real Unix socket.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::fixture::{self, Fixture};
use super::{Client, Destinations, Error, Listener, RouteFilter, Source, proto, serve, within};

/// A directory of one test's own, gone with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("routelet-test-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A served fixture.
pub(crate) struct Served {
    directory: Directory,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), Error>>,
}

impl Served {
    pub(crate) fn new(name: &str, fixture: Fixture) -> Served {
        let directory = Directory::new(name);
        let (stop, stopped) = oneshot::channel();
        // Bound before the task runs, so that no test has to wait for it.
        let listener = Listener::bind(&directory.path().join("api.sock")).unwrap();
        let server = tokio::spawn(listener.serve(Arc::new(fixture), async {
            let _ = stopped.await;
        }));
        Served { directory, stop, server }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("api.sock")
    }

    async fn client(&self) -> Client {
        Client::connect(&self.socket()).await.unwrap()
    }
}

#[tokio::test]
async fn everything_a_source_says_arrives() {
    let served = Served::new("arrives", Fixture::Node1);
    let mut client = served.client().await;

    let mut summary = fixture::summary().into();
    fixture::kernel().tell(&mut summary);
    fixture::pods().tell(&mut summary);
    fixture::objects().tell(&mut summary);
    assert_eq!((summary.settings.len(), summary.rules.len(), summary.pools.len()), (3, 2, 2));
    assert_eq!(client.summary().await.unwrap(), summary);
    let peers: Vec<proto::Peer> = fixture::peers().into_iter().map(Into::into).collect();
    assert_eq!(client.peers(None).await.unwrap().collect().await.unwrap(), peers);
    assert_eq!(client.peers(Some("tor")).await.unwrap().collect().await.unwrap(), peers[2..]);
    assert_eq!(client.peers(Some("no")).await.unwrap().collect().await.unwrap(), []);
    let fib: Vec<proto::FibRoute> = fixture::fib().into_iter().map(Into::into).collect();
    assert_eq!(client.fib().await.unwrap().collect().await.unwrap(), fib);
    let differences: Vec<proto::FibDifference> = fixture::differences().into_iter().map(Into::into).collect();
    assert_eq!(differences.len(), 3);
    assert_eq!(client.audit().await.unwrap().collect().await.unwrap(), differences);
}

#[tokio::test]
async fn route_filters_reach_the_source() {
    let served = Served::new("filters", Fixture::Node1);
    let mut client = served.client().await;
    let mut prefixes = async |filter: RouteFilter| -> Vec<String> {
        let routes = client.routes(filter).await.unwrap().collect().await.unwrap();
        routes.into_iter().map(|route| route.prefix).collect()
    };
    let destinations = |destinations| RouteFilter { family: None, destinations };

    assert_eq!(prefixes(RouteFilter::default()).await.len(), 5);
    let v6 = RouteFilter { family: Some(crate::prefix::Family::Ipv6Unicast), ..Default::default() };
    assert_eq!(prefixes(v6).await, ["fd00:10:244:2::/64"]);
    let exactly = Destinations::Exactly("10.244.2.0/24".parse().unwrap());
    assert_eq!(prefixes(destinations(exactly)).await, ["10.244.2.0/24"]);
    let covering = Destinations::Covering("172.16.0.10".parse().unwrap());
    assert_eq!(prefixes(destinations(covering)).await, ["172.16.0.0/24"]);
    let elsewhere = Destinations::Covering("8.8.8.8".parse().unwrap());
    assert_eq!(prefixes(destinations(elsewhere)).await, ["0.0.0.0/0"]);
}

#[test]
fn a_request_that_makes_no_sense_says_why() {
    use proto::list_routes_request::Destination;

    let error = |destination, family| {
        RouteFilter::try_from(proto::ListRoutesRequest { destination, family }).unwrap_err()
    };
    assert_eq!(
        error(Some(Destination::Prefix("10.0.0.1/8".to_owned())), 0),
        "prefix: \"10.0.0.1/8\" has host bits set; the prefix is 10.0.0.0/8"
    );
    assert_eq!(
        error(Some(Destination::Covering("ten".to_owned())), 0),
        "covering: \"ten\" is not an address"
    );
    assert_eq!(error(None, 9), "family: 9 is not known");
}

#[tokio::test]
async fn a_source_without_an_answer_gives_its_reason() {
    let served = Served::new("silent", Fixture::Silent("the speaker is starting"));
    let error = served.client().await.summary().await.unwrap_err();
    assert_eq!(error.to_string(), "the daemon answers: the speaker is starting");
}

#[tokio::test]
async fn a_stuck_source_does_not_hold_the_asker() {
    let limit = Duration::from_millis(10);
    let error = within(limit, Fixture::Stuck.summary()).await.unwrap_err();
    assert_eq!(error.to_string(), "the speaker gave no answer within 10ms");
}

#[tokio::test]
async fn the_socket_is_root_s_and_its_directory_is_made() {
    let directory = Directory::new("mode");
    let path = directory.path().join("run/routelet/api.sock");
    let listener = Listener::bind(&path).unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o755);
    drop(listener);
    assert!(!path.exists(), "a dropped listener leaves its socket behind");
}

#[tokio::test]
async fn a_living_daemon_keeps_its_socket_and_a_dead_one_loses_it() {
    let served = Served::new("taken", Fixture::Node1);
    let path = served.socket();
    let error = Listener::bind(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("another routelet daemon answers on {}", path.display()));
    served.client().await.summary().await.unwrap();

    // A std listener leaves its file behind, as a killed daemon does.
    let stale = served.directory.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let listener = Listener::bind(&stale).unwrap();
    std::os::unix::net::UnixStream::connect(&stale).unwrap();
    drop(listener);
}

#[tokio::test]
async fn what_is_not_a_socket_is_not_removed() {
    let directory = Directory::new("file");
    let path = directory.path().join("notes.txt");
    fs::write(&path, "precious").unwrap();
    let error = Listener::bind(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is there already and is not a socket", path.display()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_listener_removes_no_socket_but_its_own() {
    let directory = Directory::new("other");
    let path = directory.path().join("api.sock");
    let first = Listener::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let second = Listener::bind(&path).unwrap();
    drop(first);
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    drop(second);
}

#[tokio::test]
async fn shutdown_ends_the_server_and_removes_the_socket_even_with_a_client_connected() {
    let served = Served::new("shutdown", Fixture::Node1);
    let path = served.socket();
    let _idle = served.client().await;
    served.stop.send(()).unwrap();
    served.server.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_the_socket() {
    let directory = Directory::new("nobody");
    let path = directory.path().join("api.sock");
    let Error::Unreachable { path: named, source } = Client::connect(&path).await.unwrap_err() else {
        panic!("another error");
    };
    assert_eq!((named, source.kind()), (path.clone(), ErrorKind::NotFound));

    let error = serve(&path.join("x".repeat(120)), Arc::new(Fixture::Node1), async {}).await.unwrap_err();
    assert!(error.to_string().contains("path must be shorter"), "{error}");
}
