//! The bell: rings when the kernel reports that something of a kind has changed.
//!
//! Says neither what has changed nor how often: whoever hears it looks. Where that is cheap, it spares
//! the parsing of news, and a flood of them costs no more than one look.

use std::io::{self, ErrorKind};

use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::Error;

/// Of longer news only the beginning is kept, and not even that is read.
const DATAGRAM: usize = 4 << 10;

/// News that are taken for one, however many more there are.
const AT_ONCE: usize = 1024;

/// Policy rules and addresses, of both families.
pub const RULES_AND_ADDRESSES: &[MulticastGroup] = &[
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
];

/// Settings of interfaces and of all: forwarding, `rp_filter`, `proxy_arp`. New interfaces, too, for they
/// come with settings.
pub const SETTINGS: &[MulticastGroup] = &[MulticastGroup::Ipv4Netconf, MulticastGroup::Ipv6Netconf];

/// A subscription to some of the kernel's news in one network namespace.
pub struct Bell {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl Bell {
    /// Subscribes in the calling thread's namespace. What changes from now on rings.
    ///
    /// # Errors
    /// The socket could not be opened.
    pub fn open(groups: &[MulticastGroup]) -> Result<Bell, Error> {
        let socket =
            subscribe(groups).map_err(Error::system(|| "subscribe to the kernel's news".to_owned()))?;
        Ok(Bell { socket, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// Waits until something has changed since the last time. Loses nothing when dropped half-way.
    pub async fn rung(&mut self) {
        self.buffer.clear();
        // News that were lost are news, too (ENOBUFS).
        let _ = self.socket.recv_from(&mut self.buffer).await;
        for _ in 0..AT_ONCE {
            self.buffer.clear();
            match self.socket.socket_ref().recv_from(&mut self.buffer, 0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }
}

/// Waits for a bell that may not have been had: for ever then.
pub async fn heard(bell: &mut Result<Bell, Error>) {
    match bell {
        Ok(bell) => bell.rung().await,
        Err(_) => std::future::pending().await,
    }
}

fn subscribe(groups: &[MulticastGroup]) -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
    for group in groups {
        socket.socket_mut().add_membership(*group as u32)?;
    }
    Ok(socket)
}
