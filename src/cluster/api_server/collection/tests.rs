//! News in every order that the network may bring them in.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cluster::compile;

const NODE: &str = "node1";

fn resource(kind: Kind, name: Option<&str>) -> Resource {
    Resource { kind, name: name.map(str::to_owned) }
}

fn seen(kind: Kind, object: Value) -> Seen {
    Seen::read(kind, object).unwrap()
}

fn node(number: u8, rack: u8) -> Seen {
    seen(
        Kind::Node,
        json!({
            "metadata": {"name": format!("node{number}"), "labels": {"rack": rack.to_string()}},
            "spec": {"podCIDRs": [format!("10.244.{number}.0/24")]},
            "status": {"addresses": [{"type": "InternalIP", "address": format!("192.168.1.{}", number + 10)}]},
        }),
    )
}

/// A peer for a rack, with a Secret of its own or without. `hops` of zero is malformed.
fn peer(number: u8, hops: u8, rack: Option<u8>, secret: bool) -> Seen {
    let mut spec = json!({"address": format!("192.168.2.{number}"), "asn": 65000, "multihop": hops});
    if let Some(rack) = rack {
        spec["nodeSelector"] = json!({"matchLabels": {"rack": rack.to_string()}});
    }
    if secret {
        spec["passwordSecretRef"] = json!({"name": format!("key{number}"), "key": "password"});
    }
    seen(Kind::BgpPeer, json!({"metadata": {"name": format!("peer{number}")}, "spec": spec}))
}

fn secret(number: u8, text: &str) -> Seen {
    let name = format!("key{number}");
    seen(Kind::Secret, json!({"metadata": {"name": name}, "stringData": {"password": text}}))
}

/// What happens to one resource, in the order in which its watch tells it.
type Story = (Resource, Vec<News>);

/// The collection after these news, with what is wanted settled after each, as the daemon does it. What a watch of a Secret
/// tells is told when it is wanted: a watch begins with a list.
fn told(stories: &[Story], order: &[usize]) -> Collection {
    let mut collection = Collection::default();
    collection.want(NODE);
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    let mut step = |collection: &mut Collection, story: usize| {
        let (resource, news) = &stories[story];
        if !collection.wants(resource) {
            return false;
        }
        let at = next.entry(story).or_default();
        let Some(news) = news.get(*at) else { return false };
        *at += 1;
        collection.take(resource, news.clone());
        collection.want(NODE);
        true
    };
    for &story in order {
        step(&mut collection, story % stories.len());
    }
    // The rest, whoever wants it.
    while (0..stories.len()).any(|story| step(&mut collection, story)) {}
    collection
}

/// A story of peers or nodes: a list, and changes of it.
fn story(
    kind: Kind,
    versions: impl Strategy<Value = Seen> + Clone + 'static,
) -> impl Strategy<Value = Story> {
    let change = prop_oneof![
        4 => versions.clone().prop_map(|seen| News::Applied(Box::new(seen))),
        1 => versions.clone().prop_map(|seen| News::Deleted(seen.name)),
        1 => prop::collection::vec(versions.clone(), 0..4).prop_map(News::Listed),
        1 => Just(News::Missing),
    ];
    let list = prop::collection::vec(versions, 0..4).prop_map(News::Listed);
    (list, prop::collection::vec(change, 0..8)).prop_map(move |(list, changes)| {
        let news = std::iter::once(list).chain(changes).collect();
        (resource(kind, None), news)
    })
}

fn stories() -> impl Strategy<Value = Vec<Story>> {
    // node1 keeps its rack: which Secrets were wanted meanwhile would depend on the order otherwise, and with them which
    // list of theirs is the first.
    let nodes = (1..5_u8).prop_map(|number| node(number, number % 2));
    let peers =
        (1..4_u8, 0..3_u8, prop::option::of(0..2_u8)).prop_map(|(n, hops, rack)| peer(n, hops, rack, false));
    let secrets = (1..4_u8).prop_map(|number| {
        let name = format!("key{number}");
        (resource(Kind::Secret, Some(&name)), vec![News::Listed(vec![secret(number, "secret")])])
    });
    (story(Kind::Node, nodes), story(Kind::BgpPeer, peers), prop::collection::vec(secrets, 0..3))
        .prop_map(|(nodes, peers, secrets)| [nodes, peers].into_iter().chain(secrets).collect())
}

proptest! {
    #[test]
    fn any_interleaving_over_the_kinds_ends_in_the_same_set_and_intent(
        stories in stories(),
        orders in prop::collection::vec(prop::collection::vec(0..5_usize, 0..40), 2),
    ) {
        let [one, other] = [told(&stories, &orders[0]), told(&stories, &orders[1])];
        prop_assert_eq!(one.objects(), other.objects());
        prop_assert_eq!(one.faults(), other.faults());
        prop_assert_eq!(one.awaited().collect::<Vec<_>>(), other.awaited().collect::<Vec<_>>());
        let intents = [&one, &other].map(|collection| {
            compile(collection.objects(), NODE).map_err(|error| error.to_string())
        });
        prop_assert_eq!(&intents[0], &intents[1]);
    }

    /// What is told again changes nothing, and says so: there is no new compile for it.
    #[test]
    fn what_is_told_twice_is_no_news(numbers in prop::collection::vec((1..5_u8, 0..3_u8), 1..6)) {
        let mut collection = Collection::default();
        collection.want(NODE);
        let peers = resource(Kind::BgpPeer, None);
        let versions: Vec<Seen> = numbers.into_iter().map(|(n, hops)| peer(n, hops, None, false)).collect();
        collection.take(&peers, News::Listed(vec![]));
        for seen in versions {
            collection.take(&peers, News::Applied(Box::new(seen.clone())));
            prop_assert!(!collection.take(&peers, News::Applied(Box::new(seen))));
        }
    }
}

#[test]
fn a_list_removes_what_it_lacks_and_missing_removes_nothing() {
    let mut collection = Collection::default();
    collection.want(NODE);
    let nodes = resource(Kind::Node, None);
    assert!(collection.take(&nodes, News::Listed(vec![node(1, 0), node(2, 0)])));
    assert!(!collection.take(&nodes, News::Missing));
    assert!(!collection.take(&nodes, News::Listed(vec![node(2, 0), node(1, 0)])));
    assert!(collection.take(&nodes, News::Listed(vec![node(1, 0)])));
    assert_eq!(collection.objects().nodes.len(), 1);
    assert_eq!(collection.count(Kind::Node), (1, 0));
}

#[test]
fn secrets_and_services_are_wanted_while_somebody_needs_them() {
    let mut collection = Collection::default();
    collection.want(NODE);
    let wanted = |collection: &mut Collection| {
        collection.want(NODE);
        let resources = collection.resources().map(ToString::to_string);
        resources.collect::<Vec<_>>()
    };
    let always = ["Node", "BgpConfiguration", "BgpPeer", "BgpAdvertisement"];
    assert_eq!(wanted(&mut collection), always);
    collection.take(&resource(Kind::Node, None), News::Listed(vec![node(1, 0)]));
    let peers = vec![peer(1, 1, Some(0), true), peer(2, 1, Some(1), true), peer(3, 1, None, true)];
    collection.take(&resource(Kind::BgpPeer, None), News::Listed(peers));
    assert_eq!(wanted(&mut collection)[3..], ["Secret key1", "Secret key3", "BgpAdvertisement"]);
    let advertisement = json!({"metadata": {"name": "web"}, "spec": {"serviceSelector": {}}});
    let advertised = News::Listed(vec![seen(Kind::BgpAdvertisement, advertisement)]);
    collection.take(&resource(Kind::BgpAdvertisement, None), advertised);
    assert_eq!(wanted(&mut collection)[5..], ["BgpAdvertisement", "Service", "EndpointSlice"]);
    // With the peers and the advertisement go those that they need, and what was known of these.
    collection.take(&resource(Kind::Secret, Some("key1")), News::Listed(vec![secret(1, "secret")]));
    assert_eq!(collection.objects().secrets.len(), 1);
    collection.take(&resource(Kind::BgpPeer, None), News::Listed(vec![]));
    collection.take(&resource(Kind::BgpAdvertisement, None), News::Listed(vec![]));
    assert_eq!(wanted(&mut collection), always);
    assert_eq!(collection.objects().secrets.len(), 0);
}
