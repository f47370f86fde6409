//! The watch: what others do is heard, what we do is not.

use std::time::Duration;

use futures_util::FutureExt;
use routelet::fib::{NextHop, Route, Target};
use routelet::kernel::routes::Ownership;
use routelet::kernel::watch::{Change, Event};
use routelet::kernel::{NetNs, Watch};

use crate::rig::{Pair, eventually};
use crate::routes::{OURS, apply, found_in, install, installer, ip, remove};

pub async fn next(watch: &mut Watch) -> Event {
    tokio::time::timeout(Duration::from_secs(10), watch.next()).await.expect("news")
}

/// Reads until nothing more is to be had. Notices are in the buffer before the request that caused
/// them is answered, except those that the kernel sends on its own account later.
pub fn drain(watch: &mut Watch) -> Vec<Event> {
    std::iter::from_fn(|| watch.next().now_or_never()).collect()
}

fn gone(prefix: &str) -> Event {
    Event::OursChanged { prefix: prefix.parse().unwrap(), metric: 20, now: None }
}

fn now(prefix: &str, target: Target) -> Event {
    let prefix = prefix.parse().unwrap();
    let route = Route { prefix, target, metric: 20, group: None };
    Event::OursChanged { prefix, metric: 20, now: Some(route) }
}

const NOTHING: Change = Change { links: false, routes_at_risk: false, groups_at_risk: false };
const LINKS: Change = Change { links: true, ..NOTHING };
/// Somebody's routes have changed.
const ROUTES: Event = Event::UnderlayChanged(NOTHING);

/// A watch in a namespace, after whatever setting the links up still stirs. It ignores `writer`.
pub async fn watch(namespace: &NetNs, writer: u32) -> Watch {
    let watch = namespace.enter(|| Watch::open(OURS)).unwrap().unwrap();
    let mut watch = watch.ignoring(writer).unwrap();
    assert_eq!(watch.underlay(), [], "nothing is known yet");
    let first = next(&mut watch).await;
    assert!(matches!(first, Event::UnderlayChanged(_)), "{first:?}");
    // Multicast routes and link-local addresses come a moment after carrier does.
    let mut quiet = 0;
    eventually("the links are settled", async || {
        quiet = if drain(&mut watch).is_empty() { quiet + 1 } else { 0 };
        quiet > 50
    })
    .await;
    watch
}

async fn watch_left(pair: &Pair) -> Watch {
    watch(&pair.left_namespace, pair.writer_port()).await
}

/// All that has changed in the underlay until nothing more is heard for a while.
async fn all_changes(watch: &mut Watch) -> Change {
    let mut all = NOTHING;
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(300), watch.next()).await {
        if let Event::UnderlayChanged(change) = event {
            all.links |= change.links;
            all.routes_at_risk |= change.routes_at_risk;
            all.groups_at_risk |= change.groups_at_risk;
        }
    }
    all
}

fn via(pair: &Pair, router: &str) -> Target {
    Target::Via(vec![NextHop {
        via: router.parse().unwrap(),
        interface: Some(pair.left_link.index),
        weight: 1,
    }])
}

#[tokio::test]
async fn a_route_deleted_or_diverted_behind_our_back_is_told_as_it_stands_now() {
    let pair = Pair::addressed().await;
    let mut watch = watch_left(&pair).await;
    let v4 = via(&pair, "192.0.2.2");
    let v6 = via(&pair, "2001:db8::2");
    apply(&pair, &[install("10.1.0.0/16", v4.clone()), install("fd00:1::/48", v6)]);
    apply(&pair, &[install("10.1.0.0/16", via(&pair, "192.0.2.3"))]);
    apply(&pair, &[install("10.2.0.0/16", v4.clone()), remove("10.2.0.0/16")]);
    assert_eq!(drain(&mut watch), [], "our own doings are no news");

    ip(&pair.left_namespace, "route del 10.1.0.0/16");
    assert_eq!(next(&mut watch).await, gone("10.1.0.0/16"));
    ip(&pair.left_namespace, "-6 route replace fd00:1::/48 via 2001:db8::9 metric 20 proto 114");
    assert_eq!(next(&mut watch).await, now("fd00:1::/48", via(&pair, "2001:db8::9")));
    ip(&pair.left_namespace, "route add 10.3.0.0/16 via 192.0.2.9 metric 20 proto 114");
    assert_eq!(next(&mut watch).await, now("10.3.0.0/16", via(&pair, "192.0.2.9")), "an impostor");
    ip(&pair.left_namespace, "route replace unreachable 10.3.0.0/16 metric 20 proto 114");
    assert_eq!(next(&mut watch).await, now("10.3.0.0/16", Target::Unreachable));
    ip(&pair.left_namespace, "route replace blackhole 10.3.0.0/16 metric 20 proto 114");
    assert_eq!(next(&mut watch).await, gone("10.3.0.0/16"), "of a form that we never install");
    assert_eq!(drain(&mut watch), []);

    apply(&pair, &[install("10.4.0.0/16", v4)]);
    ip(&pair.left_namespace, "route replace 10.4.0.0/16 via 192.0.2.9 metric 20 proto static");
    assert_eq!(next(&mut watch).await, gone("10.4.0.0/16"), "somebody else's has taken its place");
    assert_eq!(next(&mut watch).await, ROUTES);
    assert_eq!(drain(&mut watch), []);
}

#[tokio::test]
async fn the_underlay_s_changes_are_heard_once() {
    let pair = Pair::addressed().await;
    let mut watch = watch_left(&pair).await;
    for n in 0..20 {
        ip(&pair.left_namespace, &format!("route add 172.16.{n}.0/24 via 192.0.2.9"));
    }
    assert_eq!(next(&mut watch).await, ROUTES);
    assert_eq!(drain(&mut watch), [], "twenty routes, one piece of news");
    ip(&pair.left_namespace, "route add 172.17.0.0/16 via 192.0.2.9 table 99");
    assert_eq!(drain(&mut watch), [], "nobody resolves by that table");

    let address = "198.51.100.1/24".parse().unwrap();
    pair.left.add_address(pair.left_link.index, address).await.unwrap();
    assert_eq!(next(&mut watch).await, Event::UnderlayChanged(LINKS));
    assert!(watch.addresses().contains(&address.ip()));
    pair.left.remove_address(pair.left_link.index, address).await.unwrap();
    assert_eq!(next(&mut watch).await, Event::UnderlayChanged(LINKS), "another address is left");
    assert!(!watch.addresses().contains(&address.ip()));
    pair.left.add_bridge("br", None).await.unwrap();
    assert_eq!(next(&mut watch).await, Event::UnderlayChanged(LINKS), "a new link takes no route away");
}

#[tokio::test]
async fn links_and_addresses_that_go_put_our_routes_at_risk() {
    let pair = Pair::addressed().await;
    let mut watch = watch_left(&pair).await;
    apply(&pair, &[install("10.1.0.0/16", via(&pair, "192.0.2.2"))]);
    pair.right.set_up(pair.right_link.index, false).await.unwrap();
    let carrier = next(&mut watch).await;
    let expected = Change { links: true, routes_at_risk: false, groups_at_risk: true };
    assert_eq!(carrier, Event::UnderlayChanged(expected), "carrier is lost");
    assert_eq!(found_in(&pair.left_namespace, OURS).len(), 1);

    // The IPv4 route goes without a notice of its own: this event is all there is to know it by.
    pair.left.set_up(pair.left_link.index, false).await.unwrap();
    assert!(all_changes(&mut watch).await.routes_at_risk);
    assert_eq!(found_in(&pair.left_namespace, OURS), []);

    pair.left.set_up(pair.left_link.index, true).await.unwrap();
    pair.right.set_up(pair.right_link.index, true).await.unwrap();
    assert!(!all_changes(&mut watch).await.routes_at_risk);
    apply(&pair, &[install("10.1.0.0/16", via(&pair, "192.0.2.2"))]);
    let only = "192.0.2.1/24".parse().unwrap();
    pair.left.remove_address(pair.left_link.index, only).await.unwrap();
    assert!(all_changes(&mut watch).await.routes_at_risk, "the link's last address");
    assert_eq!(found_in(&pair.left_namespace, OURS), []);

    pair.left.delete_link(pair.left_link.index).await.unwrap();
    assert!(all_changes(&mut watch).await.routes_at_risk);
}

#[tokio::test]
async fn a_renamed_link_is_news_and_takes_nothing_away() {
    let pair = Pair::addressed().await;
    let mut watch = watch_left(&pair).await;
    let before = watch.underlay();
    ip(&pair.left_namespace, "link set left name uplink");
    assert_eq!(next(&mut watch).await, Event::UnderlayChanged(LINKS));
    assert_eq!(watch.underlay(), before);
}

/// The watch's buffer takes some 20,000 notices; these would fill it several times over.
#[tokio::test]
async fn what_we_do_ourselves_never_reaches_the_watch() {
    let pair = Pair::addressed().await;
    let mut watch = watch_left(&pair).await;
    let many: Vec<_> = (0..60_000)
        .map(|n| install(&format!("10.{}.{}.0/24", n / 256, n % 256), Target::Unreachable))
        .collect();
    apply(&pair, &many);
    assert_eq!(drain(&mut watch), []);
    ip(&pair.left_namespace, "route del unreachable 10.0.7.0/24");
    let heard = tokio::spawn(async move { next(&mut watch).await });
    assert_eq!(heard.await.unwrap(), gone("10.0.7.0/24"), "and in a task of its own");
}

#[tokio::test]
async fn many_routes_of_ours_that_change_are_not_told_one_by_one() {
    let pair = Pair::addressed().await;
    let mut watch = watch_left(&pair).await;
    let many: Vec<_> = (0..1000)
        .map(|n| install(&format!("10.{}.{}.0/24", n / 256, n % 256), Target::Unreachable))
        .collect();
    apply(&pair, &many);
    ip(&pair.left_namespace, "route flush proto 114");
    assert_eq!(next(&mut watch).await, Event::Overrun);
    assert!(drain(&mut watch).len() < 1000);
}

/// An overrun stands for all that was in the buffer, and ends with the right picture all the same.
#[tokio::test]
async fn lost_news_are_owned_up_to() {
    let pair = Pair::addressed().await;
    let mut watch = watch_left(&pair).await;
    let theirs = Ownership { table: OURS.table, protocol: 99 };
    let many: Vec<_> = (0..50_000)
        .map(|n| install(&format!("10.{}.{}.0/24", n / 256, n % 256), via(&pair, "192.0.2.2")))
        .collect();
    assert_eq!(installer(&pair.left_namespace, theirs).apply(&many), []);
    assert_eq!(next(&mut watch).await, Event::Overrun);
    while watch.underlay().len() < 50_000 {
        next(&mut watch).await;
    }
    assert_eq!(watch.differences(), 0, "an overrun is no error of ours");
    ip(&pair.left_namespace, "route add 10.200.0.0/16 via 192.0.2.9 metric 20 proto 114");
    eventually("a single change is told again", async || {
        drain(&mut watch).contains(&now("10.200.0.0/16", via(&pair, "192.0.2.9")))
    })
    .await;
}
