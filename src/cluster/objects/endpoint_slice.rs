//! A `discovery.k8s.io/v1 EndpointSlice`, reduced to which nodes can answer for a Service.

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1 as k8s;

use super::{NamespacedName, Problems, namespaced_name};
use crate::prefix::Family;

/// The label of a slice that names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What an EndpointSlice says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointSlice {
    /// The Service it belongs to, in its own namespace; `None` where its label names none.
    pub service: Option<String>,
    /// Its endpoints, save those that can be handed nothing: neither ready nor serving. None where the
    /// slice is one of names (`addressType: FQDN`).
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint of a Service that can be handed packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address: that by which it is known again in another slice of the Service. Of several, which
    /// stand for the same endpoint, the first.
    pub address: IpAddr,
    /// The node it runs on, where that is known.
    pub node: Option<String>,
    /// Whether it is ready, or only still serving while it terminates (KEP-1669).
    pub state: EndpointState,
}

/// Whether an endpoint is to be handed packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointState {
    /// It serves, but is about to end: it is used where there is no ready one.
    Terminating,
    /// It is ready.
    Ready,
}

impl Endpoint {
    /// The family of its address.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }
}

impl EndpointSlice {
    /// Name and contents of an EndpointSlice object.
    pub(super) fn read(
        slice: k8s::EndpointSlice,
        problems: &mut Problems,
    ) -> (NamespacedName, EndpointSlice) {
        let name = namespaced_name(&slice.metadata, problems);
        let family = match slice.address_type.as_str() {
            "IPv4" => Some(Family::Ipv4Unicast),
            "IPv6" => Some(Family::Ipv6Unicast),
            "FQDN" => None,
            other => {
                problems.add("addressType", format!("{other:?} is not an address type: IPv4, IPv6 or FQDN"));
                None
            }
        };
        let mut endpoints = vec![];
        for (i, endpoint) in slice.endpoints.into_iter().enumerate() {
            let Some(family) = family else { break };
            let field = format!("endpoints[{i}].addresses");
            let Some(text) = endpoint.addresses.first() else {
                problems.add(field, "must not be empty");
                continue;
            };
            let Ok(address) = text.parse::<IpAddr>() else {
                problems.add(format!("{field}[0]"), format!("{text:?} is not an IP address"));
                continue;
            };
            if Family::of(address) != family {
                let text = format!("{address} is no address of a slice of type {}", slice.address_type);
                problems.add(format!("{field}[0]"), text);
            }
            let state = state(&endpoint.conditions.unwrap_or_default());
            endpoints.extend(state.map(|state| Endpoint { address, node: endpoint.node_name, state }));
        }
        let service = slice.metadata.labels.and_then(|mut labels| labels.remove(SERVICE_NAME));
        (name, EndpointSlice { service, endpoints })
    }
}

/// What is not said means, by the API's own words: ready, serving as far as ready, and not terminating.
fn state(conditions: &k8s::EndpointConditions) -> Option<EndpointState> {
    let ready = conditions.ready.unwrap_or(true);
    let serving = conditions.serving.unwrap_or(ready);
    match (ready, serving, conditions.terminating.unwrap_or(false)) {
        (true, ..) => Some(EndpointState::Ready),
        (false, true, true) => Some(EndpointState::Terminating),
        (false, ..) => None,
    }
}
