//! DEL: undoes an attachment as far as there is anything to undo.
//!
//! Succeeds when called twice, when the namespace is gone, when there was never an ADD and when an
//! ADD was killed half way. Needs nothing but the names: not the result of the ADD, not the ranges
//! of the configuration, which may have changed since.

use super::conf::Network;
use super::environment::{Attachment, Command};
use super::{Error, lease, masquerade, veth};
use crate::ipam::Store;
use crate::kernel::{Batch, Conversation, NetNs};

/// Removes the veth pair, frees the addresses, and takes out what the node does to the pod's packets.
///
/// # Errors
/// Something is there that could not be removed. Everything else has been.
pub fn del(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    // Another plugin may have to say goodbye by the interface, as `dhcp` does; the reference asks in this
    // order, too.
    let delegated = lease::delegated(network, Command::Del);
    let store = Store::new(&network.data_dir, &network.name);
    // The address last: it must not be free while a pod still answers to it, or its packets are still treated.
    let unlinked = remove_link(attachment, network, &store);
    let held = store.held_by(&attachment.owner).unwrap_or_default();
    let treated = masquerade::take_out(network, &attachment.owner, &held);
    let released = store.release(&attachment.owner).map_err(Error::from);
    let failures = [delegated.err(), unlinked.err(), treated.err(), released.err()];
    Error::first_of(failures.into_iter().flatten().collect())
}

fn remove_link(attachment: &Attachment, network: &Network, store: &Store) -> Result<(), Error> {
    let mut host = Conversation::open()?;
    if let Some(link) = host.link(&veth::name(&network.name, &attachment.owner))? {
        return Ok(host.delete_quickly((&link).into())?);
    }
    // A pod that the reference plugin attached has a host end of random name, and must be looked for
    // inside. A namespace that cannot be opened has nothing left in it.
    let Some(pod) = attachment.netns.as_deref().and_then(|path| NetNs::open(path).ok()) else {
        return Ok(());
    };
    if pod.identity()? == NetNs::current()?.identity()? {
        return Ok(());
    }
    let mut inside = Conversation::open_in(&pod)?;
    match inside.link(&attachment.owner.interface)? {
        // Only if the address store knows the attachment: after an ADD that failed because the name
        // was taken, the interface is somebody else's.
        Some(link)
            if link.kind.as_deref() == Some("veth") && !store.held_by(&attachment.owner)?.is_empty() =>
        {
            let mut batch = Batch::new();
            batch.delete_link_at((&link).into());
            inside.carry_out(batch)?;
            Ok(())
        }
        _ => Ok(()),
    }
}
