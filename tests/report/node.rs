//! One node and its own object.

use std::time::Duration;

use routelet::cluster::report::{NodeWriter, Terms};
use serde_json::json;

use crate::faults::Fault;
use crate::rig::{EVENTS, LOOK, Rig, STATUSES, message, seen};

const HOUR: Duration = Duration::from_secs(3600);
const STATUS: &str = "/apis/routelet.dev/v1alpha1/bgpnodestatuses/node1/status";
const OBJECT: &str = "/apis/routelet.dev/v1alpha1/bgpnodestatuses/node1";

async fn writer(rig: &Rig, terms: Terms) -> NodeWriter {
    NodeWriter::new(&rig.client().await, "node1", terms, 7)
}

/// One look, and the time until the next.
async fn look(rig: &Rig, writer: &mut NodeWriter, trouble: &str) {
    writer.step(rig.now(), rig.wall(), &seen(trouble)).await;
    rig.pass();
}

async fn look_for(rig: &Rig, writer: &mut NodeWriter, trouble: &str, time: Duration) {
    let end = rig.now() + time;
    while rig.now() < end {
        look(rig, writer, trouble).await;
    }
}

fn told(rig: &Rig) -> String {
    message(&rig.status(OBJECT), "ConfigurationValid")
}

#[tokio::test]
async fn the_object_belongs_to_its_node_and_is_written_once() {
    let rig = Rig::new(&["node1"]);
    let mut writer = writer(&rig, Terms::of_node(1)).await;
    look_for(&rig, &mut writer, "", HOUR).await;
    let object = rig.server.object(OBJECT).unwrap();
    let node = rig.server.object("/api/v1/nodes/node1").unwrap();
    let owner = &object["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"], &owner["uid"]),
        (&json!("Node"), &json!("node1"), &node["metadata"]["uid"])
    );
    assert!(told(&rig).starts_with("all objects"), "{object}");
    // One look at what is there, the object, its status; then nothing for an hour.
    assert_eq!((rig.count("GET", STATUSES), rig.count("PATCH", STATUSES)), (1, 2));
    let written = rig.server.requests().into_iter().find(|request| request.path == STATUS).unwrap();
    assert_eq!(written.query["fieldManager"], "routelet");
    assert!(written.content_type.starts_with("application/apply-patch"), "{written:?}");
}

#[tokio::test]
async fn flaps_within_a_moment_are_one_write() {
    let rig = Rig::new(&["node1"]);
    let mut writer = writer(&rig, Terms { spread: Duration::from_secs(120), ..Terms::of_node(1) }).await;
    look_for(&rig, &mut writer, "", HOUR).await;
    let before = rig.count("PATCH", STATUS);
    for flap in 0..20 {
        look(&rig, &mut writer, if flap % 2 == 0 { "spec.asn: wrong" } else { "spec.mesh: wrong" }).await;
    }
    look_for(&rig, &mut writer, "spec.listen: wrong", HOUR).await;
    let writes = rig.count("PATCH", STATUS) - before;
    assert!((1..=2).contains(&writes), "{writes} writes of 20 flaps");
    assert!(told(&rig).ends_with("spec.listen: wrong"), "{}", told(&rig));
}

#[tokio::test]
async fn hours_of_flapping_cost_what_the_budget_gives_and_end_in_the_last_state() {
    let rig = Rig::new(&["node1"]);
    let terms = Terms::of_node(100);
    let mut writer = writer(&rig, terms).await;
    for flap in 0..3 * HOUR.as_secs() / LOOK.as_secs() {
        // Out of step with the budget, or each write would meet the same state.
        look(&rig, &mut writer, ["", "spec.asn: wrong", "spec.mesh: wrong"][flap as usize % 7 % 3]).await;
    }
    let writes = rig.count("PATCH", STATUS) as u64;
    assert!(writes <= terms.most_in(3 * HOUR), "{writes} writes");
    assert!(writes >= 60, "{writes} writes: it is to say what is going on");
    let events = rig.count("POST", EVENTS) + rig.count("PATCH", EVENTS);
    assert!(events as u64 <= 2 * writes, "{events} events with {writes} writes");
    assert!(events > 0);
    look_for(&rig, &mut writer, "the last", terms.most_wait() + LOOK).await;
    assert!(told(&rig).ends_with("the last"), "{}", told(&rig));
}

#[tokio::test]
async fn a_server_that_was_away_is_told_the_last_state_by_one_after_the_other() {
    let mut rig = Rig::new(&["node1"]);
    let client = rig.client().await;
    let mut writers = vec![];
    for number in 0..40 {
        let name = format!("node{number}");
        rig.server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
        writers.push(NodeWriter::new(&client, &name, Terms::of_node(40), number));
    }
    let states = ["first", "second", "third"];
    for (phase, state) in states.into_iter().enumerate() {
        if phase == 1 {
            rig.server.go_away();
        }
        for _ in 0..120 {
            for writer in &mut writers {
                writer.step(rig.now(), rig.wall(), &seen(state)).await;
            }
            rig.pass();
        }
    }
    rig.server.come_back();
    let before = rig.count("PATCH", STATUSES);
    let mut by_look = vec![];
    for _ in 0..65 {
        let earlier = rig.count("PATCH", STATUSES);
        for writer in &mut writers {
            writer.step(rig.now(), rig.wall(), &seen("third")).await;
        }
        by_look.push(rig.count("PATCH", STATUSES) - earlier);
        rig.pass();
    }
    for number in 0..40 {
        let status = rig.status(&format!("{STATUSES}/node{number}"));
        assert!(message(&status, "ConfigurationValid").ends_with("third"), "node{number}: {status}");
    }
    assert_eq!(rig.count("PATCH", STATUSES) - before, 40, "once each");
    assert!(by_look.iter().all(|writes| *writes <= 8), "a storm: {by_look:?}");
}

#[tokio::test]
async fn what_is_refused_is_tried_seldom_and_what_is_deleted_is_made_anew() {
    let rig = Rig::new(&["node1"]);
    let mut writer = writer(&rig, Terms::of_node(1)).await;
    rig.server.fail(STATUSES, Fault::Status(403, "forbidden"));
    look_for(&rig, &mut writer, "", HOUR).await;
    let tries = rig.count("GET", STATUSES) + rig.count("PATCH", STATUSES);
    assert!((10..=30).contains(&tries), "{tries} tries in an hour");
    rig.server.mend();
    look_for(&rig, &mut writer, "", HOUR / 4).await;
    assert!(rig.server.object(OBJECT).is_some());

    rig.server.delete(OBJECT);
    rig.server.fail(STATUS, Fault::Status(404, "not found"));
    look_for(&rig, &mut writer, "changed", LOOK * 8).await;
    rig.server.mend();
    look_for(&rig, &mut writer, "changed", HOUR / 4).await;
    let object = rig.server.object(OBJECT).unwrap();
    assert_eq!(object["metadata"]["ownerReferences"][0]["kind"], "Node", "{object}");
    assert!(told(&rig).ends_with("changed"));
}

#[tokio::test]
async fn a_daemon_that_is_replaced_goes_on_from_what_was_said() {
    let rig = Rig::new(&["node1"]);
    let mut before = writer(&rig, Terms::of_node(1)).await;
    look_for(&rig, &mut before, "spec.asn: wrong", HOUR).await;
    let written = rig.count("PATCH", STATUSES);
    let said = rig.status(OBJECT);
    let mut after = writer(&rig, Terms::of_node(1)).await;
    look_for(&rig, &mut after, "spec.asn: wrong", HOUR).await;
    assert_eq!(rig.count("PATCH", STATUSES), written, "nothing has changed");
    look_for(&rig, &mut after, "spec.asn: still wrong", HOUR).await;
    assert_eq!(rig.count("PATCH", STATUSES), written + 1);
    let time = |status: &serde_json::Value| {
        let conditions = status["conditions"].as_array().unwrap().clone();
        conditions.into_iter().find(|c| c["type"] == "ConfigurationValid").unwrap()["lastTransitionTime"]
            .clone()
    };
    assert_eq!(time(&rig.status(OBJECT)), time(&said), "invalid all the time");
}
