//! A conversation about links, addresses and routes, for a program that does one thing after another: the
//! plugin. No runtime, no thread: the kernel answers within the system call that asks.
//!
//! `Netlink` is its counterpart for a program with a runtime.

use std::io;
use std::os::fd::OwnedFd;

use super::address_request::{LinkAddress, dump_addresses, read_address};
use super::batch::{Batch, Outcome};
use super::bridge_request::{VlansOfPorts, dump_vlans, read_vlans};
use super::exchange::Exchange;
use super::frame::Requests;
use super::link::Link;
use super::plain_route::{dump_routes, read_destination};
use super::refusal::Refusal;
use super::{Error, NetNs};
use crate::prefix::{Family, Prefix};

/// A conversation with the routing part of the kernel in one network namespace.
#[derive(Debug)]
pub struct Conversation {
    exchange: Exchange,
}

impl Conversation {
    /// Opens one in the calling thread's namespace.
    ///
    /// # Errors
    /// The socket could not be opened.
    pub fn open() -> Result<Conversation, Error> {
        Ok(Conversation { exchange: Exchange::open_briefly()? })
    }

    /// Opens one in the given namespace.
    ///
    /// # Errors
    /// The namespace could not be entered or the socket not be opened.
    pub fn open_in(namespace: &NetNs) -> Result<Conversation, Error> {
        namespace.enter(Conversation::open)?
    }

    /// Has the kernel do all that is in the batch, as far as it can.
    ///
    /// # Errors
    /// The kernel cannot be talked to. What it refuses is in the outcome.
    pub fn attempt(&mut self, mut batch: Batch) -> Result<Outcome, Error> {
        let Some(last) = batch.requests.len().checked_sub(1) else { return Ok(Outcome::default()) };
        let mut answers = Vec::new();
        let refused = self
            .exchange
            .converse(&mut batch.requests, last, |index, _, body| answers.push((index, body.to_vec())))
            .map_err(|refusal| refusal.to("talk to the kernel by netlink"))?;
        Ok(batch.outcome(answers, refused))
    }

    /// Has the kernel do all that is in the batch.
    ///
    /// # Errors
    /// The first refusal. What stands behind it has been done all the same where the kernel did not refuse
    /// that, too.
    pub fn carry_out(&mut self, batch: Batch) -> Result<Outcome, Error> {
        self.attempt(batch)?.all_done()
    }

    /// Has a child process send what is in the batch, and report the answer to `report`.
    pub(super) fn send_from_child(&self, batch: &mut Batch, report: &OwnedFd) -> io::Result<()> {
        self.exchange.send_from_child(&mut batch.requests, report)
    }

    /// The link of that name; `None` when there is none.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let mut batch = Batch::new();
        let place = batch.look_up_link(name);
        Ok(self.carry_out(batch)?.link(place))
    }

    /// Addresses of a link, link-local ones included; none if the link is gone.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn addresses(&mut self, link: u32) -> Result<Vec<LinkAddress>, Error> {
        let (kind, header) = dump_addresses(link);
        let take = |found: &mut Vec<LinkAddress>, kind, body: &[u8]| found.extend(read_address(kind, body));
        let found = match self.dump(kind, &header, take) {
            Err(refusal) if refusal.is(nix::Error::ENODEV) => Vec::new(),
            found => found.map_err(|refusal| refusal.to("list the addresses"))?,
        };
        // Older kernels give those of all links.
        Ok(found.into_iter().filter(|address| address.link == link).collect())
    }

    /// The VLANs of each port of any bridge.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn vlans(&mut self) -> Result<VlansOfPorts, Error> {
        let (kind, header) = dump_vlans();
        self.dump(kind, &header, read_vlans).map_err(|refusal| refusal.to("list the VLANs of ports"))
    }

    /// Destinations of a table's routes, of both families.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn destinations(&mut self, table: u32) -> Result<Vec<Prefix>, Error> {
        let mut all = Vec::new();
        for family in Family::ALL {
            let (kind, header) = dump_routes(family, table);
            let take = |found: &mut Vec<Prefix>, kind, body: &[u8]| {
                found.extend(read_destination(kind, body, table))
            };
            let found = match self.dump(kind, &header, take) {
                // A table that nobody has written to does not exist.
                Err(refusal) if refusal.is(nix::Error::ENOENT) => Vec::new(),
                found => found.map_err(|refusal| refusal.to("list the routes"))?,
            };
            all.extend(found);
        }
        Ok(all)
    }

    fn dump<T: Default>(
        &mut self,
        kind: u16,
        header: &[u8],
        take: impl FnMut(&mut T, u16, &[u8]),
    ) -> Result<T, Refusal> {
        let mut requests = Requests::default();
        requests.push(kind, 0, header, |_| {});
        self.exchange.dump(&mut requests, take)
    }
}
