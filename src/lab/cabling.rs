//! Links, addresses and routes of the lab: what the topology says, asked of the kernel.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

use super::exec_line::Action;
use super::plan::{Member, Plan};
use super::sandbox::Sandbox;
use super::topology::{End, Link};
use crate::kernel::links::VethPair;
use crate::kernel::{NetNs, Netlink};

/// Whether interfaces to come look for duplicates of their IPv6 addresses (RFC 4862 §5.4). On the
/// lab's own cables there can be none, and looking would hold link-local addresses back for up to
/// two seconds, which FRR answers with refused sessions.
const DUPLICATES: &str = "/proc/sys/net/ipv6/conf/default/accept_dad";

/// One node's network, ready to be configured.
struct Desk {
    namespace: NetNs,
    netlink: Netlink,
}

/// Lays all cables and configures every node's network.
///
/// # Errors
/// The kernel refuses something; the error names the node and the line.
pub async fn build(plan: &Plan, sandboxes: &BTreeMap<String, Sandbox>) -> anyhow::Result<()> {
    let mut desks = BTreeMap::new();
    for (name, sandbox) in sandboxes {
        let namespace = sandbox.network()?;
        let netlink = Netlink::open_in(&namespace)?;
        set_up(&netlink, "lo").await?;
        look_for_duplicates(&namespace, false)?;
        desks.insert(name.as_str(), Desk { namespace, netlink });
    }
    for link in &plan.links {
        lay(link, &desks).await?;
    }
    for member in plan.members.values() {
        let Some(desk) = desks.get(member.name.as_str()) else { continue };
        if member.node.kind == "bridge" {
            bridge_all(member, &plan.links, desk).await.with_context(|| member.name.clone())?;
        }
        for action in &member.actions {
            perform(action, desk).await.with_context(|| member.name.clone())?;
        }
    }
    // What the daemon makes from here on is its own business.
    desks.values().try_for_each(|desk| look_for_duplicates(&desk.namespace, true))
}

fn look_for_duplicates(namespace: &NetNs, look: bool) -> anyhow::Result<()> {
    match namespace.enter(|| std::fs::write(DUPLICATES, if look { "1" } else { "0" }))? {
        // A kernel without IPv6 has nothing to look for.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context(DUPLICATES),
        _ => Ok(()),
    }
}

async fn lay(link: &Link, desks: &BTreeMap<&str, Desk>) -> anyhow::Result<()> {
    let [near, far] = &link.ends;
    let desk =
        |end: &End| desks.get(end.node.as_str()).with_context(|| format!("there is no node {}", end.node));
    let pair = VethPair {
        name: &near.interface,
        peer_name: &far.interface,
        peer_namespace: Some(&desk(far)?.namespace),
        mtu: link.mtu,
        peer_mac: None,
    };
    let what = || format!("link {}:{} to {}:{}", near.node, near.interface, far.node, far.interface);
    desk(near)?.netlink.add_veth(&pair).await.with_context(what)?;
    for end in &link.ends {
        let netlink = &desk(end)?.netlink;
        let index = set_up(netlink, &end.interface).await.with_context(what)?;
        for address in &end.addresses {
            netlink.add_address(index, *address).await.with_context(what)?;
        }
    }
    Ok(())
}

/// containerlab's kind `bridge` is a segment: every cable that ends there is a port of it.
async fn bridge_all(member: &Member, links: &[Link], desk: &Desk) -> anyhow::Result<()> {
    let bridge = desk.netlink.add_bridge("bridge", None).await?;
    for end in links.iter().flat_map(|link| &link.ends).filter(|end| end.node == member.name) {
        let port = index(&desk.netlink, &end.interface).await?;
        desk.netlink.set_master(port, Some(bridge.index)).await?;
    }
    Ok(desk.netlink.set_up(bridge.index, true).await?)
}

async fn perform(action: &Action, desk: &Desk) -> anyhow::Result<()> {
    let netlink = &desk.netlink;
    match action {
        Action::AddAddress { link, address } => {
            netlink.add_address(index(netlink, link).await?, *address).await?;
        }
        Action::AddBridge { name } => {
            netlink.add_bridge(name, None).await?;
        }
        Action::SetLink { link, up, master, mtu } => {
            let index = index(netlink, link).await?;
            if let Some(mtu) = mtu {
                netlink.set_mtu(index, *mtu).await?;
            }
            if let Some(master) = master {
                let bridge = match master {
                    Some(name) => Some(self::index(netlink, name).await?),
                    None => None,
                };
                netlink.set_master(index, bridge).await?;
            }
            if let Some(up) = up {
                netlink.set_up(index, *up).await?;
            }
        }
        Action::AddRoute { destination, via, link } => {
            let interface = match link {
                Some(link) => Some(index(netlink, link).await?),
                None => None,
            };
            netlink.add_static_route(*destination, *via, interface).await?;
        }
        Action::Sysctl { key, value } => {
            // Dots part the words, except where a word (an interface's name) brings its own as slashes.
            let path = format!("/proc/sys/{}", key.replace('.', "/"));
            let written = desk.namespace.enter(|| std::fs::write(&path, value))?;
            written.with_context(|| format!("sysctl {key}={value}"))?;
        }
    }
    Ok(())
}

async fn set_up(netlink: &Netlink, name: &str) -> anyhow::Result<u32> {
    let index = index(netlink, name).await?;
    netlink.set_up(index, true).await?;
    Ok(index)
}

async fn index(netlink: &Netlink, name: &str) -> anyhow::Result<u32> {
    match netlink.link(name).await? {
        Some(link) => Ok(link.index),
        None => bail!("there is no interface {name}"),
    }
}
