//! Real directories, changed the way editors, Kubernetes and configuration tools change them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{STALL, Watch};
use crate::cluster::{Error, ManifestDirectory, Reading};

/// Longer than any machine takes to notice a change; nothing waits this long unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

/// A directory that goes when the test does.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("routelet-watch-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Makes a directory below, with a manifest of a Node in it.
    fn directory(&self, path: &str, node: &str) -> PathBuf {
        let directory = self.join(path);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("nodes.yaml"), manifest(node)).unwrap();
        directory
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn manifest(node: &str) -> String {
    format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n")
}

fn watch(path: &Path) -> Watch {
    ManifestDirectory::new(path).watch().unwrap()
}

async fn next(watch: &mut Watch) -> Result<Reading, Error> {
    timeout(DEADLINE, watch.next()).await.expect("the change is not noticed")
}

/// Names of the nodes in the next good reading.
async fn nodes(watch: &mut Watch) -> Vec<String> {
    let reading = next(watch).await.unwrap_or_else(|error| panic!("{error}"));
    reading.objects.nodes.into_keys().collect()
}

#[tokio::test]
async fn a_bad_edit_is_reported_once_and_mended_by_a_good_one() {
    let scratch = Scratch::new();
    let directory = scratch.directory("manifests", "node1");
    let mut watch = watch(&directory);
    assert_eq!(nodes(&mut watch).await, ["node1"]);

    fs::write(directory.join("nodes.yaml"), "apiVersion: v1\nkind: Node\nmetadata: {nmae: node1}\n").unwrap();
    let error = next(&mut watch).await.unwrap_err().to_string();
    assert!(
        error.starts_with("nodes.yaml, document 1 (Node), line 3: metadata.nmae: unknown field"),
        "{error}"
    );

    // Saved once more with the same mistake, which is no news, and then back to what it was, which is.
    fs::write(directory.join("nodes.yaml"), "apiVersion: v1\nkind: Node\nmetadata: {nmae: node1}\n").unwrap();
    fs::write(directory.join("nodes.yaml"), manifest("node1")).unwrap();
    assert_eq!(nodes(&mut watch).await, ["node1"]);
}

#[tokio::test]
async fn only_what_objects_say_is_news() {
    let scratch = Scratch::new();
    let directory = scratch.directory("manifests", "node1");
    let mut watch = watch(&directory);
    assert_eq!(nodes(&mut watch).await, ["node1"]);
    // Hidden files, other files and comments make work and no news: the next reading is node2's.
    fs::write(directory.join(".nodes.yaml.swp"), "{[").unwrap();
    fs::write(directory.join("README"), "{[").unwrap();
    fs::write(directory.join("nodes.yaml"), format!("# a comment\n{}", manifest("node1"))).unwrap();
    let settled = timeout(Duration::from_millis(500), watch.next()).await;
    assert!(settled.is_err(), "{settled:?}");
    fs::write(
        directory.join("more.json"),
        "{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"node2\"}}",
    )
    .unwrap();
    assert_eq!(nodes(&mut watch).await, ["node1", "node2"]);
    fs::remove_file(directory.join("nodes.yaml")).unwrap();
    assert_eq!(nodes(&mut watch).await, ["node2"]);
}

#[tokio::test]
async fn an_editor_saves_by_renaming() {
    let scratch = Scratch::new();
    let directory = scratch.directory("manifests", "node1");
    let mut watch = watch(&directory);
    assert_eq!(nodes(&mut watch).await, ["node1"]);
    for node in ["node2", "node3"] {
        fs::rename(directory.join("nodes.yaml"), directory.join("nodes.yaml~")).unwrap();
        fs::write(directory.join("4913"), manifest(node)).unwrap();
        fs::rename(directory.join("4913"), directory.join("nodes.yaml")).unwrap();
        assert_eq!(nodes(&mut watch).await, [node]);
    }
}

#[tokio::test]
async fn kubernetes_swaps_a_config_map() {
    let scratch = Scratch::new();
    let directory = scratch.join("mount");
    fs::create_dir(&directory).unwrap();
    scratch.directory("mount/..2026_01", "node1");
    symlink("..2026_01", directory.join("..data")).unwrap();
    symlink("..data/nodes.yaml", directory.join("nodes.yaml")).unwrap();
    let mut watch = watch(&directory);
    assert_eq!(nodes(&mut watch).await, ["node1"]);
    for (version, node) in [("..2026_02", "node2"), ("..2026_03", "node3")] {
        scratch.directory(&format!("mount/{version}"), node);
        symlink(version, directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
        assert_eq!(nodes(&mut watch).await, [node]);
    }
}

#[tokio::test]
async fn the_directory_comes_goes_and_comes_back() {
    let scratch = Scratch::new();
    let directory = scratch.join("etc/routelet/manifests");
    let mut watch = watch(&directory);
    let missing =
        format!("manifests directory {}: No such file or directory (os error 2)", directory.display());
    assert_eq!(next(&mut watch).await.unwrap_err().to_string(), missing);
    scratch.directory("etc/routelet/manifests", "node1");
    assert_eq!(nodes(&mut watch).await, ["node1"]);
    fs::remove_dir_all(scratch.join("etc")).unwrap();
    // It may be caught half-way, empty; then that is said before it is gone.
    let gone = loop {
        if let Err(error) = next(&mut watch).await {
            break error.to_string();
        }
    };
    assert_eq!(gone, missing);
    scratch.directory("etc/routelet/manifests", "node2");
    assert_eq!(nodes(&mut watch).await, ["node2"]);
}

#[tokio::test]
async fn symlinks_out_of_the_directory_are_followed() {
    let scratch = Scratch::new();
    let directory = scratch.directory("v1", "node1");
    scratch.directory("v2", "node2");
    scratch.directory("elsewhere", "node8");
    symlink(&directory, scratch.join("current")).unwrap();
    symlink("../elsewhere/nodes.yaml", directory.join("other.yaml")).unwrap();
    let mut watch = watch(&scratch.join("current"));
    assert_eq!(nodes(&mut watch).await, ["node1", "node8"]);
    // The target of a linked file is edited where it is.
    fs::write(scratch.join("elsewhere/nodes.yaml"), manifest("node9")).unwrap();
    assert_eq!(nodes(&mut watch).await, ["node1", "node9"]);
    // And the whole directory is exchanged for another by its link.
    symlink(scratch.join("v2"), scratch.join("next")).unwrap();
    fs::rename(scratch.join("next"), scratch.join("current")).unwrap();
    assert_eq!(nodes(&mut watch).await, ["node2"]);
    fs::write(scratch.join("v2/nodes.yaml"), manifest("node3")).unwrap();
    assert_eq!(nodes(&mut watch).await, ["node3"]);
}

#[tokio::test]
async fn a_slow_writer_is_waited_for() {
    let scratch = Scratch::new();
    let directory = scratch.directory("manifests", "node1");
    let mut watch = watch(&directory);
    assert_eq!(nodes(&mut watch).await, ["node1"]);
    let [first, second] = ["node2", "node3"].map(manifest);
    // The file that is there, then a new one in its place, and one that a symlink leads to.
    let elsewhere = scratch.directory("elsewhere", "node8").join("nodes.yaml");
    let file = directory.join("nodes.yaml");
    for (round, path) in [&file, &file, &elsewhere].into_iter().enumerate() {
        if round == 1 {
            fs::remove_file(path).unwrap();
        }
        if round == 2 {
            fs::remove_file(&file).unwrap();
            symlink(&elsewhere, &file).unwrap();
            assert_eq!(nodes(&mut watch).await, ["node8"]);
        }
        let texts = [first.clone(), format!("---\n{second}# {round}\n")];
        let writer = std::thread::spawn(write_slowly(path, texts));
        assert_eq!(nodes(&mut watch).await, ["node2", "node3"], "round {round}");
        writer.join().unwrap();
        fs::write(path, manifest("node1")).unwrap();
        assert_eq!(nodes(&mut watch).await, ["node1"]);
    }
}

/// Truncates or creates a file, and writes each text after having stalled.
#[allow(clippy::disallowed_methods, reason = "stalling is what it is about")]
fn write_slowly(path: &Path, texts: [String; 2]) -> impl FnOnce() + Send + use<> {
    // Opened before anybody looks again: what was removed is not seen missing.
    let mut file = fs::File::create(path).unwrap();
    move || {
        for text in texts {
            std::thread::sleep(Duration::from_millis(300));
            file.write_all(text.as_bytes()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[tokio::test]
async fn a_writer_that_never_ends_is_not_waited_for_without_end() {
    let scratch = Scratch::new();
    let directory = scratch.directory("manifests", "node1");
    let mut watch = watch(&directory);
    assert_eq!(nodes(&mut watch).await, ["node1"]);
    let began = Instant::now();
    let mut file = fs::File::create(directory.join("nodes.yaml")).unwrap();
    file.write_all(manifest("node2").as_bytes()).unwrap();
    assert_eq!(nodes(&mut watch).await, ["node2"]);
    assert!(began.elapsed() >= STALL, "it is not waited for at all");
    // It stands in nobody's way afterwards.
    let began = Instant::now();
    fs::write(directory.join("more.yaml"), manifest("node3")).unwrap();
    assert_eq!(nodes(&mut watch).await, ["node2", "node3"]);
    assert!(began.elapsed() < STALL, "{:?}", began.elapsed());
    // Links are complete from the start: nobody closes them.
    let began = Instant::now();
    fs::write(directory.join("new"), manifest("node4")).unwrap();
    fs::hard_link(directory.join("new"), directory.join("linked.yaml")).unwrap();
    assert_eq!(nodes(&mut watch).await, ["node2", "node3", "node4"]);
    assert!(began.elapsed() < STALL, "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_changes_while_it_is_read_is_read_again() {
    let scratch = Scratch::new();
    let directory = scratch.directory("manifests", "node1");
    let mut watch = watch(&directory);
    assert_eq!(nodes(&mut watch).await, ["node1"]);
    // The last to be read is a pipe, which holds a reading up once nodes.yaml is behind it.
    let pipe = directory.join("pipe.yaml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let next = scratch.directory("next", "node2").join("nodes.yaml");
    let writer = std::thread::spawn(move || {
        let mut file = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        fs::rename(next, directory.join("nodes.yaml")).unwrap();
        fs::remove_file(&pipe).unwrap();
        file.write_all(manifest("node3").as_bytes()).unwrap();
    });
    assert_eq!(nodes(&mut watch).await, ["node2"]);
    writer.join().unwrap();
}

#[tokio::test]
async fn dropping_the_wait_loses_nothing() {
    let scratch = Scratch::new();
    let directory = scratch.directory("manifests", "node1");
    let mut watch = watch(&directory);
    assert_eq!(nodes(&mut watch).await, ["node1"]);
    fs::write(directory.join("nodes.yaml"), manifest("node2")).unwrap();
    // A busy driver loop polls a little and turns to something else, over and over.
    let patience = async {
        loop {
            if let Ok(reading) = timeout(Duration::from_millis(1), watch.next()).await {
                break reading;
            }
        }
    };
    let reading = timeout(DEADLINE, patience).await.expect("the change is lost").unwrap();
    assert_eq!(reading.objects.nodes.into_keys().collect::<Vec<_>>(), ["node2"]);
}

#[tokio::test]
async fn a_directory_that_never_rests_is_read_all_the_same() {
    let scratch = Scratch::new();
    let directory = scratch.directory("manifests", "node1");
    let mut watch = watch(&directory);
    assert_eq!(nodes(&mut watch).await, ["node1"]);
    let running = Arc::new(AtomicBool::new(true));
    let noise = std::thread::spawn({
        let (running, path) = (running.clone(), directory.join("noise"));
        move || {
            while running.load(Ordering::Relaxed) {
                fs::write(&path, "noise").unwrap();
            }
        }
    });
    fs::write(directory.join("nodes.yaml"), manifest("node2")).unwrap();
    let came = timeout(DEADLINE, watch.next()).await;
    running.store(false, Ordering::Relaxed);
    noise.join().unwrap();
    let reading = came.expect("the change is never read").unwrap();
    assert_eq!(reading.objects.nodes.into_keys().collect::<Vec<_>>(), ["node2"]);
}
