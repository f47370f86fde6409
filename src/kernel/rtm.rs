//! Numbers of the messages about links, addresses, routes and nexthop objects, and of what a route is made
//! of (`linux/rtnetlink.h`, `linux/netconf.h`): for all who write or read such messages as octets.

#![cfg_attr(not(feature = "shell"), allow(dead_code, reason = "the plugin needs a part of it"))]

use std::net::IpAddr;

use nix::libc;

use crate::prefix::Family;

/// Message types (`RTM_*`).
pub(super) const NEW_LINK: u16 = 16;
pub(super) const DEL_LINK: u16 = 17;
pub(super) const GET_LINK: u16 = 18;
pub(super) const SET_LINK: u16 = 19;
pub(super) const NEW_ADDRESS: u16 = 20;
pub(super) const DEL_ADDRESS: u16 = 21;
pub(super) const GET_ADDRESS: u16 = 22;
pub(super) const NEW_ROUTE: u16 = 24;
pub(super) const DEL_ROUTE: u16 = 25;
pub(super) const GET_ROUTE: u16 = 26;
pub(super) const NEW_NEIGHBOR: u16 = 28;
pub(super) const DEL_NEIGHBOR: u16 = 29;
pub(super) const GET_NEIGHBOR: u16 = 30;
pub(super) const GET_NETCONF: u16 = 82;
pub(super) const NEW_NEXTHOP: u16 = 104;
pub(super) const DEL_NEXTHOP: u16 = 105;
pub(super) const GET_NEXTHOP: u16 = 106;

/// A route: what a message about one holds.
pub(super) mod route {
    /// Octets of the message's own header (`struct rtmsg`).
    pub(in crate::kernel) const HEADER: usize = 12;

    /// Attributes (`RTA_*`); those of one way out of several, too.
    pub(in crate::kernel) const DESTINATION: u16 = 1;
    pub(in crate::kernel) const INTERFACE: u16 = 4;
    pub(in crate::kernel) const GATEWAY: u16 = 5;
    pub(in crate::kernel) const PRIORITY: u16 = 6;
    pub(in crate::kernel) const SOURCE: u16 = 7;
    pub(in crate::kernel) const METRICS: u16 = 8;
    pub(in crate::kernel) const MULTIPATH: u16 = 9;
    pub(in crate::kernel) const TABLE: u16 = 15;
    pub(in crate::kernel) const VIA: u16 = 18;
    pub(in crate::kernel) const NEXTHOP_ID: u16 = 30;

    /// Kinds (`RTN_*`): none said; leads somewhere; to this machine; is answered with an ICMP unreachable.
    pub(in crate::kernel) const UNSPECIFIED: u8 = 0;
    pub(in crate::kernel) const UNICAST: u8 = 1;
    pub(in crate::kernel) const LOCAL: u8 = 2;
    pub(in crate::kernel) const UNREACHABLE: u8 = 7;

    /// Scopes (`RT_SCOPE_*`): anywhere; on a link; nowhere.
    pub(in crate::kernel) const UNIVERSE: u8 = 0;
    pub(in crate::kernel) const ON_LINK: u8 = 253;
    pub(in crate::kernel) const NOWHERE: u8 = 255;

    /// The table that routes are in unless somebody says otherwise (`RT_TABLE_MAIN`).
    pub(in crate::kernel) const MAIN: u32 = 254;
}

/// Number of an address's family (`AF_*`).
pub(super) fn family(address: IpAddr) -> u8 {
    family_number(Family::of(address))
}

/// Number of a family (`AF_*`).
pub(super) fn family_number(family: Family) -> u8 {
    match family {
        Family::Ipv4Unicast => libc::AF_INET as u8,
        Family::Ipv6Unicast => libc::AF_INET6 as u8,
    }
}
