//! Every MUST and SHOULD that the CNI specification 1.1.0 has for plugins, one row each, against the
//! built binary in namespaces; then its CONVENTIONS.md, and what the reference plugins add to both.
//!
//! `CLAUSE=DEL cargo test --test cni spec` plays the rows in whose clause or text that is;
//! `TABLE=1 cargo test --test cni spec -- --nocapture` prints the table. To add a row, put it into the
//! file of its section: a clause, whether it must or should be so, what is so, and a function that
//! panics if it is not.

mod check;
mod configuration;
mod conventions;
mod delegation;
mod gc;
mod interfaces;
mod parameters;
mod programs;
mod results;
mod routes;
mod scene;
mod status;

use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::catch_unwind;

use scene::Scene;

/// How a clause is worded (RFC 2119); `Reference` where the specification leaves it open and the
/// reference plugins settle it.
#[derive(Debug, Clone, Copy)]
enum Level {
    Must,
    Should,
    May,
    Reference,
}

use Level::{May, Must, Reference, Should};

/// Section and clause, its level, what holds, and the proof.
struct Row(&'static str, Level, &'static str, fn(&Scene));

fn all() -> Vec<&'static Row> {
    [
        configuration::ROWS,
        parameters::ROWS,
        interfaces::ROWS,
        check::ROWS,
        status::ROWS,
        gc::ROWS,
        delegation::ROWS,
        results::ROWS,
        conventions::ROWS,
        routes::ROWS,
        programs::ROWS,
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_clause_of_the_specification_holds() {
    let wanted = env::var("CLAUSE").unwrap_or_default();
    let (mut table, mut wrong, mut count) = (String::new(), String::new(), 0);
    for Row(clause, level, what, play) in all() {
        if !clause.contains(&wanted) && !what.contains(&wanted) {
            continue;
        }
        count += 1;
        let outcome = catch_unwind(|| play(&Scene::new()));
        let mark = if outcome.is_ok() { "ok" } else { "WRONG" };
        writeln!(table, "| {clause} | {level:?} | {what} | {mark} |").unwrap();
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            writeln!(wrong, "{clause} ({level:?}): {what}\n  {}", text.unwrap_or_default()).unwrap();
        }
    }
    if env::var_os("TABLE").is_some() {
        let head = "| clause | level | what holds | |\n|---|---|---|---|\n";
        std::io::stdout().lock().write_all(format!("{head}{table}").as_bytes()).unwrap();
    }
    assert!(count > 0, "no row has {wanted:?} in it");
    assert!(wrong.is_empty(), "of {count} rows:\n{wrong}");
}
