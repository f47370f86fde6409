//! A netlink socket for one thread: octets out, datagrams in, and waiting for the next one with a limit.
//!
//! Knows the protocols that are spoken here and the options that every conversation wants, and no message
//! (netlink(7)).

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, connect, getsockname, recv,
    send, setsockopt, socket, sockopt,
};

use super::sys;

/// Octets of replies that may wait to be read. The kernel counts about one thousand for each refusal and
/// allows twice the number: room for more refusals than a datagram has requests.
const BUFFER: usize = 1 << 20;

/// The kernel's own port number.
const KERNEL: u32 = 0;

/// A part of the kernel that speaks netlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Links, addresses, routes (`NETLINK_ROUTE`; rtnetlink(7)).
    Route,
    /// nftables and connection tracking (`NETLINK_NETFILTER`).
    Netfilter,
}

/// Octets of the datagrams that are read. Those of a dump are as large as the reader's room, up to half of
/// the larger; any other fits the smaller, except what tells of one thing that is larger, such as a port of
/// a bridge that is in every VLAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// For tables read by the hundred thousand.
    Tables = 64 << 10,
    /// For a program that asks little and ends: memory that is touched for the first time costs as much as a
    /// question.
    Messages = 16 << 10,
}

/// A socket that talks to the kernel alone.
#[derive(Debug)]
pub(super) struct NetlinkSocket {
    socket: OwnedFd,
    port: u32,
    buffer: Vec<u8>,
}

impl NetlinkSocket {
    /// Opens a socket in the calling thread's namespace, where it stays.
    pub(super) fn open(protocol: Protocol, room: Room) -> io::Result<NetlinkSocket> {
        let protocol = match protocol {
            Protocol::Route => SockProtocol::NetlinkRoute,
            Protocol::Netfilter => SockProtocol::NetlinkNetFilter,
        };
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        set_receive_buffer(&socket, BUFFER)?;
        // The kernel chooses the number by which it knows the socket.
        let fd = socket.as_raw_fd();
        bind(fd, &NetlinkAddr::new(0, 0))?;
        connect(fd, &NetlinkAddr::new(KERNEL, 0))?;
        let port = getsockname::<NetlinkAddr>(fd)?.pid();
        // Explanations in place of copies of what was refused (Linux 4.12).
        sys::set_netlink_option(&socket, libc::NETLINK_CAP_ACK, 1)?;
        sys::set_netlink_option(&socket, libc::NETLINK_EXT_ACK, 1)?;
        Ok(NetlinkSocket { socket, port, buffer: vec![0; room as usize] })
    }

    /// Makes dumps honour filters (Linux 4.20); without it they merely take longer.
    pub(super) fn check_strictly(&self) {
        let _ = sys::set_netlink_option(&self.socket, libc::NETLINK_GET_STRICT_CHK, 1);
    }

    /// Has the kernel send what happens in a group, such as `RTNLGRP_LINK`.
    pub(super) fn subscribe(&self, group: libc::c_int) -> io::Result<()> {
        sys::set_netlink_option(&self.socket, libc::NETLINK_ADD_MEMBERSHIP, group)
    }

    /// The number that the kernel puts on news of what was done through this socket.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Sends a datagram of any length. The kernel has worked it off when this returns.
    pub(super) fn send(&self, octets: &[u8]) -> io::Result<()> {
        let send = || send(self.socket.as_raw_fd(), octets, MsgFlags::empty()).map(drop);
        match send() {
            // An nftables transaction is one datagram, and may be of many megabytes.
            Err(Errno::EMSGSIZE) => {
                setsockopt(&self.socket, sockopt::SndBufForce, &octets.len())?;
                Ok(send()?)
            }
            sent => Ok(sent?),
        }
    }

    /// Reads a datagram; `WouldBlock` where none is waiting, `InvalidData` where it did not fit: it is lost,
    /// and the next of its size will fit.
    pub(super) fn receive(&mut self) -> io::Result<&[u8]> {
        let length = loop {
            // Truncated datagrams are told by their true length.
            match recv(
                self.socket.as_raw_fd(),
                &mut self.buffer,
                MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC,
            ) {
                Err(Errno::EINTR) => {}
                outcome => break outcome?,
            }
        };
        if length > self.buffer.len() {
            self.buffer.resize(length.next_multiple_of(Room::Messages as usize), 0);
            return Err(io::Error::new(ErrorKind::InvalidData, "an answer larger than the room for it"));
        }
        Ok(&self.buffer[..length])
    }

    /// Leaves less room.
    #[cfg(test)]
    pub(super) fn narrow(&mut self, octets: usize) {
        self.buffer.truncate(octets);
    }

    /// Waits until there is something to read, at most this long; whether there is.
    pub(super) fn wait(&self, most: Duration) -> io::Result<bool> {
        let timeout = PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
            // Whoever waits looks again at the time that is left.
            Err(Errno::EINTR) => Ok(true),
            ready => Ok(ready? > 0),
        }
    }

    /// Throws away what waits to be read. An overrun is told once, by an error, and so is each datagram that
    /// is too large.
    pub(super) fn drain(&mut self) {
        loop {
            match self.receive() {
                Err(error)
                    if error.raw_os_error() == Some(libc::ENOBUFS)
                        || error.kind() == ErrorKind::InvalidData => {}
                Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Makes room for what waits to be read. Only a privileged process gets more than the machine's
/// limit; others get what that allows.
pub(super) fn set_receive_buffer(socket: &impl AsFd, octets: usize) -> io::Result<()> {
    if setsockopt(socket, sockopt::RcvBufForce, &octets).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &octets)?;
    }
    Ok(())
}
