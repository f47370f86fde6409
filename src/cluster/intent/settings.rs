//! The settings of one node: `BgpConfiguration`s laid over each other, and the defaults below them.
//!
//! For each field: what the overrides that select the node say, else what `default` says, else the
//! built-in default. Overrides have no order among themselves, so two that disagree about a field for
//! one node are an error that names both.

mod cni;
mod identity;
mod readiness;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use self::readiness::Readiness;
use super::{PodNetwork, RuleIntent};
use crate::bfd;
use crate::cluster::Finding;
use crate::cluster::objects::bfd::MeshBfdSpec;
use crate::cluster::objects::bgp_configuration::{BgpConfigurationSpec, Mesh};
use crate::cluster::objects::duration::Span;
use crate::cluster::objects::graceful_restart::GracefulRestartSpec;
use crate::cluster::objects::kernel::{ReversePathFilter, RuleSpec};
use crate::cluster::objects::{Node, ObjectSet, selector};
use crate::prefix::Prefix;
use crate::speaker::intent::{BfdIntent, FibIntent, GracefulRestart, Listen};

/// What holds for one node, with no default left to fill in.
pub(super) struct Settings {
    pub(super) asn: u32,
    pub(super) router_id: Ipv4Addr,
    /// The node's part in the mesh; `None` for no part.
    pub(super) mesh: Option<Role>,
    pub(super) cluster_id: Option<Ipv4Addr>,
    pub(super) listen: Listen,
    pub(super) fib: FibIntent,
    pub(super) restart: Restart,
    /// BFD on mesh sessions, if this node has it.
    pub(super) bfd: Option<BfdIntent>,
    pub(super) pods: PodNetwork,
    pub(super) service_cidrs: Vec<Prefix>,
    pub(super) rules: Vec<RuleIntent>,
    pub(super) loose_reverse_path: bool,
    pub(super) readiness: Readiness,
}

/// What a node is in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// One of many equals.
    Full,
    /// A route reflector (RFC 4456).
    Reflector,
    /// A client of the reflectors.
    Client,
}

impl Settings {
    /// The settings of a node. Contradictions between overrides are added to `errors`, and the first
    /// override by name holds meanwhile.
    pub(super) fn of(objects: &ObjectSet, name: &str, node: &Node, errors: &mut Vec<Finding>) -> Settings {
        let mut layers = Layers::of(objects, name, node, errors);
        let fib = FibIntent {
            install: layers.value("spec.fib.install", |s| s.fib.as_ref()?.install).unwrap_or(true),
            table: layers.value("spec.fib.table", |s| s.fib.as_ref()?.table).map_or(254, |table| table.0),
            protocol: layers.value("spec.fib.protocol", |s| s.fib.as_ref()?.protocol).unwrap_or(114),
            metric: layers.value("spec.fib.metric", |s| s.fib.as_ref()?.metric).map_or(20, |n| n.get()),
            max_paths: layers
                .value("spec.fib.maxPaths", |s| s.fib.as_ref()?.max_paths)
                .map_or(16, |n| n.get()),
            next_hop_groups: layers
                .value("spec.fib.nextHopGroups", |s| s.fib.as_ref()?.next_hop_groups)
                .unwrap_or(true),
            install_backup: layers
                .value("spec.fib.installBackup", |s| s.fib.as_ref()?.install_backup)
                .unwrap_or(false),
        };
        let rules = rules(&mut layers, &fib);
        let reverse_path =
            layers.value("spec.kernel.reversePathFilter", |s| s.kernel.as_ref()?.reverse_path_filter);
        let everywhere = || vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let addresses = layers.value("spec.listen.addresses", |s| s.listen.as_ref()?.addresses.clone());
        let listen = Listen {
            port: layers
                .value("spec.listen.port", |s| s.listen.as_ref()?.port)
                .map_or(179, |port| port.get()),
            addresses: BTreeSet::from_iter(addresses.unwrap_or_else(everywhere)),
            mark: layers.value("spec.socketMark", |s| s.socket_mark).unwrap_or(0),
        };
        let service_cidrs =
            layers.value("spec.serviceCIDRs", |s| s.service_cidrs.clone()).unwrap_or_default();
        Settings {
            asn: identity::asn(&mut layers, node),
            router_id: identity::router_id(&mut layers, node),
            mesh: role(&mut layers, node),
            cluster_id: layers.value("spec.reflectors.clusterId", |s| s.reflectors.as_ref()?.cluster_id),
            listen,
            fib,
            restart: Restart::of(&mut layers),
            bfd: bfd(&mut layers),
            pods: cni::pods(&mut layers),
            service_cidrs: service_cidrs.iter().map(|cidr| cidr.0).collect(),
            rules,
            loose_reverse_path: reverse_path == Some(ReversePathFilter::Loose),
            readiness: Readiness::of(&mut layers),
        }
    }
}

/// Graceful restart with peers that no object says more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restart {
    enabled: bool,
    times: GracefulRestart,
}

impl Restart {
    fn of(layers: &mut Layers<'_>) -> Restart {
        let default = GracefulRestart::default();
        let field = "spec.gracefulRestart.partialDeployment";
        let partial = layers.value(field, |s| s.graceful_restart.as_ref()?.partial_deployment);
        let mut time = |field: &str, of: fn(&GracefulRestartSpec) -> Option<Span>, default| {
            let field = format!("spec.gracefulRestart.{field}");
            layers.value(&field, |s| of(s.graceful_restart.as_ref()?)).map_or(default, |span| span.0)
        };
        let times = GracefulRestart {
            restart_time: time("restartTime", |s| s.restart_time, default.restart_time),
            stale_time: time("stalePathTime", |s| s.stale_path_time, default.stale_time),
            long_lived_time: time("longLivedStaleTime", |s| s.long_lived_stale_time, default.long_lived_time),
            partial_deployment: partial.unwrap_or(false),
        };
        let enabled = layers.value("spec.gracefulRestart.enabled", |s| s.graceful_restart.as_ref()?.enabled);
        Restart { enabled: enabled.unwrap_or(true), times }
    }

    /// The same, with what a `BgpPeer` says of itself.
    pub(super) fn with(self, spec: Option<&GracefulRestartSpec>) -> Restart {
        let Some(spec) = spec else { return self };
        let time = |own: Option<Span>, otherwise| own.map_or(otherwise, |span| span.0);
        let times = GracefulRestart {
            restart_time: time(spec.restart_time, self.times.restart_time),
            stale_time: time(spec.stale_path_time, self.times.stale_time),
            long_lived_time: time(spec.long_lived_stale_time, self.times.long_lived_time),
            partial_deployment: spec.partial_deployment.unwrap_or(self.times.partial_deployment),
        };
        Restart { enabled: spec.enabled.unwrap_or(self.enabled), times }
    }

    /// What a session is to do.
    pub(super) fn intent(self) -> Option<GracefulRestart> {
        self.enabled.then_some(self.times)
    }
}

/// The rules that lead to our table. The tables that every kernel has need none: packets that match a rule
/// there would only be sent where they go anyway.
fn rules(layers: &mut Layers<'_>, fib: &FibIntent) -> Vec<RuleIntent> {
    const WITH_RULES_OF_THE_KERNEL: std::ops::RangeInclusive<u32> = 253..=255;
    let found = layers.find("spec.fib.rules", |s| s.fib.as_ref()?.rules.clone());
    let Some((object, rules)) = found.filter(|(_, rules)| !rules.is_empty()) else { return vec![] };
    if WITH_RULES_OF_THE_KERNEL.contains(&fib.table) {
        let text = "need a table of our own: the kernel's rules lead to main, local and default already; \
                    give its number as spec.fib.table";
        layers.errors.push(Finding::about(configuration(object), "spec.fib.rules", text));
    }
    let intent = |rule: &RuleSpec| RuleIntent {
        priority: rule.priority,
        from: rule.from.map(|cidr| cidr.0),
        to: rule.to.map(|cidr| cidr.0),
        interface: rule.iif.as_ref().map(|name| name.as_str().to_owned()),
        mark: rule.fwmark.map(|mark| (mark.mark, mark.mask)),
    };
    if fib.install { rules.iter().map(intent).collect() } else { vec![] }
}

/// The interval of BFD packets where none is given, either way.
pub(super) const BFD_INTERVAL: Duration = Duration::from_millis(300);
/// How many of them may be missed where nothing is said.
pub(super) const BFD_MULTIPLIER: u8 = 3;

/// BFD on mesh sessions, if the node has it.
fn bfd(layers: &mut Layers<'_>) -> Option<BfdIntent> {
    let given = layers.value("spec.bfd", |s| s.bfd.as_ref().map(|_| ())).is_some();
    let enabled = layers.value("spec.bfd.enabled", |s| s.bfd.as_ref()?.enabled);
    let mut interval = |field: &str, of: fn(&MeshBfdSpec) -> Option<Span>| {
        let value = layers.value(&format!("spec.bfd.{field}"), |s| of(s.bfd.as_ref()?));
        value.map_or(BFD_INTERVAL, |span| span.0)
    };
    let (min_tx, min_rx) = (interval("minTx", |s| s.min_tx), interval("minRx", |s| s.min_rx));
    let multiplier = layers.value("spec.bfd.multiplier", |s| s.bfd.as_ref()?.multiplier);
    let detect_multiplier = multiplier.map_or(BFD_MULTIPLIER, |multiplier| multiplier.get());
    let hops = layers.value("spec.bfd.multihop", |s| s.bfd.as_ref()?.multihop);
    let config = bfd::Config { min_tx, min_rx, detect_multiplier, key: None };
    let hops = Some(hops.map_or(1, |hops| hops.get()));
    enabled.unwrap_or(given).then_some(BfdIntent { config, strict: false, hops })
}

/// The node's part in the mesh that its own settings ask for.
fn role(layers: &mut Layers<'_>, node: &Node) -> Option<Role> {
    let mesh = layers.find("spec.mesh", |s| s.mesh);
    let reflectors =
        layers.value("spec.reflectors.nodeSelector", |s| Some(s.reflectors.as_ref()?.node_selector.clone()));
    match (mesh, reflectors) {
        (None | Some((_, Mesh::Full)), _) => Some(Role::Full),
        (Some((_, Mesh::None)), _) => None,
        (Some((_, Mesh::Reflectors)), Some(selector)) => {
            Some(if selector::matches(&selector, &node.labels) { Role::Reflector } else { Role::Client })
        }
        (Some((object, Mesh::Reflectors)), None) => {
            let text = "required with mesh: reflectors";
            layers.errors.push(Finding::about(configuration(object), "spec.reflectors.nodeSelector", text));
            None
        }
    }
}

/// The objects that hold for one node.
struct Layers<'a> {
    node: &'a str,
    /// Overrides that select the node, by name.
    overrides: Vec<(&'a str, &'a BgpConfigurationSpec)>,
    default: Option<&'a BgpConfigurationSpec>,
    errors: &'a mut Vec<Finding>,
}

impl<'a> Layers<'a> {
    fn of(objects: &'a ObjectSet, name: &'a str, node: &Node, errors: &'a mut Vec<Finding>) -> Self {
        let selects = |spec: &BgpConfigurationSpec| {
            spec.node_selector.as_ref().is_some_and(|selector| selector::matches(selector, &node.labels))
        };
        let overrides = (objects.configurations.iter())
            .filter(|(name, spec)| *name != BgpConfigurationSpec::DEFAULT_NAME && selects(spec))
            .map(|(name, spec)| (name.as_str(), spec))
            .collect();
        let default = objects.configurations.get(BgpConfigurationSpec::DEFAULT_NAME);
        Layers { node: name, overrides, default, errors }
    }

    /// What holds for a field, if any object says so.
    fn value<T: PartialEq>(
        &mut self,
        field: &str,
        of: impl Fn(&BgpConfigurationSpec) -> Option<T>,
    ) -> Option<T> {
        self.find(field, of).map(|(_, value)| value)
    }

    /// The same, with the name of the object that says so.
    fn find<T: PartialEq>(
        &mut self,
        field: &str,
        of: impl Fn(&BgpConfigurationSpec) -> Option<T>,
    ) -> Option<(&'a str, T)> {
        let mut found: Option<(&'a str, T)> = None;
        for (name, spec) in &self.overrides {
            match (of(spec), &found) {
                (Some(value), None) => found = Some((*name, value)),
                (Some(value), Some((first, held))) if value != *held => {
                    let text = format!("contradicts {} for Node {}", configuration(first), self.node);
                    self.errors.push(Finding::about(configuration(name), field, text));
                }
                _ => {}
            }
        }
        found.or_else(|| Some((BgpConfigurationSpec::DEFAULT_NAME, of(self.default?)?)))
    }
}

fn configuration(name: &str) -> String {
    format!("BgpConfiguration {name}")
}
