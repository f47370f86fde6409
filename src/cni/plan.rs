//! What to do for an attachment on this node: the configuration, with what the node file adds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::addressing::{Addressing, Source};
use super::conf::{Network, Wanted};
use super::masquerade::Treatment;
use super::options::Options;
use super::result::{Dns, Ip, Route, Success};
use super::version::Version;
use super::{Error, routed};
use crate::ipam::node::Mode;
use crate::ipam::{NodeFile, RangeSet, RangeSpec};
use crate::prefix::{Family, Prefix};

/// The reference plugin's default.
const BRIDGE: &str = "cni0";

/// Everything an ADD does, decided before anything is touched.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How the pod is connected to its node.
    pub mode: Mode,
    /// Name of the bridge, if there is one.
    pub bridge: String,
    /// MTU of bridge and pods in octets; the bridge's own if `None`.
    pub mtu: Option<u32>,
    /// The bridge holds the gateway addresses, and the node forwards.
    pub is_gateway: bool,
    /// How the bridge and the pod's port are to be.
    pub options: Options,
    /// Hardware address of the pod's interface; that of [`super::veth::macs`] if `None`.
    pub mac: Option<[u8; 6]>,
    /// Who gives the addresses, and which ones are asked for.
    pub addressing: Addressing,
    /// The pod gets one address out of each, if the store gives them.
    pub sets: Vec<RangeSet>,
    /// Gateway addresses that the bridge may hold already: ours and the daemon's.
    pub gateways: Vec<IpAddr>,
    /// What is done to the pod's packets.
    pub treatment: Treatment,
    is_default_gateway: bool,
    dns: Option<Dns>,
}

impl Plan {
    /// Reads configuration and node file.
    ///
    /// # Errors
    /// A field is wrong; or the pod CIDRs are needed and there is no node file yet.
    pub fn make(network: &Network, args: &[(String, String)]) -> Result<Plan, Error> {
        let wanted = Wanted::read(network, args)?;
        let addressing = Addressing::read(network, args)?;
        if addressing.source == Source::Nobody && network.version < Version::V0_3_0 {
            let why = format!(
                "it is absent: the pod would have no address, which no result of version {} can say; set it, or \
                 use cniVersion 0.3.0 or later",
                network.version
            );
            return Err(Error::invalid("ipam.type", why));
        }
        let path = network.node_file()?;
        let node = NodeFile::read(&path)?;
        let sets = addressing.sets(network, node.as_ref())?;
        let mut gateways: Vec<IpAddr> =
            sets.iter().flat_map(RangeSet::ranges).map(|range| range.gateway).collect();
        // A pod CIDR too small for a range has no gateway either.
        let known = node.iter().flat_map(|node| node.pod_cidrs.iter().chain(&node.former_pod_cidrs));
        let own = known.filter_map(|cidr| RangeSpec::whole(*cidr).ranges(&[]).ok());
        gateways.extend(own.flatten().map(|range| range.gateway));
        let mode = wanted.mode.or(node.as_ref().map(|node| node.mode)).unwrap_or_default();
        if mode == Mode::Routed {
            wanted.options.refuse_without_bridge()?;
        }
        let treatment = Treatment::read(network, node.as_ref(), addressing.subnets())?;
        Ok(Plan {
            mode,
            bridge: wanted
                .bridge
                .or(node.as_ref().map(|node| node.bridge.clone()))
                .unwrap_or_else(|| BRIDGE.to_owned()),
            mtu: wanted.mtu.or(node.as_ref().and_then(|node| node.mtu)),
            // Pods that are routed to have no other.
            is_gateway: wanted.is_gateway || mode == Mode::Routed,
            options: wanted.options,
            mac: wanted.mac,
            addressing,
            sets,
            gateways,
            treatment,
            is_default_gateway: wanted.is_default_gateway,
            dns: wanted.dns,
        })
    }

    /// What the pod gets, by what was taken for it: gateways where the bridge is to be one and none was
    /// named, routes, and name service.
    ///
    /// # Errors
    /// `isDefaultGateway` contradicts a default route that is configured, or the mode any other route.
    pub fn complete(&self, mut taken: Success) -> Result<Success, Error> {
        for ip in taken.ips.iter_mut().filter(|_| self.is_gateway) {
            // As the reference plugin does where the address plugin named none.
            ip.gateway = ip.gateway.or_else(|| first_address(ip.address));
        }
        taken.routes = self.routes(&taken)?;
        taken.dns = self.dns.clone().unwrap_or(taken.dns);
        match self.mode {
            Mode::Bridge => Ok(taken),
            Mode::Routed => routed::complete(taken),
        }
    }

    /// The pod's routes. Those of a family in which the pod has no address are left out: one
    /// configuration with both default routes serves nodes with one family and with two.
    fn routes(&self, taken: &Success) -> Result<Vec<Route>, Error> {
        let mut routes = self.addressing.routes.clone().unwrap_or_default();
        routes.extend_from_slice(&taken.routes);
        for family in Family::ALL {
            if !taken.ips.iter().any(|ip| ip.family() == family) {
                routes.retain(|route| route.dst.family() != family);
                continue;
            }
            let Some(gateway) = gateway(&taken.ips, family) else { continue };
            let is_default =
                |r: &&Route| r.dst.length() == 0 && r.dst.family() == family && r.options.table.is_none();
            let default = routes.iter().find(is_default);
            match default.map(|route| route.gw) {
                Some(Some(gw)) if self.is_default_gateway && gw != gateway => {
                    let why = format!("ipam.routes has a default route via {gw}, the gateway is {gateway}");
                    return Err(Error::invalid("isDefaultGateway", why));
                }
                None if self.is_default_gateway || self.addressing.routes.is_none() => {
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
        let routes = &self.addressing.routes;
        let by_default = dst.length() == 0 && (self.is_default_gateway || routes.is_none());
        // What another plugin asked for is in the result alone.
        let by_plugin = matches!(self.addressing.source, Source::Plugin(_));
        has_family && (by_default || by_plugin || routes.iter().flatten().any(|route| route.dst == dst))
    }
}

/// The gateway of the first address of a family.
pub fn gateway(ips: &[Ip], family: Family) -> Option<IpAddr> {
    ips.iter().find(|ip| ip.family() == family).and_then(|ip| ip.gateway)
}

/// The address after that of the network itself.
fn first_address(network: IpNetwork) -> Option<IpAddr> {
    match network.network() {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// The prefix of every address of a family.
fn default_of(family: Family) -> Prefix {
    let unspecified: IpAddr = match family {
        Family::Ipv4Unicast => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6Unicast => Ipv6Addr::UNSPECIFIED.into(),
    };
    Prefix::new(unspecified, 0).unwrap_or(Prefix::host(unspecified))
}
