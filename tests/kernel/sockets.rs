//! BGP's sockets: keys, TTLs, traffic class, and who has the port.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::FutureExt;
use routelet::kernel::socket::{self, Options};
use routelet::kernel::{Error, NetNs, sysctl};
use routelet::prefix::Family;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{Pair, eventually, namespace};

const PLAIN: Options = Options {
    source: None,
    source_interface: None,
    md5_key: None,
    ttl: None,
    min_ttl: None,
    mark: 0,
    user_timeout: None,
};

/// Connects from inside a namespace. The socket is made when the future is first polled; from then
/// on it does not matter where it is polled.
async fn connect(namespace: &NetNs, remote: SocketAddr, options: &Options) -> Result<TcpStream, Error> {
    let mut connecting = Box::pin(socket::connect(remote, options));
    match namespace.enter(|| connecting.as_mut().now_or_never()).unwrap() {
        Some(result) => result,
        None => connecting.await,
    }
}

fn listen(namespace: &NetNs, address: &str) -> TcpListener {
    namespace.enter(|| socket::listen(address.parse().unwrap())).unwrap().unwrap()
}

/// A counter of the namespace's TCP, as netstat(8) shows it.
fn counter(namespace: &NetNs, name: &str) -> u64 {
    let table =
        namespace.enter(|| std::fs::read_to_string("/proc/thread-self/net/netstat")).unwrap().unwrap();
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().unwrap().split(' '), lines.next().unwrap().split(' '));
    let (_, value) = names.zip(values).find(|(found, _)| *found == name).unwrap();
    value.parse().unwrap()
}

/// Segments that the namespace has dropped for a signature that was wrong or missing.
fn bad_signatures(namespace: &NetNs) -> u64 {
    counter(namespace, "TCPMD5NotFound") + counter(namespace, "TCPMD5Failure")
}

#[tokio::test]
async fn sessions_come_up_with_the_marks_of_network_control() {
    let pair = Pair::addressed().await;
    for (listen_on, remote) in [("0.0.0.0:179", "192.0.2.2:179"), ("[::]:179", "[2001:db8::2]:179")] {
        let listener = listen(&pair.right_namespace, listen_on);
        let remote: SocketAddr = remote.parse().unwrap();
        let user_timeout = Some(Duration::from_secs(480));
        let options = Options { ttl: Some(1), mark: 0xb69, user_timeout, ..PLAIN };
        socket::set_listener_mark(&listener, 7).unwrap();
        let connected = connect(&pair.left_namespace, remote, &options).await.unwrap();
        let (accepted, from) = listener.accept().await.unwrap();
        assert_eq!(
            SockRef::from(&accepted).mark().unwrap(),
            7,
            "that of the listener until it is known whose"
        );
        assert_eq!(from.ip(), connected.local_addr().unwrap().ip());
        socket::set_accepted(&accepted, &options).unwrap();
        for stream in [&connected, &accepted] {
            let socket = SockRef::from(stream);
            assert!(socket.tcp_nodelay().unwrap());
            assert_eq!((socket.mark().unwrap(), socket.tcp_user_timeout().unwrap()), (0xb69, user_timeout));
            if remote.is_ipv4() {
                assert_eq!((socket.tos_v4().unwrap(), socket.ttl_v4().unwrap()), (0xc0, 1));
            } else {
                assert_eq!((socket.tclass_v6().unwrap(), socket.unicast_hops_v6().unwrap()), (0xc0, 1));
            }
            socket::set_user_timeout(stream, None).unwrap();
            assert_eq!(socket.tcp_user_timeout().unwrap(), None);
        }
    }
}

#[tokio::test]
async fn both_families_listen_side_by_side_and_link_local_addresses_work() {
    let pair = Pair::addressed().await;
    let _v4 = listen(&pair.right_namespace, "0.0.0.0:179");
    let v6 = listen(&pair.right_namespace, "[::]:179");
    pair.right.add_address(pair.right_link.index, "fe80::2/64".parse().unwrap()).await.unwrap();
    pair.left.add_address(pair.left_link.index, "fe80::1/64".parse().unwrap()).await.unwrap();
    let remote = std::net::SocketAddrV6::new("fe80::2".parse().unwrap(), 179, 0, pair.left_link.index);
    let options = Options { source: Some("fe80::1".parse().unwrap()), ..PLAIN };
    let _connected = connect(&pair.left_namespace, remote.into(), &options).await.unwrap();
    let (_accepted, from) = v6.accept().await.unwrap();
    assert_eq!(from.ip(), "fe80::1".parse::<IpAddr>().unwrap());
}

#[tokio::test]
async fn a_foreign_source_address_is_refused_in_words() {
    let pair = Pair::addressed().await;
    let options = Options { source: Some("192.0.2.77".parse().unwrap()), ..PLAIN };
    let error = connect(&pair.left_namespace, "192.0.2.2:179".parse().unwrap(), &options).await.unwrap_err();
    let expected = "connect to 192.0.2.2:179: use source address 192.0.2.77: Cannot assign requested address";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[tokio::test]
async fn equal_keys_connect_and_others_do_not() {
    let pair = Pair::addressed().await;
    for (listen_on, remote, peer) in
        [("0.0.0.0:179", "192.0.2.2:179", "192.0.2.1"), ("[::]:179", "[2001:db8::2]:179", "2001:db8::1")]
    {
        let listener = listen(&pair.right_namespace, listen_on);
        let remote: SocketAddr = remote.parse().unwrap();
        let peer: IpAddr = peer.parse().unwrap();
        let with = |key: &[u8]| Options { md5_key: Some(key.to_vec()), ..PLAIN };
        socket::set_md5_key(&listener, peer, Some(b"correct horse")).unwrap();
        connect(&pair.left_namespace, remote, &with(b"correct horse")).await.unwrap();
        listener.accept().await.unwrap();

        for wrong in [with(b"battery staple"), PLAIN] {
            let before = bad_signatures(&pair.right_namespace);
            let mut connecting = Box::pin(connect(&pair.left_namespace, remote, &wrong));
            assert!(connecting.as_mut().now_or_never().is_none());
            eventually("the SYN is dropped", async || bad_signatures(&pair.right_namespace) > before).await;
            assert!(connecting.as_mut().now_or_never().is_none());
            assert!(listener.accept().now_or_never().is_none());
        }

        // Another key takes the first one's place; none lets everybody in again.
        socket::set_md5_key(&listener, peer, Some(b"battery staple")).unwrap();
        connect(&pair.left_namespace, remote, &with(b"battery staple")).await.unwrap();
        listener.accept().await.unwrap();
        for _ in 0..2 {
            socket::set_md5_key(&listener, peer, None).unwrap();
        }
        connect(&pair.left_namespace, remote, &PLAIN).await.unwrap();
        listener.accept().await.unwrap();

        let range = format!("{peer}/{}", if remote.is_ipv4() { 24 } else { 64 });
        let range = range.parse::<ipnetwork::IpNetwork>().unwrap().into();
        socket::set_md5_key_of_range(&listener, range, Some(b"everyone")).unwrap();
        connect(&pair.left_namespace, remote, &with(b"everyone")).await.unwrap();
        listener.accept().await.unwrap();
        for _ in 0..2 {
            socket::set_md5_key_of_range(&listener, range, None).unwrap();
        }

        let error = socket::set_md5_key(&listener, peer, Some(&[b'x'; 81])).unwrap_err().to_string();
        assert!(error.ends_with("a TCP MD5 key has at most 80 octets, this one 81"), "{error}");
    }
}

/// A packet that has come from further away than allowed is as good as lost (RFC 5082).
#[tokio::test]
async fn packets_below_the_least_ttl_are_dropped() {
    let pair = Pair::addressed().await;
    for (listen_on, remote) in [("0.0.0.0:179", "192.0.2.2:179"), ("[::]:179", "[2001:db8::2]:179")] {
        let listener = listen(&pair.right_namespace, listen_on);
        let remote: SocketAddr = remote.parse().unwrap();
        let secure = Options { ttl: Some(255), min_ttl: Some(255), ..PLAIN };
        // The listener answers with 255, or its SYN-ACK would be dropped here.
        let connected = connect(&pair.left_namespace, remote, &secure).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        socket::set_accepted(&accepted, &secure).unwrap();
        accepted.try_write(b"near").unwrap();
        tokio::time::timeout(Duration::from_secs(5), connected.readable()).await.unwrap().unwrap();
        let mut buffer = [0; 16];
        assert_eq!(connected.try_read(&mut buffer).unwrap(), 4);

        socket::set_accepted(&accepted, &Options { ttl: Some(254), ..PLAIN }).unwrap();
        let dropped = || counter(&pair.left_namespace, "TCPMinTTLDrop");
        let before = dropped();
        accepted.try_write(b"far").unwrap();
        eventually("it is dropped", async || dropped() > before).await;
        assert!(connected.try_read(&mut buffer).is_err());
    }
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_holder() {
    let (inside, _netlink) = namespace().await;
    let _held = listen(&inside, "0.0.0.0:179");
    let refused = |address: &str| {
        let address = address.parse().unwrap();
        inside.enter(|| socket::listen(address)).unwrap().unwrap_err().to_string()
    };
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let holder = format!("port 179 on 0.0.0.0 is held by {} (pid {})", name.trim_end(), std::process::id());
    assert_eq!(refused("0.0.0.0:179"), format!("listen on 0.0.0.0:179: {holder}"));
    assert_eq!(refused("127.0.0.1:179"), format!("listen on 127.0.0.1:179: {holder}"));
    let error = refused("192.0.2.1:180");
    assert!(error.starts_with("listen on 192.0.2.1:180: Cannot assign requested address"), "{error}");
}

#[tokio::test]
async fn forwarding_is_turned_on_once() {
    let (inside, _netlink) = namespace().await;
    let ensure = || inside.enter(|| sysctl::ensure_forwarding(&Family::ALL)).unwrap().unwrap();
    let forwards = || inside.enter(|| Family::ALL.map(|family| sysctl::forwards(family).unwrap())).unwrap();
    inside.enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "0")).unwrap().unwrap();
    assert_eq!(forwards(), [false, false]);
    assert_eq!(ensure(), Family::ALL);
    assert_eq!(forwards(), [true, true]);
    assert_eq!(ensure(), []);
}

/// The address is looked up when the connection is made: it may have come since the configuration.
#[tokio::test]
async fn a_source_interface_lends_its_address() {
    let pair = Pair::addressed().await;
    let lo = pair.left.link("lo").await.unwrap().unwrap();
    let from = |interface: &str| Options { source_interface: Some(interface.to_owned()), ..PLAIN };
    for (listen_on, remote) in [("0.0.0.0:179", "192.0.2.2:179"), ("[::]:179", "[2001:db8::2]:179")] {
        let listener = listen(&pair.right_namespace, listen_on);
        let remote: SocketAddr = remote.parse().unwrap();
        let refused = connect(&pair.left_namespace, remote, &from("lo")).await.unwrap_err().to_string();
        assert!(refused.contains("lo is missing, or has no address that reaches"), "{refused}");
        connect(&pair.left_namespace, remote, &from("left")).await.unwrap();
        let (_, seen) = listener.accept().await.unwrap();
        let expected: IpAddr = if remote.is_ipv4() { "192.0.2.1" } else { "2001:db8::1" }.parse().unwrap();
        assert_eq!(seen.ip(), expected, "and no link-local one");
    }
    pair.left.add_address(lo.index, "192.0.2.77/32".parse().unwrap()).await.unwrap();
    let listener = listen(&pair.right_namespace, "192.0.2.2:180");
    connect(&pair.left_namespace, "192.0.2.2:180".parse().unwrap(), &from("lo")).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().1.ip(), "192.0.2.77".parse::<IpAddr>().unwrap());
}
