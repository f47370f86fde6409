//! The reference cluster of the lab: three nodes on a segment, pod CIDRs of both families, a full mesh of sessions.
//! The ToR is its switch and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, ensure};
use routelet::lab::plan::{Member, Plan};
use routelet::lab::probe::{self, Endpoint};
use routelet::lab::sandbox::{Mount, Sandbox};
use routelet::lab::topology::Topology;
use routelet::lab::{cabling, manifests, matrix, stage};
use routelet::prefix::Family;
use tokio::time::Instant;

use crate::node::{IMAGE, Node};
use crate::pod::Pod;
use crate::{image, wait};

/// The cluster. All of it goes when it does.
pub struct Cluster {
    pub nodes: Vec<Node>,
    families: BTreeSet<Family>,
    /// Whoever else is on a cable.
    _others: Vec<Sandbox>,
}

impl Cluster {
    /// Namespaces and cables, an image and manifests. Nothing runs yet.
    pub async fn new() -> anyhow::Result<Cluster> {
        let mut plan = Plan::new(&Topology::built_in()?, None)?;
        plan.routers.clear();
        for manifest in manifests::of_cluster(&plan) {
            fs::write(stage::manifests().join(manifest.name), manifest.text)?;
        }
        let images = Path::new(stage::ROOT).join("image");
        image::write(&images)?;
        let mut sandboxes = BTreeMap::new();
        for member in plan.members.values() {
            sandboxes.insert(member.name.clone(), sandbox(&plan, member, &images)?);
        }
        cabling::build(&plan, &sandboxes).await?;
        let mut nodes = vec![];
        for node in &plan.nodes {
            nodes.push(Node::new(sandboxes.remove(&node.name).context("a node without a sandbox")?)?);
        }
        Ok(Cluster { nodes, families: plan.families, _others: sandboxes.into_values().collect() })
    }

    /// All pods reach each other over every family, and are seen under their own addresses.
    pub fn all_reach_all(&self, pods: &[&Pod]) -> anyhow::Result<()> {
        // A runtime of its own, on a thread that has none: the witnesses in the pods end with it.
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(reach(pods, &self.families))
            });
            asked.join().unwrap()
        })
    }
}

async fn reach(pods: &[&Pod], families: &BTreeSet<Family>) -> anyhow::Result<()> {
    let mut endpoints = vec![];
    for pod in pods {
        let endpoint = Endpoint {
            name: format!("{}/{}", pod.node, pod.name()),
            node: Some(pod.node.clone()),
            addresses: pod.addresses.clone(),
            namespace: pod.namespace()?,
        };
        probe::start_witnesses(&endpoint)?;
        endpoints.push(Rc::new(endpoint));
    }
    let deadline = Instant::now() + wait::DEADLINE;
    loop {
        let cells = matrix::measure(&endpoints, families, deadline).await?;
        let expected = pods.len() * (pods.len() - 1) * families.len();
        ensure!(cells.len() == expected, "{} pairs where {expected} are to be", cells.len());
        let bad: Vec<_> = cells.iter().filter(|cell| !cell.is_good()).collect();
        let complaints: Vec<String> = bad.iter().map(|cell| matrix::complaint(cell, &endpoints)).collect();
        if bad.is_empty() {
            return Ok(());
        }
        // One echo or datagram may get lost: on a busy machine all namespaces share one full table of neighbours.
        let translated = bad.iter().any(|cell| cell.seen_as.is_some_and(|seen| seen != cell.source));
        ensure!(!translated && Instant::now() < deadline, "{}", complaints.join("; "));
    }
}

fn sandbox(plan: &Plan, member: &Member, images: &Path) -> anyhow::Result<Sandbox> {
    let mut mounts = vec![];
    if plan.nodes.iter().any(|node| node.name == member.name) {
        let manifests = stage::manifests();
        mounts.push(Mount { source: manifests, target: "/etc/routelet".into(), read_only: true });
        let target = Path::new(IMAGE).parent().context("the image lies in a directory")?.to_owned();
        mounts.push(Mount { source: images.to_owned(), target, read_only: true });
    }
    Sandbox::start(&member.name, &mounts)
}
