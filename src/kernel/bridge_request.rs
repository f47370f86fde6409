//! What can be asked about a bridge, its ports and their VLANs, in a [`Batch`] (`linux/if_bridge.h`,
//! `linux/if_link.h`; IEEE 802.1Q; rtnetlink(7)).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use nix::libc;

use super::batch::{At, Batch, Outcome, Place};
use super::frame::{Attributes, attribute, attributes, u8_at, u16_at, u32_at};
use super::link::{HEADER, INFO_DATA, INFO_KIND, INFO_SLAVE_DATA, LINKINFO};
use super::link_request::{AF_SPEC, EXT_MASK, header};
use super::rtm;

/// Switches of a port (`IFLA_BRPORT_*`): frames may leave by the port they came in by; none go to another
/// port that has this switch (Linux 4.18).
pub const HAIRPIN: u16 = 4;
/// See [`HAIRPIN`].
pub const ISOLATED: u16 = 33;

/// `IFF_PROMISC`.
const PROMISCUOUS: u32 = 1 << 8;

/// Settings of a bridge (`IFLA_BR_*`).
const VLAN_FILTERING: u16 = 7;
const VLAN_DEFAULT_PVID: u16 = 39;

/// `IFLA_BRIDGE_VLAN_INFO`, and flags in it.
const VLAN_INFO: u16 = 2;
const PVID: u16 = 1 << 1;
const UNTAGGED: u16 = 1 << 2;
const RANGE_BEGIN: u16 = 1 << 3;
const RANGE_END: u16 = 1 << 4;

/// How a bridge treats VLANs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VlanSettings {
    /// It keeps them apart.
    pub filters: bool,
    /// The one that a port is in from the start; 0 for none.
    pub default: u16,
}

/// How a port is in a VLAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// Frames without a tag belong to it, on the way in and out.
    Native,
    /// Its frames bear its tag.
    Tagged,
    /// Its frames leave without a tag, and none come in that way.
    Leaving,
}

/// The VLANs of each port of any bridge, by the port's index.
pub type VlansOfPorts = BTreeMap<u32, BTreeMap<u16, Membership>>;

impl Batch {
    /// Has a bridge hear every frame, whomever it is for.
    pub fn make_promiscuous(&mut self, bridge: At<'_>) -> Place {
        let what = (format!("make bridge {} promiscuous", bridge.name), None);
        self.push(what, (rtm::NEW_LINK, 0), &header(bridge.index, PROMISCUOUS, PROMISCUOUS), |_| {})
    }

    /// Has a bridge keep VLANs apart.
    pub fn filter_vlans(&mut self, bridge: At<'_>) -> Place {
        let what = (format!("have bridge {} filter by VLAN", bridge.name), None);
        self.push(what, (rtm::NEW_LINK, 0), &header(bridge.index, 0, 0), |attributes| {
            attributes.nest(LINKINFO, |info| {
                info.put_name(INFO_KIND, "bridge");
                info.nest(INFO_DATA, |data| data.put(VLAN_FILTERING, &[1]));
            });
        })
    }

    /// Puts a port of a bridge into VLANs. That it is in one already is success; how it is in it is then as
    /// said here.
    pub fn add_vlans(&mut self, port: At<'_>, vlans: RangeInclusive<u16>, how: Membership) -> Place {
        let what = (format!("put {} into VLAN {}", port.name, written(&vlans)), None);
        let flags = match how {
            Membership::Native => PVID | UNTAGGED,
            Membership::Tagged => 0,
            Membership::Leaving => UNTAGGED,
        };
        self.push(what, (rtm::SET_LINK, 0), &of_bridge(port.index), |attributes| {
            put_vlans(attributes, &vlans, flags);
        })
    }

    /// Takes a port of a bridge out of a VLAN. That it is in none of that number is success.
    pub fn remove_vlan(&mut self, port: At<'_>, vlan: u16) -> Place {
        let what = (format!("take {} out of VLAN {vlan}", port.name), None);
        self.push(what, (rtm::DEL_LINK, 0), &of_bridge(port.index), |attributes| {
            put_vlans(attributes, &(vlan..=vlan), 0);
        })
    }
}

impl Outcome {
    /// How a bridge that was looked up treats VLANs.
    pub fn vlan_settings(&self, place: Place) -> Option<VlanSettings> {
        let settings = self.info(place, INFO_DATA)?;
        Some(VlanSettings {
            filters: attribute(settings, VLAN_FILTERING).and_then(|value| u8_at(value, 0)) == Some(1),
            default: attribute(settings, VLAN_DEFAULT_PVID).and_then(|value| u16_at(value, 0)).unwrap_or(0),
        })
    }

    /// Whether a switch of a port that was looked up is on. One that the kernel does not have is off.
    pub fn has_port_option(&self, place: Place, option: u16) -> bool {
        let value = self.info(place, INFO_SLAVE_DATA).and_then(|settings| attribute(settings, option));
        value.and_then(|value| u8_at(value, 0)) == Some(1)
    }

    /// Whether a link that was looked up is promiscuous by somebody's wish.
    pub fn is_promiscuous(&self, place: Place) -> bool {
        self.answer(place).and_then(|link| u32_at(link, 8)).is_some_and(|flags| flags & PROMISCUOUS != 0)
    }

    /// An attribute of `IFLA_LINKINFO`.
    fn info(&self, place: Place, wanted: u16) -> Option<&[u8]> {
        attribute(attribute(self.answer(place)?.get(HEADER..)?, LINKINFO)?, wanted)
    }
}

/// A question for the VLANs of all ports.
pub(super) fn dump_vlans() -> (u16, Vec<u8>) {
    /// `RTEXT_FILTER_BRVLAN`: each of its own, no ranges.
    const VLANS: u32 = 1 << 1;
    let mut body = of_bridge(0).to_vec();
    body.extend(8_u16.to_ne_bytes());
    body.extend(EXT_MASK.to_ne_bytes());
    body.extend(VLANS.to_ne_bytes());
    (rtm::GET_LINK, body)
}

/// Adds what a message about a port of a bridge says of its VLANs.
pub(super) fn read_vlans(found: &mut VlansOfPorts, kind: u16, body: &[u8]) {
    let Some(port) = u32_at(body, 4).filter(|_| kind == rtm::NEW_LINK) else { return };
    let Some(spec) = body.get(HEADER..).and_then(|rest| attribute(rest, AF_SPEC)) else { return };
    for (_, info) in attributes(spec).filter(|(kind, _)| *kind == VLAN_INFO) {
        let (Some(flags), Some(vlan)) = (u16_at(info, 0), u16_at(info, 2)) else { continue };
        let how = match (flags & PVID != 0, flags & UNTAGGED != 0) {
            (true, _) => Membership::Native,
            (false, true) => Membership::Leaving,
            (false, false) => Membership::Tagged,
        };
        found.entry(port).or_default().insert(vlan, how);
    }
}

fn put_vlans(attributes: &mut Attributes<'_>, vlans: &RangeInclusive<u16>, flags: u16) {
    attributes.nest(AF_SPEC, |spec| {
        let mut put = |flags: u16, vlan: u16| {
            spec.put(VLAN_INFO, &[flags.to_ne_bytes(), vlan.to_ne_bytes()].concat());
        };
        if vlans.start() == vlans.end() {
            return put(flags, *vlans.start());
        }
        put(flags | RANGE_BEGIN, *vlans.start());
        put(flags | RANGE_END, *vlans.end());
    });
}

/// `struct ifinfomsg` of the family of bridges.
fn of_bridge(index: u32) -> [u8; HEADER] {
    let mut header = header(index, 0, 0);
    header[0] = libc::AF_BRIDGE as u8;
    header
}

fn written(vlans: &RangeInclusive<u16>) -> String {
    match (vlans.start(), vlans.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    }
}
