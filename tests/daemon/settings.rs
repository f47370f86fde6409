//! Kernel settings under a running daemon: what somebody turns off is turned on again, and what cannot be
//! delivered is not announced.

use crate::rig::{Addressing, Cluster};

const IPV4: &str = "ipv4/ip_forward";
const IPV6: &str = "ipv6/conf/all/forwarding";

#[tokio::test]
async fn forwarding_that_somebody_turns_off_is_turned_on_and_no_peer_notices() {
    let mut cluster = Cluster::new("forwarding", Addressing::Dual).await;
    for setting in [IPV4, IPV6] {
        cluster.set(0, setting, "0");
    }
    cluster.start(0);
    cluster.start(1);
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    cluster.await_learned(1, &cluster.pod_cidrs(0)).await;
    let changes = cluster.route_changes(1).await;
    for setting in [IPV4, IPV6, "ipv4/conf/cni0/forwarding"] {
        assert_eq!(cluster.setting(0, setting), "1", "{setting}");
        cluster.set(0, setting, "0");
        cluster.eventually(0, setting, async || cluster.setting(0, setting) == "1").await;
    }
    // The bridge's addresses go with its IPv6, and come back with it.
    cluster.set(0, "ipv6/conf/cni0/disable_ipv6", "1");
    let bridge = cluster.netlink(0).link("cni0").await.unwrap().unwrap();
    let gateway = async || {
        let addresses = cluster.netlink(0).addresses(bridge.index).await.unwrap();
        addresses
            .iter()
            .any(|a| a.is_ipv6() && cluster.pod_cidrs(0).iter().any(|p| p.contains_address(a.ip())))
    };
    cluster.set(0, IPV4, "0");
    cluster.eventually(0, "the gateway's address", gateway).await;
    assert_eq!(changes.count().await, 0, "node2 has noticed");
    let log = cluster.log(0);
    assert!(
        log.contains(
            "somebody has changed a setting that we need: net.ipv4.ip_forward was 0 and has been set to 1"
        ),
        "{log}"
    );
    let right = "routelet_kernel_setting_right{setting=\"net.ipv4.ip_forward\",weight=\"needed\"} 1";
    cluster.await_metric(0, right).await;
}

#[tokio::test]
async fn a_daemon_that_cannot_turn_forwarding_on_runs_and_announces_what_is_forwarded() {
    let mut cluster = Cluster::new("confined", Addressing::Dual).await;
    cluster.set(0, IPV4, "0");
    cluster.set(0, IPV6, "1");
    cluster.start_confined(0);
    cluster.start(1);
    let (v4, v6): (Vec<_>, Vec<_>) =
        cluster.pod_cidrs(0).into_iter().partition(|prefix| prefix.to_string().contains('.'));
    let all = cluster.pod_cidrs(0);
    assert_eq!((v4.len(), v6.len()), (1, 1));
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    cluster.await_learned(1, &v6).await;
    let wrong = "routelet_kernel_setting_right{setting=\"net.ipv4.ip_forward\",weight=\"needed\"} 0";
    cluster.await_metric(0, wrong).await;
    let fault = "net.ipv4.ip_forward is 0 and should be 1: no IPv4 packet is forwarded to or from pods; it cannot be \
                 set: write 1 to /proc/sys/net/ipv4/ip_forward: Read-only file system (os error 30)";
    let readiness = cluster.readiness(0);
    assert!(
        readiness.starts_with("HTTP/1.1 503") && readiness.contains(&format!("not forwarding: {fault}\n")),
        "{readiness}"
    );
    let status = cluster.status(0);
    assert!(status.contains(&format!("Wrong          {fault}\n")), "{status}");

    let ready = async || cluster.readiness(0).starts_with("HTTP/1.1 200");
    cluster.set(0, IPV4, "1");
    cluster.await_learned(1, &all).await;
    cluster.eventually(0, "ready", ready).await;
    cluster.set(0, IPV6, "0");
    cluster.await_learned(1, &v4).await;
    cluster.set(0, IPV6, "1");
    cluster.await_learned(1, &all).await;
    cluster.eventually(0, "ready again", ready).await;
    let log = cluster.log(0);
    assert_eq!(log.matches(&format!("WARN {fault}")).count(), 1, "said once: {log}");
    assert_eq!(log.matches(&format!("INFO no longer: {fault}")).count(), 1, "{log}");
}
