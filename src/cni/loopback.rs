//! The plugin `loopback`: brings a container's `lo` up. Some runtimes do not start without it.
//!
//! `CNI_IFNAME` is not looked at, as in the reference plugin: there is one loopback interface, and it
//! has its name from the kernel, as it has its addresses.

use ipnetwork::IpNetwork;
use serde_json::Value;

use super::conf::Network;
use super::environment::Attachment;
use super::pod::{self, Pod};
use super::result::{Interface, Ip, Success};
use super::{Code, Error};
use crate::kernel::link::Link;
use crate::kernel::{At, Batch, Conversation};

const NAME: &str = "lo";

/// Brings the interface up.
///
/// # Errors
/// The namespace cannot be opened or the kernel refuses.
pub fn add(attachment: &Attachment, network: &Network) -> Result<Value, Error> {
    let previous = network.previous()?;
    let mut pod = Pod::open(attachment)?;
    let inside = pod.inside();
    let link = interface(inside)?;
    let mut batch = Batch::new();
    batch.set_up((&link).into());
    inside.carry_out(batch)?;
    let addresses: Vec<IpNetwork> = inside.addresses(link.index)?.iter().map(|a| a.address).collect();
    if let Some(foreign) = addresses.iter().find(|address| !address.ip().is_loopback()) {
        let message = format!("the pod's {NAME} has address {foreign}");
        return Err(Error::new(Code::Changed, message, "remove it: it is not an address of loopback"));
    }
    // In a chain, lo is no part of the attachment: the others' result stands as it is.
    Ok(match previous {
        Some(_) => Success::default().document(network.version, previous),
        None => success(attachment, &link, &addresses).document(network.version, None),
    })
}

fn success(attachment: &Attachment, link: &Link, addresses: &[IpNetwork]) -> Success {
    let first = |v4: bool| addresses.iter().find(|address| address.is_ipv4() == v4);
    let ip = |address: &IpNetwork| Ip { address: *address, gateway: None, interface: Some(0) };
    Success {
        interfaces: vec![Interface {
            name: NAME.to_owned(),
            mac: Some([0; 6]),
            mtu: link.mtu,
            sandbox: attachment.netns.clone(),
        }],
        ips: [first(true), first(false)].into_iter().flatten().map(ip).collect(),
        ..Success::default()
    }
}

/// Brings the interface down, where there still is one.
///
/// # Errors
/// The kernel refuses.
pub fn del(attachment: &Attachment, _network: &Network) -> Result<(), Error> {
    // The node's own loopback interface stays up, whatever a runtime calls for.
    let Some(pod) = pod::namespace_left(attachment)? else { return Ok(()) };
    let mut inside = Conversation::open_in(&pod)?;
    if let Some(link) = inside.link(NAME)? {
        let mut batch = Batch::new();
        batch.set_down(At { index: link.index, name: NAME });
        inside.carry_out(batch)?;
    }
    Ok(())
}

/// Whether the interface is up and has its addresses.
///
/// # Errors
/// It is down, or lacks an address that it had in `prevResult`.
pub fn check(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    let previous = network.added()?;
    let mut told: Vec<IpNetwork> = Vec::new();
    for ip in previous.sections("ips")? {
        told.extend(ip.parsed("address")?.filter(|address: &IpNetwork| address.ip().is_loopback()));
    }
    let mut pod = Pod::open(attachment)?;
    let inside = pod.inside();
    let link = interface(inside)?;
    if !link.up {
        return Err(Error::new(Code::Changed, format!("interface {NAME} is down"), "set it up again"));
    }
    let present = inside.addresses(link.index)?;
    match told.iter().find(|told| present.iter().all(|present| present.address != **told)) {
        None => Ok(()),
        Some(missing) => {
            let message = format!("interface {NAME} lacks address {missing}");
            Err(Error::new(Code::Changed, message, "set it down and up again"))
        }
    }
}

fn interface(inside: &mut Conversation) -> Result<Link, Error> {
    let gone = || Error::new(Code::Kernel, format!("the pod has no interface {NAME}"), "");
    inside.link(NAME)?.ok_or_else(gone)
}
