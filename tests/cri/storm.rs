//! Many pods at once, on all nodes at once.

use std::collections::BTreeSet;

use anyhow::ensure;
use futures_util::future::try_join_all;

use crate::cluster::Cluster;
use crate::node::Node;
use crate::pod::Pod;
use crate::traces;

/// Pods on each node.
const PODS: usize = 20;

/// All have addresses of their own, the last of each node reach each other, and nothing is left when they have gone.
pub async fn storm(cluster: &mut Cluster) -> anyhow::Result<()> {
    let before = try_join_all(cluster.nodes.iter().map(traces::after_a_first_pod)).await?;
    let run = |node| try_join_all((0..PODS).map(move |i| numbered(node, i)));
    let pods = try_join_all(cluster.nodes.iter().map(run)).await?;
    let mut given = BTreeSet::new();
    for pod in pods.iter().flatten() {
        pod.check_addresses()?;
        for address in &pod.addresses {
            ensure!(given.insert(*address), "{address} was given twice");
        }
    }
    let last: Vec<&Pod> = pods.iter().filter_map(|pods| pods.last()).collect();
    cluster.all_reach_all(&last)?;
    let remove =
        |(node, pods): (_, Vec<Pod>)| try_join_all(pods.into_iter().map(move |pod| pod.remove(node)));
    try_join_all(cluster.nodes.iter().zip(pods).map(remove)).await?;
    for (node, before) in cluster.nodes.iter().zip(&before) {
        traces::gone(node, before).await?;
    }
    Ok(())
}

async fn numbered(node: &Node, i: usize) -> anyhow::Result<Pod> {
    Pod::run(node, &format!("pod{i}")).await
}
