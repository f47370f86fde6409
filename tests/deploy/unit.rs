//! The systemd unit, for nodes outside Kubernetes.

use std::fs;
use std::process::Command;

use crate::said;

#[test]
fn systemd_takes_the_unit() {
    let folder = std::env::temp_dir().join(format!("routelet-unit-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let unit = fs::read_to_string("deploy/systemd/routelet.service").unwrap();
    // The program must be there for systemd to be content.
    let here = unit.replace("/usr/local/bin/routelet", env!("CARGO_BIN_EXE_routelet"));
    assert_ne!(unit, here);
    let file = folder.join("routelet.service");
    fs::write(&file, &here).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<&str> = complaints.lines().filter(|line| line.contains("routelet")).collect();
    assert!(output.status.success() && ours.is_empty(), "{complaints}");
    fs::write(&file, here.replace("Restart=always", "Restart=allways")).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("allways"), "what is wrong goes unnoticed");
    fs::remove_dir_all(folder).unwrap();
}

/// The unit and the DaemonSet are the same daemon, and have the same capabilities.
#[test]
fn the_unit_has_the_capabilities_of_the_daemonset() {
    let unit = fs::read_to_string("deploy/systemd/routelet.service").unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let of_unit: Vec<String> =
        line.split(' ').map(|name| name.trim_start_matches("CAP_").to_owned()).collect();
    assert_eq!(of_unit, crate::capabilities::of_the_daemon());
    // It must be one that can be told objects at all.
    said(Command::new(env!("CARGO_BIN_EXE_routelet")).args(["run", "--help"]));
}
