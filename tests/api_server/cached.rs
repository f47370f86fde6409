//! The set that is kept for a start without the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::rig::{DEADLINE, Observed, Rig, node, peer, secret};

async fn until_kept(rig: &Rig, text: &str) {
    let kept = timeout(DEADLINE, async {
        while !fs::read_to_string(rig.cache()).is_ok_and(|kept| kept.contains(text)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(kept.await.is_ok(), "{text} is never kept");
}

#[tokio::test]
async fn a_start_without_the_server_is_from_what_was_kept() {
    let mut rig = Rig::new();
    rig.server.put(peer("tor-a", "192.168.1.1", Some("tor-a")));
    rig.server.put(secret("tor-a"));
    let mut observed = rig.watch().await;
    let before = observed.next().await.objects.clone();
    assert_eq!((before.peers.len(), before.secrets.len(), before.nodes.len()), (1, 1, 2));
    until_kept(&rig, "c2VjcmV0").await;
    let mode = fs::metadata(rig.cache()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "passwords are in it");
    drop(observed);

    rig.server.go_away();
    let mut observed = rig.watch().await;
    let began = Instant::now();
    let kept = observed.next().await;
    assert_eq!(kept.objects, before);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    observed.until_health("from what was kept", |health| health.cached.is_some()).await;
    observed.assert_quiet().await;

    // It returns with other objects, which take the place of the kept ones all at once.
    rig.server.put(node(3));
    rig.server.delete("/api/v1/nodes/node2");
    rig.server.come_back();
    observed.until_nodes(&["node1", "node3"]).await;
    assert_eq!(observed.last.objects.secrets, before.secrets);
    observed.until_health("from the server", |health| health.cached.is_none()).await;
    until_kept(&rig, "node3").await;
}

#[tokio::test]
async fn a_server_that_answers_in_time_is_not_preceded_by_what_was_kept() {
    let rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.next().await;
    until_kept(&rig, "node2").await;
    drop(observed);
    rig.server.delete("/api/v1/nodes/node2");
    let mut observed = rig.watch().await;
    assert_eq!(observed.next().await.objects.nodes.keys().collect::<Vec<_>>(), ["node1"]);
}

#[tokio::test]
async fn an_object_that_is_malformed_at_the_start_is_as_it_was_kept() {
    let rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    let before = observed.last.objects.clone();
    until_kept(&rig, "node2").await;
    drop(observed);
    let mut malformed = node(1);
    malformed["metadata"]["annotations"] = json!({"routelet.dev/asn": "none"});
    rig.server.put(malformed);
    let mut observed = rig.watch().await;
    let reading = observed.next().await;
    assert_eq!(reading.objects, before);
    assert_eq!(reading.faults.len(), 1, "{:?}", reading.faults);
}

#[tokio::test]
async fn what_is_damaged_or_of_another_cluster_is_not_used() {
    let mut rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.next().await;
    until_kept(&rig, "node2").await;
    drop(observed);
    rig.server.go_away();
    let good = fs::read_to_string(rig.cache()).unwrap();
    for bad in [
        good[..good.len() / 2].to_owned(),
        String::new(),
        good.replace("\"format\":1", "\"format\":2"),
        good.replace("\"namespace\":\"routelet\"", "\"namespace\":\"other\""),
        good.replace("http://127.0.0.1", "http://192.0.2.1"),
    ] {
        fs::write(rig.cache(), &bad).unwrap();
        let mut observed = rig.watch().await;
        assert_nothing(&mut observed).await;
        assert_eq!(fs::read_to_string(rig.cache()).unwrap(), bad, "nothing better is known");
    }
    // The server is back, and what is of no use is replaced.
    rig.server.come_back();
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    until_kept(&rig, "http://127.0.0.1").await;
    // One object that is malformed is left out alone.
    drop(observed);
    rig.server.go_away();
    let good = fs::read_to_string(rig.cache()).unwrap();
    fs::write(rig.cache(), good.replace("10.100.2.0/24", "10.100.2.0/99")).unwrap();
    let mut observed = rig.watch().await;
    let kept = observed.next().await;
    assert_eq!(kept.objects.nodes.keys().collect::<Vec<_>>(), ["node1"]);
    assert_eq!(kept.faults.len(), 1);
}

/// That there is no reading in the time in which what was kept would have been used.
async fn assert_nothing(observed: &mut Observed) {
    let came = timeout(Duration::from_secs(4), observed.watch.next()).await;
    assert!(came.is_err(), "{came:?}");
}
