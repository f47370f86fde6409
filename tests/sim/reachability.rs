//! Sessions whose link or address goes: they fall at once, and come back at once.

use std::collections::BTreeSet;
use std::time::Duration;

use routelet::rib::next_hop::UnderlayRoute;
use routelet::speaker::intent::{Distance, FastFailover, GracefulRestart, RemoteAs};
use routelet::speaker::{Action, Intent};

use crate::helping::offer;
use crate::plan::Plan;
use crate::scripted::{Rig, accept_all};

const PREFIX: &str = "10.99.0.0/16";

/// The plan's underlay while the link of the peer works, and by what else it is reached otherwise.
fn link(up: bool, default_route: bool) -> Vec<UnderlayRoute> {
    let subnet = "192.168.1.0/24".parse().unwrap();
    let via = UnderlayRoute {
        prefix: "0.0.0.0/0".parse().unwrap(),
        via: Some("10.0.0.1".parse().unwrap()),
        interface: Some(9),
        metric: 100,
    };
    let mut underlay = Plan::underlay();
    assert!(underlay.iter().any(|route| route.prefix == subnet));
    underlay.retain(|route| route.prefix != subnet || up);
    underlay.extend(default_route.then_some(via));
    underlay
}

/// An Established session over which a prefix has come.
fn rig(change: impl FnOnce(&mut Intent)) -> Rig {
    let mut rig = Rig::new(&offer(true, true), |intent| {
        accept_all(intent);
        intent.peers.get_mut("tor").unwrap().graceful_restart = Some(GracefulRestart::default());
        change(intent);
    });
    rig.announce(&[PREFIX], |_| ());
    rig.heard();
    rig
}

fn tell(rig: &mut Rig, underlay: Vec<UnderlayRoute>) -> (&'static str, bool) {
    rig.speaker.handle_underlay(rig.now, underlay);
    rig.listen();
    (rig.speaker.peers(rig.now).remove(0).state, rig.path(PREFIX).is_some())
}

fn distance(distance: Distance, fast_failover: FastFailover) -> impl FnOnce(&mut Intent) {
    move |intent| {
        let tor = intent.peers.get_mut("tor").unwrap();
        tor.distance = distance;
        tor.fast_failover = fast_failover;
    }
}

#[test]
fn a_session_on_a_dead_link_falls_at_once_and_its_paths_with_it_graceful_restart_or_not() {
    let mut rig = rig(|_| ());
    assert_eq!(tell(&mut rig, link(false, false)), ("Idle", false));
    assert_eq!(rig.heard(), Vec::<String>::new(), "nothing that is said would arrive");
    let peer = rig.speaker.peers(rig.now).remove(0);
    assert_eq!(peer.last_error.as_deref(), Some("its link is down"));
    assert!(rig.notices.iter().any(|notice| notice.contains("its link is down")), "{:?}", rig.notices);
    assert!(!rig.notices.iter().any(|notice| notice.contains("kept")), "{:?}", rig.notices);
}

#[test]
fn a_session_is_tried_at_once_when_the_link_is_back() {
    let mut rig = rig(|intent| intent.peers.get_mut("tor").unwrap().passive = false);
    tell(&mut rig, link(false, false));
    let dials = |rig: &mut Rig| {
        let actions: Vec<Action> = std::iter::from_fn(|| rig.speaker.poll_action()).collect();
        actions.iter().any(|action| matches!(action, Action::Dial { .. }))
    };
    rig.speaker.handle_underlay(rig.now, link(true, false));
    assert!(dials(&mut rig), "no idle hold time is waited for");
    // The attempt goes into the void, and so does the next: a link that is back ends that pause, too.
    rig.speaker.handle_underlay(rig.now, link(false, false));
    rig.wait(Duration::from_secs(1));
    rig.speaker.handle_underlay(rig.now, link(true, false));
    assert!(dials(&mut rig), "no connect retry time is waited for");
}

#[test]
fn how_far_away_a_peer_may_be_decides_which_way_it_needs() {
    use FastFailover::{Always, Connected, Never};
    let far = Distance::Multihop(4);
    let (up, down) = ("Established", "Idle");
    // Distance, when to fall, state over a default route alone, state over nothing at all.
    let rows = [
        (Distance::Default, Connected, down, down),
        (Distance::Security(1), Connected, down, down),
        (Distance::Multihop(1), Always, down, down),
        (Distance::Default, Never, up, up),
        (far, Connected, up, up),
        (far, Always, up, down),
        (Distance::Security(2), Always, up, down),
        (Distance::Security(2), Never, up, up),
    ];
    for (how_far, when, over_default, over_nothing) in rows {
        for (default_route, state) in [(true, over_default), (false, over_nothing)] {
            let mut rig = rig(distance(how_far, when));
            let found = tell(&mut rig, link(false, default_route)).0;
            assert_eq!(found, state, "{how_far:?} {when:?}, default route: {default_route}");
        }
    }
}

#[test]
fn an_internal_peer_may_be_reached_some_other_way() {
    for (default_route, state) in [(true, "Established"), (false, "Idle")] {
        let mut rig = Rig::connected(|intent| {
            accept_all(intent);
            intent.asn = 65000;
            intent.peers.get_mut("tor").unwrap().asn = RemoteAs::Internal;
        });
        rig.open(&[]);
        rig.say(rig.codec.encode_keepalive());
        tell(&mut rig, link(true, default_route));
        assert_eq!(tell(&mut rig, link(false, default_route)).0, state);
    }
}

#[test]
fn a_session_whose_local_address_goes_falls_with_words() {
    for when in [FastFailover::Connected, FastFailover::Never] {
        let mut rig = rig(distance(Distance::Default, when));
        let addresses =
            |texts: &[&str]| -> BTreeSet<_> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        rig.speaker.handle_addresses(rig.now, addresses(&["127.0.0.1", "192.168.1.11", "10.0.0.9"]));
        rig.speaker.handle_addresses(rig.now, addresses(&["127.0.0.1", "192.168.1.11"]));
        rig.listen();
        assert_eq!(rig.speaker.peers(rig.now)[0].state, "Established", "another address went");
        rig.speaker.handle_addresses(rig.now, addresses(&["127.0.0.1"]));
        rig.listen();
        let peer = rig.speaker.peers(rig.now).remove(0);
        if when == FastFailover::Never {
            assert_eq!(peer.state, "Established");
        } else {
            assert_eq!(peer.state, "Idle");
            assert_eq!(peer.last_error.as_deref(), Some("its local address 192.168.1.11 is gone"));
        }
    }
}

#[test]
fn a_link_that_never_worked_is_no_reason_to_fall() {
    let mut rig = rig(|_| ());
    // A peer beyond the underlay (on a loopback, say) has no way to lose.
    assert_eq!(tell(&mut rig, link(true, true)), ("Established", true));
    let prefix: routelet::prefix::Prefix = "10.55.0.0/16".parse().unwrap();
    let elsewhere = UnderlayRoute { prefix, via: None, interface: Some(8), metric: 0 };
    let with = [link(true, true), vec![elsewhere]].concat();
    assert_eq!(tell(&mut rig, with), ("Established", true));
    assert_eq!(tell(&mut rig, link(true, false)), ("Established", true));
}
