//! Policy rules: which packets are routed by which table (ip-rule(8)).
//!
//! Ours bear our protocol number, as our routes do, and nobody else's is touched. To the kernel the number
//! is a part of the rule: a rule of ours stands beside somebody else's that is equal but for it, and goes
//! without it.

use std::collections::BTreeSet;
use std::fmt;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Error, Netlink};
use crate::prefix::{Family, Prefix};

/// A rule that sends packets to a table. What is absent does not restrict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Rules are tried in this order, the lowest number first.
    pub priority: u32,
    /// Of which family packets are.
    pub family: Family,
    /// Where packets come from.
    pub from: Option<Prefix>,
    /// Where they go.
    pub to: Option<Prefix>,
    /// Name of the interface that they come in by.
    pub interface: Option<String>,
    /// Their mark, and which bits of it count.
    pub mark: Option<(u32, u32)>,
    /// Id of the table that routes them.
    pub table: u32,
    /// Routes of the table that are no longer than this do not count.
    pub longer_than: Option<u8>,
}

impl fmt::Display for Rule {
    /// As ip-rule(8) shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: from ", self.priority)?;
        match self.from {
            Some(from) => write!(f, "{from}")?,
            None => f.write_str("all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some((mark, mask)) = self.mark {
            write!(f, " fwmark {mark:#x}")?;
            if mask != u32::MAX {
                write!(f, "/{mask:#x}")?;
            }
        }
        if let Some(interface) = &self.interface {
            write!(f, " iif {interface}")?;
        }
        match self.table {
            254 => f.write_str(" lookup main")?,
            table => write!(f, " lookup {table}")?,
        }
        match self.longer_than {
            Some(length) => write!(f, " suppress_prefixlength {length}"),
            None => Ok(()),
        }
    }
}

/// What came of bringing the kernel's rules in line.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rules that were missing and have been made.
    pub made: Vec<Rule>,
    /// Rules of ours that nobody wants and that have been removed, in words.
    pub removed: Vec<String>,
    /// Wanted rules that the kernel has refused, and why.
    pub refused: Vec<(Rule, Error)>,
    /// Unwanted rules of ours that are still there, and why.
    pub left_behind: Vec<Error>,
}

impl Netlink {
    /// Brings the rules of ours in line with those wanted: makes what is missing, then removes the rest.
    ///
    /// # Errors
    /// The rules there are cannot be read.
    pub async fn set_rules(&self, protocol: u8, wanted: &BTreeSet<Rule>) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let (mut kept, mut surplus) = (BTreeSet::new(), vec![]);
        for message in self.rules_of(protocol).await? {
            match rule(&message).filter(|rule| wanted.contains(rule)) {
                Some(rule) if kept.insert(rule.clone()) => {}
                _ => surplus.push(message),
            }
        }
        let missing: Vec<&Rule> = wanted.difference(&kept).collect();
        let create = NLM_F_CREATE | NLM_F_EXCL;
        let requests = missing
            .iter()
            .map(|rule| (RouteNetlinkMessage::NewRule(message(protocol, rule)), create))
            .collect();
        for (rule, answer) in missing.into_iter().zip(self.changes(requests).await) {
            match answer {
                Ok(()) => outcome.made.push(rule.clone()),
                Err(refusal) => {
                    outcome.refused.push((rule.clone(), refusal.to(format_args!("add rule {rule}"))));
                }
            }
        }
        let requests =
            surplus.iter().map(|message| (RouteNetlinkMessage::DelRule(message.clone()), 0)).collect();
        for (message, answer) in surplus.iter().zip(self.changes(requests).await) {
            match answer {
                Ok(()) => outcome.removed.push(describe(message)),
                Err(refusal) if refusal.is(nix::Error::ENOENT) => {}
                Err(refusal) => {
                    let what = format!("remove rule {}", describe(message));
                    outcome.left_behind.push(refusal.to(what));
                }
            }
        }
        Ok(outcome)
    }

    /// All rules of ours, of both families, that send packets to a table, in order.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub async fn our_rules(&self, protocol: u8) -> Result<Vec<Rule>, Error> {
        let mut rules: Vec<Rule> = self.rules_of(protocol).await?.iter().filter_map(rule).collect();
        rules.sort();
        Ok(rules)
    }

    async fn rules_of(&self, protocol: u8) -> Result<Vec<RuleMessage>, Error> {
        let mut found = vec![];
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RuleMessage::default();
            request.header.family = family;
            let answer = match self.dump(RouteNetlinkMessage::GetRule(request)).await {
                // A kernel without IPv6.
                Err(refusal) if refusal.is(nix::Error::EAFNOSUPPORT) => continue,
                answer => answer.map_err(|refusal| refusal.to("list the policy rules"))?,
            };
            let ours = RuleAttribute::Protocol(RouteProtocol::from(protocol));
            found.extend(answer.into_iter().filter_map(|message| match message {
                // Who does not know the family tells of all.
                RouteNetlinkMessage::NewRule(message)
                    if message.header.family == family && message.attributes.contains(&ours) =>
                {
                    Some(message)
                }
                _ => None,
            }));
        }
        Ok(found)
    }
}

fn message(protocol: u8, rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = match rule.family {
        Family::Ipv4Unicast => AddressFamily::Inet,
        Family::Ipv6Unicast => AddressFamily::Inet6,
    };
    message.header.action = RuleAction::ToTable;
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Table(rule.table));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(protocol)));
    if let Some(from) = rule.from {
        message.header.src_len = from.length();
        attributes.push(RuleAttribute::Source(from.address()));
    }
    if let Some(to) = rule.to {
        message.header.dst_len = to.length();
        attributes.push(RuleAttribute::Destination(to.address()));
    }
    if let Some((mark, mask)) = rule.mark {
        attributes.extend([RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)]);
    }
    attributes.extend(rule.interface.clone().map(RuleAttribute::Iifname));
    attributes.extend(rule.longer_than.map(|length| RuleAttribute::SuppressPrefixLen(length.into())));
    message
}

/// The rule in a message; `None` if it does anything that a [`Rule`] cannot say.
fn rule(message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    // What the kernel adds when an interface is missing is no part of the rule.
    let flags = header.flags - (RuleFlags::IifDetached | RuleFlags::OifDetached);
    if header.action != RuleAction::ToTable || header.tos != 0 || !flags.is_empty() {
        return None;
    }
    let family = match header.family {
        AddressFamily::Inet => Family::Ipv4Unicast,
        AddressFamily::Inet6 => Family::Ipv6Unicast,
        _ => return None,
    };
    let mut rule = Rule {
        priority: 0,
        family,
        from: None,
        to: None,
        interface: None,
        mark: None,
        table: header.table.into(),
        longer_than: None,
    };
    let (mut mark, mut mask) = (0, 0);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::Source(address) => rule.from = Some(Prefix::new(*address, header.src_len)?),
            RuleAttribute::Destination(address) => rule.to = Some(Prefix::new(*address, header.dst_len)?),
            RuleAttribute::Iifname(name) => rule.interface = Some(name.clone()),
            RuleAttribute::FwMark(value) => mark = *value,
            RuleAttribute::FwMask(value) => mask = *value,
            // Minus one means that every route counts.
            RuleAttribute::SuppressPrefixLen(u32::MAX) | RuleAttribute::SuppressIfGroup(u32::MAX) => {}
            RuleAttribute::SuppressPrefixLen(length) => rule.longer_than = Some(u8::try_from(*length).ok()?),
            RuleAttribute::Protocol(_) => {}
            _ => return None,
        }
    }
    rule.mark = (mask != 0).then_some((mark, mask));
    Some(rule)
}

fn describe(message: &RuleMessage) -> String {
    match rule(message) {
        Some(rule) => rule.to_string(),
        None => {
            let priority = message.attributes.iter().find_map(|attribute| match attribute {
                RuleAttribute::Priority(priority) => Some(*priority),
                _ => None,
            });
            format!("{}: of another kind", priority.unwrap_or_default())
        }
    }
}
