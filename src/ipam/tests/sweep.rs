//! Sweeps: who is freed and who is not.

use std::time::{Duration, SystemTime};

use super::*;

const NONE: Duration = Duration::ZERO;

#[test]
fn those_that_are_gone_are_freed_after_their_time_of_grace() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/24")];
    store.clone().for_namespace(Some(4026532345)).allocate(&owner("gone"), &sets, &[]).unwrap();
    store.allocate(&owner("alive"), &sets, &[]).unwrap();
    scratch.write("10.0.0.9", "theirs\r\neth0");
    let mut asked = Vec::new();
    let mut life = |holding: &Holding| {
        asked.push((holding.owner.container_id.clone(), holding.origin, holding.is_of_older_boot));
        match &*holding.owner.container_id {
            "gone" => Life::Gone,
            "alive" => Life::Alive,
            _ => Life::Unknown,
        }
    };
    assert_eq!(store.sweep(GRACE, &mut life).unwrap().freed, []);
    let swept = store.sweep(NONE, &mut life).unwrap();
    assert_eq!((swept.freed.len(), swept.kept, swept.failures.len()), (1, 2, 0));
    assert_eq!(swept.freed[0].addresses, [ip("10.0.0.2")]);
    let expected = [
        ("alive".to_owned(), Origin::Ours { namespace: None }, false),
        ("gone".to_owned(), Origin::Ours { namespace: Some(4026532345) }, false),
        ("theirs".to_owned(), Origin::HostLocal, false),
    ];
    assert_eq!(asked, [&expected[..], &expected].concat());
    assert_eq!(store.owners().unwrap(), [owner("alive"), owner("theirs")].into());
    keeps_the_promise_of_the_seal(&store);
}

#[test]
fn those_of_an_older_boot_are_freed_unless_seen_alive() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/24")];
    let before = scratch.store_at("1");
    before.allocate(&owner("ours"), &sets, &[]).unwrap();
    scratch.write("10.0.0.9", "theirs\r\neth0");
    scratch.write("10.0.0.8", "moved\r\neth0");
    // The store saw these in the first boot: they cannot be of the second.
    before.owners().unwrap();
    let now = scratch.store_at("2");
    scratch.write("10.0.0.7", "unseen\r\neth0");
    let life = |holding: &Holding| match &*holding.owner.container_id {
        "moved" => Life::Alive,
        _ => Life::Unknown,
    };
    let swept = now.sweep(GRACE, life).unwrap();
    let freed: Vec<&str> = swept.freed.iter().map(|holding| &*holding.owner.container_id).collect();
    assert_eq!(freed, ["ours", "theirs"]);
    assert_eq!(now.owners().unwrap(), [owner("moved"), owner("unseen")].into());
}

#[test]
fn a_machine_that_does_not_know_its_boot_frees_nothing_for_it() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/24")];
    scratch.store_at("1").allocate(&owner("a"), &sets, &[]).unwrap();
    let nowhere = scratch.store().at_boot(None);
    nowhere.allocate(&owner("b"), &sets, &[]).unwrap();
    assert_eq!(nowhere.sweep(NONE, |_| Life::Unknown).unwrap().kept, 2);
    let second = scratch.store_at("2").sweep(NONE, |_| Life::Unknown).unwrap();
    assert_eq!((second.freed.len(), second.kept), (1, 1));
}

/// The question takes time, and the world goes on.
#[test]
fn what_changes_hands_while_the_question_is_asked_is_left_alone() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let sets = [whole("10.0.0.0/24")];
    store.allocate(&owner("a"), &sets, &[]).unwrap();
    let swept = store.sweep(NONE, |holding| {
        store.release(&holding.owner).unwrap();
        store.allocate(&holding.owner, &sets, &[]).unwrap();
        Life::Gone
    });
    assert_eq!((swept.as_ref().unwrap().freed.len(), swept.unwrap().kept), (0, 1));
    assert_eq!(store.held_by(&owner("a")).unwrap(), [ip("10.0.0.3")]);
    let swept = store.sweep(NONE, |holding| {
        store.release(&holding.owner).unwrap();
        Life::Gone
    });
    assert_eq!((swept.as_ref().unwrap().freed.len(), swept.unwrap().kept), (0, 1));
}

#[test]
fn a_reservation_from_the_future_is_young() {
    let scratch = Scratch::new();
    scratch.store().allocate(&owner("a"), &[whole("10.0.0.0/24")], &[]).unwrap();
    let holding = &scratch.store().holdings().unwrap()[0];
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    assert!(!holding.is_left_behind(Life::Gone, before, NONE));
    assert!(!holding.is_left_behind(Life::Unknown, before, NONE));
}

#[test]
fn a_full_range_is_swept_before_it_refuses() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/30")];
    let before = scratch.store_at("1");
    before.allocate(&owner("dead"), &sets, &[]).unwrap();
    let never = |_: &Holding| -> Life { panic!("nobody is to be asked") };
    let now = scratch.store_at("2");
    assert!(now.has_room_after_sweep(&sets, |_| Life::Alive).unwrap_err().is_shortage());
    now.has_room_after_sweep(&sets, |_| Life::Unknown).unwrap();
    let alive = now.allocate_sweeping(&owner("new"), &sets, &[], |_| Life::Alive).unwrap_err();
    assert!(alive.is_shortage());
    let given = now.allocate_sweeping(&owner("new"), &sets, &[ip("10.0.0.2")], |_| Life::Unknown).unwrap();
    assert_eq!(given[0].address, ip("10.0.0.2"));
    let duplicate = now.allocate_sweeping(&owner("new"), &sets, &[], never).unwrap_err();
    assert!(matches!(duplicate, Error::Duplicate { .. }));
    // One of this boot whose ADD may still be under way.
    assert!(now.allocate_sweeping(&owner("newer"), &sets, &[], |_| Life::Gone).unwrap_err().is_shortage());
}

/// Containers that are started again at boot keep their names.
#[test]
fn a_container_of_an_older_boot_may_come_again() {
    let scratch = Scratch::new();
    let sets = [whole("10.0.0.0/24")];
    scratch.store_at("1").allocate(&owner("a"), &sets, &[]).unwrap();
    let now = scratch.store_at("2");
    assert_eq!(now.allocate(&owner("a"), &sets, &[]).unwrap()[0].address, ip("10.0.0.3"));
    assert_eq!(now.reservations().unwrap().len(), 1);
    assert!(matches!(now.allocate(&owner("a"), &sets, &[]), Err(Error::Duplicate { .. })));
}
