//! Names and hardware addresses of veth pairs.

use crate::ipam::Owner;
use crate::kernel::digest::fnv1a;

/// Name of the host end for one attachment to one network: `veth` and eleven hexadecimal digits, the
/// most that fits into the kernel's fifteen octets.
///
/// It follows from the attachment alone, so that a DEL finds the interface without the namespace and
/// without the result of the ADD. Eleven digits are 44 bits: among 1,000 pods of a node the odds that
/// any two share a name are 3 in 100 million, and then the second ADD fails, as the name is taken.
pub fn name(network: &str, owner: &Owner) -> String {
    format!("veth{:011x}", digest_of(network, owner) >> 20)
}

/// Whether an interface of that name may be the host end of an attachment of ours.
pub fn is_name(name: &str) -> bool {
    let digits = name.strip_prefix("veth").unwrap_or_default();
    digits.len() == 11 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Hardware addresses of the host end and of the pod's end.
///
/// They follow from the attachment as well, and are set when the pair is made: an address that was chosen
/// by the kernel would be changed by udev a moment later (systemd.link(5), `MACAddressPolicy=`), when the
/// runtime has been told it. 45 bits, and container ids are unique in the world.
pub fn macs(network: &str, owner: &Owner) -> ([u8; 6], [u8; 6]) {
    // Of a station, locally administered (IEEE 802): the two lowest bits of the first octet are 0 and 1.
    let [_, _, first, rest @ ..] = digest_of(network, owner).rotate_left(32).to_be_bytes();
    let [a, b, c, d, e] = rest;
    // The ends differ in one bit.
    ([first & !7 | 2, a, b, c, d, e], [first & !7 | 6, a, b, c, d, e])
}

/// Name of the end on the bridge, and hardware addresses of both, of the pair that leads to a VLAN's gateway
/// interface.
pub fn of_gateway(bridge: &str, vlan: u16) -> (String, ([u8; 6], [u8; 6])) {
    // No container's id is empty.
    let owner = Owner { container_id: String::new(), interface: vlan.to_string() };
    (name(bridge, &owner), macs(bridge, &owner))
}

fn digest_of(network: &str, owner: &Owner) -> u64 {
    // Neither a network name nor a container id nor an interface name can hold a zero octet.
    digest([network, &owner.container_id, &owner.interface].join("\0").as_bytes())
}

/// FNV-1a, finished by the mixer of SplitMix64, as the high bits of plain FNV depend little on the last octets.
/// Both are fixed for ever: a name must outlive an upgrade.
fn digest(bytes: &[u8]) -> u64 {
    let mut hash = fnv1a(bytes);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
