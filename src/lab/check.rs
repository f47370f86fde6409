//! Whether a lab does what it is there for: everybody reaches everybody under his own address, every
//! session is established, every route is in place; and how long that took.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::output::{Look, Output};
use super::plan::Plan;
use super::probe::{self, Endpoint, Pinger};
use super::programs::Programs;
use super::sandbox::Sandbox;
use super::{matrix, report};

/// How long the cluster may take to converge.
const CONVERGENCE: Duration = Duration::from_secs(30);

/// A lab with everything started.
#[derive(Debug)]
pub struct Check<'a> {
    /// What was built.
    pub plan: &'a Plan,
    /// The nodes.
    pub sandboxes: &'a BTreeMap<String, Sandbox>,
    /// The daemons and routers.
    pub programs: &'a Programs<'a>,
    /// Who is to reach whom.
    pub endpoints: Vec<Rc<Endpoint>>,
    /// When the last daemon was started.
    pub started: Instant,
}

impl Check<'_> {
    /// Waits for the cluster to converge, measures, and shows what came of it. True if everything is
    /// as it should be.
    ///
    /// # Errors
    /// Something cannot be measured. What is found missing is a result, not an error.
    pub async fn run(&self, out: &Output) -> anyhow::Result<bool> {
        let Check { plan, endpoints, .. } = self;
        let deadline = self.started + CONVERGENCE;
        for endpoint in endpoints {
            probe::start_witnesses(endpoint)?;
        }
        out.step("waiting for the first ping between nodes, then for everything else");
        let last = plan.nodes.last().map(|node| node.name.as_str()).unwrap_or_default();
        let first_ping = first_cross_node_ping(endpoints, last, deadline).await?.map(|at| at - self.started);
        let cells = matrix::measure(endpoints, &plan.families, deadline).await?;
        let reports = report::settled(plan, self.sandboxes, deadline).await?;

        matrix::show(endpoints, &plan.families, &cells, out);
        report::show(&reports, out);
        let problems = self.problems(&cells, &reports);
        out.heading("In short");
        if let Some(taken) = first_ping {
            let taken = taken.as_secs_f64();
            out.line(format_args!(
                "First ping between nodes {taken:.3} s after the start of the last daemon ({last})"
            ));
        }
        say_verdict(&cells, &problems, out);
        out.json(&json!({
            "lab": plan.name,
            "ok": problems.is_empty(),
            "firstCrossNodePingSeconds": first_ping.map(|taken| taken.as_secs_f64()),
            "matrix": matrix::to_json(&cells, endpoints),
            "nodes": reports.iter().map(report::NodeReport::to_json).collect::<Vec<_>>(),
            "problems": problems,
        }));
        Ok(problems.is_empty())
    }

    /// Everything that is not as it should be, in words: causes before what they bring about.
    fn problems(&self, cells: &[matrix::Cell], reports: &[report::NodeReport]) -> Vec<String> {
        let mut problems = self.programs.ended();
        problems.extend(reports.iter().flat_map(report::NodeReport::sessions_down));
        problems.extend(report::missing_routes(self.plan, reports));
        let bad = cells.iter().filter(|cell| !cell.is_good());
        problems.extend(bad.map(|cell| matrix::complaint(cell, &self.endpoints)));
        if cells.is_empty() {
            problems.push("there is nobody to ping: no pods, no hosts".to_owned());
        }
        problems
    }
}

fn say_verdict(cells: &[matrix::Cell], problems: &[String], out: &Output) {
    let good = cells.iter().filter(|cell| cell.is_good()).count();
    let verdict = format!("{good} of {} ways are open, source addresses unchanged", cells.len());
    if problems.is_empty() {
        out.line(out.look(Look::Good, format_args!("✓ {verdict}")));
        return;
    }
    out.line(out.look(Look::Bad, format_args!("✗ {verdict}")));
    for problem in problems {
        out.line(format_args!("  {} {problem}", out.look(Look::Bad, "✗")));
    }
}

/// When the first echo between a pod of `last` and a pod of another node was answered.
async fn first_cross_node_ping(
    endpoints: &[Rc<Endpoint>],
    last: &str,
    deadline: Instant,
) -> anyhow::Result<Option<Instant>> {
    let mut race = JoinSet::new();
    let mut id = 0x4000;
    for from in endpoints.iter().filter(|endpoint| endpoint.node.as_deref() == Some(last)) {
        let others = endpoints.iter().filter(|to| to.node.is_some() && to.node != from.node);
        for address in others.flat_map(|to| to.addresses.iter()) {
            let pinger = Pinger::open(from, *address, id)?;
            id += 1;
            race.spawn(async move {
                pinger.first_answer(Duration::from_millis(2)).await;
                Instant::now()
            });
        }
    }
    match timeout_at(deadline, race.join_next()).await {
        Ok(Some(first)) => Ok(Some(first.context("pinging")?)),
        Ok(None) | Err(_) => Ok(None),
    }
}
