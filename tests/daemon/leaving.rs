//! A node that leaves, as its Node object says, and one that has not come yet: what a peer that the test plays
//! is told, and what the container runtime gets.

use std::collections::BTreeSet;
use std::time::Duration;

use routelet::bgp::capability::GracefulRestart;
use routelet::bgp::{Capability, Message};
use routelet::prefix::Family;
use routelet::rib::well_known::{GRACEFUL_SHUTDOWN, bears};

use crate::played::{Played, codec};
use crate::rig::{Addressing, Cluster};

const PEER: &str = "192.168.1.100";
const PEER_ASN: u32 = 65_000;
const PODS: &str = "10.244.1.0/24";
const SERVICE: &str = "198.51.100.7/32";

const OBJECTS: &str = "\
apiVersion: routelet.dev/v1alpha1
kind: BgpPeer
metadata: {name: tor}
spec:
  nodeSelector: {matchLabels: {name: node1}}
  address: 192.168.1.100
  asn: 65000
  passive: true
  export: {accept: [{prefix: 10.244.0.0/16, le: 24}, {prefix: 198.51.100.0/24, le: 32}]}
";

const WAITING: &str = "\
---
apiVersion: routelet.dev/v1alpha1
kind: BgpConfiguration
metadata: {name: waiting}
spec: {nodeSelector: {matchLabels: {name: node1}}, readiness: {requiredPeers: 1, timeout: 1h}}
";

/// An address that both nodes announce.
const SERVING: &str = "\
---
apiVersion: routelet.dev/v1alpha1
kind: BgpAdvertisement
metadata: {name: all}
spec: {serviceSelector: {}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7]}
status: {loadBalancer: {ingress: [{ip: 198.51.100.7}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.5], nodeName: node1, conditions: {ready: true}}]
";

const CORDONED: [&str; 3] = ["", "unschedulable: true", ""];
const STAYS: [&str; 3] = ["", "", ""];

/// A session with node1 over which the peer has said nothing yet.
async fn come(cluster: &Cluster) -> Played {
    let (from, to) = (PEER.parse().unwrap(), "192.168.1.11".parse().unwrap());
    let mut peer = Played::connect(cluster.namespace(1), from, to, None).await;
    let promise = Capability::GracefulRestart(GracefulRestart::default());
    peer.establish_with(PEER_ASN, 90, &[promise]).await;
    peer.reads_updates(codec());
    peer
}

async fn end_of_rib(peer: &mut Played) {
    let mut octets = vec![];
    Family::ALL.iter().for_each(|family| codec().encode_end_of_rib(*family, &mut octets));
    peer.say(&octets).await;
}

async fn cluster(name: &str, objects: &str) -> Cluster {
    let cluster = Cluster::new(name, Addressing::Ipv4).await;
    cluster.add_address(1, &format!("{PEER}/24")).await;
    cluster.configure(&format!("{OBJECTS}{objects}"));
    cluster
}

/// What the peer hears next, in words: `PREFIX`, `PREFIX asked`, `PREFIX gone`, or how it ends. Prefixes of
/// one message in order; `count` of them.
async fn hear(peer: &mut Played, count: usize) -> BTreeSet<String> {
    let mut heard = BTreeSet::new();
    while heard.len() < count {
        match peer.hear().await {
            Some(Message::Update(update)) => {
                heard.extend(update.withdrawn.iter().map(|prefix| format!("{prefix} gone")));
                for announced in update.announced {
                    let asked = bears(&announced.attributes, GRACEFUL_SHUTDOWN);
                    let word = if asked { " asked" } else { "" };
                    heard.extend(announced.prefixes.iter().map(|prefix| format!("{prefix}{word}")));
                }
            }
            Some(Message::Notification(notification)) => drop(heard.insert(notification.to_string())),
            Some(_) => {}
            None => drop(heard.insert("the end".to_owned())),
        }
    }
    heard
}

fn words<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.map(str::to_owned).into()
}

#[tokio::test]
async fn the_runtime_gets_its_configuration_when_a_peer_has_told_all_it_has() {
    let mut cluster = cluster("gate", WAITING).await;
    cluster.start(0);
    let mut peer = come(&cluster).await;
    assert_eq!(hear(&mut peer, 1).await, words([PODS]), "that waits for nothing");
    let reason = "0 of 1 peers have told all they have (End-of-RIB); missing: tor";
    cluster.eventually(0, reason, async || cluster.ready(0).contains(reason)).await;
    // More than a peer gets that promises no End-of-RIB.
    let shown = "routelet_bgp_session_established{peer=\"tor\"} 1";
    cluster.await_metric(0, shown).await;
    assert!(!cluster.cni_config(0).exists());
    end_of_rib(&mut peer).await;
    cluster.eventually(0, "ready", async || cluster.ready(0).starts_with("HTTP/1.1 200 ")).await;
    cluster.eventually(0, "the configuration", async || cluster.cni_config(0).exists()).await;

    drop(peer);
    cluster.await_down(0, "tor").await;
    assert!(cluster.ready(0).starts_with("HTTP/1.1 200 "), "pods that run need it no less");
}

#[tokio::test]
async fn an_annotation_drains_the_node_and_its_end_brings_it_back() {
    let mut cluster = cluster("annotated", "").await;
    cluster.start(0);
    let mut peer = come(&cluster).await;
    assert_eq!(hear(&mut peer, 1).await, words([PODS]));
    cluster.say_of_node(0, ["annotations: {routelet.dev/drain: \"true\"}", "", ""]);
    let farewell = "Cease: Administrative Shutdown \"the Node is annotated with routelet.dev/drain\"";
    let heard = [hear(&mut peer, 1).await, hear(&mut peer, 1).await, hear(&mut peer, 1).await];
    assert_eq!(
        heard,
        [words([&format!("{PODS} asked")]), words([&format!("{PODS} gone")]), words([farewell])]
    );
    cluster.await_metric(0, "routelet_drain_stage 5").await;
    let answer = cluster.routelet(0, &["undrain"]);
    assert!(answer.contains("the drain goes on"), "{answer}");
    cluster.say_of_node(0, STAYS);
    cluster.await_metric(0, "routelet_drain_stage 0").await;
    let mut peer = come(&cluster).await;
    assert_eq!(hear(&mut peer, 1).await, words([PODS]));
}

#[tokio::test]
async fn a_cordoned_node_lets_go_of_service_addresses_while_another_has_them() {
    let mut cluster = cluster("cordoned", SERVING).await;
    cluster.start(0);
    let mut peer = come(&cluster).await;
    assert_eq!(hear(&mut peer, 2).await, words([PODS, SERVICE]));
    let [asked, gone] = ["asked", "gone"].map(|word| words([&format!("{SERVICE} {word}")]));

    cluster.say_of_node(0, CORDONED);
    assert_eq!(hear(&mut peer, 1).await, asked);
    cluster.await_metric(0, "routelet_leaving_service_addresses{state=\"withdrawn\"} 1").await;
    assert_eq!(hear(&mut peer, 1).await, gone);
    let status = cluster.status(0);
    assert!(
        status.contains("the Node is cordoned: of service addresses, 0 move and 1 are withdrawn"),
        "{status}"
    );
    cluster.say_of_node(0, STAYS);
    assert_eq!(hear(&mut peer, 1).await, words([SERVICE]));

    // Now nobody else is there to have it.
    cluster.say_of_node(1, CORDONED);
    cluster.say_of_node(0, CORDONED);
    assert_eq!(hear(&mut peer, 1).await, asked);
    cluster.await_metric(0, "routelet_leaving_service_addresses{state=\"held\"} 1").await;
    let log = cluster.log(0);
    assert!(
        log.contains(&format!("holding on to {SERVICE}: no other node that stays announces it")),
        "{log}"
    );
    cluster.say_of_node(1, STAYS);
    assert_eq!(hear(&mut peer, 1).await, gone, "another node has it");
}

#[tokio::test]
async fn a_daemon_that_ends_with_its_machine_drains_first_and_one_that_is_replaced_does_not() {
    let mut cluster = cluster("shutdown", "").await;
    cluster.start(0);
    let mut peer = come(&cluster).await;
    assert_eq!(hear(&mut peer, 1).await, words([PODS]));
    end_of_rib(&mut peer).await;
    cluster.say_of_node(0, CORDONED);
    cluster.terminate(0).await;
    assert_eq!(hear(&mut peer, 1).await, words(["the end"]), "it will be back, and its routes are kept");

    let ends = "conditions: [{type: Ready, status: \"False\", message: node is shutting down}]";
    cluster.say_of_node(0, ["", "unschedulable: true", ends]);
    cluster.start(0);
    let mut peer = come(&cluster).await;
    assert_eq!(hear(&mut peer, 1).await, words([PODS]), "pods are ended before the daemon is");
    let begun = tokio::time::Instant::now();
    cluster.terminate(0).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let heard = [hear(&mut peer, 1).await, hear(&mut peer, 1).await, hear(&mut peer, 1).await];
    let farewell = "Cease: Administrative Shutdown \"the machine shuts down\"";
    assert_eq!(
        heard,
        [words([&format!("{PODS} asked")]), words([&format!("{PODS} gone")]), words([farewell])]
    );
}
