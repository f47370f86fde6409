//! The thread that writes routes: many at a time, the failed ones told by their places, urgent ones first.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use routelet::fib::{Batch, BatchId, Change, Found, Refusal, Route, Target};
use routelet::kernel::routes::Ownership;
use routelet::kernel::{NetNs, RouteWriter};
use routelet::prefix::Prefix;

use crate::groups::{hop, install, set, through};
use crate::rig::{Pair, namespace};
use crate::routes::{OURS, found_in, ip};

type Answers = Receiver<(BatchId, Vec<Refusal>)>;

fn writer(namespace: &NetNs) -> (RouteWriter, Answers) {
    let (sender, answers) = channel();
    let answer = move |batch, refusals| sender.send((batch, refusals)).unwrap();
    (namespace.enter(|| RouteWriter::start(OURS, |_| {}, answer)).unwrap().unwrap(), answers)
}

fn batch(id: u64, urgent: bool, changes: Vec<Change>) -> Batch {
    Batch { id: BatchId(id), urgent, changes }
}

fn next(answers: &Answers) -> (BatchId, Vec<Refusal>) {
    answers.recv_timeout(Duration::from_secs(60)).unwrap()
}

fn nth(n: u32) -> String {
    format!("10.{}.{}.0/24", n >> 8, n & 0xff)
}

fn unreachable(prefix: &str) -> Change {
    let prefix = prefix.parse().unwrap();
    Change::Install(Route { prefix, target: Target::Unreachable, metric: 20, group: None })
}

fn remove(prefix: &str) -> Change {
    Change::Remove { prefix: prefix.parse().unwrap(), metric: 20 }
}

#[tokio::test]
async fn three_of_a_thousand_fail_and_are_told_by_their_places() {
    let pair = Pair::addressed().await;
    let (writer, answers) = writer(&pair.left_namespace);
    let mut changes = vec![set(1, vec![hop(pair.left_link.index, "192.0.2.2")])];
    changes.extend((1..1000).map(|n| install(1, &nth(n))));
    ip(&pair.left_namespace, "route add unreachable 10.1.0.0/24 metric 20 proto static");
    changes[7] = install(9, &nth(7));
    changes[999] = install(1, "fd00::/48");
    writer.write(batch(5, false, changes));
    let (id, refusals) = next(&answers);
    assert_eq!(id, BatchId(5));
    let places: Vec<(usize, bool)> =
        refusals.iter().map(|refusal| (refusal.index, refusal.conflict)).collect();
    assert_eq!(places, [(7, false), (256, true), (999, false)], "{refusals:?}");
    assert_eq!(
        refusals[1].reason,
        "install 10.1.0.0/24 metric 20: there is a route already, made by static (protocol 4)"
    );
    assert_eq!(found_in(&pair.left_namespace, OURS).len(), 996);
}

/// More refusals than the kernel has room for in the receive buffer: none is lost.
#[tokio::test]
async fn all_of_many_failures_are_told() {
    let (namespace, _netlink) = namespace().await;
    let (writer, answers) = writer(&namespace);
    let changes: Vec<Change> =
        (0..3000).map(|n| if n % 1000 == 999 { unreachable(&nth(n)) } else { install(9, &nth(n)) }).collect();
    writer.write(batch(1, false, changes));
    let (_, refusals) = next(&answers);
    assert_eq!(refusals.len(), 2997);
    assert!(refusals.iter().all(|refusal| refusal.reason.contains("Nexthop id does not exist")));
    assert_eq!(found_in(&namespace, OURS).len(), 3);
}

#[tokio::test]
async fn twenty_thousand_routes_go_in_come_back_and_go_out() {
    let pair = Pair::addressed().await;
    let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
    let (writer, answers) = writer(namespace);
    let members = vec![hop(link, "192.0.2.2"), hop(link, "192.0.2.3")];
    writer.write(batch(0, false, vec![set(1, members.clone())]));
    for part in 0..20 {
        let changes = (part * 1000..(part + 1) * 1000).map(|n| install(1, &nth(n))).collect();
        writer.write(batch(part.into(), false, changes));
    }
    let Found { routes, groups } = writer.adopt().unwrap();
    assert_eq!(groups.unwrap().len(), 1);
    assert_eq!(routes.len(), 20_000);
    let target = Target::Via(members);
    for (n, route) in (0..).zip(&routes) {
        assert_eq!(*route, Route { target: target.clone(), ..through(1, &nth(n)) });
    }
    // Once more changes nothing, and is no error: what stands in the way is ours.
    writer.write(batch(21, false, routes.into_iter().map(Change::Install).collect()));
    writer.write(batch(22, false, (0..20_000).map(|n| remove(&nth(n))).collect()));
    assert_eq!(writer.adopt().unwrap().routes, []);
    assert_eq!(answers.try_iter().filter(|(_, refusals)| refusals.is_empty()).count(), 23);
}

#[tokio::test]
async fn urgent_batches_overtake() {
    let (namespace, _netlink) = namespace().await;
    let (told, held) = channel();
    let (go, wait) = channel::<()>();
    let answer = move |BatchId(id), _| {
        told.send(id).unwrap();
        // The first holds up all others, until they are queued.
        if id == 0 {
            wait.recv().unwrap();
        }
    };
    let writer = namespace.enter(|| RouteWriter::start(OURS, |_| {}, answer)).unwrap().unwrap();
    let one = |id, urgent| batch(id, urgent, vec![unreachable(&nth(id as u32))]);
    writer.write(one(0, false));
    assert_eq!(held.recv(), Ok(0));
    for id in 1..4 {
        writer.write(one(id, false));
    }
    for id in 4..6 {
        writer.write(one(id, true));
    }
    go.send(()).unwrap();
    let order: Vec<u64> = held.iter().take(5).collect();
    assert_eq!(order, [4, 5, 1, 2, 3]);
}

#[tokio::test]
async fn a_batch_is_for_the_table_that_was_set_when_it_came() {
    let (namespace, _netlink) = namespace().await;
    let (writer, answers) = writer(&namespace);
    let other = Ownership { table: 70_000, protocol: 99 };
    writer.write(batch(1, false, vec![unreachable(&nth(1))]));
    writer.set_ownership(other);
    writer.write(batch(2, true, vec![unreachable(&nth(2))]));
    for _ in 0..2 {
        assert_eq!(next(&answers).1, []);
    }
    let prefixes = |ownership| -> Vec<Prefix> {
        found_in(&namespace, ownership).iter().map(|route| route.prefix).collect()
    };
    assert_eq!(prefixes(OURS), [nth(1).parse().unwrap()]);
    assert_eq!(prefixes(other), [nth(2).parse().unwrap()]);
}

/// The thread is gone when `drop` returns, and has written nothing more.
#[tokio::test]
async fn a_dropped_writer_writes_no_more() {
    let (namespace, _netlink) = namespace().await;
    let (writer, answers) = writer(&namespace);
    writer.write(batch(1, false, vec![unreachable(&nth(1))]));
    next(&answers);
    drop(writer);
    assert_eq!(answers.recv().ok(), None, "its answer is dropped with it");
    assert_eq!(found_in(&namespace, OURS).len(), 1);
}
