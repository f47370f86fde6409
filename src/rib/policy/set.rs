//! What a rule changes about a path.

use std::collections::BTreeSet;

use super::AnyCommunity;
use crate::bgp::{ExactList, ExtendedCommunity, ExtendedKind, PathAttributes};

/// Changes to a path's attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Set {
    /// LOCAL_PREF. Means nothing towards an external peer, who is never sent one (RFC 4271 §5.1.5).
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// Communities that are taken away.
    pub remove_communities: BTreeSet<AnyCommunity>,
    /// Communities that are added, after the others have been taken away.
    pub add_communities: BTreeSet<AnyCommunity>,
    /// How many more times the nearest AS stands in front of the AS_PATH: the peer's on import, our
    /// own on export.
    pub prepend: u8,
}

impl Set {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        // Field by field: every prefix asks, and a set to compare with would be made for each.
        let Set { local_pref, med, remove_communities, add_communities, prepend } = self;
        let numbers = local_pref.is_none() && med.is_none() && *prepend == 0;
        numbers && remove_communities.is_empty() && add_communities.is_empty()
    }

    /// Makes the changes.
    pub(super) fn apply(&self, attributes: &mut PathAttributes, nearest: Option<u32>) {
        if self.local_pref.is_some() {
            attributes.local_pref = self.local_pref;
        }
        if self.med.is_some() {
            attributes.med = self.med;
        }
        if !self.remove_communities.is_empty() {
            let removed = |community| self.remove_communities.contains(&community);
            attributes.communities.retain(|c| !removed(AnyCommunity::Plain(*c)));
            attributes.rare.change(|rare| {
                rare.large_communities.retain(|c| !removed(AnyCommunity::Large(*c)));
                rare.extended_communities.retain(|octets| {
                    let community = ExtendedCommunity(*octets);
                    let kind = community.kind();
                    !removed(AnyCommunity::Extended(community))
                        && !kind.is_some_and(|kind| removed(AnyCommunity::Kind(kind)))
                });
            });
        }
        for community in &self.add_communities {
            match community {
                AnyCommunity::Plain(community) => attributes.communities.insert_sorted(*community),
                AnyCommunity::Large(community) => {
                    attributes.rare.change(|rare| rare.large_communities.insert_sorted(*community));
                }
                AnyCommunity::Extended(community) => {
                    attributes.rare.change(|rare| add_extended(&mut rare.extended_communities, *community));
                }
                AnyCommunity::Kind(_) => {}
            }
        }
        if let Some(asn) = nearest.filter(|_| self.prepend > 0) {
            attributes.as_path = attributes.as_path.prepended(asn, usize::from(self.prepend));
        }
    }
}

/// Adds an extended community. A path says one link bandwidth at most
/// (draft-ietf-idr-link-bandwidth §3), so that one which is added stands in the place of others.
fn add_extended(list: &mut ExactList<[u8; 8]>, community: ExtendedCommunity) {
    if community.kind() == Some(ExtendedKind::LinkBandwidth) {
        list.retain(|octets| ExtendedCommunity(*octets).kind() != Some(ExtendedKind::LinkBandwidth));
    }
    list.insert_sorted(community.0);
}
