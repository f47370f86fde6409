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
    let bridge = find_or_make(host, plan).await?;
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

async fn find_or_make(host: &Netlink, plan: &Plan) -> Result<Link, Error> {
    let name = plan.bridge.as_str();
    if let Some(link) = host.link(name).await? {
        return bridge_or_error(name, link);
    }
    match host.add_bridge(name, plan.mtu).await {
        Ok(bridge) => {
            // A bridge left to itself takes the lowest address among its ports, and every pod's
            // ARP entry for the gateway goes stale when a port comes or goes. Its first address,
            // set by hand, stays.
            if let Some(mac) = bridge.mac {
                host.set_mac(bridge.index, mac).await?;
            }
            Ok(bridge)
        }
        Err(refusal) => match host.link(name).await? {
            // Another ADD was faster.
            Some(link) => bridge_or_error(name, link),
            None => Err(refusal.into()),
        },
    }
}

fn bridge_or_error(name: &str, link: Link) -> Result<Link, Error> {
    match link.kind.as_deref() {
        Some("bridge") => Ok(link),
        kind => {
            let kind = kind.unwrap_or("plain interface");
            let why = format!("it is a {kind}; remove it, or name another bridge in the configuration");
            Err(Error::new(Code::Bridge, format!("{name} exists and is no bridge"), why))
        }
    }
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
