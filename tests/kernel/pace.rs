//! How fast routes go in and out, for a person to look at: `cargo test --release --test kernel pace --
//! --ignored --nocapture`, beside the bare netlink writer of the same minute.

use std::io::Write;
use std::sync::mpsc::channel;
use std::time::Duration;

use routelet::fib::{Batch, BatchId, Change};
use routelet::kernel::RouteWriter;

use crate::groups::{hop, install, set};
use crate::rig::Pair;
use crate::routes::{OURS, found_in};

/// Routes, and how many are asked for at a time.
const ROUTES: u32 = 500_000;
const BATCH: u32 = 4096;

#[tokio::test]
#[ignore = "a measurement: takes half a minute of an undisturbed machine, and a release build"]
async fn half_a_million_routes() {
    let pair = Pair::addressed().await;
    let (sender, answers) = channel();
    let answer = move |id, refusals: Vec<_>| sender.send((id, refusals)).unwrap();
    let writer = pair.left_namespace.enter(|| RouteWriter::start(OURS, |_| {}, answer)).unwrap().unwrap();
    let write = |changes| writer.write(Batch { id: BatchId(0), urgent: false, changes });
    write(vec![set(1, vec![hop(pair.left_link.index, "192.0.2.2")])]);
    assert_eq!(answers.recv().unwrap().1, []);
    let prefix = |n: u32| format!("{}.{}.{}.0/24", 20 + (n >> 16), n >> 8 & 0xff, n & 0xff);
    let installs: Vec<Change> = (0..ROUTES).map(|n| install(1, &prefix(n))).collect();
    let removals: Vec<Change> =
        (0..ROUTES).map(|n| Change::Remove { prefix: prefix(n).parse().unwrap(), metric: 20 }).collect();
    let replacements: Vec<Change> = (installs.iter())
        .filter_map(|change| match change {
            Change::Install(route) => Some(Change::Replace(route.clone())),
            _ => None,
        })
        .collect();
    for (what, changes, left) in [
        ("install", &installs, ROUTES as usize),
        ("replace", &replacements, ROUTES as usize),
        ("remove", &removals, 0),
    ] {
        let batches: Vec<Vec<Change>> = changes.chunks(BATCH as usize).map(<[Change]>::to_vec).collect();
        let count = batches.len();
        let ((), took) = timed(|| {
            batches.into_iter().for_each(write);
            for _ in 0..count {
                assert_eq!(answers.recv().unwrap().1, []);
            }
        });
        tell(what, took);
        let (found, took) = timed(|| found_in(&pair.left_namespace, OURS).len());
        tell("  read back", took);
        assert_eq!(found, left);
    }
}

/// What something took: by the clock, and of processors, the kernel's part included.
struct Took {
    elapsed: Duration,
    processor: Duration,
}

#[allow(clippy::disallowed_methods, reason = "a measurement")]
fn timed<T>(run: impl FnOnce() -> T) -> (T, Took) {
    let (start, before) = (std::time::Instant::now(), processor());
    let outcome = run();
    (outcome, Took { elapsed: start.elapsed(), processor: processor() - before })
}

/// Processor time of this process so far (proc_pid_stat(5): fields 14 and 15, in hundredths of a second).
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

fn tell(what: &str, took: Took) {
    let (elapsed, processor) = (took.elapsed.as_secs_f64(), took.processor.as_secs_f64());
    let rate = f64::from(ROUTES) / elapsed;
    let line = format!("{what:12} {elapsed:.2} s, {rate:.0} a second; {processor:.2} s of processors\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
