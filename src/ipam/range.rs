//! Ranges of addresses: what a configuration may hand out, narrowed to the node it runs on.
//!
//! Pure arithmetic; nothing here looks at a disk. A range never yields the first address of its
//! prefix (the network address of RFC 922; for IPv6 the subnet-router anycast address of RFC 4291
//! §2.6.1), the IPv4 broadcast address, or its gateway.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Error;
use crate::prefix::{Family, Prefix};

/// A range as configured: a subnet, and optionally a part of it and a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSpec {
    /// The subnet.
    pub subnet: Prefix,
    /// First address to hand out; the subnet's first usable one if `None`.
    pub start: Option<IpAddr>,
    /// Last address to hand out; the subnet's last usable one if `None`.
    pub end: Option<IpAddr>,
    /// The pods' gateway; the address after the subnet's first if `None`.
    pub gateway: Option<IpAddr>,
}

impl RangeSpec {
    /// All of `subnet`.
    pub fn whole(subnet: Prefix) -> RangeSpec {
        RangeSpec { subnet, start: None, end: None, gateway: None }
    }

    /// The ranges to allocate from on a node with these pod CIDRs.
    ///
    /// Where the subnet holds pod CIDRs of the node, allocation narrows to them: one configuration
    /// for the whole cluster (`10.244.0.0/16`) then gives every node addresses of its own, which are
    /// those that are routed to it. The pod's prefix length becomes the pod CIDR's. A configured
    /// gateway outside the pod CIDR gives way to the pod CIDR's own, a configured start and end
    /// still bound what is handed out. Otherwise the subnet is used as it stands.
    ///
    /// # Errors
    /// A value contradicts another or leaves nothing to hand out; the error names the field.
    pub fn ranges(&self, pod_cidrs: &[Prefix]) -> Result<Vec<Range>, Error> {
        let configured = self.range()?;
        let narrow = |cidr: &Prefix| {
            let inside = |address: &IpAddr| cidr.contains_address(*address);
            let whole = Range::new(*cidr, self.gateway.filter(inside))?;
            let first = whole.first.max(self.start.map_or(whole.first, |_| configured.first));
            let last = whole.last.min(self.end.map_or(whole.last, |_| configured.last));
            if first > last {
                let why = format!(
                    "rangeStart and rangeEnd leave no address of this node's pod CIDR {cidr} within {}",
                    self.subnet
                );
                return Err(Error::Range { field: "subnet", why });
            }
            Ok(Range { first, last, ..whole })
        };
        let narrowed: Vec<Range> = pod_cidrs
            .iter()
            .filter(|cidr| self.subnet.contains(**cidr))
            .map(narrow)
            .collect::<Result<_, _>>()?;
        Ok(if narrowed.is_empty() { vec![configured] } else { narrowed })
    }

    /// The range as configured, checked.
    fn range(&self) -> Result<Range, Error> {
        for (field, address) in
            [("rangeStart", self.start), ("rangeEnd", self.end), ("gateway", self.gateway)]
        {
            if let Some(address) = address.filter(|a| !self.subnet.contains_address(*a)) {
                let why = format!("{address} is not in subnet {}", self.subnet);
                return Err(Error::Range { field, why });
            }
        }
        let whole = Range::new(self.subnet, self.gateway)?;
        let first = self.start.map_or(whole.first, |start| start.max(whole.first));
        let last = self.end.map_or(whole.last, |end| end.min(whole.last));
        if first > last {
            let why = format!("{first} lies after the end of the range, {last}");
            return Err(Error::Range { field: "rangeStart", why });
        }
        Ok(Range { first, last, ..whole })
    }
}

/// A run of addresses to hand out, with what a pod needs to use one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The prefix on the pods' link: gives the pod's address its length.
    pub prefix: Prefix,
    /// First address of the run.
    pub first: IpAddr,
    /// Last address of the run, inclusive.
    pub last: IpAddr,
    /// The gateway: inside `prefix`, never handed out.
    pub gateway: IpAddr,
}

impl Range {
    /// Every usable address of a prefix.
    fn new(prefix: Prefix, gateway: Option<IpAddr>) -> Result<Range, Error> {
        let family = prefix.family();
        let bits: u8 = if family == Family::Ipv4Unicast { 32 } else { 128 };
        let host_bits = u32::from(bits - prefix.length());
        if host_bits < 2 {
            let why = format!("{prefix} is too small to allocate from: it must leave two host bits");
            return Err(Error::Range { field: "subnet", why });
        }
        let network = number(prefix.address());
        let end = network + (u128::MAX >> (128 - host_bits));
        let last = if family == Family::Ipv4Unicast { end - 1 } else { end };
        Ok(Range {
            prefix,
            first: address(family, network + 1),
            last: address(family, last),
            gateway: gateway.unwrap_or_else(|| address(family, network + 1)),
        })
    }

    /// Whether the range may hand this address out.
    pub fn offers(&self, address: IpAddr) -> bool {
        self.prefix.contains_address(address)
            && (self.first..=self.last).contains(&address)
            && address != self.gateway
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} to {})", self.prefix, self.first, self.last)
    }
}

/// Ranges of one family that stand in for each other: a pod gets one address out of each set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet(Vec<Range>);

impl RangeSet {
    /// A set of at least one range, all of one family, none overlapping another.
    ///
    /// # Errors
    /// One of these does not hold.
    pub fn new(ranges: Vec<Range>) -> Result<RangeSet, Error> {
        let fault = |why: String| Err(Error::Range { field: "ranges", why });
        let Some(head) = ranges.first() else { return fault("a range set is empty".to_owned()) };
        for (i, a) in ranges.iter().enumerate() {
            if a.prefix.family() != head.prefix.family() {
                return fault(format!("{} and {} of one set differ in family", head.prefix, a.prefix));
            }
            if let Some(b) = ranges[..i].iter().find(|b| a.first <= b.last && b.first <= a.last) {
                return fault(format!("{b} and {a} overlap"));
            }
        }
        Ok(RangeSet(ranges))
    }

    /// The ranges, in the order they are used.
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// The family of every address of the set.
    pub fn family(&self) -> Family {
        // Never empty: `new` sees to it.
        self.0[0].prefix.family()
    }

    /// The range that may hand this address out.
    pub fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.offers(address))
    }

    /// Whether some address could come out of both sets.
    pub fn overlaps(&self, other: &RangeSet) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.first <= b.last && b.first <= a.last))
    }

    /// How many addresses the set offers. A `::/0` has one more than can be counted, which is let go.
    pub fn size(&self) -> u128 {
        let of_range = |range: &Range| {
            let (first, last) = (number(range.first), number(range.last));
            let gateway = u128::from((first..=last).contains(&number(range.gateway)));
            (last - first).saturating_add(1) - gateway
        };
        self.0.iter().map(of_range).fold(0, u128::saturating_add)
    }

    /// Every address the set offers, once, in a circle that starts after `last`, so that released
    /// addresses rest for a full turn before they are given again.
    pub fn after(&self, last: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &Range)> {
        let position = last.and_then(|last| {
            let within = |r: &Range| r.prefix.contains_address(last) && (r.first..=r.last).contains(&last);
            self.0.iter().position(within).map(|index| (index, last))
        });
        let (start, split) = match position {
            Some((index, last)) => (index, number(last)),
            // Before everything: the whole first range is ahead, nothing of it behind.
            None => (0, 0),
        };
        let (first, end) = (number(self.0[start].first), number(self.0[start].last));
        let ahead = (first.max(split.saturating_add(1))..=end).map(move |n| (n, start));
        let rest = (start + 1..self.0.len()).chain(0..start).flat_map(|index| {
            (number(self.0[index].first)..=number(self.0[index].last)).map(move |n| (n, index))
        });
        let behind = (first..=end.min(split)).map(move |n| (n, start));
        let family = self.family();
        ahead
            .chain(rest)
            .chain(behind)
            .map(move |(n, index)| (address(family, n), &self.0[index]))
            .filter(|(address, range)| *address != range.gateway)
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            write!(f, "{}{range}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The inverse of [`number`]. Numbers here stay within their family's range by construction.
fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::Ipv4Unicast => Ipv4Addr::from_bits(number as u32).into(),
        Family::Ipv6Unicast => Ipv6Addr::from_bits(number).into(),
    }
}
