//! A hundred processes at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

/// Tells this test, executed again, which directory and which owner it is about.
const ROLE: &str = "ROUTELET_STORE_ROLE";

/// The name by which the test harness finds the child's part.
const CHILD: &str = "processes::one_of_a_hundred";

fn sets() -> [RangeSet; 2] {
    [whole("10.0.0.0/24"), whole("fd00::/64")]
}

fn spawn(scratch: &Scratch, id: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([CHILD, "--exact", "--ignored", "--quiet"])
        .env(ROLE, format!("{} {id}", scratch.0.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What each of them does: attaches, detaches, detaches again, attaches.
#[test]
#[ignore = "the part of a process that the other test here starts"]
fn one_of_a_hundred() {
    let role = std::env::var(ROLE).unwrap();
    let (directory, id) = role.split_once(' ').unwrap();
    let store = Store::new(Path::new(directory), NETWORK);
    assert_eq!(store.allocate(&owner(id), &sets(), &[]).unwrap().len(), 2);
    assert_eq!(store.release(&owner(id)).unwrap().len(), 2);
    assert_eq!(store.release(&owner(id)).unwrap().len(), 0);
    let held: Vec<IpAddr> =
        store.allocate(&owner(id), &sets(), &[]).unwrap().iter().map(|given| given.address).collect();
    assert_eq!(store.held_by(&owner(id)).unwrap(), held);
}

/// Some are killed at a place that only the scheduler knows; the others do not notice.
#[test]
fn a_hundred_at_once_get_an_address_each_whoever_is_killed() {
    let scratch = Scratch::new();
    let mut doomed: Vec<Child> = (0..20).map(|n| spawn(&scratch, &format!("doomed{n}"))).collect();
    let children: Vec<Child> = (0..100).map(|n| spawn(&scratch, &format!("c{n}"))).collect();
    for child in &mut doomed {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = scratch.store();
    for n in 0..20 {
        store.release(&owner(format!("doomed{n}"))).unwrap();
    }
    let reservations = store.reservations().unwrap();
    assert_eq!(reservations.len(), 200);
    let owners: BTreeSet<Owner> = reservations.into_iter().map(|r| r.owner.unwrap()).collect();
    assert_eq!(owners, (0..100).map(|n| owner(format!("c{n}"))).collect());
    assert_eq!(scratch.records().len(), 100);
}
