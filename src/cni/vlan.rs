//! VLANs on the bridge: those of a pod's port, and the gateway of one.
//!
//! The bridge itself is in its default VLAN, so a VLAN has a gateway interface of its own, `cni0.100`: one
//! end of a veth pair whose other end is a port of the bridge in that VLAN, as the reference plugin makes
//! it. Like the bridge it is made when first needed, used as it is found, and never removed.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use super::bridge::Bridge;
use super::check::changed;
use super::host_side::{Pair, vanished};
use super::options::Vlans;
use super::{Code, Error, veth};
use crate::kernel::bridge_request::Membership;
use crate::kernel::link::Link;
use crate::kernel::link_request::PodVeth;
use crate::kernel::{At, Batch, Conversation, NetNs, sysctl};

/// Has a bridge filter by VLAN that is not up yet, and returns the VLAN that its ports are in from the start,
/// if there is one.
///
/// # Errors
/// It is up and does not filter; or the kernel cannot.
pub fn filter(host: &mut Conversation, bridge: &Link, vlans: &Vlans) -> Result<Option<u16>, Error> {
    let mut batch = Batch::new();
    if !bridge.up {
        batch.filter_vlans(bridge.into());
    }
    let place = batch.look_up_link_at(bridge.index);
    let outcome = host.attempt(batch)?;
    let settings = outcome.vlan_settings(place);
    if let Some(settings) = settings.filter(|settings| settings.filters) {
        return Ok(Some(settings.default).filter(|vlan| *vlan != 0));
    }
    let name = &bridge.name;
    if bridge.up {
        let message = format!("bridge {name} does not filter by VLAN");
        let why = format!("ip link set {name} type bridge vlan_filtering 1, or name another bridge");
        return Err(Error::new(Code::Bridge, message, why));
    }
    let field = vlans.gateway().map_or("vlanTrunk".to_owned(), |vlan| format!("vlan={vlan}"));
    let refusal = outcome.into_refusals().next().map(|refusal| format!(": {refusal}")).unwrap_or_default();
    let why = format!("the kernel cannot keep VLANs apart (CONFIG_BRIDGE_VLAN_FILTERING){refusal}");
    Err(Error::new(Code::UnsupportedField, format!("unsupported field {field}"), why))
}

/// Puts a port into its VLANs and out of the default one.
pub fn put(batch: &mut Batch, port: At<'_>, vlans: &Vlans, default: Option<u16>) {
    if let Some(native) = vlans.native {
        batch.add_vlans(port, native..=native, Membership::Native);
    }
    for range in vlans.tagged_ranges() {
        batch.add_vlans(port, range, Membership::Tagged);
    }
    if let Some(default) = default.filter(|vlan| leaves(vlans, *vlan)) {
        batch.remove_vlan(port, default);
    }
}

fn leaves(vlans: &Vlans, default: u16) -> bool {
    !vlans.keeps_default && vlans.native != Some(default) && !vlans.tagged.contains(&default)
}

/// Name of the gateway interface of a VLAN.
pub fn gateway_name(bridge: &str, vlan: u16) -> String {
    format!("{bridge}.{vlan}")
}

/// Sees to it that a VLAN has its gateway interface, and that it is up.
///
/// # Errors
/// Its name is too long, or something else's; or the kernel refuses.
pub fn gateway(
    host: &mut Conversation,
    bridge: &Bridge,
    vlan: u16,
    keeps_default: bool,
) -> Result<Link, Error> {
    let name = gateway_name(&bridge.link.name, vlan);
    // `IFNAMSIZ`, without the final zero.
    if name.len() > 15 {
        let why = format!("the gateway of VLAN {vlan} would be {name}, and no name has more than 15 octets");
        return Err(Error::invalid("bridge", why));
    }
    let found = match host.link(&name)? {
        Some(found) => found,
        None => make(host, &bridge.link, vlan, &name)?,
    };
    // The one who made it may have been killed before it was done: everything once more.
    let mut batch = Batch::new();
    batch.set_up((&found).into());
    let other = found.other.map(|other| batch.look_up_link_at(other));
    let outcome = host.carry_out(batch)?;
    let port = other.and_then(|other| outcome.link(other));
    let port = port.filter(|port| port.master == Some(bridge.link.index));
    let Some(port) = port.filter(|_| found.kind.as_deref() == Some("veth")) else {
        let message = format!("{name} exists and does not lead to bridge {}", bridge.link.name);
        return Err(Error::new(Code::Bridge, message, "remove it, or name another bridge"));
    };
    let vlans = Vlans { native: Some(vlan), keeps_default, ..Vlans::default() };
    let mut batch = Batch::new();
    put(&mut batch, (&port).into(), &vlans, bridge.default_vlan);
    host.carry_out(batch)?;
    Ok(found)
}

fn make(host: &mut Conversation, bridge: &Link, vlan: u16, name: &str) -> Result<Link, Error> {
    let here = NetNs::current()?;
    let (port, (mac, pod_mac)) = veth::of_gateway(&bridge.name, vlan);
    let pair = PodVeth {
        name: &port,
        mac,
        master: Some(bridge.index),
        pod_name: name,
        pod_mac,
        pod: here.as_fd(),
        mtu: Some(bridge.mtu),
    };
    let mut batch = Batch::new();
    let place = batch.add_pod_veth(&pair);
    let made = Pair::make(host, batch, place, &pair, &mut false);
    // As for a bridge that is made; where settings cannot be written, one waits.
    let _ = sysctl::ignore_router_advertisements(name);
    let _ = sysctl::skip_duplicate_detection(name);
    match (host.link(name)?, made) {
        (Some(link), _) => Ok(link),
        // Nobody else was faster.
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(vanished(name)),
    }
}

/// Whether a port is in the VLANs that [`put`] has put it into, and in no other.
///
/// # Errors
/// It is not.
pub fn check(host: &mut Conversation, port: &Link, vlans: &Vlans) -> Result<(), Error> {
    let found = host.vlans()?.remove(&port.index).unwrap_or_default();
    let mut wanted: BTreeMap<u16, Membership> =
        vlans.tagged.iter().map(|vlan| (*vlan, Membership::Tagged)).collect();
    wanted.extend(vlans.native.map(|vlan| (vlan, Membership::Native)));
    if let Some((vlan, _)) = wanted.iter().find(|(vlan, how)| found.get(*vlan) != Some(*how)) {
        return Err(changed(format!("{} is not in VLAN {vlan} as it should be", port.name)));
    }
    let foreign = |vlan: &&u16| !wanted.contains_key(*vlan) && !vlans.keeps_default;
    match found.keys().find(foreign) {
        None => Ok(()),
        Some(vlan) => Err(changed(format!("{} is in VLAN {vlan}, too", port.name))),
    }
}
