//! News of links, routes and tables of nftables as they change, for a program that waits for one of them
//! (rtnetlink(7)).
//!
//! What is waited for is looked up, not read out of the news: those may get lost for want of room. Whoever
//! waits subscribes, looks, and looks again after each piece of news.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::Error;
use super::frame::{Frame, frames};
use super::netlink_socket::{NetlinkSocket, Protocol, Room};

/// What there is news of: groups of `linux/rtnetlink.h`, and one of `linux/netfilter/nfnetlink.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Links, `RTNLGRP_LINK`.
    Links = 1,
    /// nftables, `NFNLGRP_NFTABLES`.
    Nftables = 7,
    /// IPv6 addresses, `RTNLGRP_IPV6_IFADDR`.
    Ipv6Addresses = 9,
    /// IPv6 routes, `RTNLGRP_IPV6_ROUTE`.
    Ipv6Routes = 11,
}

/// A subscription.
#[derive(Debug)]
pub struct News {
    socket: NetlinkSocket,
}

/// What has come.
pub(super) enum Heard<T> {
    /// What was waited for.
    This(T),
    /// Nothing until the time was up.
    Nothing,
    /// More than there was room for: something has been lost.
    Lost,
}

impl News {
    /// Subscribes in the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn of(subject: Subject) -> Result<News, Error> {
        let protocol = match subject {
            Subject::Nftables => Protocol::Netfilter,
            Subject::Links | Subject::Ipv6Addresses | Subject::Ipv6Routes => Protocol::Route,
        };
        let open = || {
            let socket = NetlinkSocket::open(protocol, Room::Messages)?;
            socket.subscribe(subject as i32)?;
            Ok::<_, std::io::Error>(News { socket })
        };
        open().map_err(Error::system(|| "subscribe to the kernel's news".to_owned()))
    }

    /// Looks again and again, after each piece of news, whether `is_so`, until it is or the time is up.
    ///
    /// # Errors
    /// It cannot be looked at, or not be waited.
    pub fn wait_until(
        &mut self,
        deadline: Deadline,
        mut is_so: impl FnMut() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        loop {
            if is_so()? {
                return Ok(true);
            }
            if let Heard::Nothing = self.hear(deadline, |_| Some(()))? {
                return Ok(false);
            }
        }
    }

    /// Waits for a message of which `pick` makes something.
    pub(super) fn hear<T>(
        &mut self,
        deadline: Deadline,
        mut pick: impl FnMut(Frame<'_>) -> Option<T>,
    ) -> Result<Heard<T>, Error> {
        let failed = || Error::system(|| "wait for the kernel's news".to_owned());
        loop {
            match self.socket.receive() {
                Ok(datagram) => {
                    if let Some(found) = frames(datagram).find_map(&mut pick) {
                        return Ok(Heard::This(found));
                    }
                    continue;
                }
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => return Ok(Heard::Lost),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed()(error)),
            }
            let left = deadline.left();
            if left.is_zero() {
                return Ok(Heard::Nothing);
            }
            self.socket.wait(left).map_err(failed())?;
        }
    }
}

impl AsFd for News {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// When a wait ends; never, if `None`.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now.
    #[allow(clippy::disallowed_methods, reason = "how long a system call may wait is the clock's to say")]
    pub fn after(most: Duration) -> Deadline {
        Deadline(Some(Instant::now() + most))
    }

    /// At once.
    pub fn now() -> Deadline {
        Deadline::after(Duration::ZERO)
    }

    /// Not before what is waited for.
    pub fn never() -> Deadline {
        Deadline(None)
    }

    #[allow(clippy::disallowed_methods, reason = "as above")]
    fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))
    }
}
