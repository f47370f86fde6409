//! containerd is killed while it makes pods, and while it ends them.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;

use crate::client::Cri;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::pod::{self, Pod};
use crate::{traces, wait};

/// Pods at once.
const PODS: usize = 4;

/// A count that tells how far containerd has come.
type Count = fn(&Node) -> usize;

/// What is counted, to kill it at the first and at the last.
const MOMENTS: [(&str, Count); 3] = [
    ("namespaces", |node| entries(node, "/run/netns")),
    ("links", links),
    ("results", |node| entries(node, "/var/lib/cni/results")),
];

/// When a new containerd has removed whatever it still knows of, as a kubelet has it do, nothing is left of any pod.
pub async fn while_making(cluster: &mut Cluster) -> anyhow::Result<()> {
    let node = &mut cluster.nodes[2];
    let before = traces::after_a_first_pod(node).await?;
    for (what, count) in MOMENTS {
        for wanted in [1, PODS] {
            let none = count(node);
            let cri = node.cri().await?;
            for i in 0..PODS {
                let (cri, wish) = (cri.clone(), pod::wish(&format!("torn{i}")));
                // Nobody will hear the answer.
                tokio::spawn(async move { cri.run_pod(wish).await.map(drop) });
            }
            let made = |node: &Node| count(node).saturating_sub(none);
            kill_when(node, &format!("{wanted} {what} made"), made, wanted).await?;
            remove_all(node, &before).await?;
        }
    }
    // What comes next finds everything in order.
    let pod = Pod::run(node, "next").await?;
    pod.check_addresses()?;
    pod.remove(node).await?;
    remove_all(node, &before).await
}

/// The same for pods that are being stopped.
pub async fn while_stopping(cluster: &mut Cluster) -> anyhow::Result<()> {
    let node = &mut cluster.nodes[2];
    let before = traces::after_a_first_pod(node).await?;
    for (what, count) in MOMENTS {
        for wanted in [1, PODS] {
            let mut pods = vec![];
            for i in 0..PODS {
                pods.push(Pod::run(node, &format!("ending{i}")).await?.id);
            }
            let all = count(node);
            stop_all(&node.cri().await?, pods);
            let ended = |node: &Node| all.saturating_sub(count(node));
            kill_when(node, &format!("{wanted} {what} gone"), ended, wanted).await?;
            remove_all(node, &before).await?;
        }
    }
    Ok(())
}

fn stop_all(cri: &Cri, pods: Vec<String>) {
    for id in pods {
        let cri = cri.clone();
        tokio::spawn(async move { cri.stop_pod(&id).await });
    }
}

async fn kill_when(
    node: &mut Node,
    what: &str,
    progress: impl Fn(&Node) -> usize,
    wanted: usize,
) -> anyhow::Result<()> {
    wait::until(what, async || match progress(node) {
        there if there >= wanted => Ok(()),
        there => Err(format!("there are {there}")),
    })
    .await?;
    node.end_containerd(Signal::SIGKILL);
    node.start_containerd().await?;
    wait::until("NetworkReady", async || node.network_ready().await).await
}

/// A namespace that containerd had bound before it took note of the pod is lost to it, and empty: nothing of ours.
async fn remove_all(node: &Node, before: &BTreeSet<String>) -> anyhow::Result<()> {
    node.remove_all_pods().await?;
    let mut expected = before.clone();
    expected.extend(traces::of(node)?.into_iter().filter(|trace| trace.starts_with("file /run/netns/")));
    traces::gone(node, &expected).await
}

fn entries(node: &Node, directory: &str) -> usize {
    std::fs::read_dir(node.sandbox.path(directory)).map_or(0, Iterator::count)
}

/// The links in the node's own namespace.
fn links(node: &Node) -> usize {
    let table = std::fs::read_to_string(format!("/proc/{}/net/dev", node.sandbox.pid));
    table.unwrap_or_default().lines().count()
}
