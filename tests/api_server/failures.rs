//! A server that is away, slow, busy, or refuses.

use std::time::Duration;

use tokio::time::Instant;

use crate::faults::Fault;
use crate::rig::{CONFIGURATIONS, NODE, NODES, PEERS, Rig, node, peer};
use crate::streams::Say;
use routelet::cluster::api_server::Kind;

#[tokio::test]
async fn a_server_that_goes_away_changes_nothing_and_returns_with_others() {
    let mut rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    rig.server.go_away();
    let health =
        observed.until_health("away", |health| health.kinds.values().all(|kind| !kind.connected)).await;
    let trouble = health.kinds[&NODE].trouble.clone().unwrap();
    assert!(trouble.starts_with("Node: the API server cannot be reached: "), "{trouble}");
    observed.assert_quiet().await;
    rig.server.put(node(3));
    rig.server.delete("/api/v1/nodes/node2");
    rig.server.forget_history();
    rig.server.come_back();
    // The one that went and the one that came are one reading.
    let reading = observed.next().await;
    assert_eq!(reading.objects.nodes.keys().collect::<Vec<_>>(), ["node1", "node3"]);
    let health =
        observed.until_health("back", |health| health.kinds.values().all(|kind| kind.connected)).await;
    assert!(health.kinds[&NODE].failures >= 1 && health.kinds[&NODE].lists >= 2, "{health:?}");
    assert_eq!(health.kinds[&NODE].trouble, None);
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_again() {
    let rig = Rig::new();
    rig.server.fail_times(NODES, Fault::Later(429, 3), 1);
    let began = Instant::now();
    let mut observed = rig.watch().await;
    let health =
        observed.until_health("busy", |health| health.kinds.get(&NODE).is_some_and(|k| k.trouble.is_some()));
    let trouble = health.await.kinds[&NODE].trouble.clone().unwrap();
    assert!(trouble.contains("429"), "{trouble}");
    observed.until_nodes(&["node1", "node2"]).await;
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn errors_of_the_server_pass() {
    let rig = Rig::new();
    rig.server.fail_times(NODES, Fault::Status(500, "etcd is away"), 1);
    rig.server.fail_times(PEERS, Fault::Status(503, "starting"), 1);
    rig.server.fail_times(CONFIGURATIONS, Fault::Text("<html>a proxy of somebody</html>\n"), 1);
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    rig.server.say(NODES, Say::Line("{\"type\": \"ADDED\", \"object\": {\"metad\n".to_owned()));
    rig.server.put(node(3));
    observed.until_nodes(&["node1", "node2", "node3"]).await;
    rig.server.say(NODES, Say::error(500, "the watch cache is full"));
    rig.server.put(node(4));
    observed.until_nodes(&["node1", "node2", "node3", "node4"]).await;
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let rig = Rig::new();
    rig.server.fail(PEERS, Fault::Slow(Duration::from_secs(1)));
    rig.server.put(peer("tor-a", "192.168.1.1", None));
    let mut observed = rig.watch().await;
    let first = observed.next().await;
    assert_eq!(first.objects.peers.len(), 1, "the first set is whole");
}

#[tokio::test]
async fn a_definition_that_is_not_installed_is_named_and_holds_nobody_up() {
    let rig = Rig::new();
    rig.server.fail(PEERS, Fault::Status(404, "the server could not find the requested resource"));
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    let health =
        observed.until_health("named", |health| health.kinds[&Kind::BgpPeer].trouble.is_some()).await;
    assert_eq!(
        health.kinds[&Kind::BgpPeer].trouble.as_deref(),
        Some(
            "BgpPeer: the API server does not know this kind: the CustomResourceDefinition bgppeers.routelet.dev is not \
             installed"
        )
    );
    // It comes later.
    rig.server.mend();
    rig.server.put(peer("tor-a", "192.168.1.1", None));
    observed.until("the peer", |objects| objects.peers.len() == 1).await;
    // A server that starts may not know its kinds yet: that removes nothing.
    rig.server.fail(PEERS, Fault::Status(404, "the server could not find the requested resource"));
    rig.server.say(PEERS, Say::error(410, "gone"));
    observed.until_health("away", |health| !health.kinds[&Kind::BgpPeer].connected).await;
    observed.assert_quiet().await;
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_and_the_others_go_on() {
    let rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    let text =
        "bgppeers.routelet.dev is forbidden: User \"system:serviceaccount:routelet:routelet\" cannot watch";
    rig.server.fail(PEERS, Fault::Status(403, text));
    rig.server.say(PEERS, Say::End);
    let refused = |trouble: &String| trouble.contains("does not permit");
    let health = observed
        .until_health("refused", |health| health.kinds[&Kind::BgpPeer].trouble.as_ref().is_some_and(refused))
        .await;
    assert!(!health.kinds[&Kind::BgpPeer].connected);
    let trouble = health.kinds[&Kind::BgpPeer].trouble.clone().unwrap();
    assert_eq!(
        trouble,
        format!("BgpPeer: the API server does not permit to list and watch bgppeers: {text}")
    );
    rig.server.put(node(3));
    observed.until_nodes(&["node1", "node2", "node3"]).await;
    assert!(observed.until_health("nodes", |health| health.kinds[&NODE].connected).await.cached.is_none());
}

#[tokio::test]
async fn without_a_permission_from_the_start_nothing_is_handed_over() {
    let rig = Rig::new();
    rig.server.fail(NODES, Fault::Status(401, "Unauthorized"));
    let mut observed = rig.watch().await;
    let health = observed
        .until_health("refused", |health| health.kinds.get(&NODE).is_some_and(|k| k.trouble.is_some()));
    let trouble = health.await.kinds[&NODE].trouble.clone().unwrap();
    assert_eq!(trouble, "Node: the API server does not know who we are: Unauthorized");
    observed.assert_quiet().await;
    rig.server.mend();
    observed.until_nodes(&["node1", "node2"]).await;
}
