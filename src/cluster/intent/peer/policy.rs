//! From policy as manifests write it to policy as the speaker applies it.

use std::collections::BTreeSet;

use crate::cluster::objects::bgp_peer::{
    AcceptRule, AsPathSpec, BgpPeerSpec, CommunitiesSpec, ExportSpec, ImportSpec, LocalAsSpec, MatchSpec,
    MaxPrefixes as MaxPrefixesSpec, MaxPrefixesAction, NextHopText, RuleAction, RuleSpec, SetSpec,
};
use crate::cluster::objects::values::{AnyCommunityText, Asn};
use crate::rib::policy::{Action, AnyCommunity, AsPathMatch, CommunityMatch, Match, Rule, Set};
use crate::speaker::intent::{
    AsPathRules, LimitAction, LocalAs, MaxPrefixes, NextHopRule, Policy, PrefixRule,
};

/// Percentage of a limit at which a warning is given, as FRR has it.
const WARN_AT: u8 = 75;

pub(super) fn import(spec: &ImportSpec) -> Policy {
    policy(spec.rules.as_deref(), spec.accept.as_deref())
}

pub(super) fn export(spec: &ExportSpec) -> Policy {
    policy(spec.rules.as_deref(), spec.accept.as_deref())
}

pub(super) fn max_prefixes(spec: &MaxPrefixesSpec) -> MaxPrefixes {
    let action = match spec.action {
        None | Some(MaxPrefixesAction::Reset) => {
            LimitAction::Reset { idle: spec.idle_time.map(|idle| idle.0) }
        }
        Some(MaxPrefixesAction::Discard) => LimitAction::Discard,
        Some(MaxPrefixesAction::Warn) => LimitAction::Warn,
    };
    MaxPrefixes { limit: spec.limit.get(), action, warn_at: spec.warn_at.unwrap_or(WARN_AT) }
}

pub(super) fn next_hop(spec: &BgpPeerSpec) -> NextHopRule {
    match spec.next_hop {
        Some(NextHopText::Own) => NextHopRule::Own,
        Some(NextHopText::Unchanged) => NextHopRule::Unchanged,
        Some(NextHopText::Address(address)) => NextHopRule::Address(address),
        None if spec.next_hop_self == Some(true) => NextHopRule::Own,
        None => NextHopRule::Standard,
    }
}

pub(super) fn as_path(spec: &BgpPeerSpec) -> AsPathRules {
    let import = spec.import.as_ref();
    let export = spec.export.as_ref();
    let local_as =
        |spec: &LocalAsSpec| LocalAs { asn: spec.asn.value(), replace: spec.replace_as.unwrap_or(false) };
    AsPathRules {
        allow_own_as: import.and_then(|import| import.allow_own_as).unwrap_or(0),
        allow_as_set: import.and_then(|import| import.allow_as_set).unwrap_or(false),
        local_as: spec.local_as.as_ref().map(local_as),
        remove_private: export.and_then(|export| export.remove_private_as).unwrap_or(false),
        override_peer: export.and_then(|export| export.as_override).unwrap_or(false),
    }
}

fn policy(rules: Option<&[RuleSpec]>, accept: Option<&[AcceptRule]>) -> Policy {
    let mut policy = Policy { rules: rules.unwrap_or_default().iter().map(rule).collect() };
    policy.accept(accept.unwrap_or_default().iter().map(prefix_rule));
    policy
}

fn rule(spec: &RuleSpec) -> Rule {
    Rule {
        matches: spec.matches.as_ref().map(matches).unwrap_or_default(),
        set: spec.set.as_ref().map(set).unwrap_or_default(),
        action: spec.action.map(|action| match action {
            RuleAction::Accept => Action::Accept,
            RuleAction::Reject => Action::Reject,
        }),
    }
}

fn matches(spec: &MatchSpec) -> Match {
    Match {
        prefixes: spec.prefixes.as_ref().map(|rules| rules.iter().map(prefix_rule).collect()),
        as_path: spec.as_path.as_ref().map(as_path_match).unwrap_or_default(),
        communities: spec.communities.as_ref().map(community_match).unwrap_or_default(),
        next_hop: spec
            .next_hop
            .as_ref()
            .map(|inside| inside.iter().map(|cidr| PrefixRule::within(cidr.0)).collect()),
    }
}

fn as_path_match(spec: &AsPathSpec) -> AsPathMatch {
    AsPathMatch {
        contains: spec.contains.map(Asn::value),
        starts_with: spec.starts_with.map(Asn::value),
        originated_by: spec.originated_by.map(Asn::value),
        max_length: spec.max_length,
    }
}

fn community_match(spec: &CommunitiesSpec) -> CommunityMatch {
    CommunityMatch {
        any: communities(spec.any.as_deref()),
        all: communities(spec.all.as_deref()),
        none: communities(spec.none.as_deref()),
    }
}

fn set(spec: &SetSpec) -> Set {
    Set {
        local_pref: spec.local_preference,
        med: spec.med,
        remove_communities: communities(spec.remove_communities.as_deref()),
        add_communities: communities(spec.add_communities.as_deref()),
        prepend: spec.prepend.as_ref().map_or(0, |prepend| prepend.times.get()),
    }
}

fn communities(list: Option<&[AnyCommunityText]>) -> BTreeSet<AnyCommunity> {
    list.unwrap_or_default().iter().map(|text| text.0).collect()
}

fn prefix_rule(rule: &AcceptRule) -> PrefixRule {
    let (ge, le) = rule.lengths();
    PrefixRule { prefix: rule.prefix.0, ge, le }
}
