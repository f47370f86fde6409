//! What neither `socket2` nor `nix` has: TCP MD5 keys, the least accepted TTL, and real-time priority;
//! and a socket of ours lent to the runtime.
//!
//! The only place in the program with `unsafe` code: one call of setsockopt(2), one of
//! sched_setscheduler(2), two of fork(2) with what the children do, and the promise to tokio that a
//! descriptor stays open.

#![allow(unsafe_code)]
#![cfg_attr(not(feature = "shell"), allow(dead_code, reason = "the plugin needs a part of it"))]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

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

/// Has a child process send a netlink request and write the error number in the answer (negative, or 0) to
/// `report`, four octets. The child has nothing else open, and ends when it has done so.
pub(super) fn send_from_child(
    socket: BorrowedFd<'_>,
    request: &[u8],
    report: BorrowedFd<'_>,
) -> io::Result<()> {
    // SAFETY: between fork and its end the child makes system calls and nothing else, which may be done also
    // where other threads held locks: all that it needs was made before.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => send_and_end(socket.as_raw_fd(), request, report.as_raw_fd()),
        _ => Ok(()),
    }
}

/// Has a child process hold a socket until the other end of the pipe `until` is closed: what the kernel does
/// when a socket is closed for the last time, it does to the child. The child has nothing else open.
pub(super) fn close_from_child(socket: BorrowedFd<'_>, until: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: as above.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => hold_and_end(socket.as_raw_fd(), until.as_raw_fd()),
        _ => Ok(()),
    }
}

/// What that child does.
fn hold_and_end(socket: libc::c_int, until: libc::c_int) -> ! {
    const SOCKET: libc::c_int = 0;
    const UNTIL: libc::c_int = 1;
    let mut nothing = [0u8; 1];
    // SAFETY: system calls on descriptors that are open, with a buffer that lives and is as long as is said.
    unsafe {
        let until = libc::fcntl(until, libc::F_DUPFD, 3);
        let socket = libc::fcntl(socket, libc::F_DUPFD, 3);
        // Where the rest cannot be closed (before Linux 5.9) the child would wait for itself.
        if until >= 0
            && socket >= 0
            && libc::dup2(socket, SOCKET) >= 0
            && libc::dup2(until, UNTIL) >= 0
            && libc::syscall(libc::SYS_close_range, UNTIL + 1, libc::c_uint::MAX, 0) >= 0
        {
            libc::read(UNTIL, nothing.as_mut_ptr().cast(), nothing.len());
        }
        libc::_exit(0)
    }
}

/// What the child does.
fn send_and_end(socket: libc::c_int, request: &[u8], report: libc::c_int) -> ! {
    /// Where the error number stands: behind the message's header (`struct nlmsgerr`).
    const ERROR: usize = 16;
    const SOCKET: libc::c_int = 0;
    const REPORT: libc::c_int = 1;
    let mut answer = [0u8; 64];
    // SAFETY: system calls on descriptors that are open, with buffers that live and are as long as is said.
    // The first makes sure that neither descriptor is overwritten before it has been copied.
    unsafe {
        let report = libc::fcntl(report, libc::F_DUPFD, 3);
        let socket = libc::fcntl(socket, libc::F_DUPFD, 3);
        if report < 0 || socket < 0 || libc::dup2(socket, SOCKET) < 0 || libc::dup2(report, REPORT) < 0 {
            libc::_exit(1);
        }
        // Linux 5.9; before, what else is open stays so for some milliseconds.
        if libc::syscall(libc::SYS_close_range, REPORT + 1, libc::c_uint::MAX, 0) < 0 {
            libc::close(2);
        }
        let sent = libc::send(SOCKET, request.as_ptr().cast(), request.len(), 0);
        if sent >= 0 && libc::recv(SOCKET, answer.as_mut_ptr().cast(), answer.len(), 0) >= 20 {
            libc::write(REPORT, answer.as_ptr().add(ERROR).cast(), 4);
        }
        libc::_exit(0)
    }
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
