//! The FIB against a kernel in miniature.

use super::*;
use crate::prefix::Prefix;
use crate::time::Instant;

const METRIC: u32 = 20;
const NOW: Instant = Instant::ORIGIN;

fn hop(text: &str) -> NextHop {
    // The last number names the link, too.
    let last = text.rsplit('.').next().unwrap().parse().unwrap();
    NextHop { via: text.parse().unwrap(), interface: Some(last), weight: 1 }
}

fn target(text: &str) -> Target {
    Target::Via(vec![hop(text)])
}

/// A plan by next hop; without an interface, so that no group can carry it out.
fn via(text: &str) -> Plan {
    Plan::from(Target::Via(vec![NextHop { interface: None, ..hop(text) }]))
}

fn leg(text: &str, fate: u32) -> Leg {
    Leg { hop: hop(text), fate: Some(Fate(fate)) }
}

/// A plan whose next hops and backup depend on the peers that their last numbers name.
fn ways(legs: &[&str], backup: Option<&str>) -> Plan {
    let of = |text: &str| leg(text, text.rsplit('.').next().unwrap().parse().unwrap());
    let legs = legs.iter().map(|text| of(text)).collect();
    Plan::Via(Ways { legs, backup: backup.map(of), more: false })
}

fn prefix() -> Prefix {
    "10.244.2.0/24".parse().unwrap()
}

fn numbered(n: u32) -> Prefix {
    Prefix::host(std::net::Ipv4Addr::from_bits(0x0900_0000 + n).into())
}

fn inline(plan: &Plan) -> Route {
    Route { prefix: prefix(), target: plan.target(), metric: METRIC, group: None }
}

/// A FIB over a kernel that knows groups.
fn with_groups() -> Fib {
    let mut fib = Fib::default();
    fib.configure(true, false);
    fib.handle_dump(Found { routes: vec![], groups: Some(vec![]) }, true);
    fib
}

/// Answers all that is asked with yes and returns it.
fn obey(fib: &mut Fib) -> Vec<Change> {
    let mut asked = vec![];
    while let Some(batch) = fib.poll_batch(500, true) {
        fib.handle_answer(NOW, batch.id, vec![]);
        asked.extend(batch.changes);
    }
    asked
}

/// The same while others are still to be decided.
fn obey_meanwhile(fib: &mut Fib) -> Vec<Change> {
    let mut asked = vec![];
    while let Some(batch) = fib.poll_batch(500, false) {
        fib.handle_answer(NOW, batch.id, vec![]);
        asked.extend(batch.changes);
    }
    asked
}

fn refusal(index: usize, reason: &str) -> Refusal {
    Refusal { index, reason: reason.to_owned(), conflict: false }
}

/// Polls the one change that is due and answers it.
fn answer(fib: &mut Fib, now: Instant, result: Result<(), &str>) -> Change {
    let mut batch = fib.poll_batch(10, true).unwrap();
    assert_eq!(batch.changes.len(), 1, "{batch:?}");
    fib.handle_answer(now, batch.id, result.err().map(|reason| refusal(0, reason)).into_iter().collect());
    batch.changes.remove(0)
}

#[test]
fn a_desire_becomes_a_route_and_its_end_a_removal() {
    let mut fib = Fib::default();
    let plan = via("192.168.1.12");
    fib.desire(prefix(), METRIC, Some(&plan));
    assert!(!fib.is_in_step());
    assert_eq!(answer(&mut fib, NOW, Ok(())), Change::Install(inline(&plan)));
    assert!(fib.is_installed(prefix(), METRIC, &plan.target()));
    assert_eq!(fib.poll_batch(10, true), None);
    fib.desire(prefix(), METRIC, None);
    assert_eq!(answer(&mut fib, NOW, Ok(())), Change::Remove { prefix: prefix(), metric: METRIC });
    assert_eq!(fib.poll_batch(10, true), None);
    assert!(fib.is_in_step() && fib.entries().is_empty());
}

#[test]
fn a_change_of_mind_waits_for_the_answer_under_way() {
    let mut fib = Fib::default();
    fib.desire(prefix(), METRIC, Some(&via("192.168.1.12")));
    let first = fib.poll_batch(10, true).unwrap();
    fib.desire(prefix(), METRIC, Some(&via("192.168.1.13")));
    assert_eq!(fib.poll_batch(10, true), None, "one change in flight per prefix");
    fib.handle_answer(NOW, first.id, vec![]);
    assert_eq!(answer(&mut fib, NOW, Ok(())), Change::Replace(inline(&via("192.168.1.13"))));
}

#[test]
fn a_refusal_is_shown_and_tried_again_with_growing_pauses() {
    let mut fib = Fib::default();
    let mut now = NOW;
    fib.desire(prefix(), METRIC, Some(&via("192.168.1.12")));
    let mut pauses = vec![];
    for _ in 0..12 {
        answer(&mut fib, now, Err("network is unreachable"));
        assert_eq!(fib.poll_batch(10, true), None);
        let retry_at = fib.poll_timeout().unwrap();
        pauses.push((retry_at - now).as_millis());
        now = retry_at;
        fib.handle_timeout(now);
    }
    assert_eq!(pauses[..4], [100, 200, 400, 800]);
    assert_eq!(pauses[10..], [30_000, 30_000]);
    assert_eq!(fib.entries()[0].standing, Standing::Failed("network is unreachable"));
    answer(&mut fib, now, Ok(()));
    assert_eq!(fib.entries()[0].standing, Standing::Installed);
    assert_eq!((fib.failures(), fib.poll_timeout()), (12, None));
}

#[test]
fn a_refusal_holds_back_nothing_else_of_its_batch() {
    let mut fib = Fib::default();
    for n in 0..10 {
        fib.desire(numbered(n), METRIC, Some(&via("192.168.1.12")));
    }
    let batch = fib.poll_batch(100, true).unwrap();
    let conflict = Refusal { conflict: true, ..refusal(7, "a route of protocol 4 stands there") };
    fib.handle_answer(NOW, batch.id, vec![refusal(3, "no"), conflict]);
    let standings: Vec<Standing<'_>> = fib.standings().collect();
    assert_eq!(standings.iter().filter(|s| **s == Standing::Installed).count(), 8);
    assert_eq!(fib.entries()[3].standing, Standing::Failed("no"));
    assert_eq!(fib.entries()[7].standing, Standing::Conflict("a route of protocol 4 stands there"));
    assert!(!fib.is_in_step());
}

#[test]
fn a_new_desire_does_not_wait_for_the_pause_of_an_old_one() {
    let mut fib = Fib::default();
    fib.desire(prefix(), METRIC, Some(&via("192.168.1.12")));
    answer(&mut fib, NOW, Err("no"));
    fib.desire(prefix(), METRIC, Some(&via("192.168.1.13")));
    assert_eq!(answer(&mut fib, NOW, Ok(())), Change::Install(inline(&via("192.168.1.13"))));
    assert_eq!(fib.poll_timeout(), None);
}

#[test]
fn adopted_routes_stay_until_swept_and_a_matching_desire_costs_nothing() {
    let mut fib = Fib::default();
    let plan = via("192.168.1.12");
    let other = Route { prefix: "10.244.3.0/24".parse().unwrap(), ..inline(&via("192.168.1.13")) };
    fib.handle_dump(Found { routes: vec![inline(&plan), other.clone()], groups: None }, true);
    fib.desire(prefix(), METRIC, Some(&plan));
    assert_eq!(fib.poll_batch(10, true), None);
    fib.sweep();
    assert_eq!(answer(&mut fib, NOW, Ok(())), Change::Remove { prefix: other.prefix, metric: METRIC });
    assert!(fib.is_installed(prefix(), METRIC, &plan.target()));
}

#[test]
fn adopted_groups_serve_on_and_those_without_routes_go() {
    let mut fib = Fib::default();
    fib.configure(true, false);
    let group = |id, text| Group { id: GroupId(id), members: vec![hop(text)], standby: vec![] };
    let route = Route { target: target("10.0.0.1"), group: Some(GroupId(7)), ..inline(&via("10.0.0.1")) };
    let groups = vec![group(7, "10.0.0.1"), group(8, "10.0.0.2")];
    fib.handle_dump(Found { routes: vec![route], groups: Some(groups) }, true);
    fib.desire(prefix(), METRIC, Some(&ways(&["10.0.0.1"], Some("10.0.0.3"))));
    fib.desire(numbered(1), METRIC, Some(&ways(&["10.0.0.1"], Some("10.0.0.3"))));
    let asked = obey(&mut fib);
    let [Change::Install(beside), Change::RemoveGroup(GroupId(8))] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((beside.prefix, beside.group), (numbered(1), Some(GroupId(7))), "the kernel's own is shared");
}

#[test]
fn a_resync_restores_what_was_lost_and_removes_what_is_unknown() {
    let mut fib = Fib::default();
    let plan = via("192.168.1.12");
    fib.desire(prefix(), METRIC, Some(&plan));
    answer(&mut fib, NOW, Ok(()));
    let unknown = Route { prefix: "10.9.0.0/16".parse().unwrap(), ..inline(&Plan::Unreachable) };
    let found = Found { routes: vec![unknown.clone()], groups: None };
    let differences: Vec<String> = fib.audit(&found).iter().map(ToString::to_string).collect();
    assert_eq!(
        differences,
        [
            "10.9.0.0/16 metric 20: should be nothing, the kernel has unreachable",
            "10.244.2.0/24 metric 20: should be via 192.168.1.12, the kernel has nothing of ours",
        ]
    );
    fib.handle_dump(found, false);
    let removal = Change::Remove { prefix: unknown.prefix, metric: METRIC };
    assert_eq!(obey(&mut fib), [Change::Install(inline(&plan)), removal]);
    assert_eq!(fib.repairs(), 1);
    assert_eq!(fib.audit(&Found { routes: vec![inline(&plan)], groups: None }), []);
}

#[test]
fn a_route_that_somebody_removes_before_its_answer_is_heard_comes_back() {
    let mut fib = Fib::default();
    let plan = via("192.168.1.12");
    let install = Change::Install(inline(&plan));
    fib.desire(prefix(), METRIC, Some(&plan));
    let asked = fib.poll_batch(10, true).unwrap();
    fib.handle_change_seen(NOW, prefix(), METRIC, None);
    fib.handle_answer(NOW, asked.id, vec![]);
    let asked = fib.poll_batch(10, true).unwrap();
    assert_eq!(asked.changes, [install], "what was seen may be older than the change, or not");
    fib.handle_change_seen(NOW, prefix(), METRIC, Some(inline(&plan)));
    fib.handle_answer(NOW, asked.id, vec![]);
    assert_eq!(fib.poll_batch(10, true), None);
}

#[test]
fn who_keeps_undoing_what_we_do_is_answered_more_and_more_slowly() {
    let mut fib = Fib::default();
    let plan = via("192.168.1.12");
    fib.desire(prefix(), METRIC, Some(&plan));
    obey(&mut fib);
    let (mut now, mut at_once) = (NOW, 0);
    for _ in 0..30 {
        now = now + std::time::Duration::from_millis(10);
        fib.handle_change_seen(now, prefix(), METRIC, None);
        at_once += obey(&mut fib).len();
        if let Some(at) = fib.poll_timeout() {
            assert!(at >= now + std::time::Duration::from_millis(100));
            now = at;
            fib.handle_timeout(now);
            assert_eq!(obey(&mut fib), [Change::Install(inline(&plan))]);
        }
    }
    assert_eq!((at_once, fib.repairs()), (20, 30));
    now = now + std::time::Duration::from_secs(60);
    fib.handle_change_seen(now, prefix(), METRIC, None);
    assert_eq!(obey(&mut fib).len(), 1, "long afterwards it is another matter");
}

#[test]
fn an_aggregate_overtakes_what_waits_and_little_is_in_flight() {
    let mut fib = Fib::default();
    for n in 0..10_000_u32 {
        fib.desire(numbered(n), METRIC, Some(&via("192.168.1.12")));
    }
    let unanswered: Vec<Batch> = std::iter::from_fn(|| fib.poll_batch(500, true)).collect();
    assert_eq!(unanswered.iter().map(|batch| batch.changes.len()).sum::<usize>(), 2048);
    fib.desire(prefix(), AGGREGATE_METRIC, Some(&Plan::Unreachable));
    fib.handle_answer(NOW, unanswered[0].id, vec![]);
    let aggregate = Route { metric: AGGREGATE_METRIC, ..inline(&Plan::Unreachable) };
    assert_eq!(fib.poll_batch(1, true).unwrap().changes, [Change::Install(aggregate)]);
}

#[test]
fn a_metric_change_installs_before_it_removes() {
    let mut fib = Fib::default();
    fib.desire(prefix(), METRIC, Some(&via("192.168.1.12")));
    obey(&mut fib);
    fib.desire(prefix(), METRIC, None);
    fib.desire(prefix(), 30, Some(&via("192.168.1.12")));
    let changes = obey(&mut fib);
    assert!(matches!(changes[0], Change::Install(Route { metric: 30, .. })), "{changes:?}");
    assert!(matches!(changes[1], Change::Remove { metric: METRIC, .. }), "{changes:?}");
}

#[test]
fn routes_of_a_plan_share_a_group_which_is_set_first_and_removed_last() {
    let mut fib = with_groups();
    for n in 0..3 {
        fib.desire(numbered(n), METRIC, Some(&ways(&["10.0.0.1"], None)));
    }
    let asked = obey(&mut fib);
    let Change::SetGroup(group) = &asked[0] else { panic!("{asked:?}") };
    assert_eq!(group.members, [hop("10.0.0.1")]);
    let refer = |change: &Change| matches!(change, Change::Install(route) if route.group == Some(group.id));
    assert!(asked.len() == 4 && asked[1..].iter().all(refer), "{asked:?}");
    for n in 0..3 {
        fib.desire(numbered(n), METRIC, None);
    }
    assert_eq!(obey(&mut fib)[3..], [Change::RemoveGroup(group.id)]);
    assert!(fib.is_in_step());
}

/// A FIB with many routes over one link, and another as backup; and their group.
fn thousand() -> (Fib, GroupId) {
    let mut fib = with_groups();
    for n in 0..1000 {
        fib.desire(numbered(n), METRIC, Some(&ways(&["10.0.0.1"], Some("10.0.0.2"))));
    }
    let asked = obey(&mut fib);
    let Change::SetGroup(group) = &asked[0] else { panic!("{asked:?}") };
    assert_eq!(asked.len(), 1001);
    (fib, group.id)
}

fn set(id: GroupId, text: &str) -> Change {
    Change::SetGroup(Group { id, members: vec![hop(text)], standby: vec![] })
}

#[test]
fn a_failure_moves_a_thousand_routes_with_one_change_and_what_is_decided_later_costs_none() {
    let (mut fib, id) = thousand();
    fib.fail(Failure::Fate(Fate(1)));
    let urgent = fib.poll_urgent().unwrap();
    assert!(urgent.urgent);
    assert_eq!(urgent.changes, [set(id, "10.0.0.2")]);
    fib.handle_answer(NOW, urgent.id, vec![]);
    assert!(fib.is_installed(numbered(7), METRIC, &target("10.0.0.2")));
    for n in 0..1000 {
        fib.desire(numbered(n), METRIC, Some(&ways(&["10.0.0.2"], None)));
        assert_eq!(fib.poll_batch(500, false), None);
    }
    assert_eq!(obey(&mut fib), []);
    assert!(fib.is_in_step());
    // The first is back for all: one change again, once it is known that it is for all.
    for n in 0..1000 {
        fib.desire(numbered(n), METRIC, Some(&ways(&["10.0.0.1"], Some("10.0.0.2"))));
        assert_eq!(fib.poll_batch(500, false), None);
    }
    assert_eq!(obey(&mut fib), [set(id, "10.0.0.1")]);
}

#[test]
fn one_after_the_other_may_fail_and_the_routes_of_a_group_with_nothing_left_go_with_it() {
    let (mut fib, id) = thousand();
    fib.fail(Failure::Fate(Fate(1)));
    assert_eq!(obey_meanwhile(&mut fib), [set(id, "10.0.0.2")]);
    fib.fail(Failure::Fate(Fate(2)));
    assert_eq!(obey_meanwhile(&mut fib), [Change::RemoveGroup(id)]);
    for n in 0..1000 {
        fib.desire(numbered(n), METRIC, None);
    }
    let asked = obey(&mut fib);
    assert!(asked.iter().all(|change| matches!(change, Change::RemoveGroup(_))), "{asked:?}");
    assert!(fib.entries().is_empty() && fib.is_in_step());
}

#[test]
fn a_failure_does_nothing_where_there_are_ways_that_no_plan_names() {
    let mut fib = with_groups();
    let Plan::Via(plan) = ways(&["10.0.0.1"], None) else { unreachable!() };
    fib.desire(prefix(), METRIC, Some(&Plan::Via(Ways { more: true, ..plan })));
    obey(&mut fib);
    fib.fail(Failure::Fate(Fate(1)));
    assert_eq!(fib.poll_urgent(), None);
}

#[test]
fn some_routes_of_a_group_move_and_the_others_stay() {
    let (mut fib, id) = thousand();
    for n in 0..10 {
        fib.desire(numbered(n), METRIC, Some(&ways(&["10.0.0.3"], None)));
    }
    let asked = obey(&mut fib);
    assert_eq!(asked.len(), 11, "{asked:?}");
    assert!(matches!(&asked[0], Change::SetGroup(group) if group.id != id));
    assert!(asked[1..].iter().all(|change| matches!(change, Change::Replace(_))), "{asked:?}");
}

#[test]
fn several_next_hops_lose_one_of_them() {
    let mut fib = with_groups();
    fib.desire(prefix(), METRIC, Some(&ways(&["10.0.0.1", "10.0.0.2"], None)));
    let asked = obey(&mut fib);
    let Change::SetGroup(group) = &asked[0] else { panic!("{asked:?}") };
    fib.fail(Failure::Interface(2));
    assert_eq!(fib.poll_urgent().unwrap().changes, [set(group.id, "10.0.0.1")]);
}

#[test]
fn a_link_that_goes_takes_groups_along_and_routes_come_back_over_the_backup() {
    for told_first in [false, true] {
        let (mut fib, id) = thousand();
        // The kernel has dropped the group with its routes by itself.
        if told_first {
            fib.handle_groups(&[]);
        }
        fib.fail(Failure::Interface(1));
        assert_eq!(fib.poll_urgent(), None, "a group that came back would have no routes");
        let asked = obey(&mut fib);
        fib.handle_groups(&[]);
        let Change::SetGroup(group) = &asked[0] else { panic!("{asked:?}") };
        assert!(group.id != id && group.members == [hop("10.0.0.2")]);
        let through = |c: &Change| matches!(c, Change::Install(r) if r.group == Some(group.id));
        assert_eq!(asked.iter().filter(|change| through(change)).count(), 1000);
        assert_eq!(asked[1001..], [Change::RemoveGroup(id)]);
    }
}

#[test]
fn a_refused_group_leaves_its_routes_as_they_are_until_it_is_tried_again() {
    let mut fib = with_groups();
    fib.desire(prefix(), METRIC, Some(&ways(&["10.0.0.1"], None)));
    obey(&mut fib);
    fib.desire(prefix(), METRIC, Some(&ways(&["10.0.0.2"], None)));
    let batch = fib.poll_batch(10, true).unwrap();
    fib.handle_answer(NOW, batch.id, vec![refusal(0, "nexthop device is not up")]);
    assert_eq!(fib.poll_batch(10, true), None);
    assert!(fib.is_installed(prefix(), METRIC, &target("10.0.0.1")));
    assert_eq!(fib.entries()[0].standing, Standing::Failed("nexthop device is not up"));
    let at = fib.poll_timeout().unwrap();
    fib.handle_timeout(at);
    assert_eq!(obey(&mut fib).len(), 1);
    assert_eq!(fib.entries()[0].standing, Standing::Installed);
}

#[test]
fn a_group_that_the_kernel_does_not_remove_goes_later_and_takes_forgotten_routes_along() {
    let mut fib = with_groups();
    fib.desire(prefix(), METRIC, Some(&ways(&["10.0.0.1"], None)));
    let asked = obey(&mut fib);
    let Change::SetGroup(group) = &asked[0] else { panic!("{asked:?}") };
    fib.fail(Failure::Fate(Fate(1)));
    let urgent = fib.poll_urgent().unwrap();
    assert_eq!(urgent.changes, [Change::RemoveGroup(group.id)]);
    fib.desire(prefix(), METRIC, None);
    assert_eq!(fib.poll_batch(10, true), None);
    fib.handle_answer(NOW, urgent.id, vec![refusal(0, "out of memory")]);
    assert!(!fib.is_in_step() && fib.entries().is_empty());
    // Its number is not given to another one meanwhile.
    fib.desire(prefix(), METRIC, Some(&ways(&["10.0.0.1"], None)));
    let asked = obey(&mut fib);
    assert!(matches!(&asked[0], Change::SetGroup(other) if other.id != group.id), "{asked:?}");
    fib.handle_timeout(fib.poll_timeout().unwrap());
    assert_eq!(obey(&mut fib), [Change::RemoveGroup(group.id)]);
    assert!(fib.is_in_step() && fib.is_installed(prefix(), METRIC, &target("10.0.0.1")));
}

#[test]
fn a_backup_may_stand_in_the_kernel() {
    let mut fib = with_groups();
    fib.configure(true, true);
    fib.desire(prefix(), METRIC, Some(&ways(&["10.0.0.1"], Some("10.0.0.2"))));
    let asked = obey(&mut fib);
    let Change::SetGroup(group) = &asked[0] else { panic!("{asked:?}") };
    assert_eq!(group.standby, [hop("10.0.0.2")]);
    // The kernel turns to it by itself, and says so when asked: our change changes nothing.
    fib.fail(Failure::Interface(1));
    fib.handle_groups(&[Group { members: vec![hop("10.0.0.2")], standby: vec![], ..group.clone() }]);
    assert_eq!(obey(&mut fib), [set(group.id, "10.0.0.2")]);
    assert!(fib.is_installed(prefix(), METRIC, &target("10.0.0.2")));
}
