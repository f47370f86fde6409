//! The address store among processes: a hundred of them at once, beside the reference plugin
//! `host-local`, and on a disk that is full.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod full;
mod processes;
mod reference;

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use routelet::ipam::{Owner, RangeSet, RangeSpec, Store};

/// Name of the network.
const NETWORK: &str = "pods";

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("routelet-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn store(&self) -> Store {
        Store::new(&self.0, NETWORK)
    }

    /// Names of the records.
    fn records(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(NETWORK).join("owners")).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn owner(id: impl ToString) -> Owner {
    Owner { container_id: id.to_string(), interface: "eth0".to_owned() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn whole(subnet: &str) -> RangeSet {
    RangeSet::new(RangeSpec::whole(subnet.parse().unwrap()).ranges(&[]).unwrap()).unwrap()
}
