//! Malformed and borderline messages over TCP against the real daemon, and what the RFC named in each
//! row requires of it. Needs root.
//!
//! Each row is a peer of its own with a connection of its own, so that no row waits for another's idle
//! time. An observer sees what is announced further, and after each row a healthy peer, the witness,
//! announces something that must get there too. All speak BGP by octets written here, independent of
//! `src/bgp`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod peer;
mod rows;
mod scenarios;
mod side;
mod stage;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use peer::{Observer, Peer, attributes, message};
use rows::{Expect, Place, Row, Stage};
use side::Side;
use stage::Rig;

#[tokio::test]
async fn every_message_gets_the_reaction_required() {
    let mut sides: Vec<Side> = rows::all(0).iter().map(|row| row.side).collect();
    let scenarios = scenarios::all();
    let row_count = sides.len();
    sides.extend(scenarios.iter().map(|scenario| scenario.side));
    let mut rig = Rig::new(&sides).await;
    rig.start();
    let mut onlookers = Onlookers::new(&rig);
    let mut score = Score::default();
    for (i, number) in (0..row_count).zip(1..) {
        let row = rows::all(number).swap_remove(i);
        let place = Place::new(number);
        let outcome = play(&rig, onlookers.observer(row.observer), &row, place);
        let outcome = outcome.map_err(|found| format!("expected {:?}\n  found    {found}", row.expect));
        score.add((row.what, row.rfc), outcome.and(onlookers.check(row.observer, place)));
    }
    for (number, scenario) in (row_count + 1..).zip(&scenarios) {
        let place = Place::new(u16::try_from(number).unwrap());
        let outcome = scenario.play(&rig, onlookers.observer(Rig::OUTSIDE), place);
        score.add((scenario.what, scenario.rfc), outcome.and(onlookers.check(Rig::OUTSIDE, place)));
    }
    writeln!(std::io::stdout().lock(), "{score}").unwrap();
    rig.check_healthy().await;
    assert!(score.wrong.is_empty(), "{score}\n{}", score.wrong);
}

#[derive(Default)]
struct Score {
    right: usize,
    all: usize,
    wrong: String,
}

impl Score {
    fn add(&mut self, (what, rfc): (&str, &str), outcome: Result<(), String>) {
        self.all += 1;
        match outcome {
            Ok(()) => self.right += 1,
            Err(found) => writeln!(self.wrong, "{what} ({rfc})\n  {found}").unwrap(),
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} reactions as required", self.right, self.all)
    }
}

/// The sessions that no row may disturb.
struct Onlookers {
    observers: BTreeMap<[u8; 4], Observer>,
    witness: Peer,
}

impl Onlookers {
    fn new(rig: &Rig) -> Onlookers {
        let observers =
            [(Rig::OUTSIDE, Side::Dual), (Rig::INSIDE, Side::Client), (Rig::NARROW, Side::TwoOctet)];
        let establish = |address, side: Side| rig.establish_first(address, &side.open(address));
        Onlookers {
            observers: observers.map(|(a, side)| (a, Observer::new(establish(a, side)))).into(),
            witness: establish(Rig::WITNESS, Side::External),
        }
    }

    fn observer(&mut self, address: [u8; 4]) -> &mut Observer {
        self.observers.get_mut(&address).unwrap()
    }

    /// The witness's session goes on as if the row had not been, and so does the observer's.
    fn check(&mut self, observer: [u8; 4], place: Place) -> Result<(), String> {
        let news = place.prefix(5);
        self.witness.send(&Side::External.announce(Rig::WITNESS, &news));
        for onlooker in self.observers.values_mut() {
            onlooker.peer.send(&message(4, &[]));
        }
        self.observer(observer).await_prefix(&news).map_err(|e| format!("a healthy peer noticed: {e}"))
    }
}

/// Plays one row; says what happened instead of what is required.
fn play(rig: &Rig, observer: &mut Observer, row: &Row, place: Place) -> Result<(), String> {
    let open = row.open.clone().unwrap_or_else(|| row.side.open(place.address));
    let mut peer = match row.stage {
        Stage::OpenSent => rig.connect(place.address),
        Stage::OpenConfirm => {
            let mut peer = rig.connect(place.address);
            peer.send(&open);
            peer
        }
        Stage::Established => rig.establish(place.address, &open)?,
    };
    let ends = matches!(row.expect, Expect::Reset(..) | Expect::Closed);
    let before =
        row.stage == Stage::Established && (ends || matches!(row.expect, Expect::Withdrawn | Expect::Kept));
    if before {
        peer.send(&row.side.announce(place.address, &row.nlri));
        observer.await_prefix(&row.nlri)?;
    }
    peer.send(&row.octets);
    match &row.expect {
        Expect::Reset(code, subcode, data) => {
            let found = peer.await_notification()?;
            if found != (*code, *subcode, data.clone()) {
                return Err(format!("reset {found:?}"));
            }
        }
        Expect::Closed => peer.await_end()?,
        _ => return kept(&mut peer, observer, row, place),
    }
    observer.await_gone(&row.nlri)
}

/// The session has been kept; what does the observer see?
fn kept(peer: &mut Peer, observer: &mut Observer, row: &Row, place: Place) -> Result<(), String> {
    // What comes after is the proof that the session was kept, and that the row has been dealt with.
    // The first of the two may share a decision with the row, and overtake it in the order of
    // announcements; the second is sent when that decision has gone out.
    for marker in [place.prefix(1), place.prefix(2)] {
        peer.send(&row.side.announce(place.address, &marker));
        observer.await_prefix(&marker)?;
    }
    let field = observer.prefixes.get(&row.nlri);
    match (&row.expect, field) {
        (Expect::Withdrawn | Expect::Ignored, None) => Ok(()),
        (Expect::Announced | Expect::Kept, Some(_)) => Ok(()),
        (Expect::Carries(octets), Some(a)) if a.windows(octets.len()).any(|w| w == *octets) => Ok(()),
        (Expect::Lacks(code), Some(a)) if attributes(a).iter().all(|(c, ..)| c != code) => Ok(()),
        (_, found) => Err(format!("attributes at the observer: {found:?}")),
    }
}
