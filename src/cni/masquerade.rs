//! What is done to a pod's packets on the node: masquerade, mapped ports, and the check of its hardware
//! address. Read from the configuration here; the tables are `kernel`'s (`kernel::nftables`).
//!
//! `ipMasq` masquerades what leaves the cluster, and nothing else: neither towards the networks that the
//! configuration and the node file name, nor towards what the daemon has learned from the routers. Unlike
//! the reference, which exempts the subnet of the node alone, and so hides pods from each other between
//! nodes. `ipMasqBackend` may name either of the reference's; there is no other here than ours.
//!
//! `macspoofchk` drops frames, ARP included, that give another sender than the pod.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::check::changed;
use super::conf::Network;
use super::field::Section;
use super::portmap::{self, PortRequest};
use super::{Error, veth};
use crate::ipam::{self, NodeFile};
use crate::kernel::nftables::{Attached, Nftables, Owner, Way, groups};
use crate::kernel::sysctl;
use crate::prefix::{Family, Prefix};

/// Names that `ipMasqBackend` may have.
const BACKENDS: [&str; 2] = ["iptables", "nftables"];

/// What is to be done to a pod's packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Treatment {
    masquerade: bool,
    networks: Vec<Prefix>,
    ports: Vec<PortRequest>,
    checks_sender: bool,
}

impl Treatment {
    /// Reads what the configuration says. The subnets are those that it gives addresses from, on whatever
    /// node; where it does not say whether to masquerade, the node file does.
    ///
    /// # Errors
    /// A field is wrong.
    pub fn read(
        network: &Network,
        node: Option<&NodeFile>,
        subnets: impl IntoIterator<Item = Prefix>,
    ) -> Result<Treatment, Error> {
        let root = network.root();
        refuse_backend(&root, "ipMasqBackend")?;
        let mut networks: Vec<Prefix> = subnets.into_iter().chain(groups()).collect();
        if let Some(node) = node {
            let known = [&node.pod_cidrs, &node.former_pod_cidrs, &node.masquerade_exempt];
            networks.extend(known.into_iter().flatten());
        }
        Ok(Treatment {
            masquerade: root.optional("ipMasq")?.unwrap_or(node.is_some_and(|node| node.masquerade)),
            networks,
            ports: portmap::read(&root)?,
            checks_sender: root.flag("macspoofchk")?,
        })
    }

    /// What that comes to for a pod with these addresses, by these interfaces.
    pub fn of(&self, network: &str, owner: &ipam::Owner, pod: &Pod<'_>) -> Attached {
        let addresses: Vec<IpAddr> = pod.addresses.iter().map(IpNetwork::ip).collect();
        let mut attached = Attached::of(name(network, owner));
        attached.mappings = portmap::mappings(&self.ports, &addresses);
        if self.masquerade {
            let own = pod.addresses.iter().filter_map(|address| Prefix::new(address.ip(), address.prefix()));
            attached.networks = self.networks.iter().copied().chain(own).collect();
            attached.masqueraded = addresses;
        }
        attached.way = Some(pod.way.clone());
        attached.station = pod.mac.filter(|_| self.checks_sender);
        attached
    }
}

/// A pod as the node sees it.
#[derive(Debug)]
pub struct Pod<'a> {
    /// Its addresses, with the lengths of their prefixes.
    pub addresses: &'a [IpNetwork],
    /// The interface that it is behind.
    pub way: Way,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
}

/// Whose elements are this attachment's.
pub fn name(network: &str, owner: &ipam::Owner) -> Owner {
    Owner {
        network: network.to_owned(),
        container: owner.container_id.clone(),
        interface: owner.interface.clone(),
        link: veth::name(network, owner),
    }
}

/// Refuses a name for a backend that is none of the reference's.
///
/// # Errors
/// It is not.
pub fn refuse_backend(root: &Section<'_>, field: &str) -> Result<(), Error> {
    match root.text(field)? {
        Some(other) if !BACKENDS.contains(&other.as_str()) => {
            Err(Error::invalid(field, format!("{other:?} is none of {}", BACKENDS.join(", "))))
        }
        _ => Ok(()),
    }
}

/// Does to a pod's packets what is wanted. All of it or, if it fails, nothing.
///
/// # Errors
/// A port is taken, or the kernel refuses.
pub fn put_in(attached: &Attached) -> Result<(), Error> {
    if attached.is_empty() {
        return Ok(());
    }
    let of_ipv4 = attached.mappings.iter().any(|m| Family::of(m.pod.ip()) == Family::Ipv4Unicast);
    if let Some(way) = attached.way.as_ref().filter(|_| of_ipv4) {
        sysctl::carry_loopback_addresses(&way.interface)?;
    }
    Ok(Nftables::open()?.add(attached)?)
}

/// Takes out everything that an attachment has. The addresses are those that it holds, as far as they
/// are known.
///
/// # Errors
/// Something is there that could not be removed.
pub fn take_out(network: &Network, owner: &ipam::Owner, addresses: &[IpAddr]) -> Result<(), Error> {
    let Some(mut nftables) = Nftables::open_if_known()? else { return Ok(()) };
    if nftables.remove(&name(&network.name, owner), addresses)? {
        nftables.let_go();
    }
    Ok(())
}

/// Takes out everything of the network's attachments that are not to be kept.
///
/// # Errors
/// Something is there that could not be removed.
pub fn retain(network: &Network, keep: impl Fn(&ipam::Owner) -> bool) -> Result<(), Error> {
    let Some(mut nftables) = Nftables::open_if_known()? else { return Ok(()) };
    nftables.retain(&network.name, |owner| {
        keep(&ipam::Owner { container_id: owner.container.clone(), interface: owner.interface.clone() })
    })?;
    Ok(())
}

/// Whether everything is as [`put_in`] left it.
///
/// # Errors
/// Something is missing, or the kernel cannot be asked.
pub fn check(attached: &Attached) -> Result<(), Error> {
    if attached.is_empty() {
        return Ok(());
    }
    match Nftables::open()?.missing(attached)? {
        None => Ok(()),
        Some(fault) => Err(changed(fault)),
    }
}
