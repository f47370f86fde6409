//! `routelet fib --audit`: what the kernel holds against what is desired, in words, in the exit code and
//! in the metrics.

use crate::rig::{Addressing, Cluster};

/// Asserts that the audit finds nothing, and so many routes.
async fn audit_finds_nothing(cluster: &Cluster, node: usize, routes: u64) {
    cluster.await_metric(node, &format!("routelet_fib_routes{{state=\"installed\"}} {routes}")).await;
    let said = cluster.routelet(node, &["fib", "--audit"]);
    assert_eq!(said, format!("The kernel holds what is desired: {routes} routes\n"));
    cluster.await_metric(node, "routelet_fib_differences 0").await;
}

#[tokio::test]
async fn a_kernel_that_holds_what_is_desired_is_said_to() {
    for (addressing, routes) in [(Addressing::Ipv4, 2), (Addressing::Ipv6, 2), (Addressing::Dual, 4)] {
        let mut cluster = Cluster::new("audit", addressing).await;
        cluster.start(0);
        cluster.start(1);
        cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
        audit_finds_nothing(&cluster, 0, routes).await;
        assert_eq!(cluster.routelet(0, &["fib", "--audit", "-o", "json"]), "[]\n");

        // Put right by the watch, and counted.
        cluster.delete_learned(0).await;
        cluster.await_metric(0, &format!("routelet_fib_repairs_total {}", routes / 2)).await;
        cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
        audit_finds_nothing(&cluster, 0, routes).await;
    }
}

#[tokio::test]
async fn a_route_that_somebody_else_s_is_in_the_way_of_differs() {
    let mut cluster = Cluster::new("in-the-way", Addressing::Ipv4).await;
    cluster.run_ip(0, "route add blackhole 10.244.2.0/24 metric 20 proto static");
    cluster.start(0);
    cluster.start(1);
    cluster.await_metric(0, "routelet_fib_conflicts 1").await;
    let output = cluster.run_routelet(0, &["fib", "--audit"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let start = "10.244.2.0/24 metric 20: should be via 192.168.1.12";
    assert!(said.starts_with(start), "{said}");
    assert!(said.ends_with(", the kernel has nothing of ours\n") && said.lines().count() == 1, "{said}");
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaint, "routelet: the kernel differs from what is desired in 1 place\n");
    assert_eq!(output.status.code(), Some(1));
    cluster.await_metric(0, "routelet_fib_differences 1").await;

    cluster.run_ip(0, "route del blackhole 10.244.2.0/24 metric 20 proto static");
    cluster.await_learned(0, &cluster.pod_cidrs(1)).await;
    audit_finds_nothing(&cluster, 0, 2).await;
    cluster.await_metric(0, "routelet_fib_conflicts 0").await;
}
