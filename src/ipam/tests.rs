//! Tests of address allocation, and what they share.

pub(super) mod faults;
mod host_local;
mod model;
mod node_file;
mod order;
mod ranges;
mod store;
mod sweep;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::boot::BootId;
use super::index::Scan;
use super::owner::{Named, Record};
use super::*;
use crate::prefix::Prefix;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("routelet-ipam-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn store(&self) -> Store {
        Store::new(&self.0, "pods")
    }

    /// The store in another boot of the machine.
    fn store_at(&self, boot: &str) -> Store {
        self.store().at_boot(Some(boot.parse().unwrap()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join("pods").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.0.join("pods")).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// Names in the directory, in order.
    fn names(&self) -> Vec<String> {
        names(&self.0.join("pods"))
    }

    /// Names of the records, in order.
    fn records(&self) -> Vec<String> {
        names(&self.path("owners"))
    }

    fn record(&self, name: &str) -> String {
        fs::read_link(self.path("owners").join(name)).unwrap().into_os_string().into_string().unwrap()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What the seal promises, if it is whole: every address file is named by its owner's record, every
/// record names what its owner holds, and there is no debris.
fn keeps_the_promise_of_the_seal(store: &Store) {
    if !store.disk.is_sealed(BootId::current()) {
        return;
    }
    let scan = Scan::read(&store.disk).unwrap();
    let mut held: BTreeSet<(String, IpAddr)> = BTreeSet::new();
    for (address, named) in &scan.named {
        match named {
            Named::Owner(owner) => drop(held.insert((owner.record().unwrap(), *address))),
            Named::Nobody => panic!("{address} names nobody"),
            Named::Other => {}
        }
    }
    let mut recorded = BTreeSet::new();
    for name in store.disk.records().unwrap() {
        let record = Record::parse(&store.disk.record(&name).unwrap().unwrap()).unwrap();
        recorded.extend(record.addresses.into_iter().map(|address| (name.clone(), address)));
    }
    assert_eq!(held, recorded);
    assert!(!store.disk.has(".new"));
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn owner(id: impl ToString) -> Owner {
    Owner { container_id: id.to_string(), interface: "eth0".to_owned() }
}

fn set(spec: RangeSpec, pod_cidrs: &[&str]) -> Result<RangeSet, Error> {
    let pod_cidrs: Vec<Prefix> = pod_cidrs.iter().map(|text| prefix(text)).collect();
    RangeSet::new(spec.ranges(&pod_cidrs)?)
}

fn whole(subnet: &str) -> RangeSet {
    set(RangeSpec::whole(prefix(subnet)), &[]).unwrap()
}

fn addresses(set: &RangeSet, last: Option<&str>) -> Vec<String> {
    set.after(last.map(ip)).map(|(address, _)| address.to_string()).collect()
}
