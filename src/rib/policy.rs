//! Import and export policy: ordered rules that deny by default (RFC 8212).
//!
//! A [`Policy`] is asked about a prefix and its attributes and gives a verdict: rejected, or accepted
//! with changes. Every rule looks at the path as the policy was given it, never at what a rule before
//! it changed, so that a rule can be understood by itself.
//!
//! This file owns the rules and their order; `judged` what can be said of attributes before there is a prefix,
//! `prefixes` and `spans` the index of prefix lists, `matching` what a rule asks for, `set` what it changes,
//! `work` how much looking that takes. Where received paths are kept so that they can be judged again is the
//! table's business.

mod judged;
mod matching;
mod prefixes;
mod set;
mod spans;
#[cfg(test)]
mod tests;
mod work;

pub use judged::Judged;
pub use matching::{AnyCommunity, AsPathMatch, CommunityMatch, Match};
pub use prefixes::{PrefixRule, PrefixSet};
pub use set::Set;

use crate::bgp::PathAttributes;
use crate::prefix::Prefix;

/// Rules in order; the first that matches and has an action decides. Where none does, the path is
/// rejected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Which paths it is about; all if it asks for nothing.
    pub matches: Match,
    /// What it changes about them, if they are accepted in the end.
    pub set: Set,
    /// What becomes of them; `None` leaves that to the rules after it.
    pub action: Option<Action>,
}

/// What becomes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is used, or announced.
    Accept,
    /// It is not.
    Reject,
}

/// The changes that an accepted path is to undergo, in order; none by default.
#[derive(Debug, Clone, Default)]
pub struct Changes<'a>(Vec<&'a Set>);

impl Policy {
    /// Accepts the prefixes that any of these rules matches, and changes nothing.
    pub fn accepting(prefixes: impl IntoIterator<Item = PrefixRule>) -> Policy {
        let mut policy = Policy::default();
        policy.accept(prefixes);
        policy
    }

    /// Adds, behind all other rules, one that accepts what any of these matches.
    pub fn accept(&mut self, prefixes: impl IntoIterator<Item = PrefixRule>) {
        let prefixes: PrefixSet = prefixes.into_iter().collect();
        if !prefixes.is_empty() {
            let matches = Match { prefixes: Some(prefixes), ..Match::default() };
            self.rules.push(Rule { matches, set: Set::default(), action: Some(Action::Accept) });
        }
    }

    /// The verdict on a path: `None` if it is rejected.
    pub fn judge(&self, prefix: Prefix, attributes: &PathAttributes) -> Option<Changes<'_>> {
        let mut changes = Changes::default();
        let matching = self.rules.iter().filter(|rule| rule.matches.matches(prefix, attributes));
        accepts(matching, &mut changes).then_some(changes)
    }
}

/// Whether rules that match a path accept it, and with which changes.
fn accepts<'a>(matching: impl Iterator<Item = &'a Rule>, changes: &mut Changes<'a>) -> bool {
    changes.0.clear();
    for rule in matching {
        if rule.action == Some(Action::Reject) {
            return false;
        }
        if !rule.set.is_empty() {
            changes.0.push(&rule.set);
        }
        if rule.action == Some(Action::Accept) {
            return true;
        }
    }
    false
}

impl Policy {
    /// The index of the rule that rejects a path; `None` where it is accepted, or no rule has anything
    /// to say of it.
    pub fn rejected_by(&self, prefix: Prefix, attributes: &PathAttributes) -> Option<usize> {
        let decides = |rule: &Rule| rule.action.is_some() && rule.matches.matches(prefix, attributes);
        let first = self.rules.iter().position(decides)?;
        (self.rules[first].action == Some(Action::Reject)).then_some(first)
    }
}

impl Policy {
    /// Whether both have the same lists of prefixes in memory, and are equal besides: what can be found out
    /// without looking into a list.
    pub fn is_shared_with(&self, other: &Policy) -> bool {
        let is_same = |(one, other): (&Rule, &Rule)| {
            let lists = match (&one.matches.prefixes, &other.matches.prefixes) {
                (Some(one), Some(other)) => one.is_shared_with(other),
                (one, other) => one.is_none() && other.is_none(),
            };
            let (ours, theirs) = (&one.matches, &other.matches);
            lists
                && (&one.set, one.action) == (&other.set, other.action)
                && (&ours.as_path, &ours.communities, &ours.next_hop)
                    == (&theirs.as_path, &theirs.communities, &theirs.next_hop)
        };
        self.rules.len() == other.rules.len() && self.rules.iter().zip(&other.rules).all(is_same)
    }

    /// The entries of prefix lists that one of two policies has and the other has not; `None` where
    /// anything else sets them apart. On any other prefix both have the same verdict.
    pub fn lists_apart(&self, other: &Policy) -> Option<Vec<PrefixRule>> {
        if self.rules.len() != other.rules.len() {
            return None;
        }
        let mut apart = vec![];
        for (one, other) in self.rules.iter().zip(&other.rules) {
            let (Match { prefixes: ours, .. }, Match { prefixes: theirs, .. }) =
                (&one.matches, &other.matches);
            let alike =
                Rule { matches: Match { prefixes: theirs.clone(), ..one.matches.clone() }, ..one.clone() };
            if alike != *other {
                return None;
            }
            match (ours, theirs) {
                (None, None) => {}
                (Some(ours), Some(theirs)) => apart.extend(ours.apart(theirs)),
                (Some(_), None) | (None, Some(_)) => return None,
            }
        }
        Some(apart)
    }
}

impl PartialEq for Changes<'_> {
    #[inline]
    fn eq(&self, other: &Changes<'_>) -> bool {
        // Mostly there are none, or they come from the same rules.
        if self.0.is_empty() && other.0.is_empty() {
            return true;
        }
        let is_same = |(one, other): (&&Set, &&Set)| std::ptr::eq(*one, *other) || one == other;
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(is_same)
    }
}

impl Eq for Changes<'_> {}

impl Changes<'_> {
    /// Whether the path stays as it is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the changes. `nearest` is the AS that `prepend` repeats; without one it does nothing.
    pub fn apply(&self, attributes: &mut PathAttributes, nearest: Option<u32>) {
        for set in &self.0 {
            set.apply(attributes, nearest);
        }
    }
}
