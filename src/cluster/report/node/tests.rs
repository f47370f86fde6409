//! What is seen, and what is said of it.

use std::net::IpAddr;

use super::*;
use crate::bgp::session::{Break, Failure};
use crate::speaker::view::example::{established, failed, family, peer, summary};
use crate::speaker::{DrainTerms, DrainView};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn refused(name: &str) -> PeerView {
    failed(name, Failure::broken(Break::Refused, "connection refused"))
}

fn seen(peers: Vec<PeerView>) -> Seen {
    let up = peers.iter().filter(|peer| peer.state == "Established").count() as u64;
    Seen {
        versions: Versions { routelet: "0.1.0".to_owned(), kernel: Some("6.1.0".to_owned()) },
        summary: Some(summary(up, peers.len() as u64)),
        peers,
        pod_cidrs: vec!["10.244.1.0/24".parse().unwrap()],
        ..Seen::default()
    }
}

/// The condition's status and reason.
fn condition(report: &NodeReport, kind: &str) -> (String, String) {
    let found = report.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn a_node_with_which_all_is_well() {
    let report = report(&seen(vec![established("tor", 60)]), None, at(100));
    assert_eq!(report.up, "1/1");
    assert_eq!((report.asn, report.pod_cidrs.as_slice()), (Some(64512), &["10.244.1.0/24".to_owned()][..]));
    let session = &report.sessions[0];
    assert_eq!((session.state, session.reason.as_str()), (SessionState::Established, "Established"));
    assert_eq!((session.since.clone(), &session.message), (Some(Time(at(40))), &None));
    assert_eq!((session.families[0].accepted, session.families[0].advertised), (10, 1));
    assert_eq!(condition(&report, "Ready"), pair("True", "Forwarding"));
    assert_eq!(condition(&report, "ConfigurationValid"), pair("True", "Valid"));
    assert_eq!(condition(&report, "FibInStep"), pair("True", "InStep"));
    assert_eq!(condition(&report, "Listening"), pair("True", "Listening"));
    assert_eq!(condition(&report, "Draining"), pair("False", "Staying"));
}

#[test]
fn each_trouble_shows_in_its_condition() {
    let base = || seen(vec![established("tor", 60)]);
    let with = |change: &dyn Fn(&mut Seen)| {
        let mut seen = base();
        change(&mut seen);
        report(&seen, None, at(0))
    };
    let some = || vec!["something".to_owned()];
    let rows = [
        (with(&|s| s.not_ready = some()), "Ready", pair("False", "NotForwarding")),
        (with(&|s| (s.summary, s.not_ready) = (None, some())), "Ready", pair("False", "NotConfigured")),
        (with(&|s| s.errors = some()), "ConfigurationValid", pair("False", "Invalid")),
        (with(&|s| s.warnings = some()), "ConfigurationValid", pair("True", "Warnings")),
        (with(&|s| s.pending_for = Some(Duration::from_secs(3))), "FibInStep", pair("True", "InStep")),
        (with(&|s| s.pending_for = Some(Duration::from_secs(10))), "FibInStep", pair("False", "Pending")),
        (
            with(&|s| s.audit = Some(Audit { differences: 2, ago: Duration::ZERO })),
            "FibInStep",
            pair("False", "Differs"),
        ),
        (
            with(&|s| s.summary.as_mut().unwrap().fib_conflicts = 1),
            "FibInStep",
            pair("False", "RouteConflict"),
        ),
        (
            with(&|s| s.not_listening = vec!["port 179 on 0.0.0.0 is held by bird (pid 7)".to_owned()]),
            "Listening",
            pair("False", "PortTaken"),
        ),
        (with(&|s| s.not_followed = some()), "ApiServer", pair("False", "NotInStep")),
        (with(&|s| s.not_listening = some()), "Listening", pair("False", "AddressNotAvailable")),
    ];
    for (report, kind, expected) in rows {
        assert_eq!(condition(&report, kind), expected);
    }
}

#[test]
fn a_drain_is_told_from_trouble() {
    let mut seen = seen(vec![refused("tor")]);
    seen.not_ready = vec!["the node is drained".to_owned()];
    let terms = DrainTerms {
        settle: DrainTerms::SETTLE,
        timeout: DrainTerms::TIMEOUT,
        reason: "upgrade".to_owned(),
        holds_last: true,
    };
    let drain = |stage| DrainView {
        stage,
        terms: terms.clone(),
        waits_for: vec![],
        cut_off: vec![],
        timed_out: false,
        holds: vec![],
        asked_by_objects: false,
    };
    seen.summary.as_mut().unwrap().drain = Some(drain(DrainStage::Settling));
    let early = report(&seen, None, at(0));
    assert_eq!(condition(&early, "Draining"), pair("True", "Draining"));
    assert_eq!(early.sessions[0].reason, "ConnectionRefused", "its sessions are open yet");
    let holds = vec!["203.0.113.7/32".parse().unwrap()];
    let held = DrainView { holds, ..drain(DrainStage::Settling) };
    seen.summary.as_mut().unwrap().drain = Some(held);
    let holding = report(&seen, None, at(10));
    assert_eq!(condition(&holding, "Draining"), pair("True", "HoldingLast"));
    seen.summary.as_mut().unwrap().drain = Some(drain(DrainStage::Drained));
    let late = report(&seen, Some(&early), at(30));
    assert_eq!(difference(&early, &late), Difference::Urgent);
    assert_eq!(condition(&late, "Draining"), pair("True", "Drained"));
    assert_eq!(condition(&late, "Ready"), pair("False", "Draining"));
    assert_eq!(late.sessions[0].reason, "Draining");
}

#[test]
fn times_stay_while_what_they_are_of_does() {
    let first = report(&seen(vec![established("a", 60), refused("b")]), None, at(100));
    let mut again = seen(vec![established("a", 163), refused("b")]);
    again.not_ready = vec!["something".to_owned()];
    let second = report(&again, Some(&first), at(200));
    // The clock was set back by 3 s meanwhile: the session has not come up anew.
    assert_eq!(second.sessions[0].since, first.sessions[0].since);
    assert_eq!(second.sessions[1].since, Some(Time(at(100))), "down since it was first seen so");
    let of = |report: &NodeReport, kind: &str| {
        report.conditions.iter().find(|c| c.type_ == kind).unwrap().last_transition_time.clone()
    };
    assert_eq!(of(&second, "ConfigurationValid"), Time(at(100)));
    assert_eq!(of(&second, "Ready"), Time(at(200)));
    // Down and up between two looks.
    let third = report(&seen(vec![established("a", 20), refused("b")]), Some(&second), at(300));
    assert_eq!(third.sessions[0].since, Some(Time(at(280))));
    assert_eq!(difference(&second, &third), Difference::Major);
}

#[test]
fn what_nobody_waits_for_is_no_difference() {
    let with = |prefixes: u64, audit: u64, state: &'static str| {
        let mut tor = PeerView { families: vec![family(prefixes)], ..established("tor", 60) };
        tor.counters.messages_in = audit;
        let down = PeerView { state, ..refused("b") };
        let mut seen = seen(vec![tor, down]);
        seen.audit = Some(Audit { differences: 0, ago: Duration::from_secs(audit) });
        report(&seen, None, at(0))
    };
    let base = with(1000, 3, "Active");
    assert_eq!(difference(&base, &with(1000, 3, "Active")), Difference::None);
    assert_eq!(difference(&base, &with(1000, 250, "Active")), Difference::None, "another audit");
    assert_eq!(difference(&base, &with(1000, 3, "OpenSent")), Difference::None, "the FSM goes round");
    assert_eq!(difference(&base, &with(1001, 3, "Active")), Difference::None, "a prefix of a thousand");
    assert_eq!(difference(&base, &with(2000, 3, "Active")), Difference::Minor);
    assert_eq!(difference(&with(1, 3, "Active"), &with(0, 3, "Active")), Difference::Minor, "the last one");
    let mut gone = base.clone();
    gone.sessions.pop();
    assert_eq!(difference(&base, &gone), Difference::Major);
}

#[test]
fn a_report_is_bounded_and_lists_what_matters() {
    let mesh = |i: u32| PeerView {
        origin: PeerOrigin::Mesh,
        address: IpAddr::from([10, 0, (i / 250) as u8, (i % 250) as u8]),
        ..if i == 700 { refused("x") } else { established("x", 60) }
    };
    let mut peers: Vec<PeerView> =
        (0..900).map(|i| PeerView { name: format!("node{i:04}"), ..mesh(i) }).collect();
    peers.push(established("tor", 60));
    let report = report(&seen(peers), None, at(0));
    assert_eq!((report.sessions.len(), report.sessions_not_listed), (LISTED, 901 - LISTED as u32));
    let listed = |name: &str| report.sessions.iter().any(|session| session.peer == name);
    assert!(listed("tor") && listed("node0700"), "a BgpPeer, and what is down");
    assert!(report.sessions.is_sorted_by_key(|session| &session.peer));
    let octets = serde_json::to_vec(&report).unwrap().len();
    assert!(octets < 100_000, "{octets}");
}

#[test]
fn it_reads_back_as_it_was_written() {
    let mut peer = peer("tor/192.168.1.1");
    peer.origin = PeerOrigin::Dynamic;
    let written = report(&seen(vec![peer, established("a", 5)]), None, at(0));
    let read: NodeReport = serde_json::from_value(serde_json::to_value(&written).unwrap()).unwrap();
    assert_eq!(read, written);
    assert_eq!(serde_json::from_str::<NodeReport>("{}").unwrap(), NodeReport::default());
}

#[test]
fn long_lists_of_findings_are_cut() {
    let all: Vec<String> = (0..9).map(|i| format!("finding {i}")).collect();
    assert!(named(&all).ends_with("finding 4; and 4 more"));
}
