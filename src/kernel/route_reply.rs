//! Routes in the kernel's replies, read where they lie.
//!
//! Pure. Reads what concerns our own routes and those in their way, by the hundred thousand: one pass over
//! a message's attributes, no allocation but for next hops that are asked for. Foreign routes in all
//! their forms, for next-hop resolution, are `route_message`'s.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::route::RouteProtocol;

use super::frame::{address, attributes, u8_at, u16_at, u32_at};
use super::route_message::{owner, sorted};
use super::rtm::route as wire;
use crate::fib::{NextHop, Target};
use crate::prefix::Prefix;

/// A route in a reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply<'a> {
    /// Destination.
    pub(super) prefix: Prefix,
    /// The kernel's priority.
    pub(super) metric: u32,
    /// Routing table.
    pub(super) table: u32,
    /// Who made it.
    pub(super) protocol: u8,
    /// The nexthop object that it refers to.
    pub(super) nexthop: Option<u32>,
    kind: u8,
    via: Option<IpAddr>,
    interface: Option<u32>,
    many: Option<&'a [u8]>,
}

/// Whether the body of a route message is of a protocol, without a look at the rest.
pub(super) fn is_of(protocol: u8, body: &[u8]) -> bool {
    u8_at(body, 5) == Some(protocol)
}

impl<'a> Reply<'a> {
    /// Reads the body of a route message. `None` for routes that no route of ours can collide with: those
    /// for some type of service or source address only, and those of other families (multicast, MPLS).
    pub(super) fn parse(body: &'a [u8]) -> Option<Reply<'a>> {
        let [family, length, source_length, tos, table, protocol, _scope, kind, ..] = *body else {
            return None;
        };
        let unspecified: IpAddr = match i32::from(family) {
            nix::libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
            nix::libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        if source_length != 0 || tos != 0 {
            return None;
        }
        let mut destination = unspecified;
        let mut reply = Reply {
            prefix: Prefix::new(unspecified, 0)?,
            metric: 0,
            table: table.into(),
            protocol,
            nexthop: None,
            kind,
            via: None,
            interface: None,
            many: None,
        };
        for (kind, value) in attributes(body.get(wire::HEADER..)?) {
            match kind {
                wire::DESTINATION => destination = address(value)?,
                wire::PRIORITY => reply.metric = u32_at(value, 0)?,
                wire::TABLE => reply.table = u32_at(value, 0)?,
                wire::NEXTHOP_ID => reply.nexthop = u32_at(value, 0),
                wire::INTERFACE => reply.interface = u32_at(value, 0),
                wire::MULTIPATH => reply.many = Some(value),
                wire::GATEWAY | wire::VIA => reply.via = gateway(kind, value),
                _ => {}
            }
        }
        if destination.is_ipv4() != unspecified.is_ipv4() {
            return None;
        }
        reply.prefix = Prefix::new(destination, length)?;
        Some(reply)
    }

    /// Who made it, in words.
    pub(super) fn owner(&self) -> String {
        owner(RouteProtocol::from(self.protocol))
    }

    /// The target that the message itself describes; `None` when it is of a form that we never install, such
    /// as a blackhole or a route to a link without a router.
    pub(super) fn target(&self) -> Option<Target> {
        match self.kind {
            wire::UNREACHABLE => Some(Target::Unreachable),
            wire::UNICAST => {
                let hops = match self.many {
                    None => vec![NextHop { via: self.via?, interface: self.interface, weight: 1 }],
                    Some(many) => hops(many)?,
                };
                (!hops.is_empty()).then(|| Target::Via(sorted(hops)))
            }
            _ => None,
        }
    }
}

/// The next hops of a multipath attribute; `None` if one has no router.
fn hops(mut rest: &[u8]) -> Option<Vec<NextHop>> {
    /// Octets of `struct rtnexthop`.
    const HEADER: usize = 8;
    let mut hops = Vec::new();
    while let Some(length) = u16_at(rest, 0).map(usize::from) {
        let inner = rest.get(HEADER..length)?;
        let via = attributes(inner).find_map(|(kind, value)| gateway(kind, value))?;
        let interface = u32_at(rest, 4).filter(|index| *index != 0);
        hops.push(NextHop { via, interface, weight: u8_at(rest, 3)?.saturating_add(1) });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(hops)
}

fn gateway(kind: u16, value: &[u8]) -> Option<IpAddr> {
    match kind {
        wire::GATEWAY => address(value),
        // `struct rtvia`: the family, then the address.
        wire::VIA => address(value.get(2..)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame::{Requests, frames};
    use super::super::routes::Ownership;
    use super::*;
    use crate::fib::Route;

    const OURS: Ownership = Ownership { table: 254, protocol: 114 };

    /// The body of a message about this route.
    fn body(prefix: &str, target: Target) -> Vec<u8> {
        let mut requests = Requests::default();
        let route = Route { prefix: prefix.parse().unwrap(), target, metric: 20, group: None };
        super::super::route_request::install(&mut requests, 0, OURS, &route);
        frames(requests.octets()).next().unwrap().body.to_vec()
    }

    fn hop(via: &str) -> NextHop {
        NextHop { via: via.parse().unwrap(), interface: Some(2), weight: 1 }
    }

    #[test]
    fn next_hops_come_back_sorted_whatever_the_kernel_s_order() {
        let wild = body("fd00::/8", Target::Via(vec![hop("fe80::2"), hop("fe80::1")]));
        let tame = Target::Via(vec![hop("fe80::1"), hop("fe80::2")]);
        assert_eq!(Reply::parse(&wild).unwrap().target(), Some(tame));
    }

    #[test]
    fn forms_that_we_never_install_have_no_target() {
        let mut body = body("10.0.0.0/8", Target::Unreachable);
        assert_eq!(Reply::parse(&body).unwrap().target(), Some(Target::Unreachable));
        const BLACKHOLE: u8 = 6;
        body[7] = BLACKHOLE;
        assert_eq!(Reply::parse(&body).unwrap().target(), None);
        body[7] = wire::UNICAST;
        assert_eq!(Reply::parse(&body).unwrap().target(), None, "a route without a router");
    }

    #[test]
    fn routes_that_ours_cannot_collide_with_are_none() {
        let sound = body("10.0.0.0/8", Target::Unreachable);
        assert!(Reply::parse(&sound).is_some());
        // The family (MPLS), the source's length, the type of service.
        for (at, octet) in [(0, 28), (2, 8), (3, 4)] {
            let mut body = sound.clone();
            body[at] = octet;
            assert!(Reply::parse(&body).is_none());
        }
    }

    #[test]
    fn owners_have_names() {
        let mut body = body("10.0.0.0/8", Target::Unreachable);
        assert!(is_of(114, &body) && !is_of(12, &body));
        assert_eq!(Reply::parse(&body).unwrap().owner(), "protocol 114");
        body[5] = 12;
        assert_eq!(Reply::parse(&body).unwrap().owner(), "bird (protocol 12)");
    }

    /// Routes of other people pass through here as well, whatever they may look like.
    #[test]
    fn whatever_comes_is_read_without_harm() {
        let sound = [
            body("10.244.2.0/24", Target::Via(vec![hop("192.168.1.12"), hop("fe80::1")])),
            body("fd00:244:2::/48", Target::Via(vec![hop("fd00::12")])),
            body("::/0", Target::Unreachable),
        ];
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
        let strategy = (prop::sample::select(sound.to_vec()), changes, any::<prop::sample::Index>());
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) };
        proptest!(config, |((mut body, changes, end) in strategy)| {
            for (at, octet) in changes {
                let at = at.index(body.len());
                body[at] = octet;
            }
            if body[0] % 4 == 0 {
                body.truncate(end.index(body.len()));
            }
            if let Some(reply) = Reply::parse(&body) {
                prop_assert!(is_of(reply.protocol, &body));
                prop_assert!(!reply.owner().is_empty());
                if let Some(Target::Via(hops)) = reply.target() {
                    prop_assert!(hops.is_sorted() && !hops.is_empty());
                }
            }
        });
    }
}
