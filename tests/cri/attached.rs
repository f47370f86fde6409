//! What a pod is given: an address, a way to every other pod, one network for all of its containers.

use anyhow::ensure;

use crate::cluster::Cluster;
use crate::image;
use crate::pod::Pod;
use crate::runtime::RUNC;

/// The runtime tells the addresses that the kernel has, and pods of three nodes, two on each, reach each other from a
/// process in a container and, all pairs and both families, under their own addresses.
pub async fn pods(cluster: &mut Cluster) -> anyhow::Result<()> {
    let mut pods = vec![];
    for node in &cluster.nodes {
        for name in ["one", "two"] {
            let pod = Pod::run(node, name).await?;
            pod.check_addresses()?;
            pods.push(pod);
        }
    }
    cluster.all_reach_all(&pods.iter().collect::<Vec<_>>())?;
    for (node, pod) in cluster.nodes.iter().zip(pods.iter().step_by(2)) {
        let cri = node.cri().await?;
        let container = pod.run_container(&cri, "pinger", &["sleep", "3600"]).await?;
        for other in &pods {
            for address in &other.addresses {
                cri.exec(&container, &["ping", "-q", "-c", "1", "-W", "5", &address.to_string()]).await?;
            }
        }
    }
    for node in &cluster.nodes {
        node.remove_all_pods().await?;
    }
    Ok(())
}

/// Two containers with file systems of their own have one address, and meet at localhost.
pub async fn containers(cluster: &mut Cluster) -> anyhow::Result<()> {
    let node = &cluster.nodes[0];
    let (cri, pod) = (node.cri().await?, Pod::run(node, "shared").await?);
    let serve = "echo words of the first > /tmp/words; exec nc -ll -p 8080 -e cat /tmp/words";
    let first = pod.run_container(&cri, "first", &["sh", "-c", serve]).await?;
    let second = pod.run_container(&cri, "second", &["sleep", "3600"]).await?;
    ensure!(cri.exec(&second, &["cat", "/tmp/words"]).await.is_err(), "they share a file system");
    crate::wait::until("the second hears the first", async || {
        match cri.exec(&second, &["nc", "-w", "2", "127.0.0.1", "8080"]).await {
            Ok(heard) if heard == "words of the first\n" => Ok(()),
            Ok(heard) => Err(format!("it hears {heard:?}")),
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;
    let addresses = async |container: &str| cri.exec(container, &["ip", "-o", "address"]).await;
    let (of_first, of_second) = (addresses(&first).await?, addresses(&second).await?);
    let has = |address| of_first.contains(&format!(" {address}/"));
    ensure!(of_first == of_second && pod.addresses.iter().all(has), "{of_first} against {of_second}");
    pod.remove(node).await
}

/// The other caller of plugins: `ctr`, which reads Debian's directories and knows nothing of pods.
pub async fn by_ctr(cluster: &mut Cluster) -> anyhow::Result<()> {
    let [node, other, ..] = &cluster.nodes[..] else { anyhow::bail!("the cluster has too few nodes") };
    let before = crate::traces::after_a_first_pod(node).await?;
    let far = Pod::run(other, "far").await?;
    let run = format!(
        "ctr --namespace k8s.io run --rm --cni --cgroup= --cpu-shares=0 --runc-binary {RUNC} {} by-ctr \
         ping -q -c 2 -W 5 {}",
        image::NAME,
        far.address()
    );
    let said = node.run(&run)?;
    ensure!(said.contains(" 0% packet loss"), "{said}");
    far.remove(other).await?;
    crate::traces::gone(node, &before).await
}
