//! The host side of an attachment to a bridge: the bridge itself, made when first needed, used as it is
//! found, never removed; and the port that is the host end of a pod's veth pair.

use ipnetwork::IpNetwork;

use super::check::changed;
use super::host_side::Pair;
use super::plan::Plan;
use super::result::{Ip, families};
use super::{Code, Error, duplicates, vlan};
use crate::kernel::bridge_request::{HAIRPIN, ISOLATED};
use crate::kernel::link::Link;
use crate::kernel::link_request::PodVeth;
use crate::kernel::{Batch, Conversation, Deadline, LinkAddress, address_request, sysctl};
use crate::prefix::Family;

/// A bridge that is ready for another port.
#[derive(Debug)]
pub struct Bridge {
    /// The bridge.
    pub link: Link,
    /// The VLAN that its ports are in from the start, where VLANs matter and there is one.
    pub default_vlan: Option<u16>,
    /// The interface that holds the gateway addresses, if it is another.
    pub gateway: Option<Link>,
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
        let families: Vec<Family> = families(ips).filter(|_| plan.is_gateway).collect();
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
        let vlans = &plan.options.vlans;
        let default_vlan = if vlans.native.is_some() { vlan::filter(host, &link, vlans)? } else { None };
        let mut bridge = Bridge { link, default_vlan, gateway: None };
        let mut batch = Batch::new();
        if plan.options.promiscuous {
            batch.make_promiscuous((&bridge.link).into());
        }
        if let Some(vlan) = vlans.gateway().filter(|_| plan.is_gateway && !ips.is_empty()) {
            bridge.gateway = Some(vlan::gateway(host, &bridge, vlan, vlans.keeps_default)?);
        }
        if plan.is_gateway {
            bridge.hold_gateways(host, &mut batch, plan, ips)?;
        }
        if !bridge.link.up {
            batch.set_up((&bridge.link).into());
        }
        host.carry_out(batch)?;
        Ok(bridge)
    }

    /// The interface that holds the gateway addresses.
    fn gateway(&self) -> &Link {
        self.gateway.as_ref().unwrap_or(&self.link)
    }

    /// Gives the gateway those of its addresses that it lacks, and asks by it who has the pod's.
    fn hold_gateways(
        &self,
        host: &mut Conversation,
        batch: &mut Batch,
        plan: &Plan,
        ips: &[Ip],
    ) -> Result<(), Error> {
        let link = self.gateway();
        let present = host.addresses(link.index)?;
        for ip in ips {
            let Some(gateway) = ip.gateway else { continue };
            let wanted = IpNetwork::new(gateway, ip.address.prefix())
                .map_err(|e| Error::invalid("ipam: gateway", e))?;
            for foreign in foreign(plan, &present, wanted) {
                if plan.options.force_address {
                    batch.remove_address(link.into(), foreign);
                } else {
                    return Err(refused(&link.name, foreign, wanted));
                }
            }
            if !present.iter().any(|present| present.address == wanted) {
                batch.add_address(link.into(), wanted);
            }
        }
        duplicates::seek(batch, link.into(), ips);
        Ok(())
    }

    /// Makes the veth pair, its host end up and a port of this bridge. `made` is set as soon as there may be one.
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
        let switches: Vec<(u16, bool)> = switches(plan).filter(|(_, is_on)| *is_on).collect();
        if !switches.is_empty() {
            batch.set_port_options(pair.name, &switches);
        }
        let made = Pair::make(host, batch, place, pair, made)?;
        if plan.options.vlans.native.is_some() {
            let mut batch = Batch::new();
            vlan::put(&mut batch, (&made.port).into(), &plan.options.vlans, self.default_vlan);
            host.carry_out(batch)?;
        }
        Ok(made)
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
        if plan.is_gateway && ips.iter().any(|ip| ip.address.is_ipv6()) {
            duplicates::refuse(host, self.gateway().into(), pair.pod_mac, ips)?;
        }
        Ok(())
    }
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

/// Addresses of the same family that are neither this gateway's nor others of ours: the bridge serves
/// something else, and pods would share a link with it unawares. Ours are those of the pod CIDRs that the node
/// has now, and those that bear our mark: of pod CIDRs that it had, and that its older pods still have
/// addresses of. Where they are to make way, those of IPv6 do whose subnet is the gateway's, as in the
/// reference.
fn foreign(plan: &Plan, present: &[LinkAddress], wanted: IpNetwork) -> Vec<IpNetwork> {
    let family = Family::of(wanted.ip());
    let of_link = |a: &IpNetwork| matches!(a, IpNetwork::V6(a) if a.ip().is_unicast_link_local());
    let ours = |a: &LinkAddress| match a.address {
        a if a.ip() == wanted.ip() => a == wanted,
        _ => a.protocol == address_request::OURS || plan.gateways.contains(&a.address.ip()),
    };
    let beside = |a: &IpNetwork| a.is_ipv6() && !a.contains(wanted.ip()) && !wanted.contains(a.ip());
    let foreign = |a: &&LinkAddress| {
        let is_welcome = of_link(&a.address) || ours(a) || plan.options.force_address && beside(&a.address);
        Family::of(a.address.ip()) == family && !is_welcome
    };
    present.iter().filter(foreign).map(|present| present.address).collect()
}

fn refused(bridge: &str, foreign: IpNetwork, wanted: IpNetwork) -> Error {
    let message = format!("bridge {bridge} has address {foreign}, which is not ours");
    let why = format!("the gateway would be {wanted}; remove {foreign}, or name another bridge");
    Error::new(Code::Bridge, message, why)
}

/// The switches of a port, and whether they are to be on.
fn switches(plan: &Plan) -> impl Iterator<Item = (u16, bool)> {
    [(HAIRPIN, plan.options.hairpin), (ISOLATED, plan.options.isolated)].into_iter()
}

/// Whether the bridge and a port of it are as ADD left them: there, up, and with the same settings. `None`
/// for the port of a pod that was attached by the reference plugin: the name is in prevResult alone, and the
/// pod's side says enough.
///
/// # Errors
/// They are not.
pub fn check(host: &mut Conversation, name: &str, plan: &Plan) -> Result<Option<Link>, Error> {
    let options = &plan.options;
    let mut batch = Batch::new();
    let places = [batch.look_up_link(&plan.bridge), batch.look_up_link(name)];
    let found = host.carry_out(batch)?;
    let [bridge, port] = places.map(|place| found.link(place));
    let Some(bridge) = bridge else { return Err(changed(format!("bridge {} is gone", plan.bridge))) };
    if !bridge.up {
        return Err(changed(format!("bridge {} is down", bridge.name)));
    }
    if options.promiscuous && !found.is_promiscuous(places[0]) {
        return Err(changed(format!("bridge {} is not promiscuous", bridge.name)));
    }
    let Some(port) = port else { return Ok(None) };
    if port.master != Some(bridge.index) {
        return Err(changed(format!("{name} is not a port of bridge {}", bridge.name)));
    }
    if !port.up {
        return Err(changed(format!("{name} is down")));
    }
    for (switch, is_on) in switches(plan) {
        if is_on && !found.has_port_option(places[1], switch) {
            let what = if switch == HAIRPIN { "hairpinMode" } else { "portIsolation" };
            return Err(changed(format!("{what} of {name} has been turned off")));
        }
    }
    if options.vlans.native.is_some() {
        if !found.vlan_settings(places[0]).is_some_and(|settings| settings.filters) {
            return Err(changed(format!("bridge {} does not filter by VLAN", bridge.name)));
        }
        vlan::check(host, &port, &options.vlans)?;
    }
    Ok(Some(port))
}
