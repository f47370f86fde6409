//! What a node needs before it can take pods: the bridge with its gateway addresses, and the file that
//! tells the CNI plugin its pod CIDRs. Forwarding is looked after in [`super::settings`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::Context;
use ipnetwork::IpNetwork;

use crate::cluster::NodeNetwork;
use crate::ipam::node::{FILE_NAME, NodeFile};
use crate::kernel::{Conversation, Netlink, sysctl};
use crate::prefix::{Family, Prefix};

/// Makes the node ready for pods. Safe to repeat; changes only what is missing.
///
/// # Errors
/// The kernel refuses, or the bridge's name belongs to something that is no bridge.
pub async fn prepare(
    netlink: &Netlink,
    network: &NodeNetwork,
    addresses: &[IpAddr],
    state_dir: &Path,
) -> anyhow::Result<()> {
    let families: Vec<Family> =
        Family::ALL.into_iter().filter(|f| network.pod_cidrs.iter().any(|p| p.family() == *f)).collect();
    if families.is_empty() {
        return Ok(());
    }
    let mtu = match network.mtu {
        Some(mtu) => Some(mtu),
        None => path_mtu(netlink, addresses).await?,
    };
    let bridge = Conversation::open()?.ensure_bridge(&network.bridge, mtu)?;
    if families.contains(&Family::Ipv6Unicast) {
        sysctl::enable_ipv6(&network.bridge)?;
    }
    let gateways = network.pod_cidrs.iter().map(|pod_cidr| {
        gateway(*pod_cidr).with_context(|| format!("pod CIDR {pod_cidr} has no room for a gateway address"))
    });
    netlink.add_addresses(bridge.index, &gateways.collect::<anyhow::Result<Vec<_>>>()?).await?;
    netlink.set_up(bridge.index, true).await?;
    let file = NodeFile { pod_cidrs: network.pod_cidrs.clone(), bridge: network.bridge.clone(), mtu };
    let path = state_dir.join(FILE_NAME);
    Ok(file.write(path)?)
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

/// The first address of a pod CIDR after its network address.
fn gateway(pod_cidr: Prefix) -> Option<IpNetwork> {
    let first = match pod_cidr.address() {
        IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits().checked_add(1)?)),
        IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits().checked_add(1)?)),
    };
    let fits = pod_cidr.contains_address(first);
    fits.then(|| IpNetwork::new(first, pod_cidr.length()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_the_first_address() {
        let gateway = |text: &str| gateway(text.parse().unwrap()).map(|g| g.to_string());
        assert_eq!(gateway("10.244.1.0/24").as_deref(), Some("10.244.1.1/24"));
        assert_eq!(gateway("fd00:10:244:1::/64").as_deref(), Some("fd00:10:244:1::1/64"));
        assert_eq!(gateway("10.244.1.7/32"), None);
    }
}
