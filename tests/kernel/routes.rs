//! Routes of ours: every transition in both families, somebody else's routes untouched, batches.

use std::process::Command;

use routelet::fib::{Change, NextHop, Route, Target};
use routelet::kernel::routes::Ownership;
use routelet::kernel::{Installer, NetNs, found};
use routelet::prefix::Prefix;

use crate::rig::{Pair, eventually, namespace};

pub const OURS: Ownership = Ownership { table: 254, protocol: 114 };

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn via(link: u32, routers: &[&str]) -> Target {
    Target::Via(
        routers
            .iter()
            .map(|via| NextHop { via: via.parse().unwrap(), interface: Some(link), weight: 1 })
            .collect(),
    )
}

pub fn install(prefix: &str, target: Target) -> Change {
    Change::Install(Route { prefix: prefix.parse().unwrap(), target, metric: 20, group: None })
}

pub fn remove(prefix: &str) -> Change {
    Change::Remove { prefix: prefix.parse().unwrap(), metric: 20 }
}

/// Has these changes made in the namespace, all of them.
pub fn write(namespace: &NetNs, changes: &[Change]) {
    let mut installer = installer(namespace, OURS);
    assert_eq!(installer.apply(changes), []);
}

pub fn installer(namespace: &NetNs, ownership: Ownership) -> Installer {
    namespace.enter(|| Installer::open(ownership)).unwrap().unwrap()
}

pub fn found_in(namespace: &NetNs, ownership: Ownership) -> Vec<Route> {
    namespace.enter(|| found::found(ownership)).unwrap().unwrap().routes
}

/// Has these changes made on the left of a pair, by its writer.
pub fn apply(pair: &Pair, changes: &[Change]) {
    assert_eq!(pair.writer.borrow_mut().apply(changes), []);
}

/// `ip route` in the namespace: another program's view and another program's hand.
pub fn ip(namespace: &NetNs, arguments: &str) -> String {
    let output = namespace.enter(|| Command::new("ip").args(arguments.split(' ')).output().unwrap()).unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every target by every other, itself included, then away: what the kernel says of ours is what
/// was asked for each time, and nothing else is left.
async fn every_transition(ownership: Ownership, destination: &str, targets: &[Target]) {
    let pair = Pair::addressed().await;
    let link = pair.left_link.index;
    let mut installer = installer(&pair.left_namespace, ownership);
    let with_link = |target: &Target| match target {
        Target::Unreachable => Target::Unreachable,
        Target::Via(hops) => {
            Target::Via(hops.iter().map(|hop| NextHop { interface: Some(link), ..*hop }).collect())
        }
    };
    for from in targets {
        for to in targets {
            for target in [from, to] {
                let route =
                    Route { prefix: prefix(destination), target: with_link(target), metric: 20, group: None };
                assert_eq!(installer.apply(&[Change::Install(route.clone())]), []);
                let found = found_in(&pair.left_namespace, ownership);
                assert_eq!(found, [route], "{from:?} to {to:?}");
            }
            for _ in 0..2 {
                assert_eq!(installer.apply(&[remove(destination)]), []);
                assert_eq!(found_in(&pair.left_namespace, ownership), [], "after {to:?}");
            }
        }
    }
}

fn targets(lists: &[&[&str]]) -> Vec<Target> {
    lists.iter().map(|list| if list.is_empty() { Target::Unreachable } else { via(0, list) }).collect()
}

/// Weights reach the kernel and come back, in both families, and so does a change of them alone.
#[tokio::test]
async fn shares_by_weight() {
    let pair = Pair::addressed().await;
    let link = pair.left_link.index;
    for (destination, routers) in [
        ("10.244.2.0/24", ["192.0.2.2", "192.0.2.3"]),
        ("10.244.3.0/24", ["192.0.2.2", "fe80::1"]),
        ("fd00:244:2::/48", ["2001:db8::2", "2001:db8::3"]),
    ] {
        for (one, other) in [(1, 4), (25, 100), (255, 1), (1, 1)] {
            let hop =
                |via: &str, weight| NextHop { via: via.parse().unwrap(), interface: Some(link), weight };
            let target = Target::Via(vec![hop(routers[0], one), hop(routers[1], other)]);
            write(&pair.left_namespace, &[install(destination, target.clone())]);
            let route = Route { prefix: prefix(destination), target, metric: 20, group: None };
            assert_eq!(found_in(&pair.left_namespace, OURS), [route]);
            let shown =
                ip(&pair.left_namespace, if destination.contains("::") { "-6 route" } else { "route" });
            assert!(shown.contains(&format!("weight {one}")), "{shown}");
            assert!(shown.contains(&format!("weight {other}")), "{shown}");
        }
        write(&pair.left_namespace, &[remove(destination)]);
    }
}

#[tokio::test]
async fn every_transition_in_ipv4() {
    let targets = targets(&[
        &["192.0.2.2"],
        &["192.0.2.3"],
        &["192.0.2.2", "192.0.2.3"],
        &["192.0.2.3", "192.0.2.4", "192.0.2.5"],
        &["fe80::1"],
        &["192.0.2.2", "fe80::1"],
        &[],
    ]);
    every_transition(OURS, "10.244.2.0/24", &targets).await;
    every_transition(OURS, "0.0.0.0/0", &targets).await;
}

#[tokio::test]
async fn every_transition_in_ipv6() {
    let targets = targets(&[
        &["2001:db8::2"],
        &["2001:db8::3"],
        &["2001:db8::2", "2001:db8::3"],
        &["2001:db8::3", "2001:db8::4", "2001:db8::5"],
        &["2001:db8::2", "fe80::1"],
        &[],
    ]);
    every_transition(OURS, "fd00:244:2::/48", &targets).await;
    every_transition(OURS, "::/0", &targets).await;
}

#[tokio::test]
async fn every_transition_in_a_table_with_a_long_number() {
    let ownership = Ownership { table: 70_000, protocol: 115 };
    every_transition(
        ownership,
        "10.244.2.0/24",
        &targets(&[&["192.0.2.2"], &["192.0.2.3", "192.0.2.4"], &[]]),
    )
    .await;
    every_transition(
        ownership,
        "fd00:2::/48",
        &targets(&[&["2001:db8::2"], &["2001:db8::3", "2001:db8::4"]]),
    )
    .await;
}

#[tokio::test]
async fn the_kernel_finds_the_interface_where_none_is_named() {
    let pair = Pair::addressed().await;
    let unnamed =
        |via: &str| Target::Via(vec![NextHop { via: via.parse().unwrap(), interface: None, weight: 1 }]);
    let changes =
        [install("10.0.0.0/8", unnamed("192.0.2.2")), install("fd00:9::/48", unnamed("2001:db8::2"))];
    write(&pair.left_namespace, &changes);
    let found = found_in(&pair.left_namespace, OURS);
    assert_eq!(found[0].target, via(pair.left_link.index, &["192.0.2.2"]));
    assert_eq!(found[1].target, via(pair.left_link.index, &["2001:db8::2"]));
}

/// What another program installed stays as it is, by install and by remove, whatever its form.
#[tokio::test]
async fn somebody_else_s_route_is_never_touched() {
    let pair = Pair::addressed().await;
    let foreign = [
        ("route", "10.1.0.0/16 via 192.0.2.9 metric 20 proto static"),
        ("route", "unreachable 10.2.0.0/16 metric 20 proto bird"),
        ("route", "10.3.0.0/16 metric 20 proto 77 nexthop via 192.0.2.8 nexthop via 192.0.2.9"),
        ("-6 route", "fd00:1::/48 via 2001:db8::9 metric 20 proto static"),
        ("-6 route", "unreachable fd00:2::/48 metric 20 proto bird"),
        ("-6 route", "fd00:3::/48 metric 20 proto 77 nexthop via 2001:db8::8 nexthop via 2001:db8::9"),
    ];
    for (family, route) in foreign {
        let route =
            route.strip_prefix("unreachable ").map_or(route.to_owned(), |r| format!("unreachable {r}"));
        ip(&pair.left_namespace, &format!("{family} add {route}"));
    }
    let look = || {
        let v4 = ip(&pair.left_namespace, "route show metric 20");
        v4 + &ip(&pair.left_namespace, "-6 route show metric 20")
    };
    let before = look();
    let v4 = via(pair.left_link.index, &["192.0.2.2"]);
    let v6 = via(pair.left_link.index, &["2001:db8::2", "2001:db8::3"]);
    let installs = [
        install("10.1.0.0/16", v4.clone()),
        install("10.2.0.0/16", v4.clone()),
        install("10.3.0.0/16", Target::Unreachable),
        install("fd00:1::/48", v6.clone()),
        install("fd00:2::/48", v6.clone()),
        install("fd00:3::/48", v6),
    ];
    let refusals = installer(&pair.left_namespace, OURS).apply(&installs);
    let owners = ["static (protocol 4)", "bird (protocol 12)", "protocol 77"];
    assert_eq!(refusals.len(), installs.len());
    for ((index, refusal), owner) in refusals.iter().enumerate().zip(owners.iter().cycle()) {
        let made_by = format!("there is a route already, made by {owner}");
        assert!(refusal.reason.ends_with(&made_by), "{refusal:?}");
        assert_eq!((refusal.index, refusal.conflict), (index, true));
    }
    assert_eq!(look(), before);
    write(&pair.left_namespace, &["10.1.0.0/16", "10.3.0.0/16", "fd00:1::/48", "fd00:3::/48"].map(remove));
    assert_eq!(look(), before);

    // Another metric is another route: both stand, and ours alone goes.
    let beside = Route { prefix: prefix("10.1.0.0/16"), target: v4, metric: 21, group: None };
    write(&pair.left_namespace, &[Change::Install(beside.clone())]);
    assert_eq!(found_in(&pair.left_namespace, OURS), [beside]);
    assert_eq!(look(), before);
    // The same protocol in another table is somebody else, too.
    ip(&pair.left_namespace, "route add 10.1.0.0/16 via 192.0.2.9 proto 114 table 99");
    assert_eq!(found_in(&pair.left_namespace, OURS).len(), 1);
}

#[tokio::test]
async fn the_dump_equals_what_was_installed() {
    let pair = Pair::addressed().await;
    let link = pair.left_link.index;
    let mut routes = Vec::new();
    for n in 0..1000u32 {
        let [.., high, low] = n.to_be_bytes();
        let (v4, v6) = match n % 3 {
            0 => (Target::Unreachable, Target::Unreachable),
            1 => (via(link, &["192.0.2.2"]), via(link, &["2001:db8::2"])),
            _ => (
                via(link, &["192.0.2.2", "192.0.2.3", "192.0.2.4"]),
                via(link, &["2001:db8::2", "2001:db8::3"]),
            ),
        };
        routes.push(Route {
            prefix: prefix(&format!("10.{high}.{low}.0/24")),
            target: v4,
            metric: 20,
            group: None,
        });
        routes.push(Route {
            prefix: prefix(&format!("fd00:{n:x}::/48")),
            target: v6,
            metric: 20,
            group: None,
        });
    }
    let changes: Vec<Change> = routes.iter().cloned().map(Change::Install).collect();
    write(&pair.left_namespace, &changes);
    routes.sort();
    assert_eq!(found_in(&pair.left_namespace, OURS), routes);
    // Once more changes nothing and is no error.
    write(&pair.left_namespace, &changes);
    assert_eq!(found_in(&pair.left_namespace, OURS), routes);

    let removals: Vec<Change> = routes.iter().map(|r| remove(&r.prefix.to_string())).collect();
    write(&pair.left_namespace, &removals);
    assert_eq!(found_in(&pair.left_namespace, OURS), []);
}

#[tokio::test]
async fn a_failed_change_holds_nothing_back_and_is_told_by_its_place() {
    let pair = Pair::addressed().await;
    let good = via(pair.left_link.index, &["192.0.2.2"]);
    let off_link =
        Target::Via(vec![NextHop { via: "203.0.113.1".parse().unwrap(), interface: None, weight: 1 }]);
    let mut changes: Vec<Change> =
        (0..2000).map(|n| install(&format!("10.{}.{}.0/24", n / 256, n % 256), good.clone())).collect();
    changes[0] = install("10.0.0.0/24", off_link.clone());
    changes[777] = Change::Install(Route {
        prefix: prefix("fd00::/48"),
        target: Target::Unreachable,
        metric: 0,
        group: None,
    });
    changes[1999] = install("10.7.207.0/24", via(9999, &["192.0.2.2"]));
    let errors = installer(&pair.left_namespace, OURS).apply(&changes);
    assert_eq!(errors.iter().map(|error| error.index).collect::<Vec<_>>(), [0, 777, 1999], "{errors:?}");
    let expected = "install 10.0.0.0/24 metric 20 via 203.0.113.1: Nexthop has invalid gateway: ";
    assert!(errors[0].reason.starts_with(expected), "{errors:?}");
    assert_eq!(errors[1].reason, "install fd00::/48 metric 0: an IPv6 route cannot have metric 0");
    assert_eq!(found_in(&pair.left_namespace, OURS).len(), 1997);
}

#[tokio::test]
async fn a_route_to_a_router_of_the_wrong_family_is_refused() {
    let pair = Pair::addressed().await;
    let change = install("fd00:5::/48", via(pair.left_link.index, &["192.0.2.2"]));
    let error = installer(&pair.left_namespace, OURS).apply(&[change]).remove(0).reason;
    assert!(error.starts_with("install fd00:5::/48 metric 20 via 192.0.2.2: "), "{error}");
}

/// The underlay is everybody's routes but ours, and only as long as their links work.
#[tokio::test]
async fn the_underlay_is_what_works_without_us() {
    let pair = Pair::addressed().await;
    let link = pair.left_link.index;
    write(&pair.left_namespace, &[install("10.244.2.0/24", via(link, &["192.0.2.2"]))]);
    ip(&pair.left_namespace, "route add 172.16.0.0/16 via 192.0.2.9 metric 7");
    ip(&pair.left_namespace, "route add 172.17.0.0/16 nexthop via 192.0.2.8 nexthop via 192.0.2.9");
    ip(&pair.left_namespace, "route add blackhole 172.18.0.0/16");
    let shown = |underlay: &[routelet::rib::next_hop::UnderlayRoute], text: &str| {
        let prefix = prefix(text);
        let mut found: Vec<String> = (underlay.iter().filter(|route| route.prefix == prefix))
            .map(|route| format!("{:?} {:?} {}", route.via, route.interface, route.metric))
            .collect();
        found.sort();
        found
    };
    let underlay = pair.left.underlay(OURS).await.unwrap();
    assert_eq!(shown(&underlay, "192.0.2.0/24"), [format!("None Some({link}) 0")]);
    assert_eq!(shown(&underlay, "2001:db8::/64"), [format!("None Some({link}) 256")]);
    assert_eq!(shown(&underlay, "172.16.0.0/16"), [format!("Some(192.0.2.9) Some({link}) 7")]);
    assert_eq!(shown(&underlay, "172.17.0.0/16").len(), 2);
    assert!(shown(&underlay, "172.18.0.0/16").is_empty());
    assert!(shown(&underlay, "10.244.2.0/24").is_empty(), "ours");

    // Carrier goes with the other end; the routes stand in the kernel, but lead nowhere.
    pair.right.set_up(pair.right_link.index, false).await.unwrap();
    let underlay = pair.left.underlay(OURS).await.unwrap();
    assert!(underlay.iter().all(|route| route.interface != Some(link)), "{underlay:?}");
    assert!(ip(&pair.left_namespace, "route show 172.16.0.0/16").contains("via"));
    pair.right.set_up(pair.right_link.index, true).await.unwrap();
    eventually("the routes come back with the carrier", async || {
        shown(&pair.left.underlay(OURS).await.unwrap(), "172.16.0.0/16").len() == 1
    })
    .await;
}

#[tokio::test]
async fn an_empty_namespace_has_no_routes_of_ours_in_any_table() {
    let (namespace, netlink) = namespace().await;
    for table in [254, 114, 100_000] {
        let ownership = Ownership { table, protocol: 114 };
        assert_eq!(found_in(&namespace, ownership), []);
        assert_eq!(netlink.underlay(ownership).await.unwrap(), []);
    }
}
