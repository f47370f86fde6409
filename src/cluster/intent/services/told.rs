//! Whether anybody is told of what is advertised: external peers are told what their `export` accepts, and
//! nothing else (RFC 8212).

use std::collections::{BTreeMap, BTreeSet};

use super::Advertised;
use crate::bgp::PathAttributes;
use crate::cluster::intent::Findings;
use crate::prefix::Prefix;
use crate::speaker::intent::{Exchange, PeerIntent, PeerOrigin, RangeIntent, Scope};

/// Warns of prefixes that an advertisement has the node originate and that it then tells none of its
/// `BgpPeer`s. A node without any is content with the mesh.
pub(in crate::cluster::intent) fn warn_of_untold(
    advertised: &Advertised,
    peers: &BTreeMap<String, PeerIntent>,
    ranges: &BTreeMap<String, RangeIntent>,
    findings: &mut Findings,
) {
    let configured: Vec<(&String, &PeerIntent)> = (peers.iter())
        .filter(|(_, peer)| peer.origin == PeerOrigin::Configured)
        .chain(ranges.iter().map(|(name, range)| (name, &range.template)))
        .collect();
    let mesh = peers.values().any(|peer| peer.anycast != Exchange::ByPolicy);
    for (name, prefixes) in &advertised.by_advertisement {
        let mut untold: Vec<Prefix> = vec![];
        let mut refusing: BTreeSet<&str> = BTreeSet::new();
        for prefix in prefixes {
            let Some(own) = advertised.originated.get(prefix) else { continue };
            let in_mesh = mesh && own.scope.mesh && advertised.scopes.contains_key(prefix);
            let meant: Vec<_> = configured.iter().filter(|(name, _)| tells(&own.scope, name)).collect();
            if meant.is_empty() && in_mesh || meant.iter().any(|(_, peer)| accepts(peer, *prefix)) {
                continue;
            }
            untold.push(*prefix);
            refusing.extend(meant.iter().map(|(name, _)| name.as_str()));
        }
        let Some(first) = untold.first() else { continue };
        let what = match untold.len() {
            1 => first.to_string(),
            more => format!("{first} and {} more", more - 1),
        };
        let text = if refusing.is_empty() {
            format!("{what}: there is no peer to tell")
        } else {
            let names: Vec<&str> = refusing.into_iter().collect();
            format!(
                "{what}: no peer is told, for spec.export of BgpPeer {} does not accept it",
                names.join(", ")
            )
        };
        findings.warning(format!("BgpAdvertisement {name}"), "", text);
    }
}

fn tells(scope: &Scope, name: &str) -> bool {
    scope.peers.as_ref().is_none_or(|peers| peers.contains(name))
}

fn accepts(peer: &PeerIntent, prefix: Prefix) -> bool {
    peer.families.contains(&prefix.family())
        && peer.export.judge(prefix, &PathAttributes::originated(prefix.address())).is_some()
}
