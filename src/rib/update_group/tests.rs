//! What members of a group believe after what they have been told, whoever says what and falls behind when.

use super::*;
use crate::bgp::PathAttributes;

const FAMILY: Family = Family::Ipv4Unicast;

fn attributes(med: u32) -> Arc<PathAttributes> {
    let originated = PathAttributes::originated("192.0.2.1".parse().unwrap());
    Arc::new(PathAttributes { med: Some(med), ..originated })
}

/// A group, and what each of its members has heard and therefore believes: MEDs by place.
struct Rig {
    group: UpdateGroup,
    holds: Holds,
    wordings: Vec<Arc<PathAttributes>>,
    believed: BTreeMap<PeerId, BTreeMap<u32, u32>>,
    /// What should be known: MED and source, by place.
    wanted: BTreeMap<u32, (u32, Source)>,
    /// Places told of, in all, by member.
    heard: BTreeMap<PeerId, usize>,
}

fn peer(id: u32) -> Source {
    Source::Peer(PeerId::new(id))
}

impl Rig {
    fn new(members: u32) -> Rig {
        let mut rig = Rig {
            group: UpdateGroup::default(),
            holds: Holds::default(),
            wordings: (0..10).map(attributes).collect(),
            believed: BTreeMap::new(),
            wanted: BTreeMap::new(),
            heard: BTreeMap::new(),
        };
        (1..=members).for_each(|id| rig.join(id));
        rig
    }

    fn join(&mut self, id: u32) {
        self.group.join(PeerId::new(id));
        self.believed.insert(PeerId::new(id), BTreeMap::new());
        self.heard.insert(PeerId::new(id), 0);
    }

    fn set(&mut self, at: u32, told: Option<(u32, Source)>) {
        match told {
            Some(told) => self.wanted.insert(at, told),
            None => self.wanted.remove(&at),
        };
        let told = told.map(|(med, source)| (&self.wordings[med as usize], source));
        self.group.set(Place::new(FAMILY, at), told, &mut self.holds);
    }

    fn hear(&mut self, news: Vec<News>, told: &[PeerId]) {
        for news in news {
            for id in told.iter().filter(|id| news.audience.has(**id)) {
                *self.heard.get_mut(id).unwrap() += news.places.len();
                let believed = self.believed.get_mut(id).unwrap();
                for place in &news.places {
                    let told = news.attributes.as_ref().and_then(|(attributes, _)| attributes.med);
                    if let Some(med) = told {
                        believed.insert(place.number(), med);
                    } else {
                        let known = believed.remove(&place.number());
                        assert!(known.is_some(), "{id:?} has not been told of {place:?}");
                    }
                }
            }
        }
    }

    fn tell_crowd(&mut self, most: usize) {
        let news = self.group.poll_crowd(most, &mut self.holds);
        let told: Vec<PeerId> = self.group.in_step().collect();
        self.hear(news, &told);
        for id in self.group.caught_up().collect::<Vec<_>>() {
            self.group.fall_in(id);
        }
    }

    fn tell_alone(&mut self, id: u32, most: usize) {
        let news = self.group.poll_member(PeerId::new(id), most, &mut self.holds);
        self.hear(news, &[PeerId::new(id)]);
        self.group.fall_in(PeerId::new(id));
    }

    /// Tells everybody everything, and looks whether all know what they should.
    fn settle(&mut self) {
        self.tell_crowd(usize::MAX);
        for id in self.group.apart().collect::<Vec<_>>() {
            self.tell_alone(id.number(), usize::MAX);
        }
        self.check();
    }

    fn check(&self) {
        for (id, believed) in &self.believed {
            let expected = self.wanted.iter().filter(|(_, (_, source))| *source != Source::Peer(*id));
            let expected: BTreeMap<u32, u32> = expected.map(|(at, (med, _))| (*at, *med)).collect();
            assert_eq!(*believed, expected, "{id:?}");
            assert_eq!(self.group.len(*id, FAMILY), expected.len() as u64, "{id:?}");
            assert!(self.group.has_told_all(*id));
            for at in 0..20 {
                let told = self.group.told(*id, Place::new(FAMILY, at)).and_then(|told| told.med);
                assert_eq!(told, expected.get(&at).copied(), "{id:?} of {at}");
            }
        }
        let wordings: BTreeSet<_> = self.wanted.values().collect();
        assert_eq!(self.group.statements.len(), wordings.len(), "statements are let go");
        assert!((0..20).all(|at| !self.holds.has(Place::new(FAMILY, at))));
    }

    fn heard(&self, id: u32) -> usize {
        self.heard[&PeerId::new(id)]
    }
}

#[test]
fn nobody_is_told_what_it_has_said_itself_whoever_says_it_next() {
    // Nobody, ourselves, a member, another member, somebody who is none.
    let sources = [None, Some(Source::Local), Some(peer(1)), Some(peer(2)), Some(peer(9))];
    for before in sources {
        for after in sources {
            for same in [true, false] {
                let mut rig = Rig::new(3);
                rig.set(0, before.map(|source| (1, source)));
                rig.settle();
                rig.set(0, after.map(|source| (if same { 1 } else { 2 }, source)));
                rig.settle();
                let most = usize::from(before.is_some()) + usize::from(after.is_some() != before.is_some());
                if same {
                    assert!(rig.heard(3) <= most, "{before:?} to {after:?}: it is no news to others");
                }
            }
        }
    }
}

#[test]
fn only_the_latest_state_is_told_and_only_if_it_is_news() {
    let mut rig = Rig::new(2);
    rig.set(0, Some((1, peer(1))));
    rig.set(0, Some((2, peer(1))));
    rig.settle();
    assert_eq!((rig.heard(1), rig.heard(2)), (0, 1));
    rig.set(0, None);
    assert!(rig.holds.has(Place::new(FAMILY, 0)), "the place is not another's yet");
    rig.set(0, Some((2, peer(1))));
    rig.set(1, Some((1, peer(1))));
    rig.set(1, None);
    assert_eq!(rig.group.waiting(), 0);
    rig.settle();
    assert_eq!(rig.heard(2), 1);
}

#[test]
fn a_slow_member_holds_nobody_and_hears_the_latest_alone() {
    let mut rig = Rig::new(3);
    rig.set(0, Some((0, Source::Local)));
    rig.settle();
    rig.set(1, Some((5, Source::Local)));
    rig.group.fall_behind(PeerId::new(2), &mut rig.holds);
    for round in 0..1000 {
        for at in 0..10 {
            rig.set(at, Some(((round + at) % 7, peer(1 + round % 3))));
        }
        rig.tell_crowd(usize::MAX);
        assert!(rig.group.waiting() == 0 && rig.group.apart[&PeerId::new(2)].len() <= 10);
    }
    assert!(
        rig.group.apart[&PeerId::new(2)].mentioned() <= 100,
        "nor is anything kept of what was to be told"
    );
    let (heard, fast) = (rig.heard(2), rig.heard(3));
    rig.settle();
    assert!(fast > 6000 && rig.heard(2) - heard <= 10, "{fast}");
    assert!(!rig.group.is_apart(PeerId::new(2)), "it is in step again");
    rig.set(0, None);
    rig.settle();
}

#[test]
fn what_waits_is_taken_in_portions_packed_and_in_order() {
    let mut rig = Rig::new(1);
    (0..20).for_each(|at| rig.set(at, Some((at % 2, Source::Local))));
    let mut polled = |most| {
        let news = rig.group.poll_crowd(most, &mut rig.holds);
        let places = |news: &News| news.places.iter().map(|place| place.number()).collect::<Vec<_>>();
        news.iter().map(places).collect::<Vec<_>>()
    };
    assert_eq!(polled(6), [[0, 2, 4, 6, 8, 10]]);
    assert_eq!(polled(6), [vec![12, 14, 16, 18], vec![1, 3]]);
    assert_eq!(polled(100), [[5, 7, 9, 11, 13, 15, 17, 19]]);
    assert!(polled(100).is_empty());
}

#[test]
fn whoever_comes_later_walks_through_what_is_known() {
    let mut rig = Rig::new(2);
    (0..20).for_each(|at| rig.set(at, Some((at % 3, peer(1 + at % 3)))));
    rig.settle();
    rig.join(3);
    rig.tell_alone(3, 8);
    // Behind the walk and ahead of it.
    for at in [0, 1, 18, 19] {
        rig.set(at, None);
    }
    rig.set(2, Some((7, Source::Local)));
    rig.set(17, Some((8, Source::Local)));
    rig.settle();
    assert!(!rig.group.is_apart(PeerId::new(3)));
    assert!(rig.heard(3) <= 20);
}

#[test]
fn a_refresh_tells_one_member_again_and_withdraws_what_goes_meanwhile() {
    let mut rig = Rig::new(2);
    (0..10).for_each(|at| rig.set(at, Some((at % 3, peer(1 + at % 3)))));
    rig.settle();
    let (first, second) = (rig.heard(1), rig.heard(2));
    rig.group.tell_again(PeerId::new(2), FAMILY, &mut rig.holds);
    assert_eq!(rig.group.len(PeerId::new(2), FAMILY), second as u64);
    rig.tell_alone(2, 3);
    rig.set(0, None);
    rig.set(9, None);
    rig.set(8, Some((9, Source::Local)));
    rig.set(12, Some((9, Source::Local)));
    rig.settle();
    assert_eq!(rig.heard(1) - first, 2, "the other is told the news alone, but for what it said itself");
    assert!(rig.heard(2) - second >= second, "all again");
    // Once more, from the middle of it.
    rig.group.tell_again(PeerId::new(2), FAMILY, &mut rig.holds);
    rig.tell_alone(2, 3);
    rig.group.tell_again(PeerId::new(2), FAMILY, &mut rig.holds);
    rig.settle();
}

#[test]
fn what_is_replaced_by_what_fits_into_no_message_ahead_of_a_refresh_is_withdrawn() {
    let mut rig = Rig::new(2);
    (0..3).for_each(|at| rig.set(at, Some((1, Source::Local))));
    rig.settle();
    rig.group.tell_again(PeerId::new(2), FAMILY, &mut rig.holds);
    rig.set(1, Some((2, Source::Local)));
    rig.set(2, Some((2, Source::Local)));
    let news = rig.group.poll_crowd(usize::MAX, &mut rig.holds);
    let (_, unfit) = news[0].attributes.clone().unwrap();
    rig.group.forget(None, unfit, FAMILY, 2);
    let of_two =
        |rig: &Rig, at| rig.group.told(PeerId::new(2), Place::new(FAMILY, at)).and_then(|told| told.med);
    assert_eq!(of_two(&rig, 1), Some(1), "the refresh has not come by yet");
    rig.set(1, None);
    rig.set(2, None);
    rig.believed.insert(PeerId::new(1), BTreeMap::from([(0, 1)]));
    rig.settle();
}

#[test]
fn a_group_splits_with_what_each_has_been_told() {
    let mut rig = Rig::new(4);
    (0..10).for_each(|at| rig.set(at, Some((at % 3, peer(1 + at % 4)))));
    rig.settle();
    rig.group.fall_behind(PeerId::new(4), &mut rig.holds);
    rig.set(0, Some((5, Source::Local)));
    rig.set(1, None);
    rig.set(2, Some((2, peer(2))));
    let other = rig.group.split(&[PeerId::new(2), PeerId::new(4)], &mut rig.holds);
    let mut second = Rig { group: other, ..Rig::new(0) };
    second.wordings.clone_from(&rig.wordings);
    second.wanted = rig.wanted.clone();
    for id in [2, 4].map(PeerId::new) {
        second.believed.insert(id, rig.believed.remove(&id).unwrap());
        second.heard.insert(id, 0);
    }
    // Both hold the place of what is to be withdrawn: here each by itself.
    second.holds = Holds::default();
    second.holds.hold(Place::new(FAMILY, 1));
    second.holds.hold(Place::new(FAMILY, 1));
    rig.set(3, Some((6, Source::Local)));
    second.set(3, None);
    second.settle();
    assert_eq!(second.group.apart().count(), 0);
    assert_eq!(second.heard[&PeerId::new(2)], 3, "what had changed, and no more: one it had said itself");
    rig.tell_crowd(usize::MAX);
    rig.holds = Holds::default();
    rig.check();
}

#[test]
fn who_leaves_holds_nothing() {
    let mut rig = Rig::new(2);
    (0..10).for_each(|at| rig.set(at, Some((1, Source::Local))));
    rig.settle();
    rig.group.fall_behind(PeerId::new(1), &mut rig.holds);
    (0..10).for_each(|at| rig.set(at, None));
    rig.group.leave(PeerId::new(2), &mut rig.holds);
    assert!(rig.holds.has(Place::new(FAMILY, 0)));
    rig.group.leave(PeerId::new(1), &mut rig.holds);
    assert_eq!(rig.holds.take_freed().len(), 10);
    assert_eq!(rig.group.statements.len(), 0);
}

#[test]
fn groups_merge_once_both_know_the_same() {
    let mut rig = Rig::new(3);
    (0..6).for_each(|at| rig.set(at, Some((at % 3, peer(1 + at % 3)))));
    rig.settle();
    let mut other = rig.group.split(&[PeerId::new(2)], &mut rig.holds);
    rig.set(5, Some((9, Source::Local)));
    assert!(!rig.group.merge(&mut other), "it is still to be told");
    rig.tell_crowd(usize::MAX);
    assert!(!rig.group.merge(&mut other), "the other is not to know it yet");
    let told = (&rig.wordings[9].clone(), Source::Local);
    other.set(Place::new(FAMILY, 5), Some(told), &mut rig.holds);
    let news = other.poll_crowd(usize::MAX, &mut rig.holds);
    rig.hear(news, &[PeerId::new(2)]);
    // A place that only one of them has had is no difference.
    other.set(Place::new(FAMILY, 9), Some(told), &mut rig.holds);
    other.set(Place::new(FAMILY, 9), None, &mut rig.holds);
    assert!(rig.group.merge(&mut other));
    rig.check();
    rig.set(0, Some((7, peer(2))));
    rig.set(1, None);
    rig.settle();
}
