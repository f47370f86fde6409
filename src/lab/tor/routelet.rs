//! Routelet as router: an ordinary daemon with objects of its own.
//!
//! What a daemon originates are the pod CIDRs of its `Node` object. A router has no pods, so the
//! networks behind it stand in that place; the connected routes to them have the better metric and
//! carry the packets.

use std::path::PathBuf;

use super::{Setup, Step, words};
use crate::lab::manifests;
use crate::lab::plan::{Plan, Router};

/// Where a router's own objects lie.
const DIRECTORY: &str = "/etc/routelet-router";

pub(super) fn setup(router: &Router, plan: &Plan) -> Setup {
    let files = manifests::of_router(router, plan).into_iter();
    Setup {
        files: files.map(|file| (PathBuf::from(DIRECTORY).join(file.name), file.text)).collect(),
        steps: vec![
            Step::Start(words(&["routelet", "run", "--node-name", &router.name, "--manifests", DIRECTORY])),
            Step::AwaitPort(179),
        ],
        ..Setup::default()
    }
}
