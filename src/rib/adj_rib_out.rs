//! Adj-RIB-Out: what one peer has been told, and what it is still to be told (RFC 4271 §3.2).
//!
//! Changes to a prefix that has not been sent yet replace each other, so a slow peer receives the
//! latest state and never a history; memory is bounded by the size of the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bgp::PathAttributes;
use crate::prefix::{Family, Prefix};

/// One peer's Adj-RIB-Out, of all families.
#[derive(Debug, Default)]
pub struct AdjRibOut {
    sent: BTreeMap<Prefix, Arc<PathAttributes>>,
    pending: BTreeMap<Prefix, Option<Arc<PathAttributes>>>,
    /// Size of `sent` by family.
    lengths: [u64; 2],
}

/// Part of what is pending: ready to be encoded, each list of one family.
#[derive(Debug, PartialEq, Eq)]
pub enum Batch {
    /// Prefixes to withdraw.
    Withdraw(Vec<Prefix>),
    /// Prefixes to announce with these attributes.
    Announce(Arc<PathAttributes>, Vec<Prefix>),
}

impl AdjRibOut {
    /// Sets what the peer should know of `prefix`; `None` for nothing.
    pub fn set(&mut self, prefix: Prefix, attributes: Option<Arc<PathAttributes>>) {
        if self.sent.get(&prefix) == attributes.as_ref() {
            self.pending.remove(&prefix);
        } else {
            self.pending.insert(prefix, attributes);
        }
    }

    /// Takes up to `limit` pending prefixes, grouped for encoding, and counts them as sent.
    pub fn poll_batches(&mut self, limit: usize) -> Vec<Batch> {
        let mut withdrawn: BTreeMap<Family, Vec<Prefix>> = BTreeMap::new();
        let mut announced: BTreeMap<(Family, Arc<PathAttributes>), Vec<Prefix>> = BTreeMap::new();
        for _ in 0..limit {
            let Some((prefix, attributes)) = self.pending.pop_first() else { break };
            match attributes {
                None => {
                    self.remove_sent(prefix);
                    withdrawn.entry(prefix.family()).or_default().push(prefix);
                }
                Some(attributes) => {
                    let news = self.sent.insert(prefix, attributes.clone()).is_none();
                    self.lengths[prefix.family() as usize] += u64::from(news);
                    announced.entry((prefix.family(), attributes)).or_default().push(prefix);
                }
            }
        }
        let withdrawn = withdrawn.into_values().map(Batch::Withdraw);
        let announced = announced.into_iter().map(|((_, a), prefixes)| Batch::Announce(a, prefixes));
        withdrawn.chain(announced).collect()
    }

    /// Whether everything the peer should know has been taken to be sent.
    pub fn is_in_step(&self) -> bool {
        self.pending.is_empty()
    }

    /// Treats a family as never sent, for a peer that asks for it again (RFC 2918 §4).
    pub fn resend(&mut self, family: Family) {
        for (prefix, attributes) in self.sent.iter().filter(|(p, _)| p.family() == family) {
            self.pending.entry(*prefix).or_insert_with(|| Some(attributes.clone()));
        }
        self.sent.retain(|prefix, _| prefix.family() != family);
        self.lengths[family as usize] = 0;
    }

    /// Records that the peer was not told of these prefixes after all: the announcement could not
    /// be encoded within the message size, so what it knew before is withdrawn.
    pub fn forget(&mut self, prefixes: &[Prefix]) {
        for prefix in prefixes {
            self.remove_sent(*prefix);
        }
    }

    /// How many prefixes of a family the peer has been told.
    pub fn len(&self, family: Family) -> u64 {
        self.lengths[family as usize]
    }

    fn remove_sent(&mut self, prefix: Prefix) {
        let known = self.sent.remove(&prefix).is_some();
        self.lengths[prefix.family() as usize] -= u64::from(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(med: u32) -> Arc<PathAttributes> {
        let originated = PathAttributes::originated("192.0.2.1".parse().unwrap());
        Arc::new(PathAttributes { med: Some(med), ..originated })
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_latest_state_is_sent_and_only_if_it_is_news() {
        let mut out = AdjRibOut::default();
        let p = prefix("10.0.0.0/8");
        out.set(p, Some(attributes(1)));
        out.set(p, Some(attributes(2)));
        assert_eq!(out.poll_batches(10), [Batch::Announce(attributes(2), vec![p])]);
        out.set(p, None);
        out.set(p, Some(attributes(2)));
        assert!(out.is_in_step());
        out.set(prefix("11.0.0.0/8"), Some(attributes(1)));
        out.set(prefix("11.0.0.0/8"), None);
        assert_eq!(out.poll_batches(10), []);
    }

    #[test]
    fn batches_group_by_attributes_and_family() {
        let mut out = AdjRibOut::default();
        for text in ["10.0.0.0/8", "11.0.0.0/8", "fd00::/64"] {
            out.set(prefix(text), Some(attributes(1)));
        }
        out.set(prefix("12.0.0.0/8"), Some(attributes(2)));
        let announce =
            |med, texts: &[&str]| Batch::Announce(attributes(med), texts.iter().map(|t| prefix(t)).collect());
        let expected = [
            announce(1, &["10.0.0.0/8", "11.0.0.0/8"]),
            announce(2, &["12.0.0.0/8"]),
            announce(1, &["fd00::/64"]),
        ];
        assert_eq!(out.poll_batches(10), expected);
        assert_eq!((out.len(Family::Ipv4Unicast), out.len(Family::Ipv6Unicast)), (3, 1));
    }

    #[test]
    fn a_refresh_sends_a_family_again() {
        let mut out = AdjRibOut::default();
        out.set(prefix("10.0.0.0/8"), Some(attributes(1)));
        out.set(prefix("fd00::/64"), Some(attributes(1)));
        out.poll_batches(10);
        out.resend(Family::Ipv6Unicast);
        assert_eq!(out.poll_batches(10), [Batch::Announce(attributes(1), vec![prefix("fd00::/64")])]);
    }
}
