//! The node's own pod CIDRs: first deliverable, then announced.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Notice, Speaker};
use crate::bgp::{PathAttributes, PathId};
use crate::fib::{AGGREGATE_METRIC, Target};
use crate::prefix::{Family, Prefix};
use crate::rib::{Path, Source};

impl Speaker {
    /// Announces each pod CIDR that can be delivered here, and takes back what no longer can. In the
    /// way between are the kernel's forwarding, the bridge, and an unreachable aggregate, which answers for
    /// addresses without a pod and keeps them from looping between us and a router with a wider route.
    pub(super) fn originate_what_is_deliverable(&mut self) {
        let Some(intent) = &self.intent else { return };
        let passes = |prefix: Prefix| self.bridge_ready && !self.unforwarded.contains(&prefix.family());
        let deliverable = |prefix: Prefix| {
            passes(prefix)
                && (!intent.fib.install
                    || self.fib.is_installed(prefix, AGGREGATE_METRIC, &Target::Unreachable))
        };
        let configured: BTreeSet<Prefix> = intent.pod_cidrs.iter().copied().collect();
        let ready: Vec<Prefix> = configured.iter().copied().filter(|p| deliverable(*p)).collect();
        let most = configured.len();
        // A pod CIDR stays announced while its aggregate is being repaired, for a flapping announcement
        // would do more harm than the moment without it.
        let gone = self.originated.iter().copied().filter(|p| !configured.contains(p) || !passes(*p));
        for prefix in gone.collect::<Vec<_>>() {
            self.originated.remove(&prefix);
            self.rib.withdraw(prefix, Source::Local, PathId::NONE);
        }
        for prefix in ready {
            if self.originated.insert(prefix) {
                self.originate(prefix);
                self.notice(Notice::Originated(prefix));
            }
        }
        self.not_originated = most - self.originated.len();
        self.advance_restart();
    }

    /// Whether every pod CIDR of this node is announced. Pods do not wait for aggregates of addresses of Services:
    /// one that the kernel refuses is no reason to take none.
    pub fn originates_all(&self) -> bool {
        self.intent.is_some() && self.not_originated == 0
    }

    fn originate(&mut self, prefix: Prefix) {
        // The next hop is put in on export: it differs by session.
        let unspecified: IpAddr = match prefix.family() {
            Family::Ipv4Unicast => Ipv4Addr::UNSPECIFIED.into(),
            Family::Ipv6Unicast => Ipv6Addr::UNSPECIFIED.into(),
        };
        let attributes = self.interner.intern(PathAttributes::originated(unspecified));
        let path = Path {
            source: Source::Local,
            attributes,
            received: None,
            path_id: PathId::NONE,
            told_as: 0,
            rejected: None,
        };
        self.rib.insert(prefix, path);
    }
}
