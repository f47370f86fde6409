//! Malformed and borderline messages over TCP against the real daemon, and what RFC 4271 §6, §8 and
//! RFC 7606 require of it. Needs root.
//!
//! Each row is a peer of its own with a connection of its own, so that no row waits for another's idle
//! time. An observer, a second peer, sees what is announced further. Both speak BGP by octets written
//! here, independent of `src/bgp`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "real sockets and a real daemon, in real time")]
#![allow(clippy::too_many_lines, reason = "tables")]

mod peer;
mod rows;
mod stage;

use std::fmt::Write as _;
use std::io::Write as _;

use peer::{Observer, Peer, announce};
use rows::{Expect, Row, Stage};
use stage::Rig;

#[tokio::test]
async fn every_message_gets_the_reaction_required() {
    let count = rows::all([0; 4], 0).len();
    let mut rig = Rig::new(count).await;
    rig.start();
    let mut observer = Observer::new(rig.establish(Rig::OBSERVER));
    let mut wrong = String::new();
    let mut right = 0;
    for i in 0..count {
        let number = u8::try_from(i + 1).unwrap();
        let row = rows::all(Rig::peer(number), number).swap_remove(i);
        match play(&rig, &mut observer, &row, number) {
            Ok(()) => right += 1,
            Err(found) => {
                writeln!(wrong, "{}\n  expected {:?}\n  found    {found}", row.what, row.expect).unwrap()
            }
        }
    }
    writeln!(std::io::stdout().lock(), "{right} of {count} reactions as required").unwrap();
    rig.check_healthy().await;
    assert!(wrong.is_empty(), "{right} of {count} reactions as required\n{wrong}");
}

/// Plays one row; says what happened instead of what is required.
fn play(rig: &Rig, observer: &mut Observer, row: &Row, number: u8) -> Result<(), String> {
    let address = Rig::peer(number);
    let mut peer = match row.stage {
        Stage::OpenSent => rig.connect(address),
        Stage::OpenConfirm => {
            let mut peer = rig.connect(address);
            peer.send(&Peer::open(address));
            peer
        }
        Stage::Established => rig.establish(address),
    };
    if row.expect == Expect::Withdrawn {
        peer.send(&announce(address, [10, 100, number]));
        observer.await_prefix([10, 100, number])?;
    }
    peer.send(&row.octets);
    if let Expect::Reset(code, subcode) = row.expect {
        let found = peer.await_notification()?;
        return (found == (code, subcode)).then_some(()).ok_or(format!("reset {}/{}", found.0, found.1));
    }
    if row.expect == Expect::Closed {
        return peer.await_end();
    }
    // What comes after is the proof that the session was kept, and that the row has been dealt with.
    // The first of the two may share a decision with the row, and overtake it in the order of
    // announcements; the second is sent when that decision has gone out.
    for network in [200, 201] {
        peer.send(&announce(address, [10, network, number]));
        observer.await_prefix([10, network, number])?;
    }
    let attributes = observer.prefixes.get(&[10, 100, number]);
    match (&row.expect, attributes) {
        (Expect::Withdrawn | Expect::Ignored, None) => Ok(()),
        (Expect::Announced, Some(_)) => Ok(()),
        (Expect::Carries(octets), Some(a)) if a.windows(octets.len()).any(|w| w == *octets) => Ok(()),
        (Expect::Lacks(code), Some(a)) if peer::codes(a).iter().all(|c| c != code) => Ok(()),
        (_, found) => Err(format!("attributes at the observer: {found:?}")),
    }
}
