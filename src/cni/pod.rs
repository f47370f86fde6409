//! The pod's side of an attachment: what happens inside its network namespace, whatever the host's side is.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use super::environment::{self, Attachment};
use super::plan::gateway;
use super::result::{Ip, Route};
use super::{Code, Error};
use crate::kernel::plain_route::RouteOptions;
use crate::kernel::{At, Batch, Conversation, Deadline, NetNs};
use crate::prefix::Prefix;

/// A pod's namespace, and a conversation with its kernel.
#[derive(Debug)]
pub struct Pod {
    namespace: NetNs,
    inside: Conversation,
}

/// A router that the pod is told of: its address, on the link, and its hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Router {
    /// Of IPv6, it is link-local.
    pub address: IpAddr,
    /// What it answers to.
    pub mac: [u8; 6],
}

impl Pod {
    /// Opens the pod's namespace, which must not be the node's.
    ///
    /// # Errors
    /// It cannot be opened, or is the node's.
    pub fn open(attachment: &Attachment) -> Result<Pod, Error> {
        let path = attachment.netns.as_deref().unwrap_or_default();
        let namespace = NetNs::open(path).map_err(|e| unusable(attachment, e))?;
        if namespace.identity()? == NetNs::current()?.identity()? {
            return Err(unusable(attachment, "it is the node's own namespace"));
        }
        let inside = Conversation::open_in(&namespace).map_err(|e| unusable(attachment, e))?;
        Ok(Pod { namespace, inside })
    }

    /// What tells its namespace from others, so that it can be seen later whether the pod is still there.
    pub fn inode(&self) -> Option<u64> {
        self.namespace.identity().ok().map(|(_, inode)| inode)
    }

    /// The conversation with the kernel inside.
    pub fn inside(&mut self) -> &mut Conversation {
        &mut self.inside
    }

    /// Refuses to go on if the pod has an interface of the attachment's name.
    ///
    /// # Errors
    /// It has one.
    pub fn refuse_taken_name(&self, attachment: &Attachment) -> Result<(), Error> {
        let name = &attachment.owner.interface;
        if !self.namespace.has_interface(name)? {
            return Ok(());
        }
        let why = "nothing was changed; DEL the container or choose another CNI_IFNAME";
        Err(Error::new(Code::Exists, format!("the pod has an interface {name} already"), why))
    }

    /// Sets the interface up and gives it addresses, then routes: those of IPv6 need the link up.
    ///
    /// # Errors
    /// The first thing that the kernel refused.
    pub fn configure(
        &mut self,
        interface: At<'_>,
        ips: &[Ip],
        routers: &[Router],
        routes: &[Route],
        detect_duplicates: bool,
    ) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.set_up_talkative(interface);
        if ips.iter().any(|ip| ip.address.is_ipv6()) {
            // Has the kernel act on the carrier that has just come, before it looks at what follows.
            batch.look_up_link_at(interface.index);
        }
        for ip in ips {
            if detect_duplicates {
                batch.add_doubtful_address(interface, ip.address);
            } else {
                batch.add_address(interface, ip.address);
            }
        }
        for Router { address, mac } in routers {
            if address.is_ipv4() {
                batch.add_route(interface, Prefix::host(*address), None, RouteOptions::default());
            }
            batch.pin_station(interface, *address, *mac);
        }
        for route in routes {
            // A scope of its own says that no router is wanted.
            let near = route.options.scope.is_some_and(|scope| scope != 0);
            let via = route.gw.or_else(|| gateway(ips, route.dst.family()).filter(|_| !near));
            batch.add_route(interface, route.dst, via, route.options);
        }
        self.inside.carry_out(batch)?;
        Ok(())
    }

    /// Refuses to go on if somebody else on the link has an IPv6 address of the pod's, which the kernel takes
    /// its time to find out.
    ///
    /// # Errors
    /// Somebody has, or the kernel refuses to say.
    pub fn refuse_duplicates(&mut self, interface: At<'_>, deadline: Deadline) -> Result<(), Error> {
        match self.inside.await_duplicates(&self.namespace, interface, deadline)? {
            None => Ok(()),
            Some(duplicate) => {
                let message = format!("address {} is in use on the pod's link already", duplicate.address);
                Err(Error::new(Code::NoAddress, message, "another ADD will take the next address"))
            }
        }
    }

    /// Waits until the pod can use its addresses; whether it can in time.
    ///
    /// # Errors
    /// The kernel refuses to say.
    pub fn await_usable(&mut self, interface: At<'_>, ips: &[Ip], deadline: Deadline) -> Result<bool, Error> {
        let ipv6: Vec<Ipv6Addr> = ips.iter().filter_map(Ip::ipv6).collect();
        Ok(self.inside.await_usable(&self.namespace, interface, &ipv6, deadline)?)
    }

    /// Tells the others on the link who has the addresses now, which can be used: some may remember one as
    /// another pod's.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn announce(&mut self, interface: At<'_>, mac: [u8; 6], ips: &[Ip]) -> Result<(), Error> {
        let addresses: Vec<IpAddr> = ips.iter().map(|ip| ip.address.ip()).collect();
        Ok(self.inside.announce(&self.namespace, interface, mac, &addresses)?)
    }
}

impl AsFd for Pod {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// The pod's namespace for DEL, which must not fail for want of it: `None` if it cannot be opened, and then
/// has nothing left in it, or is the node's, where nothing is a pod's.
///
/// # Errors
/// The kernel does not say which namespace it is.
pub fn namespace_left(attachment: &Attachment) -> Result<Option<NetNs>, Error> {
    let Some(pod) = attachment.netns.as_deref().and_then(|path| NetNs::open(path).ok()) else {
        return Ok(None);
    };
    let is_node = pod.identity()? == NetNs::current()?.identity()?;
    Ok(Some(pod).filter(|_| !is_node))
}

fn unusable(attachment: &Attachment, why: impl std::fmt::Display) -> Error {
    let path = attachment.netns.as_deref().unwrap_or_default();
    environment::wrong(format!("CNI_NETNS {path:?}: {why}"))
}
