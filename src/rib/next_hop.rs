//! Next-hop resolution: from a path's NEXT_HOP to a router on a link (RFC 4271 §9.1.2.1).
//!
//! The underlay is what the kernel knows without us: connected subnets and whatever routes somebody
//! else installed. A path whose next hop it cannot reach takes no part in the decision.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use crate::prefix::{Family, Prefix};

/// A kernel route that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderlayRoute {
    /// Destination.
    pub prefix: Prefix,
    /// The gateway; `None` for a connected subnet.
    pub via: Option<IpAddr>,
    /// Index of the interface it leaves by.
    pub interface: Option<u32>,
    /// The kernel's priority: lower is preferred.
    pub metric: u32,
}

/// A next hop to be resolved: an address, and where it is link-local the link that it is on, for
/// without one it names nobody (RFC 4007 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OnLink {
    address: IpAddr,
    /// Index of the interface.
    interface: Option<u32>,
}

impl OnLink {
    /// A link-local address on the link of that interface; `None` if the link is not known, and then
    /// nothing resolves.
    pub fn link_local(address: Ipv6Addr, interface: Option<u32>) -> OnLink {
        OnLink { address: address.into(), interface }
    }
}

impl From<IpAddr> for OnLink {
    fn from(address: IpAddr) -> OnLink {
        OnLink { address, interface: None }
    }
}

/// Whether an address is of use on its own link alone.
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// How a next hop is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// The router to hand packets to: the next hop itself on a connected subnet, else the gateway
    /// on the way to it.
    pub via: IpAddr,
    /// Index of the interface.
    pub interface: Option<u32>,
    /// Cost for the decision process: zero when connected, else the kernel's metric plus one.
    pub cost: u32,
}

/// All kernel routes that are not ours, ready for longest-prefix matching.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Underlay {
    /// By prefix; of several routes for one prefix the kernel's choice.
    routes: BTreeMap<Prefix, UnderlayRoute>,
    /// The lengths there are of these prefixes, by family. They are few.
    lengths: [BTreeSet<u8>; 2],
    /// Interfaces with a connected link-local subnet: every link has the same one.
    link_local: BTreeSet<u32>,
}

impl Underlay {
    /// Indexes a snapshot of the kernel.
    pub fn new(snapshot: impl IntoIterator<Item = UnderlayRoute>) -> Underlay {
        let mut routes: BTreeMap<Prefix, UnderlayRoute> = BTreeMap::new();
        let mut link_local = BTreeSet::new();
        for route in snapshot {
            if route.via.is_none() && is_link_local(route.prefix.address()) {
                link_local.extend(route.interface);
            }
            let kept = routes.entry(route.prefix).or_insert(route);
            if route.metric < kept.metric {
                *kept = route;
            }
        }
        let mut lengths = <[BTreeSet<u8>; 2]>::default();
        for prefix in routes.keys() {
            lengths[prefix.family() as usize].insert(prefix.length());
        }
        Underlay { routes, lengths, link_local }
    }

    /// How `next_hop` is reached, if at all.
    pub fn resolve(&self, next_hop: impl Into<OnLink>) -> Option<Resolution> {
        let OnLink { address, interface } = next_hop.into();
        if is_link_local(address) {
            let interface = interface.filter(|index| self.link_local.contains(index))?;
            return Some(Resolution { via: address, interface: Some(interface), cost: 0 });
        }
        let route = self.longest_match(address)?;
        let Some(gateway) = route.via else {
            return Some(Resolution { via: address, interface: route.interface, cost: 0 });
        };
        Some(Resolution { via: gateway, interface: route.interface, cost: route.metric.saturating_add(1) })
    }

    /// Whether both addresses lie on one connected subnet, so that either may be named to the other
    /// as a next hop (RFC 4271 §5.1.3).
    pub fn shared_subnet(&self, a: IpAddr, b: IpAddr) -> bool {
        match (self.longest_match(a), self.longest_match(b)) {
            (Some(a), Some(b)) => a.via.is_none() && a == b,
            _ => false,
        }
    }

    /// Interfaces that something is reached through, by index; if only routers on their link.
    pub fn interfaces(&self) -> impl Iterator<Item = u32> {
        self.routes.values().filter_map(|route| route.interface).chain(self.link_local.iter().copied())
    }

    /// Whether both addresses are reached by one route, so that [`Underlay::shared_subnet`] says the
    /// same of both.
    pub fn reached_alike(&self, a: IpAddr, b: IpAddr) -> bool {
        a == b || self.longest_match(a) == self.longest_match(b)
    }

    /// Whether an address is reached by the same route in another underlay.
    pub fn reaches_alike(&self, other: &Underlay, next_hop: impl Into<OnLink>) -> bool {
        let next_hop = next_hop.into();
        self.longest_match(next_hop.address) == other.longest_match(next_hop.address)
            && self.resolve(next_hop) == other.resolve(next_hop)
    }

    fn longest_match(&self, address: IpAddr) -> Option<&UnderlayRoute> {
        let lengths = self.lengths[Family::of(address) as usize].iter().rev();
        let mut prefixes = lengths.filter_map(|length| Prefix::new(address, *length));
        prefixes.find_map(|prefix| self.routes.get(&prefix))
    }
}

/// The underlay with a memory of what has been resolved by it: next hops are few, paths are many.
#[derive(Debug, Default)]
pub struct NextHops {
    underlay: Underlay,
    resolved: BTreeMap<OnLink, Option<Resolution>>,
}

impl NextHops {
    /// The underlay itself.
    pub fn underlay(&self) -> &Underlay {
        &self.underlay
    }

    /// Resolves a next hop and remembers the outcome.
    pub fn resolve(&mut self, next_hop: impl Into<OnLink>) -> Option<Resolution> {
        let next_hop = next_hop.into();
        *self.resolved.entry(next_hop).or_insert_with(|| self.underlay.resolve(next_hop))
    }

    /// The outcome as last resolved.
    pub fn resolved(&self, next_hop: impl Into<OnLink>) -> Option<Resolution> {
        self.resolved.get(&next_hop.into()).copied().flatten()
    }

    /// Takes a new underlay and returns the next hops that are now reached by another route, or no
    /// longer, or again.
    pub fn replace_underlay(&mut self, underlay: Underlay) -> BTreeSet<OnLink> {
        let before = std::mem::replace(&mut self.underlay, underlay);
        let mut changed = BTreeSet::new();
        for (next_hop, outcome) in &mut self.resolved {
            if !before.reaches_alike(&self.underlay, *next_hop) {
                *outcome = self.underlay.resolve(*next_hop);
                changed.insert(*next_hop);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn underlay() -> Underlay {
        let route = |prefix: &str, via: Option<&str>, interface, metric| UnderlayRoute {
            prefix: prefix.parse().unwrap(),
            via: via.map(|v| v.parse().unwrap()),
            interface: Some(interface),
            metric,
        };
        Underlay::new([
            route("192.168.1.0/24", None, 2, 0),
            route("fd00:192:168:1::/64", None, 2, 256),
            route("0.0.0.0/0", Some("192.168.1.254"), 2, 100),
            route("0.0.0.0/0", Some("192.168.1.253"), 2, 50),
        ])
    }

    #[test]
    fn a_connected_next_hop_resolves_to_itself() {
        for next_hop in ["192.168.1.12", "fd00:192:168:1::12"] {
            let next_hop: IpAddr = next_hop.parse().unwrap();
            let expected = Resolution { via: next_hop, interface: Some(2), cost: 0 };
            assert_eq!(underlay().resolve(next_hop), Some(expected));
        }
    }

    #[test]
    fn a_distant_next_hop_resolves_through_the_preferred_gateway() {
        let gateway = "192.168.1.253".parse().unwrap();
        let expected = Resolution { via: gateway, interface: Some(2), cost: 51 };
        assert_eq!(underlay().resolve("203.0.113.1".parse::<IpAddr>().unwrap()), Some(expected));
    }

    #[test]
    fn what_nothing_covers_does_not_resolve() {
        assert_eq!(underlay().resolve("2001:db8::1".parse::<IpAddr>().unwrap()), None);
    }

    #[test]
    fn a_link_local_next_hop_is_on_the_link_it_was_heard_on_and_on_no_other() {
        let subnet = |interface| UnderlayRoute {
            prefix: "fe80::/64".parse().unwrap(),
            via: None,
            interface: Some(interface),
            metric: 256,
        };
        let underlay = Underlay::new([subnet(2), subnet(3)]);
        let router: Ipv6Addr = "fe80::1".parse().unwrap();
        for link in [2, 3] {
            let expected = Resolution { via: router.into(), interface: Some(link), cost: 0 };
            assert_eq!(underlay.resolve(OnLink::link_local(router, Some(link))), Some(expected));
        }
        assert_eq!(underlay.resolve(OnLink::link_local(router, Some(4))), None, "a link that is down");
        assert_eq!(underlay.resolve(OnLink::link_local(router, None)), None, "a link that nobody knows");
        assert_eq!(underlay.resolve(IpAddr::from(router)), None);
    }

    #[test]
    fn only_a_connected_subnet_is_shared() {
        let shared = |a: &str, b: &str| underlay().shared_subnet(a.parse().unwrap(), b.parse().unwrap());
        assert!(shared("192.168.1.1", "192.168.1.12"));
        assert!(!shared("192.168.1.1", "203.0.113.1"));
        assert!(!shared("203.0.113.1", "203.0.113.2"), "both behind one gateway");
    }

    #[test]
    fn a_changed_underlay_names_the_next_hops_it_moves() {
        let mut next_hops = NextHops::default();
        let on_link = |text: &str| OnLink::from(text.parse::<IpAddr>().unwrap());
        let (near, far) = (on_link("192.168.1.12"), on_link("203.0.113.1"));
        assert_eq!(next_hops.resolve(near), None);
        assert_eq!(next_hops.resolve(far), None);
        assert_eq!(next_hops.replace_underlay(underlay()), [near, far].into());
        assert!(next_hops.resolved(near).is_some());
        assert_eq!(next_hops.replace_underlay(underlay()), [].into());
        let without_default = underlay().routes.into_values().filter(|r| r.via.is_none());
        assert_eq!(next_hops.replace_underlay(Underlay::new(without_default)), [far].into());
    }
}
