//! The picture of the underlay that is kept from notices, against what the kernel says when asked.

use std::time::Duration;

use routelet::kernel::Watch;
use routelet::kernel::links::VethPair;

use crate::rig::{Pair, eventually};
use crate::routes::{OURS, ip};
use crate::watch::{drain, watch};

/// The underlay in a form that can be compared.
fn shown(underlay: Vec<routelet::rib::next_hop::UnderlayRoute>) -> Vec<String> {
    let mut shown: Vec<String> = underlay.iter().map(|route| format!("{route:?}")).collect();
    shown.sort();
    shown.dedup();
    shown
}

/// Waits until what was heard is what the kernel says, and fails where only looking made it so.
async fn agree(pair: &Pair, watch: &mut Watch, after: &str) {
    let mut found = vec![];
    let deadline = async {
        loop {
            drain(watch);
            found = shown(pair.left.underlay(OURS).await.unwrap());
            if found == shown(watch.underlay()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let agreed = tokio::time::timeout(Duration::from_secs(3), deadline).await;
    let heard = shown(watch.underlay());
    let missing: Vec<&String> = found.iter().filter(|route| !heard.contains(route)).collect();
    let extra: Vec<&String> = heard.iter().filter(|route| !found.contains(route)).collect();
    assert!(agreed.is_ok(), "after {after}: not heard of {missing:#?}, not there any more {extra:#?}");
}

/// The pair, a second link, and a watch that knows both.
async fn rig() -> (Pair, Watch) {
    let pair = Pair::addressed().await;
    let second = VethPair {
        name: "second",
        peer_name: "other",
        peer_namespace: Some(&pair.right_namespace),
        mtu: None,
        peer_mac: None,
    };
    pair.left.add_veth(&second).await.unwrap();
    ip(&pair.right_namespace, "link set other up");
    ip(&pair.left_namespace, "link set second up");
    ip(&pair.left_namespace, "addr add 198.51.100.1/24 dev second");
    ip(&pair.left_namespace, "addr add 2001:db8:2::1/64 dev second nodad");
    let watch = watch(&pair.left_namespace, pair.writer_port()).await;
    (pair, watch)
}

/// Does one thing after another on the left (or, after `right:`, on the right) and compares each time.
async fn play(pair: &Pair, watch: &mut Watch, steps: &str) {
    for step in steps.lines().map(str::trim).filter(|step| !step.is_empty()) {
        match step.strip_prefix("right: ") {
            Some(step) => ip(&pair.right_namespace, step),
            None => ip(&pair.left_namespace, step),
        };
        agree(pair, watch, step).await;
    }
}

#[tokio::test]
async fn what_the_kernel_does_silently_is_known() {
    let (pair, mut watch) = rig().await;
    let steps = "
        route add 172.16.0.0/16 via 192.0.2.2
        route add 172.17.0.0/16 via 198.51.100.2 src 192.0.2.1
        route add 172.18.0.0/16 nexthop via 192.0.2.2 nexthop via 198.51.100.2
        -6 route add fd00:1::/48 via 2001:db8::2
        -6 route add fd00:2::/48 nexthop via 2001:db8::2 nexthop via 2001:db8:2::2
        right: link set right down
        right: link set right up
        link set left down
        link set left up
        route add 172.16.0.0/16 via 192.0.2.2
        addr add 192.0.2.77/24 dev left
        addr del 192.0.2.77/24 dev left
        addr del 192.0.2.1/24 dev left
        addr add 192.0.2.1/24 dev left
        route add 172.16.0.0/16 via 192.0.2.2
        link set left name uplink
        link set uplink down
        link set uplink up
        addr del 2001:db8:2::1/64 dev second
        link del second
        addr del 192.0.2.1/24 dev uplink
        link del uplink
    ";
    play(&pair, &mut watch, steps).await;
    assert_eq!(watch.differences(), 0);
}

#[tokio::test]
async fn routes_that_replace_and_follow_one_another_are_told_apart() {
    let (pair, mut watch) = rig().await;
    let steps = "
        route add 172.16.0.0/16 via 192.0.2.2
        route replace 172.16.0.0/16 via 192.0.2.3
        route append 172.16.0.0/16 via 192.0.2.4
        route add 172.16.0.0/16 via 192.0.2.4 metric 9
        route del 172.16.0.0/16 via 192.0.2.3
        route replace unreachable 172.16.0.0/16 metric 9
        route change 172.16.0.0/16 via 198.51.100.9
        route flush 172.16.0.0/16
        -6 route add fd00:1::/48 via 2001:db8::2
        -6 route append fd00:1::/48 via 2001:db8::3
        -6 route append fd00:1::/48 via 2001:db8:2::3 proto static
        -6 route del fd00:1::/48 via 2001:db8::2
        -6 route replace fd00:1::/48 via 2001:db8::7
        -6 route add fd00:1::/48 dev second metric 5
        -6 route replace blackhole fd00:1::/48 metric 5
        -6 route flush fd00:1::/48
        -6 route add default via fe80::1 dev left metric 100
        -6 route append default via fe80::1 dev second metric 100
        link set second down
    ";
    play(&pair, &mut watch, steps).await;
    assert_eq!(watch.differences(), 0);
}

/// Nexthop objects of somebody else, whichever way the kernel describes routes through them.
#[tokio::test]
async fn routes_through_nexthop_objects_are_followed() {
    let (pair, mut watch) = rig().await;
    let steps = "
        nexthop add id 5 via 192.0.2.2 dev left
        nexthop add id 6 via 198.51.100.2 dev second
        nexthop add id 7 group 5/6
        route add 172.16.0.0/16 nhid 5
        route add 172.17.0.0/16 nhid 7
        nexthop add id 8 via 2001:db8::2 dev left
        -6 route add fd00:1::/48 nhid 8
        nexthop replace id 5 via 192.0.2.3 dev left
        right: link set right down
        right: link set right up
        nexthop add id 5 via 192.0.2.3 dev left
        nexthop replace id 7 group 5/6
        route replace 172.16.0.0/16 nhid 5
        link set left down
        nexthop del id 6
    ";
    play(&pair, &mut watch, steps).await;
    assert_eq!(watch.differences(), 0);
}

#[tokio::test]
async fn a_link_that_flaps_ten_times_a_second_leaves_the_right_picture() {
    let (pair, mut watch) = rig().await;
    ip(&pair.left_namespace, "route add 172.18.0.0/16 nexthop via 192.0.2.2 nexthop via 198.51.100.2");
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for tick in 0..40 {
        ticks.tick().await;
        pair.right.set_up(pair.right_link.index, tick % 2 == 1).await.unwrap();
        // A driver that is busy reads late.
        if tick % 3 == 0 {
            drain(&mut watch);
        }
    }
    let works =
        |watch: &Watch| watch.underlay().iter().any(|route| route.interface == Some(pair.left_link.index));
    eventually("the last rise is heard", async || {
        drain(&mut watch);
        works(&watch)
    })
    .await;
    agree(&pair, &mut watch, "flapping").await;
    pair.right.set_up(pair.right_link.index, false).await.unwrap();
    eventually("the last fall is heard", async || {
        drain(&mut watch);
        !works(&watch)
    })
    .await;
    agree(&pair, &mut watch, "the last fall").await;
    assert_eq!(watch.differences(), 0);
}
