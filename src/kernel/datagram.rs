//! UDP sockets as BFD needs them (RFC 5881 §4, §5): what arrives comes with the address it was sent to,
//! its interface, its time to live and how long it has waited, and what is sent leaves with 255 and the
//! traffic class of network control.
//!
//! Never waits: who owns a socket polls it.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

use super::Error;
use super::socket::NETWORK_CONTROL;

/// Time to live of what is sent: a receiver that finds less knows that it crossed a router.
const TTL: u32 = 255;
/// Room for datagrams that arrive while nobody reads: a second of a thousand sessions at 50 ms.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A UDP socket.
#[derive(Debug)]
pub struct Datagrams {
    socket: Socket,
}

/// How a datagram came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub remote: SocketAddr,
    /// Which of our addresses it was sent to.
    pub local: IpAddr,
    /// Index of the interface it came in by.
    pub interface: u32,
    /// Time to live, or hop limit, it arrived with.
    pub ttl: u8,
    /// How long ago the kernel took it from the wire, by the clock on the wall: wrong by as much as somebody
    /// has set that clock meanwhile. Zero where the kernel does not say.
    pub waited: Duration,
    /// Its length in octets.
    pub octets: usize,
}

impl Datagrams {
    /// Listens; IPv6 alone on an IPv6 address.
    ///
    /// # Errors
    /// The port is taken or privileged, or the address not local.
    pub fn listen(address: SocketAddr) -> Result<Datagrams, Error> {
        let open = || -> io::Result<Datagrams> {
            let datagrams = Datagrams::open(address.ip())?;
            let socket = &datagrams.socket;
            // The kernel may grant less, which only costs packets in a burst.
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
            setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
            if address.is_ipv6() {
                setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?;
            } else {
                setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
                setsockopt(socket, sockopt::Ipv4RecvTtl, &true)?;
            }
            socket.bind(&address.into())?;
            Ok(datagrams)
        };
        open().map_err(Error::system(|| format!("listen on UDP {address}")))
    }

    /// A socket to send from: an address of ours (or the unspecified one, to let the kernel choose) and
    /// a free port of a range, tried from `first` on.
    ///
    /// # Errors
    /// No port of the range is free, or the address is not local.
    pub fn sender(local: IpAddr, ports: RangeInclusive<u16>, first: u16) -> Result<Datagrams, Error> {
        let open = || -> io::Result<Datagrams> {
            let datagrams = Datagrams::open(local)?;
            let from_first = (first..=*ports.end()).chain(*ports.start()..first);
            let mut result = Err(Errno::EADDRINUSE.into());
            for port in from_first.filter(|port| ports.contains(port)) {
                result = datagrams.socket.bind(&SocketAddr::new(local, port).into());
                if !result.as_ref().is_err_and(|e: &io::Error| e.kind() == io::ErrorKind::AddrInUse) {
                    break;
                }
            }
            result.map(|()| datagrams)
        };
        open().map_err(Error::system(|| format!("send UDP from {local}")))
    }

    /// A socket that somebody else has opened. It must be asked for addresses and hop limits already.
    pub(super) fn of(socket: Socket) -> Datagrams {
        Datagrams { socket }
    }

    fn open(local: IpAddr) -> io::Result<Datagrams> {
        let domain = if local.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(TTL)?;
            socket.set_tclass_v6(NETWORK_CONTROL)?;
        } else {
            socket.set_ttl_v4(TTL)?;
            socket.set_tos_v4(NETWORK_CONTROL)?;
        }
        Ok(Datagrams { socket })
    }

    /// Takes the next datagram that waits, if one does. What does not fit the buffer is cut off.
    ///
    /// # Errors
    /// The kernel's.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut control = cmsg_space!(libc::in6_pktinfo, libc::c_int, libc::timespec);
        let mut parts = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let message = loop {
            match recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), MsgFlags::empty()) {
                Ok(message) => break message,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let remote = message.address.as_ref().and_then(socket_address);
        let (mut local, mut interface, mut ttl, mut waited) = (None, 0, None, Duration::ZERO);
        for part in message.cmsgs()? {
            match part {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    local = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                    interface = info.ipi_ifindex as u32;
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    local = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                    interface = info.ipi6_ifindex;
                }
                ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) => {
                    ttl = u8::try_from(hops).ok();
                }
                ControlMessageOwned::ScmTimestampns(at) => waited = since(at),
                _ => {}
            }
        }
        let (Some(remote), Some(local), Some(ttl)) = (remote, local, ttl) else {
            return Err(io::Error::other("a datagram came without its address or time to live"));
        };
        Ok(Some(Received { remote, local, interface, ttl, waited, octets: message.bytes }))
    }

    /// Sends a datagram. Scope ids of link-local IPv6 addresses go into `remote`.
    ///
    /// # Errors
    /// The kernel's: there is no route, say.
    pub fn send(&self, octets: &[u8], remote: SocketAddr) -> io::Result<()> {
        self.socket.send_to(octets, &remote.into()).map(drop)
    }
}

impl AsRawFd for Datagrams {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The kernel stamps datagrams by the clock on the wall: a monotonic one it does not offer for them.
#[allow(
    clippy::disallowed_methods,
    reason = "compared with a stamp of the same clock, and with nothing else"
)]
fn since(at: TimeSpec) -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH + Duration::from(at)).unwrap_or_default()
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from((a.ip(), a.port())));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddr::from((a.ip(), a.port()))))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn exchange(loopback: IpAddr) {
        let receiver = Datagrams::listen(SocketAddr::new(loopback, 0)).unwrap();
        let bound = receiver.socket.local_addr().unwrap().as_socket().unwrap();
        let mut buffer = [0; 64];
        assert_eq!(receiver.receive(&mut buffer).unwrap(), None);
        let sender = Datagrams::sender(loopback, 49152..=65535, 50_000).unwrap();
        sender.send(b"hello", bound).unwrap();
        let received = receiver.receive(&mut buffer).unwrap().unwrap();
        assert_eq!((received.local, received.remote.ip()), (loopback, loopback));
        assert_eq!((received.ttl, received.octets, received.interface), (255, 5, 1));
        assert!(received.remote.port() >= 49152);
        assert!(received.waited < Duration::from_secs(10), "{:?}", received.waited);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "nothing is awaited: that time passes is what is tried")]
    fn a_datagram_says_how_long_it_has_waited() {
        const LATE: Duration = Duration::from_millis(30);
        let receiver = Datagrams::listen(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
        let bound = receiver.socket.local_addr().unwrap().as_socket().unwrap();
        let sender = Datagrams::sender(Ipv4Addr::LOCALHOST.into(), 49152..=65535, 50_200).unwrap();
        // The kernel begins to stamp what arrives some time after it has been asked to.
        let mut longest = Duration::ZERO;
        for _ in 0..100 {
            sender.send(b"hello", bound).unwrap();
            std::thread::sleep(LATE);
            longest = longest.max(receiver.receive(&mut [0; 64]).unwrap().unwrap().waited);
            if longest >= LATE {
                return;
            }
        }
        panic!("{longest:?}");
    }

    #[test]
    fn a_datagram_comes_with_its_time_to_live_in_either_family() {
        exchange(Ipv4Addr::LOCALHOST.into());
        exchange(Ipv6Addr::LOCALHOST.into());
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let local = IpAddr::from(Ipv4Addr::LOCALHOST);
        let first = Datagrams::sender(local, 50_100..=50_101, 50_101).unwrap();
        let second = Datagrams::sender(local, 50_100..=50_101, 50_101).unwrap();
        let port = |s: &Datagrams| s.socket.local_addr().unwrap().as_socket().unwrap().port();
        assert_eq!((port(&first), port(&second)), (50_101, 50_100));
        let error = Datagrams::sender(local, 50_100..=50_101, 50_100).unwrap_err().to_string();
        assert!(error.starts_with("send UDP from 127.0.0.1: "), "{error}");
    }
}
