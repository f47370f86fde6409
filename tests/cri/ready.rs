//! containerd is there before the daemon is, as on every node that joins a cluster.

use anyhow::ensure;

use crate::cluster::Cluster;
use crate::wait;

/// No network before the daemon runs; then one, though nobody has told containerd to look again.
pub async fn ready(cluster: &mut Cluster) -> anyhow::Result<()> {
    for node in &mut cluster.nodes {
        node.start_containerd().await?;
        node.import_image().await?;
        ensure!(node.network_ready().await.is_err(), "{}: ready without a configuration", node.name);
    }
    for node in &mut cluster.nodes {
        node.start_daemon()?;
    }
    for node in &cluster.nodes {
        wait::until("NetworkReady", async || node.network_ready().await).await?;
        node.await_plugin("routelet-cni").await?;
        node.await_sessions().await?;
    }
    Ok(())
}
