//! Ranges of addresses that dynamic peers come from: what they must not be.

use std::collections::BTreeMap;

use super::super::{Findings, Local};
use crate::prefix::Prefix;
use crate::speaker::intent::{PeerIntent, RangeIntent};

/// Notes ranges that cannot be told from another, that nobody can come from, or whose password the
/// kernel would ask of somebody else too.
pub(super) fn check(
    local: &Local<'_>,
    peers: &BTreeMap<String, PeerIntent>,
    ranges: &BTreeMap<String, RangeIntent>,
    findings: &mut Findings,
) {
    for (i, (name, range)) in ranges.iter().enumerate() {
        let object = format!("BgpPeer {name}");
        let listens = local.settings.listen.addresses.iter();
        if !listens.into_iter().any(|address| address.is_ipv4() == range.range.address().is_ipv4()) {
            let text = "nobody can connect from it: this node listens on no address of that family";
            findings.warning(&object, "spec.range", text);
        }
        let twins = ranges.iter().take(i).filter(|(_, other)| are_one(range, other));
        for (first, _) in twins {
            let text = format!(
                "{} is also the range of BgpPeer {first}, and no sourceAddress tells them apart",
                range.range
            );
            findings.error(&object, "spec.range", text);
        }
        if range.template.password.is_some() {
            for (peer, text) in bystanders(range, peers, ranges) {
                findings.warning(format!("BgpPeer {peer}"), "spec.passwordSecretRef", text(name));
            }
        }
    }
}

fn are_one(a: &RangeIntent, b: &RangeIntent) -> bool {
    let sources = (a.template.source, b.template.source);
    a.range == b.range && (sources.0 == sources.1 || sources.0.is_none() || sources.1.is_none())
}

/// Peers and ranges inside a range with a password that have none themselves, each with what is to be
/// said of it. The kernel knows keys by address alone and no exceptions from them.
fn bystanders<'a>(
    range: &'a RangeIntent,
    peers: &'a BTreeMap<String, PeerIntent>,
    ranges: &'a BTreeMap<String, RangeIntent>,
) -> impl Iterator<Item = (&'a String, impl Fn(&str) -> String)> {
    let inside =
        |prefix: Prefix, other: &PeerIntent| range.range.contains(prefix) && other.password.is_none();
    let peers = peers.iter().map(|(name, peer)| (name, Prefix::host(peer.address), peer));
    let ranges = ranges.iter().map(|(name, range)| (name, range.range, &range.template));
    peers.chain(ranges).filter(move |(_, prefix, other)| inside(*prefix, other)).map(|(name, prefix, _)| {
        let text = move |range: &str| {
            format!(
                "none is given, but {prefix} lies in BgpPeer {range}, which has one: the kernel asks it of \
                 whoever connects from there"
            )
        };
        (name, text)
    })
}
