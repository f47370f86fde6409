//! Pods: network namespaces on a node, attached by executing the CNI plugin as a runtime would.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use ipnetwork::IpNetwork;
use serde::Deserialize;

use super::binaries::Binaries;
use super::plan::Plan;
use super::probe::Endpoint;
use super::sandbox::Sandbox;
use crate::kernel::{NetNs, Netlink};
use crate::prefix::Family;

/// Where a pod's namespace is bound, on its node: where container runtimes do it.
pub fn namespace(pod: &str) -> PathBuf {
    Path::new("/run/netns").join(pod)
}

/// The network configuration that the plugin gets on standard input, the same on every node: one
/// that is in wide use, with the subnet of the whole cluster.
pub fn network(plan: &Plan) -> String {
    let subnets: Vec<String> =
        plan.cluster_cidrs.iter().map(|cidr| format!(r#""subnet":"{cidr}""#)).collect();
    // The reference plugin takes one subnet, or sets of ranges.
    let subnets = match subnets.as_slice() {
        [subnet] => subnet.clone(),
        several => format!(r#""ranges":[[{{{}}}]]"#, several.join("}],[{")),
    };
    let routes: Vec<String> =
        plan.families.iter().map(|family| format!(r#"{{"dst":"{}"}}"#, default_route(*family))).collect();
    format!(
        concat!(
            r#"{{"cniVersion":"0.3.1","name":"pod-network","type":"bridge","bridge":"cni0","isGateway":true,"#,
            r#""ipMasq":true,"ipam":{{"type":"host-local",{},"routes":[{}]}}}}"#
        ),
        subnets,
        routes.join(",")
    )
}

fn default_route(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "0.0.0.0/0",
        Family::Ipv6Unicast => "::/0",
    }
}

/// Makes a pod on a node and attaches it. Blocks while the plugin runs.
///
/// # Errors
/// The plugin fails; the error has its own words.
pub fn attach(node: &Sandbox, name: &str, network: &str, binaries: &Binaries) -> anyhow::Result<Endpoint> {
    let path = namespace(name);
    let mut make = Command::new("/proc/self/exe");
    make.arg(super::MAKE_NETNS).arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let made = node.spawn(&mut make)?.wait_with_output().context("making a pod's namespace")?;
    if !made.status.success() {
        bail!("{}: {}", node.name, String::from_utf8_lossy(&made.stderr).trim_end());
    }
    let namespace = NetNs::open(node.path(&path))?;

    let mut plugin = Command::new(binaries.plugin());
    plugin.env_clear().env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", format!("{}-{name}", node.name));
    plugin.env("CNI_NETNS", &path).env("CNI_IFNAME", "eth0").env("CNI_PATH", &binaries.directory);
    plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = node.spawn(&mut plugin)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A plugin that dies early closes the pipe; what it said below tells more.
        let _ = stdin.write_all(network.as_bytes());
    }
    let done = child.wait_with_output().context("running routelet-cni")?;
    let said = String::from_utf8_lossy(&done.stdout);
    if !done.status.success() {
        let complaint: Complaint = serde_json::from_str(&said).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&done.stderr);
        let words = if complaint.msg.is_empty() { stderr.trim_end() } else { &complaint.msg };
        bail!("routelet-cni ADD for {name} on {}: {words} {}", node.name, complaint.details);
    }
    let result: CniResult = serde_json::from_str(&said)
        .with_context(|| format!("routelet-cni ADD for {name} on {} answers {said:?}", node.name))?;
    let networks = result.ips.iter().filter_map(|ip| ip.address.parse::<IpNetwork>().ok());
    let addresses: Vec<IpAddr> = networks.map(|network| network.ip()).collect();
    if addresses.is_empty() {
        bail!("routelet-cni ADD for {name} on {} gave no address", node.name);
    }
    Ok(Endpoint {
        name: format!("{}/{name}", node.name),
        node: Some(node.name.clone()),
        addresses,
        namespace,
    })
}

/// Sets a pod's loopback up, which a runtime leaves to the `loopback` plugin.
///
/// # Errors
/// The kernel refuses.
pub async fn set_loopback_up(pod: &Endpoint) -> anyhow::Result<()> {
    let netlink = Netlink::open_in(&pod.namespace)?;
    if let Some(loopback) = netlink.link("lo").await? {
        netlink.set_up(loopback.index, true).await?;
    }
    Ok(())
}

/// The CNI result, as far as it matters here.
#[derive(Deserialize)]
struct CniResult {
    #[serde(default)]
    ips: Vec<CniAddress>,
}

#[derive(Deserialize)]
struct CniAddress {
    address: String,
}

/// The CNI error.
#[derive(Deserialize, Default)]
struct Complaint {
    msg: String,
    #[serde(default)]
    details: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Topology;

    #[test]
    fn the_configuration_is_the_common_one() {
        let network = |families: &[Family]| {
            let families = families.iter().copied().collect();
            network(&Plan::new(&Topology::built_in().unwrap(), Some(&families)).unwrap())
        };
        assert_eq!(
            network(&[Family::Ipv4Unicast]),
            r#"{"cniVersion":"0.3.1","name":"pod-network","type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"ipam":{"type":"host-local","subnet":"10.244.0.0/16","routes":[{"dst":"0.0.0.0/0"}]}}"#
        );
        let both: serde_json::Value = serde_json::from_str(&network(&Family::ALL)).unwrap();
        assert_eq!(both["ipam"]["ranges"][1][0]["subnet"], "fd00:10:244::/48");
        assert_eq!(both["ipam"]["routes"][1]["dst"], "::/0");
    }
}
