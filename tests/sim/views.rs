//! What a speaker shows of its peers: their tables before and after policy, their faults, their
//! NOTIFICATIONs; and that what changes for one peer is no matter of another's.

use std::collections::BTreeMap;
use std::time::Duration;

use routelet::bgp::update::Treatment;
use routelet::bgp::{Capability, ExtendedCommunity, Notification, Reason};
use routelet::fib::Target;
use routelet::prefix::Prefix;
use routelet::rib::policy::{Action, AnyCommunity, Match, PrefixRule, Rule, Set};
use routelet::speaker::Speaker;
use routelet::speaker::peer_table::{AdjRib, Cursor};
use routelet::speaker::view::{PeerView, RouteView};

use crate::plan::Plan;
use crate::scripted::Rig;
use crate::world::World;
use crate::{each, each_of};

/// One of a peer's tables, put together from its portions.
fn table(speaker: &Speaker, peer: &str, table: AdjRib) -> Vec<RouteView> {
    let mut routes = vec![];
    let mut from = Some(Cursor::default());
    while let Some(cursor) = from {
        let portion = speaker.peer_table(peer, table, |_| true, cursor).unwrap();
        routes.extend(portion.routes);
        from = portion.next;
    }
    routes.sort_by_key(|route| route.prefix);
    routes
}

fn prefixes(routes: &[RouteView]) -> Vec<Prefix> {
    routes.iter().map(|route| route.prefix).collect()
}

fn rejecting(prefix: &str) -> Rule {
    let prefixes = Some([PrefixRule::exactly(prefix.parse().unwrap())].into_iter().collect());
    let matches = Match { prefixes, ..Match::default() };
    Rule { matches, set: Set::default(), action: Some(Action::Reject) }
}

#[test]
fn all_routes_are_the_sum_of_their_portions() {
    let mut rig = Rig::new(&[], |_| ());
    rig.announce(&["172.16.0.0/24", "172.16.1.0/24", "203.0.113.0/24"], |_| ());
    let all = rig.speaker.routes(|_| true);
    assert_eq!(all.len(), 4, "and a pod CIDR");
    for most in 1..6 {
        let (mut routes, mut from) = (vec![], Some(Cursor::default()));
        while let Some(cursor) = from {
            let portion = rig.speaker.routes_portion(|_| true, cursor, most);
            assert!(portion.routes.len() <= most);
            routes.extend(portion.routes);
            from = portion.next;
        }
        routes.sort_by_key(|route| route.prefix);
        assert_eq!(routes, all);
    }
}

#[test]
fn tables_of_a_peer_before_and_after_policy() {
    let setting = || Rule { set: Set { local_pref: Some(200), ..Set::default() }, ..Rule::default() };
    let mut rig = Rig::new(&[], |intent| {
        let import = &mut intent.peers.get_mut("tor").unwrap().import;
        import.rules.splice(0..0, [setting(), rejecting("172.16.1.0/24")]);
        import.accept([PrefixRule::within("172.16.0.0/16".parse().unwrap())]);
    });
    rig.announce(&["172.16.0.0/24", "172.16.1.0/24", "203.0.113.0/24", "10.244.1.0/24"], |_| ());
    let all = table(&rig.speaker, "tor", AdjRib::Received);
    let why: BTreeMap<String, Option<String>> = all
        .iter()
        .map(|route| {
            let path = &route.paths[0];
            assert_eq!(path.attributes.local_pref, None, "as received");
            (route.prefix.to_string(), path.ineligible.as_ref().map(ToString::to_string))
        })
        .collect();
    let expected = [
        ("10.244.1.0/24", Some("the prefix is protected")),
        ("172.16.0.0/24", None),
        ("172.16.1.0/24", Some("import rule 2 rejects it")),
        ("203.0.113.0/24", Some("no import rule accepts it")),
    ];
    assert_eq!(why, expected.map(|(p, why)| (p.to_owned(), why.map(str::to_owned))).into());
    let rejected = table(&rig.speaker, "tor", AdjRib::Rejected);
    assert_eq!(rejected.len(), 3);
    let accepted = table(&rig.speaker, "tor", AdjRib::Accepted);
    assert_eq!(prefixes(&accepted), ["172.16.0.0/24".parse().unwrap()]);
    assert_eq!(accepted[0].paths[0].attributes.local_pref, Some(200), "as policy has changed it");
    let announced = table(&rig.speaker, "tor", AdjRib::Announced);
    assert_eq!(prefixes(&announced), ["10.244.1.0/24".parse().unwrap()]);
    assert_eq!(announced[0].paths[0].attributes.as_path.to_string(), "64512");
    assert!(rig.speaker.peer_table("nobody", AdjRib::Received, |_| true, Cursor::default()).is_none());
}

#[test]
fn a_table_of_any_size_comes_in_portions() {
    let mut rig = Rig::new(&[], |intent| {
        let import = &mut intent.peers.get_mut("tor").unwrap().import;
        import.accept([PrefixRule::within("0.0.0.0/0".parse().unwrap())]);
    });
    let all: Vec<String> = (0..5000).map(|i| format!("20.{}.{}.0/24", i / 256, i % 256)).collect();
    for some in all.chunks(500) {
        rig.announce(&some.iter().map(String::as_str).collect::<Vec<_>>(), |_| ());
    }
    let first = rig.speaker.peer_table("tor", AdjRib::Received, |_| true, Cursor::default()).unwrap();
    assert!(first.routes.len() < 2500 && first.next.is_some(), "{}", first.routes.len());
    let mut expected: Vec<Prefix> = all.iter().map(|text| text.parse().unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(prefixes(&table(&rig.speaker, "tor", AdjRib::Received)), expected);
}

#[test]
fn faults_are_shown_with_their_octets_and_logged_once() {
    let mut rig = Rig::new(&[], |_| ());
    let mut octets = vec![];
    let attributes = routelet::bgp::PathAttributes {
        as_path: routelet::bgp::AsPath::sequence([65000]),
        ..routelet::bgp::PathAttributes::originated("192.168.1.1".parse().unwrap())
    };
    rig.codec.encode_announcements(&attributes, &["172.16.0.0/24".parse::<Prefix>().unwrap()], &mut octets);
    // ORIGIN IGP becomes an ORIGIN that there is not (RFC 7606 §7.1).
    let origin = octets.windows(4).position(|w| w == [0x40, 1, 1, 0]).unwrap();
    octets[origin + 3] = 7;
    for _ in 0..20 {
        rig.now = rig.now + Duration::from_secs(1);
        rig.say(octets.clone());
    }
    let peer = rig.speaker.peers(rig.now).remove(0);
    assert_eq!(
        (peer.state, peer.counters.faults_withdrawn, peer.counters.faults_discarded),
        ("Established", 20, 0)
    );
    assert_eq!(peer.last_faults.len(), 8);
    let last = &peer.last_faults[0];
    assert_eq!((last.ago, last.code, last.treatment), (Duration::ZERO, 1, Treatment::TreatAsWithdraw));
    assert_eq!(last.bytes, [0x40, 1, 1, 7]);
    let logged: Vec<_> = rig.notices.iter().filter(|notice| notice.contains("malformed")).collect();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("treat-as-withdraw") && logged[0].ends_with("0x40010107"), "{logged:?}");
}

#[test]
fn the_last_notifications_are_shown_and_unknown_capabilities_too() {
    let strange = Capability::Unknown { code: 200, data: vec![0xca, 0xfe] };
    let mut rig = Rig::new(&[strange], |_| ());
    let peer = |rig: &Rig| rig.speaker.peers(rig.now).remove(0);
    let shown = peer(&rig);
    assert!(shown.capabilities.contains(&"code 200 with 0xcafe".to_owned()), "{:?}", shown.capabilities);
    assert_eq!((shown.notification_sent, shown.notification_received), (None, None));
    let goodbye = Notification::with_communication(Reason::ADMINISTRATIVE_SHUTDOWN, "back at \u{1b}4");
    rig.say(rig.codec.encode_notification(&goodbye));
    rig.now = rig.now + Duration::from_secs(3);
    let shown = peer(&rig);
    let received = shown.notification_received.unwrap();
    assert_eq!((received.code, received.subcode, received.ago), (6, 2, Duration::from_secs(3)));
    assert_eq!(received.communication.as_deref(), Some("back at \\u{1b}4"));
    assert_eq!(shown.notification_sent, None);
}

fn counters(world: &World, member: &str) -> BTreeMap<String, PeerView> {
    world.peers(member).into_iter().map(|peer| (peer.name.clone(), peer)).collect()
}

#[test]
fn a_change_for_one_peer_costs_what_differs_and_is_no_matter_of_the_others() {
    each(|world, plan| {
        world.start_all();
        world.run_for(Duration::from_secs(10));
        let before = counters(world, "node1");
        let mut changed = plan.intent("node1");
        let own = plan.member("node1").prefixes.clone();
        let tor = changed.peers.get_mut("tor").unwrap();
        for prefix in plan.member("tor").prefixes.iter().map(ToString::to_string) {
            tor.import.rules.insert(0, rejecting(&prefix));
        }
        for prefix in own.iter().map(ToString::to_string) {
            tor.export.rules.insert(0, rejecting(&prefix));
        }
        world.configure("node1", changed);
        world.run_for(Duration::from_secs(1));
        for (name, after) in counters(world, "node1") {
            let before = &before[&name];
            let updates = |peer: &PeerView| (peer.counters.updates_in, peer.counters.updates_out);
            assert_eq!((after.flaps, after.state), (before.flaps, "Established"), "{name}");
            assert!(after.established_for > before.established_for, "{name}");
            assert_eq!(updates(&after).0, updates(before).0, "{name} is not asked again");
            let told = updates(&after).1 - updates(before).1;
            let expected = if name == "tor" { own.len() as u64 } else { 0 };
            assert_eq!(told, expected, "{name} is told what differs: one withdrawal a family");
        }
        let learned = world.learned_routes("node1");
        assert!(plan.member("tor").prefixes.iter().all(|prefix| !learned.contains_key(prefix)));
        world.configure("node1", plan.intent("node1"));
        world.run_for(Duration::from_secs(1));
        crate::oracle::check(world, plan);
    });
}

/// Has a ToR say how wide its link is, to everyone.
fn saying_bandwidth(plan: &Plan, tor: &str, rate: f32) -> routelet::speaker::Intent {
    let mut intent = plan.intent(tor);
    for peer in intent.peers.values_mut() {
        let community = ExtendedCommunity::link_bandwidth(65000, rate, tor == "tor");
        let add_communities = [AnyCommunity::Extended(community)].into();
        let set = Set { add_communities, ..Set::default() };
        peer.export.rules.insert(0, Rule { set, ..Rule::default() });
    }
    intent
}

#[test]
fn packets_are_shared_by_link_bandwidth_where_every_path_says_one() {
    each_of(Plan::with_two_tors, |world, plan| {
        let weights = |world: &World| -> Vec<Vec<u8>> {
            let targets = world.targets("node1");
            let behind = plan.member("tor").prefixes.iter().map(|prefix| &targets[prefix]);
            let weights = behind.map(|target| match target {
                Target::Via(hops) => hops.iter().map(|hop| hop.weight).collect(),
                Target::Unreachable => vec![],
            });
            weights.collect()
        };
        let all = |world: &World, expected: &[u8]| {
            assert!(weights(world).iter().all(|found| found == expected), "{:?}", weights(world));
        };
        world.start_all();
        world.configure("tor", saying_bandwidth(plan, "tor", 1.25e9));
        world.run_for(Duration::from_secs(10));
        all(world, &[1, 1]);
        world.configure("tor2", saying_bandwidth(plan, "tor2", 5e9));
        world.run_for(Duration::from_secs(1));
        all(world, &[1, 4]);
        world.configure("tor", plan.intent("tor"));
        world.run_for(Duration::from_secs(1));
        all(world, &[1, 1]);
        assert_eq!(world.seen("went down"), 0);
    });
}
