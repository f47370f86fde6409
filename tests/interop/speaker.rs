//! What the scenarios ask of a speaker that is not ours, and what it is configured to do.

use std::path::Path;

use crate::rig::Host;

/// The community that they put on what they announce.
pub const THEIR_COMMUNITY: &str = "65001:7";
/// The large community that they put on it.
pub const THEIR_LARGE_COMMUNITY: &str = "65001:1:2";
/// The extended community that they put on it: a route target.
pub const THEIR_ROUTE_TARGET: &str = "rt:65001:7";
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
    pub fn other(self) -> Family {
        match self {
            Family::Ipv4 => Family::Ipv6,
            Family::Ipv6 => Family::Ipv4,
        }
    }

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
    /// The third router is their peer, too, with our AS.
    pub third_is_theirs: bool,
    /// They do not say that they know four-octet AS numbers.
    pub two_octet: bool,
    /// The AS that they know us by, where that is not our own.
    pub known_as: Option<u32>,
    /// The AS of the third router, which is then a peer of ours, too.
    pub third_asn: Option<u32>,
    /// The family of the routes, where that is not the session's.
    pub carried: Option<Family>,
    /// A router stands between us, and sessions are from loopback to loopback.
    pub routed: bool,
    /// The MED that they put on what they announce.
    pub med: u32,
    /// They ask for their routes to be used last (RFC 8326).
    pub graceful_shutdown: bool,
    /// The next hop that they name, where that is not themselves. Internal sessions.
    pub next_hop: Option<String>,
    /// The most prefixes that they take from us.
    pub max_prefixes: Option<usize>,
    /// What they are to us (RFC 9234).
    pub role: Option<&'static str>,
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
            third_is_theirs: false,
            two_octet: false,
            known_as: None,
            third_asn: None,
            carried: None,
            routed: false,
            med: THEIR_MED,
            graceful_shutdown: false,
            next_hop: None,
            max_prefixes: None,
            role: None,
            extra: Extra::default(),
        }
    }

    pub fn internal(family: Family) -> Setup {
        Setup { asn: 64512, ..Setup::new(family) }
    }

    /// The family of the routes.
    pub fn carried(&self) -> Family {
        self.carried.unwrap_or(self.family)
    }

    /// The AS that they expect of us.
    pub fn expected_asn(&self) -> u32 {
        self.known_as.unwrap_or(self.our_asn)
    }

    /// Addresses of the routers they hold sessions with: us first.
    pub fn peers(&self) -> Vec<String> {
        let routers: &[u8] = if self.reflector || self.third_is_theirs { &[1, 3] } else { &[1] };
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

    /// Announces what it announced already, now with this MED.
    fn announce_again(&self, host: &Host, setup: &Setup, med: u32);

    /// Uses another password from now on, for the peer it has.
    fn change_password(&self, host: &Host, setup: &Setup, password: &'static str);

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
