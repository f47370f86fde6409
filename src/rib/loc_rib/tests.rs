//! The table: what becomes of paths, counts and dirt.

use std::sync::Arc;

use super::*;
use crate::bgp::PathAttributes;
use crate::prefix::Net;
use crate::rib::path::{PeerId, Rejection};
use crate::rib::{Decision, Rule};

const A: Source = Source::Peer(PeerId::new(1));
const B: Source = Source::Peer(PeerId::new(2));

fn path(source: Source, med: u32) -> Path {
    let attributes = PathAttributes::originated("192.0.2.1".parse().unwrap());
    Path {
        source,
        attributes: Arc::new(PathAttributes { med: Some(med), ..attributes }),
        received: None,
        path_id: PathId::NONE,
        told_as: 0,
        rejected: None,
    }
}

fn drain(rib: &mut LocRib) -> Vec<String> {
    while rib.advance() {}
    std::iter::from_fn(|| {
        let place = rib.pop_dirty()?;
        let prefix = rib.at(place).0.to_string();
        rib.drop_if_empty(place);
        Some(prefix)
    })
    .collect()
}

#[test]
fn what_changes_is_dirty_once_and_what_does_not_is_not() {
    let mut rib = LocRib::default();
    let (v4, v6) = ("10.0.0.0/8".parse().unwrap(), "fd00::/64".parse().unwrap());
    rib.insert(v4, path(A, 1));
    rib.insert(v4, path(A, 2));
    rib.insert(v6, path(B, 1));
    assert_eq!(drain(&mut rib), ["10.0.0.0/8", "fd00::/64"]);
    rib.insert(v4, path(A, 2));
    rib.withdraw(v4, B, PathId::NONE);
    assert_eq!(drain(&mut rib), [""; 0]);
    rib.withdraw_all(B);
    assert_eq!(drain(&mut rib), ["fd00::/64"]);
}

#[test]
fn counts_follow_insertion_replacement_policy_and_withdrawal() {
    let mut rib = LocRib::default();
    let prefix = |i: u8| Prefix::new([10, i, 0, 0].into(), 16).unwrap();
    for i in 0..4 {
        rib.insert(prefix(i), path(A, 1));
        rib.insert(prefix(i), path(A, 2));
    }
    let count = |rib: &LocRib| {
        let count = rib.count(A, Family::Ipv4Unicast);
        (count.received, count.accepted)
    };
    assert_eq!(count(&rib), (4, 4));
    rib.reconsider(
        |_, source| source == A,
        |p, path| {
            let rejected = (p == prefix(1)).then_some(Rejection::ImportPolicy);
            Path { rejected, ..path.clone() }
        },
    );
    assert_eq!(count(&rib), (4, 3));
    rib.withdraw(prefix(1), A, PathId::NONE);
    assert_eq!(count(&rib), (3, 3));
    rib.withdraw_all(A);
    assert_eq!(count(&rib), (0, 0));
}

#[test]
fn a_walk_resumes_where_it_was_left_and_passes_over_what_is_gone() {
    let mut rib = LocRib::default();
    for text in ["10.0.0.0/8", "10.0.0.0/16", "9.0.0.0/8", "fd00::/64", "11.0.0.0/8"] {
        rib.insert(text.parse().unwrap(), path(A, 1));
    }
    drain(&mut rib);
    let walk = |rib: &LocRib, after, most| {
        let places = rib.walk(Family::Ipv4Unicast, after, most);
        (places.iter().map(|p| rib.at(*p).0.to_string()).collect::<Vec<_>>(), places.last().copied())
    };
    let (first, last) = walk(&rib, None, 2);
    assert_eq!(first, ["10.0.0.0/8", "10.0.0.0/16"]);
    rib.withdraw("9.0.0.0/8".parse().unwrap(), A, PathId::NONE);
    drain(&mut rib);
    assert_eq!(walk(&rib, last, 10).0, ["11.0.0.0/8"]);
    assert_eq!(rib.len(Family::Ipv4Unicast), 3);
    rib.insert("12.0.0.0/8".parse().unwrap(), path(A, 1));
    assert_eq!(walk(&rib, last, 10).0, ["12.0.0.0/8", "11.0.0.0/8"], "a place is used again");
}

#[test]
fn people_see_prefixes_in_order() {
    let mut rib = LocRib::default();
    for text in ["10.0.0.0/8", "10.0.0.0/16", "9.0.0.0/8"] {
        rib.insert(text.parse().unwrap(), path(A, 1));
    }
    let all = rib.ordered(Family::Ipv4Unicast, |p| p.length() == 8);
    assert_eq!(all.iter().map(|(p, _)| p.to_string()).collect::<Vec<_>>(), ["9.0.0.0/8", "10.0.0.0/8"]);
}

#[test]
fn paths_of_one_source_are_told_apart_by_their_identifiers() {
    let mut rib = LocRib::default();
    let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
    let with_id = |source, id, med| Path { path_id: PathId(id), ..path(source, med) };
    for (source, id, med) in [(A, 1, 1), (A, 2, 1), (B, 2, 1), (A, 1, 9)] {
        rib.insert(prefix, with_id(source, id, med));
    }
    let shown = |rib: &LocRib| {
        let paths = rib.destination(prefix).unwrap().paths().iter();
        paths.map(|p| (p.source, p.path_id.0, p.attributes.med.unwrap(), p.told_as)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&rib), [(A, 1, 9, 1), (A, 2, 1, 2), (B, 2, 1, 3)], "the first is replaced");
    assert_eq!(rib.count(A, Family::Ipv4Unicast), Count { received: 2, accepted: 2 });
    rib.reconsider(
        |_, source| source == A,
        |_, path| Path { path_id: PathId::NONE, told_as: 0, ..path.clone() },
    );
    rib.withdraw(prefix, A, PathId(2));
    rib.withdraw(prefix, B, PathId(1));
    rib.insert(prefix, with_id(B, 1, 5));
    assert_eq!(shown(&rib), [(A, 1, 9, 1), (B, 1, 5, 4), (B, 2, 1, 3)], "who stays keeps its name");
    rib.withdraw_all(B);
    drain(&mut rib);
    assert_eq!(shown(&rib), [(A, 1, 9, 1)]);
    assert_eq!(rib.count(B, Family::Ipv4Unicast), Count::default());
}

#[test]
fn names_are_found_where_the_last_one_is_taken() {
    let mut rib = LocRib::default();
    let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
    let place = rib.v4.find_or_insert(Net::new(Ipv4Addr::new(10, 0, 0, 0), 8).unwrap());
    let destination = rib.v4.at_mut(place).1;
    for source in 1..=u16::MAX {
        destination.insert(path(Source::Peer(PeerId::new(source.into())), 1));
    }
    (2..u16::MAX).rev().for_each(|source| {
        destination.remove(Source::Peer(PeerId::new(source.into())), PathId::NONE);
    });
    rib.insert(prefix, path(B, 1));
    let told_as: Vec<u16> =
        rib.destination(prefix).unwrap().paths().iter().map(|path| path.told_as).collect();
    assert_eq!(told_as, [1, 2, u16::MAX]);
}

#[test]
fn the_best_path_stays_best_until_it_goes() {
    let mut rib = LocRib::default();
    let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
    rib.insert(prefix, path(A, 1));
    rib.insert(prefix, path(B, 1));
    let place = rib.pop_dirty().unwrap();
    let decision = Decision { best: 1, rule: Rule::Med, equal: vec![1].into() };
    rib.at_mut(place).1.set_best(Some(&decision));
    let best = |rib: &LocRib| rib.destination(prefix).and_then(Destination::best).map(|p| p.source);
    assert_eq!(best(&rib), Some(B));
    rib.withdraw(prefix, A, PathId::NONE);
    assert_eq!(best(&rib), Some(B));
    rib.insert(prefix, Path { rejected: Some(Rejection::AsLoop), ..path(B, 1) });
    assert_eq!(best(&rib), None, "what has come in its place may not be told to anybody");
    rib.insert(prefix, path(B, 2));
    assert_eq!(best(&rib), Some(B));
    rib.insert(prefix, path(A, 2));
    rib.withdraw(prefix, B, PathId::NONE);
    assert_eq!(best(&rib), None, "nobody has decided for the other one yet");
}

#[test]
fn a_source_that_leaves_is_gone_wherever_anybody_looks_before_the_walk_is_over() {
    let mut rib = LocRib::default();
    let prefix = |i: u32| Prefix::new(Ipv4Addr::from_bits(i << 8).into(), 24).unwrap();
    let most = 20_000;
    for i in 0..most {
        rib.insert(prefix(i), path(A, 1));
        rib.insert(prefix(i), path(B, 1));
    }
    drain(&mut rib);
    let sources = |rib: &LocRib, i| -> Vec<Source> {
        rib.destination(prefix(i)).map_or(vec![], |d| d.paths().iter().map(|path| path.source).collect())
    };
    rib.withdraw_all(A);
    assert_eq!(rib.count(A, Family::Ipv4Unicast), Count::default());
    assert!(!rib.is_settled() && !rib.has_accepted(prefix(most - 1), A, PathId::NONE));
    // What is settled for another reason meanwhile is settled without it.
    rib.insert(prefix(most - 1), path(B, 2));
    rib.pop_dirty().unwrap();
    assert_eq!(sources(&rib, most - 1), [B]);
    // Policy does not judge it any more, which would count it.
    rib.reconsider(|_, _| true, |_, path| Path { rejected: Some(Rejection::Protected), ..path.clone() });
    assert_eq!(rib.count(A, Family::Ipv4Unicast), Count::default());
    // Another joins the walk half way, and what the first announces again is not taken for what it had.
    assert!(rib.advance());
    rib.withdraw_all(B);
    rib.insert(prefix(3), path(A, 7));
    drain(&mut rib);
    assert_eq!((sources(&rib, 3), rib.len(Family::Ipv4Unicast)), (vec![A], 1));
    assert_eq!(rib.count(A, Family::Ipv4Unicast), Count { received: 1, accepted: 1 });
    assert_eq!(rib.count(B, Family::Ipv4Unicast), Count::default());
    assert!(rib.is_settled());
}

#[test]
fn who_joins_a_walk_half_way_leaves_all_of_a_table_that_grows() {
    let mut rib = LocRib::default();
    let prefix = |i: u32| Prefix::new(Ipv4Addr::from_bits(i << 8).into(), 24).unwrap();
    (0..10_000).for_each(|i| rib.insert(prefix(i), path(B, 1)));
    rib.insert(prefix(9_999), path(A, 1));
    drain(&mut rib);
    rib.withdraw_all(A);
    assert!(rib.advance());
    rib.withdraw_all(B);
    let grown = Source::Peer(PeerId::new(3));
    (10_000..30_000).for_each(|i| rib.insert(prefix(i), path(grown, 1)));
    drain(&mut rib);
    assert_eq!(rib.len(Family::Ipv4Unicast), 20_000);
}

#[test]
fn a_table_that_shrinks_gives_its_memory_back_and_keeps_the_places_of_what_stays() {
    let mut rib = LocRib::default();
    let prefix = |i: u32| Prefix::new(Ipv4Addr::from_bits(i << 8).into(), 24).unwrap();
    for i in 0..100_000 {
        rib.insert(prefix(i), path(if i < 10 || i == 20_000 { A } else { B }, 1));
    }
    drain(&mut rib);
    let before = rib.walk(Family::Ipv4Unicast, None, 11);
    rib.withdraw_all(B);
    drain(&mut rib);
    assert!(rib.v4.room() < 50_000, "{}", rib.v4.room());
    let stays = rib.walk(Family::Ipv4Unicast, None, 100);
    assert_eq!((stays.len(), &stays[..10]), (11, &before[..10]));
    assert_eq!(rib.at(stays[10]).0, prefix(20_000));
    for i in 0..100_000 {
        rib.insert(prefix(i), path(B, 1));
    }
    assert_eq!(rib.len(Family::Ipv4Unicast), 100_000);
    assert!(
        (0..100_000).all(|i| rib.destination(prefix(i)).is_some_and(|d| d.find(B, PathId::NONE).is_some()))
    );
}

#[test]
fn thousands_of_paths_for_one_prefix_are_found_by_source() {
    let mut rib = LocRib::default();
    let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
    let source = |i: u32| Source::Peer(PeerId::new(i * 7919 % 5000));
    (0..5000).for_each(|i| rib.insert(prefix, path(source(i), i)));
    let paths = rib.destination(prefix).unwrap().paths();
    let ids: std::collections::BTreeSet<u16> = paths.iter().map(|path| path.told_as).collect();
    assert_eq!((paths.len(), ids.len(), ids.contains(&0)), (5000, 5000, false));
    assert!((0..5000).all(|i| rib.has_accepted(prefix, source(i), PathId::NONE)));
    (0..4999).for_each(|i| rib.withdraw(prefix, source(i), PathId::NONE));
    assert_eq!(
        rib.destination(prefix).unwrap().paths(),
        [Path { told_as: 5000, ..path(source(4999), 4999) }]
    );
}
