//! BFD between real daemons: it holds on a machine that is busy, and finds a daemon that is frozen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::rig::{Addressing, Cluster};

/// How long the machine is kept busy: ten detection times.
const BUSY: Duration = Duration::from_secs(9);
/// Threads that want to run, for each that can.
const CROWD: usize = 4;

async fn watched(name: &str, addressing: Addressing) -> Cluster {
    let mut cluster = Cluster::new(name, addressing).await;
    cluster.write(
        "configuration.yaml",
        "apiVersion: routelet.dev/v1alpha1\nkind: BgpConfiguration\nmetadata: {name: default}\n\
         spec: {bfd: {minTx: 300ms, minRx: 300ms, multiplier: 3}}\n",
    );
    for node in [0, 1] {
        cluster.start(node);
    }
    for node in [0, 1] {
        await_alive(&cluster, node).await;
        cluster.await_learned(node, &cluster.pod_cidrs(1 - node)).await;
    }
    cluster
}

async fn await_alive(cluster: &Cluster, node: usize) {
    let alive = async || {
        let peers = cluster.peers(node).await;
        peers.iter().any(|peer| {
            peer.bfd.as_ref().is_some_and(|b| b.state == "Up" && b.detection_time_microseconds == 900_000)
        })
    };
    cluster.eventually(node, "the path found alive at the agreed rate", alive).await;
}

#[tokio::test]
async fn a_busy_machine_is_not_taken_for_a_dead_path() {
    let cluster = watched("busy", Addressing::Ipv4).await;
    let over = Arc::new(AtomicBool::new(false));
    let cores = std::thread::available_parallelism().unwrap().get();
    let crowd: Vec<_> = (0..CROWD * cores)
        .map(|_| {
            let over = over.clone();
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {})
        })
        .collect();
    tokio::time::sleep(BUSY).await;
    over.store(true, Ordering::Relaxed);
    crowd.into_iter().for_each(|thread| thread.join().unwrap());
    for node in [0, 1] {
        await_alive(&cluster, node).await;
        let peer = format!("peer=\"node{}\"", 2 - node);
        cluster.await_metric(node, &format!("routelet_bfd_session_up{{{peer}}} 1")).await;
        cluster.await_metric(node, &format!("routelet_bgp_session_flaps_total{{{peer}}} 0")).await;
        assert!(!cluster.log(node).contains("BFD: "), "{}", cluster.log(node));
    }
}

#[tokio::test]
async fn a_daemon_that_is_frozen_is_noticed_long_before_its_hold_time() {
    for addressing in [Addressing::Ipv4, Addressing::Ipv6] {
        let cluster = watched("frozen", addressing).await;
        cluster.signal(0, Signal::SIGSTOP);
        // Its connection stays open, and it has 90 s to say something there.
        cluster.await_learned(1, &[]).await;
        cluster.signal(0, Signal::SIGCONT);
        cluster.await_learned(1, &cluster.pod_cidrs(0)).await;
        await_alive(&cluster, 1).await;
    }
}
