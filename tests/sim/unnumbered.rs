//! A peer that is known by its link alone: there once somebody has been found, gone with the link.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use routelet::speaker::intent::RemoteAs;
use routelet::speaker::{Action, LinkPeer, Speaker};
use routelet::time::Instant;

use crate::plan::{Families, Plan};

const LINK: u32 = 3;

fn found(address: &str) -> LinkPeer {
    LinkPeer { address: address.parse().unwrap(), link: LINK }
}

/// node1 of the reference cluster with the ToR as whoever is there on eth1.
fn speaker(passive: bool) -> Speaker {
    let mut intent = Plan::reference(Families::Ipv4).intent("node1");
    intent.peers.retain(|name, _| name == "tor");
    let tor = intent.peers.get_mut("tor").unwrap();
    tor.address = Ipv6Addr::UNSPECIFIED.into();
    tor.interface = Some("eth1".to_owned());
    tor.asn = RemoteAs::External;
    tor.passive = passive;
    let mut speaker = Speaker::new(1);
    speaker.handle_intent(Instant::ORIGIN, intent);
    speaker
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
