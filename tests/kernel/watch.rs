//! The watch: what others do is heard, what we do is not.

use std::time::Duration;

use futures_util::FutureExt;
use routelet::fib::{NextHop, Target};
use routelet::kernel::Watch;
use routelet::kernel::watch::Event;

use crate::rig::{Pair, eventually};
use crate::routes::{OURS, apply, install, ip, remove};

async fn next(watch: &mut Watch) -> Event {
    tokio::time::timeout(Duration::from_secs(10), watch.next()).await.expect("news")
}

/// Reads until nothing more is to be had. Notices are in the buffer before the request that caused
/// them is answered, except those that the kernel sends on its own account later.
fn drain(watch: &mut Watch) -> Vec<Event> {
    std::iter::from_fn(|| watch.next().now_or_never()).collect()
}

fn ours(prefix: &str) -> Event {
    Event::OursChanged { prefix: prefix.parse().unwrap(), metric: 20 }
}

const UNDERLAY: Event = Event::UnderlayChanged { ours_at_risk: false };
const AT_RISK: Event = Event::UnderlayChanged { ours_at_risk: true };

/// A watch on the left, after whatever setting the links up still stirs.
async fn watch(pair: &Pair) -> Watch {
    let mut watch =
        pair.left_namespace.enter(|| Watch::open(OURS)).unwrap().unwrap().ignoring(pair.left.port());
    // Multicast routes and link-local addresses come a moment after carrier does.
    let mut quiet = 0;
    eventually("the links are settled", async || {
        quiet = if drain(&mut watch).is_empty() { quiet + 1 } else { 0 };
        quiet > 50
    })
    .await;
    watch
}

fn via(pair: &Pair, router: &str) -> Target {
    Target::Via(vec![NextHop {
        via: router.parse().unwrap(),
        interface: Some(pair.left_link.index),
        weight: 1,
    }])
}

#[tokio::test]
async fn a_route_deleted_or_diverted_behind_our_back_is_heard() {
    let pair = Pair::addressed().await;
    let mut watch = watch(&pair).await;
    let v4 = via(&pair, "192.0.2.2");
    let v6 = via(&pair, "2001:db8::2");
    apply(&pair.left, &[install("10.1.0.0/16", v4.clone()), install("fd00:1::/48", v6)]).await;
    apply(&pair.left, &[install("10.1.0.0/16", via(&pair, "192.0.2.3"))]).await;
    apply(&pair.left, &[install("10.2.0.0/16", v4), remove("10.2.0.0/16")]).await;
    assert_eq!(drain(&mut watch), [], "our own doings are no news");

    ip(&pair.left_namespace, "route del 10.1.0.0/16");
    assert_eq!(next(&mut watch).await, ours("10.1.0.0/16"));
    ip(&pair.left_namespace, "-6 route replace fd00:1::/48 via 2001:db8::9 metric 20 proto 114");
    assert_eq!(next(&mut watch).await, ours("fd00:1::/48"));
    ip(&pair.left_namespace, "route add 10.3.0.0/16 via 192.0.2.9 metric 20 proto 114");
    assert_eq!(next(&mut watch).await, ours("10.3.0.0/16"), "an impostor");
    assert_eq!(drain(&mut watch), []);
}

#[tokio::test]
async fn the_underlay_s_changes_are_heard_once() {
    let pair = Pair::addressed().await;
    let mut watch = watch(&pair).await;
    for n in 0..20 {
        ip(&pair.left_namespace, &format!("route add 172.16.{n}.0/24 via 192.0.2.9"));
    }
    assert_eq!(next(&mut watch).await, UNDERLAY);
    assert_eq!(drain(&mut watch), [], "twenty routes, one piece of news");
    ip(&pair.left_namespace, "route add 172.17.0.0/16 via 192.0.2.9 table 99");
    assert_eq!(drain(&mut watch), [], "nobody resolves by that table");

    let address = "198.51.100.1/24".parse().unwrap();
    pair.left.add_address(pair.left_link.index, address).await.unwrap();
    assert_eq!(next(&mut watch).await, UNDERLAY);
    pair.left.remove_address(pair.left_link.index, address).await.unwrap();
    assert_eq!(next(&mut watch).await, UNDERLAY);
    pair.left.add_bridge("br", None).await.unwrap();
    assert_eq!(next(&mut watch).await, UNDERLAY, "a new link takes no route away");
}

#[tokio::test]
async fn links_that_go_down_put_our_routes_at_risk() {
    let pair = Pair::addressed().await;
    let mut watch = watch(&pair).await;
    apply(&pair.left, &[install("10.1.0.0/16", via(&pair, "192.0.2.2"))]).await;
    pair.right.set_up(pair.right_link.index, false).await.unwrap();
    assert_eq!(next(&mut watch).await, UNDERLAY, "carrier is lost");
    assert_eq!(pair.left.our_routes(OURS).await.unwrap().len(), 1);

    // The IPv4 route goes without a notice of its own: this event is all there is to know it by.
    pair.left.set_up(pair.left_link.index, false).await.unwrap();
    let heard = drain(&mut watch);
    assert!(heard.contains(&AT_RISK), "{heard:?}");
    assert!(!heard.contains(&ours("10.1.0.0/16")), "{heard:?}");
    assert_eq!(pair.left.our_routes(OURS).await.unwrap(), []);

    pair.left.delete_link(pair.left_link.index).await.unwrap();
    assert!(drain(&mut watch).contains(&AT_RISK));
}

#[tokio::test]
async fn lost_news_are_owned_up_to() {
    let pair = Pair::addressed().await;
    let mut watch = watch(&pair).await;
    let unwatched: Vec<_> = (0..40_000)
        .map(|n| install(&format!("10.{}.{}.0/24", n / 256, n % 256), Target::Unreachable))
        .collect();
    apply(&pair.left, &unwatched).await;
    assert_eq!(next(&mut watch).await, Event::Overrun);
    assert_eq!(drain(&mut watch), [], "an overrun stands for all that was in the buffer");
    ip(&pair.left_namespace, "route del unreachable 10.0.7.0/24");
    let heard = tokio::spawn(async move { next(&mut watch).await });
    assert_eq!(heard.await.unwrap(), ours("10.0.7.0/24"), "and in a task of its own");
}
