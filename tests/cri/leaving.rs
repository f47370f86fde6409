//! What is left of a pod that has gone: nothing.

use crate::cluster::Cluster;
use crate::pod::Pod;
use crate::stream::Stream;
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
    pod.die(node).await?;
    node.run(&format!("umount -l {}", pod.netns.display()))?;
    node.run(&format!("rm {}", pod.netns.display()))?;
    pod.remove(node).await?;
    traces::gone(node, &before).await
}

/// As when the machine has run out of memory: the pod's process dies, its pod is run anew before the old one is removed,
/// and the removal is no business of the new one.
pub async fn replaced(cluster: &mut Cluster) -> anyhow::Result<()> {
    let [node, other, ..] = &cluster.nodes[..] else { anyhow::bail!("the cluster has too few nodes") };
    let before = traces::after_a_first_pod(node).await?;
    let (old, far) = (Pod::run(node, "replaced").await?, Pod::run(other, "far").await?);
    old.die(node).await?;
    let new = old.run_again(node).await?;
    let stream = Stream::start(node, &new, far.address()).await?;
    old.remove(node).await?;
    stream.flow(3).await?;
    stream.end()?;
    new.check_addresses()?;
    new.remove(node).await?;
    far.remove(other).await?;
    traces::gone(node, &before).await
}
