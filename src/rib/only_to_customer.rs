//! The ONLY_TO_CUSTOMER attribute: routes that have gone down or sideways must not go up again
//! (RFC 9234 §5).
//!
//! Whoever takes a route from a provider, a peer or a route server marks it, and so does whoever gives
//! it to a customer, a peer or a route server's client. A marked route may go to customers only. The
//! role is what the configuration says, whether or not the peer has one.

use crate::bgp::{PathAttributes, Role};

/// What the rules depend on for one peer. Without a role there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnlyToCustomer {
    /// What we are to the peer; always `None` for an internal one.
    pub role: Option<Role>,
    /// The AS that we show the peer.
    pub local_asn: u32,
    /// The AS that the peer shows.
    pub peer_asn: u32,
}

impl OnlyToCustomer {
    /// No rules.
    pub const NONE: OnlyToCustomer = OnlyToCustomer { role: None, local_asn: 0, peer_asn: 0 };

    /// Whether a received path is a leak (RFC 9234 §5, ingress rules 1 and 2).
    pub fn is_leak(&self, attributes: &PathAttributes) -> bool {
        let Some(marked_by) = attributes.rare.only_to_customer else { return false };
        match self.role {
            Some(Role::Provider | Role::RouteServer) => true,
            Some(Role::Peer) => marked_by != self.peer_asn,
            Some(Role::Customer | Role::RouteServerClient) | None => false,
        }
    }

    /// Whether [`OnlyToCustomer::mark_received`] would change anything.
    pub fn marks_received(&self, attributes: &PathAttributes) -> bool {
        let from_above = matches!(self.role, Some(Role::Customer | Role::Peer | Role::RouteServerClient));
        from_above && attributes.rare.only_to_customer.is_none()
    }

    /// Marks a received path where the peer should have done so (ingress rule 3).
    pub fn mark_received(&self, attributes: &mut PathAttributes) {
        if self.marks_received(attributes) {
            attributes.rare.change(|rare| rare.only_to_customer = Some(self.peer_asn));
        }
    }

    /// Whether a path may not be told to the peer (egress rule 2).
    pub fn forbids(&self, attributes: &PathAttributes) -> bool {
        let up_or_sideways = matches!(self.role, Some(Role::Customer | Role::Peer | Role::RouteServerClient));
        up_or_sideways && attributes.rare.only_to_customer.is_some()
    }

    /// Marks a path that is told to the peer (egress rule 1). A mark that is there stays.
    pub fn mark_told(&self, attributes: &mut PathAttributes) {
        let downwards = matches!(self.role, Some(Role::Provider | Role::Peer | Role::RouteServer));
        if downwards && attributes.rare.only_to_customer.is_none() {
            attributes.rare.change(|rare| rare.only_to_customer = Some(self.local_asn));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::RareAttributes;

    const US: u32 = 64512;
    const PEER: u32 = 65000;
    const OTHER: u32 = 65001;

    fn path(only_to_customer: Option<u32>) -> PathAttributes {
        PathAttributes {
            rare: RareAttributes { only_to_customer, ..RareAttributes::NONE }.into(),
            ..PathAttributes::originated("192.0.2.1".parse().expect("an address"))
        }
    }

    /// Our role; whether a path that the peer has marked, and one that another AS has, is a leak; the
    /// mark that an unmarked path gets when it arrives and when it is told; whether a marked one is.
    type Row = (Option<Role>, [bool; 2], Option<u32>, Option<u32>, bool);

    const TABLE: [Row; 6] = [
        (None, [false, false], None, None, true),
        (Some(Role::Provider), [true, true], None, Some(US), true),
        (Some(Role::RouteServer), [true, true], None, Some(US), true),
        (Some(Role::Customer), [false, false], Some(PEER), None, false),
        (Some(Role::RouteServerClient), [false, false], Some(PEER), None, false),
        (Some(Role::Peer), [false, true], Some(PEER), Some(US), false),
    ];

    #[test]
    fn every_role_in_both_directions() {
        for (role, leaks, received, told, passes) in TABLE {
            let rules = OnlyToCustomer { role, local_asn: US, peer_asn: PEER };
            assert!(!rules.is_leak(&path(None)), "{role:?}");
            let found = [PEER, OTHER].map(|asn| rules.is_leak(&path(Some(asn))));
            assert_eq!(found, leaks, "{role:?}");
            let mut unmarked = path(None);
            rules.mark_received(&mut unmarked);
            assert_eq!(unmarked.rare.only_to_customer, received, "{role:?}");
            let mut unmarked = path(None);
            assert!(!rules.forbids(&unmarked), "{role:?}");
            rules.mark_told(&mut unmarked);
            assert_eq!(unmarked.rare.only_to_customer, told, "{role:?}");
            let mut marked = path(Some(OTHER));
            assert_eq!(!rules.forbids(&marked), passes, "{role:?}");
            rules.mark_received(&mut marked);
            rules.mark_told(&mut marked);
            assert_eq!(marked, path(Some(OTHER)), "a mark stays as it is");
        }
    }
}
