//! What is news.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::super::condition::Says;
use super::*;

fn conditions(rows: &[(&str, bool, &str)]) -> Vec<Condition> {
    let now = Time(Timestamp::from_second(1_800_000_000).unwrap());
    let one = |(kind, holds, reason): &(&str, bool, &str)| {
        let says = if *holds { Says::yes(*reason, "words") } else { Says::no(*reason, "words") };
        says.condition(kind, &now, None)
    };
    rows.iter().map(one).collect()
}

fn reasons(before: &[(&str, bool, &str)], now: &[(&str, bool, &str)]) -> Vec<String> {
    let news = of_node(&conditions(before), &conditions(now));
    news.into_iter()
        .map(|news| format!("{}{}", if news.is_warning { "!" } else { "" }, news.reason))
        .collect()
}

#[test]
fn a_node_tells_of_what_changes() {
    let well = [
        ("Ready", true, "Forwarding"),
        ("Draining", false, "Staying"),
        ("ConfigurationValid", true, "Valid"),
    ];
    assert_eq!(reasons(&well, &well), [""; 0]);
    assert_eq!(reasons(&[], &well), ["RouteletReady"]);
    assert_eq!(reasons(&[], &[("Ready", false, "NotConfigured")]), [""; 0], "a start is no trouble");
    assert_eq!(reasons(&well, &[("Ready", false, "NotForwarding")]), ["!RouteletNotReady"]);
    let draining = [("Ready", false, "Draining"), ("Draining", true, "Draining")];
    assert_eq!(reasons(&well, &draining), ["Draining"]);
    let drained = [("Ready", false, "Draining"), ("Draining", true, "Drained")];
    assert_eq!(reasons(&draining, &drained), ["Drained"]);
    assert_eq!(reasons(&drained, &well), ["RouteletReady", "DrainTakenBack"]);
    assert_eq!(reasons(&well, &[("ConfigurationValid", false, "Invalid")]), ["!ConfigurationInvalid"]);
    assert_eq!(reasons(&[("ConfigurationValid", false, "Invalid")], &well[2..]), ["ConfigurationValid"]);
    assert_eq!(reasons(&[], &[("Listening", false, "PortTaken")]), ["!PortTaken"]);
    assert_eq!(reasons(&[], &[("FibInStep", false, "RouteConflict")]), ["!RouteConflict"]);
}

#[test]
fn a_peer_is_told_of_when_other_nodes_are_concerned() {
    let of = |holds, text: &str| {
        let says = if holds { Says::yes("AllEstablished", text) } else { Says::no("NoRoute", text) };
        vec![says.condition("Established", &Time(Timestamp::from_second(0).unwrap()), None)]
    };
    let one = of(false, "1 of 3 nodes");
    assert_eq!(of_peer(&one, &one), []);
    let news = of_peer(&one, &of(false, "2 of 3 nodes"));
    assert_eq!(news, [News::warning("SessionsDown", "NoRoute: 2 of 3 nodes")]);
    assert_eq!(of_peer(&one, &of(true, "all")), [News::normal("SessionsEstablished", "all")]);
}

#[test]
fn a_note_fits_whatever_it_is_made_of() {
    for text in ["a", "é", "€", "🦀"] {
        let note = cut_octets(&text.repeat(2000));
        assert!(note.len() <= NOTE + 3 && note.len() > NOTE / 2, "{} octets", note.len());
    }
    assert_eq!(cut_octets("short"), "short");
}
