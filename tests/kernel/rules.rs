//! Policy rules: made, adopted, repaired and removed, and everybody else's left alone.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use routelet::fib::{NextHop, Target};
use routelet::kernel::bell;
use routelet::kernel::routes::Ownership;
use routelet::kernel::rules::{Outcome, Rule};
use routelet::kernel::{Bell, Netlink};
use routelet::prefix::Family;
use routelet::rib::next_hop::Underlay;

use crate::rig::{Pair, namespace};
use crate::routes::{found_in, install, installer, ip};

const OURS: u8 = 114;

fn plain(family: Family, priority: u32) -> Rule {
    Rule {
        priority,
        family,
        from: None,
        to: None,
        interface: None,
        mark: None,
        table: 100,
        longer_than: None,
    }
}

/// One rule of each kind.
fn every_kind() -> BTreeSet<Rule> {
    let (v4, v6) = (Family::Ipv4Unicast, Family::Ipv6Unicast);
    let some = |text: &str| Some(text.parse().unwrap());
    BTreeSet::from([
        plain(v4, 1000),
        plain(v6, 1000),
        Rule { from: some("10.244.0.0/16"), ..plain(v4, 1001) },
        Rule { from: some("fd00:244::/48"), to: some("2001:db8::/32"), ..plain(v6, 1001) },
        Rule { to: some("192.0.2.1/32"), table: 70_000, ..plain(v4, 1002) },
        Rule { interface: Some("not-there-yet".to_owned()), ..plain(v4, 1003) },
        Rule { mark: Some((0x10, u32::MAX)), ..plain(v6, 1004) },
        Rule { mark: Some((0x100, 0xf00)), from: some("10.0.0.0/8"), ..plain(v4, 1005) },
        Rule { to: some("10.244.1.0/24"), table: 254, longer_than: Some(23), ..plain(v4, 999) },
    ])
}

async fn make(netlink: &Netlink, wanted: &BTreeSet<Rule>) -> Outcome {
    let outcome = netlink.set_rules(OURS, wanted).await.unwrap();
    assert!(outcome.refused.is_empty() && outcome.left_behind.is_empty(), "{outcome:?}");
    outcome
}

#[tokio::test]
async fn every_kind_of_rule_is_made_once_read_back_and_removed() {
    let (namespace, netlink) = namespace().await;
    let before = [ip(&namespace, "rule"), ip(&namespace, "-6 rule")];
    let wanted = every_kind();
    assert_eq!(make(&netlink, &wanted).await.made, wanted.iter().cloned().collect::<Vec<_>>());
    assert_eq!(netlink.our_rules(OURS).await.unwrap(), wanted.iter().cloned().collect::<Vec<_>>());
    let shown = [ip(&namespace, "rule"), ip(&namespace, "-6 rule")].concat();
    for rule in &wanted {
        // ip(8) leaves out the length of a host, and says of an interface that it is missing.
        let line = rule.to_string().replace("192.0.2.1/32", "192.0.2.1").replacen(": ", ":\t", 1);
        let line = line.replace("not-there-yet", "not-there-yet [detached]");
        assert!(shown.contains(&format!("{line} proto 114")), "{line:?} is not in\n{shown}");
    }

    // A daemon that starts again finds what it wants, and makes nothing.
    let again = make(&Netlink::open_in(&namespace).unwrap(), &wanted).await;
    assert!(again.made.is_empty() && again.removed.is_empty(), "{again:?}");

    let fewer: BTreeSet<Rule> = wanted.iter().filter(|rule| rule.priority != 1001).cloned().collect();
    let outcome = make(&netlink, &fewer).await;
    assert_eq!(
        outcome.removed,
        ["1001: from 10.244.0.0/16 lookup 100", "1001: from fd00:244::/48 to 2001:db8::/32 lookup 100"]
    );
    assert_eq!(make(&netlink, &BTreeSet::new()).await.removed.len(), fewer.len());
    assert_eq!([ip(&namespace, "rule"), ip(&namespace, "-6 rule")], before);
}

#[tokio::test]
async fn rules_of_others_are_never_touched_however_like_ours_they_are() {
    let (namespace, netlink) = namespace().await;
    for rule in [
        "rule add from 10.0.0.0/8 pref 1000 lookup 100",
        "rule add pref 1000 lookup 100 proto 99",
        "-6 rule add pref 1000 lookup 100 proto static",
    ] {
        ip(&namespace, rule);
    }
    let before = [ip(&namespace, "rule"), ip(&namespace, "-6 rule")];
    let wanted = BTreeSet::from([plain(Family::Ipv4Unicast, 1000), plain(Family::Ipv4Unicast, 1001)]);
    assert_eq!(make(&netlink, &wanted).await.made.len(), 2, "ours beside theirs");

    // Theirs came after ours, and is equal to it.
    ip(&namespace, "rule add pref 1001 lookup 100 proto 99");
    make(&netlink, &BTreeSet::new()).await;
    ip(&namespace, "rule del pref 1001 lookup 100 proto 99");
    assert_eq!([ip(&namespace, "rule"), ip(&namespace, "-6 rule")], before);
}

#[tokio::test]
async fn a_rule_that_the_kernel_refuses_holds_back_no_other() {
    let (_namespace, netlink) = namespace().await;
    let name = "longer-than-any-interface-s".to_owned();
    let impossible = Rule { interface: Some(name), ..plain(Family::Ipv4Unicast, 900) };
    let wanted = BTreeSet::from([impossible.clone(), plain(Family::Ipv4Unicast, 1000)]);
    let outcome = netlink.set_rules(OURS, &wanted).await.unwrap();
    assert_eq!(outcome.made, [plain(Family::Ipv4Unicast, 1000)]);
    let [(refused, error)] = outcome.refused.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(*refused, impossible);
    assert!(error.to_string().starts_with("add rule 900: from all iif longer-"), "{error}");
}

#[tokio::test]
async fn a_rule_that_somebody_deletes_or_changes_rings_and_is_repaired() {
    let (namespace, netlink) = namespace().await;
    let wanted = every_kind();
    make(&netlink, &wanted).await;
    let mut bell = namespace.enter(|| Bell::open(bell::RULES_AND_ADDRESSES)).unwrap().unwrap();
    ip(&namespace, "rule del pref 1002");
    tokio::time::timeout(Duration::from_secs(10), bell.rung()).await.unwrap();
    ip(&namespace, "-6 rule del pref 1004");
    tokio::time::timeout(Duration::from_secs(10), bell.rung()).await.unwrap();
    let outcome = make(&netlink, &wanted).await;
    assert_eq!(outcome.made.iter().map(|rule| rule.priority).collect::<Vec<_>>(), [1002, 1004]);

    // Under our number, but not what we want: a duplicate, another table, an action of its own.
    ip(&namespace, "rule add pref 1000 lookup 101 proto 114");
    ip(&namespace, "rule add pref 1006 unreachable proto 114");
    ip(&namespace, "rule add not from 10.0.0.0/8 pref 1007 lookup 100 proto 114");
    let outcome = make(&netlink, &wanted).await;
    assert_eq!(
        outcome.removed,
        ["1000: from all lookup 101", "1006: of another kind", "1007: of another kind"]
    );
    assert_eq!(netlink.our_rules(OURS).await.unwrap(), wanted.into_iter().collect::<Vec<_>>());
}

/// What a daemon makes for one rule without conditions: before it, what is connected.
fn with_guards(table: u32) -> BTreeSet<Rule> {
    let guard = |to: &str, length| Rule {
        to: Some(to.parse().unwrap()),
        table: 254,
        longer_than: Some(length),
        ..plain(if to.contains(':') { Family::Ipv6Unicast } else { Family::Ipv4Unicast }, 999)
    };
    let all = |family| Rule { table, ..plain(family, 1000) };
    BTreeSet::from([
        guard("192.0.2.0/24", 23),
        guard("2001:db8::/64", 63),
        guard("fe80::/64", 63),
        all(Family::Ipv4Unicast),
        all(Family::Ipv6Unicast),
    ])
}

/// With a default route of ours in a table that comes before `main`, routers on the link are still found
/// on the link: by the kernel when it is given routes through them, and by packets to them.
#[tokio::test]
async fn routers_on_a_link_are_found_beside_a_default_route_in_a_table_of_ours() {
    let pair = Pair::addressed().await;
    let left = pair.left_link.index;
    let table = Ownership { table: 100, protocol: OURS };
    make(&pair.left, &with_guards(100)).await;
    let hops = |routers: &[&str]| {
        let hop = |via: &&str| NextHop { via: via.parse().unwrap(), interface: Some(left), weight: 1 };
        Target::Via(routers.iter().map(hop).collect())
    };
    // The peer itself, a router that it names (third-party), several, one by its link-local address, and an
    // IPv6 router for IPv4.
    let changes = [
        install("0.0.0.0/0", hops(&["192.0.2.2"])),
        install("::/0", hops(&["2001:db8::2"])),
        install("10.1.0.0/16", hops(&["192.0.2.3"])),
        install("fd00:1::/48", hops(&["2001:db8::3"])),
        install("10.2.0.0/16", hops(&["192.0.2.3", "192.0.2.4"])),
        install("fd00:2::/48", hops(&["2001:db8::3", "2001:db8::4"])),
        install("fd00:3::/48", hops(&["fe80::1"])),
        install("10.3.0.0/16", hops(&["2001:db8::3"])),
        install("10.244.1.0/24", Target::Unreachable),
    ];
    assert_eq!(installer(&pair.left_namespace, table).apply(&changes), []);
    assert_eq!(found_in(&pair.left_namespace, table).len(), changes.len());
    for (get, way) in [
        ("route get 192.0.2.9", "192.0.2.9 dev left"),
        ("-6 route get 2001:db8::9", "2001:db8::9 from :: dev left"),
        ("-6 route get fe80::9 oif left", "fe80::9 from :: dev left"),
        ("route get 10.1.2.3", "via 192.0.2.3 dev left"),
        ("-6 route get fd00:1::1", "via 2001:db8::3 dev left"),
        ("route get 198.51.100.1", "via 192.0.2.2 dev left"),
    ] {
        let shown = ip(&pair.left_namespace, get);
        assert!(shown.contains(way), "{get}: {shown}");
    }
}

/// The underlay is both tables: a static route in either leads to a next hop that is further away.
#[tokio::test]
async fn next_hops_are_found_by_main_and_by_the_table_of_ours() {
    let pair = Pair::addressed().await;
    let table = Ownership { table: 100, protocol: OURS };
    ip(&pair.left_namespace, "route add 198.51.100.0/24 via 192.0.2.2");
    ip(&pair.left_namespace, "route add 203.0.113.0/24 via 192.0.2.3 table 100");
    ip(&pair.left_namespace, "route add 203.0.113.128/25 via 192.0.2.4 table 100 proto 114");
    let underlay = Underlay::new(pair.left.underlay(table).await.unwrap());
    let via = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        underlay.resolve(address).map(|resolution| resolution.via.to_string())
    };
    assert_eq!(via("192.0.2.9").as_deref(), Some("192.0.2.9"), "on the link");
    assert_eq!(via("2001:db8::9").as_deref(), Some("2001:db8::9"), "on the link");
    assert_eq!(via("198.51.100.1").as_deref(), Some("192.0.2.2"), "by a route of main");
    assert_eq!(via("203.0.113.1").as_deref(), Some("192.0.2.3"), "by somebody else's route beside ours");
    assert_eq!(via("203.0.113.129").as_deref(), Some("192.0.2.3"), "never by a route of ours");
    assert_eq!(via("10.0.0.1"), None);
}
