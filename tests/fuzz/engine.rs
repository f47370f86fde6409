//! The loop: replay the seeds, then mutate what has shown something new, under bounds of time and
//! memory.
//!
//! Coverage is not measured; what a target reports as features (which kind of outcome, which
//! treatment, which reason) stands in for it: an input that brings a new feature is kept and mutated
//! further.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::MEMORY;
use crate::random::Random;

/// Makes an input from another, with parts of others in it.
pub type Mutate = fn(&mut Random, &[u8], &[Vec<u8>]) -> Vec<u8>;

/// One thing to be fed with octets.
pub struct Target {
    pub name: &'static str,
    pub seeds: fn() -> Vec<Vec<u8>>,
    pub mutate: Mutate,
    /// Runs one input; panics where anything is wrong.
    pub run: fn(&[u8], &mut Features),
    /// Fresh inputs to try where no time is given.
    pub executions: u64,
    /// Octets in an input.
    pub longest: usize,
    /// Octets of memory that one input may take beyond what was there before.
    pub memory: usize,
}

/// What an input has shown.
#[derive(Default)]
pub struct Features(BTreeSet<u64>);

impl Features {
    pub fn add(&mut self, feature: impl Hash) {
        let mut hasher = DefaultHasher::new();
        feature.hash(&mut hasher);
        self.0.insert(hasher.finish());
    }

    /// Adds a text without its numbers and what it quotes: the kind of an error, not the instance.
    pub fn add_kind(&mut self, text: &str) {
        let plain = text.split('"').step_by(2).flat_map(str::chars);
        self.add(plain.filter(|c| !c.is_ascii_digit()).take(120).collect::<String>());
    }
}

/// No more inputs than this are kept.
const LARGEST_CORPUS: usize = 20_000;
/// An input that runs longer is a hang.
const HANG: Duration = Duration::from_secs(20);
/// Memory in use at which to give up, rather than let the machine do it.
const MOST_MEMORY: usize = 2 << 30;

/// One target runs at a time, so that time and memory are its own.
static ALONE: Mutex<()> = Mutex::new(());

/// Fuzzes a target as the environment asks; see `tests/README.md`.
pub fn fuzz(target: &Target) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let watchdog = Watchdog::start(target.name);
    let mut run = Run { target, watchdog: &watchdog, seed: number("FUZZ_SEED").unwrap_or(1), executions: 0 };
    if let Ok(hex) = std::env::var("FUZZ_INPUT") {
        let features = run.execute(&from_hex(&hex));
        return say(&format!("{}: passed, {} features", target.name, features.0.len()));
    }
    let started = now();
    let mut corpus = Corpus::default();
    for seed in (target.seeds)() {
        let features = run.execute(&seed);
        corpus.inputs.push(seed);
        corpus.features.extend(features.0);
    }
    assert!(!corpus.inputs.is_empty(), "{} has no seeds", target.name);
    let seeds = corpus.inputs.len();
    let seconds = number("FUZZ_SECONDS").map(Duration::from_secs);
    let mut random = Random::new(run.seed);
    while match seconds {
        Some(seconds) => started.elapsed() < seconds,
        None => run.executions < target.executions,
    } {
        let input = corpus.next(&mut random, target);
        let features = run.execute(&input);
        corpus.keep(input, features);
    }
    say(&format!(
        "{}: {} executions in {:.1} s, corpus {} from {seeds} seeds, {} features, at most {} KiB for one input",
        target.name,
        run.executions,
        started.elapsed().as_secs_f64(),
        corpus.inputs.len(),
        corpus.features.len(),
        watchdog.state.peak.load(Ordering::Relaxed) >> 10,
    ));
}

#[derive(Default)]
struct Corpus {
    inputs: Vec<Vec<u8>>,
    features: BTreeSet<u64>,
}

impl Corpus {
    /// A mutation of an input; what was found last is mutated most.
    fn next(&self, random: &mut Random, target: &Target) -> Vec<u8> {
        let all = self.inputs.len();
        let at = if random.once_in(2) { random.below(all) } else { all - 1 - random.below(all.min(32)) };
        let mut input = self.inputs[at].clone();
        for _ in 0..=random.below(4) {
            input = (target.mutate)(random, &input, &self.inputs);
        }
        input.truncate(target.longest);
        input
    }

    fn keep(&mut self, input: Vec<u8>, features: Features) {
        let before = self.features.len();
        self.features.extend(features.0);
        if self.features.len() > before && self.inputs.len() < LARGEST_CORPUS {
            self.inputs.push(input);
        }
    }
}

struct Run<'a> {
    target: &'a Target,
    watchdog: &'a Watchdog,
    seed: u64,
    executions: u64,
}

impl Run<'_> {
    /// Runs one input. A failure is printed in a form that can be replayed, and then goes on its way.
    fn execute(&mut self, input: &[u8]) -> Features {
        self.executions += 1;
        self.watchdog.begin(input);
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let mut features = Features::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input, &mut features)));
        let taken = MEMORY.peak_usage().saturating_sub(before);
        self.watchdog.state.peak.fetch_max(taken as u64, Ordering::Relaxed);
        if let Err(panic) = outcome {
            self.fail(input, panic);
        }
        if taken > self.target.memory {
            self.fail(input, Box::new(format!("{taken} octets of memory for one input")));
        }
        features
    }

    fn fail(&self, input: &[u8], panic: Box<dyn Any + Send>) -> ! {
        say(&format!(
            "{} failed at execution {} of seed {}; to replay:\nFUZZ_INPUT={} cargo test --test fuzz {}",
            self.target.name,
            self.executions,
            self.seed,
            to_hex(input),
            self.target.name,
        ));
        resume_unwind(panic)
    }
}

/// A thread that ends the process when an input takes for ever, or all memory.
struct Watchdog {
    state: Arc<Watched>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Watched {
    input: Mutex<Vec<u8>>,
    executions: AtomicU64,
    peak: AtomicU64,
    done: AtomicBool,
    wake: Condvar,
}

impl Watchdog {
    fn start(target: &'static str) -> Watchdog {
        let state = Arc::new(Watched::default());
        let watched = Arc::clone(&state);
        let thread = Some(std::thread::spawn(move || watched.watch(target)));
        Watchdog { state, thread }
    }

    fn begin(&self, input: &[u8]) {
        let mut current = self.state.input.lock().unwrap();
        current.clear();
        current.extend_from_slice(input);
        self.state.executions.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.state.done.store(true, Ordering::Relaxed);
        self.state.wake.notify_all();
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

impl Watched {
    fn watch(&self, target: &str) {
        const TICK: Duration = Duration::from_millis(100);
        let (mut seen, mut since) = (0, now());
        let mut input = self.input.lock().unwrap();
        while !self.done.load(Ordering::Relaxed) {
            input = self.wake.wait_timeout(input, TICK).unwrap().0;
            let executions = self.executions.load(Ordering::Relaxed);
            if executions != seen {
                (seen, since) = (executions, now());
            }
            let memory = MEMORY.current_usage();
            if since.elapsed() > HANG || memory > MOST_MEMORY {
                let after = since.elapsed().as_secs();
                say(&format!(
                    "{target} hangs: {after} s, {memory} octets of memory\nFUZZ_INPUT={}",
                    to_hex(&input)
                ));
                std::process::abort();
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a run by hand lasts as long as it was told to")]
fn now() -> Instant {
    Instant::now()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Past the capture of the test harness: a count that nobody sees proves nothing.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "fuzz: {text}");
}

fn to_hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// Octets from hexadecimal digits; whatever is none is passed over.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
