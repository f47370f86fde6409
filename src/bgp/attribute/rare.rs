//! The attributes that most paths do not have, kept apart from those that nearly all have: a path
//! without any of them pays for a pointer.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

use super::{Aggregator, ExactList, LargeCommunity, UnknownAttribute};

/// The attributes that most paths do not have.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RareAttributes {
    /// The link-local next hop that RFC 2545 §3 lets stand beside the global one.
    pub link_local_next_hop: Option<Ipv6Addr>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// ORIGINATOR_ID (RFC 4456 §8).
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST (RFC 4456 §8), most recent first.
    pub cluster_list: ExactList<Ipv4Addr>,
    /// EXTENDED COMMUNITIES (RFC 4360), each as its eight octets; from a peer ascending and each once.
    pub extended_communities: ExactList<[u8; 8]>,
    /// LARGE_COMMUNITY (RFC 8092); from a peer as above.
    pub large_communities: ExactList<LargeCommunity>,
    /// ONLY_TO_CUSTOMER (RFC 9234).
    pub only_to_customer: Option<u32>,
    /// Unknown transitive attributes, by type code.
    pub unknown: ExactList<UnknownAttribute>,
    /// Type codes, ascending, of the attributes of a path whose Partial bit another speaker has set: it
    /// must stay set when they are passed on (RFC 4271 §5).
    pub partial: ExactList<u8>,
}

impl RareAttributes {
    /// None of them.
    pub const NONE: RareAttributes = RareAttributes {
        link_local_next_hop: None,
        atomic_aggregate: false,
        aggregator: None,
        originator_id: None,
        cluster_list: ExactList::EMPTY,
        extended_communities: ExactList::EMPTY,
        large_communities: ExactList::EMPTY,
        only_to_customer: None,
        unknown: ExactList::EMPTY,
        partial: ExactList::EMPTY,
    };
}

impl Default for RareAttributes {
    fn default() -> Self {
        RareAttributes::NONE
    }
}

/// The rare attributes of a path, if it has any. Read as [`RareAttributes`], made from them and changed
/// by [`Rare::change`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Rare(
    /// Never a box with nothing in it: equal attributes have one form.
    Option<Box<RareAttributes>>,
);

impl Rare {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Changes them, or makes the first.
    pub fn change(&mut self, change: impl FnOnce(&mut RareAttributes)) {
        match &mut self.0 {
            Some(attributes) => {
                change(attributes);
                if **attributes == RareAttributes::NONE {
                    self.0 = None;
                }
            }
            None => {
                let mut attributes = RareAttributes::NONE;
                change(&mut attributes);
                *self = attributes.into();
            }
        }
    }
}

impl From<RareAttributes> for Rare {
    fn from(attributes: RareAttributes) -> Self {
        Rare((attributes != RareAttributes::NONE).then(|| Box::new(attributes)))
    }
}

impl Deref for Rare {
    type Target = RareAttributes;

    fn deref(&self) -> &RareAttributes {
        static NONE: RareAttributes = RareAttributes::NONE;
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl fmt::Debug for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_any_there_is_one_form() {
        let mut rare = Rare::default();
        rare.change(|rare| rare.only_to_customer = None);
        assert!(rare.is_none());
        rare.change(|rare| rare.only_to_customer = Some(7));
        assert_eq!(rare.only_to_customer, Some(7));
        rare.change(|rare| rare.only_to_customer = None);
        assert!(rare.is_none());
        assert_eq!(Rare::from(RareAttributes::NONE), rare);
    }
}
