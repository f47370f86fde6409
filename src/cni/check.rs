//! CHECK: whether a pod is still as its ADD left it.
//!
//! Looks at what this plugin made and nothing else: plugins that ran later in the chain may have
//! added addresses, routes and interfaces, and replaced routes of other destinations.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ipnetwork::IpNetwork;

use super::addressing::Source;
use super::conf::Network;
use super::environment::{Attachment, Command};
use super::field::Section;
use super::plan::Plan;
use super::pod::Pod;
use super::result::format_mac;
use super::{Code, Error, host_side, lease, masquerade, routed, veth};
use crate::ipam::Owner;
use crate::ipam::node::Mode;
use crate::kernel::Conversation;
use crate::kernel::link::Link;
use crate::kernel::plain_route::MAIN;

/// What to do about any of it.
const REMEDY: &str = "DEL the container and ADD it again";

/// Compares the result of the ADD, in `prevResult`, with the address store and the kernel.
///
/// # Errors
/// Something is missing or differs; or there is no `prevResult`.
pub fn check(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    let previous = network.added()?;
    let plan = Plan::make(network, &attachment.args)?;
    lease::delegated(network, Command::Check)?;
    let addresses = expected(attachment, network, &plan, &previous)?;
    let mut pod = Pod::open(attachment)?;
    let mut host = Conversation::open()?;
    let name = veth::name(&network.name, &attachment.owner);
    let port = host_side::check(&mut host, &name, &plan)?;
    let inside = pod.inside();
    let interface = check_interface(attachment, inside, &previous, &plan)?;
    let present = inside.addresses(interface.index)?;
    let lacks = |address: &&IpNetwork| !present.iter().any(|present| present.address == **address);
    if let Some(missing) = addresses.iter().find(lacks) {
        return Err(changed(format!("interface {} lacks address {missing}", interface.name)));
    }
    if let (Mode::Routed, Some(port)) = (plan.mode, port) {
        routed::check(&mut host, &port, inside, &interface, &addresses)?;
    }
    check_routes(inside, &previous, &plan, &addresses)?;
    let treated = masquerade::Pod {
        addresses: &addresses,
        way: host_side::way(&plan, &name),
        mac: interface.mac.filter(|_| plan.mode == Mode::Bridge),
    };
    masquerade::check(&plan.treatment.of(&network.name, &attachment.owner, &treated))
}

/// The addresses of `prevResult` that are ours to answer for: those that the store holds for the
/// attachment; of another plugin's, those of its interface.
fn expected(
    attachment: &Attachment,
    network: &Network,
    plan: &Plan,
    previous: &Section<'_>,
) -> Result<Vec<IpNetwork>, Error> {
    let Owner { container_id, interface } = &attachment.owner;
    let interfaces = previous.sections("interfaces")?;
    let own = |section: &Section<'_>| {
        let is_name = section.text("name")?.as_ref() == Some(interface);
        Ok::<_, Error>(is_name && section.text("sandbox")?.is_some())
    };
    let held = match plan.addressing.source {
        Source::Store => Some(network.store().held_by(&attachment.owner)?),
        Source::Plugin(_) | Source::Nobody => None,
    };
    let mut addresses: Vec<IpNetwork> = Vec::new();
    for ip in previous.sections("ips")? {
        let Some(address) = ip.parsed::<IpNetwork>("address")? else { continue };
        let index: Option<usize> = ip.optional("interface")?;
        let is_ours = match &held {
            Some(held) => held.contains(&address.ip()),
            None => index.and_then(|index| interfaces.get(index)).map_or(Ok(false), own)?,
        };
        addresses.extend(Some(address).filter(|_| is_ours));
    }
    if held.is_some() && addresses.is_empty() {
        let message = format!("no address of prevResult is reserved for container {container_id}");
        return Err(changed(message));
    }
    Ok(addresses)
}

/// Something is not as its ADD left it.
pub fn changed(what: impl Into<String>) -> Error {
    Error::new(Code::Changed, what, REMEDY)
}

/// The pod's end: there, up, with the hardware address it was given.
fn check_interface(
    attachment: &Attachment,
    inside: &mut Conversation,
    previous: &Section<'_>,
    plan: &Plan,
) -> Result<Link, Error> {
    let name = &attachment.owner.interface;
    let Some(interface) = inside.link(name)? else {
        return Err(changed(format!("interface {name} is gone")));
    };
    if !interface.up && !plan.options.link_only {
        return Err(changed(format!("interface {name} is down")));
    }
    for told in previous.sections("interfaces")? {
        if told.text("name")?.as_ref() != Some(name) || told.text("sandbox")?.is_none() {
            continue;
        }
        let (told, found) = (told.text("mac")?, interface.mac.map(format_mac));
        if told.is_some() && told != found {
            let (told, found) = (told.unwrap_or_default(), found.unwrap_or_default());
            return Err(changed(format!("interface {name} has hardware address {found} instead of {told}")));
        }
    }
    Ok(interface)
}

/// Every route that the configuration asks for and the result told of.
fn check_routes(
    inside: &mut Conversation,
    previous: &Section<'_>,
    plan: &Plan,
    addresses: &[IpNetwork],
) -> Result<(), Error> {
    let mut present = BTreeMap::new();
    for told in previous.sections("routes")? {
        let Some(dst) = told.parsed("dst")? else { continue };
        let table: u32 = told.optional("table")?.filter(|table| *table != 0).unwrap_or(MAIN);
        if let Entry::Vacant(vacant) = present.entry(table) {
            vacant.insert(inside.destinations(table)?);
        }
        if plan.asks_for_route(dst, addresses) && !present[&table].contains(&dst) {
            return Err(changed(format!("the route to {dst} is gone")));
        }
    }
    Ok(())
}
