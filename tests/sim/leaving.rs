//! A node that leaves lets go of service addresses: peers are asked first, and the last one of all nodes is
//! held on to (RFC 8326).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use routelet::bgp::{Codec, Message};
use routelet::prefix::{Family, Prefix};
use routelet::rib::well_known::{GRACEFUL_SHUTDOWN, bears};
use routelet::speaker::intent::{Origination, Policy, PrefixRule, Scope};
use routelet::speaker::{DrainStage, DrainTerms, Extent, Intent, Retreat, Wake};

use crate::scripted::Rig;

const SERVICE: &str = "198.51.100.7/32";
const OTHER: &str = "198.51.100.8/32";
const PODS: &str = "10.244.1.0/24";
const SECOND: Duration = Duration::from_secs(1);

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Two addresses that the node announces to the ToR.
fn serving(intent: &mut Intent) {
    let origination = Arc::new(Origination {
        scope: Scope { mesh: true, peers: None },
        communities: vec![],
        large_communities: vec![],
        local_pref: None,
        weight: None,
        aggregate: false,
    });
    let both = [SERVICE, OTHER].map(prefix);
    intent.originated = Arc::new(both.iter().map(|prefix| (*prefix, origination.clone())).collect());
    let [service, other] = both;
    let peer = intent.peers.get_mut("tor").unwrap();
    peer.export = Policy::accepting([service, other, prefix(PODS)].map(PrefixRule::exactly));
}

/// What the objects say of the node.
#[derive(Clone, Copy)]
struct Says<'a> {
    cordoned: bool,
    /// What no other node announces that stays.
    last: &'a [&'a str],
}

const STAYS: Says<'static> = Says { cordoned: false, last: &[] };
const LEAVES: Says<'static> = Says { cordoned: true, last: &[] };

fn apply(intent: &mut Intent, says: Says<'_>) {
    serving(intent);
    let why = "the Node is cordoned".to_owned();
    let retreat = Retreat { extent: Extent::ServiceAddresses, why, ends_daemon: false };
    intent.retreat = says.cordoned.then_some(retreat);
    intent.last_announced = says.last.iter().copied().map(prefix).collect();
}

fn rig(says: Says<'_>) -> Rig {
    let codec = Rig::new(&[], |_| ()).codec;
    let mut rig = Rig::connected(|intent| apply(intent, says));
    rig.codec = Codec { families: vec![Family::Ipv4Unicast], ..codec };
    rig.open(&[]);
    rig.say(rig.codec.encode_keepalive());
    rig
}

fn say(rig: &mut Rig, says: Says<'_>) {
    let mut intent = None;
    Rig::connected(|first| {
        apply(first, says);
        intent = Some(first.clone());
    });
    rig.speaker.handle_intent(rig.now, intent.unwrap());
    rig.listen();
}

/// What the peer was told since the last call: with GRACEFUL_SHUTDOWN, without, and no more.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    asked: BTreeSet<String>,
    plain: BTreeSet<String>,
    withdrawn: BTreeSet<String>,
}

impl Told {
    fn of(rig: &mut Rig) -> Told {
        let mut told = Told::default();
        for message in std::mem::take(&mut rig.heard) {
            let Message::Update(update) = message else { continue };
            told.withdrawn.extend(update.withdrawn.iter().map(ToString::to_string));
            for announced in update.announced {
                let asked = bears(&announced.attributes, GRACEFUL_SHUTDOWN);
                let list = if asked { &mut told.asked } else { &mut told.plain };
                list.extend(announced.prefixes.iter().map(ToString::to_string));
            }
        }
        told
    }
}

fn told(asked: &[&str], plain: &[&str], withdrawn: &[&str]) -> Told {
    let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    Told { asked: owned(asked), plain: owned(plain), withdrawn: owned(withdrawn) }
}

/// How many are asked about and withdrawn, and which are held.
fn view(rig: &Rig) -> (u64, u64, Vec<String>) {
    let view = rig.speaker.retreat_view().unwrap();
    (view.asked, view.withdrawn, view.held.iter().map(ToString::to_string).collect())
}

#[test]
fn a_cordon_asks_then_withdraws_service_addresses_and_leaves_pods_alone() {
    let mut rig = rig(STAYS);
    assert_eq!(Told::of(&mut rig), told(&[], &[SERVICE, OTHER, PODS], &[]));
    say(&mut rig, LEAVES);
    assert_eq!(Told::of(&mut rig), told(&[SERVICE, OTHER], &[], &[]));
    assert_eq!(view(&rig), (2, 0, vec![]));
    assert_eq!(rig.speaker.poll_timeout(), Some((rig.now + 5 * SECOND, Wake::Retreat)));
    rig.wait(4 * SECOND);
    assert_eq!(Told::of(&mut rig), Told::default(), "peers have their time");
    rig.wait(2 * SECOND);
    assert_eq!(Told::of(&mut rig), told(&[], &[], &[SERVICE, OTHER]));
    assert_eq!(view(&rig), (0, 2, vec![]));
    rig.wait(50 * SECOND);
    assert_eq!((rig.speaker.drain_stage(), rig.speaker.originates_all()), (None, true));
    say(&mut rig, STAYS);
    assert_eq!(Told::of(&mut rig), told(&[], &[SERVICE, OTHER], &[]));
    assert_eq!(rig.speaker.retreat_view(), None);
}

#[test]
fn an_uncordon_in_the_middle_withdraws_nothing() {
    let mut rig = rig(STAYS);
    Told::of(&mut rig);
    say(&mut rig, LEAVES);
    rig.wait(3 * SECOND);
    say(&mut rig, STAYS);
    assert_eq!(Told::of(&mut rig), told(&[SERVICE, OTHER], &[SERVICE, OTHER], &[]), "asked, then as before");
    rig.wait(60 * SECOND);
    assert_eq!(Told::of(&mut rig), Told::default());
}

#[test]
fn the_last_one_is_held_until_another_node_has_had_it_for_a_while() {
    let mut rig = rig(STAYS);
    Told::of(&mut rig);
    say(&mut rig, Says { cordoned: true, last: &[SERVICE] });
    assert_eq!(
        Told::of(&mut rig),
        told(&[SERVICE, OTHER], &[], &[]),
        "others are preferred as soon as they are there"
    );
    // The peer says nothing, so that its session has 90 s.
    rig.wait(20 * SECOND);
    assert_eq!(Told::of(&mut rig), told(&[], &[], &[OTHER]));
    assert_eq!(view(&rig), (0, 1, vec![SERVICE.to_owned()]));
    let notice = format!("holding on to {SERVICE}: no other node that stays announces it");
    assert_eq!(rig.notices.iter().filter(|line| **line == notice).count(), 1);
    say(&mut rig, LEAVES);
    rig.wait(4 * SECOND);
    assert_eq!(Told::of(&mut rig), Told::default());
    // Gone again before we have let go.
    say(&mut rig, Says { cordoned: true, last: &[SERVICE] });
    rig.wait(20 * SECOND);
    assert_eq!(Told::of(&mut rig), Told::default());
    say(&mut rig, LEAVES);
    rig.wait(6 * SECOND);
    assert_eq!(Told::of(&mut rig), told(&[], &[], &[SERVICE]));
    // What no node announces any more is better announced by one that leaves.
    say(&mut rig, Says { cordoned: true, last: &[OTHER] });
    assert_eq!(Told::of(&mut rig), told(&[OTHER], &[], &[]));
}

#[test]
fn a_daemon_that_starts_on_a_cordoned_node_announces_only_what_nobody_else_does() {
    let mut rig = rig(Says { cordoned: true, last: &[OTHER] });
    assert_eq!(Told::of(&mut rig), told(&[OTHER], &[PODS], &[]));
    assert_eq!(view(&rig), (0, 1, vec![OTHER.to_owned()]));
}

fn stage(rig: &Rig) -> Option<DrainStage> {
    rig.speaker.drain_stage()
}

#[test]
fn a_drain_by_hand_holds_on_to_the_last_one_until_its_time_is_up() {
    let mut rig = rig(Says { cordoned: false, last: &[SERVICE] });
    let (settle, timeout) = (5 * SECOND, 30 * SECOND);
    let reason = "new switch".to_owned();
    assert!(rig.speaker.handle_drain(rig.now, DrainTerms { settle, timeout, reason, holds_last: false }));
    rig.listen();
    rig.wait(29 * SECOND);
    assert_eq!(stage(&rig), Some(DrainStage::Settling));
    let drain = rig.speaker.drain_view().unwrap();
    assert_eq!(drain.holds, [prefix(SERVICE)]);
    rig.wait(3 * SECOND);
    assert_eq!(stage(&rig), Some(DrainStage::Drained));
}

/// The objects ask for a full drain.
fn everything(last: &[&str]) -> Intent {
    let mut intent = None;
    Rig::connected(|first| {
        apply(first, Says { cordoned: true, last });
        first.retreat.as_mut().unwrap().extent = Extent::Everything;
        intent = Some(first.clone());
    });
    intent.unwrap()
}

#[test]
fn a_daemon_that_is_told_to_end_holds_on_no_longer_than_it_may() {
    let mut rig = rig(STAYS);
    rig.speaker.handle_intent(rig.now, everything(&[SERVICE]));
    rig.listen();
    rig.wait(SECOND);
    // Sooner than the drain that the objects ask for would be over.
    assert!(!rig.speaker.handle_drain(rig.now, DrainTerms::of_shutdown(9 * SECOND, "reboot")));
    rig.listen();
    rig.wait(7 * SECOND);
    assert_eq!(stage(&rig), Some(DrainStage::Settling), "it holds on");
    rig.wait(4 * SECOND);
    assert_eq!(stage(&rig), Some(DrainStage::Drained));
}

#[test]
fn a_drain_that_the_objects_ask_for_holds_on_for_as_long_as_it_takes() {
    let mut rig = rig(STAYS);
    Told::of(&mut rig);
    rig.speaker.handle_intent(rig.now, everything(&[SERVICE]));
    rig.listen();
    rig.wait(60 * SECOND);
    assert_eq!(stage(&rig), Some(DrainStage::Settling), "it holds on");
    assert_eq!(Told::of(&mut rig).withdrawn, told(&[], &[], &[OTHER]).withdrawn);
    rig.speaker.handle_intent(rig.now, everything(&[]));
    rig.listen();
    rig.wait(4 * SECOND);
    assert_eq!(stage(&rig), Some(DrainStage::Settling), "peers have their time");
    rig.wait(4 * SECOND);
    assert_eq!(stage(&rig), Some(DrainStage::Drained));
}
