//! The gate before the first pods: what it waits for, and that nobody waits in a circle.

use std::collections::BTreeMap;
use std::time::Duration;

use routelet::bgp::capability::GracefulRestart;
use routelet::bgp::{Capability, Codec, Notification, Reason};
use routelet::prefix::Family;
use routelet::speaker::intent::GateTerms;
use routelet::speaker::{Intent, Speaker};

use crate::each_of;
use crate::plan::Plan;
use crate::scripted::Rig;
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn requires(peers: u32, timeout: u64) -> impl Fn(&mut Intent) {
    move |intent| {
        intent.gate = GateTerms { required_peers: peers, timeout: Duration::from_secs(timeout) };
    }
}

fn promise() -> Capability {
    Capability::GracefulRestart(GracefulRestart::default())
}

/// A session over which the peer has said nothing yet.
fn established(capabilities: &[Capability], change: impl Fn(&mut Intent)) -> Rig {
    let codec = Rig::new(capabilities, |_| ()).codec;
    let mut rig = Rig::connected(change);
    rig.codec = Codec { families: vec![Family::Ipv4Unicast], ..codec };
    rig.open(capabilities);
    rig.say(rig.codec.encode_keepalive());
    rig
}

fn end_of_rib(rig: &mut Rig) {
    let mut octets = vec![];
    rig.codec.encode_end_of_rib(Family::Ipv4Unicast, &mut octets);
    rig.say(octets);
}

fn waits_for(rig: &Rig) -> String {
    assert_eq!(rig.speaker.gate_is_open(), rig.speaker.gate_waits_for().is_empty());
    rig.speaker.gate_waits_for().join("; ")
}

#[test]
fn it_opens_with_the_first_end_of_rib_that_is_promised() {
    let mut rig = established(&[promise()], requires(1, 60));
    rig.wait(20 * SECOND);
    let expected = "0 of 1 peers have told all they have (End-of-RIB); missing: tor";
    assert_eq!(waits_for(&rig), expected, "it is established, and has not told all");
    end_of_rib(&mut rig);
    assert_eq!(waits_for(&rig), "");
    assert!(rig.notices.iter().any(|notice| notice == "can forward for pods"), "{:?}", rig.notices);
}

#[test]
fn a_peer_that_promises_none_is_given_a_few_seconds() {
    let mut rig = established(&[], requires(1, 60));
    rig.wait(4 * SECOND);
    assert_ne!(waits_for(&rig), "");
    rig.wait(2 * SECOND);
    assert_eq!(waits_for(&rig), "");
}

#[test]
fn without_its_own_prefixes_delivered_nothing_else_counts() {
    let mut rig = established(&[promise()], requires(0, 60));
    assert!(rig.speaker.gate_is_open(), "no peer is required");
    let mut speaker = Speaker::new(1);
    let mut intent = Plan::reference(crate::plan::Families::Ipv4).intent("node1");
    requires(0, 60)(&mut intent);
    speaker.handle_intent(rig.now, intent);
    while speaker.poll_action().is_some() {}
    assert!(!speaker.gate_is_open() && !speaker.originates_all(), "there is no bridge");
    speaker.handle_timeout(rig.now + 3600 * SECOND);
    while speaker.poll_action().is_some() {}
    assert!(!speaker.gate_is_open(), "no time makes up for that");
    rig.wait(SECOND);
}

#[test]
fn time_that_is_up_opens_it_and_says_who_is_missing() {
    let mut rig = established(&[promise()], requires(2, 30));
    end_of_rib(&mut rig);
    rig.wait(29 * SECOND);
    assert_eq!(
        waits_for(&rig),
        "1 of 2 peers have told all they have (End-of-RIB); missing: no other is configured"
    );
    rig.wait(2 * SECOND);
    assert_eq!(waits_for(&rig), "");
    let mut rig = established(&[promise()], requires(1, 30));
    rig.wait(31 * SECOND);
    assert_eq!(waits_for(&rig), "");
    let expected =
        "can forward for pods, but only 0 of 1 peers have told what they have; waited in vain for tor";
    assert!(rig.notices.iter().any(|notice| notice == expected), "{:?}", rig.notices);
}

#[test]
fn once_open_it_stays_open_whoever_goes() {
    let mut rig = established(&[promise()], requires(1, 60));
    end_of_rib(&mut rig);
    assert_eq!(waits_for(&rig), "");
    let farewell = Notification::with_communication(Reason::ADMINISTRATIVE_SHUTDOWN, "new switch");
    rig.say(rig.codec.encode_notification(&farewell));
    rig.wait(600 * SECOND);
    assert_eq!((waits_for(&rig), rig.speaker.originates_all()), (String::new(), true));
    rig.speaker.handle_bridge(rig.now, false);
    assert!(!rig.speaker.originates_all(), "that is for the node itself to mend");
}

fn open(world: &mut World, plan: &Plan) -> BTreeMap<&'static str, bool> {
    let look = |member: &crate::plan::Member| {
        let mut open = false;
        world.tell(member.name, |speaker, _, _| open = speaker.is_some_and(|s| s.gate_is_open()));
        (member.name, open)
    };
    plan.members.iter().map(look).collect()
}

#[test]
fn all_that_start_together_and_require_everybody_wait_for_each_other_but_not_for_long() {
    for restarted in [false, true] {
        each_of(Plan::with_two_tors, |world, plan| {
            for member in &plan.members {
                let mut intent = plan.intent(member.name);
                let peers = u32::try_from(intent.peers.len()).unwrap();
                requires(peers, 24 * 3600)(&mut intent);
                world.configure(member.name, intent);
            }
            if restarted {
                // With routes in every kernel, everybody also waits to choose among paths (RFC 4724 §4.1).
                world.start_together();
                world.run_for(30 * SECOND);
                plan.members.iter().for_each(|member| world.stop(member.name));
            }
            world.start_together();
            assert!(open(world, plan).values().any(|open| !open), "they do wait");
            world.run_for(30 * SECOND);
            let open = open(world, plan);
            assert!(open.values().all(|open| *open), "restarted: {restarted}; {open:?}");
        });
    }
}
