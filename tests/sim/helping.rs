//! A peer restarts (RFC 4724 §4.2, RFC 8538 §4): what stays of it, for how long, and what goes when.

use std::time::Duration;

use routelet::bgp::capability::{GracefulRestart, RestartFamily};
use routelet::bgp::{Capability, Notification};
use routelet::prefix::Family;
use routelet::speaker::Departure;
use routelet::speaker::intent::{self, Intent};

use crate::scripted::{Rig, accept_all};

const A: &str = "172.16.0.0/24";
const B: &str = "172.16.1.0/24";

/// What the peer offers: with the N bit, and forwarding kept, or without.
pub fn offer(notification: bool, forwarding: bool) -> Vec<Capability> {
    let families = vec![RestartFamily::of(Family::Ipv4Unicast, forwarding)];
    let restart = GracefulRestart { restarting: false, notification, restart_time: 60, families };
    vec![Capability::GracefulRestart(restart)]
}

fn graceful(intent: &mut Intent) {
    accept_all(intent);
    intent.peers.get_mut("tor").unwrap().graceful_restart = Some(intent::GracefulRestart::default());
}

/// A session over which the peer has announced two prefixes.
fn rig(capabilities: &[Capability]) -> Rig {
    let mut rig = Rig::new(capabilities, graceful);
    rig.announce(&[A, B], |_| ());
    rig.heard();
    rig
}

pub fn hang_up(rig: &mut Rig) {
    rig.speaker.handle_closed(rig.now, rig.connection, "reset");
    rig.listen();
    rig.wait(Duration::from_secs(1));
}

fn end_of_rib(rig: &mut Rig) {
    let mut octets = vec![];
    rig.codec.encode_end_of_rib(Family::Ipv4Unicast, &mut octets);
    rig.say(octets);
}

fn notify(rig: &mut Rig, notification: &Notification) {
    rig.say(rig.codec.encode_notification(notification));
    rig.wait(Duration::from_secs(1));
}

/// Whether each of the two is there and stale; `None` where it is gone.
fn seen(rig: &Rig) -> [Option<bool>; 2] {
    [A, B].map(|prefix| rig.path(prefix).filter(|path| path.best).map(|path| path.stale))
}

const FRESH: Option<bool> = Some(false);
const STALE: Option<bool> = Some(true);

#[test]
fn what_is_not_announced_again_goes_at_end_of_rib() {
    let mut rig = rig(&offer(false, true));
    hang_up(&mut rig);
    assert_eq!(seen(&rig), [STALE, STALE]);
    let shown = rig.speaker.peers(rig.now).remove(0).families.remove(0);
    assert_eq!((shown.stale, shown.stale_for), (2, Some(Duration::from_secs(59))));
    assert!(rig.come_again(&offer(false, true)));
    assert_eq!(seen(&rig), [STALE, STALE]);
    rig.announce(&[A], |_| ());
    assert_eq!(seen(&rig), [FRESH, STALE]);
    end_of_rib(&mut rig);
    assert_eq!(seen(&rig), [FRESH, None]);
    rig.wait(Duration::from_secs(85));
    assert_eq!(seen(&rig), [FRESH, None], "no timer is left over");
}

#[test]
fn nothing_stays_of_a_peer_that_has_not_offered_it_or_to_whom_we_have_not() {
    for capabilities in [vec![], vec![Capability::GracefulRestart(GracefulRestart::default())]] {
        let mut rig = rig(&capabilities);
        hang_up(&mut rig);
        assert_eq!(seen(&rig), [None, None]);
    }
    let mut rig = Rig::new(&offer(true, true), accept_all);
    rig.announce(&[A, B], |_| ());
    hang_up(&mut rig);
    assert_eq!(seen(&rig), [None, None]);
}

#[test]
fn a_peer_that_has_not_kept_forwarding_is_forgotten_when_it_is_back() {
    for back in [offer(false, false), vec![]] {
        let mut rig = rig(&offer(false, true));
        hang_up(&mut rig);
        assert!(rig.come_again(&back));
        assert_eq!(seen(&rig), [None, None]);
    }
}

#[test]
fn nobody_is_waited_for_longer_than_asked_and_nothing_kept_longer_than_configured() {
    let mut patient = rig(&offer(false, true));
    hang_up(&mut patient);
    patient.wait(Duration::from_secs(58));
    assert_eq!(seen(&patient), [STALE, STALE]);
    patient.wait(Duration::from_secs(2));
    assert_eq!(seen(&patient), [None, None]);

    let mut back = rig(&offer(false, true));
    hang_up(&mut back);
    assert!(back.come_again(&offer(false, true)));
    for _ in 0..8 {
        back.wait(Duration::from_secs(20));
        back.say(back.codec.encode_keepalive());
    }
    assert_eq!(seen(&back), [STALE, STALE], "161 s after the fall, without End-of-RIB");
    back.wait(Duration::from_secs(20));
    assert_eq!(seen(&back), [None, None], "180 s after it");
}

#[test]
fn a_notification_is_outlived_where_both_have_said_so_and_a_hard_reset_never() {
    let cease = Notification { code: 6, subcode: 4, data: vec![] };
    for (notification, n_bit, stays) in
        [(cease.clone(), false, None), (cease.clone(), true, STALE), (cease.into_hard_reset(), true, None)]
    {
        let mut rig = rig(&offer(n_bit, true));
        notify(&mut rig, &notification);
        assert_eq!(seen(&rig), [stays, stays], "{notification}, N bit: {n_bit}");
    }
    for (n_bit, stays) in [(false, None), (true, STALE)] {
        let mut silent = rig(&offer(n_bit, true));
        silent.wait(Duration::from_secs(91));
        assert_eq!(silent.heard().last().unwrap(), "Hold Timer Expired");
        assert_eq!(seen(&silent), [stays, stays], "silence, N bit: {n_bit}");
    }
}

#[test]
fn a_second_fall_ends_what_is_stale_unless_notifications_are_outlived_too() {
    for (n_bit, other) in [(false, None), (true, STALE)] {
        let mut rig = rig(&offer(n_bit, true));
        hang_up(&mut rig);
        assert!(rig.come_again(&offer(n_bit, true)));
        rig.announce(&[A], |_| ());
        hang_up(&mut rig);
        assert_eq!(seen(&rig), [STALE, other], "N bit: {n_bit}");
    }
}

#[test]
fn a_new_connection_means_that_the_old_one_is_dead() {
    let mut rig = rig(&offer(false, true));
    rig.wait(Duration::from_secs(10));
    rig.heard();
    assert!(rig.come_again(&offer(false, true)));
    assert!(!rig.heard().iter().any(|word| word.starts_with("Cease")), "the old one is not told");
    assert_eq!(seen(&rig), [STALE, STALE]);
    rig.announce(&[A, B], |_| ());
    end_of_rib(&mut rig);
    assert_eq!(seen(&rig), [FRESH, FRESH]);
}

#[test]
fn who_leaves_for_good_says_so_in_a_way_that_is_understood() {
    let heard = |n_bit, departure| {
        let mut rig = rig(&offer(n_bit, true));
        rig.speaker.handle_shutdown(rig.now, departure);
        rig.listen();
        rig.heard()
    };
    let farewell = "Cease: Administrative Shutdown \"routelet is stopping\"";
    assert_eq!(heard(false, Departure::ForGood), [farewell]);
    assert_eq!(heard(true, Departure::ForGood), [format!("Cease: Hard Reset ({farewell})")]);
    assert_eq!(heard(true, Departure::Restart), [""; 0]);
    let mut plain = rig(&[]);
    plain.speaker.handle_shutdown(plain.now, Departure::Restart);
    plain.listen();
    assert_eq!(plain.heard(), [farewell], "it would keep nothing anyway");
}
