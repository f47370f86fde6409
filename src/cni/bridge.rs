//! The bridge that pods are attached to: made when first needed, used as it is found, never removed.

use ipnetwork::IpNetwork;

use super::plan::Plan;
use super::{Code, Error};
use crate::ipam::Allocation;
use crate::kernel::Netlink;
use crate::kernel::links::Link;
use crate::prefix::Family;

/// Sees to it that the bridge is there and up and, if it is the gateway, holds the gateway address of
/// each allocation. Several ADDs may do this at once: each step is one that another may have done.
///
/// # Errors
/// The name belongs to another kind of interface; the bridge holds an address that nobody here gave
/// it; the kernel refuses. Nothing that was there before has been changed then.
pub async fn ensure(host: &Netlink, plan: &Plan, allocations: &[Allocation]) -> Result<Link, Error> {
    let bridge = host.ensure_bridge(&plan.bridge, plan.mtu).await?;
    if plan.is_gateway {
        let present = host.addresses(bridge.index).await?;
        for allocation in allocations {
            let range = &allocation.range;
            let wanted = IpNetwork::new(range.gateway, range.prefix.length())
                .map_err(|e| Error::invalid("ipam: gateway", e))?;
            refuse_foreign(plan, &present, wanted)?;
            if !present.contains(&wanted) {
                host.add_address(bridge.index, wanted).await?;
            }
        }
    }
    if !bridge.up {
        host.set_up(bridge.index, true).await?;
    }
    Ok(bridge)
}

/// An address of the same family that is neither this gateway nor another of ours means that the
/// bridge serves something else, and that pods would share a link with it unawares.
fn refuse_foreign(plan: &Plan, present: &[IpNetwork], wanted: IpNetwork) -> Result<(), Error> {
    let family = Family::of(wanted.ip());
    let of_link = |a: &IpNetwork| matches!(a, IpNetwork::V6(a) if a.ip().is_unicast_link_local());
    let ours = |a: &IpNetwork| {
        if a.ip() == wanted.ip() { *a == wanted } else { plan.gateways.contains(&a.ip()) }
    };
    match present.iter().find(|a| Family::of(a.ip()) == family && !of_link(a) && !ours(a)) {
        None => Ok(()),
        Some(foreign) => {
            let message = format!("bridge {} has address {foreign}, which is not ours", plan.bridge);
            let why = format!("the gateway would be {wanted}; remove {foreign}, or name another bridge");
            Err(Error::new(Code::Bridge, message, why))
        }
    }
}
