//! A node reboots: nothing of its pods is left but what is on disk, and that must not keep addresses from others.

use crate::cluster::Cluster;
use crate::pod::Pod;
use crate::{traces, wait};

/// Once the runtime knows its pods afterwards and has them removed; once it has forgotten them, and nobody ever will.
pub async fn reboots(cluster: &mut Cluster) -> anyhow::Result<()> {
    for remembers in [true, false] {
        let before = traces::after_a_first_pod(&cluster.nodes[1]).await?;
        for name in ["one", "two"] {
            Pod::run(&cluster.nodes[1], name).await?;
        }
        let node = &mut cluster.nodes[1];
        node.go_down()?;
        if !remembers {
            node.run_script("rm -rf /var/lib/containerd/* /var/lib/cni/results")?;
        }
        node.start_containerd().await?;
        node.start_daemon()?;
        if remembers {
            node.remove_all_pods().await?;
        } else {
            node.import_image().await?;
        }
        wait::until("NetworkReady", async || node.network_ready().await).await?;
        node.await_sessions().await?;
        let far = Pod::run(&cluster.nodes[0], "far").await?;
        let new = Pod::run(&cluster.nodes[1], "new").await?;
        new.check_addresses()?;
        cluster.all_reach_all(&[&new, &far])?;
        far.remove(&cluster.nodes[0]).await?;
        new.remove(&cluster.nodes[1]).await?;
        traces::gone(&cluster.nodes[1], &before).await?;
    }
    Ok(())
}
