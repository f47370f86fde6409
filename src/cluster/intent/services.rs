//! Addresses of Services to announced prefixes: what the `BgpAdvertisement`s mean.
//!
//! Three questions, one after the other. Which addresses do the advertisements claim, and as which
//! prefixes (`claims`)? Which endpoints can packets be handed to, and where are they (`endpoints`)? And
//! so, which node announces which prefix, with what ([`advertise`], [`advertisers`])?
//!
//! # Who announces
//!
//! A selected node announces an address while the Service has an endpoint of the address's family: a ready
//! one or, where none is ready anywhere, one that terminates and still serves. With the traffic policy
//! `Local` (`externalTrafficPolicy` for load balancer and external addresses, `internalTrafficPolicy`
//! for cluster addresses) only nodes do that have such an endpoint themselves.
//!
//! Kubernetes draws the same line for load balancers: its health check of a node fails as soon as no
//! ready endpoint is left there, while kube-proxy goes on handing packets to those that terminate (KEP-1669).
//! So the last pod of a node has its grace period for routers to turn elsewhere; and if there is no
//! elsewhere, what still serves is used to the end. With the policy `Cluster`, too, an address that nobody
//! answers is not announced, as MetalLB has it: another site may answer.
//!
//! # What becomes one route
//!
//! Claims that come to the same prefix on a node are originated once: with the communities of all of them,
//! the highest of the local preferences they give, the sum of what weights they ask for, and told to
//! whomever any of them tells it to. An address that one advertisement aggregates and another does not is
//! announced both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod claims;
mod endpoints;
#[cfg(test)]
mod tests;
mod told;

pub(super) use told::warn_of_untold;

use self::claims::{Advertisement, Claim, Claims};
use super::Findings;
use crate::bgp::{Community, LargeCommunity};
use crate::cluster::objects::{NamespacedName, Node, ObjectSet};
use crate::prefix::{Family, Prefix};
use crate::speaker::intent::{Origination, Originations, Scope, Scopes};

/// What the advertisements mean for one node.
pub(super) struct Advertised {
    /// What it originates.
    pub(super) originated: Originations,
    /// What any node may originate, save what is protected everywhere.
    pub(super) scopes: Scopes,
    /// What it originates, and no other node of those that stay.
    pub(super) last_announced: BTreeSet<Prefix>,
    /// Names of `BgpPeer`s that advertisements tell of something.
    pub(super) named: BTreeSet<String>,
    /// Prefixes that it originates, by advertisement.
    pub(super) by_advertisement: BTreeMap<String, BTreeSet<Prefix>>,
}

/// Derives what the node originates. `service_cidrs` are accepted from nobody, and so not exchanged either.
pub(super) fn advertise(
    objects: &ObjectSet,
    (name, node): (&str, &Node),
    service_cidrs: &[Prefix],
    findings: &mut Findings,
) -> Advertised {
    let claims = Claims::of(objects, &mut |object, field, text| findings.warning(object, field, text));
    for advertisement in &claims.advertisements {
        warn_of_slips(advertisement, objects, findings);
    }
    let mut drafts: BTreeMap<Prefix, Draft<'_>> = BTreeMap::new();
    let mut scopes = Scopes::new();
    let mut by_advertisement: BTreeMap<String, BTreeSet<Prefix>> = BTreeMap::new();
    let selects: Vec<bool> = claims.advertisements.iter().map(|a| a.selects(node)).collect();
    for claim in &claims.claims {
        let advertisement = &claims.advertisements[claim.advertisement];
        if !service_cidrs.iter().any(|cidr| cidr.contains(claim.prefix)) {
            share(&mut scopes, claim.prefix, &advertisement.scope);
        }
        if selects[claim.advertisement] && claim.is_answered_on(name) {
            drafts.entry(claim.prefix).or_default().add(claim, advertisement, name);
            let prefixes = by_advertisement.entry(advertisement.name.to_owned()).or_default();
            prefixes.insert(claim.prefix);
        }
    }
    let stays = |other: &str| objects.nodes.get(other).is_some_and(Node::stays);
    let last_announced = alone(&claims, objects, (name, node), stays).into_keys().collect();
    let originated = drafts.into_iter().map(|(prefix, draft)| (prefix, Arc::new(draft.finish(prefix))));
    let scoped = claims.advertisements.iter().filter_map(|a| a.scope.peers.as_ref());
    let named = scoped.flatten().cloned().collect();
    Advertised { originated: originated.collect(), scopes, last_announced, named, by_advertisement }
}

/// Which nodes announce each prefix that is announced for addresses of Services: for whoever is about to
/// take a node away, and would rather not take the last one.
///
/// Pure, and as the objects have it: a node that is named here may not have come to announce the prefix
/// yet, and one that leaves is named, though it lets go of what another announces, too.
pub fn advertisers(objects: &ObjectSet) -> BTreeMap<Prefix, BTreeSet<String>> {
    let claims = Claims::of(objects, &mut |_, _, _| ());
    let mut advertisers: BTreeMap<Prefix, BTreeSet<String>> = BTreeMap::new();
    let selected: Vec<BTreeSet<&str>> =
        claims.advertisements.iter().map(|a| a.selected(&objects.nodes).collect()).collect();
    for claim in &claims.claims {
        let names = claim.answered_on(&selected[claim.advertisement]).into_iter().map(str::to_owned);
        advertisers.entry(claim.prefix).or_default().extend(names);
    }
    advertisers.retain(|_, nodes| !nodes.is_empty());
    advertisers
}

/// The prefixes that `node` announces and no other node for which `stays` holds, each with the Services
/// that are behind it: what would be announced by nobody were the node to leave now. Empty where there is
/// no such Node. Costs less than [`advertisers`], as it looks no further than the first other node.
pub fn announced_by_none_but(
    objects: &ObjectSet,
    node: &str,
    stays: impl Fn(&str) -> bool,
) -> BTreeMap<Prefix, BTreeSet<NamespacedName>> {
    let Some(object) = objects.nodes.get(node) else { return BTreeMap::new() };
    alone(&Claims::of(objects, &mut |_, _, _| ()), objects, (node, object), stays)
}

fn alone(
    claims: &Claims<'_>,
    objects: &ObjectSet,
    (node, object): (&str, &Node),
    stays: impl Fn(&str) -> bool,
) -> BTreeMap<Prefix, BTreeSet<NamespacedName>> {
    let others: Vec<BTreeSet<&str>> = (claims.advertisements.iter())
        .map(|a| a.selected(&objects.nodes).filter(|other| *other != node && stays(other)).collect())
        .collect();
    let mut alone: BTreeMap<Prefix, BTreeSet<NamespacedName>> = BTreeMap::new();
    let selects: Vec<bool> = claims.advertisements.iter().map(|a| a.selects(object)).collect();
    for claim in claims.claims.iter().filter(|claim| selects[claim.advertisement]) {
        if claim.is_answered_on(node) {
            alone.entry(claim.prefix).or_default().insert(claim.service.clone());
        }
    }
    for claim in &claims.claims {
        if alone.contains_key(&claim.prefix) && claim.is_answered_on_any(&others[claim.advertisement]) {
            alone.remove(&claim.prefix);
        }
    }
    alone
}

/// Adds a scope to what is known of a prefix. Most have one alone, which they share.
fn share(scopes: &mut Scopes, prefix: Prefix, scope: &Arc<Scope>) {
    let known = scopes.entry(prefix).or_insert_with(|| scope.clone());
    if *known != *scope {
        *known = Arc::new(known.union(scope));
    }
}

fn warn_of_slips(advertisement: &Advertisement<'_>, objects: &ObjectSet, findings: &mut Findings) {
    let object = || format!("BgpAdvertisement {}", advertisement.name);
    if advertisement.spec.service_selector.is_none() {
        let text = "is absent, so that no Service is selected; {} selects all";
        findings.warning(object(), "spec.serviceSelector", text);
    }
    for (i, peer) in advertisement.spec.peers.iter().flatten().enumerate() {
        if !objects.peers.contains_key(peer) {
            findings.warning(object(), &format!("spec.peers[{i}]"), format!("there is no BgpPeer {peer}"));
        }
    }
}

/// What is to be originated for one prefix, while claims to it are gathered.
#[derive(Default)]
struct Draft<'a> {
    scope: Option<Scope>,
    communities: BTreeSet<Community>,
    large_communities: BTreeSet<LargeCommunity>,
    local_pref: Option<u32>,
    /// Endpoints by Service: one is counted once, whichever of its addresses and advertisements are here.
    weights: BTreeMap<&'a NamespacedName, u32>,
}

impl<'a> Draft<'a> {
    fn add(&mut self, claim: &Claim<'a>, advertisement: &Advertisement<'_>, node: &str) {
        let spec = advertisement.spec;
        match &mut self.scope {
            Some(scope) if *scope == *advertisement.scope => {}
            Some(scope) => *scope = scope.union(&advertisement.scope),
            None => self.scope = Some((*advertisement.scope).clone()),
        }
        self.communities.extend(spec.communities.iter().flatten().map(|text| Community(text.0)));
        self.large_communities.extend(spec.large_communities.iter().flatten().map(|text| text.0));
        self.local_pref = self.local_pref.max(spec.local_preference);
        if spec.weight_by_endpoints == Some(true) {
            self.weights.entry(claim.service).or_insert_with(|| claim.endpoints_on(node));
        }
    }

    fn finish(self, prefix: Prefix) -> Origination {
        let bits = match prefix.family() {
            Family::Ipv4Unicast => 32,
            Family::Ipv6Unicast => 128,
        };
        // Without an endpoint it serves all the same, and nothing would come by a weight of zero.
        let weight = self.weights.values().fold(0u32, |sum, weight| sum.saturating_add(*weight)).max(1);
        Origination {
            scope: self.scope.unwrap_or(Scope { mesh: false, peers: Some(BTreeSet::new()) }),
            communities: self.communities.into_iter().collect(),
            large_communities: self.large_communities.into_iter().collect(),
            local_pref: self.local_pref,
            weight: (!self.weights.is_empty()).then_some(weight),
            aggregate: prefix.length() < bits,
        }
    }
}
