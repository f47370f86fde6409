//! What is wrong with a [`BgpPeerSpec`] by itself, beyond what its types can say.

mod policy;

use std::net::IpAddr;
use std::time::Duration;

use super::{BfdSpec, BgpPeerSpec, NextHopText, SecretKey, TimersSpec};
use crate::cluster::objects::bfd::check_intervals;
use crate::cluster::objects::duration::Span;
use crate::cluster::objects::{Problems, selector};
use crate::prefix::{Family, Prefix};
use crate::speaker::intent::{Damping, Timers};

impl BgpPeerSpec {
    /// Notes all of it.
    pub(in crate::cluster::objects) fn check(&self, problems: &mut Problems) {
        if let Some(selector) = &self.node_selector {
            selector::check(selector, "spec.nodeSelector", problems);
        }
        self.check_remote(problems);
        self.check_source(problems);
        if let Some(timers) = &self.timers {
            timers.check(problems);
        }
        if let Some(secret) = &self.password_secret_ref {
            secret.check("spec.passwordSecretRef", problems);
        }
        if self.role_strict == Some(true) && self.role.is_none() {
            problems.add("spec.roleStrict", "needs a role of ours to hold the peer's against");
        }
        if self.ttl_security.is_some() && self.multihop.is_some() {
            // RFC 5082 §3 sends with TTL 255, which leaves nothing for multihop to set.
            problems.add("spec.multihop", "excludes ttlSecurity");
        }
        if self.ttl_security.as_ref().is_some_and(|security| security.hops.get() == 255) {
            problems.add("spec.ttlSecurity.hops", "must be at most 254");
        }
        if let Some(bfd) = &self.bfd {
            bfd.check(problems);
        }
        if let Some(restart) = &self.graceful_restart {
            restart.check(problems);
        }
        if let Some(families) = &self.families {
            if families.is_empty() {
                problems.add("spec.families", "must not be empty; leave it out for the default");
            }
            let ipv4 = families.iter().any(|family| Family::from(*family) == Family::Ipv4Unicast);
            if self.extended_next_hop == Some(true) && !ipv4 {
                problems.add("spec.extendedNextHop", "is for IPv4 prefixes, and families has no ipv4Unicast");
            }
            for (i, family) in families.iter().enumerate() {
                if families[..i].contains(family) {
                    problems.add(format!("spec.families[{i}]"), "is listed twice");
                }
            }
        }
        if let Some(import) = &self.import {
            import.check(problems);
        }
        if let Some(export) = &self.export {
            export.check(problems);
        }
        if let Some(NextHopText::Address(address)) = self.next_hop {
            check_address("spec.nextHop", address, problems);
        }
        if self.next_hop.is_some() && self.next_hop_self.is_some() {
            problems.add("spec.nextHop", "excludes nextHopSelf, which is short for nextHop: self");
        }
    }

    fn check_remote(&self, problems: &mut Problems) {
        if let Some(from) = &self.address_from {
            from.check("spec.addressFrom", problems);
            for (field, given) in [("address", self.address.is_some()), ("range", self.range.is_some())] {
                if given {
                    problems.add("spec.addressFrom", format!("excludes {field}"));
                }
            }
        }
        match (self.address, &self.interface, &self.range) {
            (None, _, None) if self.address_from.is_some() => {}
            (None, None, None) => {
                problems.add("spec", "one of address, addressFrom, interface and range is required");
            }
            (Some(address), None, None) if is_link_local(address) => {
                problems.add("spec.interface", "a link-local address needs the interface it is on");
            }
            (Some(address), Some(_), None) if !is_link_local(address) => problems.add(
                "spec.interface",
                "goes with a link-local address, or stands alone for an unnumbered peer",
            ),
            (Some(_), _, None) | (None, Some(_), None) | (None, None, Some(_)) => {}
            (_, _, Some(_)) => problems.add("spec.range", "excludes address and interface"),
        }
        if let Some(address) = self.address {
            check_address("spec.address", address, problems);
        }
        if let Some(range) = &self.range {
            self.check_range(range.0, problems);
        } else if self.limit.is_some() {
            problems.add("spec.limit", "goes with range: how many of its peers there may be at once");
        }
    }

    fn check_range(&self, range: Prefix, problems: &mut Problems) {
        if self.port.is_some() {
            problems.add("spec.port", "peers of a range are never connected to, so that no port is needed");
        }
        if self.source_interface.is_some() {
            let text = "peers of a range are never connected to; sourceAddress says where they connect to";
            problems.add("spec.sourceInterface", text);
        }
        if self.passive == Some(false) {
            problems.add("spec.passive", "must be true or left out: peers of a range are never connected to");
        }
        if self.bfd.as_ref().is_some_and(|bfd| bfd.strict == Some(true)) {
            let text =
                "peers of a range are watched from their connection on, so that it cannot wait for that";
            problems.add("spec.bfd.strict", text);
        }
        let address = range.address();
        if is_link_local(address) || address.is_multicast() {
            problems.add("spec.range", format!("{range} holds no address that a peer could be told by"));
        }
        if let Some(source) = self.source_address
            && Family::of(source) != range.family()
        {
            problems.add("spec.sourceAddress", format!("{source} cannot reach {range}: another family"));
        }
    }

    fn check_source(&self, problems: &mut Problems) {
        if self.source_address.is_some() && self.source_interface.is_some() {
            problems.add("spec.sourceInterface", "excludes sourceAddress");
        }
        let Some(source) = self.source_address else { return };
        check_address("spec.sourceAddress", source, problems);
        if let Some(address) = self.address
            && Family::of(source) != Family::of(address)
        {
            problems.add("spec.sourceAddress", format!("{source} cannot reach {address}: another family"));
        }
    }
}

impl TimersSpec {
    /// RFC 4271 §4.2 and §6.5 for the hold time, §4.4 for keepalives.
    fn check(&self, problems: &mut Problems) {
        let hold = self.hold.map_or(Timers::default().hold, |Span(hold)| hold);
        if hold.subsec_nanos() != 0 || hold.as_secs() > 65_535 {
            problems.add("spec.timers.hold", "must be whole seconds, at most 65535s");
        } else if (1..3).contains(&hold.as_secs()) {
            problems.add("spec.timers.hold", "must be 0s (no hold timer) or at least 3s (RFC 4271 §4.2)");
        }
        if let Some(Span(keepalive)) = self.keepalive {
            let text = |text: &str| format!("{} {text}", Span(keepalive));
            if hold.is_zero() && !keepalive.is_zero() {
                problems.add("spec.timers.keepalive", text("means nothing with a hold time of 0s"));
            } else if !hold.is_zero() && keepalive < Duration::from_secs(1) {
                problems.add("spec.timers.keepalive", text("is less than one second (RFC 4271 §4.4)"));
            } else if !hold.is_zero() && keepalive > hold / 3 {
                let third = format!("is more than a third of the hold time, {}", Span(hold));
                problems.add("spec.timers.keepalive", text(&third));
            }
        }
        if let Some(Span(retry)) = self.connect_retry
            && !(Duration::from_millis(100)..=Duration::from_secs(65_535)).contains(&retry)
        {
            problems.add("spec.timers.connectRetry", "must be from 100ms to 65535s");
        }
        if self.tcp_user_timeout.is_some_and(|Span(timeout)| {
            // Milliseconds in an int (tcp(7)).
            !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&timeout)
        }) {
            problems.add("spec.timers.tcpUserTimeout", "must be from 1s to 24h");
        }
        self.check_damping(problems);
    }
}

impl TimersSpec {
    /// RFC 4271 §8.1.1 leaves the numbers to us.
    fn check_damping(&self, problems: &mut Problems) {
        let day = Duration::from_secs(86_400);
        let default = Damping::default();
        let first = self.idle_hold.map_or(default.first, |Span(first)| first);
        let most = self.max_idle_hold.map_or(default.most, |Span(most)| most);
        if !(Duration::from_millis(100)..=day).contains(&first) {
            problems.add("spec.timers.idleHold", "must be from 100ms to 24h");
        } else if most < first || most > day {
            let field = if self.max_idle_hold.is_some() { "maxIdleHold" } else { "idleHold" };
            let text = format!(
                "idleHold {} and maxIdleHold {}: the latter is to be more, up to 24h",
                Span(first),
                Span(most)
            );
            problems.add(format!("spec.timers.{field}"), text);
        }
        if self.stable_after.is_some_and(|Span(after)| after > day) {
            problems.add("spec.timers.stableAfter", "must be at most 24h");
        }
    }
}

impl SecretKey {
    fn check(&self, field: &str, problems: &mut Problems) {
        for (part, value) in [("name", &self.name), ("key", &self.key)] {
            if value.is_empty() {
                problems.add(format!("{field}.{part}"), "must not be empty");
            }
        }
    }
}

impl BfdSpec {
    fn check(&self, problems: &mut Problems) {
        check_intervals(self.min_tx, self.min_rx, problems);
        if let Some(authentication) = &self.authentication {
            authentication.secret_ref.check("spec.bfd.authentication.secretRef", problems);
        }
    }
}

impl BgpPeerSpec {
    /// What is wrong with an address that a Node gives the peer; `None` if it can be one.
    pub fn fault_of(&self, address: IpAddr) -> Option<String> {
        let source = self.source_address.filter(|source| Family::of(*source) != Family::of(address));
        match (source, &self.interface) {
            (Some(source), _) => Some(format!("{source}, our sourceAddress, cannot reach {address}")),
            (None, None) if is_link_local(address) => {
                Some(format!("{address} is link-local, and no interface is given"))
            }
            (None, Some(_)) if !is_link_local(address) => {
                Some(format!("{address} is not link-local, and an interface is given"))
            }
            _ => not_one_host(address),
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Notes an address that no end of a TCP connection can have.
fn check_address(field: &str, address: IpAddr, problems: &mut Problems) {
    if let Some(text) = not_one_host(address) {
        problems.add(field, text);
    }
}

/// Why no end of a TCP connection can have an address.
fn not_one_host(address: IpAddr) -> Option<String> {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let canonical = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() || broadcast {
        Some(format!("{address} is not the address of one host"))
    } else if canonical == address {
        None
    } else {
        Some(format!("{address} is an IPv4 address in disguise; write {canonical}"))
    }
}
