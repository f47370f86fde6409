//! DEL: undoes an attachment as far as there is anything to undo.
//!
//! Succeeds when called twice, when the namespace is gone, when there was never an ADD and when an
//! ADD was killed half way. Needs nothing but the names: not the result of the ADD, not the ranges
//! of the configuration, which may have changed since.

use super::conf::Network;
use super::environment::{Attachment, Command};
use super::{Error, lease, masquerade, pod, veth};
use crate::ipam::Store;
use crate::kernel::{Batch, Conversation};

/// Removes the veth pair, takes out what the node does to the pod's packets, and frees the addresses.
///
/// # Errors
/// Something is there that could not be removed. Everything else has been, but for the addresses: they are
/// not free while a pod may still answer to them, or its packets are still treated.
pub fn del(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    // Another plugin may have to say goodbye by the interface, as `dhcp` does; the reference asks in this
    // order, too.
    let delegated = lease::delegated(network, Command::Del);
    let store = network.store();
    let unlinked = remove_link(attachment, network, &store);
    let held = store.held_by(&attachment.owner).unwrap_or_default();
    let treated = masquerade::take_out(network, &attachment.owner, &held);
    let mut failures: Vec<Error> = [unlinked.err(), treated.err()].into_iter().flatten().collect();
    if failures.is_empty() {
        failures.extend(store.release(&attachment.owner).err().map(Error::from));
    }
    failures.splice(0..0, delegated.err());
    Error::first_of(failures)
}

fn remove_link(attachment: &Attachment, network: &Network, store: &Store) -> Result<(), Error> {
    let mut host = Conversation::open()?;
    if let Some(link) = host.link(&veth::name(&network.name, &attachment.owner))? {
        return Ok(host.delete_quickly((&link).into())?);
    }
    // A pod that the reference plugin attached has a host end of random name, and must be looked for inside.
    let Some(pod) = pod::namespace_left(attachment)? else { return Ok(()) };
    let mut inside = Conversation::open_in(&pod)?;
    let link = inside.link(&attachment.owner.interface)?;
    let Some(link) = link.filter(|link| link.kind.as_deref() == Some("veth")) else { return Ok(()) };
    // Only if the address store knows the attachment: after an ADD that failed because the name was taken,
    // the interface is somebody else's.
    if !store.held_by(&attachment.owner)?.is_empty() {
        let mut batch = Batch::new();
        batch.delete_link_at((&link).into());
        inside.carry_out(batch)?;
    }
    Ok(())
}
