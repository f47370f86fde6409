//! What the tests stand on: namespaces with a link between them.

use std::cell::RefCell;
use std::time::Duration;

use routelet::kernel::links::{Link, VethPair};
use routelet::kernel::{Installer, NetNs, Netlink};

use crate::routes::{OURS, installer};

/// Fails at once, and says why, where the tests cannot run.
pub fn require_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "the kernel tests make network namespaces and must run as root: sudo -E cargo test --test kernel"
    );
}

/// A fresh namespace with its loopback up, and a conversation with it.
pub async fn namespace() -> (NetNs, Netlink) {
    require_root();
    let namespace = NetNs::create().unwrap();
    // Duplicate detection would change addresses a second after everything has seemed settled.
    let setting = "/proc/sys/net/ipv6/conf/default/accept_dad";
    namespace.enter(|| std::fs::write(setting, "0")).unwrap().unwrap();
    let netlink = Netlink::open_in(&namespace).unwrap();
    let loopback = netlink.link("lo").await.unwrap().unwrap();
    netlink.set_up(loopback.index, true).await.unwrap();
    (namespace, netlink)
}

/// Waits until `condition` holds; the kernel does some things after it has answered.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Two namespaces joined by a veth pair `left` and `right`, both up, without addresses.
pub struct Pair {
    /// Writes routes of ours on the left.
    pub writer: RefCell<Installer>,
    pub left: Netlink,
    pub left_link: Link,
    pub left_namespace: NetNs,
    pub right: Netlink,
    pub right_link: Link,
    pub right_namespace: NetNs,
}

impl Pair {
    pub async fn new() -> Pair {
        let (left_namespace, left) = namespace().await;
        let (right_namespace, right) = namespace().await;
        // The kernel tells of a carrier up to a second late where both ends of a pair have one number.
        left.add_bridge("unused", None).await.unwrap();
        let left_link = left
            .add_veth(&VethPair {
                name: "left",
                peer_name: "right",
                peer_namespace: Some(&right_namespace),
                mtu: None,
                peer_mac: None,
            })
            .await
            .unwrap();
        let right_link = right.link("right").await.unwrap().unwrap();
        left.set_up(left_link.index, true).await.unwrap();
        right.set_up(right_link.index, true).await.unwrap();
        let writer = RefCell::new(installer(&left_namespace, OURS));
        Pair { writer, left, left_link, left_namespace, right, right_link, right_namespace }
    }

    /// What the writer's doings bear in the kernel's news.
    pub fn writer_port(&self) -> u32 {
        self.writer.borrow().port()
    }

    /// The same with `192.0.2.1` and `2001:db8::1` on the left, `.2` and `::2` on the right.
    pub async fn addressed() -> Pair {
        let pair = Pair::new().await;
        for (netlink, link, addresses) in [
            (&pair.left, &pair.left_link, ["192.0.2.1/24", "2001:db8::1/64"]),
            (&pair.right, &pair.right_link, ["192.0.2.2/24", "2001:db8::2/64"]),
        ] {
            for address in addresses {
                netlink.add_address(link.index, address.parse().unwrap()).await.unwrap();
            }
        }
        pair
    }
}
