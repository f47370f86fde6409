//! GC: removes what belongs to attachments that the runtime no longer knows.

use std::collections::BTreeSet;

use super::conf::Network;
use super::environment::Command;
use super::{Error, lease, masquerade, veth};
use crate::ipam::Owner;
use crate::kernel::{self, Batch, Conversation};

/// Where the runtime lists the attachments that are still valid.
const VALID: &str = "cni.dev/valid-attachments";

/// The group that links are put into in order to be deleted together; nobody else uses it ("rout").
const DOOMED: u32 = 0x726f_7574;

/// Removes veth pairs, treatment and addresses of every attachment that is not listed as valid, and has the
/// plugin that gives addresses do the same. No ADD may be under way (CNI specification, section 2, "GC"): its
/// attachment, which is not listed yet, would be taken apart.
///
/// # Errors
/// There is no list: that is a fault of the runtime, and nothing is removed. Or something could not be removed;
/// everything else has been, but for the addresses of what is still there.
pub fn gc(network: &Network) -> Result<(), Error> {
    let valid = valid_attachments(network)?;
    let store = network.store();
    let mut failures = Vec::new();
    let owners = store.owners().unwrap_or_else(|error| {
        failures.push(error.into());
        BTreeSet::new()
    });
    let gone: Vec<&Owner> = owners.iter().filter(|owner| !is_valid(&valid, owner)).collect();
    let unlinked = unlink(network, gone, &mut failures);
    // An address must not be free while a pod still answers to it, or a port of the node leads to it.
    match masquerade::retain(network, |owner| is_valid(&valid, owner)) {
        Ok(()) => {
            let released = unlinked.into_iter().map(|owner| store.release(owner));
            failures.extend(released.filter_map(|released| released.err().map(Error::from)));
        }
        Err(error) => failures.push(error),
    }
    failures.extend(lease::delegated(network, Command::Gc).err());
    Error::first_of(failures)
}

/// The attachments that the runtime lists as valid.
///
/// # Errors
/// There is no list, or an entry of it is not understood: then nothing is known to be invalid.
pub fn valid_attachments(network: &Network) -> Result<BTreeSet<Owner>, Error> {
    let root = network.root();
    if root.value(VALID).is_none() {
        return Err(Error::invalid(VALID, "it is absent, so nothing is known to be invalid"));
    }
    let mut valid = BTreeSet::new();
    for entry in root.sections(VALID)? {
        let text =
            |field: &str| entry.text(field)?.ok_or_else(|| Error::invalid(entry.path(field), "it is absent"));
        valid.insert(Owner { container_id: text("containerID")?, interface: text("ifname")? });
    }
    Ok(valid)
}

/// Whether an owner is listed. Old versions of host-local noted no interface; any of the container's
/// then keeps the address.
pub fn is_valid(valid: &BTreeSet<Owner>, owner: &Owner) -> bool {
    valid.contains(owner)
        || owner.interface.is_empty() && valid.iter().any(|v| v.container_id == owner.container_id)
}

/// Deletes the links of these attachments, all at once: one by one, the kernel would take fifteen
/// milliseconds for each. Returns those that have none any more.
fn unlink<'a>(network: &Network, gone: Vec<&'a Owner>, failures: &mut Vec<Error>) -> Vec<&'a Owner> {
    let mut delete = || {
        let mut host = Conversation::open()?;
        let mut batch = Batch::new();
        let places: Vec<_> =
            gone.iter().map(|owner| batch.put_in_group(&veth::name(&network.name, owner), DOOMED)).collect();
        let marked = host.attempt(batch)?;
        let refused: Vec<bool> = places.into_iter().map(|place| marked.is_refused(place)).collect();
        failures.extend(marked.into_refusals().map(Error::from));
        let mut batch = Batch::new();
        batch.delete_group(DOOMED);
        host.carry_out(batch)?;
        Ok::<_, kernel::Error>(refused)
    };
    match delete() {
        Ok(refused) => {
            gone.into_iter().zip(refused).filter(|(_, refused)| !refused).map(|(o, _)| o).collect()
        }
        Err(error) => {
            failures.push(error.into());
            Vec::new()
        }
    }
}
