//! A policy judged as far as attributes go: what is left to ask of prefixes that share them.
//!
//! An announcement has many prefixes and its attributes once. What a rule asks of communities, AS_PATH and
//! next hop is answered for all of them together, so that a hundred rules that do not match cost a prefix
//! nothing.

use super::{Changes, Policy, Rule, accepts};
use crate::bgp::PathAttributes;
use crate::prefix::Prefix;

/// The rules of a policy that some attributes leave.
#[derive(Debug)]
pub struct Judged<'a> {
    /// In order. All match but for the prefix, and do something; behind one that decides for every prefix
    /// there is none.
    rules: Vec<&'a Rule>,
}

impl Policy {
    /// What is left to be asked of prefixes with these attributes.
    pub fn judged(&self, attributes: &PathAttributes) -> Judged<'_> {
        let mut rules = vec![];
        for rule in &self.rules {
            let does_nothing = rule.action.is_none() && rule.set.is_empty();
            if does_nothing || !rule.matches.matches_but_for_prefix(attributes) {
                continue;
            }
            rules.push(rule);
            if rule.action.is_some() && rule.matches.prefixes.is_none() {
                break;
            }
        }
        Judged { rules }
    }
}

impl<'a> Judged<'a> {
    /// The verdict on one of the prefixes, as [`Policy::judge`] has it: whether it is accepted, and with
    /// which changes. These have no meaning where it is not.
    pub fn accepts(&self, prefix: Prefix, changes: &mut Changes<'a>) -> bool {
        let rules = self.rules.iter().copied();
        accepts(rules.filter(|rule| rule.matches.matches_prefix(prefix)), changes)
    }
}
