//! Namespaces, links and addresses.

use std::os::unix::fs::MetadataExt;

use routelet::kernel::links::VethPair;
use routelet::kernel::{At, Batch, Conversation, NetNs, Netlink, address_request};

use crate::rig::{Pair, eventually, namespace, require_root};

#[tokio::test]
async fn enter_brings_the_thread_back() {
    let home = NetNs::current().unwrap().identity().unwrap();
    let (namespace, _netlink) = namespace().await;
    let inside = namespace.enter(|| NetNs::current().unwrap().identity().unwrap()).unwrap();
    assert_eq!(inside, namespace.identity().unwrap());
    assert_ne!(inside, home);
    assert_eq!(NetNs::current().unwrap().identity().unwrap(), home);

    let panic = std::panic::catch_unwind(|| namespace.enter(|| panic!("on purpose")));
    assert!(panic.is_err());
    assert_eq!(NetNs::current().unwrap().identity().unwrap(), home, "back after a panic, too");
}

#[tokio::test]
async fn a_namespace_at_a_path_can_be_opened_and_removed() {
    require_root();
    let path = std::env::temp_dir().join(format!("routelet-test-netns-{}", std::process::id()));
    let made = NetNs::create_at(&path).unwrap();
    let opened = NetNs::open(&path).unwrap();
    assert_eq!(made.identity().unwrap(), opened.identity().unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), made.identity().unwrap().1);
    let taken = NetNs::create_at(&path).unwrap_err().to_string();
    assert!(taken.contains("File exists"), "{taken}");
    assert!(NetNs::open(&path).is_ok(), "a refused second creation leaves the first alone");

    NetNs::remove_at(&path).unwrap();
    assert!(!path.exists());
    NetNs::remove_at(&path).unwrap();
}

#[test]
fn a_plain_file_is_no_namespace() {
    let error = NetNs::open("/etc/hostname").unwrap_err().to_string();
    assert_eq!(error, "open network namespace /etc/hostname: the file is not a namespace");
}

#[tokio::test]
async fn veth_across_namespaces_in_one_request() {
    let (left_namespace, left) = namespace().await;
    let (right_namespace, right) = namespace().await;
    let mac = [0x0a, 0x58, 0x0a, 0xf4, 0x01, 0x02];
    let pair = VethPair {
        name: "left",
        peer_name: "right",
        peer_namespace: Some(&right_namespace),
        mtu: Some(1400),
        peer_mac: Some(mac),
    };
    let made = left.add_veth(&pair).await.unwrap();
    assert_eq!((made.name.as_str(), made.mtu, made.up), ("left", 1400, false));
    assert_eq!(made.kind.as_deref(), Some("veth"));
    let other = right.link("right").await.unwrap().unwrap();
    assert_eq!((other.mtu, other.mac), (1400, Some(mac)));
    assert_eq!(left.link("right").await.unwrap(), None);

    left.set_up(made.index, true).await.unwrap();
    assert!(!left.link("left").await.unwrap().unwrap().carrier, "the other end is down");
    right.set_up(other.index, true).await.unwrap();
    assert!(left.link("left").await.unwrap().unwrap().carrier);

    let taken = left.add_veth(&pair).await.unwrap_err().to_string();
    assert!(taken.contains("make veth pair left and right") && taken.contains("File exists"), "{taken}");

    left.delete_link(made.index).await.unwrap();
    assert_eq!(right.link("right").await.unwrap(), None);
    left.delete_link(made.index).await.unwrap();
    drop(left_namespace);
}

#[tokio::test]
async fn bridge_with_a_port_and_addresses() {
    let (_namespace, netlink) = namespace().await;
    let bridge = netlink.add_bridge("cni0", Some(1400)).await.unwrap();
    assert_eq!((bridge.kind.as_deref(), bridge.mtu), (Some("bridge"), 1400));
    netlink.set_up(bridge.index, true).await.unwrap();
    let pair =
        VethPair { name: "port", peer_name: "pod", peer_namespace: None, mtu: Some(1400), peer_mac: None };
    let port = netlink.add_veth(&pair).await.unwrap();
    netlink.set_master(port.index, Some(bridge.index)).await.unwrap();
    assert_eq!(netlink.link("port").await.unwrap().unwrap().master, Some(bridge.index));
    netlink.set_master(port.index, None).await.unwrap();
    assert_eq!(netlink.link("port").await.unwrap().unwrap().master, None);

    let names: Vec<String> = netlink.links().await.unwrap().into_iter().map(|link| link.name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(["lo", "cni0", "port", "pod"].iter().all(|name| names.iter().any(|n| n == name)), "{names:?}");
}

#[tokio::test]
async fn addresses_come_and_go() {
    let Pair { left, left_link, left_namespace, right_namespace: _right, .. } = Pair::new().await;
    let v4 = "192.0.2.1/24".parse().unwrap();
    let v6 = "2001:db8::1/64".parse().unwrap();
    for address in [v4, v6, v4, v6] {
        left.add_address(left_link.index, address).await.unwrap();
    }
    let found = left.addresses(left_link.index).await.unwrap();
    assert!(found.contains(&v4) && found.contains(&v6), "{found:?}");
    eventually("the link has a link-local address", async || {
        let found = left.addresses(left_link.index).await.unwrap();
        found.iter().any(|address| address.to_string().starts_with("fe80::"))
    })
    .await;
    let all = left.link_addresses().await.unwrap();
    assert!(all.contains(&(left_link.index, v6)) && all.contains(&(1, "127.0.0.1/8".parse().unwrap())));

    left.remove_address(left_link.index, v4).await.unwrap();
    left.remove_address(left_link.index, v4).await.unwrap();
    assert!(!left.addresses(left_link.index).await.unwrap().contains(&v4));

    // What the daemon adds and what the plugin adds bear the same mark.
    for (address, adds) in
        [("192.0.2.7/24", "the one"), ("2001:db8::7/64", "the one"), ("192.0.2.8/24", "the other")]
    {
        let network = address.parse().unwrap();
        let mut inside = Conversation::open_in(&left_namespace).unwrap();
        if adds == "the one" {
            left.add_our_addresses(left_link.index, &[network]).await.unwrap();
        } else {
            let mut batch = Batch::new();
            batch.add_address((&left_link).into(), network);
            inside.carry_out(batch).unwrap();
        }
        let found = inside.addresses(left_link.index).unwrap();
        let found = found.iter().find(|found| found.address == network).unwrap();
        assert_eq!((found.protocol, found.tentative), (address_request::OURS, false), "{address}");
    }

    let error = left.add_address(999, v4).await.unwrap_err().to_string();
    assert!(error.starts_with("add address 192.0.2.1/24 to link number 999"), "{error}");
}

#[tokio::test]
async fn a_static_route_carries_packets_and_a_bad_one_says_why() {
    let pair = Pair::addressed().await;
    let default = "0.0.0.0/0".parse().unwrap();
    pair.left.add_static_route(default, Some("192.0.2.2".parse().unwrap()), None).await.unwrap();
    let socket = pair.left_namespace.enter(|| std::net::UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    socket.connect("203.0.113.9:53").unwrap();
    assert_eq!(socket.local_addr().unwrap().ip().to_string(), "192.0.2.1");

    let on_link = "198.51.100.0/24".parse().unwrap();
    pair.left.add_static_route(on_link, None, Some(pair.left_link.index)).await.unwrap();
    let over_v6 = "203.0.113.0/24".parse().unwrap();
    pair.left.add_static_route(over_v6, Some("2001:db8::2".parse().unwrap()), None).await.unwrap();

    let unreachable = Some("10.9.9.9".parse().unwrap());
    let error = pair.right.add_static_route(default, unreachable, None).await.unwrap_err().to_string();
    assert!(error.starts_with("add route to 0.0.0.0/0 via 10.9.9.9: Nexthop has invalid gateway"), "{error}");
}

/// The daemon and the lab do these from tasks that may move between threads.
#[tokio::test]
async fn everything_can_be_done_in_a_task() {
    fn sendable(_: impl Send) {}
    let (_namespace, netlink) = namespace().await;
    let address = "192.0.2.1/24".parse().unwrap();
    let pair = VethPair { name: "a", peer_name: "b", peer_namespace: None, mtu: None, peer_mac: None };
    sendable(netlink.link("lo"));
    sendable(netlink.links());
    sendable(netlink.add_bridge("br", None));
    sendable(netlink.add_veth(&pair));
    sendable(netlink.set_up(1, true));
    sendable(netlink.set_master(1, None));
    sendable(netlink.set_mtu(1, 1500));
    sendable(netlink.delete_link(1));
    sendable(netlink.addresses(1));
    sendable(netlink.link_addresses());
    sendable(netlink.add_address(1, address));
    sendable(netlink.remove_address(1, address));
    sendable(netlink.add_static_route(address, None, None));
}

#[tokio::test]
async fn a_conversation_stays_in_its_namespace() {
    let (inside, netlink) = namespace().await;
    let here = Netlink::open().unwrap();
    netlink.add_bridge("routelet-only", None).await.unwrap();
    assert_eq!(here.link("routelet-only").await.unwrap(), None);
    assert!(netlink.link("routelet-only").await.unwrap().is_some());
    drop(inside);
}

/// The kernel's refusal comes through a child process.
#[test]
fn a_link_that_cannot_be_deleted_says_so() {
    require_root();
    let inside = NetNs::create().unwrap();
    let delete = |index| {
        let link = At { index, name: "lo" };
        inside.enter(|| Conversation::open()?.delete_quickly(link)).unwrap().map_err(|e| e.to_string())
    };
    let refused = delete(1).unwrap_err();
    assert!(refused.starts_with("delete link lo: Operation not supported"), "{refused}");
    assert_eq!(delete(12345), Ok(()), "there is none");
}
