//! Ports of a node that are a pod's (`hostPort`).

use std::net::IpAddr;

use anyhow::ensure;

use crate::client::Cri;
use crate::cluster::Cluster;
use crate::messages::PortMapping;
use crate::node::Node;
use crate::pod::{self, Pod};
use crate::{traces, wait};

/// The port on the node, and in the pod.
const PORTS: (i32, i32) = (30_080, 8080);

/// The pod answers on its node's addresses of both families: to pods of other nodes, to its own node, to a pod beside it
/// and to itself; and nobody does when it has gone.
pub async fn host_port(cluster: &mut Cluster) -> anyhow::Result<()> {
    let [node, other, ..] = &cluster.nodes[..] else { anyhow::bail!("the cluster has too few nodes") };
    let before = traces::after_a_first_pod(node).await?;
    let (cri, other_cri) = (node.cri().await?, other.cri().await?);
    let mut wish = pod::wish("server");
    wish.port_mappings = vec![PortMapping { protocol: 0, container_port: PORTS.1, host_port: PORTS.0 }];
    let server = Pod::run_as(node, wish).await?;
    let (beside, far) = (Pod::run(node, "beside").await?, Pod::run(other, "far").await?);
    let serve = format!("echo by port > /tmp/words; exec nc -ll -p {} -e cat /tmp/words", PORTS.1);
    let served = server.run_container(&cri, "server", &["sh", "-c", &serve]).await?;
    let asking = ["sleep", "3600"];
    let (near_asks, far_asks) = (
        beside.run_container(&cri, "asking", &asking).await?,
        far.run_container(&other_cri, "asking", &asking).await?,
    );
    for address in addresses_of(node)? {
        let address = address.to_string();
        hear("a pod of another node", async || ask(&other_cri, &far_asks, &address).await).await?;
        hear("a pod beside it", async || ask(&cri, &near_asks, &address).await).await?;
        hear("the pod itself", async || ask(&cri, &served, &address).await).await?;
        hear("its node", async || ask_from(node, &address)).await?;
    }
    server.remove(node).await?;
    for address in addresses_of(node)? {
        ensure!(
            ask(&other_cri, &far_asks, &address.to_string()).await.is_err(),
            "{address} answers for a pod that is gone"
        );
    }
    beside.remove(node).await?;
    far.remove(other).await?;
    traces::gone(node, &before).await
}

async fn hear(who: &str, ask: impl AsyncFn() -> anyhow::Result<String>) -> anyhow::Result<()> {
    wait::until(&format!("{who} hears the server"), async || match ask().await {
        Ok(heard) if heard == "by port\n" => Ok(()),
        Ok(heard) => Err(format!("it hears {heard:?}")),
        Err(error) => Err(format!("{error:#}")),
    })
    .await
}

async fn ask(cri: &Cri, container: &str, address: &str) -> anyhow::Result<String> {
    cri.exec(container, &["nc", "-w", "2", address, &PORTS.0.to_string()]).await
}

fn ask_from(node: &Node, address: &str) -> anyhow::Result<String> {
    node.run(&format!("busybox nc -w 2 {address} {}", PORTS.0))
}

/// The node's own addresses.
fn addresses_of(node: &Node) -> anyhow::Result<Vec<IpAddr>> {
    let number = node.name.trim_start_matches("node");
    Ok(vec![format!("192.168.1.1{number}").parse()?, format!("fd00:192:168:1::1{number}").parse()?])
}
