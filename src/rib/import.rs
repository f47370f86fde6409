//! Import: which received paths may take part in the decision, and as what (RFC 4271 §9.1.2,
//! RFC 8212, RFC 8326, RFC 7999, RFC 9774).
//!
//! A rejected path is kept, marked with its reason, and of a changed one what was received is kept
//! too, so that a change of policy judges it again without asking the peer.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Interner;
use super::anycast::Scopes;
use super::as_path_rules::AsPathRules;
use super::only_to_customer::OnlyToCustomer;
use super::path::{Path, Rejection, Source};
use super::policy::{Changes, Judged, Policy};
use super::well_known::{BLACKHOLE, GRACEFUL_SHUTDOWN, NO_ADVERTISE, NO_EXPORT, bears};
use crate::bgp::{PathAttributes, PathId};
use crate::prefix::Prefix;

/// What import depends on besides the path.
#[derive(Debug, Clone, Copy)]
pub struct Import<'a> {
    /// The local AS.
    pub local_asn: u32,
    /// The local BGP identifier.
    pub router_id: Ipv4Addr,
    /// The local cluster id (RFC 4456 §7).
    pub cluster_id: Ipv4Addr,
    /// Our own addresses: never somebody else's next hop.
    pub addresses: &'a [IpAddr],
    /// Prefixes that nobody may announce to us, more specific ones included.
    pub protected: &'a BTreeSet<Prefix>,
    /// The peer belongs to another AS.
    pub external: bool,
    /// What AS_PATHs of the peer may contain.
    pub as_path: AsPathRules,
    /// The peer may ask for packets to be discarded (RFC 7999).
    pub accept_blackhole: bool,
    /// What the peer's role makes of routes for customers only.
    pub only_to_customer: OnlyToCustomer,
    /// What the peer is allowed to announce, and what is changed about it.
    pub policy: &'a Policy,
    /// Anycast prefixes that it may announce, too, if they are for the mesh.
    pub anycast: Option<&'a Scopes>,
}

/// An announcement on its way in. What concerns its attributes alone is looked at once; and since its
/// prefixes mostly undergo the same changes, so is what becomes of them.
#[derive(Debug)]
pub struct Arrival<'a> {
    import: Import<'a>,
    source: Source,
    received: Arc<PathAttributes>,
    /// The policy as far as the attributes go, or why there is no asking it.
    policy: Result<Judged<'a>, Rejection>,
    /// What the prefix now looked at is to undergo.
    changes: Changes<'a>,
    /// The changes that were last made, and what came of them if that differs from what was received.
    last: Option<(Changes<'a>, Option<Arc<PathAttributes>>)>,
}

impl Arrival<'_> {
    /// The path that the announcement makes for `prefix`, without path identifiers.
    pub fn path(&mut self, prefix: Prefix, interner: &mut Interner) -> Path {
        let (attributes, received, rejected) = match self.judge(prefix, interner) {
            Err(rejection) => (self.received.clone(), None, Some(rejection)),
            Ok(None) => (self.received.clone(), None, None),
            Ok(Some(changed)) => (changed, Some(self.received.clone()), None),
        };
        Path { path_id: PathId::NONE, told_as: 0, source: self.source, attributes, received, rejected }
    }

    /// What becomes of the attributes, where they are not to stay as received; or why the path must
    /// not be used. Loops come before policy: they are never a matter of taste.
    fn judge(
        &mut self,
        prefix: Prefix,
        interner: &mut Interner,
    ) -> Result<Option<Arc<PathAttributes>>, Rejection> {
        let policy = self.policy.as_ref().map_err(|rejection| *rejection)?;
        if covers(self.import.protected, prefix) {
            return Err(Rejection::Protected);
        }
        if is_multicast(prefix) {
            return Err(Rejection::Multicast);
        }
        if self.import.shares(prefix) {
            self.changes = Changes::default();
        } else if !policy.accepts(prefix, &mut self.changes) {
            return Err(Rejection::ImportPolicy);
        }
        if let Some((last, changed)) = &self.last
            && *last == self.changes
        {
            return Ok(changed.clone());
        }
        let changed = self.import.changed(&self.received, &self.changes);
        let changed = changed.map(|changed| interner.intern(changed));
        self.last = Some((self.changes.clone(), changed.clone()));
        Ok(changed)
    }
}

impl<'a> Import<'a> {
    /// Takes an announcement in.
    pub fn arrival(self, source: Source, received: Arc<PathAttributes>) -> Arrival<'a> {
        let policy = self.refuse(&received).map_or_else(|| Ok(self.policy.judged(&received)), Err);
        Arrival { import: self, source, received, policy, changes: Changes::default(), last: None }
    }

    /// Whether the prefix is one that the peer may announce as well as we.
    fn shares(&self, prefix: Prefix) -> bool {
        let scope = self.anycast.and_then(|scopes| scopes.get(&prefix));
        scope.is_some_and(|scope| scope.mesh)
    }

    /// Why no path with these attributes must be used, if so.
    fn refuse(&self, attributes: &PathAttributes) -> Option<Rejection> {
        if let Some(rejection) = self.as_path.judge(&attributes.as_path, self.local_asn) {
            return Some(rejection);
        }
        if attributes.rare.originator_id == Some(self.router_id) {
            return Some(Rejection::OriginatorLoop);
        }
        if attributes.rare.cluster_list.contains(&self.cluster_id) {
            return Some(Rejection::ClusterLoop);
        }
        if self.addresses.contains(&attributes.next_hop) {
            return Some(Rejection::OwnNextHop);
        }
        if self.only_to_customer.is_leak(attributes) {
            return Some(Rejection::RouteLeak);
        }
        (bears(attributes, BLACKHOLE) && !self.accept_blackhole).then_some(Rejection::Blackhole)
    }

    /// The attributes after policy's changes and what well-known communities ask, if that differs.
    fn changed(&self, received: &PathAttributes, changes: &Changes<'_>) -> Option<PathAttributes> {
        // Most paths stay as they are, and are not copied to find that out.
        let well_known = bears(received, BLACKHOLE) || bears(received, GRACEFUL_SHUTDOWN);
        if changes.is_empty() && !well_known && !self.only_to_customer.marks_received(received) {
            return None;
        }
        let mut attributes = received.clone();
        changes.apply(&mut attributes, received.as_path.neighbor());
        self.obey_well_known(received, &mut attributes);
        self.only_to_customer.mark_received(&mut attributes);
        (attributes != *received).then_some(attributes)
    }

    /// What the communities of a received path ask of whoever receives it, whatever policy has made
    /// of the path.
    fn obey_well_known(&self, received: &PathAttributes, attributes: &mut PathAttributes) {
        // RFC 8326 §4.2: the path is used only until another is there, also where policy would
        // prefer it. Internal peers have been told by whoever heard it from outside.
        if self.external && bears(received, GRACEFUL_SHUTDOWN) {
            attributes.local_pref = Some(0);
        }
        // RFC 7999 §3.2: a blackhole is for the AS it was asked of.
        if bears(received, BLACKHOLE) && !bears(attributes, NO_ADVERTISE) {
            attributes.communities.insert_sorted(NO_EXPORT);
        }
    }
}

/// Whether all of a prefix is multicast: 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291 §2.4).
fn is_multicast(prefix: Prefix) -> bool {
    match prefix {
        Prefix::V4(net) => net.length() >= 4 && net.address().is_multicast(),
        Prefix::V6(net) => net.length() >= 8 && net.address().is_multicast(),
    }
}

/// So few prefixes are looked at one by one sooner than the nearest of them is found.
const FEW: usize = 8;

/// Whether any of `covers` contains `prefix`.
fn covers(covers: &BTreeSet<Prefix>, prefix: Prefix) -> bool {
    if covers.len() <= FEW {
        covers.iter().any(|cover| cover.contains(prefix))
    } else {
        nearest_covers(covers, prefix)
    }
}

/// The same, looking from the nearest in order to ever shorter ones: whatever contains `prefix` and stands
/// before the one found contains that one too, and so their common part. That takes one or two steps for a
/// prefix that nothing covers, however many there are.
fn nearest_covers(covers: &BTreeSet<Prefix>, prefix: Prefix) -> bool {
    let mut before = prefix;
    while let Some(found) = covers.range(..=before).next_back() {
        if found.contains(prefix) {
            return true;
        }
        let Some(common) = found.common(prefix) else { return false };
        before = common;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::{AsPath, Community, ExactList};
    use crate::rib::policy::{Action, PrefixRule, Rule, Set};

    /// What rejects the path when everything but loops and protected prefixes is let in.
    fn judge(prefix: &str, change: impl FnOnce(&mut PathAttributes)) -> Option<Rejection> {
        import(prefix, &any(), change, |_| ()).err()
    }

    fn any() -> Policy {
        Policy::accepting([PrefixRule::within("0.0.0.0/0".parse().unwrap())])
    }

    fn import(
        prefix: &str,
        policy: &Policy,
        change: impl FnOnce(&mut PathAttributes),
        configure: impl FnOnce(&mut Import<'_>),
    ) -> Result<Option<PathAttributes>, Rejection> {
        let mut attributes = PathAttributes {
            as_path: AsPath::sequence([65000]),
            ..PathAttributes::originated("192.168.1.1".parse().unwrap())
        };
        change(&mut attributes);
        let mut import = Import {
            local_asn: 64512,
            router_id: Ipv4Addr::new(192, 168, 1, 11),
            cluster_id: Ipv4Addr::new(192, 168, 1, 11),
            addresses: &["192.168.1.11".parse().unwrap()],
            protected: &["10.244.1.0/24", "192.168.1.12/32"].map(|p| p.parse().unwrap()).into(),
            external: true,
            as_path: AsPathRules::default(),
            accept_blackhole: false,
            only_to_customer: OnlyToCustomer::NONE,
            policy,
            anycast: None,
        };
        configure(&mut import);
        let mut interner = Interner::default();
        let mut arrival = import.arrival(Source::Local, Arc::new(attributes));
        let path = arrival.path(prefix.parse().unwrap(), &mut interner);
        assert_eq!(arrival.path(prefix.parse().unwrap(), &mut interner), path, "remembered or not");
        let changed = path.received.is_some().then(|| (*path.attributes).clone());
        path.rejected.map_or(Ok(changed), Err)
    }

    #[test]
    fn each_reason_for_rejection() {
        let own_id = Ipv4Addr::new(192, 168, 1, 11);
        assert_eq!(judge("172.16.0.0/24", |_| ()), None);
        assert_eq!(
            judge("172.16.0.0/24", |a| a.as_path = AsPath::sequence([65000, 64512])),
            Some(Rejection::AsLoop)
        );
        assert_eq!(
            judge("172.16.0.0/24", |a| a.rare.change(|rare| rare.originator_id = Some(own_id))),
            Some(Rejection::OriginatorLoop)
        );
        assert_eq!(
            judge("172.16.0.0/24", |a| a.rare.change(|rare| rare.cluster_list = [own_id].into())),
            Some(Rejection::ClusterLoop)
        );
        assert_eq!(judge("172.16.0.0/24", |a| a.next_hop = own_id.into()), Some(Rejection::OwnNextHop));
        assert_eq!(judge("fd00::/64", |_| ()), Some(Rejection::ImportPolicy));
    }

    #[test]
    fn multicast_is_no_destination_for_unicast_routes() {
        for prefix in ["224.0.0.0/4", "232.1.0.0/16", "239.255.255.255/32", "ff00::/8", "ff02::1/128"] {
            assert_eq!(judge(prefix, |_| ()), Some(Rejection::Multicast), "{prefix}");
        }
        for prefix in ["0.0.0.0/0", "224.0.0.0/3", "223.255.255.0/24"] {
            assert_eq!(judge(prefix, |_| ()), None, "{prefix}");
        }
    }

    #[test]
    fn protected_prefixes_cover_what_is_inside_but_not_what_is_around() {
        assert_eq!(judge("10.244.1.0/24", |_| ()), Some(Rejection::Protected));
        assert_eq!(judge("10.244.1.128/25", |_| ()), Some(Rejection::Protected));
        assert_eq!(judge("192.168.1.12/32", |_| ()), Some(Rejection::Protected));
        assert_eq!(judge("10.244.0.0/16", |_| ()), None);
        assert_eq!(judge("192.168.1.0/24", |_| ()), None);
    }

    #[test]
    fn protection_is_found_behind_any_number_of_nearer_prefixes() {
        let texts = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.9/32", "10.200.0.0/16", "9.0.0.0/8"];
        let protected: BTreeSet<Prefix> = texts.map(|p| p.parse().unwrap()).into();
        for (covered, text) in [
            (true, "10.1.3.0/24"),
            (true, "10.255.0.0/24"),
            (true, "10.1.2.200/32"),
            (true, "9.255.0.0/16"),
            (false, "11.0.0.0/8"),
            (false, "8.0.0.0/7"),
            (false, "0.0.0.0/0"),
            (false, "fd00::/64"),
        ] {
            let prefix = text.parse().unwrap();
            assert_eq!(covers(&protected, prefix), covered, "{text}");
            assert_eq!(nearest_covers(&protected, prefix), covered, "{text}");
        }
    }

    #[test]
    fn graceful_shutdown_from_outside_outdoes_policy() {
        let prefer = |local_pref| Policy {
            rules: vec![Rule {
                set: Set { local_pref, ..Set::default() },
                action: Some(Action::Accept),
                ..Rule::default()
            }],
        };
        let (preferred, as_is) = (prefer(Some(200)), prefer(None));
        let local_pref = |leaving: bool, external, policy| {
            let communities = if leaving { [GRACEFUL_SHUTDOWN].into() } else { ExactList::EMPTY };
            let path =
                import("10.0.0.0/8", policy, |a| a.communities = communities, |i| i.external = external);
            path.unwrap().and_then(|changed| changed.local_pref)
        };
        assert_eq!(local_pref(false, true, &preferred), Some(200));
        assert_eq!(local_pref(true, true, &preferred), Some(0));
        assert_eq!(local_pref(true, false, &preferred), Some(200));
        assert_eq!(local_pref(true, false, &as_is), None);
        assert_eq!(local_pref(true, true, &as_is), Some(0));
    }

    #[test]
    fn a_blackhole_is_for_peers_who_may_and_goes_no_further() {
        let path = |communities: &[Community], accept_blackhole| {
            let bearing = |a: &mut PathAttributes| a.communities = communities.to_vec().into();
            import("10.0.0.1/32", &any(), bearing, |i| i.accept_blackhole = accept_blackhole)
        };
        assert_eq!(path(&[BLACKHOLE], false), Err(Rejection::Blackhole));
        assert_eq!(path(&[BLACKHOLE], true).unwrap().unwrap().communities, [BLACKHOLE, NO_EXPORT]);
        assert_eq!(path(&[BLACKHOLE, NO_ADVERTISE], true), Ok(None), "told to nobody anyway");
    }
}
