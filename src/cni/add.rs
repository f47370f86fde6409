//! ADD: attaches a pod, or leaves everything as it was.

use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde_json::Value;

use super::conf::Network;
use super::environment::Attachment;
use super::plan::{Plan, gateway};
use super::result::{Interface, Ip, Route, Success};
use super::{Code, Error, bridge, runtime, veth};
use crate::ipam::{Allocation, Store};
use crate::kernel::links::{Link, VethPair};
use crate::kernel::{NetNs, Netlink, sysctl};
use crate::prefix::Family;

/// Attaches the container to the network and returns the result for stdout.
///
/// # Errors
/// Whatever stood in the way. What had been made by then, the bridge apart, is gone again; if not all
/// of it could be removed, the details say so, and the DEL that follows will try again.
pub fn add(attachment: &Attachment, network: &Network) -> Result<Value, Error> {
    let plan = Plan::make(network, &attachment.args)?;
    let previous = network.previous()?;
    let pod = open_pod(attachment)?;
    let success = runtime()?.block_on(async {
        let ends = Ends { host: Netlink::open()?, inside: Netlink::open_in(&pod)?, pod: &pod };
        ends.refuse_taken_name(attachment).await?;
        let store = Store::new(&network.data_dir, &network.name);
        let allocations = store.allocate(&attachment.owner, &plan.sets, &plan.requested)?;
        let mut made = None;
        match ends.attach(attachment, network, &plan, &allocations, &mut made).await {
            Ok(success) => Ok(success),
            Err(error) => {
                let mut failures = Vec::new();
                if let Some(index) = made {
                    failures.extend(ends.host.delete_link(index).await.err().map(Error::from));
                }
                failures.extend(store.release(&attachment.owner).err().map(Error::from));
                Err(error.also(&failures))
            }
        }
    })?;
    Ok(success.document(network.version, previous))
}

/// The pod's namespace, which must not be the node's.
///
/// # Errors
/// It cannot be opened, or is the node's.
pub fn open_pod(attachment: &Attachment) -> Result<NetNs, Error> {
    let path = attachment.netns.as_deref().unwrap_or_default();
    let unusable = |why: String| {
        let message = "environment variables are absent or wrong";
        Error::new(Code::InvalidEnvironment, message, format!("CNI_NETNS {path:?}: {why}"))
    };
    let pod = NetNs::open(path).map_err(|e| unusable(e.to_string()))?;
    if pod.identity()? == NetNs::current()?.identity()? {
        return Err(unusable("it is the node's own namespace".to_owned()));
    }
    Ok(pod)
}

/// How long to wait until the pod can talk; it takes a millisecond or two.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often to look.
const POLL: Duration = Duration::from_millis(1);

/// The two sides of an attachment.
struct Ends<'a> {
    host: Netlink,
    inside: Netlink,
    pod: &'a NetNs,
}

impl Ends<'_> {
    async fn refuse_taken_name(&self, attachment: &Attachment) -> Result<(), Error> {
        let name = &attachment.owner.interface;
        match self.inside.link(name).await? {
            None => Ok(()),
            Some(_) => {
                let why = "nothing was changed; DEL the container or choose another CNI_IFNAME";
                Err(Error::new(Code::Exists, format!("the pod has an interface {name} already"), why))
            }
        }
    }

    /// Does it all. As soon as there is a veth pair its host end's index is in `made`: deleting that
    /// one link undoes everything done here, for addresses and routes go with their link.
    async fn attach(
        &self,
        attachment: &Attachment,
        network: &Network,
        plan: &Plan,
        allocations: &[Allocation],
        made: &mut Option<u32>,
    ) -> Result<Success, Error> {
        let routes = plan.routes(allocations)?;
        let bridge = bridge::ensure(&self.host, plan, allocations).await?;
        if plan.is_gateway {
            let families: Vec<Family> =
                Family::ALL.into_iter().filter(|f| gateway(allocations, *f).is_some()).collect();
            sysctl::ensure_forwarding(&families)?;
        }
        let mtu = plan.mtu.unwrap_or(bridge.mtu);
        let pair = VethPair {
            name: &veth::name(&network.name, &attachment.owner),
            peer_name: &attachment.owner.interface,
            peer_namespace: Some(self.pod),
            mtu: Some(mtu),
            peer_mac: plan.mac,
        };
        let port = self.host.add_veth(&pair).await?;
        *made = Some(port.index);
        self.host.set_master(port.index, Some(bridge.index)).await?;
        if plan.hairpin {
            self.host.set_hairpin(port.index, true).await?;
        }
        self.host.set_up(port.index, true).await?;
        let interface = self.configure(attachment, allocations, &routes).await?;
        self.announce(port.index, &interface, allocations).await?;
        let sandbox = attachment.netns.clone();
        let described =
            |link: Link, sandbox| Interface { name: link.name, mac: link.mac, mtu: link.mtu, sandbox };
        let ip = |a: &Allocation| {
            Ok(Ip { address: address_of(a)?, gateway: Some(a.range.gateway), interface: Some(INTERFACE) })
        };
        Ok(Success {
            interfaces: vec![described(bridge, None), described(port, None), described(interface, sandbox)],
            ips: allocations.iter().map(ip).collect::<Result<_, Error>>()?,
            routes,
            dns: plan.dns.clone(),
        })
    }

    /// Inside the pod: addresses, up, routes; in this order, as IPv6 routes need the link up.
    async fn configure(
        &self,
        attachment: &Attachment,
        allocations: &[Allocation],
        routes: &[Route],
    ) -> Result<Link, Error> {
        let name = &attachment.owner.interface;
        let gone = || Error::new(Code::Kernel, format!("interface {name} vanished from the pod"), "");
        let interface = self.inside.link(name).await?.ok_or_else(gone)?;
        for allocation in allocations {
            self.inside.add_address(interface.index, address_of(allocation)?).await?;
        }
        self.inside.set_up(interface.index, true).await?;
        for route in routes {
            let via = route.gw.or_else(|| gateway(allocations, route.dst.family()));
            let destination = IpNetwork::new(route.dst.address(), route.dst.length())
                .map_err(|e| Error::invalid("ipam.routes", e))?;
            self.inside.add_static_route(destination, via, Some(interface.index)).await?;
        }
        Ok(interface)
    }

    /// Waits until the pod can talk, and tells the others on the bridge who has its addresses now:
    /// some may remember one as another pod's. The kernel enables a bridge port and IPv6 some time
    /// after both ends of the pair are up, and what is sent before that is lost.
    async fn announce(&self, port: u32, interface: &Link, allocations: &[Allocation]) -> Result<(), Error> {
        let addresses: Vec<IpAddr> = allocations.iter().map(|a| a.address).collect();
        let settled = async {
            while self.host.link_at(port).await?.is_some_and(|link| !link.forwarding)
                || !self.inside.can_use(interface, &addresses).await?
            {
                tokio::time::sleep(POLL).await;
            }
            Ok::<_, Error>(())
        };
        // A bridge with spanning tree takes half a minute: its pods have to wait, not the runtime.
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, settled).await {
            return Err(error);
        }
        Ok(self.inside.announce(self.pod, interface, &addresses).await?)
    }
}

/// Where the pod's interface stands in the result, after the bridge and the host end.
const INTERFACE: usize = 2;

/// The address with its range's prefix length.
fn address_of(allocation: &Allocation) -> Result<IpNetwork, Error> {
    IpNetwork::new(allocation.address, allocation.range.prefix.length())
        .map_err(|e| Error::invalid("ipam: subnet", e))
}
