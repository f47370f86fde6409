"""The side-by-side harness as a module, for scripts that play scenarios of their own with it.

BENCH_DIR names the folder with bench.py, its contestants and the built generator. BENCH_OURS_BIN names another
binary of ours than target/release/routelet.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("BENCH_OURS_BIN", os.path.join(ROOT, "target/release/routelet"))
os.environ.setdefault("BENCH_OURS_ADAPTER", os.path.join(ROOT, "tests/bench/adapter.py"))


def load():
    """bench.py, or an end with a word about what is missing."""
    folder = os.environ.get("BENCH_DIR", "")
    if not os.path.exists(os.path.join(folder, "bench.py")):
        sys.exit("BENCH_DIR must name the folder that holds bench.py")
    sys.path.insert(0, folder)
    import bench

    ours = os.environ["BENCH_OURS_BIN"]
    for binary, how in [(bench.GEN, "build the harness's generator"), (ours, "cargo build --release --bin routelet")]:
        if not os.access(binary, os.X_OK):
            sys.exit(f"{binary} is missing: {how}")
    os.chdir(folder)
    return bench


def options(timeout=300, quiet=0, churn=0):
    """What bench.py's scenarios read of its command line."""
    return argparse.Namespace(keep=False, configs=None, quiet=quiet, timeout=timeout, churn=churn)


def allow_descriptors(count):
    """The generator has a descriptor for each session, and what runs below inherits the limit of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))


class Results:
    """Rows of what was measured, by scenario and contestant, also appended to a file, a JSON object a line."""

    def __init__(self, path=None):
        self.rows, self.file = {}, open(path, "a") if path else None

    def add(self, scenario, who, row):
        self.rows.setdefault((scenario, who), []).append(row)
        text = json.dumps({"who": who, "s": scenario, **{k: v for k, v in row.items() if k != "s"}})
        if self.file:
            self.file.write(text + "\n")
            self.file.flush()
        shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items() if k in SHOWN}
        print(f"  {time.strftime('%H:%M:%S')} {scenario} {who}: {shown}", file=sys.stderr, flush=True)

    def play(self, scenario, who, steps):
        """Adds what a scenario yields, under the names of its steps, and an error if it ends with one."""
        try:
            for row in steps:
                name = scenario if row["s"] == scenario.split()[0] else scenario.replace(scenario.split()[0], row["s"], 1)
                self.add(name, who, row)
        except (TimeoutError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
            self.add(scenario, who, {"error": f"{type(error).__name__}: {error}"[:300]})

    def numbers(self, scenario, who, column):
        return [row[column] for row in self.rows.get((scenario, who), []) if row.get(column) is not None]

    def errors(self):
        return [(*key, row["error"]) for key, rows in self.rows.items() for row in rows if "error" in row]


SHOWN = {"s_all", "s_withdraw", "s_announce", "cpu", "cpu_per_min", "rss_peak_mb", "noise", "error", "silence", "established_s"}


def cpu_ns(pids, bench):
    """CPU time of processes and all below them, in nanoseconds, of threads that live. /proc/PID/stat counts in hundredths of a second."""
    total = 0
    for pid in bench.tree(pids):
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                    total += int(file.read().split()[0])
        except OSError:
            pass  # It ended meanwhile.
    return total


def contestant(bench, name, edit):
    """Makes a contestant by that name: ours, with `edit` done to each of its objects."""
    ours = type(bench.contestants.load("ours"))

    class Changed(ours):
        def edit(self, env, one):
            super().edit(env, one)
            edit(one)

    module = type(sys)(f"contestants.{name}")
    module.Contestant = Changed
    sys.modules[module.__name__] = module
