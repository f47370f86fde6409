//! Dynamic peers over real sockets: many of them, keys that are rotated, TTLs that are checked.

use std::net::IpAddr;

use routelet::api::proto::{PeerOrigin, SessionState};

use crate::played::Played;
use crate::rig::{Addressing, Cluster};

const MANY: usize = 40;

/// node1's daemon, and addresses on the other end of its wire.
async fn rack(name: &str, hosts: &[String]) -> Cluster {
    let cluster = Cluster::new(name, Addressing::Dual).await;
    for host in hosts {
        let length = if host.contains(':') { 64 } else { 24 };
        cluster.add_address(1, &format!("{host}/{length}")).await;
    }
    cluster
}

/// A `BgpPeer` with a range, and the Secret with its password.
fn range(name: &str, range: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{password: {name}-key}}\n---\n\
         apiVersion: routelet.dev/v1alpha1\nkind: BgpPeer\nmetadata: {{name: {name}}}\n\
         spec: {{range: \"{range}\", asn: external, timers: {{hold: 90s}}{more}}}\n---\n"
    )
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// node1's address of the same family.
fn daemon(host: &str) -> IpAddr {
    address(if host.contains(':') { "fd00:192:168:1::11" } else { "192.168.1.11" })
}

async fn come(cluster: &Cluster, host: &str, key: Option<&str>) -> Played {
    Played::connect(cluster.namespace(1), address(host), daemon(host), key).await
}

#[tokio::test]
async fn many_peers_come_from_a_range_and_one_too_many_is_refused() {
    let hosts: Vec<String> = (0..MANY).map(|i| format!("192.168.1.{}", 100 + i)).collect();
    let mut cluster = rack("many", &hosts).await;
    cluster.configure(&range("rack", "192.168.1.0/24", &format!(", limit: {}", MANY - 1)));
    cluster.start(0);
    let mut peers = vec![];
    for (i, host) in hosts[1..].iter().enumerate() {
        let mut peer = come(&cluster, host, None).await;
        peer.establish(65_000 + i as u32, 90).await;
        peers.push(peer);
    }
    let shown = |wanted: usize| {
        let cluster = &cluster;
        async move {
            cluster
                .eventually(0, &format!("{wanted} dynamic peers"), async || {
                    let peers = cluster.peers(0).await;
                    // One that sits out its idle hold time keeps its place, and is shown.
                    let established = i32::from(SessionState::Established);
                    peers.len() == wanted
                        && peers.iter().all(|peer| peer.state == established)
                        && peers.iter().all(|peer| peer.origin == i32::from(PeerOrigin::Dynamic))
                        && peers.iter().all(|peer| peer.name == format!("rack/{}", peer.address))
                })
                .await;
        }
    };
    shown(MANY - 1).await;

    let mut refused = come(&cluster, &hosts[0], None).await;
    assert_eq!(refused.farewell().await.as_deref(), Some("Cease: Connection Rejected"));
    assert!(refused.hear().await.is_none(), "and closed");
    cluster.await_metric(0, "routelet_bgp_range_refused_total{range=\"rack\"} 1").await;
    let log = cluster.log(0);
    assert!(
        log.contains("rack has 39 dynamic peers, its limit: refused a connection from 192.168.1.100"),
        "{log}"
    );

    peers.truncate(5);
    shown(5).await;
    let mut admitted = come(&cluster, &hosts[0], None).await;
    admitted.establish(64_999, 90).await;
    shown(6).await;
    cluster.terminate(0).await;
    let farewell = admitted.farewell().await.unwrap();
    assert_eq!(farewell, "Cease: Administrative Shutdown \"routelet is stopping\"");
}

#[tokio::test]
async fn a_silent_dynamic_peer_is_given_up_after_its_hold_time() {
    let host = "192.168.1.100".to_owned();
    let mut cluster = rack("silent", std::slice::from_ref(&host)).await;
    cluster.configure(&range("rack", "192.168.1.0/24", ""));
    cluster.start(0);
    let mut peer = come(&cluster, &host, None).await;
    peer.establish(65_000, 3).await;
    assert_eq!(peer.farewell().await.as_deref(), Some("Hold Timer Expired"));
    cluster.eventually(0, "no peer left", async || cluster.peers(0).await.is_empty()).await;
}

#[tokio::test]
async fn rotating_the_password_of_a_range_disturbs_nobody_else() {
    for (ours, theirs, first, second) in [
        ("192.168.1.64/26", "192.168.1.128/26", "192.168.1.65", "192.168.1.129"),
        ("fd00:192:168:1:1::/80", "fd00:192:168:1:2::/80", "fd00:192:168:1:1::1", "fd00:192:168:1:2::1"),
    ] {
        let name = if first.contains(':') { "rotate6" } else { "rotate4" };
        let hosts = [first.to_owned(), second.to_owned()];
        let mut cluster = rack(name, &hosts).await;
        let secured = |name: &str| format!(", passwordSecretRef: {{name: {name}, key: password}}");
        let row = range("row", theirs, &secured("row"));
        cluster.configure(&(range("rack", ours, &secured("rack")) + &row));
        cluster.start(0);
        let mut rotated = come(&cluster, first, Some("rack-key")).await;
        rotated.establish(65_001, 90).await;
        let mut untouched = come(&cluster, second, Some("row-key")).await;
        untouched.establish(65_002, 90).await;

        let renewed = range("rack", ours, &secured("rack")).replace("rack-key", "renewed");
        cluster.configure(&(renewed + &row));
        assert_eq!(rotated.farewell().await.as_deref(), Some("Cease: Other Configuration Change"));

        // The old key finds no ear, the new one does.
        let namespace = cluster.namespace(1);
        let mut stale = Box::pin(Played::attempt(namespace, address(first), daemon(first), Some("rack-key")));
        tokio::select! {
            _ = &mut stale => panic!("the old key still opens"),
            () = cluster.await_md5_failure(0) => {}
        }
        drop(stale);
        let mut again = come(&cluster, first, Some("renewed")).await;
        again.establish(65_001, 90).await;

        // The other range's session has gone on all the time, and its key still holds for the next.
        let flaps = format!("routelet_bgp_session_flaps_total{{peer=\"row/{second}\"}} 0");
        cluster.await_metric(0, &flaps).await;
        drop(untouched);
        let gone = async || cluster.peers(0).await.iter().all(|peer| peer.address != second);
        cluster.eventually(0, "the other is gone", gone).await;
        come(&cluster, second, Some("row-key")).await.establish(65_002, 90).await;
    }
}

#[tokio::test]
async fn a_range_may_insist_on_who_is_near() {
    let host = "192.168.1.100".to_owned();
    let mut cluster = rack("gtsm", std::slice::from_ref(&host)).await;
    cluster.configure(&range("rack", "192.168.1.0/24", ", ttlSecurity: {hops: 1}"));
    cluster.start(0);
    let mut peer = come(&cluster, &host, None).await;
    peer.establish(65_000, 90).await;
    peer.set_ttl(254);
    let before = cluster.dropped_for_ttl(0);
    peer.say(&routelet::bgp::Codec::initial().encode_keepalive()).await;
    cluster.eventually(0, "a packet from afar", async || cluster.dropped_for_ttl(0) > before).await;
}
