//! What the lab is told on its command line.

use std::collections::BTreeSet;

use super::tor::Program;
use crate::prefix::Family;

/// Options of bringing a lab up.
#[derive(Debug, Clone, clap::Args)]
pub struct UpOptions {
    /// Check everything once, take the lab down, and fail if any check did
    #[arg(long)]
    pub once: bool,
    /// What plays the ToR [default: what its image stands for if that is installed, else routelet]
    #[arg(long, value_enum, value_name = "PROGRAM")]
    pub tor: Option<Program>,
    /// Address family to play [default: ipv4; with a FILE, all that it has]
    #[arg(long, value_enum)]
    pub family: Option<Families>,
    /// Name of the lab; several may be up at a time [default: the topology's]
    #[arg(long)]
    pub name: Option<String>,
    /// Form of the result
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
}

/// Which families to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Families {
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both.
    Dual,
}

/// Form of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// For programs, on standard output; progress goes to standard error.
    Json,
}

impl Form {
    /// Whether programs are to read it.
    pub fn is_json(self) -> bool {
        self == Form::Json
    }
}

impl UpOptions {
    /// The families to play; `None` for all that the topology has.
    pub fn families(&self, built_in: bool) -> Option<BTreeSet<Family>> {
        match (self.family, built_in) {
            (None, false) => None,
            (None, true) | (Some(Families::Ipv4), _) => Some(BTreeSet::from([Family::Ipv4Unicast])),
            (Some(Families::Ipv6), _) => Some(BTreeSet::from([Family::Ipv6Unicast])),
            (Some(Families::Dual), _) => Some(BTreeSet::from(Family::ALL)),
        }
    }
}
