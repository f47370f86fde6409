//! Writing path attributes (RFC 4271 §4.3), in the order of their type codes.
//!
//! MP_REACH_NLRI and MP_UNREACH_NLRI are written with the prefixes they carry, by
//! [`crate::bgp::update`].

use std::iter::Peekable;
use std::net::Ipv4Addr;
use std::slice;

use super::rules::{Category, code, flag};
use super::{Origin, PathAttributes, UnknownAttribute};
use crate::bgp::as_path::AsWidth;

/// Appends all attributes, with NEXT_HOP if one is given.
pub(in crate::bgp) fn encode(
    attributes: &PathAttributes,
    next_hop: Option<Ipv4Addr>,
    width: AsWidth,
    out: &mut Vec<u8>,
) {
    use Category::{OptionalNonTransitive, OptionalTransitive, WellKnown};
    let rare = &*attributes.rare;
    let mut writer = Writer { out, partial: &rare.partial, unknown: rare.unknown.iter().peekable() };
    writer.put(code::ORIGIN, WellKnown, |out| {
        out.push(match attributes.origin {
            Origin::Igp => 0,
            Origin::Egp => 1,
            Origin::Incomplete => 2,
        });
    });
    writer.put(code::AS_PATH, WellKnown, |out| attributes.as_path.encode(width, out));
    if let Some(address) = next_hop {
        writer.put(code::NEXT_HOP, WellKnown, |out| out.extend(address.octets()));
    }
    if let Some(med) = attributes.med {
        writer.put(code::MULTI_EXIT_DISC, OptionalNonTransitive, |out| out.extend(med.to_be_bytes()));
    }
    if let Some(local_pref) = attributes.local_pref {
        writer.put(code::LOCAL_PREF, WellKnown, |out| out.extend(local_pref.to_be_bytes()));
    }
    if rare.atomic_aggregate {
        writer.put(code::ATOMIC_AGGREGATE, WellKnown, |_| {});
    }
    if let Some(aggregator) = rare.aggregator {
        writer.put(code::AGGREGATOR, OptionalTransitive, |out| {
            width.write(aggregator.asn, out);
            out.extend(aggregator.router_id.octets());
        });
    }
    writer.list(code::COMMUNITIES, OptionalTransitive, &attributes.communities, |c| c.0.to_be_bytes());
    if let Some(originator) = rare.originator_id {
        writer.put(code::ORIGINATOR_ID, OptionalNonTransitive, |out| out.extend(originator.octets()));
    }
    writer.list(code::CLUSTER_LIST, OptionalNonTransitive, &rare.cluster_list, Ipv4Addr::octets);
    writer.list(code::EXTENDED_COMMUNITIES, OptionalTransitive, &rare.extended_communities, |community| {
        *community
    });
    writer.four_octet(attributes, width);
    writer.list(code::LARGE_COMMUNITY, OptionalTransitive, &rare.large_communities, |community| {
        let fields = [community.global_administrator, community.local_data_1, community.local_data_2];
        let mut octets = [0; 12];
        for (four, field) in octets.chunks_exact_mut(4).zip(fields) {
            four.copy_from_slice(&field.to_be_bytes());
        }
        octets
    });
    if let Some(asn) = rare.only_to_customer {
        writer.put(code::ONLY_TO_CUSTOMER, OptionalTransitive, |out| out.extend(asn.to_be_bytes()));
    }
    writer.unknown_below(None);
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    partial: &'a [u8],
    unknown: Peekable<slice::Iter<'a, UnknownAttribute>>,
}

impl Writer<'_> {
    /// Writes one known attribute, after the unknown ones that come before it.
    fn put(&mut self, code: u8, category: Category, value: impl FnOnce(&mut Vec<u8>)) {
        self.unknown_below(Some(code));
        let partial = if self.partial.contains(&code) { flag::PARTIAL } else { 0 };
        put(self.out, category.flags() | partial, code, value);
    }

    /// Writes an attribute that is a list, unless the list is empty.
    fn list<T, const N: usize>(
        &mut self,
        code: u8,
        category: Category,
        list: &[T],
        octets: impl Fn(&T) -> [u8; N],
    ) {
        if !list.is_empty() {
            self.put(code, category, |out| list.iter().for_each(|item| out.extend(octets(item))));
        }
    }

    /// Writes AS4_PATH and AS4_AGGREGATOR where a two-octet speaker needs them (RFC 6793 §4.2.2).
    fn four_octet(&mut self, attributes: &PathAttributes, width: AsWidth) {
        if width == AsWidth::Four {
            return;
        }
        if attributes.as_path.needs_four_octets() {
            self.put(code::AS4_PATH, Category::OptionalTransitive, |out| {
                attributes.as_path.without_confederation().encode(AsWidth::Four, out);
            });
        }
        if let Some(aggregator) = attributes.rare.aggregator.filter(|a| a.asn > u32::from(u16::MAX)) {
            self.put(code::AS4_AGGREGATOR, Category::OptionalTransitive, |out| {
                out.extend(aggregator.asn.to_be_bytes());
                out.extend(aggregator.router_id.octets());
            });
        }
    }

    /// Writes the unknown attributes with codes below `limit`, or all that are left.
    fn unknown_below(&mut self, limit: Option<u8>) {
        while let Some(attribute) = self.unknown.next_if(|a| limit.is_none_or(|limit| a.code < limit)) {
            put(self.out, attribute.flags, attribute.code, |out| out.extend_from_slice(&attribute.value));
        }
    }
}

/// Appends one attribute, with the extended length when its value has more than 255 octets.
///
/// A value beyond two octets of length is written with a wrong length: it exceeds any message, and
/// the caller, who looks at the size of the whole, throws it away.
fn put(out: &mut Vec<u8>, flags: u8, code: u8, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([flags & !flag::EXTENDED_LENGTH, code, 0]);
    value(out);
    let length = out.len() - start - 3;
    match u8::try_from(length) {
        Ok(length) => out[start + 2] = length,
        Err(_) => {
            let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            out[start] |= flag::EXTENDED_LENGTH;
            out[start + 2] = high;
            out.insert(start + 3, low);
        }
    }
}
