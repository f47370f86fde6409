//! Lists and watches that go as they should, and those that end or have to begin anew.

use std::time::Duration;

use serde_json::json;

use crate::faults::Fault;
use crate::rig::{NODE, NODES, PEERS, Rig, node, peer};
use crate::streams::Say;

#[tokio::test]
async fn what_there_is_and_then_what_happens_to_it() {
    let rig = Rig::new();
    let mut observed = rig.watch().await;
    let first = observed.next().await;
    assert_eq!(first.objects.nodes.keys().collect::<Vec<_>>(), ["node1", "node2"]);
    assert_eq!(first.objects.configurations.len(), 1);
    assert_eq!((&first.warnings, &first.faults), (&vec![], &vec![]));
    rig.server.put(node(3));
    observed.until_nodes(&["node1", "node2", "node3"]).await;
    rig.server.put(peer("tor-a", "192.168.1.1", None));
    observed.until("a peer", |objects| objects.peers.len() == 1).await;
    rig.server.merge("/api/v1/nodes/node3", &json!({"spec": {"podCIDRs": ["10.9.9.0/24"]}}));
    let cidr = "10.9.9.0/24".parse().unwrap();
    observed.until("another pod CIDR", |objects| objects.nodes["node3"].pod_cidrs == [cidr]).await;
    rig.server.delete("/api/v1/nodes/node2");
    observed.until_nodes(&["node1", "node3"]).await;
    // One list of each kind, in a stream, from the server's cache.
    assert_eq!(rig.server.count(NODES, "sendInitialEvents"), 1);
    let list = rig.server.requests().into_iter().find(|request| request.path == NODES).unwrap();
    assert_eq!(
        (list.query["resourceVersion"].as_str(), list.query["resourceVersionMatch"].as_str()),
        ("0", "NotOlderThan")
    );
}

#[tokio::test]
async fn a_server_without_streamed_lists_gives_pages() {
    let rig = Rig::new();
    rig.server.stream_no_lists();
    for number in 3..=1200 {
        rig.server.put(node(number));
    }
    let mut observed = rig.watch().await;
    assert_eq!(observed.next().await.objects.nodes.len(), 1200);
    assert_eq!(rig.server.count(NODES, "continue"), 2);
    rig.server.put(node(1201));
    observed.until("one more", |objects| objects.nodes.len() == 1201).await;
    // It is not asked for a stream again.
    rig.server.forget_history();
    rig.server.say(NODES, Say::End);
    rig.server.put(node(1202));
    observed.until("one more", |objects| objects.nodes.len() == 1202).await;
    assert_eq!(rig.server.count(NODES, "sendInitialEvents"), 1);
}

/// As Kubernetes 1.36 answers over etcd 3.4.
#[tokio::test]
async fn a_server_whose_store_cannot_stream_gives_pages() {
    let rig = Rig::new();
    let said = "a watch stream was requested by the client but the required storage feature \
                RequestWatchProgress is disabled";
    rig.server.fail_times(NODES, Fault::Status(500, said), 1);
    let mut observed = rig.watch().await;
    assert_eq!(observed.next().await.objects.nodes.len(), 2);
    assert_eq!(rig.server.count(NODES, "sendInitialEvents"), 1);
    rig.server.put(node(3));
    observed.until("one more", |objects| objects.nodes.len() == 3).await;
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    for (say, name) in [(Say::End, "node3"), (Say::HalfALine, "node4")] {
        // A bookmark is a version to go on from, like that of an object.
        rig.server.put(peer(name, "192.0.2.1", None));
        rig.server.say(NODES, Say::Bookmark);
        let watches = rig.server.count(NODES, "watch");
        rig.server.say(NODES, say);
        let number = name.strip_prefix("node").unwrap().parse().unwrap();
        rig.server.put(node(number));
        observed.until(name, |objects| objects.nodes.contains_key(name)).await;
        rig.eventually("watched again", || rig.server.count(NODES, "watch") > watches).await;
        rig.server.delete(&format!("{PEERS}/{name}"));
    }
    assert_eq!(rig.server.count(NODES, "sendInitialEvents"), 1, "nothing is listed twice");
    let watches = rig.server.requests().into_iter().filter(|request| request.path == NODES);
    let versions: Vec<u64> =
        watches.map(|request| request.query["resourceVersion"].parse().unwrap()).collect();
    assert!(versions.is_sorted() && versions.len() >= 3, "{versions:?}");
}

#[tokio::test]
async fn what_is_gone_is_listed_anew_and_nothing_vanishes_meanwhile() {
    for (number, by_event) in [(0, true), (1, false)] {
        let rig = Rig::new();
        let mut observed = rig.watch().await;
        observed.until_nodes(&["node1", "node2"]).await;
        // While nobody watches, one goes, one comes, and the server forgets.
        rig.server.fail(NODES, Fault::Status(500, "starting"));
        rig.server
            .say(NODES, if by_event { Say::error(410, "too old resource version: 1 (2)") } else { Say::End });
        observed.until_health("not connected", |health| !health.kinds[&NODE].connected).await;
        rig.server.delete("/api/v1/nodes/node2");
        rig.server.put(node(3));
        rig.server.forget_history();
        rig.server.mend();
        let reading = observed.next().await;
        assert_eq!(reading.objects.nodes.keys().collect::<Vec<_>>(), ["node1", "node3"], "{number}");
        assert!(rig.server.count(NODES, "sendInitialEvents") >= 2);
    }
}

#[tokio::test]
async fn a_list_that_breaks_off_changes_nothing() {
    let rig = Rig::new();
    rig.server.stream_no_lists();
    for number in 3..=600 {
        rig.server.put(node(number));
    }
    let mut observed = rig.watch().await;
    observed.until("all", |objects| objects.nodes.len() == 600).await;
    // The second page of the next list is refused, once; the first has 500 nodes.
    rig.server.forget_history();
    rig.server.delete("/api/v1/nodes/node600");
    rig.server.fail_after(NODES, 2, Fault::Status(500, "etcd is away"));
    rig.server.say(NODES, Say::error(410, "gone"));
    let reading = observed.next().await;
    assert_eq!(reading.objects.nodes.len(), 599);
    observed.assert_quiet().await;
}

#[tokio::test]
async fn a_server_that_ends_every_watch_is_not_flooded() {
    let rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    let before = rig.server.count(NODES, "watch");
    rig.server.fail(NODES, Fault::Text(""));
    rig.server.say(NODES, Say::End);
    observed.until_health("not connected", |health| !health.kinds[&NODE].connected).await;
    // What the pauses of three seconds leave room for.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let requests = rig.server.count(NODES, "watch") - before;
    assert!((2..=6).contains(&requests), "{requests} requests");
    rig.server.mend();
    rig.server.put(node(3));
    observed.until_nodes(&["node1", "node2", "node3"]).await;
}
