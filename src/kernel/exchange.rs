//! One conversation by netlink, held by one thread: many requests in a send, an answer only to those that failed,
//! and whole tables read.
//!
//! The kernel works a datagram off inside send(2), in order, and puts its answers into the socket's
//! receive buffer. A request without `NLM_F_ACK` is answered when it fails; the last one of a datagram
//! asks for an answer in any case, which proves that all others have arrived. Therefore nothing here
//! ever waits: an answer that is not there has been lost for want of room.

#![cfg_attr(not(feature = "shell"), allow(dead_code, reason = "the plugin needs a part of it"))]

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::Error;
use super::frame::{
    self, DONE, ERROR, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, Requests, attribute, frames,
    u32_at,
};
use super::netlink_socket::{NetlinkSocket, Protocol, Room};
use super::refusal::{EXPLANATION, Refusal};
use super::sys;

/// How often a dump is begun anew because something changed meanwhile.
const DUMP_ATTEMPTS: usize = 10;

/// A blocking conversation with a part of the kernel.
#[derive(Debug)]
pub(super) struct Exchange {
    socket: NetlinkSocket,
    /// Which requests of the current datagram were refused.
    refused: Vec<(usize, Refusal)>,
}

/// Something is missing among the answers, and why.
struct Lost(Refusal);

impl Exchange {
    /// Opens a conversation about links, addresses and routes in the calling thread's namespace.
    pub(super) fn open() -> Result<Exchange, Error> {
        let exchange = Exchange::open_to(Protocol::Route, Room::Tables)?;
        exchange.socket.check_strictly();
        Ok(exchange)
    }

    /// The same for a few questions and answers.
    pub(super) fn open_briefly() -> Result<Exchange, Error> {
        let exchange = Exchange::open_to(Protocol::Route, Room::Messages)?;
        exchange.socket.check_strictly();
        Ok(exchange)
    }

    /// Opens a conversation with this part of the kernel in the calling thread's namespace.
    pub(super) fn open_to(protocol: Protocol, room: Room) -> Result<Exchange, Error> {
        let what = || format!("open a netlink socket ({protocol:?})");
        let socket = NetlinkSocket::open(protocol, room).map_err(Error::system(what))?;
        Ok(Exchange { socket, refused: Vec::new() })
    }

    /// The number that the kernel puts on news of what was done here.
    pub(super) fn port(&self) -> u32 {
        self.socket.port()
    }

    /// Sends the requests and returns those that were refused, by their places and in order. One that
    /// fails holds back no other. Where answers were lost, each is made once more by itself: every
    /// request must bear to be made twice.
    pub(super) fn ask(&mut self, requests: &mut Requests) -> Vec<(usize, Refusal)> {
        let Some(last) = requests.len().checked_sub(1) else { return Vec::new() };
        requests.flag(last, NLM_F_ACK);
        if self.exchange(requests, requests.octets(), last, |_, _, _| {}).is_err() {
            tracing::debug!(requests = requests.len(), "answers were lost; asking one by one");
            self.refused.clear();
            for index in 0..=last {
                requests.flag(index, NLM_F_ACK);
                if let Err(Lost(why)) = self.exchange(requests, requests.one(index), index, |_, _, _| {}) {
                    self.refused.push((index, why));
                }
            }
        }
        std::mem::take(&mut self.refused)
    }

    /// Sends the requests once, changes and questions in any order, and returns those that were refused, by
    /// their places and in order. `take` is handed what answers a question: the place of its request, the
    /// message's type, and what follows its header. Reads until the request `last` has been acknowledged:
    /// the last of all, unless that is one which the kernel never acknowledges, as the end of an nftables
    /// batch.
    ///
    /// # Errors
    /// The kernel did not take the requests, or did not acknowledge `last` and refused nothing either.
    pub(super) fn converse(
        &mut self,
        requests: &mut Requests,
        last: usize,
        take: impl FnMut(usize, u16, &[u8]),
    ) -> Result<Vec<(usize, Refusal)>, Refusal> {
        requests.flag(last, NLM_F_ACK);
        let answered = self.exchange(requests, requests.octets(), last, take);
        let refused = std::mem::take(&mut self.refused);
        match answered {
            Err(Lost(why)) if refused.is_empty() => Err(why),
            _ => Ok(refused),
        }
    }

    /// Sends these octets, notes the refusals and hands out what else is answered, until the answer to the
    /// request `last`.
    fn exchange(
        &mut self,
        requests: &Requests,
        octets: &[u8],
        last: usize,
        mut take: impl FnMut(usize, u16, &[u8]),
    ) -> Result<(), Lost> {
        self.socket.drain();
        if let Err(error) = self.socket.send(octets) {
            tracing::warn!(%error, "a netlink socket does not send");
            return Err(Lost(Refusal::new(error)));
        }
        loop {
            let datagram = self.socket.receive().map_err(|error| Lost(missing(error)))?;
            for frame in frames(datagram) {
                let Some(index) = requests.index(frame.number) else { continue };
                if frame.kind != ERROR {
                    take(index, frame.kind, frame.body);
                    continue;
                }
                if let Some(refusal) = refusal(&frame) {
                    self.refused.push((index, refusal));
                }
                if index == last {
                    return Ok(());
                }
            }
        }
    }

    /// Has a child process send one request and write the kernel's answer to `report`: four octets, an error
    /// number that is negative, or 0. Nothing else may be asked here from now on.
    pub(super) fn send_from_child(&self, requests: &mut Requests, report: &OwnedFd) -> io::Result<()> {
        requests.flag(0, NLM_F_ACK);
        sys::send_from_child(self.socket.as_fd(), requests.octets(), report.as_fd())
    }

    /// Ends the conversation, and leaves it to a child process to wait for what the kernel does then.
    pub(super) fn close_from_child(self) {
        // Where it cannot be had, one waits.
        if let Ok((until, alive)) = pipe2(OFlag::O_CLOEXEC)
            && sys::close_from_child(self.socket.as_fd(), until.as_fd()).is_ok()
        {
            // The child's is the last to be closed.
            drop(self);
            drop(alive);
        }
    }

    /// Reads everything that one request asks for, and has `take` add each message, by its type and what
    /// follows its header, to a `T` that begins as its default.
    pub(super) fn dump<T: Default>(
        &mut self,
        requests: &mut Requests,
        mut take: impl FnMut(&mut T, u16, &[u8]),
    ) -> Result<T, Refusal> {
        requests.flag(0, NLM_F_DUMP);
        for _ in 0..DUMP_ATTEMPTS {
            let mut found = T::default();
            if self.read(requests, |kind, body| take(&mut found, kind, body))? {
                return Ok(found);
            }
        }
        let text = format!("no undisturbed dump in {DUMP_ATTEMPTS} attempts");
        Err(Refusal::new(io::Error::new(ErrorKind::Interrupted, text)))
    }

    /// Reads the beginning of what one request asks for: as much as the kernel sends at once. The rest is
    /// thrown away when something else is asked, or with the conversation.
    pub(super) fn glance(
        &mut self,
        requests: &mut Requests,
        take: impl FnMut(u16, &[u8]),
    ) -> Result<(), Refusal> {
        requests.flag(0, NLM_F_DUMP);
        self.query(requests, take)
    }

    /// Asks for one thing.
    pub(super) fn query(
        &mut self,
        requests: &Requests,
        mut take: impl FnMut(u16, &[u8]),
    ) -> Result<(), Refusal> {
        self.send(requests)?;
        let datagram = self.socket.receive().map_err(missing)?;
        for frame in frames(datagram).filter(|frame| requests.index(frame.number).is_some()) {
            match (frame.kind, refusal(&frame)) {
                (ERROR, Some(refusal)) => return Err(refusal),
                (ERROR, None) => {}
                (kind, _) => take(kind, frame.body),
            }
        }
        Ok(())
    }

    /// One attempt at a dump; whether it was undisturbed.
    fn read(&mut self, requests: &Requests, mut take: impl FnMut(u16, &[u8])) -> Result<bool, Refusal> {
        self.send(requests)?;
        let mut undisturbed = true;
        loop {
            let datagram = match self.socket.receive() {
                // There is room for it the next time.
                Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(false),
                received => received.map_err(missing)?,
            };
            for frame in frames(datagram).filter(|frame| requests.index(frame.number).is_some()) {
                undisturbed &= frame.flags & NLM_F_DUMP_INTR == 0;
                match frame.kind {
                    // Both begin with an error number, where there was one.
                    ERROR | DONE => return refusal(&frame).map_or(Ok(undisturbed), Err),
                    kind => take(kind, frame.body),
                }
            }
        }
    }

    fn send(&mut self, requests: &Requests) -> Result<(), Refusal> {
        self.socket.drain();
        self.socket.send(requests.octets()).map_err(Refusal::new)
    }
}

/// Why there is no answer. Nothing waits for one: where none is to be read, none will come.
fn missing(error: io::Error) -> Refusal {
    if error.kind() == ErrorKind::WouldBlock { Refusal::closed() } else { Refusal::new(error) }
}

/// What an answer of the kinds that bear an error number says; `None` for success.
fn refusal(frame: &frame::Frame) -> Option<Refusal> {
    /// The number and the header of the request, which is all that comes back (`NETLINK_CAP_ACK`).
    const QUOTED: usize = 4 + frame::HEADER;
    let code = u32_at(frame.body, 0)?.cast_signed();
    if code == 0 {
        return None;
    }
    let mut refusal = Refusal::of(code);
    if frame.flags & NLM_F_ACK_TLVS != 0 {
        refusal.explanation =
            frame.body.get(QUOTED..).and_then(|rest| attribute(rest, EXPLANATION)).map(frame::text);
    }
    Some(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request that is refused for its form, whoever asks.
    fn cut_off(requests: &mut Requests) {
        const NEW_ROUTE: u16 = 24;
        requests.push(NEW_ROUTE, 0, &[nix::libc::AF_INET as u8, 0, 0, 0], |_| {});
    }

    /// The first thing that the kernel looks at is the caller's privilege.
    fn is_for_its_form(refusal: &Refusal) -> bool {
        refusal.is(nix::Error::EINVAL) || refusal.is(nix::Error::EPERM)
    }

    #[test]
    fn refusals_bear_their_places() {
        let mut exchange = Exchange::open().unwrap();
        let mut requests = Requests::default();
        assert!(exchange.ask(&mut requests).is_empty());
        for _ in 0..3 {
            const NOTHING: u16 = 1;
            requests.clear();
            requests.push(NOTHING, 0, &[], |_| {});
            cut_off(&mut requests);
            requests.push(NOTHING, 0, &[], |_| {});
            let refused = exchange.ask(&mut requests);
            assert_eq!(refused.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
            assert!(is_for_its_form(&refused[0].1), "{refused:?}");
        }
    }

    /// Where there is no room for all refusals, each request is made once more by itself.
    #[test]
    fn no_refusal_is_lost_for_want_of_room() {
        let mut exchange = Exchange::open().unwrap();
        nix::sys::socket::setsockopt(&exchange.socket, nix::sys::socket::sockopt::RcvBuf, &1).unwrap();
        let mut requests = Requests::default();
        for _ in 0..100 {
            cut_off(&mut requests);
        }
        let refused = exchange.ask(&mut requests);
        assert!(refused.iter().map(|(index, _)| *index).eq(0..100), "{refused:?}");
        assert!(refused.iter().all(|(_, refusal)| is_for_its_form(refusal)), "{refused:?}");
        // The next datagram is not taken for lost.
        requests.clear();
        cut_off(&mut requests);
        assert_eq!(exchange.ask(&mut requests).len(), 1);
    }
    /// One thing may be so large that there is no room for what tells of it.
    #[test]
    fn a_dump_makes_room_for_what_did_not_fit() {
        const GET_LINK: u16 = 18;
        let mut exchange = Exchange::open_briefly().unwrap();
        exchange.socket.narrow(100);
        let mut requests = Requests::default();
        requests.push(GET_LINK, 0, &[0; 16], |_| {});
        let count = exchange.dump(&mut requests, |count: &mut usize, _, _| *count += 1).unwrap();
        assert!(count > 0, "there is always lo");
    }
}
