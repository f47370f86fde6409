//! What a nexthop object looks like in netlink: requests, and objects from replies (`linux/nexthop.h`).
//!
//! Pure: sends nothing. An object is a *single* next hop or a *group* of them; routes refer to either by
//! number. The ranges of numbers that are ours are laid down here.

use std::net::IpAddr;
use std::ops::Range;

use super::frame::{NESTED, Requests, address, attributes, u8_at, u16_at, u32_at};
use super::rtm;
use crate::fib::{GroupId, NextHop};
use crate::prefix::Family;

/// Numbers of our groups. Whoever wants a group chooses among them.
pub const GROUPS: Range<u32> = 0x7200_0000..0x7280_0000;

/// Numbers of our single next hops, which are this room's own business.
pub(super) const SINGLES: Range<u32> = 0x7280_0000..0x7300_0000;

/// Attributes (`NHA_…`).
const ID: u16 = 1;
const GROUP: u16 = 2;
const GROUP_TYPE: u16 = 3;
const INTERFACE: u16 = 5;
const GATEWAY: u16 = 6;
const RESILIENT_GROUP: u16 = 12;

/// Attributes within [`RESILIENT_GROUP`].
const BUCKETS: u16 = 1;
const IDLE_TIMER: u16 = 2;
const UNBALANCED_TIMER: u16 = 3;

/// Group types (`NEXTHOP_GRP_TYPE_…`).
const MULTIPATH: u16 = 0;
const RESILIENT: u16 = 1;

/// Octets of `struct nhmsg`, and of `struct nexthop_grp`.
const HEADER: usize = 8;
const ENTRY: usize = 8;

/// Hash buckets of a resilient group. Few enough that a share of 1 in 256 comes to none of them.
const BUCKET_COUNT: u16 = 64;

/// Weights that give all buckets to the first member and none to the second, as long as both work.
pub(super) const ACTIVE: u8 = 255;
pub(super) const STANDBY: u8 = 1;

/// A member of a group: a single next hop's number and its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: u32,
    pub(super) weight: u8,
}

/// A nexthop object as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) id: u32,
    /// Who made it, like a route's.
    pub(super) protocol: u8,
    pub(super) form: Form,
}

/// What kind of object it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// A router on a link.
    Single { via: IpAddr, interface: u32 },
    /// Several objects; resilient ones keep flows where they are when members come and go.
    Group { entries: Vec<Entry>, resilient: bool },
    /// None that we ever make: a blackhole, a link without a router.
    Other,
}

/// Adds a request to make a single next hop. `flags` say whether it may exist.
pub(super) fn single(
    requests: &mut Requests,
    flags: u16,
    protocol: u8,
    id: u32,
    via: IpAddr,
    interface: u32,
) {
    let family = match Family::of(via) {
        Family::Ipv4Unicast => nix::libc::AF_INET,
        Family::Ipv6Unicast => nix::libc::AF_INET6,
    };
    requests.push(rtm::NEW_NEXTHOP, flags, &header(family as u8, protocol), |attributes| {
        attributes.put_u32(ID, id);
        attributes.put_u32(INTERFACE, interface);
        attributes.put_address(GATEWAY, via);
    });
}

/// Adds a request to make or replace a group.
pub(super) fn group(
    requests: &mut Requests,
    flags: u16,
    protocol: u8,
    id: GroupId,
    entries: &[Entry],
    resilient: bool,
) {
    requests.push(rtm::NEW_NEXTHOP, flags, &header(nix::libc::AF_UNSPEC as u8, protocol), |attributes| {
        attributes.put_u32(ID, id.0);
        attributes.nest(GROUP, |attributes| {
            for Entry { id, weight } in entries {
                attributes.raw(&id.to_ne_bytes());
                // The kernel counts from nought.
                attributes.raw(&[weight.saturating_sub(1), 0, 0, 0]);
            }
        });
        let kind = if resilient { RESILIENT } else { MULTIPATH };
        attributes.put(GROUP_TYPE, &kind.to_ne_bytes());
        if resilient {
            attributes.nest(RESILIENT_GROUP | NESTED, |attributes| {
                attributes.put(BUCKETS, &BUCKET_COUNT.to_ne_bytes());
                // Buckets move to where they belong at once, whether packets flow or not.
                attributes.put_u32(IDLE_TIMER, 0);
                attributes.put_u32(UNBALANCED_TIMER, 0);
            });
        }
    });
}

/// Adds a request to remove an object, whoever made it.
pub(super) fn remove(requests: &mut Requests, id: u32) {
    requests.push(rtm::DEL_NEXTHOP, 0, &[0; HEADER], |attributes| attributes.put_u32(ID, id));
}

/// Adds a request for all objects of a namespace.
pub(super) fn dump(requests: &mut Requests) {
    requests.push(rtm::GET_NEXTHOP, 0, &[0; HEADER], |_| {});
}

/// `struct nhmsg`.
fn header(family: u8, protocol: u8) -> [u8; HEADER] {
    [family, 0, protocol, 0, 0, 0, 0, 0]
}

/// The object in the body of a [`rtm::NEW_NEXTHOP`] message.
pub(super) fn parse(body: &[u8]) -> Option<Object> {
    let protocol = u8_at(body, 2)?;
    let (mut id, mut interface, mut via, mut entries, mut resilient) = (None, None, None, None, false);
    for (kind, value) in attributes(body.get(HEADER..)?) {
        match kind {
            ID => id = u32_at(value, 0),
            INTERFACE => interface = u32_at(value, 0),
            GATEWAY => via = address(value),
            GROUP => entries = Some(value.chunks_exact(ENTRY).filter_map(entry).collect()),
            GROUP_TYPE => resilient = u16_at(value, 0) == Some(RESILIENT),
            _ => {}
        }
    }
    let form = match (entries, via, interface) {
        (Some(entries), ..) => Form::Group { entries, resilient },
        (None, Some(via), Some(interface)) => Form::Single { via, interface },
        _ => Form::Other,
    };
    Some(Object { id: id?, protocol, form })
}

fn entry(octets: &[u8]) -> Option<Entry> {
    Some(Entry { id: u32_at(octets, 0)?, weight: u8_at(octets, 4)?.saturating_add(1) })
}

/// The members and the standby of a group with these entries.
pub(super) fn members(
    entries: &[Entry],
    resilient: bool,
    single: impl Fn(u32) -> Option<(IpAddr, u32)>,
) -> (Vec<NextHop>, Vec<NextHop>) {
    let hop = |entry: &Entry, weight| {
        let (via, interface) = single(entry.id)?;
        Some(NextHop { via, interface: Some(interface), weight })
    };
    if let ([active, standby], true) = (entries, resilient)
        && (active.weight, standby.weight) == (ACTIVE, STANDBY)
    {
        return (hop(active, 1).into_iter().collect(), hop(standby, 1).into_iter().collect());
    }
    let mut members: Vec<NextHop> = entries.iter().filter_map(|entry| hop(entry, entry.weight)).collect();
    if let [member] = members.as_mut_slice() {
        member.weight = 1;
    }
    members.sort_unstable();
    (members, Vec::new())
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

    use super::super::frame::frames;
    use super::*;

    fn back(fill: impl FnOnce(&mut Requests)) -> Option<Object> {
        let mut requests = Requests::default();
        fill(&mut requests);
        let frame = frames(requests.octets()).next().unwrap();
        assert_eq!(frame.kind, rtm::NEW_NEXTHOP);
        parse(frame.body)
    }

    #[test]
    fn what_is_asked_for_reads_as_what_it_is() {
        for (via, id) in [("192.0.2.1", SINGLES.start), ("fe80::1", SINGLES.end - 1)] {
            let via = via.parse().unwrap();
            let object = back(|requests| single(requests, NLM_F_CREATE | NLM_F_EXCL, 114, id, via, 7));
            let form = Form::Single { via, interface: 7 };
            assert_eq!(object, Some(Object { id, protocol: 114, form }));
        }
        let entries: Vec<Entry> =
            [(1, 1), (2, 255), (3, 100)].map(|(id, weight)| Entry { id, weight }).into();
        for resilient in [false, true] {
            let id = GroupId(GROUPS.start);
            let object = back(|requests| group(requests, NLM_F_CREATE, 115, id, &entries, resilient));
            let form = Form::Group { entries: entries.clone(), resilient };
            assert_eq!(object, Some(Object { id: id.0, protocol: 115, form }));
        }
    }

    /// Octet by octet what `ip nexthop add id 5 via 192.0.2.2 dev X proto 114` sends (strace).
    #[test]
    fn the_octets_are_the_kernel_s() {
        let mut requests = Requests::default();
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        single(&mut requests, flags, 114, 5, "192.0.2.2".parse().unwrap(), 2);
        let expected = [
            [48, 0, 0, 0, 104, 0, 1, 6, 0, 0, 0, 0, 0, 0, 0, 0].as_slice(),
            &[2, 0, 114, 0, 0, 0, 0, 0],
            &[8, 0, 1, 0, 5, 0, 0, 0],
            &[8, 0, 5, 0, 2, 0, 0, 0],
            &[8, 0, 6, 0, 192, 0, 2, 2],
        ]
        .concat();
        assert_eq!(requests.octets(), expected);
    }

    #[test]
    fn a_standby_is_told_from_a_member() {
        let single = |id| Some((IpAddr::from([192, 0, 2, id as u8]), 7));
        let hop = |id: u8, weight| NextHop { via: [192, 0, 2, id].into(), interface: Some(7), weight };
        let entries = [Entry { id: 2, weight: ACTIVE }, Entry { id: 1, weight: STANDBY }];
        assert_eq!(members(&entries, true, single), (vec![hop(2, 1)], vec![hop(1, 1)]));
        assert_eq!(members(&entries, false, single), (vec![hop(1, 1), hop(2, 255)], vec![]));
        assert_eq!(members(&entries[..1], true, single), (vec![hop(2, 1)], vec![]));
        assert_eq!(members(&entries, true, |_| None), (vec![], vec![]));
    }

    #[test]
    fn what_is_cut_off_does_no_harm() {
        let mut requests = Requests::default();
        group(&mut requests, 0, 114, GroupId(1), &[Entry { id: 1, weight: 1 }], true);
        let body = &requests.octets()[16..];
        for end in 0..body.len() {
            let _ = parse(&body[..end]);
        }
        assert_eq!(parse(&[]), None);
    }
}
