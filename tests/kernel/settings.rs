//! Settings: those that are ours to set are set, others reported, and what cannot be written is said.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use routelet::kernel::bell;
use routelet::kernel::settings::{Needs, Setting, Settings, Weight};
use routelet::kernel::{Bell, NetNs, Netlink};
use routelet::prefix::Family;

use crate::rig::{Pair, namespace};
use crate::routes::ip;

fn needs() -> Needs {
    Needs {
        families: BTreeSet::from(Family::ALL),
        bridge: "cni0".to_owned(),
        uplinks: BTreeSet::from(["left".to_owned()]),
        hosts: 10,
        ..Needs::default()
    }
}

fn set(namespace: &NetNs, setting: &str, value: &str) {
    let path = format!("/proc/sys/net/{setting}");
    namespace.enter(|| fs::write(&path, value)).unwrap().unwrap_or_else(|e| panic!("{path}: {e}"));
}

fn read(namespace: &NetNs, setting: &str) -> String {
    let path = format!("/proc/sys/net/{setting}");
    let value =
        namespace.enter(|| fs::read_to_string(&path)).unwrap().unwrap_or_else(|e| panic!("{path}: {e}"));
    value.trim().to_owned()
}

fn check(namespace: &NetNs, settings: &mut Settings, needs: &Needs) -> Vec<Setting> {
    namespace.enter(|| settings.check(needs)).unwrap()
}

/// What is wrong with a setting, in words.
fn faults(settings: &[Setting], name: &str) -> Vec<String> {
    let setting = settings.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no {name}"));
    setting.faults.iter().map(ToString::to_string).collect()
}

fn repairs(settings: &[Setting]) -> Vec<&str> {
    settings.iter().flat_map(|s| &s.repairs).map(String::as_str).collect()
}

/// What is needed and wrong.
fn wrong(settings: &[Setting]) -> Vec<&str> {
    let wrong = settings.iter().filter(|s| s.weight == Weight::Needed && !s.faults.is_empty());
    wrong.map(|s| s.name).collect()
}

async fn node() -> (Pair, Netlink) {
    let pair = Pair::addressed().await;
    let netlink = Netlink::open_in(&pair.left_namespace).unwrap();
    netlink.add_bridge("cni0", None).await.unwrap();
    set(&pair.left_namespace, "ipv4/ip_forward", "0");
    (pair, netlink)
}

#[tokio::test]
async fn forwarding_is_set_once_and_again_when_somebody_turns_it_off() {
    let (pair, _netlink) = node().await;
    let node = &pair.left_namespace;
    let mut settings = Settings::default();
    let found = check(node, &mut settings, &needs());
    assert_eq!(wrong(&found), [] as [&str; 0]);
    let set_by_us: Vec<&str> = found.iter().filter(|s| s.set).map(|s| s.name).collect();
    assert_eq!(set_by_us, ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]);
    assert_eq!(
        repairs(&found),
        [
            "net.ipv4.ip_forward was 0 and has been set to 1",
            "net.ipv6.conf.all.forwarding was 0 and has been set to 1"
        ]
    );
    assert_eq!(read(node, "ipv4/ip_forward"), "1");
    let found = check(node, &mut settings, &needs());
    assert_eq!(repairs(&found), [] as [&str; 0]);

    set(node, "ipv6/conf/all/forwarding", "0");
    set(node, "ipv4/conf/cni0/forwarding", "0");
    set(node, "ipv6/conf/cni0/disable_ipv6", "1");
    let found = check(node, &mut settings, &needs());
    assert_eq!(wrong(&found), [] as [&str; 0]);
    assert_eq!(
        repairs(&found),
        [
            "net.ipv4.conf.cni0.forwarding was 0 and has been set to 1",
            "net.ipv6.conf.all.forwarding was 0 and has been set to 1",
            "net.ipv6.conf.cni0.disable_ipv6 was 1 and has been set to 0",
        ]
    );
    assert_eq!(read(node, "ipv4/conf/cni0/forwarding"), "1");
}

#[tokio::test]
async fn a_node_without_pods_is_left_as_it_is() {
    let (pair, _netlink) = node().await;
    let none = Needs { families: BTreeSet::new(), ..needs() };
    assert_eq!(check(&pair.left_namespace, &mut Settings::default(), &none), []);
    let ipv6 = Needs { families: BTreeSet::from([Family::Ipv6Unicast]), ..needs() };
    check(&pair.left_namespace, &mut Settings::default(), &ipv6);
    assert_eq!(read(&pair.left_namespace, "ipv4/ip_forward"), "0", "no pod has IPv4");
}

#[tokio::test]
async fn an_uplink_s_own_forwarding_is_somebody_else_s_choice() {
    let (pair, _netlink) = node().await;
    set(&pair.left_namespace, "ipv4/ip_forward", "1");
    set(&pair.left_namespace, "ipv4/conf/left/forwarding", "0");
    let found = check(&pair.left_namespace, &mut Settings::default(), &needs());
    assert_eq!(
        faults(&found, "net.ipv4.conf.*.forwarding"),
        [
            "net.ipv4.conf.left.forwarding is 0 and should be 1: no IPv4 packet that comes in there is forwarded"
        ]
    );
    assert_eq!(read(&pair.left_namespace, "ipv4/conf/left/forwarding"), "0");
}

#[tokio::test]
async fn a_strict_reverse_path_is_reported_and_loosened_when_told_to() {
    let (pair, netlink) = node().await;
    let node = &pair.left_namespace;
    netlink.add_bridge("second", None).await.unwrap();
    let one = needs();
    let two = Needs { uplinks: BTreeSet::from(["left".to_owned(), "second".to_owned()]), ..needs() };
    let name = "net.ipv4.conf.*.rp_filter";
    // The larger of the two counts.
    for (all, own, right) in [("0", "0", true), ("0", "1", false), ("1", "0", false), ("2", "1", true)] {
        set(node, "ipv4/conf/all/rp_filter", all);
        set(node, "ipv4/conf/left/rp_filter", own);
        set(node, "ipv4/conf/second/rp_filter", "2");
        let found = check(node, &mut Settings::default(), &two);
        assert_eq!(faults(&found, name).is_empty(), right, "all {all}, left {own}");
        let found = check(node, &mut Settings::default(), &one);
        assert_eq!(faults(&found, name), [] as [&str; 0], "everything comes by the one there is");
    }
    set(node, "ipv4/conf/all/rp_filter", "1");
    let told = Needs { loose_reverse_path: true, ..two };
    let found = check(node, &mut Settings::default(), &told);
    assert_eq!(faults(&found, name), [] as [&str; 0]);
    assert_eq!(read(node, "ipv4/conf/left/rp_filter"), "2");
    assert_eq!(read(node, "ipv4/conf/all/rp_filter"), "1");
}

#[tokio::test]
async fn advice_is_given_and_nothing_done() {
    let (pair, _netlink) = node().await;
    let node = &pair.left_namespace;
    for (setting, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/proxy_arp", "1"),
        ("ipv4/conf/all/accept_redirects", "1"),
        ("ipv4/conf/cni0/accept_redirects", "1"),
        ("ipv4/conf/cni0/send_redirects", "0"),
        ("ipv6/conf/left/accept_ra", "1"),
    ] {
        set(node, setting, value);
    }
    ip(node, "addr add 2001:db8::9/64 dev left valid_lft 3600 preferred_lft 3600 nodad");
    let found = check(node, &mut Settings::default(), &Needs { multipath: true, ..needs() });
    for (name, fault) in [
        ("net.ipv4.conf.*.proxy_arp", "net.ipv4.conf.all.proxy_arp is 1 and should be 0: "),
        ("net.ipv4.conf.*.accept_redirects", "net.ipv4.conf.cni0.accept_redirects is 1 and should be 0: "),
        ("net.ipv4.conf.*.send_redirects", "net.ipv4.conf.all.send_redirects is 1 and should be 0: "),
        ("net.ipv4.fib_multipath_hash_policy", "net.ipv4.fib_multipath_hash_policy is 0 and should be 1: "),
        ("net.ipv6.fib_multipath_hash_policy", "net.ipv6.fib_multipath_hash_policy is 0 and should be 1: "),
        ("net.ipv4.nexthop_compat_mode", "net.ipv4.nexthop_compat_mode is 1 and should be 0: "),
        ("net.ipv6.conf.*.accept_ra", "net.ipv6.conf.left.accept_ra is 1 and should be 2: "),
    ] {
        let faults = faults(&found, name);
        assert!(faults.len() == 1 && faults[0].starts_with(fault), "{faults:?} for {fault}");
    }
    for (setting, value) in [("ipv4/conf/all/proxy_arp", "1"), ("ipv4/conf/cni0/accept_redirects", "1")] {
        assert_eq!(read(node, setting), value);
    }
    for (setting, value) in [
        ("ipv4/conf/all/proxy_arp", "0"),
        ("ipv4/conf/all/accept_redirects", "0"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/fib_multipath_hash_policy", "1"),
        ("ipv6/fib_multipath_hash_policy", "1"),
        ("ipv4/nexthop_compat_mode", "0"),
        ("ipv6/conf/left/accept_ra", "2"),
    ] {
        set(node, setting, value);
    }
    let found = check(node, &mut Settings::default(), &Needs { multipath: true, ..needs() });
    assert!(found.iter().all(|s| s.faults.is_empty()), "{found:?}");
}

/// As containers without privileges see it.
#[tokio::test]
async fn what_cannot_be_written_is_said_with_its_file() {
    let (pair, _netlink) = node().await;
    let node = pair.left_namespace;
    let found = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("/proc/sys"), "/proc/sys", none, MsFlags::MS_BIND, none).unwrap();
        let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, "/proc/sys", none, read_only, none).unwrap();
        check(&node, &mut Settings::default(), &needs())
    });
    let found = found.join().unwrap();
    assert_eq!(
        wrong(&found),
        ["net.ipv4.ip_forward", "net.ipv4.conf.*.forwarding", "net.ipv6.conf.all.forwarding"]
    );
    assert_eq!(
        faults(&found, "net.ipv4.ip_forward"),
        ["net.ipv4.ip_forward is 0 and should be 1: no IPv4 packet is forwarded to or from pods; it cannot \
          be set: write 1 to /proc/sys/net/ipv4/ip_forward: Read-only file system (os error 30)"]
    );
    let stopped: Vec<_> = found.iter().filter(|s| !s.faults.is_empty()).filter_map(|s| s.stops).collect();
    assert_eq!(stopped, [Family::Ipv4Unicast, Family::Ipv4Unicast, Family::Ipv6Unicast]);
}

#[tokio::test]
async fn the_bell_rings_for_a_setting_and_not_for_a_route() {
    let (inside, netlink) = namespace().await;
    let mut bell = inside.enter(|| Bell::open(bell::SETTINGS)).unwrap().unwrap();
    let rings = async |bell: &mut Bell, limit| tokio::time::timeout(limit, bell.rung()).await.is_ok();
    let (soon, never) = (Duration::from_secs(10), Duration::from_millis(50));
    for (setting, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv4/ip_forward", "0"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/lo/proxy_arp", "1"),
    ] {
        set(&inside, setting, value);
        assert!(rings(&mut bell, soon).await, "{setting}");
        assert!(!rings(&mut bell, never).await, "once for {setting}");
    }
    ip(&inside, "route add unreachable 10.9.0.0/16");
    assert!(!rings(&mut bell, never).await, "a route is no setting");
    netlink.add_bridge("br", None).await.unwrap();
    assert!(rings(&mut bell, soon).await, "a new interface comes with settings");
}
