//! IPv4 over a link that has IPv6 link-local addresses alone (RFC 8950), and such an address on the wrong
//! link.

use std::net::IpAddr;

use routelet::bgp::capability::NextHopFamily;
use routelet::bgp::{Capability, Message, PathAttributes};
use routelet::fib::{NextHop, Target};
use routelet::speaker::Intent;
use routelet::speaker::intent::ExtendedNextHop;

use crate::scripted::{LINK, Rig};

const ROUTER: &str = "fe80::1";

fn rig(change: impl FnOnce(&mut Intent)) -> Rig {
    let capabilities = [Capability::ExtendedNextHop(vec![NextHopFamily::IPV4_OVER_IPV6])];
    Rig::new(&capabilities, |intent| {
        let tor = intent.peers.get_mut("tor").unwrap();
        tor.address = ROUTER.parse().unwrap();
        tor.interface = Some("eth1".to_owned());
        change(intent);
    })
}

/// The next hop that our pod CIDR has been announced with.
fn told(rig: &Rig) -> IpAddr {
    let mut announcements = rig.heard.iter().filter_map(|message| match message {
        Message::Update(update) => update.announced.first(),
        _ => None,
    });
    announcements.next_back().unwrap().attributes.next_hop
}

#[test]
fn a_router_is_where_it_was_heard() {
    let mut rig = rig(|intent| intent.addresses.clear());
    let through_router = |attributes: &mut PathAttributes| attributes.next_hop = ROUTER.parse().unwrap();
    rig.announce(&["172.16.0.0/24"], through_router);
    let shown = rig.speaker.fib();
    let route = shown.iter().find(|route| route.prefix == "172.16.0.0/24".parse().unwrap()).unwrap();
    let router = NextHop { via: ROUTER.parse().unwrap(), interface: Some(LINK), weight: 1 };
    assert_eq!(route.target, Some(Target::Via(vec![router])), "every link has fe80::/64");
    assert_eq!(told(&rig), "fe80::11".parse::<IpAddr>().unwrap(), "we have nothing else to give");

    // Beside a global next hop that leads nowhere, it is still on the link.
    rig.announce(&["172.16.0.0/24"], |attributes| {
        attributes.next_hop = "2001:db8::1".parse().unwrap();
        attributes.rare.change(|rare| rare.link_local_next_hop = Some(ROUTER.parse().unwrap()));
    });
    assert!(rig.path("172.16.0.0/24").is_some_and(|path| path.best));
    assert_eq!(rig.speaker.fib().len(), shown.len());
}

#[test]
fn an_ipv4_address_is_given_where_there_is_one_unless_asked_otherwise() {
    assert_eq!(told(&rig(|_| ())), "192.168.1.11".parse::<IpAddr>().unwrap());
    let always = |intent: &mut Intent| {
        intent.peers.get_mut("tor").unwrap().extended_next_hop = ExtendedNextHop::Always;
    };
    assert_eq!(told(&rig(always)), "fe80::11".parse::<IpAddr>().unwrap());
}
