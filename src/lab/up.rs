//! Bringing a lab up, and keeping it up until somebody has had enough. What is checked in between is
//! in [`super::check`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use super::binaries::Binaries;
use super::binds::Resolved;
use super::check::Check;
use super::claim::{Claim, Status};
use super::output::{Look, Output};
use super::plan::{ClusterNode, Plan, Router};
use super::probe::Endpoint;
use super::programs::{Programs, await_condition};
use super::sandbox::{Mount, Sandbox};
use super::topology::Topology;
use super::tor::{self, Executables, Program};
use super::{UpOptions, binds, cabling, manifests, pods, stage};
use crate::ipam::node::DEFAULT_PATH as NODE_FILE;

/// How long a daemon may take until it is ready to be used.
const START: Duration = Duration::from_secs(10);

/// Brings a lab up and keeps it up, or with `--once` only looks whether all is well. True if every
/// check succeeded.
///
/// # Errors
/// The lab cannot be brought up. Whatever was there by then is gone when this returns.
pub fn run(options: &UpOptions, file: Option<&Path>) -> anyhow::Result<bool> {
    stage::require_root()?;
    let out = Output::new(options.output.is_json());
    let topology = match file {
        Some(file) => Topology::read(file)?,
        None => Topology::built_in()?,
    };
    let families = options.families(file.is_none());
    let mut plan = Plan::new(&topology, families.as_ref())?;
    if let Some(name) = &options.name {
        plan.name.clone_from(name);
    }
    let mut players = BTreeMap::new();
    for router in &plan.routers {
        players.insert(router.name.clone(), tor::choose(router, options.tor)?);
    }
    let Resolved { mounts, in_vain } = binds::resolve(&topology, &plan, &players, options.family.is_some())?;
    plan.not_honoured.extend(in_vain);

    let binaries = Binaries::ready(&out)?;
    stage::enter()?;
    let claim = Claim::stake(&plan.name)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let lab = Lab { plan, players, mounts, binaries, once: options.once, out: &out };
        // Closed after everything else has gone.
        let connections = RefCell::new(Vec::new());
        let result = tokio::select! {
            result = lab.live(claim, &connections) => result,
            _ = interrupt.recv() => { out.line(""); Ok(!options.once) }
            _ = terminate.recv() => Ok(!options.once),
        };
        // What the select held is dropped by now: processes, namespaces, cables.
        out.step("the lab is down; nothing of it is left");
        result
    })
}

struct Lab<'a> {
    plan: Plan,
    /// The program that plays each router.
    players: BTreeMap<String, (Program, Executables)>,
    /// What appears in each node.
    mounts: BTreeMap<String, Vec<Mount>>,
    binaries: Binaries,
    once: bool,
    out: &'a Output,
}

impl Lab<'_> {
    async fn live(&self, claim: Claim, connections: &RefCell<Vec<UnixStream>>) -> anyhow::Result<bool> {
        let status = Rc::new(watch::Sender::new(Status::default()));
        tokio::select! {
            served = claim.serve(status.clone(), connections) => served.map(|()| true),
            result = self.build_and_check(&status) => result,
        }
    }

    async fn build_and_check(&self, status: &watch::Sender<Status>) -> anyhow::Result<bool> {
        let out = self.out;
        out.heading(format_args!("Lab {}", self.plan.name));
        for text in &self.plan.not_honoured {
            out.note(format_args!("not honoured: {text}"));
        }
        self.write_manifests()?;
        let sandboxes = self.furnish(status).await?;
        let programs = Programs::new(&self.binaries);
        for router in &self.plan.routers {
            self.start_router(router, &sandboxes, &programs).await?;
        }
        let (endpoints, started) = self.start_nodes(&sandboxes, &programs).await?;
        let check =
            Check { plan: &self.plan, sandboxes: &sandboxes, programs: &programs, endpoints, started };
        let good = check.run(out).await?;
        if !self.once {
            self.invite(good);
            std::future::pending::<()>().await;
        }
        Ok(good)
    }

    /// Writes the objects of the cluster where all nodes see them, and shows them.
    fn write_manifests(&self) -> anyhow::Result<()> {
        self.out.step("writing the cluster's manifests, which every node reads from its manifests directory");
        for manifest in manifests::of_cluster(&self.plan) {
            let path = stage::manifests().join(manifest.name);
            std::fs::write(&path, &manifest.text).with_context(|| format!("writing {}", path.display()))?;
            self.out.line(self.out.look(Look::Dim, format_args!("  ── {}", manifest.name)));
            for line in manifest.text.lines() {
                self.out.line(self.out.look(Look::Dim, format_args!("  {line}")));
            }
        }
        Ok(())
    }

    /// Makes all namespaces and the network between them.
    async fn furnish(&self, status: &watch::Sender<Status>) -> anyhow::Result<BTreeMap<String, Sandbox>> {
        let names: Vec<&str> = self.plan.members.keys().map(String::as_str).collect();
        self.out.step(format_args!("making namespaces: {}", names.join(", ")));
        let mut sandboxes = BTreeMap::new();
        for name in self.plan.members.keys() {
            let mounts = self.mounts.get(name).map(Vec::as_slice).unwrap_or_default();
            let sandbox = Sandbox::start(name, mounts)?;
            status.send_modify(|status| {
                status.nodes.insert(name.clone(), sandbox.pid);
            });
            sandboxes.insert(name.clone(), sandbox);
        }
        self.out.step(format_args!("laying {} links, setting addresses and routes", self.plan.links.len()));
        cabling::build(&self.plan, &sandboxes).await?;
        Ok(sandboxes)
    }

    async fn start_router(
        &self,
        router: &Router,
        sandboxes: &BTreeMap<String, Sandbox>,
        programs: &Programs<'_>,
    ) -> anyhow::Result<()> {
        let (Some((program, executables)), Some(sandbox)) =
            (self.players.get(&router.name), sandboxes.get(&router.name))
        else {
            return Ok(());
        };
        self.out.step(format_args!("starting {} as {} (AS {})", program.name(), router.name, router.asn));
        if *program == Program::Gobgp {
            self.out.note("GoBGP keeps no kernel routes: the lab carries its best paths into the kernel");
        }
        let targets = self.mounts.get(&router.name).into_iter().flatten().map(|mount| mount.target.as_path());
        let given: Vec<&Path> = targets.collect();
        let setup = tor::setup(*program, executables, router, &self.plan, &given)?;
        programs.set_up(sandbox, &setup).await
    }

    /// Starts the daemons one after the other and attaches each node's pods. Returns all endpoints,
    /// and when the last daemon was started.
    async fn start_nodes(
        &self,
        sandboxes: &BTreeMap<String, Sandbox>,
        programs: &Programs<'_>,
    ) -> anyhow::Result<(Vec<Rc<Endpoint>>, Instant)> {
        let network = pods::network(&self.plan);
        self.out.step(format_args!("CNI configuration: {network}"));
        let mut endpoints = Vec::new();
        let mut started = Instant::now();
        for node in &self.plan.nodes {
            let Some(sandbox) = sandboxes.get(&node.name) else { continue };
            let command = self.daemon_command(node);
            self.out.step(format_args!("{}: {}", node.name, command.join(" ")));
            started = Instant::now();
            let environment = self.plan.members.get(&node.name).map(|member| &member.node.env);
            programs.start(sandbox, &command, environment)?;
            let file = sandbox.path(NODE_FILE);
            let what = format!("{}: the daemon has not written {NODE_FILE}", node.name);
            await_condition(programs, sandbox, START, &what, || file.exists()).await?;
            for number in 1..=node.pods {
                let name = format!("pod{number}");
                let pod = pods::attach(sandbox, &name, &network, &self.binaries)?;
                pods::set_loopback_up(&pod).await?;
                self.out.step(format_args!("{}: attached with {}", pod.name, shown(&pod.addresses)));
                endpoints.push(Rc::new(pod));
            }
        }
        for host in &self.plan.hosts {
            let Some(sandbox) = sandboxes.get(&host.name) else { continue };
            endpoints.push(Rc::new(Endpoint {
                name: host.name.clone(),
                node: None,
                addresses: host.addresses.clone(),
                namespace: sandbox.network()?,
            }));
        }
        endpoints.retain(|endpoint| !endpoint.addresses.is_empty());
        Ok((endpoints, started))
    }

    fn daemon_command(&self, node: &ClusterNode) -> Vec<String> {
        let member = self.plan.members.get(&node.name);
        let words = binds::daemon_arguments(&node.name, member.and_then(|member| member.node.cmd.as_deref()));
        std::iter::once("routelet".to_owned()).chain(words).collect()
    }

    fn invite(&self, good: bool) {
        let Plan { name, nodes, .. } = &self.plan;
        let node = nodes.first().map_or("NODE", |node| node.name.as_str());
        let state = if good { "up" } else { "up, with the faults above" };
        self.out.heading(format_args!("The lab is {state}. Look around from another terminal:"));
        for (command, meaning) in [
            (format!("exec {node} -- routelet peers"), "sessions"),
            (format!("exec {node} -- routelet routes"), "what was learned"),
            (format!("exec {node}/pod1 -- ip address"), "a pod's network"),
            (format!("exec {node} -- cat /run/lab/logs/{node}.log"), "the daemon's log"),
            (format!("down --name {name}"), "take it down (or Ctrl-C here)"),
        ] {
            self.out.line(format_args!("  routelet-lab {command:<55} {}", self.out.look(Look::Dim, meaning)));
        }
    }
}

fn shown(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}
