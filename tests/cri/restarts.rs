//! What must go on while a part of the machinery is away: pods talk, and new ones are attached.

use anyhow::ensure;
use nix::sys::signal::Signal;

use crate::cluster::Cluster;
use crate::pod::Pod;
use crate::stream::Stream;
use crate::wait;

/// containerd ends in order, and by force: pods keep addresses and talk, a new pod gets an address of its own.
pub async fn containerd(cluster: &mut Cluster) -> anyhow::Result<()> {
    let far = Pod::run(&cluster.nodes[1], "far").await?;
    let old = Pod::run(&cluster.nodes[0], "old").await?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let stream = Stream::start(&cluster.nodes[0], &old, far.address()).await?;
        let node = &mut cluster.nodes[0];
        node.end_containerd(signal);
        stream.flow(2).await?;
        node.start_containerd().await?;
        wait::until("NetworkReady", async || node.network_ready().await).await?;
        let again = old.look_again(node).await?;
        ensure!(again.addresses == old.addresses && again.pid == old.pid, "the pod is another one");
        again.check_addresses()?;
        let new = Pod::run(node, "new").await?;
        ensure!(
            new.addresses.iter().all(|address| !old.addresses.contains(address)),
            "an address given twice"
        );
        stream.flow(2).await?;
        stream.end()?;
        new.remove(node).await?;
    }
    old.remove(&cluster.nodes[0]).await?;
    far.remove(&cluster.nodes[1]).await
}

/// The daemons die one after the other: no echo is lost, and pods come and go while a daemon is away.
pub async fn daemon(cluster: &mut Cluster) -> anyhow::Result<()> {
    let far = Pod::run(&cluster.nodes[1], "far").await?;
    let near = Pod::run(&cluster.nodes[0], "near").await?;
    let streams = [
        Stream::start(&cluster.nodes[0], &near, far.address()).await?,
        Stream::start(&cluster.nodes[1], &far, near.addresses[1]).await?,
    ];
    for i in 0..cluster.nodes.len() {
        let node = &mut cluster.nodes[i];
        node.kill_daemon();
        let meanwhile = Pod::run(node, "meanwhile").await?;
        meanwhile.check_addresses()?;
        cluster.all_reach_all(&[&meanwhile, &far])?;
        let node = &mut cluster.nodes[i];
        node.start_daemon()?;
        node.await_sessions().await?;
        for stream in &streams {
            stream.flow(5).await?;
        }
        meanwhile.remove(&cluster.nodes[i]).await?;
    }
    for stream in streams {
        stream.end()?;
    }
    near.remove(&cluster.nodes[0]).await?;
    far.remove(&cluster.nodes[1]).await
}
