//! What the scenarios ask of a speaker that is not ours, and what it is configured to do.

use std::path::Path;

use crate::rig::Host;

/// The community that they put on what they announce.
pub const THEIR_COMMUNITY: &str = "65001:7";
/// The MED that they put on what they announce.
pub const THEIR_MED: u32 = 50;
/// The local preference that they put on it towards an internal peer.
pub const THEIR_LOCAL_PREF: u32 = 150;

/// The family of a session and of the routes on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub fn pick(self, v4: &'static str, v6: &'static str) -> &'static str {
        match self {
            Family::Ipv4 => v4,
            Family::Ipv6 => v6,
        }
    }

    /// Address of the first, second or third router.
    pub fn address(self, router: u8) -> String {
        format!("{}{router}", self.pick("10.9.0.", "fd09::"))
    }

    /// `ipv4` or `ipv6`.
    pub fn name(self) -> &'static str {
        self.pick("ipv4", "ipv6")
    }

    /// The `index`th of many prefixes that start with `v4` or `v6`.
    pub fn prefix(self, v4: u8, v6: u16, index: usize) -> String {
        match self {
            Family::Ipv4 => format!("{v4}.{}.{}.0/24", index / 256, index % 256),
            Family::Ipv6 if index == 0 => format!("{v6:x}::/64"),
            Family::Ipv6 => format!("{v6:x}:0:0:{index:x}::/64"),
        }
    }
}

/// How the other speaker is configured.
#[derive(Debug, Clone)]
pub struct Setup {
    pub family: Family,
    pub asn: u32,
    pub our_asn: u32,
    /// What they announce.
    pub routes: Vec<String>,
    pub password: Option<&'static str>,
    pub ttl_security: bool,
    pub multihop: bool,
    pub hold: u16,
    pub passive: bool,
    /// They reflect routes between us and a third router.
    pub reflector: bool,
    /// They do not say that they know four-octet AS numbers.
    pub two_octet: bool,
    /// What else a row wants in their configuration, in their own language.
    pub extra: Extra,
}

/// Lines of a configuration. Empty is none.
#[derive(Debug, Default, Clone)]
pub struct Extra {
    /// At its top (GoBGP: in `[global.config]` and behind it; FRR: in front of `router bgp`).
    pub top: String,
    /// In each peer's block (FRR: behind `neighbor ADDRESS`).
    pub peer: Vec<String>,
    /// In the block of the peer's family (FRR: behind `neighbor ADDRESS`).
    pub family: Vec<String>,
}

impl Setup {
    pub fn new(family: Family) -> Setup {
        Setup {
            family,
            asn: 65001,
            our_asn: 64512,
            routes: vec![family.prefix(20, 0x2020, 0)],
            password: None,
            ttl_security: false,
            multihop: false,
            hold: 90,
            passive: false,
            reflector: false,
            two_octet: false,
            extra: Extra::default(),
        }
    }

    pub fn internal(family: Family) -> Setup {
        Setup { asn: 64512, ..Setup::new(family) }
    }

    /// Addresses of the routers they hold sessions with: us first.
    pub fn peers(&self) -> Vec<String> {
        let routers: &[u8] = if self.reflector { &[1, 3] } else { &[1] };
        routers.iter().map(|router| self.family.address(*router)).collect()
    }
}

/// A route in their table. What a speaker does not show is `None` or empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    pub as_path: String,
    pub next_hop: String,
    pub local_pref: Option<u32>,
    pub communities: Vec<String>,
    pub originator: Option<String>,
    pub clusters: Vec<String>,
}

/// A speaker that is not ours.
pub trait Speaker: Sync {
    fn name(&self) -> &'static str;

    /// Its processes in the order they start, each with a file that exists when it is ready.
    fn programs(&self, directory: &Path, setup: &Setup) -> Vec<(Vec<String>, Option<String>)>;

    /// The text of `DIRECTORY/config`.
    fn config(&self, directory: &Path, setup: &Setup) -> String;

    /// Announces what the configuration cannot say.
    fn started(&self, _host: &Host, _setup: &Setup) {}

    fn seen(&self, host: &Host, setup: &Setup, prefix: &str) -> Option<Seen>;

    /// How many prefixes they have from us.
    fn count(&self, host: &Host, setup: &Setup) -> usize;

    /// Stops announcing a prefix.
    fn withdraw(&self, host: &Host, setup: &Setup, prefix: &str);

    /// Asks us for our routes again.
    fn refresh(&self, host: &Host, setup: &Setup);

    /// Ends the session with a text.
    fn shut_down(&self, host: &Host, setup: &Setup, text: &str);

    /// Whether they have our End-of-RIB; `None` where they do not say.
    fn end_of_rib(&self, host: &Host, setup: &Setup) -> Option<bool>;

    /// What they say of the session, for a person.
    fn state(&self, host: &Host, setup: &Setup) -> String;
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
