//! What takes more than one message or one connection.

use crate::peer::{Observer, Peer, message};
use crate::rows::Place;
use crate::side::Side;
use crate::stage::Rig;

pub struct Scenario {
    pub what: &'static str,
    /// The section that demands the reaction.
    pub rfc: &'static str,
    pub side: Side,
    play: fn(&Rig, &mut Observer, Place) -> Result<(), String>,
}

impl Scenario {
    pub fn play(&self, rig: &Rig, observer: &mut Observer, place: Place) -> Result<(), String> {
        (self.play)(rig, observer, place)
    }
}

pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            what: "an OPEN cut off at every octet, then a sound one",
            rfc: "RFC 4271 §8.2.2",
            side: Side::External,
            play: cut_opens,
        },
        Scenario {
            what: "a collision that the higher identifier of the peer wins",
            rfc: "RFC 4271 §6.8",
            side: Side::Active,
            play: |rig, observer, place| collide(rig, observer, place, [250, 0, 0, 1], Winner::Theirs),
        },
        Scenario {
            what: "a collision that our higher identifier wins",
            rfc: "RFC 4271 §6.8",
            side: Side::Active,
            play: |rig, observer, place| collide(rig, observer, place, [1, 0, 0, 1], Winner::Ours),
        },
        Scenario {
            what: "a collision of equal identifiers that the larger AS wins",
            rfc: "RFC 6286 §2.3",
            side: Side::Active,
            play: |rig, observer, place| collide(rig, observer, place, Rig::DAEMON, Winner::Theirs),
        },
        Scenario {
            what: "a second connection beside an Established session",
            rfc: "RFC 4271 §6.8",
            side: Side::External,
            play: second_connection,
        },
        Scenario {
            what: "a peer that nobody knows",
            rfc: "RFC 4271 §8.2.2",
            side: Side::External,
            play: |rig, _, _| rig.connect(Rig::STRANGER).await_end(),
        },
        Scenario {
            what: "a peer that asks for refreshes and never reads",
            rfc: "RFC 7313 §4",
            side: Side::Enhanced,
            play: never_reads,
        },
    ]
}

/// The session works: a prefix gets through.
fn works(peer: &mut Peer, observer: &mut Observer, place: Place) -> Result<(), String> {
    peer.send(&Side::External.announce(place.address, &place.prefix(0)));
    observer.await_prefix(&place.prefix(0))
}

fn cut_opens(rig: &Rig, observer: &mut Observer, place: Place) -> Result<(), String> {
    let open = Side::External.open(place.address);
    for length in 0..open.len() {
        let mut peer = rig.connect(place.address);
        // Only who has the daemon's OPEN has been given a session.
        peer.await_kind(1).map_err(|e| format!("after {length} octets: {e}"))?;
        peer.send(&open[..length]);
    }
    works(&mut rig.establish(place.address, &open)?, observer, place)
}

enum Winner {
    /// The connection that the daemon has made.
    Ours,
    /// The connection that the peer has made.
    Theirs,
}

fn collide(
    rig: &Rig,
    observer: &mut Observer,
    place: Place,
    identifier: [u8; 4],
    winner: Winner,
) -> Result<(), String> {
    let (mut ours, mut theirs) = (rig.accept(place.address), rig.connect(place.address));
    for peer in [&mut ours, &mut theirs] {
        peer.await_kind(1)?;
    }
    for peer in [&mut ours, &mut theirs] {
        peer.send(&Side::Active.open(identifier));
    }
    let (mut kept, mut closed) = match winner {
        Winner::Ours => (ours, theirs),
        Winner::Theirs => (theirs, ours),
    };
    match closed.await_notification()? {
        (6, 7, data) if data.is_empty() => (),
        other => return Err(format!("the connection that loses got {other:?}")),
    }
    kept.await_kind(4)?;
    kept.send(&message(4, &[]));
    works(&mut kept, observer, place)
}

fn second_connection(rig: &Rig, observer: &mut Observer, place: Place) -> Result<(), String> {
    let open = Side::External.open(place.address);
    let mut first = rig.establish(place.address, &open)?;
    let mut second = rig.connect(place.address);
    second.send(&open);
    match second.await_notification()? {
        (6, 7, data) if data.is_empty() => works(&mut first, observer, place),
        other => Err(format!("the second connection got {other:?}")),
    }
}

/// What the daemon would answer must not pile up in its memory.
fn never_reads(rig: &Rig, observer: &mut Observer, place: Place) -> Result<(), String> {
    const REQUESTS: usize = 100_000;
    const MOST: u64 = 8 << 20;
    let mut peer = rig.establish(place.address, &Side::Enhanced.open(place.address))?;
    works(&mut peer, observer, place)?;
    let before = rig.memory();
    peer.send(&message(5, &[0, 1, 0, 1]).repeat(REQUESTS));
    peer.send(&Side::External.announce(place.address, &place.prefix(1)));
    observer.await_prefix(&place.prefix(1))?;
    let grown = rig.memory().saturating_sub(before);
    (grown < MOST).then_some(()).ok_or(format!("the daemon grew by {grown} octets"))
}
