//! What neither `socket2` nor `nix` has: TCP MD5 keys, the least accepted TTL, and real-time priority;
//! and a socket of ours lent to the runtime.
//!
//! The only place in the program with `unsafe` code: one call of setsockopt(2), one of
//! sched_setscheduler(2), and the promise to tokio that a descriptor stays open.

#![allow(unsafe_code)]
#![cfg_attr(not(feature = "shell"), allow(dead_code, reason = "the plugin needs a part of it"))]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
#[cfg(feature = "shell")]
use {
    super::datagram::Datagrams,
    tokio::io::{Interest, unix::AsyncFd},
};

/// Longest TCP MD5 key in octets (`TCP_MD5SIG_MAXKEYLEN`).
pub(super) const MD5_KEY_MOST: usize = 80;

/// Drops incoming packets whose TTL is less (ip(7), `IP_MINTTL`; RFC 5082 §3).
pub(super) fn set_min_ttl(socket: impl AsFd, least: u8) -> io::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &libc::c_int::from(least))
}

/// Drops incoming packets whose hop limit is less (`IPV6_MINHOPCOUNT`; RFC 5082 §3).
pub(super) fn set_min_hop_limit(socket: impl AsFd, least: u8) -> io::Result<()> {
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &libc::c_int::from(least))
}

/// Sets the key for segments from and to an address, or to all addresses of a prefix of
/// `prefix_length` bits (RFC 2385; tcp(7), `TCP_MD5SIG`). An empty key removes it.
///
/// # Errors
/// `InvalidInput` for a key of more than [`MD5_KEY_MOST`] octets; otherwise the kernel's.
pub(super) fn set_md5_key(
    socket: impl AsFd,
    peer: IpAddr,
    prefix_length: Option<u8>,
    key: &[u8],
) -> io::Result<()> {
    let mut signature = Md5Signature::default();
    let Some(room) = signature.key.get_mut(..key.len()) else {
        let text = format!("a TCP MD5 key has at most {MD5_KEY_MOST} octets, this one {}", key.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
    room.copy_from_slice(key);
    signature.key_length = key.len() as u16;
    signature.address = storage(peer);
    let Some(prefix_length) = prefix_length else {
        return set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &signature);
    };
    /// `TCP_MD5SIG_FLAG_PREFIX`.
    const PREFIX: u8 = 1;
    signature.flags = PREFIX;
    signature.prefix_length = prefix_length;
    set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG_EXT, &signature)
}

/// Puts the calling thread under `SCHED_RR` at this priority; its children start as ordinary threads.
pub(super) fn set_round_robin(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: thread 0 is the caller, and the parameters outlive the call, which only reads them.
    let result =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option of a netlink socket (netlink(7), "Socket options").
pub(super) fn set_netlink_option(
    socket: impl AsFd,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    set(socket, libc::SOL_NETLINK, option, &value)
}

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
struct Md5Signature {
    /// `struct sockaddr_storage`, in words for its alignment.
    address: [u64; 16],
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; MD5_KEY_MOST],
}

impl Default for Md5Signature {
    fn default() -> Md5Signature {
        Md5Signature {
            address: [0; 16],
            flags: 0,
            prefix_length: 0,
            key_length: 0,
            interface: 0,
            key: [0; MD5_KEY_MOST],
        }
    }
}

/// An address as `struct sockaddr_storage`: family in the first two octets, then the port and, in
/// IPv6, the flow label.
fn storage(address: IpAddr) -> [u64; 16] {
    let mut octets = [0; 128];
    match address {
        IpAddr::V4(address) => {
            octets[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            octets[4..8].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            octets[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            octets[8..24].copy_from_slice(&address.octets());
        }
    }
    let mut words = [0; 16];
    for (word, octets) in words.iter_mut().zip(octets.chunks_exact(8)) {
        *word = octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet));
        *word = u64::from_le(*word);
    }
    words
}

/// What may be handed to the kernel as it lies in memory: no pointers and no padding.
trait Plain: Sized {}
impl Plain for libc::c_int {}
impl Plain for Md5Signature {}

fn set<T: Plain>(socket: impl AsFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the descriptor is open, since it is borrowed for the length of the call. The kernel
    // reads `size_of::<T>()` octets from `value`, which lives and is plain data all along, keeps no
    // reference to it, and writes nothing.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the runtime watch a socket for what arrives.
#[cfg(feature = "shell")]
pub(super) fn await_readable(socket: Datagrams) -> io::Result<AsyncFd<Datagrams>> {
    // SAFETY: the socket owns its descriptor, always answers with the same one, and closes it only when it
    // is dropped, which `AsyncFd` does after it has taken its leave of the runtime.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_laid_out_as_the_kernel_s() {
        assert_eq!(size_of::<Md5Signature>(), 216);
        assert_eq!(std::mem::offset_of!(Md5Signature, key_length), 130);
        assert_eq!(std::mem::offset_of!(Md5Signature, key), 136);
    }

    #[test]
    fn addresses_lie_where_the_kernel_looks() {
        let octets = |address: &str| -> Vec<u8> {
            storage(address.parse().unwrap()).iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        assert_eq!(octets("192.0.2.1")[..8], [2, 0, 0, 0, 192, 0, 2, 1]);
        assert_eq!(octets("2001:db8::1")[..12], [10, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(octets("2001:db8::1")[23], 1);
    }
}
