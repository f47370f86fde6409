//! The table: what becomes of paths, counts and dirt.

use std::sync::Arc;

use super::*;
use crate::bgp::PathAttributes;
use crate::prefix::Net;
use crate::rib::path::{PeerId, Rejection};

const A: Source = Source::Peer(PeerId(1));
const B: Source = Source::Peer(PeerId(2));

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
        |source| source == A,
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
        |source| source == A,
        |_, path| Path { path_id: PathId::NONE, told_as: 0, ..path.clone() },
    );
    rib.withdraw(prefix, A, PathId(2));
    rib.withdraw(prefix, B, PathId(1));
    rib.insert(prefix, with_id(B, 1, 5));
    assert_eq!(shown(&rib), [(A, 1, 9, 1), (B, 2, 1, 3), (B, 1, 5, 4)], "who stays keeps its name");
    rib.withdraw_all(B);
    assert_eq!(shown(&rib), [(A, 1, 9, 1)]);
    assert_eq!(rib.count(B, Family::Ipv4Unicast), Count::default());
}

#[test]
fn names_are_found_where_the_last_one_is_taken() {
    let mut rib = LocRib::default();
    let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
    let place = rib.v4.find_or_insert(Net::new(Ipv4Addr::new(10, 0, 0, 0), 8).unwrap());
    let last = Path { told_as: u16::MAX, ..path(A, 1) };
    rib.v4.at_mut(place).1.paths.push(last);
    rib.insert(prefix, path(B, 1));
    assert_eq!(rib.destination(prefix).unwrap().paths()[1].told_as, 1);
}

#[test]
fn the_best_path_stays_best_until_it_goes() {
    let mut rib = LocRib::default();
    let prefix: Prefix = "10.0.0.0/8".parse().unwrap();
    rib.insert(prefix, path(A, 1));
    rib.insert(prefix, path(B, 1));
    let place = rib.pop_dirty().unwrap();
    let decision = Decision { best: 1, rule: Rule::Med, equal: vec![1] };
    rib.at_mut(place).1.set_best(Some(&decision));
    let best = |rib: &LocRib| rib.destination(prefix).and_then(Destination::best).map(|p| p.source);
    assert_eq!(best(&rib), Some(B));
    rib.withdraw(prefix, A, PathId::NONE);
    assert_eq!(best(&rib), Some(B));
    rib.insert(prefix, path(A, 2));
    rib.withdraw(prefix, B, PathId::NONE);
    assert_eq!(best(&rib), None, "nobody has decided for the other one yet");
}
