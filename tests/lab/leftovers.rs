//! However a lab ends, nothing of it is left: no process, no namespace, no file, no name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{Lab, PATIENCE, program};

/// What programs in a lab write to, and must find private.
const PLACES: [&str; 6] = [
    "/run/lab",
    "/run/netns/pod1",
    "/etc/routelet",
    "/etc/routelet-router",
    "/etc/gobgp",
    "/var/lib/cni/networks/pod-network",
];

/// What there is of a lab, seen from outside.
struct Traces {
    /// Namespaces of its nodes, as the kernel names them.
    namespaces: BTreeSet<String>,
    /// Which of [`PLACES`] were there anyway.
    places: Vec<bool>,
}

impl Traces {
    fn of(lab: &Lab, places: Vec<bool>) -> Traces {
        let lab = lab.child.id().to_string();
        let mut namespaces = BTreeSet::new();
        for process in processes() {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // The parent follows the state, which follows the name in parentheses.
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            if parent == Some(&lab) {
                namespaces.extend(namespaces_of(&process));
            }
        }
        for own in namespaces_of("self") {
            namespaces.remove(&own);
        }
        Traces { namespaces, places }
    }

    fn left(&self) -> Vec<String> {
        let in_them = |process: &String| namespaces_of(process).iter().any(|ns| self.namespaces.contains(ns));
        let mut left: Vec<String> = processes().into_iter().filter(in_them).collect();
        for (place, before) in PLACES.iter().zip(&self.places) {
            if Path::new(place).exists() != *before {
                left.push((*place).to_owned());
            }
        }
        left
    }

    #[allow(clippy::disallowed_methods, reason = "the kernel takes namespaces down in its own time")]
    fn assert_gone(&self) {
        // Five nodes: at least that many network and process id namespaces.
        assert!(self.namespaces.len() >= 10, "{:?}", self.namespaces);
        let deadline = Instant::now() + PATIENCE;
        while !self.left().is_empty() {
            assert!(Instant::now() < deadline, "left over: {:?}", self.left());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

fn processes() -> Vec<String> {
    let names = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

fn namespaces_of(process: &str) -> Vec<String> {
    let link = |kind| fs::read_link(format!("/proc/{process}/ns/{kind}"));
    ["net", "pid", "mnt"]
        .into_iter()
        .filter_map(|kind| Some(link(kind).ok()?.display().to_string()))
        .collect()
}

fn places() -> Vec<bool> {
    PLACES.iter().map(|place| Path::new(place).exists()).collect()
}

fn signal(lab: &Lab, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(lab.child.id()).unwrap()), signal).unwrap();
}

fn name_is_free(name: &str) -> bool {
    !fs::read_to_string("/proc/net/unix")
        .unwrap()
        .lines()
        .any(|line| line.ends_with(&format!("@routelet-lab/{name}")))
}

#[test]
fn after_sigkill() {
    let before = places();
    let mut lab = Lab::start("sigkill", &[]);
    lab.wait_until_up();
    let traces = Traces::of(&lab, before);
    assert!(!traces.left().is_empty(), "there is nothing to be left over");
    signal(&lab, Signal::SIGKILL);
    lab.child.wait().unwrap();
    traces.assert_gone();
    assert!(name_is_free(&lab.name));
}

#[test]
fn after_ctrl_c_half_way_up() {
    let before = places();
    let mut lab = Lab::start("interrupt", &["--once", "--tor", "routelet"]);
    lab.wait_for("starting routelet as tor");
    let traces = Traces::of(&lab, before);
    signal(&lab, Signal::SIGINT);
    let status = lab.child.wait().unwrap();
    assert_eq!(status.code(), Some(1), "a check that was not made has not succeeded");
    // When the lab has ended, so has everything.
    assert_eq!(traces.left(), Vec::<String>::new());
}

#[test]
fn after_down() {
    let before = places();
    let mut lab = Lab::start("down", &["--tor", "routelet"]);
    lab.wait_until_up();
    let traces = Traces::of(&lab, before);

    let code = |command: &[&str]| lab.exec("node1", command).status.code();
    assert_eq!(code(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(code(&["sh", "-c", "kill -9 $$"]), Some(137));
    let peers = lab.exec("node1", &["routelet", "peers", "-o", "json"]);
    assert!(String::from_utf8_lossy(&peers.stdout).contains("Established"), "{peers:?}");
    let pod = lab.exec("node1/pod1", &["cat", "/proc/self/net/fib_trie"]);
    assert!(String::from_utf8_lossy(&pod.stdout).contains("10.244.1.2"), "{pod:?}");
    let mut lingering = lab.exec_command("node2", &["sleep", "3600"]).spawn().unwrap();

    let down = program().args(["down", "--name", &lab.name]).output().unwrap();
    assert!(down.status.success(), "{down:?}");
    // `down` returns when there is nothing left, what `exec` has started included.
    assert_eq!(traces.left(), Vec::<String>::new());
    assert!(!lingering.wait().unwrap().success());
    assert_eq!(lab.child.wait().unwrap().code(), Some(0));
    assert!(name_is_free(&lab.name));
}
