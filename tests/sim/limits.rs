//! The limit on a peer's prefixes, seen from the peer: what it is told, and what becomes of what it says.

use std::time::Duration;

use routelet::prefix::Prefix;
use routelet::speaker::intent::{Intent, LimitAction, MaxPrefixes};
use routelet::speaker::view::{PeerFamilyView, PeerView};

use crate::plan::{Families, Plan};
use crate::scripted::{Rig, accept_all};

const A: &str = "172.16.0.0/24";
const B: &str = "172.16.1.0/24";
const C: &str = "172.16.2.0/24";
const DISCARD: LimitAction = LimitAction::Discard;

/// At most two prefixes, and everything accepted.
fn limited(action: LimitAction) -> impl FnOnce(&mut Intent) {
    move |intent| {
        accept_all(intent);
        let limit = MaxPrefixes { limit: 2, action, warn_at: 75 };
        intent.peers.get_mut("tor").unwrap().max_prefixes = Some(limit);
    }
}

/// A session that has announced one prefix too many.
fn exceeded(action: LimitAction) -> Rig {
    let mut rig = Rig::new(&[], limited(action));
    rig.announce(&[A, B], |_| ());
    rig.heard();
    rig.announce(&[C], |_| ());
    rig
}

fn peer(rig: &Rig) -> PeerView {
    rig.speaker.peers(rig.now).remove(0)
}

fn ipv4(rig: &Rig) -> PeerFamilyView {
    peer(rig).families.remove(0)
}

fn notices(rig: &Rig, what: &str) -> usize {
    rig.notices.iter().filter(|line| line.contains(what)).count()
}

fn reconfigure(rig: &mut Rig, change: impl FnOnce(&mut Intent)) {
    let mut intent = Plan::reference(Families::Ipv4).intent("node1");
    intent.peers.retain(|name, _| name == "tor");
    intent.peers.get_mut("tor").unwrap().passive = true;
    change(&mut intent);
    rig.speaker.handle_intent(rig.now, intent);
    rig.listen();
}

#[test]
fn too_many_prefixes_end_the_session_until_the_configuration_changes() {
    let mut rig = exceeded(LimitAction::Reset { idle: None });
    assert_eq!(rig.heard(), ["Cease: Maximum Number of Prefixes Reached"]);
    assert_eq!(rig.path(A), None);
    assert_eq!(peer(&rig).state, "Idle");
    let why = "more than 2 prefixes of ipv4Unicast accepted; stays down until its BgpPeer is changed";
    assert_eq!(peer(&rig).last_error.as_deref(), Some(why));
    rig.wait(Duration::from_secs(86_400));
    assert!(!rig.come_again(&[]), "a day later");

    reconfigure(&mut rig, |intent| {
        limited(LimitAction::Reset { idle: None })(intent);
        intent.peers.get_mut("tor").unwrap().max_prefixes.as_mut().unwrap().limit = 3;
    });
    assert!(rig.come_again(&[]));
    rig.announce(&[A, B, C], |_| ());
    assert_eq!(ipv4(&rig).accepted, 3);
}

#[test]
fn the_idle_time_is_kept_to_the_second_and_then_the_peer_may_come_again() {
    let mut rig = exceeded(LimitAction::Reset { idle: Some(Duration::from_secs(600)) });
    assert!(peer(&rig).last_error.unwrap().ends_with("stays down for 600s"));
    rig.wait(Duration::from_secs(599));
    assert!(!rig.come_again(&[]));
    rig.wait(Duration::from_secs(1));
    assert!(rig.come_again(&[]));
    assert_eq!(peer(&rig).state, "Established");
}

#[test]
fn what_is_known_may_change_and_what_is_new_is_discarded() {
    let mut rig = exceeded(DISCARD);
    assert_eq!(rig.heard(), [""; 0], "the session stays up, and nobody hears of the third");
    assert_eq!(rig.path(C), None);
    assert_eq!((ipv4(&rig).accepted, ipv4(&rig).limit, ipv4(&rig).discarded), (2, Some(2), 1));
    rig.announce(&[A], |attributes| attributes.med = Some(7));
    assert_eq!(rig.path(A).unwrap().attributes.med, Some(7));
    assert_eq!(
        notices(&rig, "tor has 2 accepted prefixes of ipv4Unicast, of at most 2; others are discarded"),
        2
    );

    let mut octets = vec![];
    let gone: Vec<Prefix> = vec![A.parse().unwrap()];
    rig.codec.encode_withdrawals(&gone, &mut octets);
    rig.say(octets);
    rig.announce(&[C], |_| ());
    assert!(rig.path(C).is_some_and(|path| path.best), "there is room again");
}

#[test]
fn a_raised_limit_asks_for_what_was_discarded() {
    let mut rig = exceeded(DISCARD);
    reconfigure(&mut rig, |intent| {
        limited(DISCARD)(intent);
        intent.peers.get_mut("tor").unwrap().max_prefixes.as_mut().unwrap().limit = 3;
    });
    assert_eq!(rig.heard(), ["RouteRefresh(Ipv4Unicast)"]);
    rig.announce(&[A, B, C], |_| ());
    assert_eq!(ipv4(&rig).accepted, 3);
}

#[test]
fn a_warning_is_given_once_for_each_crossing_and_does_nothing() {
    let mut rig = exceeded(LimitAction::Warn);
    assert_eq!(ipv4(&rig).accepted, 3);
    assert_eq!(notices(&rig, "of at most 2"), 2, "near it, and beyond: {:?}", rig.notices);
    rig.announce(&["172.16.3.0/24", "172.16.4.0/24"], |_| ());
    assert_eq!(notices(&rig, "of at most 2"), 2);
    reconfigure(&mut rig, |intent| {
        limited(LimitAction::Reset { idle: None })(intent);
    });
    assert_eq!(peer(&rig).state, "Idle", "a stricter action holds for what is there");
}
