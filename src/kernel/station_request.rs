//! What can be asked, in a [`Batch`], about who has an address on a link: the kernel's neighbor table
//! of ARP and of IPv6 (RFC 826; RFC 4861 §5.1; `linux/neighbour.h`, rtnetlink(7)).

use std::net::{IpAddr, Ipv6Addr};

use nix::errno::Errno;

use super::batch::{At, Batch, Outcome, Place};
use super::frame::{NLM_F_CREATE, NLM_F_REPLACE, attribute, u16_at};
use super::rtm::{self, family};

/// Attributes of an entry (`NDA_*`).
const DST: u16 = 1;
const LLADDR: u16 = 2;

/// `NUD_PERMANENT`.
const PERMANENT: u16 = 0x80;

impl Batch {
    /// Has the kernel ask the link who has an address, whatever it knew. The answer, if there is one, can be
    /// looked up later ([`Batch::look_up_station`]).
    pub fn seek_station(&mut self, link: At<'_>, address: Ipv6Addr) {
        /// `NTF_USE`: as if there were a packet for it.
        const USE: u8 = 1;
        let what = |verb| format!("{verb} {address} on link {}", link.name);
        let forget = (what("forget who has"), Some(Errno::ENOENT));
        self.push(
            forget,
            (rtm::DEL_NEIGHBOR, 0),
            &header(IpAddr::V6(address), link.index, 0, 0),
            |attributes| {
                attributes.put(DST, &address.octets());
            },
        );
        let ask = (what("ask who has"), None);
        self.push(
            ask,
            (rtm::NEW_NEIGHBOR, NLM_F_CREATE),
            &header(IpAddr::V6(address), link.index, 0, USE),
            |attributes| {
                attributes.put(DST, &address.octets());
            },
        );
    }

    /// Tells the kernel for good who has an address, so that it never asks the link.
    pub fn pin_station(&mut self, link: At<'_>, address: IpAddr, mac: [u8; 6]) -> Place {
        let what = (format!("say who has {address} on link {}", link.name), None);
        let header = header(address, link.index, PERMANENT, 0);
        self.push(what, (rtm::NEW_NEIGHBOR, NLM_F_CREATE | NLM_F_REPLACE), &header, |attributes| {
            attributes.put_address(DST, address);
            attributes.put(LLADDR, &mac);
        })
    }

    /// Looks up who has an address ([`Outcome::station`], [`Outcome::pinned_station`]).
    pub fn look_up_station(&mut self, link: At<'_>, address: impl Into<IpAddr>) -> Place {
        let address = address.into();
        let what = (format!("look up who has {address} on link {}", link.name), Some(Errno::ENOENT));
        self.push(what, (rtm::GET_NEIGHBOR, 0), &header(address, link.index, 0, 0), |attributes| {
            attributes.put_address(DST, address);
        })
    }
}

impl Outcome {
    /// Hardware address of the station that has answered a moment ago; `None` if none has.
    pub fn station(&self, place: Place) -> Option<[u8; 6]> {
        /// `NUD_REACHABLE`: it has answered, and not merely spoken.
        const REACHABLE: u16 = 2;
        self.station_if(place, REACHABLE)
    }

    /// Hardware address of the station that the kernel was told of ([`Batch::pin_station`]).
    pub fn pinned_station(&self, place: Place) -> Option<[u8; 6]> {
        self.station_if(place, PERMANENT)
    }

    fn station_if(&self, place: Place, state: u16) -> Option<[u8; 6]> {
        let body = self.answer(place)?;
        if u16_at(body, 8)? & state == 0 {
            return None;
        }
        attribute(body.get(12..)?, LLADDR)?.try_into().ok()
    }
}

/// `struct ndmsg`.
fn header(address: IpAddr, link: u32, state: u16, flags: u8) -> [u8; 12] {
    let [a, b, c, d] = link.to_ne_bytes();
    let [low, high] = state.to_ne_bytes();
    [family(address), 0, 0, 0, a, b, c, d, low, high, flags, 0]
}
