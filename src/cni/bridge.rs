//! The host side of an attachment to a bridge: the bridge itself, made when first needed, used as it is
//! found, never removed; and the port that is the host end of a pod's veth pair.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::host_side::Pair;
use super::plan::Plan;
use super::result::Ip;
use super::{Code, Error, duplicates};
use crate::kernel::link::Link;
use crate::kernel::link_request::{HAIRPIN, PodVeth};
use crate::kernel::{Batch, Conversation, Deadline, LinkAddress, address_request, sysctl};
use crate::prefix::Family;

/// A bridge that is ready for another port.
#[derive(Debug)]
pub struct Bridge {
    /// The bridge.
    pub link: Link,
}

impl Bridge {
    /// Sees to it that the bridge is there and up and, if it is the gateway, holds the gateway address of
    /// each allocation and the node forwards. Several ADDs may do this at once: each step is one that
    /// another may have done.
    ///
    /// # Errors
    /// The name belongs to another kind of interface; the bridge holds an address that nobody here gave
    /// it, or has another MTU; the kernel refuses. Nothing that was there before has been changed then.
    pub fn prepare(host: &mut Conversation, plan: &Plan, ips: &[Ip]) -> Result<Bridge, Error> {
        let families: Vec<Family> =
            Family::ALL.into_iter().filter(|family| plan.is_gateway && has(ips, *family)).collect();
        let mut batch = Batch::new();
        let bridge = batch.look_up_link(&plan.bridge);
        let forwarding: Vec<_> = families.iter().map(|family| batch.look_up_forwarding(*family)).collect();
        let found = host.carry_out(batch)?;
        if forwarding.iter().any(|place| found.forwards(*place) != Some(true)) {
            sysctl::ensure_forwarding(&families)?;
        }
        let ready = |link: &Link| link.up && link.kind.as_deref() == Some("bridge");
        let link = match found.link(bridge).filter(ready) {
            Some(link) => link,
            None => host.ensure_bridge(&plan.bridge, plan.mtu)?,
        };
        refuse_mtu(plan, &link)?;
        let mut batch = Batch::new();
        if plan.is_gateway {
            let present = host.addresses(link.index)?;
            for ip in ips {
                let Some(gateway) = ip.gateway else { continue };
                let wanted = IpNetwork::new(gateway, ip.address.prefix())
                    .map_err(|e| Error::invalid("ipam: gateway", e))?;
                refuse_foreign(plan, &present, wanted)?;
                if !present.iter().any(|present| present.address == wanted) {
                    batch.add_address((&link).into(), wanted);
                }
            }
            duplicates::seek(&mut batch, (&link).into(), ips);
        }
        if !link.up {
            batch.set_up((&link).into());
        }
        host.carry_out(batch)?;
        Ok(Bridge { link })
    }

    /// Makes the veth pair, its host end up and a port of this bridge. `made` is set as soon as there is one.
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
        let mut batch = Batch::new();
        let mtu = pair.mtu.or(Some(self.link.mtu));
        let place = batch.add_pod_veth(&PodVeth { master: Some(self.link.index), mtu, ..pair.clone() });
        if plan.hairpin {
            batch.set_port_options(pair.name, &[(HAIRPIN, true)]);
        }
        Pair::make(host, batch, place, pair, made)
    }

    /// Waits until the port passes packets on.
    ///
    /// # Errors
    /// Somebody else on the bridge has an address of the pod's; the kernel refused to say.
    pub fn settle(
        &self,
        host: &mut Conversation,
        plan: &Plan,
        pair: &Pair,
        ips: &[Ip],
        deadline: Deadline,
    ) -> Result<(), Error> {
        host.await_forwarding(pair.port.index, deadline)?;
        if plan.is_gateway && has(ips, Family::Ipv6Unicast) {
            duplicates::refuse(host, (&self.link).into(), pair.pod_mac, ips)?;
        }
        Ok(())
    }
}

fn has(ips: &[Ip], family: Family) -> bool {
    ips.iter().any(|ip| Family::of(ip.address.ip()) == family)
}

/// Pods with another MTU than their bridge lose packets without a word.
fn refuse_mtu(plan: &Plan, link: &Link) -> Result<(), Error> {
    match plan.mtu.filter(|mtu| *mtu != link.mtu) {
        None => Ok(()),
        Some(mtu) => {
            let message = format!("bridge {} has MTU {}, not {mtu}", link.name, link.mtu);
            let why = "set the bridge's MTU, leave mtu out to take the bridge's, or name another bridge";
            Err(Error::new(Code::Bridge, message, why))
        }
    }
}

/// An address of the same family that is neither this gateway nor another of ours means that the
/// bridge serves something else, and that pods would share a link with it unawares. Ours are those of the
/// pod CIDRs that the node has now, and those that bear our mark: of pod CIDRs that it had, and that its
/// older pods still have addresses of.
fn refuse_foreign(plan: &Plan, present: &[LinkAddress], wanted: IpNetwork) -> Result<(), Error> {
    let family = Family::of(wanted.ip());
    let of_link = |a: &IpNetwork| matches!(a, IpNetwork::V6(a) if a.ip().is_unicast_link_local());
    let ours = |a: &LinkAddress| match a.address {
        a if a.ip() == wanted.ip() => a == wanted,
        _ => a.protocol == address_request::OURS || plan.gateways.contains(&a.address.ip()),
    };
    let foreign = |a: &&LinkAddress| {
        let address: IpAddr = a.address.ip();
        Family::of(address) == family && !of_link(&a.address) && !ours(a)
    };
    match present.iter().find(foreign) {
        None => Ok(()),
        Some(LinkAddress { address: foreign, .. }) => {
            let message = format!("bridge {} has address {foreign}, which is not ours", plan.bridge);
            let why = format!("the gateway would be {wanted}; remove {foreign}, or name another bridge");
            Err(Error::new(Code::Bridge, message, why))
        }
    }
}
