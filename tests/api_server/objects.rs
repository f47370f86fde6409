//! What objects say: malformed ones, newer ones, ones that only seem to change, and Secrets.

use serde_json::json;

use crate::faults::Fault;
use crate::rig::{NODES, PEERS, Rig, SECRETS, node, peer, secret};
use routelet::cluster::api_server::Kind;

#[tokio::test]
async fn a_malformed_object_keeps_its_last_good_version_and_holds_back_nobody() {
    let rig = Rig::new();
    rig.server.put(peer("tor-a", "192.168.1.1", None));
    rig.server.put(peer("tor-b", "not an address", None));
    let mut observed = rig.watch().await;
    let first = observed.next().await.clone();
    assert_eq!(
        first.objects.peers.keys().collect::<Vec<_>>(),
        ["tor-a"],
        "one that never was good is absent"
    );
    let said: Vec<String> = first.faults.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("BgpPeer tor-b: spec.address: "), "{said:?}");

    rig.server.merge(&format!("{PEERS}/tor-a"), &json!({"spec": {"multihop": 0}}));
    let reading = observed.next().await;
    assert_eq!(reading.objects.peers, first.objects.peers);
    let said = reading.faults.iter().find(|finding| finding.object.as_deref() == Some("BgpPeer tor-a"));
    assert_eq!(said.map(|finding| finding.field.as_str()), Some("spec.multihop"));
    // Nodes come and go meanwhile, and both peers are mended.
    rig.server.put(node(3));
    observed.until_nodes(&["node1", "node2", "node3"]).await;
    rig.server.merge(&format!("{PEERS}/tor-a"), &json!({"spec": {"multihop": 2}}));
    rig.server.put(peer("tor-b", "192.168.1.2", None));
    let mended = observed
        .until("both", |objects| objects.peers.len() == 2 && objects.peers["tor-a"].multihop.is_some())
        .await;
    assert_eq!(mended.faults, []);
    // One that is deleted while it is malformed is gone.
    rig.server.merge(&format!("{PEERS}/tor-a"), &json!({"spec": {"address": 7}}));
    observed.next().await;
    rig.server.delete(&format!("{PEERS}/tor-a"));
    let reading = observed.until("none of it", |objects| objects.peers.len() == 1).await;
    assert_eq!(reading.faults, []);
}

#[tokio::test]
async fn fields_of_a_newer_version_are_passed_over_with_a_warning() {
    let rig = Rig::new();
    let mut newer = peer("tor-a", "192.168.1.1", None);
    newer["spec"]["quantum"] = json!({"entangled": true});
    newer["spec"]["timers"] = json!({"hold": "90s", "tea": "5m"});
    rig.server.put(newer);
    let mut observed = rig.watch().await;
    let reading = observed.next().await;
    let timers = reading.objects.peers["tor-a"].timers.as_ref().unwrap();
    assert!(timers.hold.is_some());
    let mut said: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
    said.sort();
    let words = "is not known to this version of Routelet, and passed over";
    assert_eq!(
        said,
        [format!("BgpPeer tor-a: spec.quantum: {words}"), format!("BgpPeer tor-a: spec.timers.tea: {words}")]
    );
    assert_eq!(reading.faults, []);
}

#[tokio::test]
async fn heartbeats_are_no_news() {
    let rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    // Let the first writes settle: the completeness of the set is told once.
    observed.assert_quiet().await;
    for beat in 0..50 {
        let condition = json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": format!("2026-11-01T00:00:{beat:02}Z")}]);
        rig.server.merge("/api/v1/nodes/node1", &json!({"status": {"conditions": condition}}));
        rig.server.merge(
            "/api/v1/nodes/node1",
            &json!({"metadata": {"managedFields": [{"manager": format!("m{beat}")}]}}),
        );
    }
    observed.assert_quiet().await;
    rig.server.put(node(3));
    observed.until_nodes(&["node1", "node2", "node3"]).await;
}

#[tokio::test]
async fn a_burst_is_few_readings() {
    let rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    for number in 3..=2000 {
        rig.server.put(node(number));
    }
    let mut readings = 0;
    while observed.last.objects.nodes.len() < 2000 {
        observed.next().await;
        readings += 1;
    }
    assert!(readings <= 10, "{readings} readings");
}

#[tokio::test]
async fn of_secrets_those_alone_are_watched_that_peers_of_this_node_name() {
    let rig = Rig::new();
    for name in ["tor-a", "tor-b", "of-somebody-else"] {
        rig.server.put(secret(name));
    }
    rig.server.put(peer("tor-a", "192.168.1.1", Some("tor-a")));
    let mut elsewhere = peer("tor-b", "192.168.1.2", Some("tor-b"));
    elsewhere["spec"]["nodeSelector"] = json!({"matchLabels": {"kubernetes.io/hostname": "node2"}});
    rig.server.put(elsewhere);
    let mut observed = rig.watch().await;
    let first = observed.next().await;
    assert_eq!(first.objects.secrets.keys().collect::<Vec<_>>(), ["tor-a"]);
    let asked = rig.server.requests().into_iter().filter(|request| request.path.contains("secrets"));
    for request in asked {
        assert_eq!(
            (request.path.as_str(), request.query["fieldSelector"].as_str()),
            (SECRETS, "metadata.name=tor-a")
        );
    }
    // A password is rotated.
    rig.server.merge(&format!("{SECRETS}/tor-a"), &json!({"data": {"password": "b3RoZXI="}}));
    observed.until("the new password", |o| o.secrets["tor-a"].value("password") == Some(b"other")).await;
    // The other peer comes to this node, and its Secret with it: in one reading.
    rig.server.merge(&format!("{PEERS}/tor-b"), &json!({"spec": {"nodeSelector": null}}));
    let reading = observed.next().await;
    assert!(reading.objects.secrets.contains_key("tor-b"), "{reading:?}");
    // Both go, and nothing of them stays.
    rig.server.delete(&format!("{PEERS}/tor-a"));
    rig.server.delete(&format!("{PEERS}/tor-b"));
    observed.until("no secrets", |objects| objects.secrets.is_empty() && objects.peers.is_empty()).await;
    observed.until_health("none watched", |health| !health.kinds.contains_key(&Kind::Secret)).await;
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_holds_up_no_start() {
    let rig = Rig::new();
    rig.server.put(peer("tor-a", "192.168.1.1", Some("tor-a")));
    rig.server.put(secret("tor-a"));
    rig.server.fail(SECRETS, Fault::Status(403, "secrets is forbidden"));
    let mut observed = rig.watch().await;
    let first = observed.next().await;
    assert_eq!((first.objects.nodes.len(), first.objects.peers.len()), (2, 1));
    assert!(first.objects.secrets.is_empty());
    rig.server.mend();
    observed.until("its password", |objects| objects.secrets.contains_key("tor-a")).await;
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_holds_others_up_for_a_while_only() {
    let rig = Rig::new();
    let mut observed = rig.watch().await;
    observed.until_nodes(&["node1", "node2"]).await;
    rig.server.fail(SECRETS, Fault::Status(403, "secrets is forbidden"));
    rig.server.put(peer("tor-a", "192.168.1.1", Some("tor-a")));
    let reading = observed.until("the peer", |objects| objects.peers.len() == 1).await;
    assert!(reading.objects.secrets.is_empty());
    rig.server.mend();
    rig.server.put(secret("tor-a"));
    observed.until("its password", |objects| objects.secrets.contains_key("tor-a")).await;
    assert!(rig.server.count(NODES, "watch") >= 1);
}

#[tokio::test]
async fn services_are_watched_while_an_advertisement_has_this_node_announce_some() {
    let rig = Rig::new();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["10.100.1.7"], "nodeName": "node1", "conditions": {"ready": true}}],
    });
    rig.server.put(service);
    rig.server.put(slice);
    let mut observed = rig.watch().await;
    assert!(observed.next().await.objects.services.is_empty());
    let advertisement = |node: &str| {
        let hostname = json!({"matchLabels": {"kubernetes.io/hostname": node}});
        json!({
            "apiVersion": "routelet.dev/v1alpha1", "kind": "BgpAdvertisement", "metadata": {"name": "web"},
            "spec": {"serviceSelector": {}, "nodeSelector": hostname},
        })
    };
    rig.server.put(advertisement("node2"));
    observed.until("the advertisement", |objects| objects.advertisements.len() == 1).await;
    let asked = |path: &str| rig.server.requests().iter().any(|request| request.path.starts_with(path));
    assert!(!asked("/api/v1/services") && !asked("/apis/discovery.k8s.io"));
    // It comes to this node, and in one reading with what it announces.
    rig.server.put(advertisement("node1"));
    let reading = observed.next().await;
    assert_eq!((reading.objects.services.len(), reading.objects.endpoint_slices.len()), (1, 1));
    assert_eq!(reading.faults, []);
    rig.server.delete("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1");
    observed.until("no endpoints", |objects| objects.endpoint_slices.is_empty()).await;
    rig.server.put(advertisement("node2"));
    observed.until("no Services", |objects| objects.services.is_empty()).await;
}
