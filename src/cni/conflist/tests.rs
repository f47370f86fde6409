//! The configuration for the runtime: its text, and what those see who watch its directory.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::*;
use crate::ipam::NodeFile;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("routelet-conflist-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn path(&self) -> PathBuf {
        self.0.join("net.d/10-routelet.conflist")
    }

    /// A configuration for a node that has a pod CIDR.
    fn conflist(&self) -> Conflist {
        let node_file = self.0.join("node.json");
        let pod_cidrs = vec!["10.244.1.0/24".parse().unwrap()];
        let node = NodeFile { pod_cidrs, bridge: "cni0".to_owned(), ..NodeFile::default() };
        node.write(&node_file).unwrap();
        Conflist {
            name: "pod-network".to_owned(),
            routed: false,
            hairpin: true,
            masquerade: false,
            node_file,
            data_dir: self.0.join("networks"),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_text_is_what_the_documentation_shows() {
    let conflist = Conflist {
        name: "pod-network".to_owned(),
        routed: false,
        hairpin: true,
        masquerade: false,
        node_file: "/run/routelet/node.json".into(),
        data_dir: "/var/lib/cni/networks".into(),
    };
    let shown: String = include_str!("../conflist.rs")
        .lines()
        .skip_while(|line| !line.starts_with("//! ```json"))
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!"))
        .collect();
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(read(&conflist.text()), read(&shown));
    let routed = Conflist { routed: true, ..conflist };
    assert_eq!(read(&routed.text())["plugins"][0]["mode"], "routed");
}

#[test]
fn what_the_plugin_refuses_is_not_put_in_place() {
    let scratch = Scratch::new("refused");
    let good = scratch.conflist();
    assert!(good.put(&scratch.path()).unwrap());
    let bad = Conflist { name: "../pods".to_owned(), ..good.clone() };
    let error = bad.put(&scratch.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("the plugin refuses it: network configuration: name is wrong: \"../pods\" must"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(scratch.path()).unwrap(), good.text());

    // Without a node file no pod can be attached, for which the configuration is not to blame.
    fs::remove_file(&good.node_file).unwrap();
    good.check().unwrap();
}

#[test]
fn it_is_written_when_it_is_not_there_as_it_should_be() {
    let scratch = Scratch::new("written");
    let (conflist, path) = (scratch.conflist(), scratch.path());
    assert!(conflist.put(&path).unwrap());
    assert!(!conflist.put(&path).unwrap());
    fs::write(&path, "{}").unwrap();
    assert!(conflist.put(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), conflist.text());
    let names: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["10-routelet.conflist"]);
}

#[test]
fn only_what_is_ours_is_removed() {
    let scratch = Scratch::new("removed");
    let path = scratch.path();
    assert!(!remove(&path).unwrap());
    scratch.conflist().put(&path).unwrap();
    assert!(remove(&path).unwrap());
    assert!(!path.exists());
    for other in ["", "{}", r#"{"plugins": [{"type": "bridge"}]}"#, r#"{"plugins": 7}"#] {
        fs::write(&path, other).unwrap();
        assert!(!remove(&path).unwrap(), "{other}");
        assert!(path.exists(), "{other}");
    }
}

#[test]
fn the_first_by_name_is_the_one_that_counts() {
    let scratch = Scratch::new("first");
    let path = scratch.path();
    scratch.conflist().put(&path).unwrap();
    let write = |name: &str| fs::write(path.with_file_name(name), "{}").unwrap();
    for name in ["99-other.conf", "00-README", "05-old.conflist.bak", "10-routelet.conflist.new"] {
        write(name);
        assert_eq!(shadowed_by(&path), None, "{name}");
    }
    for name in ["09-b.json", "09-a.conf", "05-other.conflist"] {
        write(name);
        assert_eq!(shadowed_by(&path), Some(path.with_file_name(name)));
    }
}

/// What fsnotify, by which runtimes watch, asks the kernel for, and makes of the answers.
fn events(watch: &Inotify) -> Vec<(String, &'static str)> {
    let mut events = vec![];
    while let Ok(read) = watch.read_events() {
        for event in read {
            let of = |flags| event.mask.intersects(flags);
            let op = if of(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO) {
                "create"
            } else if of(AddWatchFlags::IN_MODIFY) {
                "write"
            } else if of(AddWatchFlags::IN_MOVED_FROM) {
                "rename"
            } else {
                "remove"
            };
            events.push((event.name.unwrap().into_string().unwrap(), op));
        }
    }
    events.dedup();
    events
}

#[test]
fn runtimes_that_heed_no_created_file_are_told_when_all_is_in_place() {
    let scratch = Scratch::new("seen");
    let path = scratch.path();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    let asked = AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_DELETE;
    watch.add_watch(path.parent().unwrap(), asked).unwrap();

    let conflist = scratch.conflist();
    for text in [conflist.clone(), Conflist { hairpin: false, ..conflist }] {
        text.put(&path).unwrap();
        let (ours, new) = ("10-routelet.conflist", "10-routelet.conflist.new");
        let expected = [(new, "create"), (new, "write"), (new, "rename"), (ours, "create"), (ours, "write")];
        let seen = events(&watch);
        let seen: Vec<_> = seen.iter().map(|(name, op)| (name.as_str(), *op)).collect();
        assert_eq!(seen, expected);
    }
    remove(&path).unwrap();
    assert_eq!(events(&watch), [("10-routelet.conflist".to_owned(), "remove")]);
}

#[test]
fn whoever_reads_meanwhile_reads_the_old_one_or_the_new() {
    let scratch = Scratch::new("meanwhile");
    let path = scratch.path();
    let one = scratch.conflist();
    let two = Conflist { name: "another-network".to_owned(), hairpin: false, ..one.clone() };
    one.put(&path).unwrap();
    let (ended, texts) = (AtomicBool::new(false), [one.text(), two.text()]);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = [0, 0];
            while !ended.load(Ordering::Relaxed) {
                let read = fs::read_to_string(&path).unwrap();
                let which = texts.iter().position(|text| *text == read);
                seen[which.unwrap_or_else(|| panic!("half of something: {read}"))] += 1;
            }
            seen
        });
        for _ in 0..100 {
            two.put(&path).unwrap();
            one.put(&path).unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        let seen = reader.join().unwrap();
        assert!(seen.iter().all(|count| *count > 0), "read {seen:?} of either");
    });
}
