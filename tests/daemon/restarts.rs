//! Restarts of real daemons that meet other restarts, and what is no restart.

use routelet::api::proto::SessionState;

use crate::rig::{Addressing, Cluster};

/// Two daemons that have told each other everything.
async fn settled(name: &str) -> Cluster {
    let mut cluster = Cluster::new(name, Addressing::Dual).await;
    cluster.start(0);
    cluster.start(1);
    for node in [0, 1] {
        cluster.await_learned(node, &cluster.pod_cidrs(1 - node)).await;
        cluster.await_end_of_rib(node, &format!("node{}", 2 - node)).await;
    }
    cluster
}

async fn await_session(cluster: &Cluster, node: usize) {
    let established = i32::from(SessionState::Established);
    let is_up = async || cluster.peers(node).await.iter().any(|peer| peer.state == established);
    cluster.eventually(node, "a session", is_up).await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_again_while_it_restarts_touches_no_route_on_either_side() {
    let mut cluster = settled("killed-again").await;
    let changes = [cluster.route_changes(0).await, cluster.route_changes(1).await];
    cluster.kill(0).await;
    cluster.await_down(1, "node1").await;
    // Before it has done anything, then before it has a session, then as soon as it has one.
    cluster.start(0);
    cluster.kill(0).await;
    cluster.start(0);
    cluster.eventually(0, "an answer", async || !cluster.peers(0).await.is_empty()).await;
    cluster.kill(0).await;
    cluster.start(0);
    await_session(&cluster, 0).await;
    cluster.kill(0).await;
    cluster.start_again(0).await;
    cluster.await_end_of_rib(1, "node1").await;
    for (node, changes) in changes.into_iter().enumerate() {
        assert_eq!(cluster.learned(node).await, cluster.pod_cidrs(1 - node));
        assert_eq!(changes.count().await, 0, "routes of node{} were touched", node + 1);
    }
}

#[tokio::test]
async fn who_helps_a_restart_may_be_killed_meanwhile() {
    let mut cluster = settled("both-killed").await;
    let changes = [cluster.route_changes(0).await, cluster.route_changes(1).await];
    cluster.kill(0).await;
    cluster.await_down(1, "node1").await;
    cluster.kill(1).await;
    cluster.start(1);
    cluster.start_again(0).await;
    for node in [0, 1] {
        cluster.await_end_of_rib(node, &format!("node{}", 2 - node)).await;
    }
    for (node, changes) in changes.into_iter().enumerate() {
        assert_eq!(cluster.learned(node).await, cluster.pod_cidrs(1 - node));
        assert_eq!(changes.count().await, 0, "routes of node{} were touched", node + 1);
    }
}

#[tokio::test]
async fn a_machine_that_has_lost_its_routes_does_not_say_that_it_kept_forwarding() {
    let mut cluster = settled("rebooted").await;
    cluster.kill(0).await;
    cluster.await_down(1, "node1").await;
    // What a reboot leaves of the kernel's routes.
    cluster.cleanup(0);
    assert!(!cluster.log(1).contains("letting go of"));
    cluster.start(0);
    cluster.eventually(1, "an end", async || cluster.log(1).contains("letting go of 1 stale")).await;
    cluster.await_learned(1, &cluster.pod_cidrs(0)).await;
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
}
