//! Nodes that are played, and the count of everything that is sent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use routelet::bgp::header::{MAX_MESSAGE_LENGTH, message_length_within};
use routelet::bgp::{Capability, Codec, Open, PathAttributes};
use routelet::prefix::{Family, Prefix};
use routelet::speaker::{Action, ConnectionId};

use crate::world::{Answer, Crowd, Heard, Kernel, Watcher};

const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;
/// Octets of a message's header; its type is the last.
const HEADER: usize = 19;
/// When a node dials again.
const RETRY: Duration = Duration::from_secs(1);

/// UPDATE messages that were sent, End-of-RIB among them, and their octets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    pub updates: u64,
    pub octets: u64,
}

impl Tally {
    /// Counts what is sent at once: whole messages.
    fn count(&mut self, octets: &[u8]) {
        for message in messages(octets).filter(|message| message[HEADER - 1] == UPDATE) {
            self.updates += 1;
            self.octets += message.len() as u64;
        }
    }
}

/// Counts what speakers send.
pub struct Counting(pub Rc<RefCell<Tally>>);

impl Watcher for Counting {
    fn see(&mut self, _: &'static str, action: &Action, _: &Kernel, _: bool) {
        if let Action::Send { octets, .. } = action {
            self.0.borrow_mut().count(octets);
        }
    }
}

fn messages(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = message_length_within(MAX_MESSAGE_LENGTH, octets).unwrap()?;
        let (message, rest) = octets.split_at(length);
        octets = rest;
        Some(message)
    })
}

/// What one session of a played node has heard: a bit for each node's prefix.
#[derive(Default)]
struct Session {
    is_up: bool,
    heard: Vec<u64>,
    count: usize,
}

/// The nodes that are played. Each has as many sessions as there are reflectors.
pub struct Nodes {
    /// Number and address by name.
    pub nodes: BTreeMap<&'static str, (usize, Ipv4Addr)>,
    pub asn: u32,
    pub tally: Rc<RefCell<Tally>>,
    sessions: BTreeMap<(usize, ConnectionId), Session>,
}

impl Nodes {
    pub fn new(
        nodes: BTreeMap<&'static str, (usize, Ipv4Addr)>,
        asn: u32,
        tally: Rc<RefCell<Tally>>,
    ) -> Nodes {
        Nodes { nodes, asn, tally, sessions: BTreeMap::new() }
    }

    /// How many sessions have heard of exactly so many nodes' prefixes.
    pub fn sessions_that_heard(&self, count: usize) -> usize {
        self.sessions.values().filter(|session| session.count == count).count()
    }

    fn codec() -> Codec {
        Codec { four_octet_as: true, families: vec![Family::Ipv4Unicast], ..Codec::initial() }
    }

    /// The one prefix of a node, and nothing more.
    fn table(number: usize, address: Ipv4Addr) -> Vec<u8> {
        let mut octets = vec![];
        let attributes =
            PathAttributes { local_pref: Some(100), ..PathAttributes::originated(address.into()) };
        Nodes::codec().encode_announcements(&attributes, &[prefix_of(number)], &mut octets);
        Nodes::codec().encode_end_of_rib(Family::Ipv4Unicast, &mut octets);
        octets
    }

    fn open(&self, address: Ipv4Addr) -> Vec<u8> {
        let capabilities =
            vec![Capability::Multiprotocol(Family::Ipv4Unicast), Capability::FourOctetAs(self.asn)];
        // No hold time: nothing is said between what there is to say.
        let open = Open { asn: self.asn, hold_time: 0, router_id: address, capabilities };
        Nodes::codec().encode_open(&open)
    }
}

impl Crowd for Nodes {
    fn hear(&mut self, name: &'static str, connection: ConnectionId, heard: Heard) -> Answer {
        let (number, address) = self.nodes[name];
        let opening = matches!(heard, Heard::Connected).then(|| self.open(address));
        let session = self.sessions.entry((number, connection)).or_default();
        let octets = match heard {
            Heard::Connected => return Answer { octets: opening.unwrap_or_default(), again: None },
            Heard::Closed => {
                *session = Session::default();
                return Answer { octets: vec![], again: Some(RETRY) };
            }
            Heard::Octets(octets) => octets,
        };
        let mut answer = vec![];
        for message in messages(octets) {
            match message[HEADER - 1] {
                OPEN => answer.extend(Nodes::codec().encode_keepalive()),
                KEEPALIVE if !session.is_up => {
                    session.is_up = true;
                    answer.extend(Nodes::table(number, address));
                }
                UPDATE => session.read(number, &message[HEADER..]),
                NOTIFICATION => panic!("{name} was sent {message:02x?}"),
                _ => {}
            }
        }
        self.tally.borrow_mut().count(&answer);
        Answer { octets: answer, again: None }
    }
}

impl Session {
    /// Notes the prefixes of an UPDATE's body; a node's own is none that it has to hear of.
    fn read(&mut self, own: usize, body: &[u8]) {
        let length = |at: usize| usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
        let attributes = 2 + length(0);
        let announced = attributes + 2 + length(attributes);
        for (prefixes, is_there) in [(&body[2..attributes], false), (&body[announced..], true)] {
            for number in prefixes.chunks_exact(4).map(number_of).filter(|number| *number != own) {
                let (word, bit) = (number / 64, 1 << (number % 64));
                self.heard.resize(self.heard.len().max(word + 1), 0);
                let before = self.heard[word];
                self.heard[word] = if is_there { before | bit } else { before & !bit };
                self.count = self.count + usize::from(before & bit == 0 && is_there)
                    - usize::from(before & bit != 0 && !is_there);
            }
        }
    }
}

/// The pod CIDR of a node, which is a /24 for each.
pub fn prefix_of(number: usize) -> Prefix {
    format!("10.{}.{}.0/24", 128 + number / 256, number % 256).parse().unwrap()
}

/// The number of the node whose pod CIDR this is: a length of 24 and three octets.
fn number_of(octets: &[u8]) -> usize {
    assert_eq!(octets[..2], [24, 10], "nothing but pod CIDRs is told");
    (usize::from(octets[2]) - 128) * 256 + usize::from(octets[3])
}

/// The address of a node, as [`super::cluster`] gives it.
pub fn address_of(number: usize) -> Ipv4Addr {
    [192, 168, (number / 250) as u8, (1 + number % 250) as u8].into()
}
