//! A drain: peers move their traffic before anything is withdrawn (RFC 8326).

use std::time::Duration;

use routelet::bgp::Message;
use routelet::fib::Change;
use routelet::prefix::{Family, Prefix};
use routelet::rib::well_known::{GRACEFUL_SHUTDOWN, bears};
use routelet::speaker::{Action, DrainStage, DrainTerms, DrainView, Extent, Intent, Retreat};

use crate::liveness::watched;
use crate::plan::{METRIC, Plan};
use crate::policy::check_used_alone;
use crate::scripted::Rig;
use crate::world::{Kernel, Watcher, World};
use crate::{SETTLED, each_of, oracle};

/// Fails when `node1` is without a route to one of these.
struct NeverWithout(Vec<Prefix>);

impl Watcher for NeverWithout {
    fn see(&mut self, name: &'static str, _: &Action, kernel: &Kernel, _: bool) {
        for prefix in self.0.iter().filter(|_| name == "node1") {
            assert!(kernel.contains_key(&(*prefix, METRIC)), "no route to {prefix}");
        }
    }
}

/// Two ToRs at rest, and a watch on the routes through them.
fn each(scenario: impl Fn(&mut World, &Plan)) {
    each_of(Plan::with_two_tors, |world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        oracle::check(world, plan);
        world.clear_trace();
        world.watch(Box::new(NeverWithout(plan.member("tor").prefixes.clone())));
        scenario(world, plan);
    });
}

fn drain(world: &mut World, timeout: Duration) {
    let terms = DrainTerms {
        settle: Duration::from_secs(5),
        timeout,
        reason: "new switch".to_owned(),
        holds_last: false,
    };
    world.tell("tor2", |speaker, now, _| {
        speaker.unwrap().handle_drain(now, terms.clone());
    });
}

fn undrain(world: &mut World) {
    world.tell("tor2", |speaker, now, _| {
        speaker.unwrap().handle_undrain(now);
    });
}

fn view(world: &mut World) -> Option<DrainView> {
    let mut view = None;
    world.tell("tor2", |speaker, _, _| view = speaker.unwrap().drain_view());
    view
}

fn stage(world: &mut World) -> Option<DrainStage> {
    view(world).map(|view| view.stage)
}

fn check_view(view: Option<DrainView>, stage: DrainStage, cut_off: &[&str], timed_out: bool) {
    let view = view.unwrap();
    let shown: Vec<&str> = view.cut_off.iter().map(String::as_str).collect();
    assert_eq!((view.stage, &shown[..], view.timed_out), (stage, cut_off, timed_out), "{view:?}");
}

#[test]
fn traffic_moves_to_the_second_path_before_the_first_is_withdrawn() {
    each(|world, plan| {
        drain(world, Duration::from_secs(30));
        world.run_for(Duration::from_secs(2));
        assert_eq!(stage(world), Some(DrainStage::Settling));
        check_used_alone(world, plan, "tor");
        let of_tor2 = |world: &World| {
            world.paths("node1").iter().filter(|path| path.peer.as_deref() == Some("tor2")).count()
        };
        assert!(of_tor2(world) > 0, "it is still announced");
        assert_eq!(world.sent_notifications(6, 2), 0);
        world.run_for(Duration::from_secs(8));
        check_view(view(world), DrainStage::Drained, &[], false);
        assert_eq!(of_tor2(world), 0);
        assert!(world.sent_notifications(6, 2) > 0);
        world.run_for(SETTLED);
        assert_eq!(stage(world), Some(DrainStage::Drained), "nobody gets back in");
        check_used_alone(world, plan, "tor");
        undrain(world);
        world.run_for(SETTLED);
        assert_eq!(stage(world), None);
        oracle::check(world, plan);
    });
}

#[test]
fn a_drain_that_is_taken_back_in_the_middle_resets_nothing() {
    each(|world, plan| {
        drain(world, Duration::from_secs(30));
        world.run_for(Duration::from_secs(2));
        check_used_alone(world, plan, "tor");
        undrain(world);
        world.run_for(SETTLED);
        assert_eq!(world.seen("went down"), 0);
        oracle::check(world, plan);
    });
}

#[test]
fn a_second_drain_changes_nothing_about_the_first() {
    each(|world, _| {
        drain(world, Duration::from_secs(30));
        world.run_for(Duration::from_secs(4));
        drain(world, Duration::from_secs(300));
        world.run_for(Duration::from_secs(4));
        assert_eq!(stage(world), Some(DrainStage::Drained));
        drain(world, Duration::from_secs(30));
        assert_eq!(stage(world), Some(DrainStage::Drained));
    });
}

#[test]
fn time_that_is_up_before_peers_have_moved_is_told() {
    each(|world, _| {
        drain(world, Duration::from_secs(3));
        world.run_for(Duration::from_secs(6));
        check_view(view(world), DrainStage::Drained, &[], true);
    });
}

#[test]
fn a_change_of_configuration_is_taken_and_opens_no_session() {
    each(|world, plan| {
        drain(world, Duration::from_secs(30));
        world.run_for(Duration::from_secs(10));
        let mut changed = plan.intent("tor2");
        changed.peers.values_mut().for_each(|peer| peer.timers.hold = Duration::from_secs(30));
        world.configure("tor2", changed);
        world.run_for(SETTLED);
        assert_eq!(stage(world), Some(DrainStage::Drained));
        check_used_alone(world, plan, "tor");
        undrain(world);
        world.run_for(SETTLED);
        oracle::check(world, plan);
    });
}

/// Fails when a kernel route of `tor2` goes or changes.
struct Unmoved;

impl Watcher for Unmoved {
    fn see(&mut self, name: &'static str, action: &Action, kernel: &Kernel, _: bool) {
        let Action::ChangeRoutes(batch) = action else { return };
        for change in batch.changes.iter().filter(|_| name == "tor2") {
            // Which group routes refer to may change, where packets go may not.
            let same = match change {
                Change::Install(route) | Change::Replace(route) => {
                    kernel.get(&(route.prefix, route.metric)) == Some(&route.target)
                }
                Change::SetGroup(_) => true,
                Change::Remove { .. } | Change::RemoveGroup(_) => false,
            };
            assert!(same, "{change:?}");
        }
    }
}

#[test]
fn what_was_learned_stays_in_the_kernel_from_the_drain_to_its_end() {
    each_of(Plan::with_two_tors, |world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        assert!(!world.learned_routes("tor2").is_empty());
        world.watch(Box::new(Unmoved));
        drain(world, Duration::from_secs(30));
        world.run_for(Duration::from_secs(600));
        assert_eq!(stage(world), Some(DrainStage::Drained));
        undrain(world);
        world.run_for(SETTLED);
        oracle::check(world, plan);
    });
}

const THEIRS: &str = "172.16.0.0/24";
/// What the rig's node announces.
const OURS: &str = "10.244.1.0/24";

/// A node that announces its pod CIDR to a peer that has announced one prefix, over a path with BFD.
fn rig() -> Rig {
    let mut rig = Rig::new(&[], watched(false));
    rig.announce(&[THEIRS], |_| ());
    rig.heard();
    rig
}

fn drain_rig(rig: &mut Rig, settle: u64, timeout: u64) {
    let (settle, timeout) = (Duration::from_secs(settle), Duration::from_secs(timeout));
    assert!(rig.speaker.handle_drain(
        rig.now,
        DrainTerms { settle, timeout, reason: "new switch".to_owned(), holds_last: false }
    ));
    rig.listen();
}

fn rig_stage(rig: &Rig) -> DrainStage {
    rig.speaker.drain_stage().unwrap()
}

#[test]
fn a_peer_is_asked_then_told_nothing_then_left() {
    let mut rig = rig();
    drain_rig(&mut rig, 5, 30);
    let [Message::Update(update)] = &rig.heard[..] else { panic!("{:?}", rig.heard) };
    assert!(bears(&update.announced[0].attributes, GRACEFUL_SHUTDOWN));
    assert_eq!(rig.heard(), [format!("UPDATE {OURS}")]);
    rig.wait(Duration::from_millis(4_900));
    assert_eq!((rig_stage(&rig), rig.heard().len()), (DrainStage::Settling, 0));
    rig.wait(Duration::from_millis(200));
    let farewell = "Cease: Administrative Shutdown \"new switch\"";
    assert_eq!(rig.heard(), ["UPDATE ", farewell]);
    assert_eq!(rig_stage(&rig), DrainStage::Closing);
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig_stage(&rig), DrainStage::Drained);
    let shown = rig.speaker.peers(rig.now).remove(0);
    assert_eq!((shown.state, shown.last_error.as_deref()), ("Idle", Some("drained: new switch")));
    assert!(!rig.come_again(&[]), "nobody gets in");
}

#[test]
fn a_peer_with_news_of_what_is_ours_is_still_moving_and_one_with_other_news_is_not() {
    for (prefix, stage) in [(OURS, DrainStage::Settling), ("172.17.0.0/24", DrainStage::Closing)] {
        let mut rig = rig();
        drain_rig(&mut rig, 5, 30);
        rig.wait(Duration::from_secs(4));
        rig.announce(&[prefix], |_| ());
        rig.wait(Duration::from_millis(1_500));
        assert_eq!(rig_stage(&rig), stage, "{prefix}");
        rig.wait(Duration::from_secs(5));
        assert_eq!(rig_stage(&rig), DrainStage::Drained, "{prefix}");
        assert!(!rig.speaker.drain_view().unwrap().timed_out);
    }
}

#[test]
fn a_peer_that_never_comes_to_rest_is_not_waited_for_beyond_the_timeout() {
    let mut rig = rig();
    drain_rig(&mut rig, 5, 12);
    for _ in 0..11 {
        rig.wait(Duration::from_secs(1));
        rig.announce(&[OURS], |_| ());
    }
    assert_eq!(rig_stage(&rig), DrainStage::Settling);
    rig.heard();
    rig.wait(Duration::from_secs(3));
    assert_eq!(rig.heard().len(), 2, "it is told in the same order");
    check_view(rig.speaker.drain_view(), DrainStage::Drained, &[], true);
}

#[test]
fn a_peer_that_reads_nothing_is_named_and_left() {
    let mut rig = rig();
    rig.stalled = true;
    drain_rig(&mut rig, 5, 10);
    rig.wait(Duration::from_secs(9));
    let view = rig.speaker.drain_view().unwrap();
    assert_eq!((view.stage, &view.waits_for[..]), (DrainStage::Asking, &["tor".to_owned()][..]));
    rig.wait(Duration::from_secs(2));
    assert_eq!(rig_stage(&rig), DrainStage::Withdrawing);
    rig.wait(Duration::from_secs(6));
    check_view(rig.speaker.drain_view(), DrainStage::Drained, &["tor"], true);
}

#[test]
fn bfd_ends_after_the_sessions_and_returns_before_them() {
    let mut rig = rig();
    let watched = |rig: &mut Rig| std::mem::take(&mut rig.watched);
    watched(&mut rig);
    drain_rig(&mut rig, 5, 30);
    rig.wait(Duration::from_millis(5_500));
    assert_eq!((rig_stage(&rig), watched(&mut rig)), (DrainStage::Closing, vec![]));
    rig.wait(Duration::from_secs(1));
    assert_eq!(watched(&mut rig), [0]);
    assert!(rig.speaker.handle_undrain(rig.now) && !rig.speaker.handle_undrain(rig.now));
    rig.listen();
    assert_eq!(watched(&mut rig), [1]);
}

/// Drained, with the peer's path kept, and taken back.
fn undrained() -> Rig {
    let mut rig = rig();
    drain_rig(&mut rig, 0, 0);
    rig.wait(Duration::from_secs(24 * 3600));
    assert!(rig.path(THEIRS).is_some_and(|path| path.best && path.stale));
    let family = rig.speaker.peers(rig.now).remove(0).families.remove(0);
    assert_eq!((family.stale, family.stale_for), (1, None));
    assert!(rig.speaker.handle_undrain(rig.now));
    rig.listen();
    rig
}

#[test]
fn a_path_kept_while_drained_is_confirmed_by_its_peer_or_goes_at_end_of_rib() {
    for confirmed in [true, false] {
        let mut rig = undrained();
        // It offers no graceful restart, and none is needed.
        assert!(rig.come_again(&[]));
        assert!(rig.path(THEIRS).is_some_and(|path| path.best && path.stale));
        if confirmed {
            rig.announce(&[THEIRS], |_| ());
        }
        let mut octets = vec![];
        rig.codec.encode_end_of_rib(Family::Ipv4Unicast, &mut octets);
        rig.say(octets);
        assert_eq!(rig.path(THEIRS).map(|path| path.stale), confirmed.then_some(false));
        let announced = rig.heard();
        assert!(announced.contains(&format!("UPDATE {OURS}")), "{announced:?}");
    }
}

#[test]
fn a_path_whose_peer_does_not_return_after_a_drain_goes_in_time() {
    let mut rig = undrained();
    rig.wait(Duration::from_secs(119));
    assert!(rig.path(THEIRS).is_some());
    rig.wait(Duration::from_secs(2));
    assert!(rig.path(THEIRS).is_none());
}

/// What the objects say from now on.
fn says(rig: &mut Rig, extent: Option<Extent>) {
    let mut intent = rig_intent();
    let why = "the Node is annotated".to_owned();
    intent.retreat = extent.map(|extent| Retreat { extent, why, ends_daemon: true });
    rig.speaker.handle_intent(rig.now, intent);
    rig.listen();
}

/// The intent of [`rig`].
fn rig_intent() -> Intent {
    let mut kept = None;
    Rig::connected(|intent| {
        watched(false)(intent);
        kept = Some(intent.clone());
    });
    kept.unwrap()
}

#[test]
fn objects_ask_for_a_drain_and_take_it_back() {
    let mut rig = rig();
    says(&mut rig, Some(Extent::Everything));
    assert_eq!(rig.heard(), [format!("UPDATE {OURS}")]);
    assert!(rig.speaker.drain_view().is_some_and(|drain| drain.asked_by_objects));
    rig.wait(Duration::from_secs(7));
    assert_eq!(rig_stage(&rig), DrainStage::Drained);
    let farewell = "Cease: Administrative Shutdown \"the Node is annotated\"";
    assert_eq!(rig.heard(), ["UPDATE ", farewell]);
    says(&mut rig, None);
    assert_eq!(rig.speaker.drain_stage(), None);
    assert!(rig.come_again(&[]), "it is back");
}

#[test]
fn service_addresses_alone_leave_no_session_and_no_pod_cidr() {
    let mut rig = rig();
    says(&mut rig, Some(Extent::ServiceAddresses));
    rig.wait(Duration::from_secs(60));
    assert_eq!((rig.speaker.drain_stage(), rig.speaker.originates_all()), (None, true));
    assert!(rig.heard().iter().all(|heard| heard == "Keepalive"));
}

#[test]
fn a_drain_ends_when_neither_a_person_nor_the_objects_ask() {
    for person_first in [true, false] {
        let mut rig = rig();
        if person_first {
            drain_rig(&mut rig, 5, 30);
        }
        says(&mut rig, Some(Extent::Everything));
        if !person_first {
            let terms = DrainTerms::of_shutdown(Duration::from_secs(8), "reboot");
            assert!(!rig.speaker.handle_drain(rig.now, terms), "there is one");
        }
        assert!(!rig.speaker.handle_undrain(rig.now), "the objects still ask");
        rig.wait(Duration::from_secs(7));
        assert_eq!(rig_stage(&rig), DrainStage::Drained);
        says(&mut rig, None);
        assert_eq!(rig.speaker.drain_stage(), None);
        let mut rig = self::rig();
        drain_rig(&mut rig, 5, 30);
        says(&mut rig, Some(Extent::Everything));
        says(&mut rig, None);
        assert_eq!(rig_stage(&rig), DrainStage::Settling, "a person still asks");
        assert!(rig.speaker.handle_undrain(rig.now));
    }
}

#[test]
fn a_node_that_starts_drained_lets_nobody_in() {
    let mut rig = Rig::connected(|intent| {
        let why = "the Node is annotated".to_owned();
        intent.retreat = Some(Retreat { extent: Extent::Everything, why, ends_daemon: true });
    });
    rig.wait(Duration::from_secs(2));
    assert_eq!(rig_stage(&rig), DrainStage::Drained);
    assert!(!rig.come_again(&[]));
}
