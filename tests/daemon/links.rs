//! A wire that fails: sessions over it fall, and routes go with them, long before any hold time.

use std::time::Duration;

use crate::rig::{Addressing, Cluster};

/// Far below the hold time of 90 s, and far above what it takes.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Carrier is lost when the far end is set down: the address stays, and so would the session.
#[tokio::test]
async fn a_session_falls_with_the_far_end_of_its_wire_and_comes_back_with_it() {
    for addressing in [Addressing::Ipv4, Addressing::Ipv6] {
        let mut cluster = Cluster::new("carrier", addressing).await;
        cluster.start(0);
        cluster.start(1);
        cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
        cluster.set_wire(1, false).await;
        tokio::time::timeout(AT_ONCE, cluster.await_down(0, "node2")).await.expect("the session falls");
        tokio::time::timeout(AT_ONCE, cluster.await_learned(0, &[])).await.expect("its routes go");
        let log = cluster.log(0);
        assert!(log.contains("its link is down"), "{log}");
        assert_eq!(cluster.aggregates(0).await, cluster.pod_cidrs(0));
        cluster.set_wire(1, true).await;
        cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    }
}

#[tokio::test]
async fn a_session_falls_with_its_local_address() {
    let mut cluster = Cluster::new("address", Addressing::Ipv4).await;
    cluster.start(0);
    cluster.start(1);
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    // A wider subnet keeps the peer within reach: nothing but the address will be missing.
    cluster.add_address(0, "192.168.1.77/16").await;
    cluster.run_ip(0, "addr del 192.168.1.11/24 dev eth0");
    tokio::time::timeout(AT_ONCE, cluster.await_down(0, "node2")).await.expect("the session falls");
    let said = "its local address 192.168.1.11 is gone";
    assert!(cluster.log(0).contains(said), "{}", cluster.log(0));
    cluster.add_address(0, "192.168.1.11/24").await;
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
}

#[tokio::test]
async fn a_renamed_link_keeps_its_session() {
    let mut cluster = Cluster::new("rename", Addressing::Ipv4).await;
    cluster.start(0);
    cluster.start(1);
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    cluster.run_ip(0, "link set eth0 name uplink");
    cluster.run_ip(0, "route add 172.31.0.0/16 via 192.168.1.99");
    // A session that was to fall would have by the time that a later wish has been seen to.
    cluster.delete_learned(0).await;
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    assert_eq!(cluster.peers(0).await.remove(0).flaps, 0);
}
