//! A drain: peers move their traffic before anything is withdrawn (RFC 8326).

use std::time::Duration;

use routelet::prefix::Prefix;
use routelet::speaker::{Action, DrainStage, DrainTerms, DrainView};

use crate::plan::{METRIC, Plan};
use crate::policy::check_used_alone;
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
    let terms = DrainTerms { settle: Duration::from_secs(5), timeout, reason: "new switch".to_owned() };
    world.tell("tor2", |speaker, now, _| speaker.unwrap().handle_drain(now, terms.clone()));
}

fn undrain(world: &mut World) {
    world.tell("tor2", |speaker, now, _| speaker.unwrap().handle_undrain(now));
}

fn view(world: &mut World) -> Option<DrainView> {
    let mut view = None;
    world.tell("tor2", |speaker, _, _| view = speaker.unwrap().drain_view());
    view
}

fn stage(world: &mut World) -> Option<DrainStage> {
    view(world).map(|view| view.stage)
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
        let drained = DrainView { stage: DrainStage::Drained, waits_for: vec![], timed_out: false };
        assert_eq!(view(world), Some(drained));
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
        world.run_for(Duration::from_secs(4));
        let view = view(world).unwrap();
        assert!(view.timed_out && view.stage == DrainStage::Drained, "{view:?}");
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
