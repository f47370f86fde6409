//! What a node needs before it can take pods: the file that tells the CNI plugin its pod CIDRs and, where pods
//! share one, the bridge with its gateway addresses. Forwarding is looked after in [`super::settings`].
//!
//! In mode routed there is no bridge. One that stands from before is left for `routelet cleanup`: a pod may be
//! on it.
//!
//! A node may be given other pod CIDRs while pods have addresses of the old ones. The bridge then holds the
//! gateway addresses of both until the last of those pods is gone.

use std::net::IpAddr;

use anyhow::Context;
use tracing::info;

use super::options::Paths;
use super::pools;
use crate::cluster::NodeNetwork;
use crate::cluster::objects::cni::Mode;
use crate::ipam::node::{self, FILE_NAME, NodeFile, gateway};
use crate::ipam::{self, Store};
use crate::kernel::{Conversation, Netlink, sysctl};
use crate::prefix::{self, Family, Prefix};

/// Makes the node ready for pods. Safe to repeat; changes only what is missing, and removes from the bridge
/// the gateway of a former pod CIDR that no pod has an address of any more.
///
/// # Errors
/// The kernel refuses, or the bridge's name belongs to something that is no bridge.
pub async fn prepare(
    netlink: &Netlink,
    network: &NodeNetwork,
    addresses: &[IpAddr],
    paths: &Paths,
) -> anyhow::Result<()> {
    let families: Vec<Family> =
        Family::ALL.into_iter().filter(|f| network.pod_cidrs.iter().any(|p| p.family() == *f)).collect();
    if families.is_empty() {
        return Ok(());
    }
    let pods = &network.pods;
    let mtu = match pods.mtu {
        Some(mtu) => Some(mtu),
        None => path_mtu(netlink, addresses).await?,
    };
    let bridge = match pods.mode {
        Mode::Bridge => Some(Conversation::open()?.ensure_bridge(&pods.bridge, mtu)?.index),
        Mode::Routed => None,
    };
    if bridge.is_some() && families.contains(&Family::Ipv6Unicast) {
        sysctl::enable_ipv6(&pods.bridge)?;
    }
    let node_file = paths.state_dir.join(FILE_NAME);
    // One that cannot be read is replaced below.
    let before = NodeFile::read(&node_file).ok().flatten().unwrap_or_default();
    let (former, gone) = former(&before, network, paths)?;
    if let Some(bridge) = bridge {
        for address in gone.iter().filter_map(|prefix| gateway(*prefix)) {
            netlink.remove_address(bridge, address).await?;
            info!("no pod is left that needs the gateway {address}");
        }
    }
    // The plugin takes no gateway for ours that the file says nothing of.
    let file = NodeFile {
        pod_cidrs: network.pod_cidrs.clone(),
        former_pod_cidrs: former.clone(),
        mode: match pods.mode {
            Mode::Bridge => node::Mode::Bridge,
            Mode::Routed => node::Mode::Routed,
        },
        bridge: pods.bridge.clone(),
        mtu,
        masquerade: pods.masquerade,
        masquerade_exempt: prefix::aggregate(pods.exempt.iter().copied()),
    };
    if file != before {
        file.write(node_file)?;
    }
    let gateways = network.pod_cidrs.iter().chain(&former).map(|pod_cidr| {
        gateway(*pod_cidr).with_context(|| format!("pod CIDR {pod_cidr} has no room for a gateway address"))
    });
    let gateways = gateways.collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(bridge) = bridge {
        netlink.add_our_addresses(bridge, &gateways).await?;
        netlink.set_up(bridge, true).await?;
    }
    Ok(())
}

/// Pod CIDRs that the node had before on the same bridge: those that pods still have addresses of, and those
/// that none has.
fn former(
    before: &NodeFile,
    network: &NodeNetwork,
    paths: &Paths,
) -> Result<(Vec<Prefix>, Vec<Prefix>), ipam::Error> {
    let mut former = before.former_pod_cidrs.clone();
    former.extend(&before.pod_cidrs);
    former.retain(|prefix| before.bridge == network.pods.bridge && !network.pod_cidrs.contains(prefix));
    if former.is_empty() {
        return Ok((vec![], vec![]));
    }
    // Whoever does not say where addresses are kept has the gateways until the next boot.
    let Some(data_dir) = &paths.cni_data_dir else { return Ok((former, vec![])) };
    let usages = pools::usage(&Store::new(data_dir, &network.pods.name), &former)?;
    let taken = usages.iter().map(|usage| usage.taken > 0);
    let (kept, gone): (Vec<_>, Vec<_>) = former.into_iter().zip(taken).partition(|(_, taken)| *taken);
    let prefixes = |list: Vec<(Prefix, bool)>| list.into_iter().map(|(prefix, _)| prefix).collect();
    Ok((prefixes(kept), prefixes(gone)))
}

/// The MTU of the interface that holds the node's address: what pods can send without fragments. None
/// if that is the loopback, whose packets never leave: no bridge could have its MTU.
async fn path_mtu(netlink: &Netlink, addresses: &[IpAddr]) -> anyhow::Result<Option<u32>> {
    let on_links = netlink.link_addresses().await?;
    let indexes: Vec<u32> = on_links
        .into_iter()
        .filter(|(_, network)| addresses.contains(&network.ip()))
        .map(|(index, _)| index)
        .collect();
    let links = netlink.links().await?;
    Ok(links.into_iter().filter(|l| l.name != "lo" && indexes.contains(&l.index)).map(|l| l.mtu).min())
}
