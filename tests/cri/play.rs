//! Plays the rows, one after the other on the same cluster, and prints how it went.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;

use crate::cluster::Cluster;
use crate::{attached, leaving, migration, ports, ready, reboot, restarts, storm, torn};

/// Longer than any row takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// One row. It leaves the cluster as it found it; if it fails, all pods are removed.
struct Row {
    name: &'static str,
    play: for<'a> fn(&'a mut Cluster) -> LocalBoxFuture<'a, anyhow::Result<()>>,
}

/// The first brings the cluster up, and is always played.
const ROWS: &[Row] = &[
    Row {
        name: "containerd is ready once the daemon is, without a restart",
        play: |c| Box::pin(ready::ready(c)),
    },
    Row { name: "pods of three nodes reach each other over BGP", play: |c| Box::pin(attached::pods(c)) },
    Row {
        name: "containers of a pod share address and localhost",
        play: |c| Box::pin(attached::containers(c)),
    },
    Row { name: "ctr run --cni", play: |c| Box::pin(attached::by_ctr(c)) },
    Row { name: "a port of the node is a pod's", play: |c| Box::pin(ports::host_port(c)) },
    Row { name: "containerd restarts under its pods", play: |c| Box::pin(restarts::containerd(c)) },
    Row { name: "the daemon dies under pods that talk", play: |c| Box::pin(restarts::daemon(c)) },
    Row { name: "a pod that goes leaves nothing", play: |c| Box::pin(leaving::leaves_nothing(c)) },
    Row {
        name: "a pod goes whose namespace was taken away",
        play: |c| Box::pin(leaving::without_namespace(c)),
    },
    Row { name: "a pod is replaced that has died", play: |c| Box::pin(leaving::replaced(c)) },
    Row {
        name: "a node changes plugins and back under its pods",
        play: |c| Box::pin(migration::there_and_back(c)),
    },
    Row { name: "containerd is killed while it makes pods", play: |c| Box::pin(torn::while_making(c)) },
    Row { name: "containerd is killed while it stops pods", play: |c| Box::pin(torn::while_stopping(c)) },
    Row { name: "a node reboots", play: |c| Box::pin(reboot::reboots(c)) },
    Row { name: "a storm of pods on three nodes", play: |c| Box::pin(storm::storm(c)) },
];

/// Plays what `SCENARIO` selects, or all.
pub fn play() -> ExitCode {
    let began = Instant::now();
    let wanted = std::env::var("SCENARIO").unwrap_or_default();
    let mut cluster = runtime().block_on(Cluster::new()).unwrap();
    println!("{:>6} ms: the cluster stands", began.elapsed().as_millis());
    let (mut played, mut failed) = (0, 0);
    for (i, row) in ROWS.iter().enumerate().filter(|(i, row)| *i == 0 || row.name.contains(&wanted)) {
        played += 1;
        let start = Instant::now();
        let outcome = run(&mut cluster, row);
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("{:>6} ms: {word:<6} {}", start.elapsed().as_millis(), row.name);
        let Err(error) = outcome else { continue };
        failed += 1;
        println!("\n== {}: {error:#}", row.name);
        cluster.nodes.iter().for_each(|node| println!("{}", node.logs()));
        if i == 0 {
            break;
        }
        tidy(&mut cluster);
    }
    drop(cluster);
    println!("{played} played in {} s, {failed} failed", began.elapsed().as_secs());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(cluster: &mut Cluster, row: &Row) -> anyhow::Result<()> {
    // A runtime of its own: what a row leaves running in the background ends with it.
    runtime().block_on(async {
        match tokio::time::timeout(PATIENCE, (row.play)(cluster)).await {
            Ok(outcome) => outcome,
            Err(_) => anyhow::bail!("not done within {} s", PATIENCE.as_secs()),
        }
    })
}

/// Brings the cluster back to where a row may start, as far as can be.
fn tidy(cluster: &mut Cluster) {
    runtime().block_on(async {
        for node in &mut cluster.nodes {
            let tidied = node.tidy().await;
            if let Err(error) = tidied {
                println!("{}: what follows may fail for want of order: {error:#}", node.name);
            }
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
