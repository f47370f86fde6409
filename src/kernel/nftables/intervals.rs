//! Prefixes as intervals of addresses that neither overlap nor touch, which is how the kernel wants the
//! elements of an interval set, and the difference of two such lists.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::Element;
use crate::prefix::{Family, Prefix};

/// First and last address of each, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intervals(Vec<(u128, u128)>);

/// Highest address of a family.
fn highest(family: Family) -> u128 {
    match family {
        Family::Ipv4Unicast => u32::MAX.into(),
        Family::Ipv6Unicast => u128::MAX,
    }
}

fn key(family: Family, address: u128) -> Vec<u8> {
    let octets = address.to_be_bytes();
    match family {
        Family::Ipv4Unicast => octets[12..].to_vec(),
        Family::Ipv6Unicast => octets.to_vec(),
    }
}

fn number(key: &[u8]) -> Option<u128> {
    match key.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(key).ok()?).to_bits().into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(key).ok()?).to_bits()),
        _ => None,
    }
}

impl Intervals {
    /// Those that hold the addresses of these prefixes of a family, and no others.
    pub fn of<'a>(family: Family, prefixes: impl IntoIterator<Item = &'a Prefix>) -> Intervals {
        let of_family = prefixes.into_iter().filter(|prefix| prefix.family() == family);
        Intervals::merge(of_family.map(bounds).collect())
    }

    fn merge(mut bounds: Vec<(u128, u128)>) -> Intervals {
        bounds.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(bounds.len());
        for (first, last) in bounds {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Intervals(merged)
    }

    /// Those that hold what either holds.
    #[must_use]
    pub fn union(&self, other: &Intervals) -> Intervals {
        Intervals::merge(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Reads the elements of an interval set, in whatever order.
    pub fn read(family: Family, elements: &[Element]) -> Intervals {
        let ends: BTreeMap<(u128, bool), ()> =
            elements.iter().filter_map(|e| Some(((number(&e.key)?, !e.is_end), ()))).collect();
        let mut read = Vec::new();
        let mut open = None;
        for (address, is_start) in ends.into_keys() {
            if let Some(first) = open.take() {
                read.push((first, address.saturating_sub(1)));
            }
            if is_start {
                open = Some(address);
            }
        }
        read.extend(open.map(|first| (first, highest(family))));
        // What touches stays apart: this is what the kernel has.
        Intervals(read)
    }

    /// The elements that make up these intervals. One that ends with the highest address has no end.
    pub fn elements(&self, family: Family) -> Vec<Element> {
        let both = |(first, last): &(u128, u128)| {
            let start = Element::of(key(family, *first));
            let end = (*last != highest(family))
                .then(|| Element { is_end: true, ..Element::of(key(family, last + 1)) });
            [Some(start), end].into_iter().flatten().collect::<Vec<_>>()
        };
        self.0.iter().flat_map(both).collect()
    }

    /// What to remove and what to add in order to get from these to others.
    pub fn changes(&self, wanted: &Intervals) -> (Intervals, Intervals) {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let (mut have, mut want) = (self.0.iter().peekable(), wanted.0.iter().peekable());
        loop {
            match (have.peek(), want.peek()) {
                (Some(a), Some(b)) if a == b => {
                    have.next();
                    want.next();
                }
                (Some(a), Some(b)) if a < b => removed.extend(have.next()),
                (_, Some(_)) => added.extend(want.next()),
                (Some(_), None) => removed.extend(have.next()),
                (None, None) => return (Intervals(removed), Intervals(added)),
            }
        }
    }
}

/// First and last address.
fn bounds(prefix: &Prefix) -> (u128, u128) {
    let (first, bits) = match prefix.address() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let free = bits - u32::from(prefix.length());
    (first, first | 1_u128.checked_shl(free).map_or(u128::MAX, |size| size - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Family = Family::Ipv4Unicast;
    const V6: Family = Family::Ipv6Unicast;

    fn of(family: Family, texts: &[&str]) -> Intervals {
        let prefixes: Vec<Prefix> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Intervals::of(family, &prefixes)
    }

    #[test]
    fn prefixes_that_overlap_or_touch_are_one() {
        let texts = ["10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25", "192.0.2.0/24", "fd00::/8"];
        assert_eq!(of(V4, &texts), Intervals(vec![(0x0a00_0000, 0x0a00_01ff), (0xc000_0200, 0xc000_02ff)]));
        assert_eq!(of(V6, &texts).0.len(), 1);
        assert_eq!(of(V4, &["0.0.0.0/0", "10.0.0.0/8"]), Intervals(vec![(0, u32::MAX.into())]));
        assert_eq!(of(V6, &["::/0", "ff00::/8"]), Intervals(vec![(0, u128::MAX)]));
    }

    #[test]
    fn elements_are_read_back() {
        for (family, texts) in [
            (V4, vec!["10.0.0.0/8", "10.244.0.0/16", "172.16.0.0/12", "224.0.0.0/4", "255.255.255.255/32"]),
            (V4, vec!["0.0.0.0/0"]),
            (V6, vec!["fd00::/8", "ff00::/8", "2001:db8::1/128"]),
            (V6, vec![]),
        ] {
            let intervals = of(family, &texts);
            let mut elements = intervals.elements(family);
            elements.reverse();
            assert_eq!(Intervals::read(family, &elements), intervals, "{texts:?}");
        }
        // nft marks the beginning of the numbers by an end.
        let mut elements = of(V4, &["10.0.0.0/8"]).elements(V4);
        elements.insert(0, Element { is_end: true, ..Element::of(vec![0; 4]) });
        assert_eq!(Intervals::read(V4, &elements), of(V4, &["10.0.0.0/8"]));
        // Where one ends and the next begins, the end comes first.
        let touching = Intervals(vec![(1, 4), (5, 9)]);
        assert_eq!(Intervals::read(V4, &touching.elements(V4)), touching);
    }

    #[test]
    fn changes_lead_from_one_to_the_other() {
        let (a, b) = (of(V4, &["10.0.0.0/8", "172.16.0.0/12"]), of(V4, &["10.0.0.0/8", "11.0.0.0/8"]));
        let (removed, added) = a.changes(&b);
        assert_eq!(removed, a, "10.0.0.0/8 became part of a larger interval");
        assert_eq!(added, b);
        assert_eq!(a.changes(&a), (Intervals::default(), Intervals::default()));
        let (removed, added) = a.changes(&of(V4, &["10.0.0.0/8"]));
        assert_eq!((removed, added), (of(V4, &["172.16.0.0/12"]), Intervals::default()));
        let (removed, added) = Intervals::default().changes(&a);
        assert_eq!((removed, added), (Intervals::default(), a));
    }
}
