//! BGP roles: what two ASes are to each other (RFC 9234 §4).
//!
//! Owns the roles and which of them fit together. The capability is in [`super::capability`], what
//! follows for routes in `rib`.

use std::fmt;

/// What a speaker is to its peer (RFC 9234 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Gives transit to the peer.
    Provider = 0,
    /// A route server.
    RouteServer = 1,
    /// A client of the peer's route server.
    RouteServerClient = 2,
    /// Takes transit from the peer.
    Customer = 3,
    /// Exchanges its own and its customers' routes with the peer.
    Peer = 4,
}

impl Role {
    /// Every role, in the order of its number on the wire.
    pub const ALL: [Role; 5] =
        [Role::Provider, Role::RouteServer, Role::RouteServerClient, Role::Customer, Role::Peer];

    /// The role of that number (RFC 9234 §4.1).
    pub fn of(number: u8) -> Option<Role> {
        Role::ALL.get(usize::from(number)).copied()
    }

    /// The role the other side must have (RFC 9234 §4.2, Table 2).
    pub fn counterpart(self) -> Role {
        match self {
            Role::Provider => Role::Customer,
            Role::Customer => Role::Provider,
            Role::RouteServer => Role::RouteServerClient,
            Role::RouteServerClient => Role::RouteServer,
            Role::Peer => Role::Peer,
        }
    }
}

impl fmt::Display for Role {
    /// As in the manifest: `rsClient`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Provider => "provider",
            Role::RouteServer => "rs",
            Role::RouteServerClient => "rsClient",
            Role::Customer => "customer",
            Role::Peer => "peer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_registry_and_counterparts_agree() {
        for (number, role) in (0..).zip(Role::ALL) {
            assert_eq!((role as u8, Role::of(number)), (number, Some(role)));
            assert_eq!(role.counterpart().counterpart(), role);
        }
        assert_eq!(Role::of(5), None);
    }
}
