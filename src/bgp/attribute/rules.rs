//! What each known attribute must look like, and what follows when it does not: the guard that every
//! attribute passes before its value is decoded.
//!
//! One table in the order of type codes. Flags from each attribute's own RFC; lengths and reactions
//! from RFC 7606 §7, RFC 6793 §6 (AS4_*), RFC 8092 §5 (large communities), RFC 9234 §5 (OTC).

use super::walk::RawAttribute;
use crate::bgp::as_path::AsWidth;
use crate::bgp::update::Treatment::{self, AttributeDiscard, TreatAsWithdraw};

/// Type codes.
pub(in crate::bgp) mod code {
    pub const ORIGIN: u8 = 1;
    pub const AS_PATH: u8 = 2;
    pub const NEXT_HOP: u8 = 3;
    pub const MULTI_EXIT_DISC: u8 = 4;
    pub const LOCAL_PREF: u8 = 5;
    pub const ATOMIC_AGGREGATE: u8 = 6;
    pub const AGGREGATOR: u8 = 7;
    pub const COMMUNITIES: u8 = 8;
    pub const ORIGINATOR_ID: u8 = 9;
    pub const CLUSTER_LIST: u8 = 10;
    pub const MP_REACH_NLRI: u8 = 14;
    pub const MP_UNREACH_NLRI: u8 = 15;
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    pub const AS4_PATH: u8 = 17;
    pub const AS4_AGGREGATOR: u8 = 18;
    pub const LARGE_COMMUNITY: u8 = 32;
    pub const ONLY_TO_CUSTOMER: u8 = 35;
}

/// Bits of the flags octet (RFC 4271 §4.3).
pub(in crate::bgp) mod flag {
    pub const OPTIONAL: u8 = 0x80;
    pub const TRANSITIVE: u8 = 0x40;
    pub const PARTIAL: u8 = 0x20;
    pub const EXTENDED_LENGTH: u8 = 0x10;
}

/// The four categories of RFC 4271 §5, as far as the Optional and Transitive bits tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bgp) enum Category {
    WellKnown,
    OptionalTransitive,
    OptionalNonTransitive,
}

impl Category {
    /// The Optional and Transitive bits.
    pub fn flags(self) -> u8 {
        match self {
            Category::WellKnown => flag::TRANSITIVE,
            Category::OptionalTransitive => flag::OPTIONAL | flag::TRANSITIVE,
            Category::OptionalNonTransitive => flag::OPTIONAL,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Category::WellKnown => "well-known",
            Category::OptionalTransitive => "optional transitive",
            Category::OptionalNonTransitive => "optional non-transitive",
        }
    }
}

/// Lengths that a value may have, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Exactly(usize),
    /// At least once.
    MultipleOf(usize),
    /// Its decoder knows.
    Any,
}

/// From whom an attribute is accepted; from others it is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    Always,
    /// From internal peers (RFC 7606 §7.5, §7.9, §7.10).
    Internal,
    /// From two-octet speakers; four-octet speakers must not send it to each other (RFC 6793 §6).
    TwoOctet,
}

/// What is known about an attribute.
#[derive(Debug, Clone, Copy)]
pub(in crate::bgp) struct Rule {
    /// Name as in its RFC.
    pub name: &'static str,
    /// What its flags must say.
    pub category: Category,
    /// How long its value may be.
    pub(super) length: Length,
    /// Who may send it.
    pub(super) accepted: Accepted,
    /// What follows from a wrong length or value.
    pub(super) otherwise: Treatment,
}

impl Rule {
    const fn new(name: &'static str, category: Category, length: Length, otherwise: Treatment) -> Rule {
        Rule { name, category, length, accepted: Accepted::Always, otherwise }
    }

    const fn accepted(self, accepted: Accepted) -> Rule {
        Rule { accepted, ..self }
    }

    /// Says what is wrong with the flags. RFC 7606 §3 c makes an error of the Optional and Transitive
    /// bits only, the same for every attribute: treat as withdraw. Partial and the unused bits are let
    /// through.
    pub fn check_flags(&self, raw: &RawAttribute) -> Result<(), String> {
        let bits = flag::OPTIONAL | flag::TRANSITIVE;
        if raw.flags & bits == self.category.flags() {
            return Ok(());
        }
        Err(format!("flags {:#04x} on an attribute that is {}", raw.flags, self.category.name()))
    }

    /// Says what is wrong with the length.
    pub fn check_length(&self, raw: &RawAttribute) -> Result<(), String> {
        let length = raw.value.len();
        match self.length {
            Length::Exactly(right) if length != right => Err(format!("{length} octets instead of {right}")),
            Length::MultipleOf(unit) if length == 0 || !length.is_multiple_of(unit) => {
                Err(format!("{length} octets, which is not a positive multiple of {unit}"))
            }
            _ => Ok(()),
        }
    }
}

/// The rule for a type code; `None` for an attribute we do not interpret.
pub(in crate::bgp) fn rule(code: u8, width: AsWidth) -> Option<Rule> {
    use Category::{OptionalNonTransitive, OptionalTransitive, WellKnown};
    use Length::{Any, Exactly, MultipleOf};
    let rule = Rule::new;
    Some(match code {
        code::ORIGIN => rule("ORIGIN", WellKnown, Exactly(1), TreatAsWithdraw),
        code::AS_PATH => rule("AS_PATH", WellKnown, Any, TreatAsWithdraw),
        code::NEXT_HOP => rule("NEXT_HOP", WellKnown, Exactly(4), TreatAsWithdraw),
        code::MULTI_EXIT_DISC => rule("MULTI_EXIT_DISC", OptionalNonTransitive, Exactly(4), TreatAsWithdraw),
        code::LOCAL_PREF => {
            rule("LOCAL_PREF", WellKnown, Exactly(4), TreatAsWithdraw).accepted(Accepted::Internal)
        }
        code::ATOMIC_AGGREGATE => rule("ATOMIC_AGGREGATE", WellKnown, Exactly(0), AttributeDiscard),
        code::AGGREGATOR => {
            rule("AGGREGATOR", OptionalTransitive, Exactly(width.octets() + 4), AttributeDiscard)
        }
        code::COMMUNITIES => rule("COMMUNITIES", OptionalTransitive, MultipleOf(4), TreatAsWithdraw),
        code::ORIGINATOR_ID => rule("ORIGINATOR_ID", OptionalNonTransitive, Exactly(4), TreatAsWithdraw)
            .accepted(Accepted::Internal),
        code::CLUSTER_LIST => rule("CLUSTER_LIST", OptionalNonTransitive, MultipleOf(4), TreatAsWithdraw)
            .accepted(Accepted::Internal),
        code::MP_REACH_NLRI => rule("MP_REACH_NLRI", OptionalNonTransitive, Any, TreatAsWithdraw),
        code::MP_UNREACH_NLRI => rule("MP_UNREACH_NLRI", OptionalNonTransitive, Any, TreatAsWithdraw),
        code::EXTENDED_COMMUNITIES => {
            rule("EXTENDED_COMMUNITIES", OptionalTransitive, MultipleOf(8), TreatAsWithdraw)
        }
        code::AS4_PATH => {
            rule("AS4_PATH", OptionalTransitive, Any, AttributeDiscard).accepted(Accepted::TwoOctet)
        }
        code::AS4_AGGREGATOR => rule("AS4_AGGREGATOR", OptionalTransitive, Exactly(8), AttributeDiscard)
            .accepted(Accepted::TwoOctet),
        code::LARGE_COMMUNITY => rule("LARGE_COMMUNITY", OptionalTransitive, MultipleOf(12), TreatAsWithdraw),
        code::ONLY_TO_CUSTOMER => rule("ONLY_TO_CUSTOMER", OptionalTransitive, Exactly(4), TreatAsWithdraw),
        _ => return None,
    })
}
