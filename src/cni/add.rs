//! ADD: attaches a pod, or leaves everything as it was.
//!
//! An attachment has two sides: the host's ([`Bridge`]) and the pod's ([`Pod`]). This file has the order of
//! things, and takes back what was made when one of them fails.

use std::time::Duration;

use serde_json::Value;

use super::bridge::Bridge;
use super::conf::Network;
use super::environment::Attachment;
use super::plan::Plan;
use super::pod::{Pod, address_of};
use super::result::{Interface, Ip, Success};
use super::{Error, veth};
use crate::ipam::{Allocation, Store};
use crate::kernel::link_request::PodVeth;
use crate::kernel::{At, Batch, Conversation, Deadline};

/// How long to wait until the bridge passes on what the pod says. One with spanning tree takes half a minute:
/// its pods have to wait, not the runtime.
const FORWARDING: Duration = Duration::from_millis(200);

/// How long to wait until the pod can use its addresses. Those of IPv6 take a millisecond, on a busy machine a
/// few hundred.
const USABLE: Duration = Duration::from_secs(3);

/// Where the pod's interface stands in the result, after the bridge and the host end.
const INTERFACE: usize = 2;

/// Attaches the container to the network and returns the result for stdout.
///
/// # Errors
/// Whatever stood in the way. What had been made by then, the bridge apart, is gone again; if not all
/// of it could be removed, the details say so, and the DEL that follows will try again.
pub fn add(attachment: &Attachment, network: &Network) -> Result<Value, Error> {
    let plan = Plan::make(network, &attachment.args)?;
    let previous = network.previous()?;
    let mut pod = Pod::open(attachment)?;
    pod.refuse_taken_name(attachment)?;
    let store = Store::new(&network.data_dir, &network.name).for_namespace(Some(pod.inode()));
    let allocations = store.allocate(&attachment.owner, &plan.sets, &plan.requested)?;
    let mut adding = Adding {
        attachment,
        plan: &plan,
        allocations: &allocations,
        port: veth::name(&network.name, &attachment.owner),
        macs: veth::macs(&network.name, &attachment.owner),
        made: false,
    };
    let attached = Conversation::open().map_err(Error::from).and_then(|mut host| {
        adding.attach(&mut host, &mut pod).map_err(|error| adding.undo(&mut host, error))
    });
    match attached {
        Ok(success) => Ok(success.document(network.version, previous)),
        Err(error) => {
            let failure = store.release(&attachment.owner).err().map(Error::from);
            Err(error.also(failure.as_slice()))
        }
    }
}

/// An attachment under way.
struct Adding<'a> {
    attachment: &'a Attachment,
    plan: &'a Plan,
    allocations: &'a [Allocation],
    /// Name of the host end.
    port: String,
    /// Of the host end and the pod's.
    macs: ([u8; 6], [u8; 6]),
    /// Whether there is a veth pair of ours by now.
    made: bool,
}

impl Adding<'_> {
    /// Does it all.
    fn attach(&mut self, host: &mut Conversation, pod: &mut Pod) -> Result<Success, Error> {
        let Adding { attachment, plan, allocations, .. } = *self;
        let name = &attachment.owner.interface;
        let routes = plan.routes(allocations)?;
        let bridge = Bridge::prepare(host, plan, allocations)?;
        let mtu = bridge.mtu(plan);
        let (mac, pod_mac) = (self.macs.0, plan.mac.unwrap_or(self.macs.1));
        let pair = bridge.connect(
            host,
            plan,
            &PodVeth {
                name: &self.port,
                mac,
                master: None,
                pod_name: name,
                pod_mac,
                pod: std::os::fd::AsFd::as_fd(pod),
                mtu: Some(mtu),
            },
            &mut self.made,
        )?;
        let interface = At { index: pair.inside, name };
        pod.configure(interface, allocations, &routes)?;
        bridge.settle(host, plan, &pair, allocations, Deadline::after(FORWARDING))?;
        pod.announce(interface, pod_mac, allocations, Deadline::after(USABLE))?;
        let interface =
            |name: &str, mac, mtu, sandbox| Interface { name: name.to_owned(), mac, mtu, sandbox };
        let ip = |a: &Allocation| {
            Ok(Ip { address: address_of(a)?, gateway: Some(a.range.gateway), interface: Some(INTERFACE) })
        };
        Ok(Success {
            interfaces: vec![
                interface(&bridge.link.name, bridge.link.mac, bridge.link.mtu, None),
                interface(&self.port, Some(mac), mtu, None),
                interface(name, Some(pod_mac), mtu, attachment.netns.clone()),
            ],
            ips: allocations.iter().map(ip).collect::<Result<_, Error>>()?,
            routes,
            dns: plan.dns.clone(),
        })
    }

    /// Takes back what was made on the way to an error. Deleting the pair undoes everything, for addresses
    /// and routes go with their link.
    fn undo(&self, host: &mut Conversation, error: Error) -> Error {
        if !self.made {
            return error;
        }
        let mut batch = Batch::new();
        batch.delete_link(&self.port);
        let failure = host.carry_out(batch).err().map(Error::from);
        error.also(failure.as_slice())
    }
}
