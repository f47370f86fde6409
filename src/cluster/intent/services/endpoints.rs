//! The endpoints of Services: which of them packets are handed to, and on which nodes they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::cluster::objects::endpoint_slice::{Endpoint, EndpointSlice, EndpointState};
use crate::cluster::objects::{NamespacedName, ObjectSet};
use crate::prefix::Family;

/// The slices of all Services.
pub(super) struct Endpoints<'a>(BTreeMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>);

/// Those endpoints of one Service and one family that packets are handed to.
#[derive(Debug, Clone)]
pub(super) struct Answering<'a> {
    slices: Vec<&'a EndpointSlice>,
    family: Family,
    /// `None` where there are none at all.
    state: Option<EndpointState>,
}

impl<'a> Endpoints<'a> {
    pub(super) fn of(objects: &'a ObjectSet) -> Endpoints<'a> {
        let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
        for (name, slice) in &objects.endpoint_slices {
            if let Some(service) = &slice.service {
                by_service.entry((name.namespace.as_str(), service.as_str())).or_default().push(slice);
            }
        }
        Endpoints(by_service)
    }

    /// Those of a Service that are in the best state that any of the family is in.
    pub(super) fn answering(&self, service: &NamespacedName, family: Family) -> Answering<'a> {
        let slices = self.0.get(&(service.namespace.as_str(), service.name.as_str()));
        let slices = slices.cloned().unwrap_or_default();
        let of_family = slices.iter().flat_map(|slice| &slice.endpoints).filter(|e| e.family() == family);
        let state = of_family.map(|endpoint| endpoint.state).max();
        Answering { slices, family, state }
    }
}

impl<'a> Answering<'a> {
    fn all(&self) -> impl Iterator<Item = &'a Endpoint> {
        let all = self.slices.iter().flat_map(|slice| &slice.endpoints);
        all.filter(|endpoint| endpoint.family() == self.family && Some(endpoint.state) == self.state)
    }

    /// Whether there are any.
    pub(super) fn is_anywhere(&self) -> bool {
        self.state.is_some()
    }

    /// Whether any is on the node.
    pub(super) fn is_on(&self, node: &str) -> bool {
        self.all().any(|endpoint| endpoint.node.as_deref() == Some(node))
    }

    /// Whether any is on one of the nodes.
    pub(super) fn is_on_any(&self, nodes: &BTreeSet<&str>) -> bool {
        self.all().any(|endpoint| endpoint.node.as_deref().is_some_and(|node| nodes.contains(node)))
    }

    /// Those of the nodes that any is on.
    pub(super) fn nodes_among<'n>(&self, nodes: &BTreeSet<&'n str>) -> BTreeSet<&'n str> {
        let named = self.all().filter_map(|endpoint| endpoint.node.as_deref());
        named.filter_map(|node| nodes.get(node).copied()).collect()
    }

    /// How many are on the node. One that moves from slice to slice may be in both for a while.
    pub(super) fn count_on(&self, node: &str) -> u32 {
        let here = self.all().filter(|endpoint| endpoint.node.as_deref() == Some(node));
        let addresses: BTreeSet<IpAddr> = here.map(|endpoint| endpoint.address).collect();
        u32::try_from(addresses.len()).unwrap_or(u32::MAX)
    }
}
