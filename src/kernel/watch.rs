//! The watch: what others do to the kernel's routes, links and addresses while we run.
//!
//! Tells that something has changed, not what it is now: whoever needs that reads it
//! ([`Netlink::underlay`], [`Netlink::our_routes`]), and so acts on one consistent picture instead of
//! a stack of differences. News that come together are reported together. Nothing is queued here
//! beyond what is told: news wait in the socket's buffer, and when that runs over, the kernel says so
//! and a resync is due ([`Event::Overrun`]).

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};

use netlink_packet_core::{NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteHeader, RouteMessage};
use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::netlink::set_receive_buffer;
use super::routes::Ownership;
use super::{Error, route_message as wire};
use crate::prefix::Prefix;

/// What is subscribed to.
const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Octets of news that may wait to be read: about 20,000 route changes, for the kernel
/// takes twice what is asked for.
const BUFFER: usize = 8 << 20;

/// Largest datagram that the kernel sends.
const DATAGRAM: usize = 64 << 10;

/// Datagrams that are read before what they say is reported, however many more there are.
const AT_ONCE: usize = 256;

/// Something that the kernel or another program did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A route of ours was deleted, changed or added, and not by the conversation that
    /// [`Watch::ignoring`] was told of.
    OursChanged {
        /// Destination.
        prefix: Prefix,
        /// The kernel's priority.
        metric: u32,
    },
    /// A link, an address, or a route of somebody else changed: next hops may resolve differently.
    UnderlayChanged {
        /// A link was set down or deleted, and with it went our IPv4 routes over it: about those
        /// the kernel says nothing.
        ours_at_risk: bool,
    },
    /// News were lost: anything may have changed. Includes all that was not reported yet.
    Overrun,
}

/// A subscription to the kernel's news in one network namespace.
pub struct Watch {
    socket: TokioSocket,
    ownership: Ownership,
    /// The conversation whose doings are no news, by its socket's port.
    ignored: Option<u32>,
    buffer: Vec<u8>,
    news: News,
}

impl Watch {
    /// Subscribes in the calling thread's namespace. Everything from now on is reported: read the
    /// state to start from afterwards.
    ///
    /// # Errors
    /// The socket could not be opened.
    pub fn open(ownership: Ownership) -> Result<Watch, Error> {
        let socket = subscribe().map_err(Error::system(|| "watch the kernel's routes".to_owned()))?;
        Ok(Watch {
            socket,
            ownership,
            ignored: None,
            buffer: Vec::with_capacity(DATAGRAM),
            news: News::default(),
        })
    }

    /// Does not report what the conversation with this number does to routes of ours: its owner knows.
    #[must_use]
    pub fn ignoring(mut self, port: u32) -> Watch {
        self.ignored = Some(port);
        self
    }

    /// Watches for routes of another table or protocol from now on.
    pub fn set_ownership(&mut self, ownership: Ownership) {
        self.ownership = ownership;
    }

    /// The next piece of news. Loses none when dropped half-way.
    pub async fn next(&mut self) -> Event {
        loop {
            for _ in 0..AT_ONCE {
                match self.read() {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    datagram => self.take(datagram),
                }
            }
            if let Some(event) = self.news.pop() {
                return event;
            }
            self.buffer.clear();
            let datagram = self.socket.recv_from(&mut self.buffer).await;
            self.take(datagram.map(drop));
        }
    }

    /// Reads a datagram if one is waiting.
    fn read(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.socket.socket_ref().recv_from(&mut self.buffer, 0).map(drop)
    }

    fn take(&mut self, datagram: io::Result<()>) {
        if datagram.is_err() {
            // ENOBUFS is the way an overrun is told, once: until the buffer has been emptied, the
            // kernel goes on to drop news without another word. A resync that began before that
            // would miss those.
            while self.read().is_ok() {}
            self.news.overrun = true;
            return;
        }
        let mut rest = self.buffer.as_slice();
        while let Ok(frame) = NetlinkBuffer::new_checked(rest) {
            let length = (frame.length() as usize).next_multiple_of(4).clamp(1, rest.len());
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&rest[..length]) {
                Ok(NetlinkMessage { header, payload: NetlinkPayload::InnerMessage(message), .. }) => {
                    self.news.add(self.ownership, self.ignored, &header, &message);
                }
                Ok(_) => {}
                // What cannot be read must not be missed.
                Err(error) => {
                    tracing::warn!(%error, "a message from the kernel cannot be read");
                    self.news.overrun = true;
                }
            }
            rest = &rest[length..];
        }
    }
}

/// What has been heard and not been reported.
#[derive(Debug, Default)]
struct News {
    overrun: bool,
    ours: BTreeSet<(Prefix, u32)>,
    underlay: bool,
    ours_at_risk: bool,
}

impl News {
    fn add(
        &mut self,
        ownership: Ownership,
        ignored: Option<u32>,
        header: &NetlinkHeader,
        message: &RouteNetlinkMessage,
    ) {
        match message {
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
                if !wire::is_ours(ownership, route) {
                    self.underlay |= resolves(ownership, route);
                } else if ignored != Some(header.port_number) {
                    self.ours.extend(wire::key(route));
                }
            }
            RouteNetlinkMessage::NewLink(link) => {
                self.underlay = true;
                self.ours_at_risk |= went_down(link);
            }
            RouteNetlinkMessage::DelLink(_) => {
                self.underlay = true;
                self.ours_at_risk = true;
            }
            RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_) => self.underlay = true,
            _ => {}
        }
    }

    fn pop(&mut self) -> Option<Event> {
        if self.overrun {
            *self = News::default();
            return Some(Event::Overrun);
        }
        if let Some((prefix, metric)) = self.ours.pop_first() {
            return Some(Event::OursChanged { prefix, metric });
        }
        let ours_at_risk = std::mem::take(&mut self.ours_at_risk);
        std::mem::take(&mut self.underlay).then_some(Event::UnderlayChanged { ours_at_risk })
    }
}

/// Whether next hops may be resolved by a route of somebody else.
fn resolves(ownership: Ownership, route: &RouteMessage) -> bool {
    [ownership.table, RouteHeader::RT_TABLE_MAIN.into()].contains(&wire::table(route))
}

/// Whether the news is that a link was set down. A new link is down, too, but has not gone down: its
/// message claims that every flag has changed.
fn went_down(link: &LinkMessage) -> bool {
    let changed = link.header.change_mask;
    !link.header.flags.contains(LinkFlags::Up)
        && changed.contains(LinkFlags::Up)
        && changed.bits() != u32::MAX
}

fn subscribe() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    set_receive_buffer(socket.socket_ref(), BUFFER)?;
    let groups = GROUPS.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
    socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
    Ok(socket)
}
