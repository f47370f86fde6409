//! A disk that is full: a small tmpfs, in a mount namespace of the thread's own.

use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use routelet::ipam::Error;

use super::*;

/// Runs `act` where the scratch directory is a file system that has room for so many files.
fn with_room_for<T: Send>(files: usize, act: impl FnOnce(&Scratch) -> T + Send) -> T {
    let scratch = Scratch::new();
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let options = format!("nr_inodes={}", files + 1);
        mount(Some("tmpfs"), &scratch.0, Some("tmpfs"), MsFlags::empty(), Some(&*options)).unwrap();
        act(&scratch)
    };
    thread::scope(|scope| scope.spawn(inside).join().unwrap())
}

/// Wherever it stops: the address is not half given, what was there stays, and can be released.
#[test]
fn an_add_on_a_full_disk_leaves_nothing() {
    let sets = [whole("10.0.0.0/24"), whole("fd00::/64")];
    let mut refused = 0;
    // Directory, folder and lock; and then what an attachment takes.
    for files in 2..20 {
        let is_refused = with_room_for(files, |scratch| {
            let store = scratch.store();
            let first = store.allocate(&owner("a"), &sets, &[]);
            let second = store.allocate(&owner("b"), &sets, &[]);
            if first.is_err() {
                assert_eq!(store.release(&owner("a")).unwrap(), [] as [IpAddr; 0]);
                return true;
            }
            if let Err(error) = &second {
                assert!(matches!(error, Error::Io { .. }), "{error}");
                assert!(error.to_string().contains("No space left on device"), "{error}");
                assert_eq!(store.owners().unwrap(), [owner("a")].into());
                assert_eq!(store.reservations().unwrap().len(), 2);
            }
            assert_eq!(store.release(&owner("a")).unwrap().len(), 2);
            second.is_err()
        });
        refused += usize::from(is_refused);
    }
    assert!((8..18).contains(&refused), "{refused}");
}

/// `host-local` left no room for records of its pods.
#[test]
fn releases_need_no_room() {
    with_room_for(8, |scratch| {
        let network = scratch.0.join(NETWORK);
        fs::create_dir(&network).unwrap();
        for n in 2..8 {
            fs::write(network.join(format!("10.0.0.{n}")), format!("c{n}\r\neth0")).unwrap();
        }
        fs::write(network.join("lock"), "").unwrap();
        for n in 2..8 {
            assert_eq!(scratch.store().held_by(&owner(format!("c{n}"))).unwrap().len(), 1);
            assert_eq!(scratch.store().release(&owner(format!("c{n}"))).unwrap().len(), 1);
        }
        assert_eq!(scratch.store().reservations().unwrap(), []);
    });
}
