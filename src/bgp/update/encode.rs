//! Writing UPDATEs: prefixes packed as full as the session's largest message allows.
//!
//! IPv4 stands in the message body, IPv6 in MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 4760), which come
//! before all other attributes (RFC 7606 §5.1). IPv4 with an IPv6 next hop stands in MP_REACH_NLRI too
//! (RFC 8950 §3); its withdrawal names no next hop and is any other IPv4 prefix's.

use std::net::{IpAddr, Ipv6Addr};

use crate::bgp::attribute::{self, PathAttributes, code, flag};
use crate::bgp::header::{self, HEADER_LENGTH, MessageType};
use crate::bgp::{Codec, Nlri, nlri};
use crate::prefix::Family;

/// Octets of a message that every UPDATE needs: the header and the lengths of two fields.
const FIXED: usize = HEADER_LENGTH + 4;
/// Octets of MP_REACH_NLRI beside next hop and prefixes: attribute header, AFI, SAFI, length of the
/// next hop, the reserved octet.
const REACH_FIXED: usize = 4 + 5;
/// Octets of MP_UNREACH_NLRI beside prefixes: attribute header, AFI, SAFI.
const UNREACH_FIXED: usize = 4 + 3;

/// Octets that most attribute sets fit into.
const ORDINARY_BLOCK: usize = 256;

/// Encodes announcements; see [`Codec::encode_announcements`].
pub(in crate::bgp) fn encode_announcements<T: Nlri>(
    codec: &Codec,
    attributes: &PathAttributes,
    prefixes: &[T],
    out: &mut Vec<u8>,
) -> usize {
    let Some(family) = family_of(codec, prefixes) else {
        return 0;
    };
    let mut block = Vec::with_capacity(ORDINARY_BLOCK);
    match (family, attributes.next_hop) {
        (Family::Ipv4Unicast, IpAddr::V4(next_hop)) => {
            attribute::encode(attributes, Some(next_hop), codec.as_width(), &mut block);
            let Some(room) = room_for::<T>(codec, family, FIXED + block.len()) else {
                return 0;
            };
            fill(prefixes, out, |prefixes, out| {
                sized(out, |_| {});
                sized(out, |out| out.extend_from_slice(&block));
                nlri::encode(prefixes, room, out)
            })
        }
        (_, IpAddr::V6(global)) if family == Family::Ipv6Unicast || codec.extended_next_hop => {
            attribute::encode(attributes, None, codec.as_width(), &mut block);
            let mut field = [0; 32];
            let next_hop = next_hop_field(global, attributes.rare.link_local_next_hop, &mut field);
            let Some(room) = room_for::<T>(codec, family, FIXED + block.len() + REACH_FIXED + next_hop.len())
            else {
                return 0;
            };
            fill(prefixes, out, |prefixes, out| {
                sized(out, |_| {});
                sized(out, |out| {
                    let rest = multiprotocol(code::MP_REACH_NLRI, family, out, |out| {
                        // Sixteen or thirty-two octets.
                        out.push(next_hop.len() as u8);
                        out.extend_from_slice(next_hop);
                        out.push(0);
                        nlri::encode(prefixes, room, out)
                    });
                    out.extend_from_slice(&block);
                    rest
                })
            })
        }
        // IPv4 with an IPv6 next hop takes RFC 8950, which was not agreed on; the reverse has no form.
        _ => 0,
    }
}

/// Encodes withdrawals; see [`Codec::encode_withdrawals`].
pub(in crate::bgp) fn encode_withdrawals<T: Nlri>(codec: &Codec, prefixes: &[T], out: &mut Vec<u8>) -> usize {
    let room = codec.max_message_length() - FIXED;
    match family_of(codec, prefixes) {
        None => 0,
        Some(Family::Ipv4Unicast) => fill(prefixes, out, |prefixes, out| {
            let rest = sized(out, |out| nlri::encode(prefixes, room, out));
            sized(out, |_| {});
            rest
        }),
        Some(family @ Family::Ipv6Unicast) => fill(prefixes, out, |prefixes, out| {
            let room = room - UNREACH_FIXED;
            sized(out, |_| {});
            sized(out, |out| {
                multiprotocol(code::MP_UNREACH_NLRI, family, out, |out| nlri::encode(prefixes, room, out))
            })
        }),
    }
}

/// Encodes the End-of-RIB marker of a family (RFC 4724 §2).
pub(in crate::bgp) fn encode_end_of_rib(family: Family, out: &mut Vec<u8>) {
    let start = header::begin(MessageType::Update, out);
    sized(out, |_| {});
    sized(out, |out| {
        if family != Family::Ipv4Unicast {
            multiprotocol(code::MP_UNREACH_NLRI, family, out, |_| {});
        }
    });
    header::finish(start, out);
}

fn family_of<T: Nlri>(codec: &Codec, prefixes: &[T]) -> Option<Family> {
    let family = prefixes.first()?.prefix().family();
    debug_assert!(prefixes.iter().all(|p| p.prefix().family() == family), "prefixes of two families");
    debug_assert_eq!(T::ID_OCTETS > 0, codec.add_path[family as usize].send, "path identifiers");
    Some(family)
}

/// The octets left for prefixes in a message that needs `taken` others; `None` when they might not
/// hold one prefix.
fn room_for<T: Nlri>(codec: &Codec, family: Family, taken: usize) -> Option<usize> {
    codec.max_message_length().checked_sub(taken).filter(|room| *room >= T::ID_OCTETS + nlri::longest(family))
}

/// Appends messages until no prefix is left; returns how many. `body` writes what it can and returns
/// the rest; its room holds at least one prefix.
fn fill<'a, T>(
    mut prefixes: &'a [T],
    out: &mut Vec<u8>,
    mut body: impl FnMut(&'a [T], &mut Vec<u8>) -> &'a [T],
) -> usize {
    let mut messages = 0;
    while !prefixes.is_empty() {
        let start = header::begin(MessageType::Update, out);
        prefixes = body(prefixes, out);
        header::finish(start, out);
        messages += 1;
    }
    messages
}

/// Appends what `content` appends, with its length in two octets before it.
fn sized<T>(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let start = out.len();
    out.extend([0, 0]);
    let result = content(out);
    // Content is cut to the room in a message, which is less than two octets can count.
    let length = (out.len() - start - 2) as u16;
    out[start..start + 2].copy_from_slice(&length.to_be_bytes());
    result
}

/// Appends MP_REACH_NLRI or MP_UNREACH_NLRI.
fn multiprotocol<T>(
    code: u8,
    family: Family,
    out: &mut Vec<u8>,
    rest_of_value: impl FnOnce(&mut Vec<u8>) -> T,
) -> T {
    out.extend([flag::OPTIONAL | flag::EXTENDED_LENGTH, code]);
    sized(out, |out| {
        out.extend(nlri::afi(family).to_be_bytes());
        out.push(nlri::UNICAST);
        rest_of_value(out)
    })
}

/// The next hop field of MP_REACH_NLRI for IPv6 (RFC 2545 §3), put together in `space`.
fn next_hop_field(global: Ipv6Addr, link_local: Option<Ipv6Addr>, space: &mut [u8; 32]) -> &[u8] {
    space[..16].copy_from_slice(&global.octets());
    let Some(link_local) = link_local else { return &space[..16] };
    space[16..].copy_from_slice(&link_local.octets());
    space
}
