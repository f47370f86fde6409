//! Beside `host-local`, which reads and writes the same directory: a node can be switched over and
//! back. Its part is played here as its source has it; `tests/ipam` has the plugin itself.

use super::*;

/// What `host-local` does for an ADD, under the lock: an address file and the place to go on from.
fn reserve(scratch: &Scratch, id: &str, address: &str) {
    let lock = lock::take(&scratch.path("lock"), true, lock::PATIENCE).unwrap();
    scratch.write(address, format!("{id}\r\neth0"));
    scratch.write("last_reserved_ip.0", address);
    drop(lock);
}

/// And for a DEL: every file that names the owner goes.
fn release(scratch: &Scratch, id: &str) {
    for name in scratch.names() {
        let path = scratch.path(&name);
        if path.is_file() && fs::read_to_string(&path).unwrap().trim() == format!("{id}\r\neth0") {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn its_reservations_are_respected_and_released() {
    let scratch = Scratch::new();
    let store = scratch.store();
    scratch.write("10.0.0.2", "old\r\neth0");
    scratch.write("10.0.0.3", "older");
    scratch.write("last_reserved_ip.0", "10.0.0.1");
    let sets = [whole("10.0.0.0/29")];
    assert_eq!(store.allocate(&owner("c1"), &sets, &[]).unwrap()[0].address, ip("10.0.0.4"));
    let boot = BootId::current().unwrap();
    assert_eq!(scratch.record("old:eth0"), format!("10.0.0.2 {boot} host-local"));
    assert_eq!(scratch.record("older:"), format!("10.0.0.3 {boot} host-local"));
    keeps_the_promise_of_the_seal(&store);
    let error = store.allocate(&owner("older"), &sets, &[]).unwrap_err();
    assert_eq!(error.to_string(), "10.0.0.3 is already allocated to container older interface eth0");
    assert_eq!(store.release(&owner("old")).unwrap(), [ip("10.0.0.2")]);
    assert_eq!(store.release(&owner("older")).unwrap(), [ip("10.0.0.3")]);
    assert_eq!(store.release(&owner("never")).unwrap(), [] as [IpAddr; 0]);
    assert_eq!(scratch.records(), ["c1:eth0"]);
}

#[test]
fn what_it_did_while_it_was_in_charge_is_noticed() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/24")];
    for id in ["a", "b", "c"] {
        store.allocate(&owner(id), &sets, &[]).unwrap();
    }
    // One of ours goes, one of its own comes, and one of ours comes again elsewhere.
    release(&scratch, "a");
    reserve(&scratch, "h", "10.0.0.5");
    release(&scratch, "c");
    reserve(&scratch, "c", "10.0.0.9");
    assert_eq!(store.owners().unwrap(), [owner("b"), owner("c"), owner("h")].into());
    assert_eq!(scratch.records(), ["b:eth0", "c:eth0", "h:eth0"]);
    assert!(scratch.record("c:eth0").starts_with("10.0.0.9 "));
    assert!(scratch.record("c:eth0").ends_with(" host-local"));
    assert!(scratch.record("b:eth0").ends_with(" -"), "ours stays ours");
    assert_eq!(store.release(&owner("a")).unwrap(), [] as [IpAddr; 0]);
    assert_eq!(store.release(&owner("c")).unwrap(), [ip("10.0.0.9")]);
    assert_eq!(store.release(&owner("h")).unwrap(), [ip("10.0.0.5")]);
    keeps_the_promise_of_the_seal(&store);
}

/// No clock is fine enough to tell two changes apart; the seal does not go by the clock.
#[test]
fn no_change_is_too_quick_to_be_noticed() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/24")];
    for turn in 0..200 {
        let id = format!("ours{turn}");
        let given = store.allocate(&owner(&id), &sets, &[]).unwrap()[0].address;
        reserve(&scratch, "theirs", "10.0.0.250");
        assert_eq!(store.release(&owner("theirs")).unwrap(), [ip("10.0.0.250")], "turn {turn}");
        reserve(&scratch, "again", "10.0.0.250");
        assert_eq!(store.release(&owner(&id)).unwrap(), [given]);
        release(&scratch, "again");
        assert_eq!(store.owners().unwrap(), [].into());
    }
}

#[test]
fn a_network_of_another_name_is_another_store() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/24")];
    scratch.store().allocate(&owner("c"), &sets, &[]).unwrap();
    let other = Store::new(&scratch.0, "other");
    assert_eq!(other.release(&owner("c")).unwrap(), [] as [IpAddr; 0]);
    assert!(!scratch.0.join("other").exists(), "a release makes nothing");
    assert_eq!(other.allocate(&owner("c"), &sets, &[]).unwrap()[0].address, ip("10.0.0.2"));
}
