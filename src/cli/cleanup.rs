//! `routelet cleanup`: removes what a daemon that is gone has left on this machine: the policy rules that
//! bear our protocol number, the kernel routes that do, in one table, the nexthop groups that bear it, and
//! the network configuration that the daemon wrote for the container runtime; and, when no pod is attached any
//! more, the bridge, the nftables and the node file, which tells the next cleanup which bridge it was. Nothing
//! else: pods keep their interfaces and addresses until the runtime lets go of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

use super::Error;
use crate::api::{self, Client};
use crate::cni::{conflist, veth};
use crate::fib::{Change, Found, Group, NextHop, Route, Target};
use crate::ipam::NodeFile;
use crate::ipam::node::{FILE_NAME, gateway};
use crate::kernel::link::Link;
use crate::kernel::nftables::Nftables;
use crate::kernel::routes::Ownership;
use crate::kernel::{Installer, Netlink};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Routing table: a number, or main, default or local
    #[arg(long, default_value = "main", value_parser = table)]
    table: u32,
    /// Protocol number that marks routes and rules as ours
    // 0 to 4 are the kernel's own routes, those of its redirects, and a person's.
    #[arg(long, value_name = "NUMBER", default_value_t = 114, value_parser = clap::value_parser!(u8).range(5..))]
    protocol: u8,
    /// Directory the daemon kept its state in
    #[arg(long, value_name = "DIR", env = "ROUTELET_STATE_DIR", default_value = "/run/routelet")]
    state_dir: PathBuf,
    /// The container runtime's network configuration that the daemon wrote; a file of somebody else stays
    #[arg(long, value_name = "FILE", env = "ROUTELET_CNI_CONFIG", default_value = conflist::DEFAULT_PATH)]
    cni_config: PathBuf,
    /// Socket on which a daemon would answer; nothing is removed while one does
    #[arg(long, value_name = "PATH", env = "ROUTELET_API_SOCKET", default_value = api::DEFAULT_SOCKET)]
    api_socket: PathBuf,
}

pub async fn run(args: Args, out: &mut impl Write) -> Result<(), Error> {
    match Client::connect(&args.api_socket).await {
        Err(api::Error::Unreachable { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Error::DaemonAlive(args.api_socket)),
    }
    let ownership = Ownership { table: args.table, protocol: args.protocol };
    let node_file = args.state_dir.join(FILE_NAME);
    let mut outcome = Outcome::default();
    // First, for as long as they stand packets look for a way in a table that empties.
    remove_rules(args.protocol, &mut outcome).await?;
    remove_routes(ownership, &mut outcome)?;
    // Before the node file: what a runtime asks of the plugin meanwhile would fail.
    remove_config(&args.cni_config, &mut outcome);
    remove_pod_network(&node_file, &mut outcome).await?;

    // Told afterwards, so that a reader who leaves early leaves nothing half done.
    for what in &outcome.removed {
        writeln!(out, "removed {what}")?;
    }
    for what in &outcome.kept {
        writeln!(out, "kept {what}")?;
    }
    if !outcome.left_behind.is_empty() {
        return Err(Error::LeftBehind(outcome.left_behind));
    }
    if outcome.removed.is_empty() && outcome.kept.is_empty() {
        let Ownership { table, protocol } = ownership;
        writeln!(
            out,
            "nothing to remove: no rule of protocol {protocol}, no route of it in table {table}, no {}",
            node_file.display()
        )?;
    }
    Ok(())
}

/// What came of it. A refusal does not hold back the rest.
#[derive(Default)]
struct Outcome {
    removed: Vec<String>,
    /// What pods still need.
    kept: Vec<String>,
    left_behind: Vec<String>,
}

async fn remove_rules(protocol: u8, outcome: &mut Outcome) -> Result<(), Error> {
    let found = Netlink::open()?.set_rules(protocol, &BTreeSet::new()).await?;
    outcome.removed.extend(found.removed.iter().map(|rule| format!("rule {rule}")));
    outcome.left_behind.extend(found.left_behind.iter().map(ToString::to_string));
    Ok(())
}

/// Routes first: with its group, a route goes without being counted.
fn remove_routes(ownership: Ownership, outcome: &mut Outcome) -> Result<(), Error> {
    let mut installer = Installer::open(ownership)?;
    let Found { routes, groups } = installer.adopt()?;
    let groups = groups.unwrap_or_default();
    let mut changes: Vec<Change> =
        routes.iter().map(|route| Change::Remove { prefix: route.prefix, metric: route.metric }).collect();
    changes.extend(groups.iter().map(|group| Change::RemoveGroup(group.id)));
    let mut refusals = installer.apply(&changes).into_iter().peekable();
    let names = routes.iter().map(describe).chain(groups.iter().map(describe_group));
    for (index, name) in names.enumerate() {
        match refusals.next_if(|refusal| refusal.index == index) {
            None => outcome.removed.push(name),
            Some(refusal) => outcome.left_behind.push(format!("{name}: {}", refusal.reason)),
        }
    }
    Ok(())
}

fn remove_config(path: &Path, outcome: &mut Outcome) {
    match conflist::remove(path) {
        Ok(true) => outcome.removed.push(path.display().to_string()),
        Ok(false) => {}
        Err(error) => outcome.left_behind.push(error.to_string()),
    }
}

/// Removes the nftables, the bridge and the node file, unless there are pods that need them.
async fn remove_pod_network(node_file: &Path, outcome: &mut Outcome) -> Result<(), Error> {
    let netlink = Netlink::open()?;
    let links = netlink.links().await?;
    // One that cannot be read says nothing of a bridge.
    let node = NodeFile::read(node_file).ok().flatten().unwrap_or_default();
    let bridge = links.iter().find(|link| link.name == node.bridge && link.kind.as_deref() == Some("bridge"));
    let port = |link: &&Link| link.master.is_some() && link.master == bridge.map(|bridge| bridge.index);
    let pods = links.iter().filter(|link| port(link) || veth::is_name(&link.name)).count();
    if pods > 0 {
        let bridge = bridge.map(|bridge| format!("bridge {}", bridge.name));
        let file = node_file.exists().then(|| node_file.display().to_string());
        let what: Vec<String> = bridge.into_iter().chain(file).chain(["nftables".to_owned()]).collect();
        let why = format!("pods are attached ({pods}); clean up again without them");
        outcome.kept.push(format!("{}: {why}", what.join(", ")));
        return Ok(());
    }
    let removed = Nftables::open_if_known().and_then(|nftables| match nftables {
        Some(mut nftables) => nftables.remove_all(),
        None => Ok(false),
    });
    match removed {
        Ok(true) => outcome.removed.push("nftables tables routelet".to_owned()),
        Ok(false) => {}
        Err(error) => outcome.left_behind.push(error.to_string()),
    }
    let Some(bridge) = bridge else {
        remove_file(node_file, outcome);
        return Ok(());
    };
    let prefixes = node.pod_cidrs.iter().chain(&node.former_pod_cidrs);
    let ours: Vec<IpNetwork> = prefixes.filter_map(|prefix| gateway(*prefix)).collect();
    let of_link = |a: &IpNetwork| matches!(a, IpNetwork::V6(a) if a.ip().is_unicast_link_local());
    let addresses = netlink.addresses(bridge.index).await?;
    if let Some(other) = addresses.iter().find(|address| !of_link(address) && !ours.contains(address)) {
        let what = format!("bridge {} and {}", bridge.name, node_file.display());
        outcome.kept.push(format!("{what}: the bridge has the address {other}, which is not ours"));
        return Ok(());
    }
    match netlink.delete_link(bridge.index).await {
        Ok(()) => {
            outcome.removed.push(format!("bridge {}", bridge.name));
            remove_file(node_file, outcome);
        }
        Err(error) => outcome.left_behind.push(error.to_string()),
    }
    Ok(())
}

fn remove_file(path: &Path, outcome: &mut Outcome) {
    match fs::remove_file(path) {
        Ok(()) => outcome.removed.push(path.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => outcome.left_behind.push(format!("{}: {error}", path.display())),
    }
}

fn describe(route: &Route) -> String {
    let target = match &route.target {
        Target::Unreachable => "unreachable".to_owned(),
        Target::Via(next_hops) => via(next_hops),
    };
    format!("{} {target} metric {}", route.prefix, route.metric)
}

fn describe_group(group: &Group) -> String {
    format!("nexthop group {} {}", group.id.0, via(&group.members))
}

fn via(next_hops: &[NextHop]) -> String {
    let vias: Vec<String> = next_hops.iter().map(|hop| hop.via.to_string()).collect();
    format!("via {}", vias.join(", "))
}

/// The kernel's reserved table names (rt_tables).
fn table(text: &str) -> Result<u32, String> {
    match text {
        "main" => Ok(254),
        "default" => Ok(253),
        "local" => Ok(255),
        _ => text
            .parse()
            .ok()
            .filter(|&table| table > 0)
            .ok_or_else(|| "neither a table number of 1 or more nor main, default or local".to_owned()),
    }
}
