//! What a session makes of what BFD says about the path.

use std::time::Duration;

use routelet::bfd;
use routelet::speaker::intent::{BfdIntent, GracefulRestart};
use routelet::speaker::{Action, Intent, Speaker};
use routelet::time::Instant;

use crate::helping::{hang_up, offer};
use crate::plan::{Families, Plan};
use crate::scripted::{Rig, accept_all};

fn path_change(state: bfd::State, diagnostic: bfd::Diagnostic, remote_state: bfd::State) -> bfd::Change {
    bfd::Change {
        state,
        diagnostic,
        remote_state,
        remote_diagnostic: bfd::Diagnostic::NONE,
        control_plane_independent: false,
        tx_interval: Duration::from_millis(100),
        detection_time: Duration::from_millis(300),
    }
}

pub fn watched(strict: bool) -> impl FnOnce(&mut Intent) {
    move |intent| {
        let tenth = Duration::from_millis(100);
        let config = bfd::Config { min_tx: tenth, min_rx: tenth, detect_multiplier: 3, key: None };
        intent.peers.get_mut("tor").unwrap().bfd = Some(BfdIntent { config, strict, hops: None });
        accept_all(intent);
    }
}

fn tor_path() -> bfd::Path {
    bfd::Path { remote: [192, 168, 1, 1].into(), local: None, interface: None, hops: 1 }
}

#[test]
fn a_dead_path_ends_the_session_and_its_paths_at_once_and_a_farewell_does_not() {
    let mut rig = Rig::new(&[], watched(false));
    rig.announce(&["10.99.0.0/16"], |_| ());
    let up = path_change(bfd::State::Up, bfd::Diagnostic::NONE, bfd::State::Up);
    let silent = path_change(bfd::State::Down, bfd::Diagnostic::DETECTION_TIME_EXPIRED, bfd::State::Up);
    let off = path_change(bfd::State::Down, bfd::Diagnostic::PEER_SIGNALED_DOWN, bfd::State::AdminDown);
    let mut hear = |change| {
        rig.speaker.handle_path_change(rig.now, &tor_path(), &change);
        rig.listen();
        (rig.speaker.peers(rig.now).remove(0).state, rig.path("10.99.0.0/16").is_some())
    };
    assert_eq!(hear(up), ("Established", true));
    assert_eq!(hear(off), ("Established", true));
    assert_eq!(hear(up), ("Established", true));
    assert_eq!(hear(silent), ("Idle", false));
    assert_eq!(rig.heard().last().unwrap(), "Cease: BFD Down");
}

#[test]
fn what_is_kept_over_a_restart_outlives_bfd_only_where_bfd_ended_with_the_peer() {
    for independent in [false, true] {
        let mut rig = Rig::new(&offer(true, true), |intent| {
            watched(false)(intent);
            intent.peers.get_mut("tor").unwrap().graceful_restart = Some(GracefulRestart::default());
        });
        rig.announce(&["10.99.0.0/16"], |_| ());
        hang_up(&mut rig);
        assert!(rig.path("10.99.0.0/16").is_some());
        let silent = bfd::Change {
            control_plane_independent: independent,
            ..path_change(bfd::State::Down, bfd::Diagnostic::DETECTION_TIME_EXPIRED, bfd::State::Up)
        };
        rig.speaker.handle_path_change(rig.now, &tor_path(), &silent);
        rig.listen();
        assert_eq!(rig.path("10.99.0.0/16").is_some(), !independent);
    }
}

#[test]
fn what_goes_down_after_a_quick_return_is_what_the_peer_had_before() {
    let up = path_change(bfd::State::Up, bfd::Diagnostic::NONE, bfd::State::Up);
    let down = path_change(bfd::State::Down, bfd::Diagnostic::PEER_SIGNALED_DOWN, bfd::State::Down);
    let of_its_own = bfd::Change { control_plane_independent: true, ..down };
    for (strict, changes, survives) in [
        (false, &[down][..], true),
        (true, &[down], true),
        // Once BFD is back, it speaks of the path.
        (false, &[down, up, down], false),
        // The end of the peer's BGP would not have been the end of its BFD.
        (false, &[of_its_own], false),
        (true, &[of_its_own], false),
    ] {
        let mut rig = Rig::new(&offer(true, true), |intent| {
            // Strict from the moment on when there is a session.
            watched(false)(intent);
            intent.peers.get_mut("tor").unwrap().graceful_restart = Some(GracefulRestart::default());
        });
        rig.announce(&["10.99.0.0/16"], |_| ());
        rig.speaker.handle_path_change(rig.now, &tor_path(), &up);
        let mut intent = Plan::reference(Families::Ipv4).intent("node1");
        intent.peers.retain(|name, _| name == "tor");
        watched(strict)(&mut intent);
        let tor = intent.peers.get_mut("tor").unwrap();
        (tor.passive, tor.graceful_restart) = (true, Some(GracefulRestart::default()));
        rig.speaker.handle_intent(rig.now, intent);
        hang_up(&mut rig);
        assert!(rig.come_again(&offer(true, true)));
        for change in changes {
            rig.speaker.handle_path_change(rig.now, &tor_path(), change);
            rig.listen();
        }
        let state = rig.speaker.peers(rig.now).remove(0).state;
        let seen = (state == "Established", rig.path("10.99.0.0/16").is_some());
        assert_eq!(seen, (survives, survives), "strict: {strict}, {changes:?}");
    }
}

#[test]
fn a_dead_path_ends_what_would_outlive_a_notification() {
    let mut rig = Rig::new(&offer(true, true), |intent| {
        watched(false)(intent);
        intent.peers.get_mut("tor").unwrap().graceful_restart = Some(GracefulRestart::default());
    });
    rig.announce(&["10.99.0.0/16"], |_| ());
    let silent = path_change(bfd::State::Down, bfd::Diagnostic::DETECTION_TIME_EXPIRED, bfd::State::Up);
    rig.speaker.handle_path_change(rig.now, &tor_path(), &silent);
    rig.listen();
    assert!(rig.path("10.99.0.0/16").is_none());
}

#[test]
fn a_path_that_nobody_watches_changes_nothing() {
    let mut rig = Rig::new(&[], watched(false));
    let silent = path_change(bfd::State::Down, bfd::Diagnostic::DETECTION_TIME_EXPIRED, bfd::State::Up);
    let other = bfd::Path { remote: [192, 168, 1, 2].into(), ..tor_path() };
    rig.speaker.handle_path_change(rig.now, &other, &silent);
    rig.listen();
    assert_eq!(rig.speaker.peers(rig.now)[0].state, "Established");
}

#[test]
fn a_strict_peer_has_no_session_before_its_path_is_up_nor_after_it_is_down() {
    let mut intent = Plan::reference(Families::Ipv4).intent("node1");
    intent.peers.retain(|name, _| name == "tor");
    watched(true)(&mut intent);
    let mut speaker = Speaker::new(1);
    let now = Instant::ORIGIN;
    speaker.handle_intent(now, intent.clone());
    let actions: Vec<Action> = std::iter::from_fn(|| speaker.poll_action()).collect();
    let [Action::WatchPaths(paths), Action::ChangeRoutes(_)] = &actions[..] else { panic!("{actions:?}") };
    assert!(paths.keys().eq([&tor_path()]));

    let dials = |speaker: &mut Speaker| {
        std::iter::from_fn(|| speaker.poll_action()).any(|action| matches!(action, Action::Dial { .. }))
    };
    let up = path_change(bfd::State::Up, bfd::Diagnostic::NONE, bfd::State::Up);
    speaker.handle_path_change(now, &tor_path(), &up);
    assert!(dials(&mut speaker));
    let silent = path_change(bfd::State::Down, bfd::Diagnostic::DETECTION_TIME_EXPIRED, bfd::State::Up);
    speaker.handle_path_change(now, &tor_path(), &silent);
    assert!(!dials(&mut speaker));
    assert_eq!(speaker.peers(now)[0].state, "Idle");
    assert_eq!(speaker.poll_timeout(), None);

    // No longer strict: there is nothing left to wait for.
    watched(false)(&mut intent);
    speaker.handle_intent(now, intent);
    assert!(dials(&mut speaker));
}
