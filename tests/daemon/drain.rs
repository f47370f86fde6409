//! `routelet drain` against a peer that the test plays: what it is told in which order, what stays, and how
//! it comes back.

use routelet::bgp::{AsPath, Message, PathAttributes, Update};
use routelet::prefix::{Family, Prefix};
use routelet::rib::well_known::{GRACEFUL_SHUTDOWN, bears};

use crate::played::{Played, codec};
use crate::rig::{Addressing, Cluster};

const PEER: &str = "192.168.1.100";
const PEER_ASN: u32 = 65_000;
const THEIRS: &str = "172.16.0.0/24";

const OBJECT: &str = "\
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: tor}
spec:
  nodeSelector: {matchLabels: {name: node1}}
  address: 192.168.1.100
  asn: 65000
  passive: true
  import: {accept: [{prefix: 172.16.0.0/12, le: 32}]}
  export: {accept: [{prefix: 10.244.0.0/16, le: 24}]}
";

/// A session over which the peer has announced a prefix and said End-of-RIB.
async fn come(cluster: &Cluster) -> Played {
    let (from, to) = (PEER.parse().unwrap(), "192.168.1.11".parse().unwrap());
    let mut peer = Played::connect(cluster.namespace(1), from, to, None).await;
    peer.establish(PEER_ASN, 90).await;
    peer.reads_updates(codec());
    let as_path = AsPath::sequence([PEER_ASN]);
    let attributes = PathAttributes { as_path, ..PathAttributes::originated(from) };
    let (mut octets, prefix) = (vec![], THEIRS.parse::<Prefix>().unwrap());
    codec().encode_announcements(&attributes, &[prefix], &mut octets);
    codec().encode_end_of_rib(Family::Ipv4Unicast, &mut octets);
    peer.say(&octets).await;
    peer
}

/// The next UPDATE that says something.
async fn hear_update(peer: &mut Played) -> Update {
    loop {
        match peer.hear().await {
            Some(Message::Update(update)) if update.end_of_rib.is_none() => return update,
            Some(Message::Update(_) | Message::Keepalive) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn drained(cluster: &Cluster) -> Option<Played> {
    let mut peer = come(cluster).await;
    let ours = cluster.pod_cidrs(0);
    let told = hear_update(&mut peer).await.announced.remove(0);
    assert_eq!(told.prefixes, ours);
    assert!(!bears(&told.attributes, GRACEFUL_SHUTDOWN));
    cluster.await_learned(0, &[THEIRS.parse().unwrap()]).await;

    let output =
        cluster.routelet(0, &["drain", "--settle", "1s", "--timeout", "10s", "--reason", "new switch"]);
    let said: Vec<&str> = output.lines().filter_map(|line| line.split([' ', ':']).next()).collect();
    assert_eq!(said, ["asking", "waiting", "withdrawing", "closing", "drained"], "{output}");

    let asked = hear_update(&mut peer).await.announced.remove(0);
    assert_eq!(asked.prefixes, ours);
    assert!(bears(&asked.attributes, GRACEFUL_SHUTDOWN));
    assert_eq!(asked.attributes.local_pref, None, "it is external");
    assert_eq!(hear_update(&mut peer).await.withdrawn, ours);
    let farewell = "Cease: Administrative Shutdown \"new switch\"";
    assert_eq!(peer.farewell().await.as_deref(), Some(farewell));
    peer.hear().await.is_some().then_some(peer)
}

#[tokio::test]
async fn a_drain_asks_then_withdraws_then_leaves_and_moves_no_route_of_its_own() {
    let mut cluster = Cluster::new("drain", Addressing::Ipv4).await;
    cluster.add_address(1, &format!("{PEER}/24")).await;
    cluster.configure(OBJECT);
    cluster.start(0);
    assert!(drained(&cluster).await.is_none(), "the connection is closed");
    let changes = cluster.route_changes(0).await;

    cluster.await_metric(0, "routelet_drain_stage 5").await;
    let ready = cluster.ready(0);
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(ready.contains("the node is drained: all sessions are closed"), "{ready}");
    let shown = cluster.peers(0).await.remove(0);
    assert_eq!(shown.last_error.as_deref(), Some("drained: new switch"));
    assert_eq!(cluster.learned(0).await, [THEIRS.parse::<Prefix>().unwrap()]);

    // Whoever dials meanwhile finds nobody.
    let (from, to) = (PEER.parse().unwrap(), "192.168.1.11".parse().unwrap());
    let mut early = Played::connect(cluster.namespace(1), from, to, None).await;
    assert!(early.hear().await.is_none());

    let output = cluster.routelet(0, &["undrain"]);
    assert_eq!(output, "the drain is taken back\n");
    let mut peer = come(&cluster).await;
    let told = hear_update(&mut peer).await.announced.remove(0);
    assert!(!bears(&told.attributes, GRACEFUL_SHUTDOWN));
    cluster.await_metric(0, "routelet_drain_stage 0").await;
    let fresh = "routelet_bgp_stale_paths{peer=\"tor\",family=\"ipv4Unicast\"} 0";
    cluster.await_metric(0, fresh).await;
    cluster.eventually(0, "ready again", async || cluster.ready(0).starts_with("HTTP/1.1 200 ")).await;
    assert_eq!(changes.count().await, 0);
}

#[tokio::test]
async fn a_daemon_that_is_started_again_is_drained_no_more() {
    let mut cluster = Cluster::new("drain-restart", Addressing::Ipv4).await;
    cluster.add_address(1, &format!("{PEER}/24")).await;
    cluster.configure(OBJECT);
    cluster.start(0);
    assert!(drained(&cluster).await.is_none());
    cluster.terminate(0).await;
    assert_eq!(cluster.learned(0).await, [THEIRS.parse::<Prefix>().unwrap()], "as after any restart");
    cluster.start(0);
    let mut peer = come(&cluster).await;
    let told = hear_update(&mut peer).await.announced.remove(0);
    assert!(!bears(&told.attributes, GRACEFUL_SHUTDOWN));
    cluster.await_metric(0, "routelet_drain_stage 0").await;
}
