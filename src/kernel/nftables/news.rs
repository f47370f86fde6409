//! News of tables as they come and go, for a program that waits for one.

use std::time::Duration;

use crate::kernel::Error;
use crate::kernel::netlink_socket::{NetlinkSocket, Protocol, Room};

/// `NFNLGRP_NFTABLES` of `linux/netfilter/nfnetlink.h`.
const NFTABLES: i32 = 7;

/// A subscription to whatever changes in nftables.
#[derive(Debug)]
pub struct News {
    socket: NetlinkSocket,
}

impl News {
    /// Subscribes in the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn subscribe() -> Result<News, Error> {
        let open = || {
            let socket = NetlinkSocket::open(Protocol::Netfilter, Room::Messages)?;
            socket.subscribe(NFTABLES)?;
            Ok::<_, std::io::Error>(News { socket })
        };
        open().map_err(Error::system(|| "subscribe to the news of nftables".to_owned()))
    }

    /// Waits, for ever if need be, until something has changed. What it was has to be looked up.
    ///
    /// # Errors
    /// It cannot be waited.
    pub fn wait(&mut self) -> Result<(), Error> {
        let failed = || "wait for news of nftables".to_owned();
        while !self.socket.wait(Duration::MAX).map_err(Error::system(failed))? {}
        self.socket.drain();
        Ok(())
    }
}
