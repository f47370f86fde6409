//! ADD: attaches a pod, or leaves everything as it was.
//!
//! An attachment has two sides: the host's ([`HostSide`]) and the pod's ([`Pod`]). This file has the order of
//! things, and takes back what was made when one of them fails.

use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde_json::Value;

use super::conf::Network;
use super::environment::Attachment;
use super::host_side::{self, HostSide};
use super::plan::Plan;
use super::pod::Pod;
use super::result::{Interface, Ip, Success};
use super::{Error, lease, masquerade, veth};
use crate::ipam::node::Mode;
use crate::kernel::link_request::PodVeth;
use crate::kernel::nftables::Attached;
use crate::kernel::{At, Batch, Conversation, Deadline};

/// How long to wait until the bridge passes on what the pod says. One with spanning tree takes half a minute:
/// its pods have to wait, not the runtime.
const FORWARDING: Duration = Duration::from_millis(200);

/// How long to wait until the pod can use its addresses. Those of IPv6 take a millisecond, on a busy machine a
/// few hundred.
const USABLE: Duration = Duration::from_secs(3);

/// How long to wait until the kernel knows that nobody else has the pod's IPv6 addresses, where it is to find
/// out; as long as the reference plugin.
const DETECTION: Duration = Duration::from_secs(10);

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
    // Before anything is taken, so that it can be given back.
    let mut host = Conversation::open()?;
    let taken = lease::take(attachment, network, &plan, pod.inode())?;
    let mut adding = Adding {
        attachment,
        network,
        plan: &plan,
        taken,
        port: veth::name(&network.name, &attachment.owner),
        macs: veth::macs(&network.name, &attachment.owner),
        made: false,
        treated: None,
    };
    match adding.attach(&mut host, &mut pod) {
        Ok(success) => Ok(success.document(network.version, previous)),
        Err(error) => Err(error.also(adding.undo(&mut host).err().as_slice())),
    }
}

/// An attachment under way.
struct Adding<'a> {
    attachment: &'a Attachment,
    network: &'a Network,
    plan: &'a Plan,
    /// The pod's addresses, and what came with them.
    taken: Success,
    /// Name of the host end.
    port: String,
    /// Of the host end and the pod's.
    macs: ([u8; 6], [u8; 6]),
    /// Whether there may be a veth pair of ours by now.
    made: bool,
    /// The addresses whose packets may be treated by now.
    treated: Option<Vec<IpAddr>>,
}

impl Adding<'_> {
    /// Does it all.
    fn attach(&mut self, host: &mut Conversation, pod: &mut Pod) -> Result<Success, Error> {
        let Adding { attachment, plan, .. } = *self;
        let name = &attachment.owner.interface;
        let Success { mut ips, routes, dns, .. } = plan.complete(std::mem::take(&mut self.taken))?;
        let side = HostSide::prepare(host, plan, &ips)?;
        let (mac, pod_mac) = (self.macs.0, plan.mac.unwrap_or(self.macs.1));
        let pair = side.connect(
            host,
            plan,
            &PodVeth {
                name: &self.port,
                mac,
                master: None,
                pod_name: name,
                pod_mac,
                pod: std::os::fd::AsFd::as_fd(pod),
                mtu: plan.mtu,
            },
            &mut self.made,
        )?;
        let interface = At { index: pair.inside, name };
        if !plan.options.link_only {
            let wary = plan.options.detects_duplicates;
            pod.configure(interface, &ips, &side.routers(&pair, &ips), &routes, wary)?;
            side.settle(host, plan, &pair, &ips, Deadline::after(FORWARDING))?;
            if wary {
                pod.refuse_duplicates(interface, Deadline::after(DETECTION))?;
            }
            if pod.await_usable(interface, &ips, Deadline::after(USABLE))? && side.has_others() {
                pod.announce(interface, pod_mac, &ips)?;
            }
        }
        // Last, for it is made whole or not at all: nothing that comes after could fail.
        self.treated = Some(ips.iter().map(|ip| ip.address.ip()).collect());
        masquerade::put_in(&self.treated(pod_mac, &ips))?;
        let mut interfaces = side.interfaces(&pair);
        ips.iter_mut().for_each(|ip| ip.interface = Some(interfaces.len()));
        interfaces.push(Interface {
            name: name.clone(),
            mac: Some(pod_mac),
            mtu: pair.port.mtu,
            sandbox: attachment.netns.clone(),
        });
        interfaces.extend(side.gateway());
        Ok(Success { interfaces, ips, routes, dns })
    }

    /// What is done to the pod's packets.
    fn treated(&self, mac: [u8; 6], ips: &[Ip]) -> Attached {
        let addresses: Vec<IpNetwork> = ips.iter().map(|ip| ip.address).collect();
        let pod = masquerade::Pod {
            addresses: &addresses,
            way: host_side::way(self.plan, &self.port),
            mac: Some(mac).filter(|_| self.plan.mode == Mode::Bridge),
        };
        self.plan.treatment.of(&self.network.name, &self.attachment.owner, &pod)
    }

    /// Takes back what was made on the way to an error, in the order of DEL. Deleting the pair undoes nearly
    /// everything, for addresses and routes go with their link.
    ///
    /// # Errors
    /// The first thing that could not be taken back. The pod's addresses are still its own then.
    fn undo(&self, host: &mut Conversation) -> Result<(), Error> {
        if self.made {
            let mut batch = Batch::new();
            batch.delete_link(&self.port);
            host.carry_out(batch)?;
        }
        // The kernel may have done what it was not heard to say.
        if let Some(addresses) = &self.treated {
            masquerade::take_out(self.network, &self.attachment.owner, addresses)?;
        }
        lease::give_back(self.attachment, self.network)
    }
}
