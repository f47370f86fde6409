//! What there is on a node on account of pods: when they have gone it must be what it was before.

use std::collections::BTreeSet;

use crate::node::Node;
use crate::runtime::NETWORK;
use crate::wait;

/// The link that a node itself has.
const UPLINK: &str = "eth1";

/// Everything that a pod may leave behind, one line each: veth ends, bound namespaces, files of plugins and of the
/// runtime's CNI library, what our packet filter has on account of a pod, others' packet filters; and the configuration,
/// which must stay as it is.
pub fn of(node: &Node) -> anyhow::Result<BTreeSet<String>> {
    let links = node.run("ip -brief link show type veth")?;
    let links = links.lines().filter_map(|line| line.split_whitespace().next());
    let links = links.filter_map(|name| name.split('@').next()).filter(|name| *name != UPLINK);
    let mut found: BTreeSet<String> = links.map(|name| format!("link {name}")).collect();
    let files = node.run("find /run/netns /var/lib/cni ! -type d")?;
    found.extend(files.lines().map(|file| format!("file {file}")));
    let rules = node.run("nft list ruleset")?;
    let of_pods = rules.lines().filter(|line| line.contains("comment ") || is_foreign_table(line));
    found.extend(of_pods.map(|line| format!("nft {}", line.trim())));
    let configuration = node.run(&format!("cat {NETWORK}"))?;
    found.insert(format!("configuration {configuration}"));
    Ok(found)
}

/// Ours is there as soon as a pod has needed it, and stays.
fn is_foreign_table(line: &str) -> bool {
    line.starts_with("table ") && !line.ends_with(" routelet {")
}

/// Waits until there is on a node what there was before.
pub async fn gone(node: &Node, before: &BTreeSet<String>) -> anyhow::Result<()> {
    wait::until("nothing is left, and nothing has gone", async || {
        let now = of(node).map_err(|error| error.to_string())?;
        let left: Vec<_> = now.difference(before).collect();
        let lost: Vec<_> = before.difference(&now).collect();
        if left.is_empty() && lost.is_empty() {
            return Ok(());
        }
        Err(format!("{}: left: {left:?}; lost: {lost:?}", node.name))
    })
    .await
}

/// How it is with no pod, but with whatever the first one brings about: the bridge, tables, lock files.
pub async fn after_a_first_pod(node: &Node) -> anyhow::Result<BTreeSet<String>> {
    crate::pod::Pod::run(node, "first").await?.remove(node).await?;
    of(node)
}
