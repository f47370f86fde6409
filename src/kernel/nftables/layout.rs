//! Our tables: their sets, chains and rules, which never depend on how many pods there are.
//!
//! As `nft list table inet routelet` and `nft list table bridge routelet` show them; of what ends in 4
//! there is the like that ends in 6:
//!
//! ```text
//! table inet routelet {
//!     set masqueraded4 { type ipv4_addr; }                      # pods whose traffic to the outside is masqueraded
//!     set networks4 { type ipv4_addr; flags interval; }         # … and where to it is not: the pods' own networks
//!     set exempt4 { type ipv4_addr; flags interval; }           # … and what the daemon says
//!     map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
//!     map addressed_ports4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
//!     set targets4 { type ipv4_addr . inet_proto . inet_service; }  # where mapped ports lead
//!     set bridges { type ifname . ifname; }                     # interfaces that pods with mapped ports are behind
//!
//!     chain postrouting {
//!         type nat hook postrouting priority srcnat;
//!         ip saddr @masqueraded4 ip daddr != @networks4 ip daddr != @exempt4 masquerade fully-random
//!         iifname . oifname @bridges ip daddr . meta l4proto . th dport @targets4 ct status dnat masquerade fully-random
//!         ip saddr 127.0.0.0/8 ip daddr . meta l4proto . th dport @targets4 ct status dnat masquerade fully-random
//!     }
//!     chain prerouting {  # and the same in output, for the node itself
//!         type nat hook prerouting priority dstnat;
//!         fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @addressed_ports4
//!         fib daddr type local dnat ip to meta l4proto . th dport map @ports4
//!     }
//!     chain loopback {
//!         type filter hook prerouting priority raw;
//!         ip daddr 127.0.0.0/8 iifname . iifname @bridges drop
//!     }
//! }
//! table bridge routelet {
//!     set checked { type ifname; }                              # ports whose pods may send only as themselves
//!     set stations { type ifname . ether_addr; }                # … which is what this says
//!     chain prerouting {
//!         type filter hook prerouting priority -300;
//!         iifname @checked iifname . ether saddr != @stations drop
//!         iifname @checked ether type arp iifname . arp saddr ether != @stations drop
//!     }
//! }
//! ```
//!
//! A pod that reaches itself or a pod beside it by a port of the node has its source masqueraded: the answer
//! would otherwise take the short way, past the translation. So has a program of the node that comes from
//! 127.0.0.1, which means nothing in the pod. For the latter to work the bridge must be allowed to carry
//! such addresses (`route_localnet`), and the chain `loopback` takes that back for what comes from a pod:
//! otherwise pods could reach what listens on the node's 127.0.0.1 (CVE-2020-8558).
//!
//! In `bridges` each interface stands with itself, and with an empty name: where the kernel lets bridged
//! packets through these chains (`bridge-nf-call-iptables`, which Kubernetes wants), what is sent from one port
//! of a bridge to another by way of a translation has no interface that it came by. Neither has what comes
//! from the node itself, whose source becomes the bridge's address, which is the node's as well.

use super::expression::{Base, Compare, Expressions, Meta};
use super::message::{Chain, Field, Scope, Shape, Transaction};
use crate::prefix::Family;

/// Name of both of our tables.
pub const TABLE: &str = "routelet";

const ADDRESS: [&[Field]; 2] = [&[Field::IPV4], &[Field::IPV6]];
const SERVICE: &[Field] = &[Field::PROTOCOL, Field::PORT];
const ADDRESSED_SERVICE: [&[Field]; 2] =
    [&[Field::IPV4, Field::PROTOCOL, Field::PORT], &[Field::IPV6, Field::PROTOCOL, Field::PORT]];
const TARGET: [&[Field]; 2] = [&[Field::IPV4, Field::PORT], &[Field::IPV6, Field::PORT]];

const fn set(name: &'static str, key: &'static [Field]) -> Shape {
    Shape { scope: Scope::Inet, name, key, data: &[], interval: false }
}

const fn intervals(name: &'static str, key: &'static [Field]) -> Shape {
    Shape { interval: true, ..set(name, key) }
}

const fn map(name: &'static str, key: &'static [Field], data: &'static [Field]) -> Shape {
    Shape { data, ..set(name, key) }
}

/// What there is one of for each family.
#[derive(Debug)]
pub struct PerFamily([Shape; 2]);

impl PerFamily {
    /// The one for this family.
    pub fn of(&'static self, family: Family) -> &'static Shape {
        match family {
            Family::Ipv4Unicast => &self.0[0],
            Family::Ipv6Unicast => &self.0[1],
        }
    }

    /// Both.
    pub fn both(&'static self) -> impl Iterator<Item = &'static Shape> {
        self.0.iter()
    }
}

/// Addresses of pods whose traffic to the outside is masqueraded.
pub static MASQUERADED: PerFamily =
    PerFamily([set("masqueraded4", ADDRESS[0]), set("masqueraded6", ADDRESS[1])]);
/// Where to it is not, by what the plugin knows.
pub static NETWORKS: PerFamily =
    PerFamily([intervals("networks4", ADDRESS[0]), intervals("networks6", ADDRESS[1])]);
/// Where to it is not, by what the daemon knows.
pub static EXEMPT: PerFamily =
    PerFamily([intervals("exempt4", ADDRESS[0]), intervals("exempt6", ADDRESS[1])]);
/// Ports of any of the node's addresses, and where they lead.
pub static PORTS: PerFamily =
    PerFamily([map("ports4", SERVICE, TARGET[0]), map("ports6", SERVICE, TARGET[1])]);
/// Ports of one of the node's addresses, and where they lead.
pub static ADDRESSED_PORTS: PerFamily = PerFamily([
    map("addressed_ports4", ADDRESSED_SERVICE[0], TARGET[0]),
    map("addressed_ports6", ADDRESSED_SERVICE[1], TARGET[1]),
]);
/// Where ports lead to, if sources are to be masqueraded where they must.
pub static TARGETS: PerFamily =
    PerFamily([set("targets4", ADDRESSED_SERVICE[0]), set("targets6", ADDRESSED_SERVICE[1])]);
/// The node's interfaces that pods with mapped ports are behind: as the way in and out, and as the way out
/// of what has none in.
pub static BRIDGES: Shape = set("bridges", &[Field::INTERFACE, Field::INTERFACE]);
/// Ports of bridges whose pods may send only as themselves.
pub static CHECKED: Shape = Shape { scope: Scope::Bridge, ..set("checked", &[Field::INTERFACE]) };
/// Who that is.
pub static STATIONS: Shape =
    Shape { scope: Scope::Bridge, ..set("stations", &[Field::INTERFACE, Field::STATION]) };

/// Every set and map of a table.
pub fn shapes(scope: Scope) -> Vec<&'static Shape> {
    match scope {
        Scope::Inet => [&MASQUERADED, &NETWORKS, &EXEMPT, &PORTS, &ADDRESSED_PORTS, &TARGETS]
            .into_iter()
            .flat_map(|shapes| shapes.both())
            .chain([&BRIDGES])
            .collect(),
        Scope::Bridge => vec![&CHECKED, &STATIONS],
    }
}

/// The sets and maps whose elements are some owner's.
pub fn owned(scope: Scope) -> Vec<&'static Shape> {
    let unowned = |shape: &&Shape| shape.interval;
    shapes(scope).into_iter().filter(|shape| !unowned(shape)).collect()
}

/// The sets and maps of which one at least has elements as long as a table serves anybody. The daemon's are
/// the last: whoever looks into one of them has the kernel begin with a list that may be very long.
pub fn used(scope: Scope) -> Vec<&'static Shape> {
    match scope {
        Scope::Inet => [&MASQUERADED, &PORTS, &ADDRESSED_PORTS, &EXEMPT]
            .into_iter()
            .flat_map(|shapes| shapes.both())
            .collect(),
        Scope::Bridge => vec![&CHECKED],
    }
}

/// Numbers of hooks (`enum nf_inet_hooks`; those of bridges are the same).
const PREROUTING: u32 = 0;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;

const INET_CHAINS: [Chain; 4] = [
    Chain { name: "postrouting", kind: "nat", hook: POSTROUTING, priority: 100 },
    Chain { name: "prerouting", kind: "nat", hook: PREROUTING, priority: -100 },
    Chain { name: "output", kind: "nat", hook: OUTPUT, priority: -100 },
    Chain { name: "loopback", kind: "filter", hook: PREROUTING, priority: -300 },
];

const BRIDGE_CHAINS: [Chain; 1] =
    [Chain { name: "prerouting", kind: "filter", hook: PREROUTING, priority: -300 }];

/// The chains of a table.
fn chains(scope: Scope) -> &'static [Chain] {
    match scope {
        Scope::Inet => &INET_CHAINS,
        Scope::Bridge => &BRIDGE_CHAINS,
    }
}

/// How many rules a table has.
pub fn rules(scope: Scope) -> usize {
    match scope {
        Scope::Inet => 5 + 2 * 4 + 1,
        Scope::Bridge => 2,
    }
}

/// Makes a table that is not there.
pub fn build(transaction: &mut Transaction, scope: Scope) {
    transaction.add_table(scope, TABLE);
    furnish(transaction, scope);
}

/// Makes again what somebody has taken out of a table, but for elements: those stay as they are.
pub fn repair(transaction: &mut Transaction, scope: Scope) {
    for chain in chains(scope) {
        transaction.add_chain(scope, TABLE, *chain);
        transaction.remove_rules(scope, TABLE, chain.name);
    }
    furnish(transaction, scope);
}

fn furnish(transaction: &mut Transaction, scope: Scope) {
    for chain in chains(scope) {
        transaction.add_chain(scope, TABLE, *chain);
    }
    for shape in shapes(scope) {
        transaction.add_set(TABLE, shape);
    }
    match scope {
        Scope::Inet => {
            postrouting(transaction);
            translation(transaction, "prerouting");
            translation(transaction, "output");
            rule(transaction, scope, "loopback", |rule| {
                rule.of_family(Family::Ipv4Unicast)
                    .payload(Base::Network, 16, 1, 0)
                    .compare(0, Compare::Equal, &[127])
                    .meta(Meta::InputName, 0)
                    .meta(Meta::InputName, 4)
                    .is_in(BRIDGES.name, 0, true)
                    .drop_it();
            });
        }
        Scope::Bridge => spoofing(transaction),
    }
}

fn rule(
    transaction: &mut Transaction,
    scope: Scope,
    chain: &str,
    fill: impl FnOnce(&mut Expressions<'_, '_>),
) {
    transaction.add_rule(scope, TABLE, chain, |attributes| fill(&mut Expressions(attributes)));
}

/// Registers that an address takes.
fn registers(family: Family) -> u32 {
    match family {
        Family::Ipv4Unicast => 1,
        Family::Ipv6Unicast => 4,
    }
}

fn postrouting(transaction: &mut Transaction) {
    for family in Family::ALL {
        rule(transaction, Scope::Inet, "postrouting", |rule| {
            rule.of_family(family)
                .source(family, 0)
                .is_in(MASQUERADED.of(family).name, 0, true)
                .destination(family, 0)
                .is_in(NETWORKS.of(family).name, 0, false)
                .destination(family, 0)
                .is_in(EXEMPT.of(family).name, 0, false)
                .masquerade();
        });
        rule(transaction, Scope::Inet, "postrouting", |rule| {
            rule.meta(Meta::InputName, 0).meta(Meta::OutputName, 4).is_in(BRIDGES.name, 0, true);
            to_target(rule.of_family(family), family);
        });
    }
    rule(transaction, Scope::Inet, "postrouting", |rule| {
        rule.of_family(Family::Ipv4Unicast);
        rule.payload(Base::Network, 12, 1, 0).compare(0, Compare::Equal, &[127]);
        to_target(rule, Family::Ipv4Unicast);
    });
}

/// Masquerades what goes where a mapped port leads, having been sent there by a translation.
fn to_target(rule: &mut Expressions<'_, '_>, family: Family) {
    rule.destination(family, 0)
        .service(registers(family))
        .is_in(TARGETS.of(family).name, 0, true)
        .is_translated()
        .masquerade();
}

/// A port of one address goes before the same port of all.
fn translation(transaction: &mut Transaction, chain: &str) {
    for family in Family::ALL {
        let address = registers(family);
        rule(transaction, Scope::Inet, chain, |rule| {
            rule.for_this_node()
                .of_family(family)
                .destination(family, 0)
                .service(address)
                .look_up(ADDRESSED_PORTS.of(family).name, 0)
                .translate_destination(family, 0, address);
        });
        rule(transaction, Scope::Inet, chain, |rule| {
            rule.for_this_node()
                .of_family(family)
                .service(0)
                .look_up(PORTS.of(family).name, 0)
                .translate_destination(family, 0, address);
        });
    }
}

fn spoofing(transaction: &mut Transaction) {
    /// Registers of an interface's name.
    const NAME: u32 = 4;
    rule(transaction, Scope::Bridge, "prerouting", |rule| {
        rule.meta(Meta::InputName, 0).is_in(CHECKED.name, 0, true);
        rule.meta(Meta::InputName, 0).payload(Base::Link, 6, 6, NAME);
        rule.is_in(STATIONS.name, 0, false).drop_it();
    });
    // What a frame says of its sender must be true within as well.
    rule(transaction, Scope::Bridge, "prerouting", |rule| {
        rule.meta(Meta::InputName, 0).is_in(CHECKED.name, 0, true);
        rule.payload(Base::Link, 12, 2, 0).compare(0, Compare::Equal, &[0x08, 0x06]);
        rule.meta(Meta::InputName, 0).payload(Base::Network, 8, 6, NAME);
        rule.is_in(STATIONS.name, 0, false).drop_it();
    });
}
