//! Prefix lists with bounds on the length, indexed so that a lookup costs one binary search, and not a
//! look at each entry.

use std::sync::Arc;

use super::spans::{Lengths, Spans};
use crate::prefix::Prefix;

/// Matches prefixes inside `prefix` whose length lies in `ge..=le`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrefixRule {
    /// Covering prefix.
    pub prefix: Prefix,
    /// Least length; at least that of `prefix`.
    pub ge: u8,
    /// Greatest length.
    pub le: u8,
}

impl PrefixRule {
    /// Matches this prefix alone.
    pub fn exactly(prefix: Prefix) -> PrefixRule {
        PrefixRule { prefix, ge: prefix.length(), le: prefix.length() }
    }

    /// Matches this prefix and every more specific one.
    pub fn within(prefix: Prefix) -> PrefixRule {
        PrefixRule { prefix, ge: prefix.length(), le: Prefix::host(prefix.address()).length() }
    }

    /// Whether the rule matches.
    pub fn matches(&self, prefix: Prefix) -> bool {
        self.prefix.contains(prefix) && (self.ge..=self.le).contains(&prefix.length())
    }
}

/// A set of prefixes, as the union of what its rules match. Cheap to clone.
///
/// Two sets made from the same rules are equal in whatever order the rules came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrefixSet(Arc<Index>);

#[derive(Debug, Default)]
struct Index {
    /// Ascending by prefix; those of one prefix have bounds that neither overlap nor touch.
    rules: Vec<PrefixRule>,
    /// What they match, by family.
    v4: Spans<u32>,
    v6: Spans<u128>,
}

impl PartialEq for Index {
    fn eq(&self, other: &Index) -> bool {
        self.rules == other.rules
    }
}

impl Eq for Index {}

impl PrefixSet {
    /// Whether any rule matches.
    pub fn matches(&self, prefix: Prefix) -> bool {
        match prefix {
            Prefix::V4(net) => self.0.v4.at(net.address().to_bits()).contains(net.length()),
            Prefix::V6(net) => self.0.v6.at(net.address().to_bits()).contains(net.length()),
        }
    }

    /// Whether nothing matches.
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }

    /// Its rules, ascending; those of one prefix are joined where they touch.
    pub fn rules(&self) -> &[PrefixRule] {
        &self.0.rules
    }

    /// Whether both are one list in memory.
    pub(super) fn is_shared_with(&self, other: &PrefixSet) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Rules that are in one of two sets alone. A prefix that none of them matches is in both or in neither.
    pub(super) fn apart(&self, other: &PrefixSet) -> Vec<PrefixRule> {
        let (mut ours, mut theirs) = (self.rules(), other.rules());
        let mut apart = vec![];
        while let (Some(one), Some(another)) = (ours.first(), theirs.first()) {
            if one <= another {
                ours = &ours[1..];
            }
            if another <= one {
                theirs = &theirs[1..];
            }
            if one != another {
                apart.push(*one.min(another));
            }
        }
        apart.extend(ours.iter().chain(theirs));
        apart
    }
}

impl FromIterator<PrefixRule> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = PrefixRule>>(rules: I) -> PrefixSet {
        let mut sorted: Vec<PrefixRule> = rules.into_iter().collect();
        sorted.sort_unstable();
        let mut rules: Vec<PrefixRule> = Vec::with_capacity(sorted.len());
        for rule in sorted.into_iter().filter(|rule| rule.ge <= rule.le) {
            match rules.last_mut() {
                Some(last) if last.prefix == rule.prefix && rule.ge <= last.le.saturating_add(1) => {
                    last.le = last.le.max(rule.le);
                }
                _ => rules.push(rule),
            }
        }
        let lengths = |rule: &PrefixRule| Lengths::between(rule.ge, rule.le);
        let v4 = rules.iter().filter_map(|rule| {
            let Prefix::V4(net) = rule.prefix else { return None };
            let first = net.address().to_bits();
            let behind = u32::MAX.checked_shr(net.length().into()).unwrap_or(0);
            Some((first, first | behind, lengths(rule)))
        });
        let v6 = rules.iter().filter_map(|rule| {
            let Prefix::V6(net) = rule.prefix else { return None };
            let first = net.address().to_bits();
            let behind = u128::MAX.checked_shr(net.length().into()).unwrap_or(0);
            Some((first, first | behind, lengths(rule)))
        });
        let (v4, v6) = (v4.collect(), v6.collect());
        PrefixSet(Arc::new(Index { rules, v4, v6 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_by_cover_and_length() {
        let rule = PrefixRule { prefix: "10.244.0.0/16".parse().unwrap(), ge: 24, le: 26 };
        let matches = |text: &str| rule.matches(text.parse().unwrap());
        assert!(matches("10.244.1.0/24") && matches("10.244.1.64/26"));
        assert!(!matches("10.244.0.0/16") && !matches("10.244.1.0/27") && !matches("10.0.0.0/24"));
        assert!(!matches("fd00::/24"));
    }

    #[test]
    fn rules_of_one_prefix_are_joined_where_they_touch() {
        let rule = |ge, le| PrefixRule { prefix: "10.0.0.0/8".parse().unwrap(), ge, le };
        let set: PrefixSet = [rule(20, 24), rule(8, 8), rule(16, 19), rule(22, 30)].into_iter().collect();
        assert_eq!(set.0.rules, [rule(8, 8), rule(16, 30)]);
        assert_eq!(set, [rule(16, 30), rule(8, 8), rule(31, 30)].into_iter().collect());
    }

    #[test]
    fn sets_differ_by_the_rules_that_one_alone_has() {
        let set = |texts: &[&str]| -> PrefixSet {
            texts.iter().map(|text| PrefixRule::exactly(text.parse().unwrap())).collect()
        };
        let apart = |ours: &[&str], theirs: &[&str]| {
            let of = |set: Vec<PrefixRule>| set.iter().map(|r| r.prefix.to_string()).collect::<Vec<_>>();
            let there = of(set(ours).apart(&set(theirs)));
            assert_eq!(there, of(set(theirs).apart(&set(ours))));
            there
        };
        assert_eq!(apart(&["10.0.1.0/24", "10.0.2.0/24"], &["10.0.2.0/24", "10.0.1.0/24"]), [""; 0]);
        assert_eq!(
            apart(&["10.0.1.0/24", "10.0.3.0/24"], &["10.0.2.0/24", "10.0.3.0/24"]),
            ["10.0.1.0/24", "10.0.2.0/24"]
        );
        assert_eq!(apart(&[], &["10.0.2.0/24", "10.0.9.0/24"]), ["10.0.2.0/24", "10.0.9.0/24"]);
    }

    #[test]
    fn an_empty_set_matches_nothing() {
        assert!(PrefixSet::default().is_empty() && !PrefixSet::default().matches("::/0".parse().unwrap()));
    }
}
