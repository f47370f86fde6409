//! What is wrong with a policy by itself, beyond what its types can say.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::super::policy::{
    AcceptRule, CommunitiesSpec, ExportSpec, ImportSpec, MatchSpec, MaxPrefixes, MaxPrefixesAction,
    RuleAction, RuleSpec, SetSpec,
};
use crate::cluster::objects::Problems;
use crate::cluster::objects::duration::Span;
use crate::prefix::{Address, Family};
use crate::rib::policy::AnyCommunity;

impl ImportSpec {
    pub(super) fn check(&self, problems: &mut Problems) {
        check_prefixes(self.accept.as_deref(), "spec.import.accept", problems);
        check_rules(self.rules.as_deref(), "spec.import.rules", problems);
        if let Some(limit) = &self.max_prefixes {
            limit.check("spec.import.maxPrefixes", problems);
        }
    }
}

impl MaxPrefixes {
    fn check(&self, field: &str, problems: &mut Problems) {
        if self.warn_at.is_some_and(|percent| !(1..=100).contains(&percent)) {
            problems.add(format!("{field}.warnAt"), "is a percentage: from 1 to 100");
        }
        let Some(Span(idle)) = self.idle_time else { return };
        if !matches!(self.action, None | Some(MaxPrefixesAction::Reset)) {
            problems.add(format!("{field}.idleTime"), "goes with action reset, which alone ends the session");
        } else if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&idle) {
            problems.add(format!("{field}.idleTime"), "must be from 1s to 24h");
        }
    }
}

impl ExportSpec {
    pub(super) fn check(&self, problems: &mut Problems) {
        check_prefixes(self.accept.as_deref(), "spec.export.accept", problems);
        check_rules(self.rules.as_deref(), "spec.export.rules", problems);
    }
}

fn check_prefixes(rules: Option<&[AcceptRule]>, field: &str, problems: &mut Problems) {
    for (i, rule) in rules.unwrap_or_default().iter().enumerate() {
        rule.check(&format!("{field}[{i}]"), problems);
    }
}

fn check_rules(rules: Option<&[RuleSpec]>, field: &str, problems: &mut Problems) {
    for (i, rule) in rules.unwrap_or_default().iter().enumerate() {
        rule.check(&format!("{field}[{i}]"), problems);
    }
}

impl RuleSpec {
    fn check(&self, field: &str, problems: &mut Problems) {
        match (self.action, &self.set) {
            (None, None) => problems.add(field, "has neither set nor action, so that it does nothing"),
            (Some(RuleAction::Reject), Some(_)) => {
                problems.add(format!("{field}.set"), "changes nothing about a path that is rejected");
            }
            _ => {}
        }
        if let Some(matches) = &self.matches {
            matches.check(&format!("{field}.match"), problems);
        }
        if let Some(set) = &self.set {
            set.check(&format!("{field}.set"), problems);
        }
    }
}

impl MatchSpec {
    /// An empty list matches nothing by its letter and everything by its absence, so that it is most
    /// likely a slip.
    fn check(&self, field: &str, problems: &mut Problems) {
        if self.prefixes.as_ref().is_some_and(Vec::is_empty) {
            problems
                .add(format!("{field}.prefixes"), "must not be empty; leave it out to match every prefix");
        }
        check_prefixes(self.prefixes.as_deref(), &format!("{field}.prefixes"), problems);
        if self.next_hop.as_ref().is_some_and(Vec::is_empty) {
            problems
                .add(format!("{field}.nextHop"), "must not be empty; leave it out to match every next hop");
        }
        if let Some(communities) = &self.communities {
            communities.check(&format!("{field}.communities"), problems);
        }
    }
}

impl CommunitiesSpec {
    fn check(&self, field: &str, problems: &mut Problems) {
        for (name, list) in [("any", &self.any), ("all", &self.all), ("none", &self.none)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                problems.add(format!("{field}.{name}"), "must not be empty; leave it out");
            }
        }
    }
}

impl SetSpec {
    fn check(&self, field: &str, problems: &mut Problems) {
        if *self == SetSpec::default() {
            problems.add(field, "sets nothing");
        }
        let removed = self.remove_communities.iter().flatten();
        for (i, community) in self.add_communities.iter().flatten().enumerate() {
            if removed.clone().any(|removed| removed == community) {
                let text = format!("{community} is also among removeCommunities");
                problems.add(format!("{field}.addCommunities[{i}]"), text);
            }
            if matches!(community.0, AnyCommunity::Kind(_)) {
                let text = format!("{community} stands for every community of a kind and cannot be added");
                problems.add(format!("{field}.addCommunities[{i}]"), text);
            }
        }
    }
}

impl AcceptRule {
    /// Lengths that match, least and greatest.
    pub fn lengths(&self) -> (u8, u8) {
        let own = self.prefix.0.length();
        let greatest = match (self.ge, self.le) {
            (_, Some(le)) => le,
            (Some(_), None) => bits(self.prefix.0.family()),
            (None, None) => own,
        };
        (self.ge.unwrap_or(own), greatest)
    }

    fn check(&self, field: &str, problems: &mut Problems) {
        let prefix = self.prefix.0;
        let (least, greatest) = self.lengths();
        if least < prefix.length() {
            problems.add(format!("{field}.ge"), format!("{least} is shorter than {prefix} itself"));
        }
        let bits = bits(prefix.family());
        let outermost = if self.le.is_some() { "le" } else { "ge" };
        if greatest.max(least) > bits {
            let excess = greatest.max(least);
            problems.add(
                format!("{field}.{outermost}"),
                format!("{excess} is longer than {prefix} can be: {bits}"),
            );
        } else if greatest < least {
            let bound = if self.ge.is_some() { "ge" } else { "the prefix itself" };
            problems.add(format!("{field}.le"), format!("{greatest} is less than {bound}, {least}"));
        }
    }
}

/// Length of an address of the family.
fn bits(family: Family) -> u8 {
    match family {
        Family::Ipv4Unicast => <Ipv4Addr as Address>::BITS,
        Family::Ipv6Unicast => <Ipv6Addr as Address>::BITS,
    }
}
