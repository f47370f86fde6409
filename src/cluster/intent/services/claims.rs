//! Which addresses of which Services the advertisements claim, and as which prefixes: the same whatever
//! node asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::endpoints::{Answering, Endpoints};
use crate::cluster::objects::bgp_advertisement::{AddressKind, BgpAdvertisementSpec};
use crate::cluster::objects::service::TrafficPolicy;
use crate::cluster::objects::{NamespacedName, Node, ObjectSet, Service, selector};
use crate::prefix::{Family, Prefix};
use crate::rib::policy::{PrefixRule, PrefixSet};
use crate::speaker::intent::Scope;

/// The label of Nodes that no load balancer sends anything to, by Kubernetes' own words.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// What all advertisements claim.
pub(super) struct Claims<'a> {
    pub(super) advertisements: Vec<Advertisement<'a>>,
    /// In order of the advertisements, their Services and the addresses of each.
    pub(super) claims: Vec<Claim<'a>>,
}

/// An advertisement with what is worked out once for all of its addresses.
pub(super) struct Advertisement<'a> {
    pub(super) name: &'a str,
    pub(super) spec: &'a BgpAdvertisementSpec,
    pub(super) scope: Arc<Scope>,
}

/// One address of a Service that an advertisement claims, and which endpoints answer for it.
pub(super) struct Claim<'a> {
    /// Index of the advertisement.
    pub(super) advertisement: usize,
    pub(super) service: &'a NamespacedName,
    /// What is announced: the address or an aggregate that holds it.
    pub(super) prefix: Prefix,
    policy: TrafficPolicy,
    answering: Arc<Answering<'a>>,
}

/// Takes a warning: about which object, which field, and what there is to say.
type Warn<'w> = dyn FnMut(String, &str, String) + 'w;

impl<'a> Claims<'a> {
    pub(super) fn of(objects: &'a ObjectSet, warn: &mut Warn<'_>) -> Claims<'a> {
        let mut claims = Claims { advertisements: vec![], claims: vec![] };
        if objects.advertisements.is_empty() {
            return claims;
        }
        let (endpoints, taken) = (Endpoints::of(objects), Taken::of(objects));
        for (name, spec) in &objects.advertisements {
            let mesh = spec.mesh.unwrap_or(spec.peers.is_none());
            let peers = spec.peers.as_ref().map(|peers| peers.iter().cloned().collect());
            let advertisement = Advertisement { name, spec, scope: Arc::new(Scope { mesh, peers }) };
            let index = claims.advertisements.len();
            let mut lengths =
                Lengths { advertisement: &advertisement, taken: &taken, usable: BTreeMap::new() };
            for (service, object) in &objects.services {
                if advertisement.selects_service(service, object) {
                    claims.add(index, (service, object), &endpoints, &mut lengths, warn);
                }
            }
            claims.advertisements.push(advertisement);
        }
        claims
    }

    fn add(
        &mut self,
        advertisement: usize,
        (service, object): (&'a NamespacedName, &'a Service),
        endpoints: &Endpoints<'a>,
        lengths: &mut Lengths<'_, '_>,
        warn: &mut Warn<'_>,
    ) {
        let mut known: [Option<Arc<Answering<'a>>>; 2] = [None, None];
        for (kind, address) in lengths.advertisement.addresses(object) {
            if let Some(owner) = lengths.taken.owner(Prefix::host(address)) {
                let text = format!("{address} is not announced: {owner}");
                warn(format!("Service {service}"), field(kind), text);
                continue;
            }
            let prefix = lengths.prefix(address, warn);
            let policy = match kind {
                AddressKind::LoadBalancer | AddressKind::External => object.external_traffic_policy,
                AddressKind::Cluster => object.internal_traffic_policy,
            };
            let family = Family::of(address);
            let answering = known[family as usize]
                .get_or_insert_with(|| Arc::new(endpoints.answering(service, family)))
                .clone();
            self.claims.push(Claim { advertisement, service, prefix, policy, answering });
        }
    }
}

fn field(kind: AddressKind) -> &'static str {
    match kind {
        AddressKind::LoadBalancer => "status.loadBalancer.ingress",
        AddressKind::External => "spec.externalIPs",
        AddressKind::Cluster => "spec.clusterIPs",
    }
}

impl Advertisement<'_> {
    /// Whether a node is one of those that announce.
    pub(super) fn selects(&self, node: &Node) -> bool {
        let selector = self.spec.node_selector.as_ref();
        selector.is_none_or(|selector| selector::matches(selector, &node.labels))
            && !node.labels.contains_key(EXCLUDED)
    }

    /// All nodes that announce.
    pub(super) fn selected<'n>(&self, nodes: &'n BTreeMap<String, Node>) -> impl Iterator<Item = &'n str> {
        nodes.iter().filter(|(_, node)| self.selects(node)).map(|(name, _)| name.as_str())
    }

    fn selects_service(&self, name: &NamespacedName, service: &Service) -> bool {
        let namespaces = self.spec.namespaces.as_ref();
        namespaces.is_none_or(|namespaces| namespaces.contains(&name.namespace))
            && self.spec.service_selector.as_ref().is_some_and(|s| selector::matches(s, &service.labels))
    }

    /// The addresses of a Service that are meant.
    fn addresses<'s>(&self, service: &'s Service) -> impl Iterator<Item = (AddressKind, IpAddr)> + use<'s> {
        let kinds = self.spec.addresses.as_deref().unwrap_or(&[AddressKind::LoadBalancer]).to_vec();
        let class = service.load_balancer_class.as_deref().unwrap_or("");
        let classes = self.spec.load_balancer_classes.as_ref();
        let of_class = classes.is_none_or(|classes| classes.iter().any(|known| known == class));
        kinds.into_iter().flat_map(move |kind| {
            let addresses = match kind {
                AddressKind::LoadBalancer if !of_class => &[][..],
                AddressKind::LoadBalancer => &service.ingress_ips,
                AddressKind::External => &service.external_ips,
                AddressKind::Cluster => &service.cluster_ips,
            };
            addresses.iter().map(move |address| (kind, *address))
        })
    }
}

impl Claim<'_> {
    /// Whether the node, if it is selected, is one to announce.
    pub(super) fn is_answered_on(&self, node: &str) -> bool {
        match self.policy {
            TrafficPolicy::Cluster => self.answering.is_anywhere(),
            TrafficPolicy::Local => self.answering.is_on(node),
        }
    }

    /// Those of the nodes that are to announce.
    pub(super) fn answered_on<'n>(&self, nodes: &BTreeSet<&'n str>) -> BTreeSet<&'n str> {
        match self.policy {
            TrafficPolicy::Cluster if self.answering.is_anywhere() => nodes.clone(),
            TrafficPolicy::Cluster => BTreeSet::new(),
            TrafficPolicy::Local => self.answering.nodes_among(nodes),
        }
    }

    /// Whether any of the nodes is one to announce.
    pub(super) fn is_answered_on_any(&self, nodes: &BTreeSet<&str>) -> bool {
        match self.policy {
            TrafficPolicy::Cluster => !nodes.is_empty() && self.answering.is_anywhere(),
            TrafficPolicy::Local => self.answering.is_on_any(nodes),
        }
    }

    /// How many endpoints the node has.
    pub(super) fn endpoints_on(&self, node: &str) -> u32 {
        self.answering.count_on(node)
    }
}

/// Addresses that are not to be announced as those of a Service, whatever a Service says.
struct Taken {
    nodes: BTreeSet<IpAddr>,
    pod_cidrs: BTreeSet<Prefix>,
    pods: PrefixSet,
}

impl Taken {
    fn of(objects: &ObjectSet) -> Taken {
        let nodes = objects.nodes.values().flat_map(|node| node.addresses.iter().copied()).collect();
        let pod_cidrs: BTreeSet<Prefix> =
            objects.nodes.values().flat_map(|node| node.pod_cidrs.iter().copied()).collect();
        let pods = pod_cidrs.iter().copied().map(PrefixRule::within).collect();
        Taken { nodes, pod_cidrs, pods }
    }

    /// Whose it is; `None` if it is free.
    fn owner(&self, host: Prefix) -> Option<&'static str> {
        match host.address() {
            address if self.nodes.contains(&address) => Some("it is the address of a node"),
            _ if self.pods.matches(host) => Some("it is an address of pods"),
            IpAddr::V4(address) if address.is_link_local() => Some("it is link-local"),
            IpAddr::V6(address) if address.is_unicast_link_local() => Some("it is link-local"),
            _ => None,
        }
    }

    /// What an aggregate would keep packets from; `None` if there is nothing.
    fn within(&self, aggregate: Prefix) -> Option<String> {
        let nearest = self.nodes.range(aggregate.address()..).next();
        let node = nearest.filter(|address| aggregate.contains_address(**address));
        let pods = self.pod_cidrs.iter().find(|p| aggregate.contains(**p) || p.contains(aggregate));
        node.map(ToString::to_string).or(pods.map(ToString::to_string))
    }
}

/// How long the prefixes of one advertisement are.
struct Lengths<'a, 'b> {
    advertisement: &'a Advertisement<'b>,
    taken: &'a Taken,
    /// Aggregates that have been looked at, and whether they may be announced.
    usable: BTreeMap<Prefix, bool>,
}

impl Lengths<'_, '_> {
    /// What an address is announced as. An aggregate that would hold nodes or pods is not made, for what it
    /// discards might be theirs.
    fn prefix(&mut self, address: IpAddr, warn: &mut Warn<'_>) -> Prefix {
        let host = Prefix::host(address);
        let lengths = self.advertisement.spec.aggregation_length.unwrap_or_default();
        let (length, field) = match host.family() {
            Family::Ipv4Unicast => (lengths.ipv4, "spec.aggregationLength.ipv4"),
            Family::Ipv6Unicast => (lengths.ipv6, "spec.aggregationLength.ipv6"),
        };
        let aggregate = length.and_then(|length| Prefix::new(address, length));
        let Some(aggregate) = aggregate.filter(|aggregate| *aggregate != host) else { return host };
        let (taken, name) = (self.taken, self.advertisement.name);
        let usable = *self.usable.entry(aggregate).or_insert_with(|| {
            let taken = taken.within(aggregate);
            if let Some(held) = &taken {
                let text =
                    format!("{aggregate} holds {held}, so that its addresses are announced one by one");
                warn(format!("BgpAdvertisement {name}"), field, text);
            }
            taken.is_none()
        });
        if usable { aggregate } else { host }
    }
}
