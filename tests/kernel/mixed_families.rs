//! IPv4 routes through IPv6 routers (RFC 8950), over which packets really go.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use routelet::fib::{NextHop, Target};

use crate::groups;
use crate::rig::Pair;
use crate::routes::{install, ip, write};

/// Waits for a packet, whatever children of other tests end meanwhile.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    loop {
        match socket.recv_from(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// A UDP packet from `from` on the left to `to` on the right and back.
fn there_and_back(pair: &Pair, from: &str, to: Ipv4Addr) {
    let bind = |address: String| UdpSocket::bind(address).unwrap();
    let near = pair.left_namespace.enter(|| bind(format!("{from}:0"))).unwrap();
    let far = pair.right_namespace.enter(|| bind(format!("{to}:0"))).unwrap();
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    let mut buffer = [0; 16];
    near.send_to(b"there", far.local_addr().unwrap()).unwrap();
    let (length, sender) = receive(&far, &mut buffer).unwrap_or_else(|e| panic!("nothing at {to}: {e}"));
    assert_eq!((&buffer[..length], sender), (&b"there"[..], near.local_addr().unwrap()));
    far.send_to(b"back", sender).unwrap();
    let (length, sender) = receive(&near, &mut buffer).unwrap_or_else(|e| panic!("{to} back: {e}"));
    assert_eq!((&buffer[..length], sender), (&b"back"[..], far.local_addr().unwrap()));
}

/// A link without an IPv4 address at either end, and IPv4 hosts behind it.
async fn ipv6_link() -> Pair {
    let pair = Pair::new().await;
    for (netlink, link, on_link, host) in [
        (&pair.left, &pair.left_link, "fe80::1/64", "10.8.0.1/32"),
        (&pair.right, &pair.right_link, "fe80::2/64", "10.9.0.1/32"),
    ] {
        netlink.add_address(link.index, on_link.parse().unwrap()).await.unwrap();
        let loopback = netlink.link("lo").await.unwrap().unwrap();
        netlink.add_address(loopback.index, host.parse().unwrap()).await.unwrap();
    }
    // All of the right's subnet is the right itself.
    ip(&pair.right_namespace, "route add local 10.9.0.0/24 dev lo");
    pair
}

fn via(hops: &[(&str, u32)]) -> Target {
    let hop =
        |(via, link): &(&str, u32)| NextHop { via: via.parse().unwrap(), interface: Some(*link), weight: 1 };
    Target::Via(hops.iter().map(hop).collect())
}

#[tokio::test]
async fn ipv4_packets_cross_a_link_that_has_ipv6_alone() {
    let pair = ipv6_link().await;
    let (left, right) = (pair.left_link.index, pair.right_link.index);
    write(&pair.left_namespace, &[install("10.9.0.0/24", via(&[("fe80::2", left)]))]);
    write(&pair.right_namespace, &[install("10.8.0.1/32", via(&[("fe80::1", right)]))]);
    there_and_back(&pair, "10.8.0.1", "10.9.0.1".parse().unwrap());
    let shown = ip(&pair.left_namespace, "route show 10.9.0.0/24");
    assert!(shown.contains("via inet6 fe80::2 dev left proto 114 metric 20"), "{shown}");

    let through_a_group =
        [groups::set(1, vec![groups::hop(left, "fe80::2")]), groups::install(1, "10.9.0.0/24")];
    write(&pair.left_namespace, &through_a_group);
    let shown = ip(&pair.left_namespace, "route show 10.9.0.0/24");
    assert!(shown.contains("nhid"), "{shown}");
    there_and_back(&pair, "10.8.0.1", "10.9.0.1".parse().unwrap());
}

#[tokio::test]
async fn ipv4_packets_are_shared_among_routers_of_both_families() {
    let pair = ipv6_link().await;
    let (left, right) = (pair.left_link.index, pair.right_link.index);
    pair.left.add_address(left, "192.0.2.1/24".parse().unwrap()).await.unwrap();
    pair.right.add_address(right, "192.0.2.2/24".parse().unwrap()).await.unwrap();
    let both = via(&[("192.0.2.2", left), ("fe80::2", left)]);
    write(&pair.left_namespace, &[install("10.9.0.0/24", both)]);
    let both = via(&[("192.0.2.1", right), ("fe80::1", right)]);
    write(&pair.right_namespace, &[install("10.8.0.1/32", both)]);
    let (mut over_ipv4, mut over_ipv6) = (0, 0);
    for host in 1..=64 {
        let to = Ipv4Addr::new(10, 9, 0, host);
        there_and_back(&pair, "10.8.0.1", to);
        let way = ip(&pair.left_namespace, &format!("route get {to} from 10.8.0.1"));
        over_ipv4 += usize::from(way.contains("via 192.0.2.2"));
        over_ipv6 += usize::from(way.contains("via inet6 fe80::2"));
    }
    assert_eq!(over_ipv4 + over_ipv6, 64);
    assert!(over_ipv4 > 8 && over_ipv6 > 8, "{over_ipv4} over IPv4, {over_ipv6} over IPv6");
}
