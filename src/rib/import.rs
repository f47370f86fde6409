//! Import: which received paths may take part in the decision (RFC 4271 §9.1.2, RFC 8212).
//!
//! A rejected path is kept, marked with its reason, so that a change of policy judges it again
//! without asking the peer.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::path::Rejection;
use super::policy::Policy;
use crate::bgp::PathAttributes;
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
    /// What the peer is allowed to announce.
    pub policy: &'a Policy,
}

impl Import<'_> {
    /// Why the path must not be used, if so. Loops come before policy: they are never a matter of
    /// taste.
    pub fn judge(&self, prefix: Prefix, attributes: &PathAttributes) -> Option<Rejection> {
        if attributes.as_path.contains(self.local_asn) {
            return Some(Rejection::AsLoop);
        }
        if attributes.originator_id == Some(self.router_id) {
            return Some(Rejection::OriginatorLoop);
        }
        if attributes.cluster_list.contains(&self.cluster_id) {
            return Some(Rejection::ClusterLoop);
        }
        if self.addresses.contains(&attributes.next_hop) {
            return Some(Rejection::OwnNextHop);
        }
        if self.is_protected(prefix) {
            return Some(Rejection::Protected);
        }
        (!self.policy.accepts(prefix)).then_some(Rejection::ImportPolicy)
    }

    /// Looks for a protected prefix that covers this one, from the nearest in order to ever shorter
    /// ones. Whatever covers `prefix` and stands before the one found covers that one too, and so
    /// their common part: one or two steps for a prefix that nothing covers, however many are
    /// protected.
    fn is_protected(&self, prefix: Prefix) -> bool {
        let mut before = prefix;
        while let Some(found) = self.protected.range(..=before).next_back() {
            if found.contains(prefix) {
                return true;
            }
            let Some(common) = found.common(prefix) else { return false };
            before = common;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::AsPath;
    use crate::rib::policy::PrefixRule;

    fn judge(prefix: &str, change: impl FnOnce(&mut PathAttributes)) -> Option<Rejection> {
        let mut attributes = PathAttributes {
            as_path: AsPath::sequence([65000]),
            ..PathAttributes::originated("192.168.1.1".parse().unwrap())
        };
        change(&mut attributes);
        let any = PrefixRule { prefix: "0.0.0.0/0".parse().unwrap(), ge: 0, le: 32 };
        Import {
            local_asn: 64512,
            router_id: Ipv4Addr::new(192, 168, 1, 11),
            cluster_id: Ipv4Addr::new(192, 168, 1, 11),
            addresses: &["192.168.1.11".parse().unwrap()],
            protected: &["10.244.1.0/24", "192.168.1.12/32"].map(|p| p.parse().unwrap()).into(),
            policy: &Policy { accept: vec![any] },
        }
        .judge(prefix.parse().unwrap(), &attributes)
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
            judge("172.16.0.0/24", |a| a.originator_id = Some(own_id)),
            Some(Rejection::OriginatorLoop)
        );
        assert_eq!(judge("172.16.0.0/24", |a| a.cluster_list = vec![own_id]), Some(Rejection::ClusterLoop));
        assert_eq!(judge("172.16.0.0/24", |a| a.next_hop = own_id.into()), Some(Rejection::OwnNextHop));
        assert_eq!(judge("fd00::/64", |_| ()), Some(Rejection::ImportPolicy));
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
        let policy = Policy::default();
        let (router_id, cluster_id) = (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
        let import = Import {
            local_asn: 1,
            router_id,
            cluster_id,
            addresses: &[],
            protected: &protected,
            policy: &policy,
        };
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
            assert_eq!(import.is_protected(text.parse().unwrap()), covered, "{text}");
        }
    }
}
