//! The kernel settings that forwarding depends on: what each should be and why, how it stands, and the few
//! that are set.
//!
//! | setting, under `net.` | wanted | who sets it |
//! |---|---|---|
//! | `ipv4.ip_forward`, `ipv6.conf.all.forwarding` | 1: nothing reaches a pod otherwise | we |
//! | `ipv4.conf.*.forwarding` | 1 on the bridge and the uplinks: it can be turned off for one | we, on the bridge |
//! | `ipv6.conf.*.disable_ipv6` | 0 on the bridge, where pods have IPv6 | we |
//! | `ipv4.conf.*.rp_filter` | not 1 (strict) where packets come by another uplink than answers leave by; the larger of `all` and the interface's own counts | we, if told to ([`Needs::loose_reverse_path`]) |
//! | `ipv6.conf.*.accept_ra` | 2 on uplinks that live by advertisements: a router does not heed them at 1 | we, when we turn forwarding on |
//! | `ipv4.conf.*.proxy_arp` | 0 on uplinks: else every node answers for the pods of all others | a person |
//! | `ipv4.conf.*.accept_redirects` | 0 on the bridge: a pod could move the node's routes; counts where `all` has it, too | a person |
//! | `ipv4.conf.*.send_redirects` | 0 on the bridge: pods would pass the node by on the way to a Service; the larger of `all` and the interface's own counts | a person |
//! | `ipv4.fib_multipath_hash_policy`, `ipv6.…` | 1 with multipath: 0 sends everything between two hosts one way | a person |
//! | `ipv4.nexthop_compat_mode` | 0: a change of one next hop is told once, and not for each route | a person |
//! | `ipv4.neigh.default.gc_thresh3`, `ipv6.…` | room for every peer and pod | a person |
//!
//! Only what pods cannot do without is set. The rest belongs to whoever runs the machine, and much of it
//! is there for security. `proxy_ndp` is not in the table: without proxy entries made by hand it
//! does nothing; nor are redirects for IPv6, which routers ignore (RFC 4861 §8.2; the kernel's `forwarding`).
//!
//! `/proc/sys/net` shows the namespace of the thread that reads it: call these inside the namespace that
//! is meant.

use std::collections::BTreeSet;
use std::fmt;

use super::sysctl::{self, Sysctl};
use crate::prefix::Family;

/// The setting that takes the bridge's IPv6 addresses away: they do not come back with it.
pub const IPV6_ON_THE_BRIDGE: &str = "net.ipv6.conf.*.disable_ipv6";

/// What a node is meant to do, as far as it decides what settings should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Families of the pods; none on a node without pods, whose settings are nobody's business.
    pub families: BTreeSet<Family>,
    /// Name of the pods' bridge.
    pub bridge: String,
    /// Names of the interfaces by which peers are reached.
    pub uplinks: BTreeSet<String>,
    /// Routes may have several next hops.
    pub multipath: bool,
    /// `rp_filter` may be set to 2 where it is 1.
    pub loose_reverse_path: bool,
    /// Hosts on links: peers, and pods on the bridge.
    pub hosts: u64,
}

/// How much depends on a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Without it packets are lost.
    Needed,
    /// It would be better.
    Advised,
}

/// One setting, or one that every interface has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name, such as `net.ipv4.conf.*.rp_filter`, where `*` stands for interfaces.
    pub name: &'static str,
    /// How much depends on it.
    pub weight: Weight,
    /// The family that is not forwarded at all while this is wrong.
    pub stops: Option<Family>,
    /// We have set it; it would be wrong otherwise.
    pub set: bool,
    /// What has been set just now, in words.
    pub repairs: Vec<String>,
    /// Where it is wrong; empty where it is right.
    pub faults: Vec<Fault>,
}

/// A setting that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its full name, such as `net.ipv4.conf.eth0.rp_filter`.
    pub name: String,
    /// What it is; an error in words where it cannot be read.
    pub value: String,
    /// What it should be.
    pub wanted: String,
    /// What comes of it.
    pub consequence: &'static str,
    /// Why it could not be set, if that was tried. Names the file.
    pub refusal: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { name, value, wanted, consequence, refusal } = self;
        write!(f, "{name} is {value} and should be {wanted}: {consequence}")?;
        match refusal {
            Some(refusal) => write!(f, "; it cannot be set: {refusal}"),
            None => Ok(()),
        }
    }
}

/// Looks after the settings, and remembers which it has set.
#[derive(Debug, Default)]
pub struct Settings {
    /// By full name.
    set: BTreeSet<String>,
}

impl Settings {
    /// Looks at every setting that matters, and sets those that are ours to set.
    pub fn check(&mut self, needs: &Needs) -> Vec<Setting> {
        let mut settings = vec![];
        for family in &needs.families {
            settings.push(self.forwarding(*family));
            settings.extend(match family {
                Family::Ipv4Unicast => self.ipv4(needs),
                Family::Ipv6Unicast => self.ipv6(needs),
            });
            if needs.multipath {
                settings.extend(self.hash_policy(*family));
            }
            settings.extend(self.neighbours(*family, needs.hosts));
        }
        if !needs.families.is_empty() {
            settings.extend(self.compatibility());
        }
        settings
    }

    fn forwarding(&mut self, family: Family) -> Setting {
        let (name, consequence) = match family {
            Family::Ipv4Unicast => ("net.ipv4.ip_forward", "no IPv4 packet is forwarded to or from pods"),
            Family::Ipv6Unicast => {
                ("net.ipv6.conf.all.forwarding", "no IPv6 packet is forwarded to or from pods")
            }
        };
        let mut check = Check::needed(self, name, consequence);
        check.setting.stops = Some(family);
        check.ensure(
            Sysctl::named(name),
            "1",
            |value| value != "0",
            || match family {
                Family::Ipv4Unicast => Ok(()),
                Family::Ipv6Unicast => sysctl::keep_router_advertisements(),
            },
        );
        check.setting
    }

    fn ipv4(&mut self, needs: &Needs) -> Vec<Setting> {
        let mut found = vec![];
        let consequence = "no IPv4 packet that comes in there is forwarded";
        let mut check = Check::needed(self, "net.ipv4.conf.*.forwarding", consequence);
        check.ensure(Sysctl::of(Family::Ipv4Unicast, &needs.bridge, "forwarding"), "1", is_on, || Ok(()));
        check.setting.stops = (!check.setting.faults.is_empty()).then_some(Family::Ipv4Unicast);
        // While it is off everywhere, that has been said.
        if sysctl::forwards(Family::Ipv4Unicast).unwrap_or(false) {
            for uplink in &needs.uplinks {
                check.report(Sysctl::of(Family::Ipv4Unicast, uplink, "forwarding"), "1", is_on);
            }
        }
        found.push(check.setting);
        found.push(self.reverse_path(needs));

        let consequence = "the node answers ARP for pods of other nodes";
        let mut check = Check::advised(self, "net.ipv4.conf.*.proxy_arp", consequence);
        for uplink in &needs.uplinks {
            let either = check.either(uplink, "proxy_arp", u32::max);
            check.report(either, "0", is_off);
        }
        found.push(check.setting);
        for (name, of, both, consequence) in [
            (
                "net.ipv4.conf.*.accept_redirects",
                "accept_redirects",
                u32::min as fn(u32, u32) -> u32,
                "a pod can tell the node to route elsewhere",
            ),
            (
                "net.ipv4.conf.*.send_redirects",
                "send_redirects",
                u32::max,
                "pods are told to reach the pods behind a Service directly, and then cannot",
            ),
        ] {
            let mut check = Check::advised(self, name, consequence);
            let either = check.either(&needs.bridge, of, both);
            check.report(either, "0", is_off);
            found.push(check.setting);
        }
        found
    }

    fn reverse_path(&mut self, needs: &Needs) -> Setting {
        let consequence =
            "packets that come by another interface than their answers would leave by are dropped";
        let mut check = Check::needed(self, "net.ipv4.conf.*.rp_filter", consequence);
        if needs.uplinks.len() > 1 {
            for uplink in &needs.uplinks {
                let all = Sysctl::of(Family::Ipv4Unicast, "all", "rp_filter").read();
                let own = Sysctl::of(Family::Ipv4Unicast, uplink, "rp_filter");
                let not_strict = |value: &str| {
                    let own: u32 = value.parse().unwrap_or(0);
                    all.as_ref().ok().and_then(|all| all.parse().ok()).unwrap_or(0).max(own) != 1
                };
                if needs.loose_reverse_path {
                    check.ensure(own, "2", not_strict, || Ok(()));
                } else {
                    check.report(own, "2 (as would be one of net.ipv4.conf.all)", not_strict);
                }
            }
        }
        check.setting
    }

    fn ipv6(&mut self, needs: &Needs) -> Vec<Setting> {
        let consequence = "pods have no IPv6";
        let mut check = Check::needed(self, IPV6_ON_THE_BRIDGE, consequence);
        check.ensure(Sysctl::of(Family::Ipv6Unicast, &needs.bridge, "disable_ipv6"), "0", is_off, || Ok(()));
        check.setting.stops = Some(Family::Ipv6Unicast);
        let disabled = check.setting;
        let consequence =
            "its address comes from router advertisements, which are not heeded while forwarding is on";
        let mut check = Check::needed(self, "net.ipv6.conf.*.accept_ra", consequence);
        for uplink in sysctl::configured_by_routers() {
            if needs.uplinks.contains(&uplink) {
                let setting = Sysctl::of(Family::Ipv6Unicast, &uplink, "accept_ra");
                check.report(setting, "2", |value| value != "1");
            }
        }
        vec![disabled, check.setting]
    }

    fn hash_policy(&mut self, family: Family) -> Option<Setting> {
        let name = match family {
            Family::Ipv4Unicast => "net.ipv4.fib_multipath_hash_policy",
            Family::Ipv6Unicast => "net.ipv6.fib_multipath_hash_policy",
        };
        let consequence = "with several next hops, all connections between two addresses take the same one";
        let mut check = Check::advised(self, name, consequence);
        check.report_where_known(Sysctl::named(name), "1", |value| value != "0")?;
        Some(check.setting)
    }

    fn compatibility(&mut self) -> Option<Setting> {
        let name = "net.ipv4.nexthop_compat_mode";
        let consequence = "when a next hop changes, the kernel describes each route by it anew, which takes a second for a million";
        let mut check = Check::advised(self, name, consequence);
        check.report_where_known(Sysctl::named(name), "0", is_off)?;
        Some(check.setting)
    }

    fn neighbours(&mut self, family: Family, hosts: u64) -> Option<Setting> {
        let name = match family {
            Family::Ipv4Unicast => "net.ipv4.neigh.default.gc_thresh3",
            Family::Ipv6Unicast => "net.ipv6.neigh.default.gc_thresh3",
        };
        let consequence = "the kernel may know too few hardware addresses for all peers and pods at once";
        let mut check = Check::advised(self, name, consequence);
        let enough = |value: &str| value.parse::<u64>().is_ok_and(|most| most >= hosts);
        // Only the machine's own namespace has it.
        check.report_where_known(Sysctl::named(name), &format!("at least {hosts}"), enough)?;
        Some(check.setting)
    }
}

fn is_on(value: &str) -> bool {
    value != "0"
}

fn is_off(value: &str) -> bool {
    value == "0"
}

/// A setting that is being looked at.
struct Check<'a> {
    settings: &'a mut Settings,
    consequence: &'static str,
    setting: Setting,
}

impl<'a> Check<'a> {
    fn needed(settings: &'a mut Settings, name: &'static str, consequence: &'static str) -> Check<'a> {
        let setting = Setting {
            name,
            weight: Weight::Needed,
            stops: None,
            set: false,
            repairs: vec![],
            faults: vec![],
        };
        Check { settings, consequence, setting }
    }

    fn advised(settings: &'a mut Settings, name: &'static str, consequence: &'static str) -> Check<'a> {
        let mut check = Check::needed(settings, name, consequence);
        check.setting.weight = Weight::Advised;
        check
    }

    /// Sets a value unless it is right. A missing interface has no wrong setting: it gets one
    /// when it comes.
    fn ensure(
        &mut self,
        sysctl: Sysctl,
        wanted: &str,
        right: impl Fn(&str) -> bool,
        before: impl FnOnce() -> Result<(), super::Error>,
    ) {
        let value = match sysctl.read() {
            Ok(value) if right(&value) => {
                self.setting.set |= self.settings.set.contains(&sysctl.name());
                return;
            }
            Ok(value) => value,
            Err(_) if sysctl.interface_is_missing() => return,
            Err(error) => return self.fault(&sysctl, "unreadable", wanted, Some(error.to_string())),
        };
        let outcome = before().and_then(|()| sysctl.write(wanted));
        match outcome {
            Ok(()) => {
                self.setting.set = true;
                let repair = format!("{} was {value} and has been set to {wanted}", sysctl.name());
                self.setting.repairs.push(repair);
                self.settings.set.insert(sysctl.name());
            }
            Err(error) => self.fault(&sysctl, &value, wanted, Some(error.to_string())),
        }
    }

    /// Reports a value that is not right.
    fn report(&mut self, sysctl: Sysctl, wanted: &str, right: impl Fn(&str) -> bool) {
        let _ = self.report_where_known(sysctl, wanted, right);
    }

    /// The same; `None` where the kernel, or this namespace, has no such setting.
    fn report_where_known(
        &mut self,
        sysctl: Sysctl,
        wanted: &str,
        right: impl Fn(&str) -> bool,
    ) -> Option<()> {
        let value = sysctl.read().ok()?;
        if !right(&value) {
            self.fault(&sysctl, &value, wanted, None);
        }
        Some(())
    }

    /// An IPv4 setting of an interface that counts together with that of `all`: whichever of the two
    /// decides.
    fn either(&self, interface: &str, setting: &str, both: fn(u32, u32) -> u32) -> Sysctl {
        let own = Sysctl::of(Family::Ipv4Unicast, interface, setting);
        let all = Sysctl::of(Family::Ipv4Unicast, "all", setting);
        let number = |sysctl: &Sysctl| sysctl.read().ok().and_then(|value| value.parse::<u32>().ok());
        match (number(&own), number(&all)) {
            (Some(of_own), Some(of_all)) if both(of_own, of_all) != of_own => all,
            _ => own,
        }
    }

    fn fault(&mut self, sysctl: &Sysctl, value: &str, wanted: &str, refusal: Option<String>) {
        self.setting.faults.push(Fault {
            name: sysctl.name(),
            value: value.to_owned(),
            wanted: wanted.to_owned(),
            consequence: self.consequence,
            refusal,
        });
    }
}
