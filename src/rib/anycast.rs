//! Anycast prefixes: those that several speakers of one network originate alike, who is told of them, and
//! what crosses a session between such speakers.
//!
//! An ordinary prefix crosses a session as the session's policies say, and a change of policy means a walk
//! through the whole table. Anycast prefixes come and go by the minute, and so each is looked up by
//! itself: a change concerns that destination alone. Which prefixes are anycast, and with what they are
//! originated, is for the owner to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bgp::{Community, LargeCommunity};
use crate::prefix::Prefix;

/// Who is told of a prefix, as far as their own policies allow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// The other speakers that originate such prefixes.
    pub mesh: bool,
    /// The peers of these names; every peer if `None`.
    pub peers: Option<BTreeSet<String>>,
}

/// What a prefix is originated with here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origination {
    /// Who is told.
    pub scope: Scope,
    /// COMMUNITIES, ascending.
    pub communities: Vec<Community>,
    /// LARGE_COMMUNITY (RFC 8092), ascending.
    pub large_communities: Vec<LargeCommunity>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// How much of the packets should come here, in relation to the others that originate the prefix.
    pub weight: Option<u32>,
    /// It stands for more addresses than are served: the others need a route that discards their packets.
    pub aggregate: bool,
}

/// What is originated here, by prefix.
pub type Originations = BTreeMap<Prefix, Arc<Origination>>;

/// Every anycast prefix that any speaker of the network may originate, with who is told of it.
pub type Scopes = BTreeMap<Prefix, Arc<Scope>>;

/// What anycast prefixes cross a session, besides what its policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Exchange {
    /// None: policies alone say what does.
    #[default]
    ByPolicy,
    /// Ours go out, and all may come in.
    Own,
    /// All go out, and all may come in: we reflect them (RFC 4456), or the peer is told what we were.
    All,
}

/// Who is to be told, as scopes ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener<'a> {
    /// What crosses the session.
    pub exchange: Exchange,
    /// The name that scopes know the peer by, if they name it.
    pub name: Option<&'a str>,
}

impl Scope {
    /// Whether it is told at all.
    pub fn tells(&self, listener: Listener<'_>) -> bool {
        match (listener.exchange, &self.peers) {
            (Exchange::Own | Exchange::All, _) => self.mesh,
            (Exchange::ByPolicy, None) => true,
            (Exchange::ByPolicy, Some(peers)) => listener.name.is_some_and(|name| peers.contains(name)),
        }
    }

    /// Whoever either tells.
    pub fn union(&self, other: &Scope) -> Scope {
        let peers = match (&self.peers, &other.peers) {
            (Some(a), Some(b)) => Some(a.union(b).cloned().collect()),
            _ => None,
        };
        Scope { mesh: self.mesh || other.mesh, peers }
    }
}

/// Prefixes under which two maps differ, in order.
pub fn changed<'a, T: PartialEq>(old: &'a BTreeMap<Prefix, T>, new: &'a BTreeMap<Prefix, T>) -> Vec<Prefix> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut changed = vec![];
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return changed,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        if before != after {
            changed.extend(before.or(after).map(|(prefix, _)| *prefix));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(mesh: bool, peers: Option<&[&str]>) -> Scope {
        Scope { mesh, peers: peers.map(|names| names.iter().map(|name| (*name).to_owned()).collect()) }
    }

    #[test]
    fn a_scope_tells_the_mesh_and_peers_apart() {
        let listener = |exchange, name| Listener { exchange, name };
        let other = listener(Exchange::ByPolicy, None);
        let tor = listener(Exchange::ByPolicy, Some("tor"));
        let node = listener(Exchange::Own, None);
        for (scope, to_other, to_tor, to_node) in [
            (scope(true, None), true, true, true),
            (scope(false, None), true, true, false),
            (scope(false, Some(&["tor"])), false, true, false),
            (scope(true, Some(&[])), false, false, true),
            (scope(false, Some(&["tor"])).union(&scope(true, Some(&["x"]))), false, true, true),
            (scope(false, Some(&["tor"])).union(&scope(false, None)), true, true, false),
        ] {
            assert_eq!(scope.tells(other), to_other, "{scope:?}");
            assert_eq!(scope.tells(tor), to_tor, "{scope:?}");
            assert_eq!(scope.tells(node), to_node, "{scope:?}");
        }
    }

    #[test]
    fn what_differs_is_found_in_one_pass() {
        let map = |entries: &[(&str, u8)]| -> BTreeMap<Prefix, u8> {
            entries.iter().map(|(prefix, value)| (prefix.parse().unwrap(), *value)).collect()
        };
        let old = map(&[("10.0.0.1/32", 1), ("10.0.0.2/32", 1), ("10.0.0.3/32", 1), ("10.0.0.5/32", 1)]);
        let new = map(&[("10.0.0.2/32", 2), ("10.0.0.3/32", 1), ("10.0.0.4/32", 1)]);
        let texts: Vec<String> = changed(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.4/32", "10.0.0.5/32"]);
        assert_eq!(changed(&old, &old), []);
    }
}
