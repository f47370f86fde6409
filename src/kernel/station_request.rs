//! What can be asked, in a [`Batch`], about who has an address on a link: the kernel's neighbor table
//! (RFC 4861 §5.1; `linux/neighbour.h`, rtnetlink(7)).

use std::net::Ipv6Addr;

use nix::errno::Errno;
use nix::libc;

use super::batch::{At, Batch, Outcome, Place};
use super::frame::{NLM_F_CREATE, attributes, u16_at};

/// Message types (`linux/rtnetlink.h`).
const NEW_NEIGHBOR: u16 = 28;
const DEL_NEIGHBOR: u16 = 29;
const GET_NEIGHBOR: u16 = 30;

/// Attributes of an entry (`NDA_*`).
const DST: u16 = 1;
const LLADDR: u16 = 2;

impl Batch {
    /// Has the kernel ask the link who has an address, whatever it knew. The answer, if there is one, can be
    /// looked up later ([`Batch::look_up_station`]).
    pub fn seek_station(&mut self, link: At<'_>, address: Ipv6Addr) {
        /// `NTF_USE`: as if there were a packet for it.
        const USE: u8 = 1;
        let what = |verb| format!("{verb} {address} on link {}", link.name);
        let forget = (what("forget who has"), Some(Errno::ENOENT));
        self.push(forget, (DEL_NEIGHBOR, 0), &header(link.index, 0), |attributes| {
            attributes.put(DST, &address.octets());
        });
        let ask = (what("ask who has"), None);
        self.push(ask, (NEW_NEIGHBOR, NLM_F_CREATE), &header(link.index, USE), |attributes| {
            attributes.put(DST, &address.octets());
        });
    }

    /// Looks up who has an address ([`Outcome::station`]).
    pub fn look_up_station(&mut self, link: At<'_>, address: Ipv6Addr) -> Place {
        let what = (format!("look up who has {address} on link {}", link.name), Some(Errno::ENOENT));
        self.push(what, (GET_NEIGHBOR, 0), &header(link.index, 0), |attributes| {
            attributes.put(DST, &address.octets());
        })
    }
}

impl Outcome {
    /// Hardware address of the station that has answered a moment ago; `None` if none has.
    pub fn station(&self, place: Place) -> Option<[u8; 6]> {
        /// `NUD_REACHABLE`: it has answered, and not merely spoken.
        const REACHABLE: u16 = 2;
        let body = self.answer(place)?;
        if u16_at(body, 8)? & REACHABLE == 0 {
            return None;
        }
        let (_, mac) = attributes(body.get(12..)?).find(|(kind, _)| *kind == LLADDR)?;
        mac.try_into().ok()
    }
}

/// `struct ndmsg`.
fn header(link: u32, flags: u8) -> [u8; 12] {
    let [a, b, c, d] = link.to_ne_bytes();
    [libc::AF_INET6 as u8, 0, 0, 0, a, b, c, d, 0, 0, flags, 0]
}
