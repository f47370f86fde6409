//! Nexthop groups of ours: set, replaced, removed, shared by routes of both families, adopted, and made
//! again when a link's failure has taken them away.

use std::fmt::Write;

use routelet::fib::{Change, Found, Group, GroupId, NextHop, Route, Target};
use routelet::kernel::nexthop_message::GROUPS;
use routelet::kernel::routes::Ownership;
use routelet::kernel::{NetNs, found};
use routelet::prefix::Prefix;

use crate::rig::{Pair, eventually};
use crate::routes::{OURS, installer, ip, write};

const METRIC: u32 = 20;

pub fn id(n: u32) -> GroupId {
    GroupId(GROUPS.start + n)
}

pub fn hop(link: u32, via: &str) -> NextHop {
    NextHop { via: via.parse().unwrap(), interface: Some(link), weight: 1 }
}

fn hops(link: u32, routers: &[&str]) -> Vec<NextHop> {
    routers.iter().map(|via| hop(link, via)).collect()
}

pub fn group(n: u32, members: Vec<NextHop>) -> Group {
    Group { id: id(n), members, standby: vec![] }
}

pub fn set(n: u32, members: Vec<NextHop>) -> Change {
    Change::SetGroup(group(n, members))
}

/// A route through a group. The target is what the group is believed to be, and says nothing.
pub fn through(n: u32, prefix: &str) -> Route {
    let nowhere = Target::Via(vec![]);
    Route { prefix: prefix.parse().unwrap(), target: nowhere, metric: METRIC, group: Some(id(n)) }
}

pub fn install(n: u32, prefix: &str) -> Change {
    Change::Install(through(n, prefix))
}

fn found_in(namespace: &NetNs) -> Found {
    namespace.enter(|| found::found(OURS)).unwrap().unwrap()
}

fn groups_in(namespace: &NetNs) -> Vec<Group> {
    namespace.enter(|| found::groups(OURS)).unwrap().unwrap().unwrap()
}

/// How many nexthop objects there are of all kinds and everybody's.
fn objects(namespace: &NetNs) -> usize {
    ip(namespace, "nexthop").lines().count()
}

fn with_target(route: Route, members: &[NextHop]) -> Route {
    Route { target: Target::Via(members.to_vec()), ..route }
}

/// Both settings of `net.ipv4.nexthop_compat_mode`: with it at 0, the kernel tells of a route's group alone.
async fn in_both_modes(test: impl AsyncFn(Pair)) {
    for mode in ["0", "1"] {
        let pair = Pair::addressed().await;
        let setting = "/proc/sys/net/ipv4/nexthop_compat_mode";
        pair.left_namespace.enter(|| std::fs::write(setting, mode)).unwrap().unwrap();
        test(pair).await;
    }
}

#[tokio::test]
async fn routes_of_both_families_move_with_their_groups() {
    in_both_modes(async |pair| {
        let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
        let v4 = "10.244.2.0/24";
        let v6 = "fd00:244:2::/48";
        let generations: [&[&str]; 4] = [
            &["2001:db8::2"],
            &["2001:db8::2", "2001:db8::3", "fe80::9"],
            &["fe80::7"],
            &["2001:db8::3", "fe80::7"],
        ];
        let mut installer = installer(namespace, OURS);
        for (turn, routers) in generations.iter().enumerate() {
            let mut members = hops(link, routers);
            members.sort();
            let mut changes = vec![set(1, members.clone())];
            if turn == 0 {
                changes.extend([install(1, v4), install(1, v6)]);
            }
            assert_eq!(installer.apply(&changes), []);
            let expected = Found {
                routes: [v4, v6].map(|p| with_target(through(1, p), &members)).into(),
                groups: Some(vec![group(1, members.clone())]),
            };
            assert_eq!(found_in(namespace), expected);
            assert_eq!(groups_in(namespace), expected.groups.unwrap());
            assert_eq!(objects(namespace), 1 + members.len(), "no single is left over");
        }
        // A group takes its routes along; that it is gone already is success.
        for _ in 0..2 {
            assert_eq!(installer.apply(&[Change::RemoveGroup(id(1))]), []);
            assert_eq!(found_in(namespace), Found { routes: vec![], groups: Some(vec![]) });
            assert_eq!(objects(namespace), 0);
        }
    })
    .await;
}

/// From a group to another, to next hops of its own, to an unreachable one, and back; by install and replace.
#[tokio::test]
async fn a_route_changes_between_groups_and_other_forms() {
    in_both_modes(async |pair| {
        let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
        for (prefix, routers) in [
            ("10.244.2.0/24", ["192.0.2.2", "192.0.2.3", "192.0.2.4"]),
            ("fd00:244:2::/48", ["2001:db8::2", "2001:db8::3", "2001:db8::4"]),
        ] {
            let [one, two, three] = routers.map(|via| hop(link, via));
            write(namespace, &[set(1, vec![one]), set(2, vec![two, three])]);
            let own = |target| Route { prefix: prefix.parse().unwrap(), target, metric: METRIC, group: None };
            let forms = [
                with_target(through(1, prefix), &[one]),
                with_target(through(2, prefix), &[two, three]),
                own(Target::Via(vec![two])),
                own(Target::Via(vec![one, two])),
                own(Target::Unreachable),
            ];
            for (from, to) in forms.iter().flat_map(|from| forms.iter().map(move |to| (from, to))) {
                for change in [Change::Install, Change::Replace] {
                    for route in [from, to] {
                        write(namespace, &[change(route.clone())]);
                        let found = found_in(namespace).routes;
                        assert_eq!(found, std::slice::from_ref(route), "{from:?} to {to:?}");
                    }
                }
            }
            let removal = Change::Remove { prefix: prefix.parse().unwrap(), metric: METRIC };
            write(namespace, &[removal, Change::RemoveGroup(id(1)), Change::RemoveGroup(id(2))]);
            assert_eq!(objects(namespace), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn an_ipv4_route_goes_through_ipv6_routers_and_no_other_way_round() {
    in_both_modes(async |pair| {
        let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
        let mixed = vec![hop(link, "192.0.2.2"), hop(link, "fe80::2")];
        let mut installer = installer(namespace, OURS);
        let changes = [set(1, mixed.clone()), install(1, "10.9.0.0/24"), install(1, "fd00:9::/48")];
        let refusals = installer.apply(&changes);
        assert_eq!(refusals.iter().map(|refusal| refusal.index).collect::<Vec<_>>(), [2], "{refusals:?}");
        assert!(refusals[0].reason.starts_with("install fd00:9::/48 metric 20"), "{refusals:?}");
        assert_eq!(found_in(namespace).routes, [with_target(through(1, "10.9.0.0/24"), &mixed)]);
    })
    .await;
}

#[tokio::test]
async fn weights_stand_in_the_group() {
    let pair = Pair::addressed().await;
    let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
    let mut installer = installer(namespace, OURS);
    assert_eq!(installer.apply(&[set(1, hops(link, &["192.0.2.2"])), install(1, "10.9.0.0/24")]), []);
    for (one, other) in [(1, 4), (25, 100), (255, 1), (1, 1)] {
        let weighted = |via, weight| NextHop { weight, ..hop(link, via) };
        let members = vec![weighted("192.0.2.2", one), weighted("192.0.2.3", other)];
        assert_eq!(installer.apply(&[set(1, members.clone())]), []);
        assert_eq!(found_in(namespace).routes, [with_target(through(1, "10.9.0.0/24"), &members)]);
        let shown = ip(namespace, "route");
        for (via, weight) in [("192.0.2.2", one), ("192.0.2.3", other)] {
            assert!(shown.contains(&format!("via {via} dev left weight {weight}")), "{shown}");
        }
        assert_eq!(objects(namespace), 3, "the singles stay");
    }
}

/// A number that somebody else uses is left alone, and so are all objects of his.
#[tokio::test]
async fn somebody_else_s_objects_are_never_touched() {
    let pair = Pair::addressed().await;
    let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
    let singles = GROUPS.end;
    for (number, via) in [(1, "192.0.2.9"), (singles, "192.0.2.8"), (singles + 3, "192.0.2.7")] {
        ip(namespace, &format!("nexthop add id {number} via {via} dev left proto 77"));
    }
    ip(namespace, &format!("nexthop add id {} group 1 proto 77", id(1).0));
    let before = ip(namespace, "nexthop");
    let mut installer = installer(namespace, OURS);
    let refusals = installer.apply(&[
        set(1, hops(link, &["192.0.2.2"])),
        set(2, hops(link, &["192.0.2.2", "192.0.2.9"])),
        Change::RemoveGroup(id(1)),
        set(2, vec![NextHop { interface: None, ..hop(link, "192.0.2.2") }]),
        set(3, hops(link, &["192.0.2.3", "198.51.100.1"])),
    ]);
    let reasons: Vec<(usize, bool, &str)> =
        refusals.iter().map(|refusal| (refusal.index, refusal.conflict, refusal.reason.as_str())).collect();
    let conflict =
        format!("set nexthop group {}: somebody else has a nexthop object of that number", id(1).0);
    assert_eq!(reasons[0], (0, true, conflict.as_str()));
    assert_eq!((reasons[1].0, reasons[1].1), (3, false));
    assert!(reasons[1].2.ends_with("it needs to know the interface to 192.0.2.2"), "{reasons:?}");
    assert_eq!((reasons[2].0, reasons[2].1), (4, false));
    assert!(reasons[2].2.contains("via 198.51.100.1: Nexthop has invalid gateway: "), "{reasons:?}");
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert_eq!(objects(namespace), 4 + 3, "nothing is left of what was refused");

    // Somebody takes the next number while we run: each of the six singles above had one, to be used no more.
    let taken = singles + 3 + 6;
    ip(namespace, &format!("nexthop add id {taken} via 192.0.2.6 dev left proto 77"));
    assert_eq!(installer.apply(&[set(4, hops(link, &["192.0.2.4", "192.0.2.5"]))]), []);
    assert!(ip(namespace, "nexthop").contains(&format!("id {} via 192.0.2.4 ", taken + 1)));
    assert_eq!(groups_in(namespace)[1], group(4, hops(link, &["192.0.2.4", "192.0.2.5"])));
    for n in [2, 4] {
        assert_eq!(installer.apply(&[Change::RemoveGroup(id(n))]), []);
    }
    ip(namespace, &format!("nexthop del id {taken}"));
    assert_eq!(ip(namespace, "nexthop"), before);
}

#[tokio::test]
async fn a_second_writer_takes_over_what_the_first_has_left() {
    in_both_modes(async |pair| {
        let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
        let ecmp = hops(link, &["192.0.2.2", "192.0.2.3"]);
        let backup = Group { standby: hops(link, &["192.0.2.2"]), ..group(2, hops(link, &["192.0.2.3"])) };
        let changes = [
            set(1, ecmp.clone()),
            Change::SetGroup(backup.clone()),
            set(3, hops(link, &["192.0.2.4"])),
            install(1, "10.1.0.0/16"),
            install(2, "10.2.0.0/16"),
        ];
        write(namespace, &changes);
        // Killed between a single and its group.
        let orphan = GROUPS.end + 77;
        ip(namespace, &format!("nexthop add id {orphan} via 192.0.2.9 dev left proto 114"));

        let mut second = installer(namespace, OURS);
        let found = second.adopt().unwrap();
        let expected = Found {
            routes: vec![
                with_target(through(1, "10.1.0.0/16"), &ecmp),
                with_target(through(2, "10.2.0.0/16"), &backup.members),
            ],
            groups: Some(vec![group(1, ecmp), backup, group(3, hops(link, &["192.0.2.4"]))]),
        };
        assert_eq!(found, expected);
        assert!(!ip(namespace, "nexthop").contains(&format!("id {orphan}")));
        assert_eq!(objects(namespace), 3 + 3);

        // It knows the singles, and which group is of which type.
        let swapped = Group { standby: hops(link, &["192.0.2.3"]), ..group(2, hops(link, &["192.0.2.2"])) };
        let changes =
            [Change::RemoveGroup(id(1)), Change::RemoveGroup(id(3)), Change::SetGroup(swapped.clone())];
        assert_eq!(second.apply(&changes), []);
        assert_eq!(second.adopt().unwrap().groups, Some(vec![swapped]));
        assert_eq!(objects(namespace), 1 + 2);
    })
    .await;
}

/// Objects keep the protocol they were made with: under another number they are somebody else's.
#[tokio::test]
async fn another_protocol_number_starts_anew() {
    let pair = Pair::addressed().await;
    let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
    let mut installer = installer(namespace, OURS);
    let members = hops(link, &["192.0.2.2", "192.0.2.3"]);
    assert_eq!(installer.apply(&[set(1, members.clone()), install(1, "10.1.0.0/16")]), []);
    let other = Ownership { protocol: 99, ..OURS };
    installer.set_ownership(other);
    let refusals = installer.apply(&[set(1, members.clone()), set(2, members.clone())]);
    assert_eq!(
        refusals.iter().map(|refusal| (refusal.index, refusal.conflict)).collect::<Vec<_>>(),
        [(0, true)]
    );
    assert_eq!(groups_in(namespace), [group(1, members.clone())]);
    assert_eq!(
        namespace.enter(|| found::groups(other)).unwrap().unwrap(),
        Some(vec![group(2, members.clone())])
    );

    installer.set_ownership(OURS);
    assert_eq!(installer.apply(&[Change::RemoveGroup(id(1))]), []);
    installer.set_ownership(other);
    assert_eq!(installer.apply(&[set(1, members)]), []);
    assert_eq!(objects(namespace), 2 + 2);
}

/// A link's failure takes singles, and groups with their routes, out of the kernel without a word.
#[tokio::test]
async fn a_group_is_set_again_after_its_link_has_failed() {
    in_both_modes(async |pair| {
        let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
        let members = hops(link, &["192.0.2.2", "2001:db8::2"]);
        let route = with_target(through(1, "10.1.0.0/16"), &members);
        let mut installer = installer(namespace, OURS);
        let changes = [set(1, members.clone()), Change::Install(route.clone())];
        assert_eq!(installer.apply(&changes), []);
        pair.right.set_up(pair.right_link.index, false).await.unwrap();
        eventually("the kernel takes the group away", async || objects(namespace) == 0).await;
        assert_eq!(found_in(namespace).routes, []);

        let refusals = installer.apply(&changes);
        assert_eq!(refusals.iter().map(|refusal| refusal.index).collect::<Vec<_>>(), [0, 1], "{refusals:?}");
        assert!(refusals[0].reason.contains("Carrier for nexthop device is down"), "{refusals:?}");

        pair.right.set_up(pair.right_link.index, true).await.unwrap();
        eventually("the carrier is back", async || installer.apply(&changes).is_empty()).await;
        assert_eq!(found_in(namespace).routes, [route]);
        assert_eq!(objects(namespace), 3);
    })
    .await;
}

/// With a standby, the kernel itself moves the routes when the link goes: nobody has to tell it.
#[tokio::test]
async fn the_standby_takes_over_at_carrier_loss() {
    in_both_modes(async |pair| {
        let namespace = &pair.left_namespace;
        for command in [
            "link add spare type veth peer name erapS",
            "addr add 198.51.100.1/24 dev spare",
            "link set erapS up",
            "link set spare up",
        ] {
            ip(namespace, command);
        }
        let spare = pair.left.link("spare").await.unwrap().unwrap().index;
        let (active, standby) = (hop(pair.left_link.index, "192.0.2.2"), hop(spare, "198.51.100.2"));
        let protected = Group { standby: vec![standby], ..group(1, vec![active]) };
        let mut installer = installer(namespace, OURS);
        eventually("the spare link has carrier", async || {
            installer.apply(&[Change::SetGroup(protected.clone())]).is_empty()
        })
        .await;
        assert_eq!(installer.apply(&[install(1, "10.1.0.0/16")]), []);
        let ways = |via: &str| {
            let mut ways = String::new();
            for host in 1..=200 {
                writeln!(ways, "{}", ip(namespace, &format!("route get 10.1.0.{host}"))).unwrap();
            }
            ways.matches(via).count()
        };
        assert_eq!(ways("via 192.0.2.2"), 200);
        let found = found_in(namespace);
        assert_eq!(found.groups, Some(vec![protected.clone()]));
        assert_eq!(found.routes, [with_target(through(1, "10.1.0.0/16"), &[active])]);

        pair.right.set_up(pair.right_link.index, false).await.unwrap();
        eventually("the active next hop is gone", async || groups_in(namespace)[0].standby.is_empty()).await;
        assert_eq!(ways("via 198.51.100.2"), 200);
        assert_eq!(groups_in(namespace), [group(1, vec![standby])]);

        // What the routes are told afterwards changes nothing; nor does the way back lose the type.
        assert_eq!(installer.apply(&[set(1, vec![standby])]), []);
        pair.right.set_up(pair.right_link.index, true).await.unwrap();
        eventually("the carrier is back", async || {
            installer.apply(&[Change::SetGroup(protected.clone())]).is_empty()
        })
        .await;
        assert_eq!(groups_in(namespace), [protected]);
        eventually("the buckets have moved back", async || ways("via 192.0.2.2") == 200).await;
    })
    .await;
}

/// Routes asked for in one batch with the change of the group that they leave.
#[tokio::test]
async fn a_batch_is_made_in_order() {
    let pair = Pair::addressed().await;
    let (namespace, link) = (&pair.left_namespace, pair.left_link.index);
    write(namespace, &[set(1, hops(link, &["192.0.2.2"])), install(1, "10.1.0.0/16")]);
    // Nothing is known of what stands there: the route is found taken, and moved before its group goes.
    let members = hops(link, &["192.0.2.3"]);
    write(namespace, &[set(2, members.clone()), install(2, "10.1.0.0/16"), Change::RemoveGroup(id(1))]);
    assert_eq!(found_in(namespace).routes, [with_target(through(2, "10.1.0.0/16"), &members)]);
    assert_eq!(objects(namespace), 2);
    let prefix: Prefix = "10.1.0.0/16".parse().unwrap();
    write(namespace, &[Change::Remove { prefix, metric: METRIC }, Change::RemoveGroup(id(2))]);
    assert_eq!(found_in(namespace), Found { routes: vec![], groups: Some(vec![]) });
}
