//! TCP sockets as BGP needs them: MD5 keys (RFC 2385), TTL (RFC 5082), source addresses, backlog,
//! marks for policy routing, the user timeout (RFC 5482), and the traffic class of network control
//! (RFC 4594 §3.2).
//!
//! Everything that the first segment must carry is set before there is one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Error, port_holder, sys};
use crate::prefix::Prefix;

/// Connections that may wait to be accepted. A thousand nodes that start together should not wait
/// for one another's retransmissions. The kernel caps it at `net.core.somaxconn`, 4,096 by default.
const BACKLOG: i32 = 4096;

/// DSCP CS6, network control, in the place it has in the traffic class octet.
pub(super) const NETWORK_CONTROL: u32 = 48 << 2;

/// TTL of what a listener answers with before a connection is accepted. A peer that applies RFC 5082
/// would drop anything less, and one that does not is indifferent.
const LISTENER_TTL: u8 = 255;

/// What a session's socket must have before the first SYN.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Local address; the kernel chooses where absent.
    pub source: Option<IpAddr>,
    /// Interface whose address is the local one, where `source` is not given.
    pub source_interface: Option<String>,
    /// TCP MD5 key.
    pub md5_key: Option<Vec<u8>>,
    /// TTL or hop limit of outgoing packets.
    pub ttl: Option<u8>,
    /// Least TTL or hop limit of incoming packets (`IP_MINTTL`, `IPV6_MINHOPCOUNT`).
    pub min_ttl: Option<u8>,
    /// Mark of outgoing packets, for rules of policy routing and filters to match (`SO_MARK`). Zero: none.
    pub mark: u32,
    /// How long the peer may leave what is sent unacknowledged, or take none of it, before the
    /// connection is given up (`TCP_USER_TIMEOUT`); the kernel's retransmission limit where absent.
    pub user_timeout: Option<Duration>,
}

/// Opens a connection. Scope ids of link-local IPv6 addresses go into `remote`.
///
/// # Errors
/// A socket option was refused, or the connection failed.
pub async fn connect(remote: SocketAddr, options: &Options) -> Result<TcpStream, Error> {
    let socket = prepare(remote, options)?;
    socket.connect(remote).await.map_err(Error::system(|| format!("connect to {remote}")))
}

/// Listens with address reuse, a backlog of 4,096, and IPv6 alone on an IPv6 address.
///
/// # Errors
/// The address is taken (the error says so plainly, and by whom where that can be seen) or not
/// local, or the port is privileged.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let step = |step: &'static str| Error::system(move || format!("listen on {address}: {step}"));
    let socket = open(address).map_err(step("open a socket"))?;
    socket.set_reuse_address(true).map_err(step("allow address reuse"))?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(step("leave IPv4 alone"))?;
    }
    set_outgoing_ttl(&socket, LISTENER_TTL).map_err(step("set the TTL"))?;
    socket.bind(&address.into()).map_err(|error| refused(address, error))?;
    // Binding may succeed beside another listener that allows reuse; listening then fails.
    socket.listen(BACKLOG).map_err(|error| refused(address, error))?;
    TcpListener::from_std(socket.into()).map_err(step("register with the runtime"))
}

/// Sets or, with `None`, removes the MD5 key that a listening socket asks of `peer`.
///
/// # Errors
/// The kernel lacks TCP MD5, the key is longer than 80 octets, or the listener is of the other
/// family.
pub fn set_md5_key(listener: &TcpListener, peer: IpAddr, key: Option<&[u8]>) -> Result<(), Error> {
    set_key(listener, peer, None, key).map_err(Error::system(|| format!("set the TCP MD5 key of {peer}")))
}

/// The same for every address of a range. A key for one address takes precedence, a longer prefix
/// before a shorter.
///
/// # Errors
/// As [`set_md5_key`].
pub fn set_md5_key_of_range(listener: &TcpListener, range: Prefix, key: Option<&[u8]>) -> Result<(), Error> {
    set_key(listener, range.address(), Some(range.length()), key)
        .map_err(Error::system(|| format!("set the TCP MD5 key of {range}")))
}

/// Sets the mark of what a listening socket answers with before a connection is accepted.
///
/// # Errors
/// It needs `CAP_NET_ADMIN`, or `CAP_NET_RAW` since Linux 5.17.
pub fn set_listener_mark(listener: &TcpListener, mark: u32) -> Result<(), Error> {
    SockRef::from(listener)
        .set_mark(mark)
        .map_err(Error::system(|| format!("set the mark of a listening socket to {mark}")))
}

/// Sets on an accepted connection what it has not from its listener: TTLs, mark and user timeout.
///
/// # Errors
/// An option was refused.
pub fn set_accepted(stream: &TcpStream, options: &Options) -> Result<(), Error> {
    let step = |step: &'static str| Error::system(move || format!("on an accepted connection: {step}"));
    let socket = SockRef::from(stream);
    set_ttls(&socket, options).map_err(step("set the TTL"))?;
    // Setting one needs a privilege, even where it changes nothing.
    if socket.mark().map_err(step("read the mark"))? != options.mark {
        socket.set_mark(options.mark).map_err(step("set the mark"))?;
    }
    socket.set_tcp_user_timeout(options.user_timeout).map_err(step("set the user timeout"))
}

/// Sets the user timeout of a connection that is up: see [`Options::user_timeout`].
///
/// # Errors
/// The option was refused.
pub fn set_user_timeout(stream: &TcpStream, timeout: Option<Duration>) -> Result<(), Error> {
    SockRef::from(stream)
        .set_tcp_user_timeout(timeout)
        .map_err(Error::system(|| "set the user timeout of a connection".to_owned()))
}

/// A socket that is ready to connect, with everything set that the SYN must carry.
fn prepare(remote: SocketAddr, options: &Options) -> Result<TcpSocket, Error> {
    let step = |step: &'static str| Error::system(move || format!("connect to {remote}: {step}"));
    let socket = open(remote).map_err(step("open a socket"))?;
    set_ttls(&socket, options).map_err(step("set the TTL"))?;
    if options.mark != 0 {
        socket.set_mark(options.mark).map_err(step("set the mark"))?;
    }
    socket.set_tcp_user_timeout(options.user_timeout).map_err(step("set the user timeout"))?;
    if let Some(key) = &options.md5_key {
        sys::set_md5_key(&socket, remote.ip(), None, key).map_err(step("set the TCP MD5 key"))?;
    }
    let source = match (options.source, &options.source_interface) {
        (None, Some(name)) => Some(address_of(name, remote.ip()).map_err(step("use the source interface"))?),
        (source, _) => source,
    };
    if let Some(source) = source {
        let mut local = SocketAddr::new(source, 0);
        if let (SocketAddr::V6(local), SocketAddr::V6(remote)) = (&mut local, remote) {
            // A link-local address means nothing without its link, and both are on the same.
            if local.ip().is_unicast_link_local() {
                local.set_scope_id(remote.scope_id());
            }
        }
        socket
            .bind(&local.into())
            .map_err(Error::system(|| format!("connect to {remote}: use source address {source}")))?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// The address of an interface that a connection to `remote` can come from: the first of its family,
/// link-local where `remote` is and only there.
fn address_of(interface: &str, remote: IpAddr) -> io::Result<IpAddr> {
    let link_local = |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let suits = |address: &IpAddr| {
        address.is_ipv4() == remote.is_ipv4() && link_local(*address) == link_local(remote)
    };
    let found = nix::ifaddrs::getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .filter_map(|entry| {
            let storage = entry.address?;
            let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
            v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
        })
        // 127.0.0.1 and ::1 are on lo beside what a session would use.
        .filter(|address| remote.is_loopback() || !address.is_loopback())
        .find(suits);
    found.ok_or_else(|| {
        let text = format!("{interface} is missing, or has no address that reaches {remote}");
        io::Error::new(io::ErrorKind::AddrNotAvailable, text)
    })
}

/// A socket of the address's family, with what every BGP socket has. Accepted ones inherit it.
fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    match address {
        SocketAddr::V4(_) => socket.set_tos_v4(NETWORK_CONTROL)?,
        SocketAddr::V6(_) => socket.set_tclass_v6(NETWORK_CONTROL)?,
    }
    Ok(socket)
}

fn set_key(
    listener: &TcpListener,
    peer: IpAddr,
    prefix_length: Option<u8>,
    key: Option<&[u8]>,
) -> io::Result<()> {
    match sys::set_md5_key(listener.as_fd(), peer, prefix_length, key.unwrap_or_default()) {
        // There was none to remove.
        Err(error) if key.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn set_ttls(socket: &Socket, options: &Options) -> io::Result<()> {
    if let Some(ttl) = options.ttl {
        set_outgoing_ttl(socket, ttl)?;
    }
    match (options.min_ttl, is_ipv6(socket)?) {
        (None, _) => Ok(()),
        (Some(least), false) => sys::set_min_ttl(socket, least),
        (Some(least), true) => sys::set_min_hop_limit(socket, least),
    }
}

fn set_outgoing_ttl(socket: &Socket, ttl: u8) -> io::Result<()> {
    if is_ipv6(socket)? { socket.set_unicast_hops_v6(ttl.into()) } else { socket.set_ttl_v4(ttl.into()) }
}

fn is_ipv6(socket: &Socket) -> io::Result<bool> {
    Ok(socket.domain()? == Domain::IPV6)
}

/// Why an address could not be had.
fn refused(address: SocketAddr, error: io::Error) -> Error {
    let holder = (error.kind() == io::ErrorKind::AddrInUse).then(|| port_holder::find(address)).flatten();
    match holder {
        Some(holder) => Error::PortTaken { address, holder },
        None => Error::system(|| format!("listen on {address}"))(error),
    }
}
