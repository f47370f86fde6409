//! The table: what a peer sends in which state, and the reaction that is required.

mod attributes;
mod internal;
mod messages;
mod multiprotocol;
mod opens;
mod roles;
mod two_octet;
mod updates;

use crate::peer::{attribute, update};
use crate::side::Side;
use crate::stage::Rig;

/// How far the session has come, from the daemon's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    OpenSent,
    OpenConfirm,
    Established,
}

/// What is required.
#[derive(Debug, PartialEq)]
pub enum Expect {
    /// NOTIFICATION with this code, subcode and data. What the peer had announced is withdrawn from the
    /// observer.
    Reset(u8, u8, Vec<u8>),
    /// The connection ends without one; likewise.
    Closed,
    /// The session is kept and the prefix, announced before, withdrawn from the observer.
    Withdrawn,
    /// The session is kept, and so is the prefix announced before.
    Kept,
    /// The session is kept and nothing announced.
    Ignored,
    /// The prefix reaches the observer.
    Announced,
    /// It does with these octets among its attributes.
    Carries(Vec<u8>),
    /// It does without an attribute of this code.
    Lacks(u8),
}

/// A reset with data in its NOTIFICATION.
pub fn reset(code: u8, subcode: u8, data: &[u8]) -> Expect {
    Expect::Reset(code, subcode, data.to_vec())
}

/// It reaches the observer with these octets among its attributes.
pub fn carries(octets: &[u8]) -> Expect {
    Expect::Carries(octets.to_vec())
}

pub struct Row {
    pub what: &'static str,
    /// The section that demands the reaction.
    pub rfc: &'static str,
    pub side: Side,
    pub stage: Stage,
    /// The OPEN, where it is not that of the side.
    pub open: Option<Vec<u8>>,
    pub octets: Vec<u8>,
    pub expect: Expect,
    /// The prefix it is about, as NLRI.
    pub nlri: Vec<u8>,
    /// Who looks.
    pub observer: [u8; 4],
}

/// Who a row's peer is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub address: [u8; 4],
    number: u16,
}

impl Place {
    pub fn new(number: u16) -> Place {
        Place { address: Rig::peer(number), number }
    }

    /// A /24 of this row's own; the row is about the one of `kind` 0.
    pub fn prefix(self, kind: u8) -> Vec<u8> {
        let [high, low] = self.number.to_be_bytes();
        vec![24, 10, 100 + 20 * kind + high, low]
    }

    /// A /64 of this row's own.
    pub fn ipv6_prefix(self) -> Vec<u8> {
        let [high, low] = self.number.to_be_bytes();
        vec![64, 0xfd, 0, 1, 0, high, low, 0, 0]
    }

    /// A row about the IPv4 prefix in Established.
    fn row(
        self,
        side: Side,
        (what, rfc): (&'static str, &'static str),
        octets: Vec<u8>,
        expect: Expect,
    ) -> Row {
        let observer = if side.is_internal() { Rig::INSIDE } else { Rig::OUTSIDE };
        let (stage, nlri) = (Stage::Established, self.prefix(0));
        Row { what, rfc, side, stage, open: None, octets, expect, nlri, observer }
    }

    /// A row that sends the side's sound attributes, those given in place of their namesakes, and the
    /// IPv4 prefix. `given` may hold several attributes; the first one's code counts.
    fn with_attribute(
        self,
        side: Side,
        names: (&'static str, &'static str),
        given: &[u8],
        expect: Expect,
    ) -> Row {
        let mut list = side.base();
        list.push(attribute(0x40, 3, &self.address));
        list.retain(|sound| sound[1] != given[1]);
        list.push(given.to_vec());
        let list: Vec<&[u8]> = list.iter().map(Vec::as_slice).collect();
        self.row(side, names, update(&[], &list, &self.prefix(0)), expect)
    }
}

/// All rows, for the peer of this number.
pub fn all(number: u16) -> Vec<Row> {
    let place = Place::new(number);
    let tables = [
        attributes::rows,
        updates::rows,
        multiprotocol::rows,
        internal::rows,
        two_octet::rows,
        roles::rows,
        messages::rows,
        opens::rows,
        opens::accepted,
    ];
    tables.into_iter().flat_map(|table| table(place)).collect()
}
