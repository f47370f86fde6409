//! Objects to Intent as a table, in `cases.txt`, and what must hold whatever the objects are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Compiled, compile};
use crate::bgp::PathAttributes;
use crate::cluster::ObjectSet;
use crate::cluster::manifests::parse;
use crate::cluster::objects::Object;
use crate::prefix::{Family, Prefix};
use crate::rib::policy::{AsPathMatch, CommunityMatch, PrefixSet, Rule};
use crate::speaker::intent::{
    AsPathRules, BfdIntent, Exchange, ExtendedNextHop, FastFailover, Intent, NextHopRule, Origination,
    PeerIntent, PeerOrigin, Policy, PrefixRule, Retreat, Scope, Timers,
};

/// The nodes of the first case: the reference cluster, dual stack.
const CLUSTER: &str = include_str!("cluster.yaml");

fn objects(text: &str) -> ObjectSet {
    parse([("case.yaml", text)]).unwrap_or_else(|error| panic!("{error}")).objects
}

/// The settings of a node that is told nothing.
const DEFAULTS: [&str; 6] = [
    "listen 179 on 0.0.0.0 ::",
    "FibIntent { install: true, table: 254, protocol: 114, metric: 20, max_paths: 16, next_hop_groups: true, install_backup: false }",
    "pods in pod-network, Bridge, bridge cni0, mtu None, hairpin: true",
    "no masquerade",
    "loose reverse path: false",
    "waits 60s for peers, then loses routelet.dev/agent-not-ready",
];

/// An Intent in as few words as tell it from any other in the table.
fn show(compiled: &Compiled) -> String {
    let Compiled { intent, network, startup_taint, warnings } = compiled;
    let mut text = format!("AS {}, router id {}", intent.asn, intent.router_id);
    if let Some(id) = intent.cluster_id {
        write!(text, ", cluster id {id}").unwrap();
    }
    writeln!(text, "\naddresses {}", list(&intent.addresses)).unwrap();
    writeln!(text, "pod CIDRs {}", list(&intent.pod_cidrs)).unwrap();
    writeln!(text, "protected {}", list(&intent.protected)).unwrap();
    for (prefix, own) in &*intent.originated {
        writeln!(text, "originate {prefix}{}", show_origination(own)).unwrap();
    }
    for (prefix, scope) in &*intent.scopes {
        writeln!(text, "anycast {prefix} {}", show_scope(scope)).unwrap();
    }
    let pods = &network.pods;
    let masquerade =
        format!("masquerade but to {}; to what is learned: {}", list(&pods.exempt), pods.masquerade_learned);
    // What is as it is without any configuration goes without saying.
    let settings = [
        format!("listen {} on {}", intent.listen.port, list(&intent.listen.addresses)),
        format!("{:?}", intent.fib),
        format!(
            "pods in {}, {:?}, bridge {}, mtu {:?}, hairpin: {}",
            pods.name, pods.mode, pods.bridge, pods.mtu, pods.hairpin
        ),
        if pods.masquerade { masquerade } else { "no masquerade".to_owned() },
        format!("loose reverse path: {}", network.loose_reverse_path),
        format!(
            "waits {:?} for peers, then loses {}",
            intent.gate.timeout,
            startup_taint.as_deref().unwrap_or("no taint")
        ),
    ];
    if intent.listen.mark != 0 {
        writeln!(text, "mark {:#x}", intent.listen.mark).unwrap();
    }
    for (setting, _) in settings.iter().zip(DEFAULTS).filter(|(setting, default)| setting != default) {
        writeln!(text, "{setting}").unwrap();
    }
    if intent.gate.required_peers != u32::from(!intent.peers.is_empty()) {
        writeln!(text, "requires {} peers", intent.gate.required_peers).unwrap();
    }
    if intent.retreat.is_some() && !intent.last_announced.is_empty() {
        writeln!(text, "holds on to {}", list(&intent.last_announced)).unwrap();
    }
    if let Some(Retreat { extent, why, ends_daemon }) = &intent.retreat {
        writeln!(text, "leaves with {extent:?}: {why}; ends the daemon: {ends_daemon}").unwrap();
    }
    for rule in &network.rules {
        writeln!(text, "{rule:?}").unwrap();
    }
    assert_eq!(network.pod_cidrs, intent.pod_cidrs);
    for (name, peer) in &intent.peers {
        show_peer(&mut text, name, peer);
        if let Some(name) = &peer.scope_name {
            writeln!(text, "  told as {name}").unwrap();
        }
        assert_eq!(peer.anycast != Exchange::ByPolicy, peer.origin == PeerOrigin::Mesh);
    }
    for (name, range) in &intent.ranges {
        writeln!(text, "Range {}, at most {}", range.range, range.limit).unwrap();
        show_peer(&mut text, name, &range.template);
    }
    for warning in warnings {
        writeln!(text, "warning: {warning}").unwrap();
    }
    text
}

fn show_origination(own: &Origination) -> String {
    let mut text = String::new();
    let communities = own.communities.iter().map(|c| format!(" +{:#x}", c.0));
    let large = own.large_communities.iter();
    let large = large.map(|c| format!(" +{}:{}:{}", c.global_administrator, c.local_data_1, c.local_data_2));
    text.extend(communities.chain(large));
    text.extend(own.local_pref.map(|value| format!(", preference {value}")));
    text.extend(own.weight.map(|value| format!(", weight {value}")));
    format!("{text}{} {}", if own.aggregate { ", aggregate" } else { "" }, show_scope(&own.scope))
}

fn show_scope(scope: &Scope) -> String {
    let peers = scope.peers.as_ref().map_or("all peers".to_owned(), list);
    format!("to {peers}{}", if scope.mesh { " and the mesh" } else { "" })
}

fn show_peer(text: &mut String, name: &str, peer: &PeerIntent) {
    let source = peer.source.map(|source| source.to_string());
    let source = source.or(peer.source_interface.clone()).unwrap_or("*".into());
    let interface = peer.interface.as_ref().map_or(String::new(), |name| format!("%{name}"));
    let flags = [
        (peer.passive, "passive"),
        (peer.route_reflector_client, "client"),
        (peer.next_hop == NextHopRule::Own, "next hop self"),
        (peer.accept_blackhole, "blackhole"),
        (peer.add_path.receive, "Add-Path received"),
        (peer.password.is_some(), "password"),
    ];
    let role = peer.role.map_or(String::new(), |role| format!(", {role}"));
    let strict = if peer.role_strict { " (strict)" } else { "" };
    let flags: String = flags.iter().filter(|(on, _)| *on).map(|(_, name)| format!(", {name}")).collect();
    let (address, port, asn, distance) = (peer.address, peer.port, peer.asn, peer.distance);
    let timers = &peer.timers;
    writeln!(
        text,
        "{:?} {name}: {source} → {address}{interface} port {port}, {asn:?}{role}{strict}{flags}",
        peer.origin
    )
    .unwrap();
    writeln!(text, "  {}, {distance:?}", list(&peer.families)).unwrap();
    if peer.fast_failover != FastFailover::Connected {
        writeln!(text, "  fast failover: {:?}", peer.fast_failover).unwrap();
    }
    if *timers != Timers::default() {
        writeln!(text, "  timers {:?} {:?} {:?}", timers.hold, timers.keepalive, timers.connect_retry)
            .unwrap();
    }
    if let Some(timeout) = timers.user_timeout {
        writeln!(text, "  TCP user timeout {timeout:?}").unwrap();
    }
    if peer.socket_mark != 0 {
        writeln!(text, "  mark {:#x}", peer.socket_mark).unwrap();
    }
    if timers.damping != Timers::default().damping {
        writeln!(text, "  {:?}", timers.damping).unwrap();
    }
    if peer.as_path != AsPathRules::default() {
        writeln!(text, "  {:?}", peer.as_path).unwrap();
    }
    if !matches!(peer.next_hop, NextHopRule::Standard | NextHopRule::Own) {
        writeln!(text, "  next hop {:?}", peer.next_hop).unwrap();
    }
    if let Some(send) = peer.add_path.send {
        writeln!(text, "  Add-Path sent: {send:?}").unwrap();
    }
    if peer.extended_next_hop != ExtendedNextHop::WhereNeeded {
        writeln!(text, "  extended next hop: {:?}", peer.extended_next_hop).unwrap();
    }
    if let Some(BfdIntent { config, strict, hops }) = &peer.bfd {
        let (tx, rx, missed) = (config.min_tx, config.min_rx, config.detect_multiplier);
        let more = [(*strict, ", strict"), (config.key.is_some(), ", with a key")];
        let more: String = more.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        writeln!(
            text,
            "  BFD every {tx:?} / {rx:?}, {missed} missed{more}{}",
            hops.map_or(String::new(), |hops| format!(", {hops} hop(s)"))
        )
        .unwrap();
    }
    let limit = peer.max_prefixes.map_or(String::new(), |most| {
        format!(", at most {} ({:?}, warned at {}%)", most.limit, most.action, most.warn_at)
    });
    writeln!(text, "  import {}{limit}", rules(&peer.import)).unwrap();
    let communities: String = peer.export_communities.iter().map(|c| format!(" +{c:#x}")).collect();
    writeln!(text, "  export {}{communities}", rules(&peer.export)).unwrap();
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".into() } else { items.join(" ") }
}

/// The prefixes that are let through as they are; of every other rule what it is made of.
fn rules(policy: &Policy) -> String {
    let (mut text, mut listed) = (String::new(), vec![]);
    for rule in &policy.rules {
        match &rule.matches.prefixes {
            Some(prefixes) if *rule == accepting(prefixes) => listed.extend(prefixes.rules()),
            _ => write!(text, "{}; ", show_rule(rule)).unwrap(),
        }
    }
    let prefixes = list(listed.into_iter().map(show_prefix));
    text + &prefixes
}

fn accepts(policy: &Policy, prefix: Prefix) -> bool {
    let path = PathAttributes::originated("192.0.2.1".parse().unwrap());
    policy.judge(prefix, &path).is_some()
}

fn accepting(prefixes: &PrefixSet) -> Rule {
    Policy::accepting(prefixes.rules().iter().copied()).rules.remove(0)
}

fn show_prefix(rule: &PrefixRule) -> String {
    match rule.prefix.length() {
        own if (own, own) == (rule.ge, rule.le) => rule.prefix.to_string(),
        _ => format!("{}{{{}..{}}}", rule.prefix, rule.ge, rule.le),
    }
}

/// A rule by those of its parts that are there.
fn show_rule(rule: &Rule) -> String {
    let (matches, set) = (&rule.matches, &rule.set);
    let mut text = String::from("if");
    let mut part = |there: bool, what: String| {
        if there {
            write!(text, " {what}").unwrap();
        }
    };
    for (name, prefixes) in [("prefix", &matches.prefixes), ("next hop", &matches.next_hop)] {
        let prefixes = prefixes.iter().flat_map(PrefixSet::rules).map(show_prefix);
        let prefixes: Vec<String> = prefixes.collect();
        part(!prefixes.is_empty(), format!("{name} {}", prefixes.join(" ")));
    }
    part(matches.as_path != AsPathMatch::default(), format!("{:?}", matches.as_path));
    part(matches.communities != CommunityMatch::default(), format!("{:?}", matches.communities));
    part(!set.is_empty(), format!("{set:?}"));
    part(true, format!("then {:?}", rule.action));
    text
}

#[test]
fn objects_become_intents() {
    check_cases(include_str!("cases.txt"));
}

#[test]
fn advertisements_become_originated_prefixes() {
    check_cases(include_str!("services.txt"));
}

fn check_cases(file: &str) {
    let (_, cases) = file.split_once("\n== ").unwrap();
    let mut wrong = String::new();
    for case in cases.split("\n== ") {
        let (title, case) = case.split_once('\n').unwrap();
        let (text, expected) = case.split_once("=> ").unwrap();
        let (node, expected) = expected.split_once('\n').unwrap();
        let came = match compile(&objects(text), node) {
            Ok(compiled) => show(&compiled),
            Err(error) => format!("error: {error}\n"),
        };
        if came.trim_end() != expected.trim_end() {
            write!(wrong, "== {title}\n{text}=> {node}\n{came}\n").unwrap();
        }
    }
    assert!(wrong.is_empty(), "came out otherwise than expected:\n\n{wrong}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Which file a document stands in, and where, is nobody's business.
    #[test]
    fn the_order_of_documents_and_files_does_not_matter(
        keys in prop::collection::vec((0..4usize, any::<u32>()), 32),
    ) {
        let documents: Vec<&str> = CLUSTER.split("\n---\n").collect();
        prop_assert!(documents.len() <= keys.len());
        let mut order: Vec<((usize, u32), &str)> = keys.into_iter().zip(documents).collect();
        order.sort();
        let mut files: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for ((file, _), document) in order {
            files.entry(file).or_default().push(document);
        }
        let files: Vec<(String, String)> =
            files.into_iter().map(|(n, documents)| (format!("{n}.yaml"), documents.join("\n---\n"))).collect();
        let shuffled = parse(files.iter().map(|(name, text)| (name.as_str(), text.as_str()))).unwrap().objects;
        let sorted = objects(CLUSTER);
        prop_assert_eq!(&shuffled, &sorted);
        for node in sorted.nodes.keys() {
            prop_assert_eq!(compile(&shuffled, node).unwrap(), compile(&sorted, node).unwrap());
        }
    }

    /// Whatever has come and gone before, only what is there counts.
    #[test]
    fn the_order_of_events_does_not_matter(
        events in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..60),
        keys in prop::collection::vec(any::<u32>(), 32),
    ) {
        let kinds = objects(CLUSTER);
        let all: Vec<Object> = all_of(&kinds);
        let mut there: BTreeMap<usize, Object> = BTreeMap::new();
        for (index, comes) in events {
            let index = index.index(all.len());
            if comes { there.insert(index, all[index].clone()); } else { there.remove(&index); }
            let set = set_of(there.values().cloned());
            // Most of these sets lack a Secret, or the node itself; that is an error, and nothing worse.
            for node in kinds.nodes.keys() {
                let _ = compile(&set, node);
            }
        }
        let mut order: Vec<(u32, Object)> = keys.into_iter().zip(all).collect();
        order.sort_by_key(|(key, _)| *key);
        let later = order.into_iter().map(|(_, object)| object);
        prop_assert_eq!(&set_of(there.into_values().chain(later)), &kinds);
    }

    /// Two nodes derive the same session without talking to each other, whatever addresses, roles and
    /// overrides they have.
    #[test]
    fn both_ends_of_a_mesh_session_agree(
        nodes in prop::collection::vec((0..5usize, 0..3usize, 0..4usize), 2..6),
        default in 0..3usize,
    ) {
        let objects = objects(&random_cluster(&nodes, default));
        let intents: BTreeMap<&String, Arc<Intent>> =
            objects.nodes.keys().map(|name| (name, compile(&objects, name).unwrap().intent)).collect();
        for (own, intent) in &intents {
            for (name, theirs) in intents.iter().filter(|(name, _)| name != &own) {
                match (intent.peers.get(*name), theirs.peers.get(*own)) {
                    (None, None) => {}
                    (Some(out), Some(back)) => {
                        prop_assert_eq!(out.origin, PeerOrigin::Mesh);
                        prop_assert_eq!((out.source, Some(out.address)), (Some(back.address), back.source));
                        prop_assert_eq!(&out.families, &back.families);
                        prop_assert!(out.families.contains(&Family::of(out.address)));
                        prop_assert!(out.asn.accepts(theirs.asn, intent.asn));
                        prop_assert!(!(out.route_reflector_client && back.route_reflector_client));
                        for prefix in &intent.pod_cidrs {
                            prop_assert!(accepts(&out.export, *prefix) && accepts(&back.import, *prefix));
                            prop_assert!(!accepts(&out.import, *prefix), "its own pod CIDR");
                        }
                    }
                    (out, back) => prop_assert!(false, "{own} has {out:?}, {name} has {back:?}"),
                }
            }
        }
    }
}

/// Every object of a set.
fn all_of(set: &ObjectSet) -> Vec<Object> {
    let nodes = set.nodes.iter().map(|(name, node)| Object::Node(name.clone(), node.clone()));
    let secrets = set.secrets.iter().map(|(name, secret)| Object::Secret(name.clone(), secret.clone()));
    let configurations = set.configurations.iter();
    let configurations =
        configurations.map(|(name, spec)| Object::Configuration(name.clone(), Box::new(spec.clone())));
    let peers = set.peers.iter().map(|(name, spec)| Object::Peer(name.clone(), Box::new(spec.clone())));
    nodes.chain(secrets).chain(configurations).chain(peers).collect()
}

fn set_of(objects: impl IntoIterator<Item = Object>) -> ObjectSet {
    let mut set = ObjectSet::default();
    objects.into_iter().for_each(|object| set.apply(object));
    set
}

#[test]
fn a_full_mesh_of_many_nodes_is_warned_about() {
    let warnings = |nodes: usize| compile(&many_nodes(nodes, "full"), "n1").unwrap().warnings;
    assert_eq!(warnings(100), []);
    let told: Vec<String> = warnings(120).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "BgpConfiguration default: spec.mesh: a full mesh of 120 nodes is 119 sessions on each and 7140 in all; \
         with mesh: reflectors and 3 reflectors it is 3 on each of the others"
        ]
    );
}

/// What reflectors exchange with each of thousands of nodes is one list in memory.
#[test]
fn sessions_with_clients_share_their_policies() {
    let intent = compile(&many_nodes(50, "reflectors"), "n1").unwrap().intent;
    let mut exports = intent.peers.values().map(|peer| &peer.export.rules[0].matches.prefixes);
    let first = exports.next().unwrap().as_ref().unwrap();
    assert_eq!(first.rules().len(), 50);
    assert!(exports.all(|other| std::ptr::eq(other.as_ref().unwrap().rules(), first.rules())));
}

/// A cluster of nodes `n1`, `n2`, …, of which the first three reflect.
fn many_nodes(count: usize, mesh: &str) -> ObjectSet {
    let mut text = format!(
        "{{apiVersion: routelet.dev/v1alpha1, kind: BgpConfiguration, metadata: {{name: default}}, spec: {{mesh: {mesh}, \
         reflectors: {{nodeSelector: {{matchLabels: {{reflects: \"true\"}}}}}}}}}}\n"
    );
    for i in 1..=count {
        let (high, low) = (i / 250, i % 250);
        write!(
            text,
            "---\n{{apiVersion: v1, kind: Node, metadata: {{name: n{i}, labels: {{reflects: \"{}\"}}}}, spec: {{podCIDRs: \
             [10.{}.{}.0/24]}}, status: {{addresses: [{{type: InternalIP, address: 172.16.{high}.{low}}}]}}}}\n",
            i <= 3,
            128 + i / 256,
            i % 256
        )
        .unwrap();
    }
    objects(&text)
}

/// Manifests of nodes with a choice of addresses, a choice of AS and a choice of role each.
fn random_cluster(nodes: &[(usize, usize, usize)], default: usize) -> String {
    let mesh = ["full", "reflectors", "none"];
    let mut text = format!(
        "{{apiVersion: routelet.dev/v1alpha1, kind: BgpConfiguration, metadata: {{name: default}}, spec: {{mesh: {}, \
         reflectors: {{nodeSelector: {{matchLabels: {{role: '1'}}}}}}}}}}\n",
        mesh[default]
    );
    for (i, mesh) in mesh.iter().enumerate() {
        write!(
            text,
            "---\n{{apiVersion: routelet.dev/v1alpha1, kind: BgpConfiguration, metadata: {{name: override{i}}}, spec: \
             {{mesh: {mesh}, nodeSelector: {{matchLabels: {{mesh: '{i}'}}}}}}}}\n---\n{{apiVersion: \
             routelet.dev/v1alpha1, kind: BgpConfiguration, metadata: {{name: rack{i}}}, spec: {{asn: 6500{i}, \
             nodeSelector: {{matchLabels: {{rack: '{i}'}}}}}}}}\n"
        )
        .unwrap();
    }
    for (i, (addresses, rack, role)) in nodes.iter().enumerate() {
        let (v4, v6) = (format!("192.168.1.1{i}"), format!("fd00::1{i}"));
        let addresses = match addresses {
            0 => vec![v4],
            1 => vec![v6],
            2 => vec![v4, v6],
            3 => vec![v6, v4],
            _ => vec![],
        };
        let addresses: Vec<String> =
            addresses.iter().map(|a| format!("{{type: InternalIP, address: '{a}'}}")).collect();
        write!(
            text,
            "---\n{{apiVersion: v1, kind: Node, metadata: {{name: n{i}, labels: {{rack: '{rack}', role: '{}', mesh: \
             '{role}'}}}}, spec: {{podCIDRs: [10.244.{i}.0/24]}}, status: {{addresses: [{}]}}}}\n",
            role % 2,
            addresses.join(", ")
        )
        .unwrap();
    }
    text
}
