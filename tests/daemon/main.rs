//! Real daemons in network namespaces of their own, a wire between them: sessions over TCP, routes in
//! the kernel, manifests that change underneath. Needs root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod audit;
mod drain;
mod dynamic;
mod keepalive;
mod leaving;
mod links;
mod liveness;
mod played;
mod pods;
mod restarts;
mod rig;
mod rules;
mod services;
mod settings;

use rig::{Addressing, Cluster};

const EACH: [Addressing; 3] = [Addressing::Ipv4, Addressing::Ipv6, Addressing::Dual];

#[tokio::test]
async fn two_daemons_route_to_each_other_and_a_stopped_one_is_forgotten() {
    for addressing in EACH {
        let mut cluster = Cluster::new("exchange", addressing).await;
        cluster.start(0);
        cluster.start(1);
        cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
        cluster.await_learned(1, &cluster.pod_cidrs(0)).await;
        assert_eq!(cluster.aggregates(0).await, cluster.pod_cidrs(0));

        cluster.leave(1).await;
        cluster.await_learned(0, &[]).await;
        assert_eq!(cluster.learned(1).await, cluster.pod_cidrs(0), "a stopped daemon leaves its routes");

        cluster.cleanup(1);
        assert_eq!(cluster.learned(1).await, []);
        assert_eq!(cluster.aggregates(1).await, []);
    }
}

#[tokio::test]
async fn a_daemon_that_is_killed_or_replaced_touches_no_route_on_either_side() {
    for addressing in EACH {
        let mut cluster = Cluster::new("restart", addressing).await;
        cluster.start(0);
        cluster.start(1);
        cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
        cluster.await_learned(1, &cluster.pod_cidrs(0)).await;
        let changes = [cluster.route_changes(0).await, cluster.route_changes(1).await];
        for killed in [true, false] {
            if killed {
                cluster.kill(0).await;
            } else {
                cluster.terminate(0).await;
            }
            cluster.await_down(1, "node1").await;
            assert_eq!(cluster.learned(1).await, cluster.pod_cidrs(0), "killed: {killed}");
            cluster.start_again(0).await;
            cluster.await_end_of_rib(1, "node1").await;
        }
        for (node, changes) in changes.into_iter().enumerate() {
            assert_eq!(changes.count().await, 0, "routes of node{} were touched", node + 1);
        }
    }
}

#[tokio::test]
async fn a_wrong_manifest_changes_nothing_and_a_right_one_applies_live() {
    let mut cluster = Cluster::new("manifests", Addressing::Ipv4).await;
    cluster.start(0);
    cluster.start(1);
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;

    cluster.write("more.yaml", "apiVersion: routelet.dev/v1alpha1\nkind: BgpPeer\nmetadata: {name: tor}\nspec: {adress: 192.0.2.9}\n");
    cluster.await_metric(0, "routelet_manifests_valid 0").await;
    let log = cluster.log(0);
    assert!(log.contains("more.yaml, document 1 (BgpPeer tor)"), "{log}");
    assert!(log.contains("adress"), "{log}");
    assert_eq!(cluster.learned(0).await, cluster.pod_cidrs(1));
    cluster.remove("more.yaml");
    cluster.await_metric(0, "routelet_manifests_valid 1").await;

    cluster.add_pod_cidr(1, "10.244.9.0/24");
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    assert_eq!(cluster.pod_cidrs(1).len(), 2);
    cluster.await_metric(0, "routelet_bgp_session_flaps_total{peer=\"node2\"} 0").await;
}

#[tokio::test]
async fn a_route_that_somebody_deletes_comes_back() {
    let mut cluster = Cluster::new("drift", Addressing::Dual).await;
    cluster.start(0);
    cluster.start(1);
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    cluster.delete_learned(0).await;
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    cluster.set_wire(0, false).await;
    cluster.set_wire(0, true).await;
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
}

#[tokio::test]
async fn a_password_is_needed_on_both_sides() {
    for addressing in [Addressing::Ipv4, Addressing::Ipv6] {
        let mut cluster = Cluster::new("password", addressing).await;
        cluster.peer_by_object(&["secret", "secret"]);
        cluster.start(0);
        cluster.start(1);
        cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
        cluster.await_learned(1, &cluster.pod_cidrs(0)).await;

        cluster.peer_by_object(&["secret", "other"]);
        cluster.await_learned(0, &[]).await;
        cluster.await_md5_failure(0).await;
        assert_eq!(cluster.learned(0).await, []);
        cluster.peer_by_object(&["other", "other"]);
        cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
        assert!(!cluster.log(0).contains("other\""), "no log shows a password");
    }
}

#[tokio::test]
async fn a_second_daemon_on_the_same_socket_is_refused() {
    let mut cluster = Cluster::new("twice", Addressing::Ipv4).await;
    cluster.start(0);
    cluster.await_metric(0, "routelet_manifests_valid 1").await;
    let output = cluster.run_again(0);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("another routelet daemon answers on"), "{error}");
}
