//! Whether attachments still live: what a sweep of the address store asks of the kernel.
//!
//! Decides nothing: `ipam` has the rule by which an address is freed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::veth;
use crate::ipam::{Holding, Life, Origin};
use crate::kernel::{self, Conversation};

/// Where runtimes bind the namespaces of pods.
const BOUND: [&str; 3] = ["/run/netns", "/var/run/netns", "/var/run/docker/netns"];

/// The host ends and the network namespaces that are there.
#[derive(Debug)]
pub struct Census {
    host: Conversation,
    namespaces: BTreeSet<u64>,
}

impl Census {
    /// Looks around, in the network namespace of the node. Namespaces are looked for where they are
    /// bound and among processes, as far as either can be seen from here.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub fn take() -> Result<Census, kernel::Error> {
        let bound = BOUND.iter().flat_map(|folder| entries(Path::new(folder)));
        let of_processes = entries(Path::new("/proc")).map(|process| process.join("ns/net"));
        let inode = |path: PathBuf| fs::metadata(path).ok().map(|metadata| metadata.ino());
        Ok(Census {
            host: Conversation::open()?,
            namespaces: bound.chain(of_processes).filter_map(inode).collect(),
        })
    }

    /// Whether the attachment that holds these addresses on this network is still there.
    ///
    /// It is while its host end is, whose name follows from the owner. Without, one that this plugin
    /// attached is gone, unless its namespace is still to be seen. Of what others attached there is no
    /// telling: of those for whom it only gave the address, and those of the reference plugins.
    pub fn life(&mut self, network: &str, holding: &Holding) -> Life {
        match self.host.link(&veth::name(network, &holding.owner)) {
            Ok(Some(_)) => Life::Alive,
            Ok(None) => match holding.origin {
                Origin::Ours { namespace: Some(inode) } if !self.namespaces.contains(&inode) => Life::Gone,
                Origin::Ours { namespace: Some(_) } => Life::Alive,
                Origin::Ours { namespace: None } | Origin::HostLocal => Life::Unknown,
            },
            Err(_) => Life::Unknown,
        }
    }
}

/// What lies in a folder; nothing if there is none.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok().map(|entry| entry.path()))
}

/// For a sweep that is seldom needed: looks around when it is first asked.
pub fn on_demand(network: &str) -> impl FnMut(&Holding) -> Life {
    let mut census: Option<Option<Census>> = None;
    move |holding| match census.get_or_insert_with(|| Census::take().ok()) {
        Some(census) => census.life(network, holding),
        None => Life::Unknown,
    }
}
