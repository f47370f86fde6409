//! The store by itself: what it gives, refuses and takes back, and what it makes of debris.

use super::*;

#[test]
fn files_are_those_of_host_local() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/24"), whole("fd00::/64")];
    let given = scratch.store().allocate(&owner("c1"), &sets, &[]).unwrap();
    assert_eq!(given.iter().map(|a| a.address).collect::<Vec<_>>(), [ip("10.0.0.2"), ip("fd00::2")]);
    assert_eq!(
        scratch.names(),
        ["10.0.0.2", "fd00::2", "last_reserved_ip.0", "last_reserved_ip.1", "lock", "owners"]
    );
    let read = |name: &str| fs::read_to_string(scratch.0.join("pods").join(name)).unwrap();
    assert_eq!(read("10.0.0.2"), "c1\r\neth0");
    assert_eq!(read("last_reserved_ip.1"), "fd00::2");
    let boot = BootId::current().unwrap();
    assert_eq!(scratch.record("c1:eth0"), format!("10.0.0.2,fd00::2 {boot} -"));
    assert_eq!(scratch.store().release(&owner("c1")).unwrap(), [ip("10.0.0.2"), ip("fd00::2")]);
    assert_eq!(scratch.names(), ["last_reserved_ip.0", "last_reserved_ip.1", "lock", "owners", "resting"]);
    assert_eq!(scratch.records(), [""; 0]);
}

#[test]
fn a_second_allocation_is_refused_and_changes_nothing() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/24")];
    scratch.store().allocate(&owner("c1"), &sets, &[]).unwrap();
    let before = scratch.names();
    let error = scratch.store().allocate(&owner("c1"), &sets, &[]).unwrap_err();
    assert_eq!(error.to_string(), "10.0.0.2 is already allocated to container c1 interface eth0");
    assert_eq!(scratch.names(), before);
}

#[test]
fn exhaustion_in_one_family_reserves_nothing_in_the_other() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let small = whole("10.0.0.0/30");
    store.allocate(&owner("c1"), std::slice::from_ref(&small), &[]).unwrap();
    let before = scratch.names();
    let error = store.allocate(&owner("c2"), &[whole("fd00::/64"), small], &[]).unwrap_err();
    assert_eq!(error.to_string(), "no free address in 10.0.0.0/30 (10.0.0.1 to 10.0.0.2): 1 are taken");
    assert_eq!(scratch.names(), before);
}

#[test]
fn files_that_name_nobody_are_taken_back() {
    for nothing in ["", "\0\0\0\0", " \r\n"] {
        let scratch = Scratch::new();
        let store = scratch.store();
        scratch.write("10.0.0.2", nothing);
        let sets = [whole("10.0.0.0/30")];
        assert_eq!(store.allocate(&owner("c1"), &sets, &[]).unwrap()[0].address, ip("10.0.0.2"));
        assert!(matches!(store.has_room(&sets), Err(Error::Exhausted { taken: 1, .. })));
    }
}

/// A power failure may take the content of a file whose name it leaves.
#[test]
fn a_file_emptied_by_a_power_failure_is_taken_back_after_it() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/30")];
    scratch.store_at("1").allocate(&owner("c1"), &sets, &[]).unwrap();
    let emptied = fs::File::create(scratch.path("10.0.0.2")).unwrap();
    emptied.set_len(0).unwrap();
    assert!(scratch.store_at("1").disk.is_sealed("1".parse().ok()), "nobody has seen it");
    scratch.store_at("2").allocate(&owner("c2"), &sets, &[]).unwrap();
    assert_eq!(scratch.records(), ["c2:eth0"]);
}

/// Somebody keeps an address by hand.
#[test]
fn a_file_with_words_is_left_alone() {
    let scratch = Scratch::new();
    scratch.write("10.0.0.2", "keep it free");
    let sets = [whole("10.0.0.0/30")];
    assert!(scratch.store().allocate(&owner("c1"), &sets, &[]).unwrap_err().is_shortage());
    assert_eq!(scratch.store().release(&owner("keep")).unwrap(), [] as [IpAddr; 0]);
    assert_eq!(
        scratch.store().reservations().unwrap(),
        [Reservation { address: ip("10.0.0.2"), owner: None }]
    );
    assert_eq!(scratch.store().owners().unwrap(), [].into());
}

#[test]
fn what_a_killed_process_leaves_is_found_by_its_release() {
    // Killed after the record, and after the first of two addresses.
    for reserved in [&["10.0.0.2"][..], &[]] {
        let scratch = Scratch::new();
        let pods = scratch.0.join("pods");
        fs::create_dir_all(pods.join("owners")).unwrap();
        let link = pods.join("owners/c1:eth0");
        std::os::unix::fs::symlink("10.0.0.2,fd00::2 12345678 -", link).unwrap();
        scratch.write(".new", "c1\r");
        for name in reserved {
            scratch.write(name, "c1\r\neth0");
        }
        scratch.write("fd00::2", "somebody\r\neth0");
        assert_eq!(scratch.store().release(&owner("c1")).unwrap().len(), reserved.len());
        let rest = if reserved.is_empty() { None } else { Some("resting") };
        assert_eq!(
            scratch.names(),
            ["fd00::2", "lock", "owners"].into_iter().chain(rest).collect::<Vec<_>>()
        );
        assert_eq!(scratch.records(), ["somebody:eth0"]);
        keeps_the_promise_of_the_seal(&scratch.store());
    }
}

/// Nobody's release has to come for it.
#[test]
fn what_a_killed_process_leaves_is_put_in_order_by_whoever_comes_next() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/24"), whole("fd00::/64")];
    scratch.store().allocate(&owner("c1"), &sets, &[]).unwrap();
    // The first change is the draft, the second its content, then the record and two addresses.
    let killed = |at| {
        let store = scratch.store();
        faults::run(faults::Fault::Kill(at), || store.allocate(&owner("c2"), &sets, &[])).0.unwrap_err();
    };
    killed(4);
    assert!(scratch.names().contains(&".new".to_owned()));
    assert_eq!(scratch.records(), ["c1:eth0", "c2:eth0"]);
    assert_eq!(scratch.store().owners().unwrap(), [owner("c1")].into());
    assert_eq!(scratch.records(), ["c1:eth0"]);
    killed(5);
    assert_eq!(scratch.store().owners().unwrap(), [owner("c1"), owner("c2")].into());
    assert!(scratch.record("c2:eth0").starts_with("10.0.0.3 "), "one address was given, not two");
    keeps_the_promise_of_the_seal(&scratch.store());
}

#[test]
fn a_release_of_nothing_reads_no_address_file() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/24")];
    for n in 0..9 {
        store.allocate(&owner(n), &sets, &[]).unwrap();
    }
    let read = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(scratch.path(name)).unwrap();
        (metadata.atime(), metadata.atime_nsec())
    };
    // Under relatime a file that was read since it was written has the newer time of access.
    let set = fs::FileTimes::new().set_accessed(std::time::SystemTime::UNIX_EPOCH);
    for n in 2..11 {
        fs::File::open(scratch.path(&format!("10.0.0.{n}"))).unwrap().set_times(set).unwrap();
    }
    store.release(&owner("gone")).unwrap();
    store.held_by(&owner("gone")).unwrap();
    store.has_room(&sets).unwrap();
    store.allocate(&owner("new"), &sets, &[]).unwrap();
    assert_eq!(store.owners().unwrap().len(), 10);
    for n in 2..11 {
        assert_eq!(read(&format!("10.0.0.{n}")), (0, 0), "{n}");
    }
    store.release(&owner(0)).unwrap();
    assert_eq!(read("10.0.0.3"), (0, 0));
}

#[test]
fn usage_counts_what_the_ranges_offer() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/29"), whole("fd00::/64")];
    let usage = |size, taken| Usage { size, taken, free: size - u128::from(taken) };
    assert_eq!(store.usage(&sets).unwrap(), [usage(5, 0), usage((1 << 64) - 2, 0)]);
    store.allocate(&owner("c1"), &sets, &[]).unwrap();
    scratch.write("10.0.0.1", "the gateway is not offered");
    scratch.write("10.9.9.9", "c9\r\neth0");
    assert_eq!(store.usage(&sets).unwrap(), [usage(5, 1), usage((1 << 64) - 2, 1)]);
    assert_eq!(whole("::/0").size(), u128::MAX - 1);
}

#[test]
fn an_owner_that_cannot_be_noted_gets_nothing() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/24")];
    for id in ["", "a:b", "../a", "a b", &"x".repeat(300)] {
        let error = scratch.store().allocate(&owner(id), &sets, &[]).unwrap_err();
        assert!(matches!(error, Error::Owner { .. }), "{error}");
        scratch.store().release(&owner(id)).unwrap();
    }
    assert_eq!(scratch.names(), ["lock", "owners"]);
}

#[test]
fn a_file_that_cannot_be_read_is_taken_and_all_else_goes_on() {
    let scratch = Scratch::new();
    let store = scratch.store();
    scratch.write("10.0.0.3", "c3\r\neth0");
    // A link to itself: ELOOP stands for EIO.
    std::os::unix::fs::symlink("10.0.0.2", scratch.path("10.0.0.2")).unwrap();
    fs::create_dir(scratch.path("10.0.0.4")).unwrap();
    let sets = [whole("10.0.0.0/29")];
    for _ in 0..2 {
        assert_eq!(store.allocate(&owner("c5"), &sets, &[]).unwrap()[0].address, ip("10.0.0.5"));
        assert_eq!(store.owners().unwrap(), [owner("c3"), owner("c5")].into());
        assert!(!store.disk.is_sealed(BootId::current()));
        assert_eq!(store.release(&owner("c5")).unwrap(), [ip("10.0.0.5")]);
        fs::remove_file(scratch.path("last_reserved_ip.0")).unwrap();
        fs::remove_file(scratch.path("resting")).unwrap();
    }
    assert_eq!(store.release(&owner("c3")).unwrap(), [ip("10.0.0.3")]);
}

#[test]
fn whoever_holds_the_lock_too_long_is_named() {
    let scratch = Scratch::new();
    let store = scratch.store();
    store.allocate(&owner("c1"), &[whole("10.0.0.0/29")], &[]).unwrap();
    let path = scratch.path("lock");
    let held = lock::take(&path, false, lock::PATIENCE).unwrap().unwrap();
    let error = lock::take(&path, false, std::time::Duration::from_millis(20)).unwrap_err().to_string();
    let process = format!("by process {} (", std::process::id());
    assert!(error.contains(&process) && error.ends_with("), for 0 s now"), "{error}");
    drop(held);
    // The one that gave up does not keep it.
    assert!(lock::take(&path, false, lock::PATIENCE).unwrap().is_some());
}

#[test]
fn requested_addresses_are_given_or_refused() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/24"), whole("fd00::/64")];
    let given = store.allocate(&owner("c1"), &sets, &[ip("10.0.0.77")]).unwrap();
    assert_eq!(given[0].address, ip("10.0.0.77"));
    assert_eq!(given[1].address, ip("fd00::2"));
    let error =
        |id: &str, text: &str| store.allocate(&owner(id), &sets, &[ip(text)]).unwrap_err().to_string();
    assert_eq!(error("c2", "10.0.0.77"), "requested address 10.0.0.77 is taken");
    let two = store.allocate(&owner("c3"), &sets, &[ip("10.0.0.9"), ip("10.0.0.8")]).unwrap_err();
    assert!(two.to_string().starts_with("requested address 10.0.0.8 is of the same ranges"), "{two}");
    for text in ["10.0.0.1", "10.0.0.255", "10.0.1.5"] {
        let why = "is in none of the ranges, or is not for pods";
        assert_eq!(error("c2", text), format!("requested address {text} {why}"));
    }
}

#[test]
fn a_hundred_at_once_get_a_hundred_addresses() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/24"), whole("fd00::/64")];
    let mut given: Vec<IpAddr> = std::thread::scope(|scope| {
        let run = |n: usize| {
            let (store, sets) = (scratch.store(), &sets);
            move || {
                store.allocate(&owner(format!("x{n}")), sets, &[]).unwrap();
                store.release(&owner(format!("x{n}"))).unwrap();
                store.allocate(&owner(n), sets, &[]).unwrap()
            }
        };
        let threads: Vec<_> = (0..100).map(|n| scope.spawn(run(n))).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).map(|a| a.address).collect()
    });
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 200);
    assert_eq!(scratch.store().reservations().unwrap().len(), 200);
}
