//! A pod: what the runtime says of it, and what the kernel says.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use routelet::kernel::NetNs;
use serde_json::Value;

use crate::client::Cri;
use crate::image;
use crate::messages::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ImageSpec, LinuxContainerConfig,
    LinuxContainerSecurityContext, NamespaceOption, Nothing, PodSandboxConfig, PodSandboxMetadata,
};
use crate::node::Node;
use crate::wait;

/// A pod that runs.
pub struct Pod {
    pub id: String,
    pub node: String,
    /// As the runtime tells a kubelet.
    pub addresses: Vec<IpAddr>,
    /// Process 1 of the pod, as its node counts.
    pub pid: u64,
    /// Its network namespace, as its node sees it.
    pub netns: PathBuf,
    /// The same from outside.
    outside: PathBuf,
    config: PodSandboxConfig,
}

/// What a kubelet asks for, with an identity that no other pod has.
pub fn wish(name: &str) -> PodSandboxConfig {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let metadata = PodSandboxMetadata {
        name: name.to_owned(),
        uid: format!("uid-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        namespace: "default".to_owned(),
        attempt: 0,
    };
    PodSandboxConfig {
        metadata: Some(metadata),
        hostname: name.to_owned(),
        log_directory: "/run/pods".to_owned(),
        port_mappings: vec![],
        linux: Some(Nothing {}),
    }
}

impl Pod {
    /// Runs a pod.
    pub async fn run(node: &Node, name: &str) -> anyhow::Result<Pod> {
        Pod::run_as(node, wish(name)).await
    }

    /// Runs it anew, as a kubelet does whose pod has died.
    pub async fn run_again(&self, node: &Node) -> anyhow::Result<Pod> {
        let mut config = self.config.clone();
        config.metadata.get_or_insert_default().attempt += 1;
        Pod::run_as(node, config).await
    }

    /// Runs the pod that is wished for.
    pub async fn run_as(node: &Node, config: PodSandboxConfig) -> anyhow::Result<Pod> {
        let cri = node.cri().await?;
        let what = || format!("{}: running {}", node.name, config.hostname);
        let id = cri.run_pod(config.clone()).await.with_context(what)?;
        Pod::look(node, &cri, id, config).await
    }

    /// Asks the runtime for what it knows of a pod.
    pub async fn look(node: &Node, cri: &Cri, id: String, config: PodSandboxConfig) -> anyhow::Result<Pod> {
        let status = cri.pod_status(&id).await?;
        let network = status.status.and_then(|status| status.network).unwrap_or_default();
        let others = network.additional_ips.into_iter().map(|additional| additional.ip);
        let addresses = std::iter::once(network.ip).chain(others).map(|ip| ip.parse());
        let addresses = addresses.collect::<Result<Vec<IpAddr>, _>>().context("the runtime's addresses")?;
        let info: Value =
            serde_json::from_str(status.info.get("info").context("the runtime gives no info")?)?;
        let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array();
        let netns = namespaces.into_iter().flatten().find(|namespace| namespace["type"] == "network");
        let netns = netns.and_then(|namespace| namespace["path"].as_str()).context("no network namespace")?;
        let pid = info["pid"].as_u64().context("no pid")?;
        // `/var/run` is a link that would lead to the `/run` of whoever follows it.
        let outside = node.sandbox.path(netns.trim_start_matches("/var"));
        Ok(Pod { id, node: node.name.clone(), addresses, pid, netns: netns.into(), outside, config })
    }

    /// Asks again.
    pub async fn look_again(&self, node: &Node) -> anyhow::Result<Pod> {
        Pod::look(node, &node.cri().await?, self.id.clone(), self.config.clone()).await
    }

    pub fn name(&self) -> &str {
        &self.config.hostname
    }

    pub fn namespace(&self) -> anyhow::Result<NetNs> {
        Ok(NetNs::open(&self.outside)?)
    }

    /// The addresses on its interface, those of the link apart.
    pub fn addresses_in_kernel(&self) -> anyhow::Result<Vec<IpAddr>> {
        let mut ip = Command::new("ip");
        ip.args(["-json", "address", "show", "dev", "eth0"]);
        let done = self.namespace()?.enter(|| ip.output())??;
        let links: Value = serde_json::from_slice(&done.stdout).context("ip -json")?;
        let addresses = links[0]["addr_info"].as_array().context("eth0 has no addresses")?;
        let global = addresses.iter().filter(|address| address["scope"] == "global");
        global.map(|address| Ok(address["local"].as_str().unwrap_or_default().parse()?)).collect()
    }

    /// The runtime's view is the kernel's: one address of each family.
    pub fn check_addresses(&self) -> anyhow::Result<()> {
        let (mut told, mut there) = (self.addresses.clone(), self.addresses_in_kernel()?);
        told.sort();
        there.sort();
        let one_each = told.len() == 2 && told[0].is_ipv4() && told[1].is_ipv6();
        ensure!(
            told == there && one_each,
            "{}: the runtime says {told:?}, the kernel {there:?}",
            self.name()
        );
        Ok(())
    }

    /// Its IPv4 address.
    pub fn address(&self) -> IpAddr {
        self.addresses[0]
    }

    /// Runs a container in it. Its id.
    pub async fn run_container(&self, cri: &Cri, name: &str, command: &[&str]) -> anyhow::Result<String> {
        // Without a control group, a container is ended by ending its first process's namespace.
        let own = LinuxContainerSecurityContext { namespace_options: Some(NamespaceOption { pid: 1 }) };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned() }),
            image: Some(ImageSpec { image: image::NAME.to_owned() }),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            linux: Some(LinuxContainerConfig { security_context: Some(own) }),
        };
        let question = CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        cri.run_container(question).await.with_context(|| format!("running {name} in {}", self.name()))
    }

    /// Kills its process 1, and waits until the runtime knows: until then it cannot even stop the pod.
    pub async fn die(&self, node: &Node) -> anyhow::Result<()> {
        node.run(&format!("kill -9 {}", self.pid))?;
        let cri = node.cri().await?;
        wait::until("the runtime knows of a death", async || {
            let status = cri.pod_status(&self.id).await.map_err(|error| error.to_string())?.status;
            if status.is_some_and(|status| status.state == 1) {
                Ok(())
            } else {
                Err("the pod is ready".to_owned())
            }
        })
        .await
    }

    /// Stops and removes it.
    pub async fn remove(self, node: &Node) -> anyhow::Result<()> {
        let cri = node.cri().await?;
        cri.stop_pod(&self.id).await.with_context(|| format!("stopping {}", self.name()))?;
        cri.remove_pod(&self.id).await.with_context(|| format!("removing {}", self.name()))
    }
}
