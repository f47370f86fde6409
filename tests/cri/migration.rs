//! A node goes over from the reference plugins to ours, and back, while pods of both run and talk.

use std::path::Path;

use anyhow::ensure;
use serde_json::json;

use crate::cluster::Cluster;
use crate::node::Node;
use crate::pod::Pod;
use crate::stream::Stream;
use crate::traces;

/// Comes before ours, so that containerd uses it as long as it is there.
const REFERENCE: &str = "/etc/cni/net.d/00-reference.conflist";

/// Pods that either plugin has attached reach each other and all others, no echo is lost, no address is given twice, and
/// either plugin lets go of the other's pods.
pub async fn there_and_back(cluster: &mut Cluster) -> anyhow::Result<()> {
    let [node, other, ..] = &cluster.nodes[..] else { anyhow::bail!("the cluster has too few nodes") };
    let before = traces::after_a_first_pod(node).await?;
    let far = Pod::run(other, "far").await?;

    use_reference(node).await?;
    let first = Pod::run(node, "first").await?;
    let stream = Stream::start(node, &first, far.address()).await?;
    use_ours(node).await?;
    let second = Pod::run(node, "second").await?;
    distinct(&[&first, &second])?;
    cluster.all_reach_all(&[&first, &second, &far])?;
    stream.flow(2).await?;
    stream.end()?;
    first.remove(node).await?;

    let stream = Stream::start(node, &second, far.address()).await?;
    use_reference(node).await?;
    let third = Pod::run(node, "third").await?;
    distinct(&[&second, &third])?;
    cluster.all_reach_all(&[&second, &third, &far])?;
    stream.flow(2).await?;
    stream.end()?;
    second.remove(node).await?;
    use_ours(node).await?;
    third.remove(node).await?;
    far.remove(other).await?;
    traces::gone(node, &before).await
}

async fn use_reference(node: &Node) -> anyhow::Result<()> {
    let number = node.name.trim_start_matches("node");
    let text = json!({"cniVersion": "1.0.0", "name": "pod-network", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": format!("10.244.{number}.0/24")}], [{"subnet": format!("fd00:10:244:{number}::/64")}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
    }]});
    node.sandbox.write(Path::new(REFERENCE), &text.to_string())?;
    node.await_plugin("bridge").await
}

async fn use_ours(node: &Node) -> anyhow::Result<()> {
    node.run(&format!("rm {REFERENCE}"))?;
    node.await_plugin("routelet-cni").await
}

fn distinct(pods: &[&Pod; 2]) -> anyhow::Result<()> {
    for pod in pods {
        pod.check_addresses()?;
    }
    let twice = pods[0].addresses.iter().any(|address| pods[1].addresses.contains(address));
    ensure!(!twice, "{:?} and {:?}", pods[0].addresses, pods[1].addresses);
    Ok(())
}
