//! What is deployed: definitions of our kinds, manifests, chart, alerts and unit file, each held against
//! what it was made from and against whoever will read it.

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod capabilities;
mod chart;
mod crds;
mod install;
mod manifests;
mod monitoring;
mod rbac;
mod unit;

use std::process::Command;

/// What a program says on stdout; a panic with its stderr if it fails.
fn said(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}
