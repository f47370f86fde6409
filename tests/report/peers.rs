//! The one that writes for all.

use std::collections::BTreeSet;
use std::time::Duration;

use routelet::cluster::report::{LEASE, Overseer, Terms};
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::rig::{EVENTS, LEASES, LOOK, PEERS, Rig, STATUSES, message};

const TOR: &str = "/apis/routelet.dev/v1alpha1/bgppeers/tor";
/// Real time in which the server's news come.
const DEADLINE: Duration = Duration::from_secs(30);

fn peer(name: &str) -> Value {
    json!({
        "apiVersion": "routelet.dev/v1alpha1", "kind": "BgpPeer",
        "metadata": {"name": name, "generation": 3}, "spec": {"address": "192.168.1.1", "asn": 65000},
    })
}

/// What a node says of its session with `tor`.
fn report(node: &str, reason: &str) -> Value {
    let up = reason == "Established";
    let mut session = json!({
        "peer": "tor", "origin": "BgpPeer", "address": "192.168.1.1",
        "state": if up { "Established" } else { "Down" }, "reason": reason,
    });
    if !up {
        session["message"] = json!("words");
    }
    json!({
        "apiVersion": "routelet.dev/v1alpha1", "kind": "BgpNodeStatus", "metadata": {"name": node}, "spec": {},
        "status": {"up": "1/1", "sessions": [session]},
    })
}

async fn overseer(rig: &Rig, node: &str, seed: u64) -> Overseer {
    Overseer::new(&rig.client().await, "routelet", node, 3, seed)
}

/// One look of each, and the time until the next. Who leads then; never two.
async fn look(rig: &Rig, overseers: &mut [Overseer]) -> Option<usize> {
    for overseer in overseers.iter_mut() {
        overseer.step(|| rig.now(), rig.wall()).await;
    }
    let leaders: Vec<usize> = (0..overseers.len()).filter(|i| overseers[*i].leads(rig.now())).collect();
    assert!(leaders.len() <= 1, "{leaders:?} lead at once");
    rig.pass();
    leaders.first().copied()
}

/// Looks until something is so.
async fn until(rig: &Rig, overseers: &mut [Overseer], what: &str, so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !so() {
            look(rig, overseers).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "not so: {what}; {}", rig.status(TOR));
}

#[tokio::test]
async fn a_peer_s_status_is_what_all_nodes_say() {
    let rig = Rig::new(&[]);
    rig.server.put(peer("tor"));
    for (node, reason) in [("node1", "Established"), ("node2", "AsMismatch"), ("node3", "Established")] {
        rig.server.put(report(node, reason));
    }
    let mut all = [overseer(&rig, "node1", 1).await];
    until(&rig, &mut all, "two of three", || rig.status(TOR)["up"] == "2/3").await;
    let status = rig.status(TOR);
    assert_eq!((&status["down"], &status["observedGeneration"]), (&json!("node2"), &json!(3)));
    assert_eq!(status["notEstablished"][0]["reason"], "AsMismatch");
    assert!(message(&status, "Established").contains("node2 (AsMismatch: words)"), "{status}");

    rig.server.put(report("node2", "Established"));
    until(&rig, &mut all, "all of three", || rig.status(TOR)["up"] == "3/3").await;
    rig.server.delete(&format!("{STATUSES}/node3"));
    until(&rig, &mut all, "all of two", || rig.status(TOR)["up"] == "2/2").await;
    assert_eq!(rig.status(TOR)["down"], "");
    let events = rig.server.requests().into_iter().filter(|r| r.method == "POST" && r.path == EVENTS);
    let reasons: BTreeSet<String> = events.map(|r| r.body["reason"].as_str().unwrap().to_owned()).collect();
    assert!(reasons.contains("SessionsDown") && reasons.contains("SessionsEstablished"), "{reasons:?}");

    // Nothing changes: nothing is written but the Lease.
    let written = (rig.count("PATCH", PEERS), rig.count("POST", EVENTS));
    for _ in 0..200 {
        look(&rig, &mut all).await;
    }
    assert_eq!((rig.count("PATCH", PEERS), rig.count("POST", EVENTS)), written);
}

#[tokio::test]
async fn a_peer_that_flaps_on_all_nodes_is_written_within_its_budget() {
    let rig = Rig::new(&[]);
    rig.server.put(peer("tor"));
    let mut all = [overseer(&rig, "node1", 1).await];
    let began = rig.now();
    let mut flap = 0;
    while rig.now() - began < Duration::from_secs(3600) {
        let reason = if flap % 2 == 0 { "Established" } else { "NoRoute" };
        for node in ["node1", "node2", "node3"] {
            rig.server.put(report(node, reason));
        }
        look(&rig, &mut all).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        flap += 1;
    }
    let most = Terms::of_aggregate().most_in(Duration::from_secs(3600));
    let writes = rig.count("PATCH", PEERS) as u64;
    assert!((10..=most).contains(&writes), "{writes} writes in an hour");
    let events = (rig.count("POST", EVENTS) + rig.count("PATCH", EVENTS)) as u64;
    assert!(events > 0 && events <= 2 * writes, "{events} events with {writes} writes");
    rig.server.put(report("node2", "HoldTimerExpired"));
    rig.server.put(report("node1", "Established"));
    rig.server.put(report("node3", "Established"));
    until(&rig, &mut all, "the last state", || {
        rig.status(TOR)["notEstablished"][0]["reason"] == "HoldTimerExpired"
    })
    .await;
}

#[tokio::test]
async fn of_three_one_writes_and_another_takes_over() {
    let rig = Rig::new(&[]);
    rig.server.put(peer("tor"));
    rig.server.put(report("node1", "Established"));
    let mut all = vec![];
    for (seed, node) in ["node1", "node2", "node3"].into_iter().enumerate() {
        all.push(overseer(&rig, node, seed as u64).await);
    }
    until(&rig, &mut all, "one writes", || rig.status(TOR)["up"] == "1/1").await;
    let first = look(&rig, &mut all).await.unwrap();
    for _ in 0..200 {
        assert_eq!(look(&rig, &mut all).await, Some(first), "it is renewed");
    }
    // It dies without a word.
    let dead = all.remove(first);
    let died = rig.now();
    drop(dead);
    rig.server.put(report("node1", "NoRoute"));
    until(&rig, &mut all, "another writes", || rig.status(TOR)["up"] == "0/1").await;
    let took = rig.now() - died;
    assert!((Duration::from_secs(60)..Duration::from_secs(120)).contains(&took), "after {took:?}");

    // That one leaves, and says so.
    let second = look(&rig, &mut all).await.unwrap();
    let mut leaving = all.remove(second);
    leaving.release(rig.now()).await;
    assert!(!leaving.leads(rig.now()));
    let left = rig.now();
    rig.server.put(report("node1", "Established"));
    until(&rig, &mut all, "the third writes", || rig.status(TOR)["up"] == "1/1").await;
    assert!(rig.now() - left < Duration::from_secs(40), "after {:?}", rig.now() - left);
    let lease = rig.server.object(&format!("{LEASES}/{LEASE}")).unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 3, "{lease}");
}

#[tokio::test]
async fn one_who_cannot_renew_stops_before_another_may_begin() {
    let rig = Rig::new(&[]);
    rig.server.put(peer("tor"));
    rig.server.put(report("node1", "Established"));
    let mut all = [overseer(&rig, "node1", 1).await];
    until(&rig, &mut all, "it writes", || rig.status(TOR)["up"] == "1/1").await;
    rig.server.fail(LEASES, Fault::Status(503, "overloaded"));
    let failing = rig.now();
    while look(&rig, &mut all).await.is_some() {
        assert!(
            rig.now() - failing < Duration::from_secs(60),
            "it leads without having been told that it may"
        );
    }
    let written = rig.count("PATCH", PEERS);
    rig.server.put(report("node1", "NoRoute"));
    for _ in 0..60 {
        look(&rig, &mut all).await;
    }
    assert_eq!(rig.count("PATCH", PEERS), written);
    rig.server.mend();
    until(&rig, &mut all, "it writes again", || rig.status(TOR)["up"] == "0/1").await;
}

#[tokio::test]
async fn a_peer_whose_status_is_refused_holds_up_no_other() {
    let rig = Rig::new(&[]);
    for name in ["tor", "other"] {
        rig.server.put(peer(name));
    }
    rig.server.put(report("node1", "Established"));
    rig.server.fail(&format!("{PEERS}/other"), Fault::Status(422, "no"));
    let mut all = [overseer(&rig, "node1", 1).await];
    until(&rig, &mut all, "the peer that works", || rig.status(TOR)["up"] == "1/1").await;
    let tries = rig.count("PATCH", &format!("{PEERS}/other"));
    let began = rig.now();
    while rig.now() - began < Duration::from_secs(3600) {
        look(&rig, &mut all).await;
    }
    let more = rig.count("PATCH", &format!("{PEERS}/other")) - tries;
    assert!((5..=30).contains(&more), "{more} tries in an hour, {LOOK:?} apart at the least");
}
