//! A look at the kernel: links, addresses, nexthop objects and the routes that are not ours, dumped
//! into a fresh [`Mirror`].
//!
//! Blocks, and therefore runs on a thread of its own. Has its own socket and its own reader of messages:
//! of a million routes of ours in the same table, each costs one octet looked at.

use std::io;
use std::ops::ControlFlow;

use nix::errno::Errno;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

use super::frame::{DONE, ERROR, Frame, NLM_F_DUMP_INTR, frames};
use super::mirror::Mirror;
use super::netlink_socket::set_receive_buffer;
use super::notice::{Notice, is_our_route};
use super::routes::Ownership;
use super::rtm::{self, route};

/// Octets of answers that may wait to be read.
const BUFFER: usize = 1 << 20;
/// Largest datagram that the kernel sends.
const DATAGRAM: usize = 64 << 10;
/// How often everything is dumped again because it changed meanwhile. After that it is taken as it is:
/// whoever looks hears what has changed, too.
const ATTEMPTS: usize = 5;

/// A socket to ask by.
#[derive(Debug)]
pub(super) struct Looker {
    socket: Socket,
    sequence: u32,
}

/// How a dump has ended.
enum Dumped {
    Whole,
    /// Something changed meanwhile, and may be missing or there twice.
    Disturbed,
}

impl Looker {
    /// Opens a socket in the calling thread's namespace, where it stays.
    pub(super) fn open() -> io::Result<Looker> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        set_receive_buffer(&socket, BUFFER)?;
        socket.bind_auto()?;
        // Without the strict check (Linux 4.20) dumps honour no filter and merely take longer.
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Looker { socket, sequence: 0 })
    }

    /// Dumps everything that a mirror consists of.
    pub(super) fn look(&mut self, ownership: Ownership) -> io::Result<Mirror> {
        let mut attempts = 1;
        loop {
            match self.look_once(ownership)? {
                (_, Dumped::Disturbed) if attempts < ATTEMPTS => attempts += 1,
                (mirror, _) => return Ok(mirror),
            }
        }
    }

    fn look_once(&mut self, ownership: Ownership) -> io::Result<(Mirror, Dumped)> {
        let mut mirror = Mirror::default();
        let mut outcome = Dumped::Whole;
        for (kind, body) in requests(ownership) {
            let hear = |frame: Frame<'_>| {
                if !is_our_route(ownership, frame)
                    && let Some(notice) = Notice::read(frame).filter(|notice| notice.concerns(ownership))
                {
                    mirror.find(notice);
                }
            };
            if let Dumped::Disturbed = self.dump(kind, &body, hear)? {
                outcome = Dumped::Disturbed;
            }
        }
        Ok((mirror, outcome))
    }

    /// Asks for everything of a kind. One that the kernel does not know, or a table that nobody has
    /// written to, is empty.
    fn dump(&mut self, kind: u16, body: &[u8], mut hear: impl FnMut(Frame<'_>)) -> io::Result<Dumped> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send_to(&request(kind, self.sequence, body), &SocketAddr::new(0, 0), 0)?;
        let mut outcome = Dumped::Whole;
        let mut buffer = Vec::with_capacity(DATAGRAM);
        loop {
            buffer.clear();
            self.socket.recv(&mut buffer, 0)?;
            let ended = frames(&buffer).try_for_each(|frame| {
                if frame.flags & NLM_F_DUMP_INTR != 0 {
                    outcome = Dumped::Disturbed;
                }
                match frame.kind {
                    ERROR | DONE => return ControlFlow::Break(verdict(frame.body)),
                    _ => hear(frame),
                }
                ControlFlow::Continue(())
            });
            if let ControlFlow::Break(verdict) = ended {
                return verdict.map(|()| outcome);
            }
        }
    }
}

/// What is asked for, in the order in which the answers depend on each other.
fn requests(ownership: Ownership) -> Vec<(u16, Vec<u8>)> {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    let mut tables = vec![route::MAIN, ownership.table];
    tables.dedup();
    let mut requests =
        vec![(rtm::GET_LINK, links()), (rtm::GET_ADDRESS, vec![0; 8]), (rtm::GET_NEXTHOP, vec![0; 8])];
    for family in [AF_INET, AF_INET6] {
        requests.extend(tables.iter().map(|table| (rtm::GET_ROUTE, routes(family, *table))));
    }
    requests
}

/// A request for links without statistics, which make up most of their description, and cost the kernel
/// a walk over all processors.
fn links() -> Vec<u8> {
    const EXTENT: u16 = 29;
    const SKIP_STATISTICS: u32 = 1 << 3;
    let mut body = vec![0; 16];
    attribute(&mut body, EXTENT, SKIP_STATISTICS);
    body
}

/// A request for the routes of one table.
fn routes(family: u8, table: u32) -> Vec<u8> {
    const TABLE: u16 = 15;
    let mut body = vec![0; 12];
    body[0] = family;
    attribute(&mut body, TABLE, table);
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: u32) {
    const LENGTH: u16 = 8;
    body.extend(LENGTH.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value.to_ne_bytes());
}

/// A whole request for a dump.
fn request(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    const HEADER: usize = 16;
    /// `NLM_F_REQUEST | NLM_F_DUMP`.
    const FLAGS: u16 = 0x301;
    let length = (HEADER + body.len()) as u32;
    let mut octets = length.to_ne_bytes().to_vec();
    octets.extend(kind.to_ne_bytes());
    octets.extend(FLAGS.to_ne_bytes());
    octets.extend(sequence.to_ne_bytes());
    octets.extend(0_u32.to_ne_bytes());
    octets.extend(body);
    octets
}

/// What the end of a dump says.
fn verdict(body: &[u8]) -> io::Result<()> {
    let code = body.get(..4).and_then(|octets| octets.try_into().ok()).map_or(0, i32::from_ne_bytes);
    match Errno::from_raw(code.saturating_abs()) {
        _ if code >= 0 => Ok(()),
        Errno::ENOENT | Errno::EOPNOTSUPP => Ok(()),
        errno => Err(errno.into()),
    }
}
