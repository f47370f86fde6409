//! Address allocation on disk: which address a pod interface holds, and nothing about interfaces.
//!
//! Owns the reservation directory ([`store`], [`sweep`]), the arithmetic of address ranges ([`range`])
//! and the file in which the daemon tells plugins the node's pod CIDRs ([`node`]). Knows neither the kernel
//! nor the CNI protocol: the plugin allocates and releases through it, and the daemon sweeps
//! through it.
//!
//! # On disk
//!
//! The layout is that of the reference plugin `host-local`, so that a node can be switched from one
//! to the other and back with its pods running. Under `<dataDir>/<network>/`
//! (`/var/lib/cni/networks/pod-network/`):
//!
//! | entry | content |
//! |---|---|
//! | `10.244.1.5`, `fd00:1::5` | the owner: container id, CR LF, interface name |
//! | `last_reserved_ip.0` | the address given last from range set 0 |
//! | `lock` | empty; whoever changes anything here holds `flock` on it, `host-local` too |
//! | `owners/<container id>:<interface>` | ours: the record of that owner |
//! | `resting` | ours: what was released when ([`resting`]) |
//! | `.new` | ours: a file being written; debris if nobody holds the lock |
//!
//! The address files alone say what is taken and by whom. Everything else is derived from them or a
//! hint, and can be removed at any time.
//!
//! **Records.** An owner's record is a symbolic link whose target is the record: the owner's addresses
//! with commas between, the boot in which the reservation was first seen ([`boot`]), and the inode
//! number of the container's network namespace, `-` where it is not known, or `host-local` for what
//! that reserved: `10.244.1.5,fd00:1::5 3f2a91c0 4026532345`. A link is made in one step, lies in its
//! inode up to 59 octets, and is never empty after a power failure.
//!
//! Records make a release cost the same with ten addresses taken as with ten thousand, and tell a
//! [`sweep`] what it must know. An address is freed only after its own file has been seen to name the
//! owner.
//!
//! **The seal.** While the directory's time of modification is the seal (a whole second between 2001
//! and 2010 that follows from the boot), every address file is named by its owner's record, every
//! record names what its owner holds, and there is no debris. Whoever adds, removes or renames an
//! entry breaks the seal, because the kernel then sets the time: `host-local` and a person as well as
//! our own operations, which renew it as their last act. Whoever finds it broken, by a crash, a
//! reboot, or because somebody else was here, reads every address file once, writes what records are
//! missing, removes those that name nothing, and address files that name nobody, and seals.
//!
//! # Order of use
//!
//! Each range set goes round: the next address after the last one given. One that was released less
//! than [`REST`] ago is passed over until nothing else is free; then the one that has rested longest
//! is given.
//!
//! # Crashes
//!
//! An address file appears under its name by `rename(2)` of a complete one, so no reader sees half of
//! it, and a process killed anywhere leaves a broken seal, with which the next operation removes what
//! is not whole. What is whole, an address with its record, is found by the DEL of its owner, or by
//! a sweep. There is no `fsync`: the page cache outlives the process, and a power failure that outruns
//! the disk ends the pods whose addresses these are. It may leave empty files; the seal does not
//! outlive a boot, so these are taken back by the first operation.
//!
//! A file that cannot be read (a bad sector) keeps its address out of use and the directory unsealed:
//! all else goes on, only slower.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub mod boot;
mod choose;
mod disk;
mod index;
pub mod lock;
pub mod node;
pub mod owner;
pub mod range;
pub mod resting;
pub mod store;
pub mod sweep;

pub use node::NodeFile;
pub use owner::{Origin, Owner};
pub use range::{Range, RangeSet, RangeSpec};
pub use resting::REST;
pub use store::{Allocation, Reservation, Store, Usage};
pub use sweep::{GRACE, Holding, Life, Swept};

/// Why an address could not be given, taken back or looked up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb: "read".
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The node file is there but is not what the daemon writes.
    #[error("{}: {why}", path.display())]
    NodeFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A range makes no sense. Fields are named as in the network configuration.
    #[error("{field}: {why}")]
    Range {
        /// The field at fault: "subnet", "rangeStart", …
        field: &'static str,
        /// What is wrong with its value.
        why: String,
    },
    /// The owner holds an address already; a second ADD must follow a DEL.
    #[error("{address} is already allocated to container {container_id} interface {interface}")]
    Duplicate {
        /// The address held.
        address: IpAddr,
        /// The holder's container.
        container_id: String,
        /// The holder's interface.
        interface: String,
    },
    /// Every address of a range set is taken.
    #[error("no free address in {ranges}: {taken} are taken")]
    Exhausted {
        /// The ranges, for a person.
        ranges: String,
        /// Reservations in the directory, those of other range sets included.
        taken: usize,
    },
    /// Somebody else has held the lock for too long.
    #[error("{} is locked{}, for {} s now", path.display(), by(holder), waited.as_secs())]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// How long it has been waited for.
        waited: Duration,
        /// Who holds it, for a person, if the kernel says so.
        holder: Option<String>,
    },
    /// A container or interface has a name that cannot be noted.
    #[error("container {:?} interface {:?} cannot hold an address: {why}", owner.container_id, owner.interface)]
    Owner {
        /// The owner.
        owner: Owner,
        /// What is wrong with it.
        why: String,
    },
    /// An address that was asked for by name is another's.
    #[error("requested address {address} is taken")]
    Taken {
        /// The address.
        address: IpAddr,
    },
    /// An address that was asked for by name cannot be given to anybody.
    #[error("requested address {address} {why}")]
    Requested {
        /// The address.
        address: IpAddr,
        /// Why not.
        why: String,
    },
}

impl Error {
    /// Whether there is nothing wrong but that others hold the addresses: a sweep may help.
    pub fn is_shortage(&self) -> bool {
        matches!(self, Error::Exhausted { .. } | Error::Taken { .. })
    }

    /// For `map_err` after a file operation.
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what, path: path.to_owned(), source }
    }
}

fn by(holder: &Option<String>) -> String {
    holder.as_ref().map_or(String::new(), |holder| format!(" by {holder}"))
}

#[cfg(test)]
mod tests;
