//! Well-known communities that this speaker obeys (IANA, BGP Well-known Communities).

use crate::bgp::{Community, PathAttributes};

/// The path is about to go away: prefer any other (RFC 8326 §4).
pub const GRACEFUL_SHUTDOWN: Community = Community(0xffff_0000);
/// Packets to the prefix are to be discarded (RFC 7999 §2).
pub const BLACKHOLE: Community = Community(0xffff_029a);
/// Kept beyond its peer's restart: use any other path before it (RFC 9494 §4.3).
pub const LLGR_STALE: Community = Community(0xffff_0006);
/// Not to be kept beyond its peer's restart (RFC 9494 §4.2).
pub const NO_LLGR: Community = Community(0xffff_0007);
/// Not to be announced to external peers (RFC 1997).
pub const NO_EXPORT: Community = Community(0xffff_ff01);
/// Not to be announced to anyone (RFC 1997).
pub const NO_ADVERTISE: Community = Community(0xffff_ff02);
/// Not to be announced to external peers, other members of a confederation included (RFC 1997).
pub const NO_EXPORT_SUBCONFED: Community = Community(0xffff_ff03);

/// The same attributes with a community more.
pub fn marked(attributes: &PathAttributes, community: Community) -> PathAttributes {
    let mut marked = attributes.clone();
    marked.communities.insert_sorted(community);
    marked
}

/// Whether a path bears a community.
pub fn bears(attributes: &PathAttributes, community: Community) -> bool {
    attributes.communities.contains(&community)
}
