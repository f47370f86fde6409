//! Plays the table, some rows at a time, and prints how it went.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use crate::speaker::{Family, Speaker};
use crate::table::{Row, TABLE};

/// How many rows are played at a time. Most of a row is waiting for timers of the other side.
const AT_A_TIME: usize = 8;

/// One row against one speaker over one family.
type Cell = (&'static str, &'static str, Family);

/// Plays what `SCENARIO` and `SPEAKER` select, or all, and prints the table.
pub fn play(speakers: &[&'static dyn Speaker]) -> ExitCode {
    let wanted = |variable: &str, name: &str| name.contains(&std::env::var(variable).unwrap_or_default());
    let rows: Vec<&Row> =
        TABLE.iter().copied().flatten().filter(|row| wanted("SCENARIO", row.name)).collect();
    let speakers: Vec<&dyn Speaker> =
        speakers.iter().copied().filter(|speaker| wanted("SPEAKER", speaker.name())).collect();
    assert!(!rows.is_empty() && !speakers.is_empty(), "SCENARIO and SPEAKER select nothing");
    let began = Instant::now();
    let results = play_all(&rows, &speakers);
    for ((row, speaker, family), (_, outcome)) in &results {
        if let Err(text) = outcome {
            println!("\n== {row}, {speaker}, {family:?}: {text}");
        }
    }
    print_table(&rows, &speakers, &results);
    let failed = results.values().filter(|(_, outcome)| outcome.is_err()).count();
    println!("{} played in {} s, {failed} failed", results.len(), began.elapsed().as_secs());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Milliseconds that it took, and what went wrong.
type Outcome = (u128, Result<(), String>);

fn play_all(rows: &[&Row], speakers: &[&dyn Speaker]) -> BTreeMap<Cell, Outcome> {
    let mut waiting = VecDeque::new();
    for &row in rows {
        for &speaker in speakers {
            let played = row.families.iter().filter(|family| exclusion(row, speaker, **family).is_none());
            waiting.extend(played.map(|family| (row, speaker, *family)));
        }
    }
    let (waiting, results) = (Mutex::new(waiting), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some((row, speaker, family)) = { waiting.lock().unwrap().pop_front() } {
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| (row.play)(speaker, family)));
            let outcome = outcome.map_err(|panic| text_of(&*panic));
            let (took, word) = (began.elapsed().as_millis(), if outcome.is_ok() { "ok" } else { "FAILED" });
            println!("{word} after {took} ms: {}, {}, {family:?}", row.name, speaker.name());
            results.lock().unwrap().insert((row.name, speaker.name(), family), (took, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
    });
    results.into_inner().unwrap()
}

fn exclusion(row: &Row, speaker: &dyn Speaker, family: Family) -> Option<&'static str> {
    let one_family = format!("{} over {family:?}", speaker.name());
    let mut excepted = row.except.iter();
    excepted.find(|(name, _)| *name == speaker.name() || *name == one_family).map(|(_, reason)| *reason)
}

/// One line a row, one column a speaker: the families that passed, or the number of the reason.
fn print_table(rows: &[&Row], speakers: &[&dyn Speaker], results: &BTreeMap<Cell, Outcome>) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut reasons: Vec<String> = vec![];
    println!();
    let heads: String = speakers.iter().map(|speaker| format!("{:<13}", speaker.name())).collect();
    println!("{:width$}  {heads}", "scenario");
    for row in rows {
        let mut line = format!("{:width$}  ", row.name);
        for speaker in speakers {
            let mut words: Vec<String> = vec![];
            for family in row.families {
                let word = if let Some(reason) = exclusion(row, *speaker, *family) {
                    let reason = format!("{}: {reason}", speaker.name());
                    let known = reasons.iter().position(|other| *other == reason);
                    let number = known.unwrap_or_else(|| {
                        reasons.push(reason);
                        reasons.len() - 1
                    });
                    format!("({})", number + 1)
                } else if results[&(row.name, speaker.name(), *family)].1.is_ok() {
                    family.pick("ok4", "ok6").to_owned()
                } else {
                    family.pick("FAIL4", "FAIL6").to_owned()
                };
                words.push(word);
            }
            words.dedup();
            let cell = words.join(" ");
            line += &format!("{cell:<13}");
        }
        println!("{}", line.trim_end());
    }
    println!();
    for (i, reason) in reasons.iter().enumerate() {
        println!("({}) {reason}", i + 1);
    }
}

fn text_of(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "failed".to_owned())
}
