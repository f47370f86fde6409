//! The host's side of an attachment, whichever way pods are connected to their node.

use super::bridge::{self, Bridge};
use super::check::changed;
use super::plan::Plan;
use super::pod::Router;
use super::result::{Interface, Ip};
use super::vlan::gateway_name;
use super::{Code, Error, routed};
use crate::ipam::node::Mode;
use crate::kernel::batch::Place;
use crate::kernel::link::Link;
use crate::kernel::link_request::PodVeth;
use crate::kernel::nftables::Way;
use crate::kernel::{Batch, Conversation, Deadline};

/// What a pod is to be connected to, ready for it.
#[derive(Debug)]
pub enum HostSide {
    /// A bridge that all pods share.
    Bridge(Bridge),
    /// The node itself, by a link of the pod's own.
    Routed,
}

/// A veth pair that has been made.
#[derive(Debug)]
pub struct Pair {
    /// The host's end.
    pub port: Link,
    /// Index of the pod's end, in the pod.
    pub inside: u32,
    /// Hardware address of the pod's end.
    pub pod_mac: [u8; 6],
}

impl HostSide {
    /// Sees to it that the node is ready for a pod with these addresses. Several ADDs may do this at once.
    ///
    /// # Errors
    /// As [`Bridge::prepare`] and [`routed::prepare`].
    pub fn prepare(host: &mut Conversation, plan: &Plan, ips: &[Ip]) -> Result<HostSide, Error> {
        match plan.mode {
            Mode::Bridge => Bridge::prepare(host, plan, ips).map(HostSide::Bridge),
            Mode::Routed => routed::prepare(host, ips).map(|()| HostSide::Routed),
        }
    }

    /// Makes the veth pair, its host end up and connected. `made` is set as soon as there may be one.
    ///
    /// # Errors
    /// A name is taken, or the kernel refuses.
    pub fn connect(
        &self,
        host: &mut Conversation,
        plan: &Plan,
        pair: &PodVeth<'_>,
        made: &mut bool,
    ) -> Result<Pair, Error> {
        match self {
            HostSide::Bridge(bridge) => bridge.connect(host, plan, pair, made),
            HostSide::Routed => {
                let mut batch = Batch::new();
                let place = batch.add_pod_veth(pair);
                Pair::make(host, batch, place, pair, made)
            }
        }
    }

    /// The routers that the pod is told of, rather than having to ask who they are.
    pub fn routers(&self, pair: &Pair, ips: &[Ip]) -> Vec<Router> {
        match self {
            HostSide::Bridge(_) => Vec::new(),
            HostSide::Routed => routed::routers(pair, ips),
        }
    }

    /// Does what has to wait until the pod's end is up, and waits until what is sent to the pod arrives.
    ///
    /// # Errors
    /// Somebody else has an address of the pod's, or the kernel refuses.
    pub fn settle(
        &self,
        host: &mut Conversation,
        plan: &Plan,
        pair: &Pair,
        ips: &[Ip],
        deadline: Deadline,
    ) -> Result<(), Error> {
        match self {
            HostSide::Bridge(bridge) => bridge.settle(host, plan, pair, ips, deadline),
            HostSide::Routed => routed::settle(host, pair, ips, deadline),
        }
    }

    /// Whether anybody but the node is on the pod's link, to be told who has the addresses now.
    pub fn has_others(&self) -> bool {
        matches!(self, HostSide::Bridge(_))
    }

    /// The node's interfaces, for the result: what the pod shares with others, then its own.
    pub fn interfaces(&self, pair: &Pair) -> Vec<Interface> {
        match self {
            HostSide::Bridge(bridge) => vec![told(&bridge.link), told(&pair.port)],
            HostSide::Routed => vec![told(&pair.port)],
        }
    }

    /// The interface of the node that holds the gateway addresses, if it is none of these. Stands in the
    /// result behind the pod's, as with the reference plugin.
    pub fn gateway(&self) -> Option<Interface> {
        match self {
            HostSide::Bridge(bridge) => bridge.gateway.as_ref().map(told),
            HostSide::Routed => None,
        }
    }
}

fn told(link: &Link) -> Interface {
    Interface { name: link.name.clone(), mac: link.mac, mtu: link.mtu, sandbox: None }
}

impl Pair {
    /// Has the kernel do all that is in the batch, which at `place` makes the pair. `made` is set as soon as
    /// there may be one.
    ///
    /// # Errors
    /// The first refusal.
    pub fn make(
        host: &mut Conversation,
        batch: Batch,
        place: Place,
        pair: &PodVeth<'_>,
        made: &mut bool,
    ) -> Result<Pair, Error> {
        // As long as the kernel has not been heard.
        *made = true;
        let outcome = host.attempt(batch)?;
        *made = !outcome.is_refused(place);
        let port = match outcome.all_done()?.link(place) {
            Some(port) => Some(port),
            // A kernel that does not say what it has made.
            None => host.link(pair.name)?,
        };
        let vanished = || vanished(pair.name);
        let port = port.ok_or_else(vanished)?;
        let inside = port.other.ok_or_else(vanished)?;
        Ok(Pair { port, inside, pod_mac: pair.pod_mac })
    }
}

/// An interface that was made or found a moment ago is no longer there.
pub fn vanished(name: &str) -> Error {
    let why = "somebody removed it meanwhile; the runtime may try again";
    Error::new(Code::Kernel, format!("interface {name} vanished"), why)
}

/// Whether the host end is as ADD left it, apart from the way to the pod. `None` as in [`bridge::check`].
///
/// # Errors
/// It is not.
pub fn check(host: &mut Conversation, name: &str, plan: &Plan) -> Result<Option<Link>, Error> {
    if plan.mode == Mode::Bridge {
        return bridge::check(host, name, plan);
    }
    match host.link(name)? {
        None => Err(changed(format!("{name} is gone"))),
        Some(port) if !port.up => Err(changed(format!("{name} is down"))),
        port => Ok(port),
    }
}

/// The interface of the node that a pod with this host end is behind.
pub fn way(plan: &Plan, port: &str) -> Way {
    let gateway = plan.options.vlans.gateway().filter(|_| plan.is_gateway);
    match plan.mode {
        Mode::Bridge => Way {
            interface: gateway.map_or(plan.bridge.clone(), |vlan| gateway_name(&plan.bridge, vlan)),
            is_own: false,
        },
        Mode::Routed => Way { interface: port.to_owned(), is_own: true },
    }
}
