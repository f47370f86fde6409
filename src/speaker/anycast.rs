//! Addresses of Services, alone or in aggregates: originated while they can be delivered, and exchanged
//! with the other nodes.
//!
//! There may be ten thousand of them, and one comes or goes with each deployment. So everything here is
//! done for the prefixes that differ from one configuration to the next and for no other.
//!
//! A node answers for the address of a Service by translating it before it looks for a route, be it by
//! kube-proxy or by what stands in for it. So a single address needs no route to be deliverable, and none
//! is installed to another node's: packets would never take it. An aggregate is different. It stands for
//! addresses that nobody serves, too, and those packets would go back to the router they came from.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::retreat::Stand;
use super::updates::import;
use super::{Notice, Speaker};
use crate::bgp::{ExtendedCommunity, PathAttributes, PathId, RareAttributes};
use crate::fib::{AGGREGATE_METRIC, Plan, Target};
use crate::prefix::{Family, Prefix};
use crate::rib::anycast::{Origination, changed};
use crate::rib::well_known::{GRACEFUL_SHUTDOWN, marked};
use crate::rib::{Path, Source};
use crate::speaker::intent::Intent;

/// Octets per second that a weight of one is told as: a megabit. Only relations count, and this keeps the
/// sum of a few thousand below what a speaker holds that reckons in 32 bits.
const UNIT: f32 = 125_000.0;
/// Stands in a link bandwidth for an AS of four octets (RFC 6793 §9).
const AS_TRANS: u16 = 23456;

/// What has become of the prefixes.
#[derive(Debug, Default)]
pub(super) struct Anycast {
    announced: BTreeSet<Prefix>,
    /// Aggregates without their kernel route.
    waiting: BTreeSet<Prefix>,
}

impl Anycast {
    /// Whether a prefix is announced.
    pub(super) fn announces(&self, prefix: Prefix) -> bool {
        self.announced.contains(&prefix)
    }

    /// Whether an aggregate still waits for its route.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Speaker {
    /// Goes from one configuration to the next.
    pub(super) fn configure_anycast(&mut self, old: &Intent, new: &Intent) {
        // The bandwidth that is told bears our AS.
        let own = if (old.fib.install, old.asn) == (new.fib.install, new.asn) {
            changed(&old.originated, &new.originated)
        } else {
            old.originated.keys().chain(new.originated.keys()).copied().collect()
        };
        for prefix in own.iter().filter(|prefix| !new.pod_cidrs.contains(prefix)) {
            let aggregate = new.originated.get(prefix).is_some_and(|own| own.aggregate);
            let plan = (aggregate && new.fib.install).then_some(&Plan::Unreachable);
            self.fib.desire(*prefix, AGGREGATE_METRIC, plan);
        }
        self.originate_anycast(own);
        for prefix in changed(&old.scopes, &new.scopes) {
            self.judge_one_again(prefix);
        }
    }

    /// Begins with the first configuration.
    pub(super) fn configure_anycast_first_time(&mut self, intent: &Intent) {
        if intent.fib.install {
            for (prefix, _) in intent.originated.iter().filter(|(_, own)| own.aggregate) {
                self.fib.desire(*prefix, AGGREGATE_METRIC, Some(&Plan::Unreachable));
            }
        }
        self.originate_all_anycast();
    }

    /// Announces all of them that can be delivered, and takes back what no longer can.
    pub(super) fn originate_all_anycast(&mut self) {
        let Some(intent) = &self.intent else { return };
        let all: BTreeSet<Prefix> =
            intent.originated.keys().chain(&self.anycast.announced).copied().collect();
        self.originate_anycast(all);
    }

    /// Whether those are announced that there are to be: none waits for its route, nor all for the kernel to be
    /// looked at, as at start.
    pub(super) fn originates_anycast(&self) -> bool {
        let none = self.intent.as_ref().is_none_or(|intent| intent.originated.is_empty());
        let passes = self.bridge_ready && Family::ALL.iter().any(|family| !self.unforwarded.contains(family));
        none || (passes && !self.anycast.waits())
    }

    /// Announces aggregates whose route has come to stand.
    pub(super) fn originate_waiting_anycast(&mut self) {
        let waiting = self.anycast.waiting.clone();
        self.originate_anycast(waiting);
    }

    /// Announces those of them that can be delivered, and takes back the others. One that is to be let go of,
    /// because the node leaves, is announced as such or not at all.
    pub(super) fn originate_anycast(&mut self, prefixes: impl IntoIterator<Item = Prefix>) {
        let Some(intent) = &self.intent else { return };
        let (originated, asn, install) = (intent.originated.clone(), intent.asn, intent.fib.install);
        for prefix in prefixes {
            let passes = self.bridge_ready && !self.unforwarded.contains(&prefix.family());
            let stand = self.stand(prefix);
            let Some(own) = originated.get(&prefix).filter(|_| passes && stand != Stand::Gone) else {
                self.anycast.waiting.remove(&prefix);
                if self.anycast.announced.remove(&prefix) {
                    self.rib.withdraw(prefix, Source::Local, PathId::NONE);
                }
                continue;
            };
            // As with pod CIDRs, one that is announced stays so while its route is being repaired.
            let stands = !install
                || !own.aggregate
                || self.anycast.announced.contains(&prefix)
                || self.fib.is_installed(prefix, AGGREGATE_METRIC, &Target::Unreachable);
            if !stands {
                self.anycast.waiting.insert(prefix);
                continue;
            }
            self.anycast.waiting.remove(&prefix);
            let attributes = attributes(prefix, own, asn);
            let attributes =
                if stand == Stand::Asked { marked(&attributes, GRACEFUL_SHUTDOWN) } else { attributes };
            let attributes = self.interner.intern(attributes);
            let (source, path_id) = (Source::Local, PathId::NONE);
            let path = Path { source, attributes, received: None, path_id, told_as: 0, rejected: None };
            self.rib.insert(prefix, path);
            // Who is told may have changed, and nothing else.
            self.rib.mark(prefix);
            if self.anycast.announced.insert(prefix) && own.aggregate {
                self.notice(Notice::Originated(prefix));
            }
        }
    }

    /// Judges what peers have said of one prefix anew, and tells of it whoever is to know now.
    fn judge_one_again(&mut self, prefix: Prefix) {
        let Some(intent) = &self.intent else { return };
        let (peers, interner) = (&self.peers, &mut self.interner);
        self.rib.reconsider_at(prefix, |path| {
            let Source::Peer(id) = path.source else { return None };
            let peer = peers.get(&id)?;
            let import = import(intent, &peer.intent, peer.shown_asn());
            Some(import.arrival(path.source, path.received().clone()).path(prefix, interner))
        });
        self.rib.mark(prefix);
    }
}

/// The attributes of a path that begins here. The next hop is put in on export: it differs by session.
fn attributes(prefix: Prefix, own: &Origination, asn: u32) -> PathAttributes {
    let unspecified: IpAddr = match prefix.family() {
        Family::Ipv4Unicast => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6Unicast => Ipv6Addr::UNSPECIFIED.into(),
    };
    // The draft lets the community be transitive: whoever shares packets out is mostly in another AS.
    let bandwidth = own.weight.map(|weight| {
        let asn = u16::try_from(asn).unwrap_or(AS_TRANS);
        let weight = u16::try_from(weight).map_or(f32::from(u16::MAX), f32::from);
        ExtendedCommunity::link_bandwidth(asn, UNIT * weight, true).0
    });
    PathAttributes {
        local_pref: own.local_pref,
        communities: own.communities.clone().into(),
        rare: RareAttributes {
            large_communities: own.large_communities.clone().into(),
            extended_communities: bandwidth.into_iter().collect(),
            ..RareAttributes::NONE
        }
        .into(),
        ..PathAttributes::originated(unspecified)
    }
}
