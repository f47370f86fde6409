//! What is left of a pod that has gone: nothing.

use crate::cluster::Cluster;
use crate::pod::Pod;
use crate::traces;

/// Stopped, stopped again, removed, in the order of a kubelet.
pub async fn leaves_nothing(cluster: &mut Cluster) -> anyhow::Result<()> {
    for node in &cluster.nodes {
        let before = traces::after_a_first_pod(node).await?;
        let pod = Pod::run(node, "short").await?;
        anyhow::ensure!(
            traces::of(node)? != before,
            "a pod leaves no trace while it is there: look elsewhere"
        );
        let cri = node.cri().await?;
        cri.stop_pod(&pod.id).await?;
        // Already when the pod has been stopped its address is free for the next.
        traces::gone(node, &before).await?;
        cri.stop_pod(&pod.id).await?;
        cri.remove_pod(&pod.id).await?;
        traces::gone(node, &before).await?;
    }
    Ok(())
}

/// As after a crash: the pod's process is dead and its namespace is gone, so the runtime has none to tell the plugin.
pub async fn without_namespace(cluster: &mut Cluster) -> anyhow::Result<()> {
    let node = &cluster.nodes[0];
    let before = traces::after_a_first_pod(node).await?;
    let pod = Pod::run(node, "bereft").await?;
    node.run(&format!("kill -9 {}", pod.pid))?;
    node.run(&format!("umount -l {}", pod.netns.display()))?;
    node.run(&format!("rm {}", pod.netns.display()))?;
    pod.remove(node).await?;
    traces::gone(node, &before).await
}
