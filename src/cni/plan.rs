//! What to do for an attachment on this node: the configuration, with what the node file adds.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::addressing::{Addressing, Source};
use super::conf::{Network, Wanted};
use super::masquerade::Treatment;
use super::result::{Dns, Route, RouteOptions};
use super::{Code, Error};
use crate::ipam::{Allocation, NodeFile, RangeSet, RangeSpec};
use crate::prefix::{Family, Prefix};

/// The reference plugin's default.
const BRIDGE: &str = "cni0";

/// Everything an ADD does, decided before anything is touched.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name of the bridge.
    pub bridge: String,
    /// MTU of bridge and pods in octets; the bridge's own if `None`.
    pub mtu: Option<u32>,
    /// The bridge holds the gateway addresses, and the node forwards.
    pub is_gateway: bool,
    /// Frames may leave by the port they came in by.
    pub hairpin: bool,
    /// Hardware address of the pod's interface; the kernel's choice if `None`.
    pub mac: Option<[u8; 6]>,
    /// Addresses asked for by name.
    pub requested: Vec<IpAddr>,
    /// The pod gets one address out of each.
    pub sets: Vec<RangeSet>,
    /// Name service.
    pub dns: Dns,
    /// Gateway addresses that the bridge may hold already: ours and the daemon's.
    pub gateways: Vec<IpAddr>,
    /// What is done to the pod's packets.
    pub treatment: Treatment,
    is_default_gateway: bool,
    routes: Option<Vec<Route>>,
}

impl Plan {
    /// Reads configuration and node file.
    ///
    /// # Errors
    /// A field is wrong; or the pod CIDRs are needed and there is no node file yet.
    pub fn make(network: &Network, args: &[(String, String)]) -> Result<Plan, Error> {
        let wanted = Wanted::read(network, args)?;
        match Source::of(network)? {
            Source::Store => {}
            Source::Nobody => return Err(Error::invalid("ipam.type", "it is absent")),
            Source::Plugin(other) => {
                let message = format!("unsupported field ipam.type={other:?}");
                return Err(Error::new(Code::UnsupportedField, message, "known are host-local and routelet"));
            }
        }
        let addressing = Addressing::read(network, args)?;
        let path = network.node_file()?;
        let node = NodeFile::read(&path)?;
        if let Some(route) = addressing.routes.iter().flatten().find(|r| r.options != RouteOptions::default())
        {
            let message = format!("unsupported field ipam.routes: {route:?}");
            return Err(Error::new(Code::UnsupportedField, message, "leave it out"));
        }
        let sets = addressing.sets(network, node.as_ref())?;
        let mut gateways: Vec<IpAddr> =
            sets.iter().flat_map(RangeSet::ranges).map(|range| range.gateway).collect();
        // A pod CIDR too small for a range has no gateway either.
        let known = node.iter().flat_map(|node| node.pod_cidrs.iter().chain(&node.former_pod_cidrs));
        let own = known.filter_map(|cidr| RangeSpec::whole(*cidr).ranges(&[]).ok());
        gateways.extend(own.flatten().map(|range| range.gateway));
        let treatment = Treatment::read(network, node.as_ref(), addressing.subnets())?;
        Ok(Plan {
            bridge: wanted
                .bridge
                .or(node.as_ref().map(|node| node.bridge.clone()))
                .unwrap_or_else(|| BRIDGE.to_owned()),
            mtu: wanted.mtu.or(node.as_ref().and_then(|node| node.mtu)),
            is_gateway: wanted.is_gateway,
            hairpin: wanted.hairpin,
            mac: wanted.mac,
            requested: addressing.requested,
            sets,
            dns: wanted.dns.unwrap_or(addressing.dns),
            gateways,
            treatment,
            is_default_gateway: wanted.is_default_gateway,
            routes: addressing.routes,
        })
    }

    /// The pod's routes. Those of a family in which the pod has no address are left out: one
    /// configuration with both default routes serves nodes with one family and with two.
    ///
    /// # Errors
    /// `isDefaultGateway` contradicts a default route that is configured.
    pub fn routes(&self, allocations: &[Allocation]) -> Result<Vec<Route>, Error> {
        let mut routes = self.routes.clone().unwrap_or_default();
        for family in Family::ALL {
            let Some(gateway) = gateway(allocations, family) else {
                routes.retain(|route| route.dst.family() != family);
                continue;
            };
            let default = routes.iter().find(|r| r.dst.length() == 0 && r.dst.family() == family);
            match default.map(|route| route.gw) {
                Some(Some(gw)) if self.is_default_gateway && gw != gateway => {
                    let why = format!("ipam.routes has a default route via {gw}, the gateway is {gateway}");
                    return Err(Error::invalid("isDefaultGateway", why));
                }
                None if self.is_default_gateway || self.routes.is_none() => {
                    routes.push(Route::new(default_of(family), Some(gateway)));
                }
                _ => {}
            }
        }
        Ok(routes)
    }

    /// Whether an ADD with these addresses would have made a route to `dst`.
    pub fn asks_for_route(&self, dst: Prefix, addresses: &[IpNetwork]) -> bool {
        let has_family = addresses.iter().any(|a| Family::of(a.ip()) == dst.family());
        let by_default = dst.length() == 0 && (self.is_default_gateway || self.routes.is_none());
        has_family && (by_default || self.routes.iter().flatten().any(|route| route.dst == dst))
    }
}

/// The gateway of the first address of a family.
pub fn gateway(allocations: &[Allocation], family: Family) -> Option<IpAddr> {
    let of_family = |a: &&Allocation| a.range.prefix.family() == family;
    allocations.iter().find(of_family).map(|a| a.range.gateway)
}

/// The prefix of every address of a family.
fn default_of(family: Family) -> Prefix {
    let unspecified: IpAddr = match family {
        Family::Ipv4Unicast => std::net::Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6Unicast => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    Prefix::new(unspecified, 0).unwrap_or(Prefix::host(unspecified))
}
