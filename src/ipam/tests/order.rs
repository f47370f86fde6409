//! In which order addresses are given, and that they rest.

use std::os::unix::fs::MetadataExt as _;

use super::*;

/// Makes all that is in the file of the resting ones `seconds` older.
fn let_pass(scratch: &Scratch, seconds: u64) {
    let text = fs::read_to_string(scratch.path("resting")).unwrap();
    let older = |line: &str| {
        let (then, address) = line.split_once(' ').unwrap();
        format!("{} {address}\n", then.parse::<u64>().unwrap() - seconds)
    };
    fs::write(scratch.path("resting"), text.lines().map(older).collect::<String>()).unwrap();
}

#[test]
fn a_released_address_rests_for_a_full_turn() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/28")];
    let mut given = Vec::new();
    for turn in 0..26 {
        given.push(store.allocate(&owner(turn), &sets, &[]).unwrap()[0].address);
        store.release(&owner(turn)).unwrap();
    }
    assert_eq!(given[..13], given[13..]);
    given.truncate(13);
    given.dedup();
    assert_eq!(given.len(), 13);
}

#[test]
fn one_that_was_just_released_is_passed_over_while_another_is_free() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/29")];
    let give = |id: &str| store.allocate(&owner(id), &sets, &[]).unwrap()[0].address.to_string();
    assert_eq!(["a", "b", "c", "d"].map(give), ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]);
    // Next in turn would be .6, then .2, which has just been released, and .4, long ago.
    store.release(&owner("c")).unwrap();
    let_pass(&scratch, REST.as_secs());
    store.release(&owner("a")).unwrap();
    assert_eq!(["e", "f"].map(give), ["10.0.0.6", "10.0.0.4"]);
    // Nothing else is left.
    assert_eq!(give("g"), "10.0.0.2");
    assert!(store.allocate(&owner("h"), &sets, &[]).unwrap_err().is_shortage());
    // Of those that rest, the one that has rested longest.
    for id in ["e", "b"] {
        store.release(&owner(id)).unwrap();
    }
    assert_eq!(["i", "j"].map(give), ["10.0.0.6", "10.0.0.3"]);
}

#[test]
fn who_asks_for_an_address_gets_it_tired() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/29")];
    let first = store.allocate(&owner("a"), &sets, &[]).unwrap()[0].address;
    store.release(&owner("a")).unwrap();
    assert_eq!(store.allocate(&owner("b"), &sets, &[first]).unwrap()[0].address, first);
}

#[test]
fn the_file_of_resting_ones_stays_small_and_keeps_the_last() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("fd00::/64")];
    let mut largest = 0;
    for turn in 0..600 {
        store.allocate(&owner(turn), &sets, &[]).unwrap();
        store.release(&owner(turn)).unwrap();
        if turn % 100 == 99 {
            let_pass(&scratch, REST.as_secs());
        }
        largest = largest.max(fs::metadata(scratch.path("resting")).unwrap().size());
    }
    assert!(largest < 8192, "{largest}");
    let text = fs::read_to_string(scratch.path("resting")).unwrap();
    assert!(text.ends_with(" fd00::259\n"), "{text}");
}

#[test]
fn what_is_no_line_of_the_file_is_passed_over() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/29")];
    for text in
        ["10.0.0.2\n", "x 10.0.0.2\n", " 10.0.0.2\n", "99999999999 10.0.0.2\n", "\u{fffd}\n\n \n", "1"]
    {
        scratch.write("resting", text);
        assert_eq!(scratch.store().allocate(&owner("a"), &sets, &[]).unwrap()[0].address, ip("10.0.0.2"));
        scratch.store().release(&owner("a")).unwrap();
        fs::remove_file(scratch.path("last_reserved_ip.0")).unwrap();
    }
}

#[test]
fn crowded_ranges_are_used_to_the_last_address() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/22")];
    let free = ip("10.0.3.77");
    for address in addresses(&sets[0], None) {
        if ip(&address) != free {
            scratch.write(&address, "c\r\neth0");
        }
    }
    let given = scratch.store().allocate(&owner("a"), &sets, &[]).unwrap();
    assert_eq!(given[0].address, free);
    let error = scratch.store().allocate(&owner("b"), &sets, &[]).unwrap_err();
    let text = "no free address in 10.0.0.0/22 (10.0.0.1 to 10.0.3.254): 1021 are taken";
    assert_eq!(error.to_string(), text);
}

#[test]
fn two_sets_that_overlap_give_two_addresses() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/29"), whole("10.0.0.0/29")];
    let given = scratch.store().allocate(&owner("a"), &sets, &[]).unwrap();
    assert_eq!(given.iter().map(|a| a.address).collect::<Vec<_>>(), [ip("10.0.0.2"), ip("10.0.0.3")]);
}
