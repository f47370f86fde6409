//! A peer that is known by its link alone: there once somebody has been found, gone with the link.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use routelet::fib::{Change, Found, Route, Target};
use routelet::speaker::intent::{GracefulRestart, RemoteAs};
use routelet::speaker::{Action, Intent, LinkPeer, Speaker};
use routelet::time::Instant;

use crate::plan::{Families, Plan};

const LINK: u32 = 3;

fn found(address: &str) -> LinkPeer {
    LinkPeer { address: address.parse().unwrap(), link: LINK }
}

/// node1 of the reference cluster with the ToR as whoever is there on eth1.
fn speaker(passive: bool) -> Speaker {
    let mut speaker = Speaker::new(1);
    speaker.handle_intent(Instant::ORIGIN, intent(passive));
    speaker
}

fn intent(passive: bool) -> Intent {
    let mut intent = Plan::reference(Families::Ipv4).intent("node1");
    intent.peers.retain(|name, _| name == "tor");
    let tor = intent.peers.get_mut("tor").unwrap();
    tor.address = Ipv6Addr::UNSPECIFIED.into();
    tor.interface = Some("eth1".to_owned());
    tor.asn = RemoteAs::External;
    tor.passive = passive;
    tor.graceful_restart = Some(GracefulRestart::default());
    intent
}

/// Where connections are opened to within ten seconds.
fn dialled(speaker: &mut Speaker, now: &mut Instant) -> Vec<(IpAddr, Option<String>)> {
    let end = *now + Duration::from_secs(10);
    let mut dialled = vec![];
    loop {
        while let Some(action) = speaker.poll_action() {
            if let Action::Dial { connection, remote, interface, .. } = action {
                dialled.push((remote.ip(), interface));
                speaker.handle_closed(*now, connection, "refused");
            }
        }
        let Some((at, _)) = speaker.poll_timeout().filter(|(at, _)| *at <= end) else { break };
        *now = at;
        speaker.handle_timeout(at);
    }
    *now = end;
    dialled.dedup();
    dialled
}

#[test]
fn who_has_been_found_is_dialled_and_no_other() {
    let (mut speaker, mut now) = (speaker(false), Instant::ORIGIN);
    let at = |address: &str| vec![(address.parse().unwrap(), Some("eth1".to_owned()))];
    assert_eq!(dialled(&mut speaker, &mut now), []);
    speaker.handle_link_peer(now, "eth2", Some(found("fe80::2")));
    assert_eq!(dialled(&mut speaker, &mut now), [], "another link");
    speaker.handle_link_peer(now, "eth1", Some(found("fe80::1")));
    assert_eq!(dialled(&mut speaker, &mut now), at("fe80::1"));
    speaker.handle_link_peer(now, "eth1", Some(found("fe80::9")));
    assert_eq!(dialled(&mut speaker, &mut now), at("fe80::9"), "its address has changed");
    speaker.handle_link_peer(now, "eth1", None);
    assert_eq!(dialled(&mut speaker, &mut now), [], "its link is gone");
    assert!(speaker.peers(now).is_empty());
}

#[test]
fn the_same_address_on_another_link_is_somebody_else() {
    let mut speaker = speaker(true);
    let now = Instant::ORIGIN;
    speaker.handle_link_peer(now, "eth1", Some(found("fe80::1")));
    let on = |address: &str, port, link| -> SocketAddr {
        SocketAddrV6::new(address.parse().unwrap(), port, 0, link).into()
    };
    let mut accepted = |link| {
        let (local, remote) = (on("fe80::11", 179, link), on("fe80::1", 40_000, link));
        speaker.handle_accepted(now, local, remote).is_some()
    };
    assert!(!accepted(LINK + 1));
    assert!(accepted(LINK));
}

#[test]
fn what_was_there_at_the_start_waits_for_who_is_still_to_be_found() {
    let mut speaker = Speaker::new(1);
    let prefix = "10.99.0.0/16".parse().unwrap();
    let left = Route { prefix, target: Target::Unreachable, metric: 20, group: None };
    speaker.handle_adopted(Instant::ORIGIN, Found { routes: vec![left], groups: None });
    speaker.handle_intent(Instant::ORIGIN, intent(false));
    let removed = |speaker: &mut Speaker| {
        let actions = std::iter::from_fn(|| speaker.poll_action());
        let changes = actions.filter_map(|action| match action {
            Action::ChangeRoutes(batch) => Some(batch.changes),
            _ => None,
        });
        changes
            .flatten()
            .any(|change| matches!(change, Change::Remove { .. }) && change.prefix() == Some(prefix))
    };
    assert!(!removed(&mut speaker));
    loop {
        let (at, _) = speaker.poll_timeout().expect("it is kept for ever");
        speaker.handle_timeout(at);
        let over = at >= Instant::ORIGIN + Duration::from_secs(120);
        assert_eq!(removed(&mut speaker), over, "{at:?}");
        if over {
            break;
        }
    }
}
