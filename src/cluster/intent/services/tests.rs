//! Who announces what, asked for all nodes at once; and that many Services are compiled in little time.

use std::collections::BTreeMap;
use std::io::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{advertisers, announced_by_none_but};
use crate::cluster::manifests::parse;
use crate::cluster::objects::endpoint_slice::{Endpoint, EndpointSlice, EndpointState};
use crate::cluster::objects::service::TrafficPolicy;
use crate::cluster::objects::{BgpAdvertisementSpec, NamespacedName, Node, ObjectSet, Service};
use crate::cluster::{Compiled, compile};

/// Every case of the table is a cluster that this must hold for.
fn clusters() -> Vec<ObjectSet> {
    let (_, cases) = include_str!("../services.txt").split_once("\n== ").unwrap();
    let texts =
        cases.split("\n== ").map(|case| case.split_once('\n').unwrap().1.split_once("=> ").unwrap().0);
    texts.map(|text| parse([("case.yaml", text)]).unwrap().objects).collect()
}

#[test]
fn the_advertisers_of_a_prefix_are_the_nodes_that_originate_it() {
    for objects in clusters() {
        let mut originating: BTreeMap<_, _> = BTreeMap::new();
        for node in objects.nodes.keys() {
            for prefix in compile(&objects, node).unwrap().intent.originated.keys() {
                let nodes: &mut std::collections::BTreeSet<String> = originating.entry(*prefix).or_default();
                nodes.insert(node.clone());
            }
        }
        let advertisers = advertisers(&objects);
        assert_eq!(advertisers, originating, "{objects:?}");
        for node in objects.nodes.keys() {
            let alone = announced_by_none_but(&objects, node, |_| true);
            let expected = advertisers.iter().filter(|(_, nodes)| nodes.iter().eq([node]));
            assert!(alone.keys().eq(expected.map(|(prefix, _)| prefix)), "{node}: {alone:?} {objects:?}");
        }
    }
}

#[test]
fn a_node_that_leaves_too_does_not_count_as_another_advertiser() {
    let objects = cluster(3, 4, TrafficPolicy::Cluster);
    let alone = |node, leaving: &'static str| {
        let alone = announced_by_none_but(&objects, node, |other| !leaving.contains(other));
        let services = alone.values().flatten().map(NamespacedName::to_string);
        services.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(alone("node-1", ""), "");
    assert_eq!(alone("node-1", "node-0"), "");
    assert_eq!(alone("node-1", "node-0 node-2"), "shop/web-0 shop/web-1 shop/web-2 shop/web-3");
    let objects = cluster(3, 4, TrafficPolicy::Local);
    let alone = announced_by_none_but(&objects, "node-1", |other| other != "node-2");
    let texts: Vec<String> = alone.iter().map(|(prefix, by)| format!("{prefix} {}", by.len())).collect();
    // Two endpoints each: web-0 on nodes 0 and 1, web-1 on 1 and 2, web-2 on 2 and 0, web-3 on 0 and 1.
    assert_eq!(texts, ["100.64.0.1/32 1"]);
    assert_eq!(announced_by_none_but(&objects, "node-9", |_| true), BTreeMap::new());
}

#[test]
fn a_node_whose_kubelet_is_silent_is_not_counted_on() {
    let mut objects = cluster(2, 1, TrafficPolicy::Cluster);
    let last = |objects: &ObjectSet, node| compile(objects, node).unwrap().intent.last_announced.len();
    assert_eq!((last(&objects, "node-0"), last(&objects, "node-1")), (0, 0));
    objects.nodes.get_mut("node-1").unwrap().unready = true;
    assert_eq!((last(&objects, "node-0"), last(&objects, "node-1")), (1, 0));
}

#[test]
fn a_node_that_is_gone_holds_on_to_nothing() {
    let compiled = compile(&cluster(1, 1, TrafficPolicy::Cluster), "node-0").unwrap();
    assert_eq!(compiled.intent.last_announced.len(), 1, "it is the only one");
    let left = compiled.without_node().intent;
    assert_eq!(left.originated, compiled.intent.originated, "it goes as it was");
    assert!(left.retreat.is_some() && left.last_announced.is_empty());
}

/// Nodes and Services with two endpoints each, on nodes next to each other.
fn cluster(nodes: u32, services: u32, policy: TrafficPolicy) -> ObjectSet {
    let mut objects = ObjectSet::default();
    for i in 0..nodes {
        let node = Node { addresses: vec![[10, 0, (i >> 8) as u8, i as u8].into()], ..Node::default() };
        objects.nodes.insert(format!("node-{i}"), node);
    }
    for i in 0..services {
        let name = |name: String| NamespacedName { namespace: "shop".into(), name };
        let service = Service {
            ingress_ips: vec![[100, 64, (i >> 8) as u8, i as u8].into()],
            external_traffic_policy: policy,
            ..Service::default()
        };
        objects.services.insert(name(format!("web-{i}")), service);
        let endpoint = |n: u32| Endpoint {
            address: [10, 244, ((i + n) >> 8) as u8, (i + n) as u8].into(),
            node: Some(format!("node-{}", (i + n) % nodes)),
            state: EndpointState::Ready,
        };
        let slice =
            EndpointSlice { service: Some(format!("web-{i}")), endpoints: vec![endpoint(0), endpoint(1)] };
        objects.endpoint_slices.insert(name(format!("web-{i}-x")), slice);
    }
    let spec =
        BgpAdvertisementSpec { service_selector: Some(LabelSelector::default()), ..Default::default() };
    objects.advertisements.insert("all".into(), spec);
    objects
}

/// 10,000 Services among 5,000 nodes. What that costs is printed and held to nothing, for it depends on the
/// machine and what else it does: 130 ms for one node when this was written, unoptimized, on one slow core.
#[test]
fn ten_thousand_services_among_five_thousand_nodes() {
    let mut objects = cluster(5_000, 10_000, TrafficPolicy::Local);
    let configuration = "{apiVersion: routelet.dev/v1alpha1, kind: BgpConfiguration, metadata: {name: default}, spec: {mesh: none}}";
    let configuration = parse([("mesh.yaml", configuration)]).unwrap().objects.configurations;
    objects.configurations = configuration;
    let timed = |what: &str, work: &dyn Fn() -> usize| {
        let before = worked();
        let count = work();
        let took = worked() - before;
        writeln!(std::io::stderr().lock(), "{what}: {count} in {took} ms of work").unwrap();
        count
    };
    let of = |compiled: Compiled| (compiled.intent.originated.len(), compiled.intent.scopes.len());
    let own = || of(compile(&objects, "node-7").unwrap());
    assert_eq!(timed("originated by one node", &|| own().0), 4);
    assert_eq!(timed("shared by all", &|| own().1), 10_000);
    assert_eq!(timed("advertisers", &|| advertisers(&objects).len()), 10_000);
    assert_eq!(timed("alone", &|| announced_by_none_but(&objects, "node-7", |_| true).len()), 0);
}

/// Milliseconds that this thread has had of a processor.
fn worked() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|field| 10 * field.parse::<u64>().unwrap()).sum()
}
