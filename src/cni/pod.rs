//! The pod's side of an attachment: what happens inside its network namespace, whatever the host's side is.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use ipnetwork::IpNetwork;

use super::environment::Attachment;
use super::plan::gateway;
use super::result::Route;
use super::{Code, Error};
use crate::ipam::Allocation;
use crate::kernel::{At, Batch, Conversation, Deadline, NetNs};

/// A pod's namespace, and a conversation with its kernel.
#[derive(Debug)]
pub struct Pod {
    namespace: NetNs,
    inode: u64,
    inside: Conversation,
}

impl Pod {
    /// Opens the pod's namespace.
    ///
    /// # Errors
    /// As [`open_namespace`].
    pub fn open(attachment: &Attachment) -> Result<Pod, Error> {
        let namespace = open_namespace(attachment)?;
        let (_, inode) = namespace.identity()?;
        let inside = Conversation::open_in(&namespace)?;
        Ok(Pod { namespace, inode, inside })
    }

    /// The conversation with the kernel inside.
    pub fn inside(&mut self) -> &mut Conversation {
        &mut self.inside
    }

    /// Inode number of the namespace, by which one may tell later whether it is still there.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Refuses to go on if the pod has an interface of the attachment's name.
    ///
    /// # Errors
    /// It has one.
    pub fn refuse_taken_name(&mut self, attachment: &Attachment) -> Result<(), Error> {
        let name = &attachment.owner.interface;
        match self.inside.link(name)? {
            None => Ok(()),
            Some(_) => {
                let why = "nothing was changed; DEL the container or choose another CNI_IFNAME";
                Err(Error::new(Code::Exists, format!("the pod has an interface {name} already"), why))
            }
        }
    }

    /// Sets the interface up and gives it addresses, then routes: those of IPv6 need the link up.
    ///
    /// # Errors
    /// The first thing that the kernel refused.
    pub fn configure(
        &mut self,
        interface: At<'_>,
        allocations: &[Allocation],
        routes: &[Route],
    ) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.set_up_talkative(interface);
        if allocations.iter().any(|allocation| allocation.address.is_ipv6()) {
            // Has the kernel act on the carrier that has just come, before it looks at what follows.
            batch.look_up_link_at(interface.index);
        }
        for allocation in allocations {
            batch.add_address(interface, address_of(allocation)?);
        }
        for route in routes {
            let via = route.gw.or_else(|| gateway(allocations, route.dst.family()));
            batch.add_route(interface, route.dst, via);
        }
        self.inside.carry_out(batch)?;
        Ok(())
    }

    /// Waits until the pod can use its addresses, and tells the others on the link who has them now: some
    /// may remember one as another pod's.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn announce(
        &mut self,
        interface: At<'_>,
        mac: [u8; 6],
        allocations: &[Allocation],
        deadline: Deadline,
    ) -> Result<(), Error> {
        let addresses: Vec<IpAddr> = allocations.iter().map(|allocation| allocation.address).collect();
        let of_ipv6 = |address: &IpAddr| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        };
        let ipv6: Vec<Ipv6Addr> = addresses.iter().filter_map(of_ipv6).collect();
        if self.inside.await_usable(&self.namespace, interface, &ipv6, deadline)? {
            self.inside.announce(&self.namespace, interface, mac, &addresses)?;
        }
        Ok(())
    }
}

impl AsFd for Pod {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// The pod's namespace, which must not be the node's.
///
/// # Errors
/// It cannot be opened, or is the node's.
pub fn open_namespace(attachment: &Attachment) -> Result<NetNs, Error> {
    let path = attachment.netns.as_deref().unwrap_or_default();
    let unusable = |why: String| {
        let message = "environment variables are absent or wrong";
        Error::new(Code::InvalidEnvironment, message, format!("CNI_NETNS {path:?}: {why}"))
    };
    let namespace = NetNs::open(path).map_err(|e| unusable(e.to_string()))?;
    if namespace.identity()? == NetNs::current()?.identity()? {
        return Err(unusable("it is the node's own namespace".to_owned()));
    }
    Ok(namespace)
}

/// The address with its range's prefix length.
///
/// # Errors
/// The length does not fit the family.
pub fn address_of(allocation: &Allocation) -> Result<IpNetwork, Error> {
    IpNetwork::new(allocation.address, allocation.range.prefix.length())
        .map_err(|e| Error::invalid("ipam: subnet", e))
}
