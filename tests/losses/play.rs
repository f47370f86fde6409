//! Plays the rows and prints what was lost.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::network::Network;
use crate::router::Router;
use crate::row::{Promise, Row, ms};
use crate::stream::Count;

/// Rows played at a time by a test. A table is measured one by one.
const AT_A_TIME: usize = 3;

/// A row with a router.
type Cell = (&'static str, &'static str);
/// What was lost, or why that could not be found out.
type Outcome = Result<Vec<Count>, String>;

/// Plays what the environment selects of these rows.
pub fn play(table: &[&'static [Row]], routers: &[&'static dyn Router]) -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let whole = variable("TABLE") == "1";
    let (scenario, wanted) = (variable("SCENARIO"), variable("ROUTER"));
    let rows: Vec<&Row> = table.iter().copied().flatten().collect();
    let rows: Vec<&Row> = rows
        .into_iter()
        .filter(|row| row.name.contains(&scenario) && (whole || row.always || !scenario.is_empty()))
        .collect();
    let routers: Vec<&'static dyn Router> = routers
        .iter()
        .copied()
        .filter(|router| {
            router.name().contains(&wanted) && (whole || !wanted.is_empty() || router.protocol() == "114")
        })
        .collect();
    assert!(!rows.is_empty() && !routers.is_empty(), "SCENARIO and ROUTER select nothing");
    let began = Instant::now();
    let results = play_all(&rows, &routers, if whole { 1 } else { AT_A_TIME });
    print_table(&rows, &routers, &results);
    let mut broken = 0;
    for row in &rows {
        for router in &routers {
            if let Some(text) = fault(row, *router, &results[&(row.name, router.name())]) {
                println!("\n== {}, {}: {text}", row.name, router.name());
                broken += 1;
            }
        }
    }
    println!("\n{} played in {} s, {broken} failed", results.len(), began.elapsed().as_secs());
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is wrong with an outcome. Others may lose what they like.
fn fault(row: &Row, router: &dyn Router, outcome: &Outcome) -> Option<String> {
    let counts = match outcome {
        Err(text) => return Some(text.clone()),
        Ok(counts) if router.protocol() == "114" => counts,
        Ok(_) => return None,
    };
    let lost = counts.iter().any(|count| count.lost > 0);
    let stuck = counts.iter().any(|count| !count.flows);
    match row.promise {
        Promise::Zero if lost => Some("packets were lost where none may be".to_owned()),
        Promise::Recovers if stuck => Some("a stream does not flow in the end".to_owned()),
        _ => None,
    }
}

fn play_all(rows: &[&Row], routers: &[&'static dyn Router], at_a_time: usize) -> BTreeMap<Cell, Outcome> {
    let mut waiting = VecDeque::new();
    for &row in rows {
        waiting.extend(routers.iter().map(|router| (row, *router)));
    }
    let (waiting, results) = (Mutex::new(waiting), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some((row, router)) = { waiting.lock().unwrap().pop_front() } {
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| play_one(row, router)));
            let outcome = outcome.map_err(|panic| text_of(&*panic));
            println!("{}, {}: {}", row.name, router.name(), told(&outcome, began.elapsed()));
            results.lock().unwrap().insert((row.name, router.name()), outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(work);
        }
    });
    results.into_inner().unwrap()
}

/// Starts everything, lets packets flow for a while, and then does to it what the row does.
fn play_one(row: &Row, router: &'static dyn Router) -> Vec<Count> {
    let network = Network::new(router, row.shape);
    network.start();
    if !(row.applies)(&network) {
        return vec![];
    }
    let start = || if row.shared { network.traffic_to_shared() } else { network.traffic() };
    // Links may need a moment more, and everybody is to know the others' hardware addresses.
    let before = start();
    network.node(1).host.eventually("packets in every stream", || before.flows());
    before.end();
    let traffic = start();
    traffic.pass(ms(300));
    (row.play)(&network, &traffic);
    traffic.pass(ms(500));
    let counts = traffic.end();
    let lost = counts.iter().any(|count| count.lost > 0);
    let owed = row.promise == Promise::Zero && router.protocol() == "114";
    if lost && (owed || std::env::var("SHOW").is_ok()) {
        for node in &network.nodes {
            println!("-- {}: node{}\n{}", row.name, node.number, router.state(node));
        }
        for tor in &network.tors {
            println!("-- {}: {}\n{}", row.name, tor.directory.display(), tor.log());
        }
    }
    counts
}

fn told(outcome: &Outcome, took: Duration) -> String {
    let counts = match outcome {
        Ok(counts) => counts,
        Err(_) => return "FAILED".to_owned(),
    };
    let sent: usize = counts.iter().map(|count| count.sent).sum();
    let mut text = format!("{sent} packets in {} s", took.as_secs());
    for count in counts.iter().filter(|count| count.lost > 0) {
        text += &format!("; {}: {} lost, {} ms", count.name, count.lost, count.outage.as_millis());
    }
    text
}

/// One line a row, one column a router: packets lost, and the longest outage in milliseconds.
fn print_table(rows: &[&Row], routers: &[&dyn Router], results: &BTreeMap<Cell, Outcome>) {
    let heads: Vec<&str> = routers.iter().map(|router| router.name()).collect();
    println!("\n| packets lost, of 1,000/s (longest outage) | {} |", heads.join(" | "));
    println!("|---|{}", "---|".repeat(routers.len()));
    for row in rows {
        let cells: Vec<String> =
            routers.iter().map(|router| cell(&results[&(row.name, router.name())])).collect();
        println!("| {} | {} |", row.name, cells.join(" | "));
    }
    println!();
    for router in routers {
        println!("- {}: {}", router.name(), router.configured());
    }
}

fn cell(outcome: &Outcome) -> String {
    let Ok(counts) = outcome else { return "failed".to_owned() };
    if counts.is_empty() {
        return "–".to_owned();
    }
    let lost: usize = counts.iter().map(|count| count.lost).sum();
    let outage = counts.iter().map(|count| count.outage).max().unwrap_or_default();
    let stuck = if counts.iter().all(|count| count.flows) { "" } else { ", still losing" };
    if lost == 0 { "0".to_owned() } else { format!("{lost} ({} ms{stuck})", outage.as_millis()) }
}

fn text_of(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "failed".to_owned())
}
