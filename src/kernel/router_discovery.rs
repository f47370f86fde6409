//! The socket of router discovery on one link (RFC 4861 §4.1, §4.2): by it routers that share a link
//! find one another's link-local addresses.
//!
//! When to speak, and what becomes of who is heard, is the caller's to decide.

pub mod message;

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::datagram::Datagrams;
use super::{Error, sys};
use message::{HOP_LIMIT, Message};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// No link that matters here has longer packets that are not fragmented.
const BUFFER: usize = 2048;

/// A raw ICMPv6 socket on one link.
#[derive(Debug)]
pub struct RouterDiscovery {
    socket: AsyncFd<Datagrams>,
    index: u32,
}

impl RouterDiscovery {
    /// Opens the socket and joins the group of all routers.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses raw sockets (`CAP_NET_RAW`).
    pub fn open(interface: &str) -> Result<RouterDiscovery, Error> {
        let open = || -> io::Result<RouterDiscovery> {
            let index = nix::net::if_::if_nametoindex(interface)?;
            let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking(), Some(Protocol::ICMPV6))?;
            socket.bind_device(Some(interface.as_bytes()))?;
            socket.set_unicast_hops_v6(HOP_LIMIT.into())?;
            socket.set_multicast_hops_v6(HOP_LIMIT.into())?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_if_v6(index)?;
            socket.join_multicast_v6(&ALL_ROUTERS, index)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            let socket = sys::await_readable(Datagrams::of(socket))?;
            Ok(RouterDiscovery { socket, index })
        };
        open().map_err(Error::system(|| format!("look for routers on {interface}")))
    }

    /// Index of the interface.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Sends a message to those it is for: an advertisement to all nodes, a solicitation to all routers.
    ///
    /// # Errors
    /// The kernel's: the link is down or gone, or has no address yet.
    pub fn send(&self, message: Message) -> io::Result<()> {
        let group = match message {
            Message::Advertisement => ALL_NODES,
            Message::Solicitation => ALL_ROUTERS,
        };
        let remote = SocketAddr::V6(SocketAddrV6::new(group, 0, 0, self.index));
        self.socket.get_ref().send(&message.encode(), remote)
    }

    /// Waits for the next sound message, and tells who sent it. What is malformed is passed over. Loses
    /// none when dropped half-way.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn receive(&self) -> io::Result<(Message, Ipv6Addr)> {
        let mut buffer = [0; BUFFER];
        loop {
            let mut ready = self.socket.readable().await?;
            let Some(received) = self.socket.get_ref().receive(&mut buffer)? else {
                ready.clear_ready();
                continue;
            };
            let IpAddr::V6(source) = received.remote.ip() else { continue };
            match Message::decode(&buffer[..received.octets.min(BUFFER)], source, received.ttl) {
                Ok(Some(message)) => return Ok((message, source)),
                Ok(None) => {}
                Err(error) => tracing::debug!(%source, "discarded a message of router discovery: {error}"),
            }
        }
    }
}
