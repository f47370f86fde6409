//! TCP sockets as BGP needs them: MD5 keys (RFC 2385), TTL (RFC 5082), source addresses, backlog.

use std::net::{IpAddr, SocketAddr};

use super::Error;

/// What a session's socket must have before the first SYN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Local address; the kernel chooses where absent.
    pub source: Option<IpAddr>,
    /// TCP MD5 key.
    pub md5_key: Option<Vec<u8>>,
    /// TTL or hop limit of outgoing packets.
    pub ttl: Option<u8>,
    /// Least TTL or hop limit of incoming packets (`IP_MINTTL`, `IPV6_MINHOPCOUNT`).
    pub min_ttl: Option<u8>,
}

/// Opens a connection. Scope ids of link-local IPv6 addresses go into `remote`.
///
/// # Errors
/// A socket option was refused, or the connection failed.
pub async fn connect(remote: SocketAddr, options: &Options) -> Result<tokio::net::TcpStream, Error> {
    let _ = (remote, options);
    todo!()
}

/// Listens with address reuse, a backlog of 4,096, and IPv6 alone on an IPv6 address.
///
/// # Errors
/// The address is taken (the error says so plainly) or not local, or the port is privileged.
pub fn listen(address: SocketAddr) -> Result<tokio::net::TcpListener, Error> {
    let _ = address;
    todo!()
}

/// Sets or, with `None`, removes the MD5 key that a listening socket asks of `peer`.
///
/// # Errors
/// The kernel lacks TCP MD5.
pub fn set_md5_key(
    listener: &tokio::net::TcpListener,
    peer: IpAddr,
    key: Option<&[u8]>,
) -> Result<(), Error> {
    let _ = (listener, peer, key);
    todo!()
}

/// Sets the TTLs on an accepted connection.
///
/// # Errors
/// A socket option was refused.
pub fn set_ttl(stream: &tokio::net::TcpStream, options: &Options) -> Result<(), Error> {
    let _ = (stream, options);
    todo!()
}
