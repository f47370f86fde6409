//! Target: the address store on a directory that holds whatever the input says: address files, records,
//! hints and debris with any octets in them, put there between operations of the store.
//!
//! Links lie only among the records, whose targets nobody opens.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use routelet::ipam::{Holding, Life, Owner, RangeSet, RangeSpec, Store};

use crate::engine::{Features, Target};
use crate::mutate;
use crate::program::{self, Step, program, steps};
use crate::random::Random;

pub const STORE: Target = Target {
    name: "store",
    seeds: programs,
    mutate: |random, input, corpus| program::mutate(random, (input, corpus), CODES, change),
    run: play,
    executions: 1_500,
    longest: 4 << 10,
    memory: 16 << 20,
};

/// Somebody makes a file of the octets, unless there is one, as `host-local` does.
const MAKE: u8 = 0;
/// Somebody writes over a file.
const WRITE: u8 = 1;
const REMOVE: u8 = 2;
const FOLDER: u8 = 3;
/// Somebody makes a record.
const LINK: u8 = 4;
const ALLOCATE: u8 = 5;
/// With the octets as the address asked for.
const REQUEST: u8 = 6;
const RELEASE: u8 = 7;
/// The argument says who is gone.
const SWEEP: u8 = 8;
const LOOK: u8 = 9;
const CODES: u8 = 10;

#[rustfmt::skip]
const FILES: [&str; 18] = [
    "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "fd00::2", "fd00::3", "fd00:0::4",
    "last_reserved_ip.0", "last_reserved_ip.1", "resting", ".new", "lock", "10.0.0.02", "::", "owners", "x",
];
const RECORDS: [&str; 7] = ["c0:eth0", "c1:eth0", "c2:eth0", "c2:", ":", "a:b:c", "x"];
const OWNERS: u8 = 4;

fn owner(argument: u8) -> Owner {
    Owner { container_id: format!("c{}", argument % OWNERS), interface: "eth0".to_owned() }
}

fn sets() -> [RangeSet; 2] {
    ["10.0.0.0/29", "fd00::/126"].map(|subnet| {
        let spec = RangeSpec::whole(subnet.parse().unwrap());
        RangeSet::new(spec.ranges(&[]).unwrap()).unwrap()
    })
}

/// Whole attachments, what `host-local` leaves, and debris.
fn programs() -> Vec<Vec<u8>> {
    let step = |code, argument, octets: &str| Step { code, argument, octets: octets.as_bytes().to_vec() };
    [
        vec![step(ALLOCATE, 0, ""), step(ALLOCATE, 1, ""), step(RELEASE, 0, ""), step(RELEASE, 0, "")],
        vec![
            step(MAKE, 1, "c1\r\neth0"),
            step(MAKE, 2, "c2"),
            step(MAKE, 9, "10.0.0.3"),
            step(MAKE, 3, ""),
            step(MAKE, 12, "c0\r"),
            step(ALLOCATE, 0, ""),
            step(RELEASE, 2, ""),
            step(LOOK, 0, ""),
        ],
        vec![
            step(ALLOCATE, 0, ""),
            step(LINK, 1, "10.0.0.2,fd00::2 12345678 host-local"),
            step(LINK, 3, "10.0.0.5 - 4026531840"),
            step(SWEEP, 1, ""),
            step(MAKE, 11, "1 10.0.0.4\n99999999999 10.0.0.5\n"),
            step(REQUEST, 2, "10.0.0.6"),
            step(REMOVE, 1, ""),
            step(SWEEP, 255, ""),
        ],
        vec![step(FOLDER, 2, ""), step(WRITE, 4, "keep it"), step(WRITE, 16, "x"), step(ALLOCATE, 3, "")],
    ]
    .iter()
    .map(|steps| program(steps))
    .collect()
}

fn change(random: &mut Random, step: &mut Step, others: &[Step]) {
    let others: Vec<Vec<u8>> = others.iter().map(|step| step.octets.clone()).collect();
    step.octets = mutate::text_input(random, &step.octets, &others);
}

/// A directory that goes with the input. In memory, where the machine has such a place.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("routelet-fuzz-store-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("pods")).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join("pods").join(name)
    }

    /// Address files with their content, trimmed; `None` where there is no file to read.
    fn addresses(&self) -> BTreeMap<IpAddr, Option<String>> {
        let entries = fs::read_dir(self.0.join("pods")).unwrap();
        let named = |entry: fs::DirEntry| {
            let address: IpAddr = entry.file_name().to_str()?.parse().ok()?;
            let is_canonical = entry.file_name().to_str() == Some(&address.to_string());
            let content = fs::read(entry.path()).ok();
            let trim = |octets: Vec<u8>| {
                let text = String::from_utf8_lossy(&octets).into_owned();
                text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned()
            };
            is_canonical.then_some((address, content.map(trim)))
        };
        entries.filter_map(|entry| named(entry.unwrap())).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_of(owner: &Owner, content: &Option<String>) -> bool {
    let Owner { container_id, interface } = owner;
    content.as_ref().is_some_and(|c| *c == format!("{container_id}\r\n{interface}") || c == container_id)
}

fn play(input: &[u8], features: &mut Features) {
    let scratch = Scratch::new();
    let store = Store::new(&scratch.0, "pods");
    for step in steps(input, CODES) {
        let before = scratch.addresses();
        if step.code <= LINK {
            meddle(&scratch, &step);
            continue;
        }
        let mut freed_may_be: Vec<Owner> = vec![];
        let mut given: Vec<IpAddr> = vec![];
        let owner = owner(step.argument);
        match step.code {
            ALLOCATE | REQUEST => {
                let asked = String::from_utf8_lossy(&step.octets).trim().parse().ok();
                let asked: Option<IpAddr> = asked.filter(|_| step.code == REQUEST);
                match store.allocate(&owner, &sets(), asked.as_slice()) {
                    Ok(allocations) => {
                        given.extend(allocations.iter().map(|allocation| allocation.address));
                        assert_eq!(given.len(), 2);
                        assert!(asked.is_none_or(|asked| given.contains(&asked)));
                    }
                    Err(error) => features.add_kind(&error.to_string()),
                }
                // A record of another boot, which somebody made, makes it another container's.
                freed_may_be.push(owner);
            }
            RELEASE => {
                match store.release(&owner) {
                    Ok(released) => {
                        features.add(("released", released.len()));
                        assert!(scratch.addresses().values().all(|content| !is_of(&owner, content)));
                    }
                    Err(error) => features.add_kind(&error.to_string()),
                }
                freed_may_be.push(owner);
            }
            SWEEP => {
                let mut life = |holding: &Holding| {
                    features.add((format!("{:?}", holding.origin).len(), holding.is_of_older_boot));
                    if is_gone(&holding.owner, step.argument) {
                        freed_may_be.push(holding.owner.clone());
                        Life::Gone
                    } else {
                        Life::Alive
                    }
                };
                if let Ok(swept) = store.sweep(Duration::ZERO, &mut life) {
                    features.add((swept.freed.len().min(3), swept.failures.len().min(3)));
                }
            }
            _ => look(&store, features),
        }
        let after = scratch.addresses();
        features.add((step.code, before.len(), after.len(), given.len()));
        for address in &given {
            let was_free = before.get(address).is_none_or(|content| content.as_deref() == Some(""));
            let was_own = before.get(address).is_some_and(|c| freed_may_be.iter().any(|o| is_of(o, c)));
            assert!(was_free || was_own, "{address} is given a second time");
            assert!(is_of(&freed_may_be[0], &after[address]), "{address} is not the one's it was given to");
        }
        for (address, content) in before.iter().filter(|(address, _)| !given.contains(address)) {
            let may_go =
                content.as_deref() == Some("") || freed_may_be.iter().any(|owner| is_of(owner, content));
            assert!(may_go || after.get(address) == Some(content), "{address} of {content:?} was touched");
        }
        assert!(after.keys().all(|address| before.contains_key(address) || given.contains(address)));
    }
}

fn is_gone(owner: &Owner, argument: u8) -> bool {
    let digit = owner.container_id.bytes().last().unwrap_or_default();
    argument >> (digit % 8) & 1 == 1
}

/// What only looks, and what it says when it cannot.
fn look(store: &Store, features: &mut Features) {
    let outcomes = [
        store.has_room(&sets()),
        store.usage(&sets()).map(drop),
        store.owners().map(drop),
        store.reservations().map(drop),
        store.holdings().map(drop),
        store.held_by(&owner(1)).map(drop),
    ];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(()) => features.add(n),
            Err(error) => features.add_kind(&error.to_string()),
        }
    }
}

/// What others do to the directory. That something cannot be done is their affair.
fn meddle(scratch: &Scratch, step: &Step) {
    let name = FILES[usize::from(step.argument) % FILES.len()];
    let path = scratch.path(name);
    let _ = match step.code {
        MAKE if path.exists() => Ok(()),
        MAKE | WRITE => fs::write(&path, &step.octets),
        REMOVE if path.is_dir() => fs::remove_dir_all(&path),
        REMOVE => fs::remove_file(&path),
        FOLDER => fs::create_dir(&path),
        _ => {
            let record = RECORDS[usize::from(step.argument) % RECORDS.len()];
            let target = std::ffi::OsStr::from_bytes(&step.octets);
            fs::create_dir_all(scratch.path("owners"))
                .and_then(|()| symlink(target, scratch.path("owners").join(record)))
        }
    };
}
