//! Whether an attachment is still there, as far as it can be told without its runtime.
//!
//! The host end of a pod's link has a name that follows from the attachment, and the kernel removes it with
//! the pod's namespace: while there is an interface of that name, the pod is taken for alive. Where there is
//! none, the namespace that the address was given for may still be seen, if the runtime shows it under
//! `/run/netns` or a process of it under `/proc`: the pod of another plugin, which only has its address from
//! here. What `host-local` has given says neither, and is left to a boot to settle.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::net::if_::if_nametoindex;

use super::veth;
use crate::ipam::sweep::{Holding, Life};
use crate::ipam::{Origin, Owner};

/// Where runtimes bind the namespaces of pods. `/var/run` is the same directory.
const BOUND: &str = "/run/netns";

/// A look at the attachments of one network, from the calling thread's namespace. Namespaces are listed once,
/// when they are first asked for.
#[derive(Debug)]
pub struct Lives<'a> {
    network: &'a str,
    namespaces: OnceCell<BTreeSet<u64>>,
}

impl<'a> Lives<'a> {
    /// Of the network of that name.
    pub fn of(network: &'a str) -> Lives<'a> {
        Lives { network, namespaces: OnceCell::new() }
    }

    /// Whether whoever holds an address is there.
    pub fn life(&self, holding: &Holding) -> Life {
        if self.is_linked(&holding.owner) {
            return Life::Alive;
        }
        match holding.origin {
            Origin::HostLocal => Life::Unknown,
            Origin::Ours { namespace: Some(inode) } if self.namespaces().contains(&inode) => Life::Alive,
            Origin::Ours { .. } => Life::Gone,
        }
    }

    /// Whether there is an interface that leads to the owner.
    pub fn is_linked(&self, owner: &Owner) -> bool {
        if_nametoindex(veth::name(self.network, owner).as_str()).is_ok()
    }

    fn namespaces(&self) -> &BTreeSet<u64> {
        self.namespaces.get_or_init(namespaces)
    }
}

/// Inode numbers of all network namespaces that can be seen. What may not be looked at is passed over.
fn namespaces() -> BTreeSet<u64> {
    let listed = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten();
    let bound = listed(Path::new(BOUND)).map(|entry| entry.path());
    let of_processes = listed(Path::new("/proc")).map(|entry| entry.path().join("ns/net"));
    bound.chain(of_processes).filter_map(|path| Some(fs::metadata(path).ok()?.ino())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_seen() {
        let own = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        assert!(namespaces().contains(&own));
    }
}
