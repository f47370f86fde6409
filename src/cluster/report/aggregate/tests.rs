//! What nodes say, and what is said of a peer.

use super::*;
use crate::cluster::objects::bgp_node_status::SessionReport;
use k8s_openapi::jiff::Timestamp;

fn now(second: i64) -> Time {
    Time(Timestamp::from_second(1_800_000_000 + second).unwrap())
}

fn says(up: bool, reason: &str) -> Voice {
    let message = (reason != ESTABLISHED).then(|| format!("the words of {reason}"));
    Voice { up, reason: reason.to_owned(), message, since: None }
}

fn said(voices: &[(&str, Voice)], before: Option<&BgpPeerStatus>, at: i64) -> BgpPeerStatus {
    let voices: BTreeMap<&str, &Voice> = voices.iter().map(|(node, voice)| (*node, voice)).collect();
    aggregate(&voices, before, Some(3), &now(at))
}

fn condition(status: &BgpPeerStatus, kind: &str) -> (String, String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

#[test]
fn all_nodes_up_none_and_some() {
    let up = || says(true, ESTABLISHED);
    let all = said(&[("node1", up()), ("node2", up())], None, 0);
    assert_eq!((all.up.as_str(), all.down.as_str(), all.nodes, all.established), ("2/2", "", 2, 2));
    let (status, reason, _) = condition(&all, "Established");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "AllEstablished"));
    assert_eq!(condition(&all, "Degraded").0, "False");
    assert_eq!(all.conditions[0].observed_generation, Some(3));

    let none = said(&[], None, 0);
    assert_eq!(none.up, "0/0");
    assert_eq!(condition(&none, "Established").0, "Unknown");

    let down = [
        ("node1", up()),
        ("node2", says(false, "AsMismatch")),
        ("node3", says(false, "NoRoute")),
        ("node4", says(false, "NoRoute")),
    ];
    let some = said(&down, Some(&all), 50);
    assert_eq!((some.up.as_str(), some.down.as_str()), ("1/4", "node2, node3, node4"));
    let (status, reason, message) = condition(&some, "Established");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NoRoute"), "that of most");
    assert!(
        message.starts_with("3 of 4 nodes have no session with it: node2 (AsMismatch: the words"),
        "{message}"
    );
    assert!(message.ends_with("not all for the same reason"), "{message}");
    assert_eq!(some.conditions[0].last_transition_time, now(50));
    assert_eq!(some.conditions[1].last_transition_time, now(0), "still not degraded");
    assert_eq!(some.not_established.len(), 3);
}

#[test]
fn what_is_up_may_be_degraded() {
    let status =
        said(&[("node1", says(true, "FamilyNotAgreed")), ("node2", says(true, ESTABLISHED))], None, 0);
    assert_eq!(condition(&status, "Established").0, "True");
    let (holds, reason, message) = condition(&status, "Degraded");
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "FamilyNotAgreed"));
    assert!(message.contains("node1"), "{message}");
}

#[test]
fn thousands_of_nodes_fit() {
    let names: Vec<String> =
        (0..5000).map(|i| format!("ip-10-0-{}-{}.example.internal", i / 250, i % 250)).collect();
    let voices: Vec<(&str, Voice)> =
        names.iter().map(|name| (name.as_str(), says(false, "NoRoute"))).collect();
    let status = said(&voices, None, 0);
    assert_eq!((status.up.as_str(), status.not_established.len()), ("0/5000", NAMED));
    assert!(status.down.ends_with("… 4999 more"), "{}", status.down);
    assert!(serde_json::to_vec(&status).unwrap().len() < 4000);
}

#[test]
fn a_reason_that_the_api_would_refuse_is_not_passed_on() {
    let status = said(&[("node1", says(false, "no word at all"))], None, 0);
    assert_eq!(condition(&status, "Established").1, "Other");
}

#[test]
fn a_node_speaks_of_each_peer_once_and_of_the_worst() {
    let session = |peer: &str, origin, state, reason: &str| SessionReport {
        peer: peer.to_owned(),
        origin,
        address: [10, 0, 0, 1].into(),
        asn: None,
        state,
        since: None,
        reason: reason.to_owned(),
        message: None,
        families: vec![],
        bfd: None,
    };
    let report = NodeReport {
        sessions: vec![
            session("tor", SessionOrigin::BgpPeer, SessionState::Established, ESTABLISHED),
            session("node2", SessionOrigin::Mesh, SessionState::Down, "NoRoute"),
            session("racks/10.0.0.1", SessionOrigin::Range, SessionState::Established, ESTABLISHED),
            session("racks/10.0.0.2", SessionOrigin::Range, SessionState::Down, "NoAnswer"),
            session("racks/10.0.0.3", SessionOrigin::Range, SessionState::Established, "PrefixLimit"),
        ],
        ..NodeReport::default()
    };
    let voices = voices(&report);
    let short: Vec<(&str, bool, &str)> =
        voices.iter().map(|(name, voice)| (name.as_str(), voice.up, voice.reason.as_str())).collect();
    assert_eq!(short, [("racks", false, "NoAnswer"), ("tor", true, ESTABLISHED)]);
}
