//! What is wrong with a [`BgpPeerSpec`] by itself, beyond what its types can say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{AcceptRule, BfdSpec, BgpPeerSpec, TimersSpec};
use crate::cluster::objects::duration::Span;
use crate::cluster::objects::{Problems, selector};
use crate::prefix::{Address, Family};
use crate::speaker::intent::Timers;

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
            for (field, value) in [("name", &secret.name), ("key", &secret.key)] {
                if value.is_empty() {
                    problems.add(format!("spec.passwordSecretRef.{field}"), "must not be empty");
                }
            }
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
        if let Some(families) = &self.families {
            if families.is_empty() {
                problems.add("spec.families", "must not be empty; leave it out for the default");
            }
            for (i, family) in families.iter().enumerate() {
                if families[..i].contains(family) {
                    problems.add(format!("spec.families[{i}]"), "is listed twice");
                }
            }
        }
        let import = self.import.iter().flat_map(|import| &import.accept);
        let export = self.export.iter().flat_map(|export| &export.accept);
        for (direction, rules) in import.map(|r| ("import", r)).chain(export.map(|r| ("export", r))) {
            for (i, rule) in rules.iter().enumerate() {
                rule.check(&format!("spec.{direction}.accept[{i}]"), problems);
            }
        }
    }

    fn check_remote(&self, problems: &mut Problems) {
        match (self.address, &self.interface, &self.range) {
            (None, None, None) => problems.add("spec", "one of address, interface and range is required"),
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
        if self.range.is_some() && self.port.is_some() {
            problems.add("spec.port", "peers of a range are never connected to, so that no port is needed");
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
    }
}

impl BfdSpec {
    /// RFC 5880 §4.1: intervals are 32 bits of microseconds, and zero means something else.
    fn check(&self, problems: &mut Problems) {
        for (field, interval) in [("minTx", self.min_tx), ("minRx", self.min_rx)] {
            if interval.is_some_and(|Span(i)| i.is_zero() || u32::try_from(i.as_micros()).is_err()) {
                problems.add(format!("spec.bfd.{field}"), "must be from 1ms to 4294s");
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

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Notes an address that no end of a TCP connection can have.
fn check_address(field: &str, address: IpAddr, problems: &mut Problems) {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        problems.add(field, format!("{address} is not the address of one host"));
    } else if address.to_canonical() != address {
        problems.add(
            field,
            format!("{address} is an IPv4 address in disguise; write {}", address.to_canonical()),
        );
    }
}
