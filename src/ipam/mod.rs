//! Address allocation on disk: which address a pod interface holds, and nothing about interfaces.
//!
//! Owns the reservation directory ([`store`]), the arithmetic of address ranges ([`range`]) and the
//! file in which the daemon tells plugins the node's pod CIDRs ([`node`]). Knows neither the kernel
//! nor the CNI protocol: the plugin allocates and releases through it, and the daemon sweeps
//! through it.
//!
//! # On disk
//!
//! The layout is that of the reference plugin `host-local`, so that a node can be switched from one
//! to the other with its pods running. Under `<dataDir>/<network>/`
//! (`/var/lib/cni/networks/pod-network/`):
//!
//! | entry | content |
//! |---|---|
//! | `10.244.1.5`, `fd00:1::5` | the owner: container id, CR LF, interface name |
//! | `last_reserved_ip.0` | the address given last from range set 0 |
//! | `lock` | empty; whoever changes anything here holds `flock` on it, `host-local` too |
//! | `owners/<container id>:<interface>` | ours: the addresses of that owner, one a line |
//! | `.new` | ours: a file being written; debris if nobody holds the lock, and removed by the next release |
//!
//! `owners/` is an index that makes a release cost the same with ten addresses taken as with ten
//! thousand. A record is written before the addresses it names and removed after them, hence:
//! every address taken through this code is named by its owner's record, while a record may name
//! addresses its owner does not hold (yet, or any more). So a record alone proves nothing, and an
//! address is only ever freed after its own file has been seen to name the owner. Reservations that
//! `host-local` made have no record; an owner without one is looked for in every file.
//!
//! # Crashes
//!
//! Every file appears under its name by `rename(2)` of a complete one, so a reader never sees half
//! a file, and a process killed anywhere leaves at most a reservation that its owner's DEL finds.
//! There is no `fsync`: the page cache outlives the process, and a power failure that outruns the
//! disk ends the pods whose addresses these are. What it may leave is an empty file; one that names
//! no owner is taken back when the range would otherwise be exhausted.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub mod node;
pub mod range;
pub mod store;

pub use node::NodeFile;
pub use range::{Range, RangeSet, RangeSpec};
pub use store::{Allocation, Owner, Reservation, Store};

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
    /// An address that was asked for by name cannot be given.
    #[error("requested address {address} {why}")]
    Requested {
        /// The address.
        address: IpAddr,
        /// Why not.
        why: String,
    },
}

impl Error {
    /// For `map_err` after a file operation.
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what, path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests;
