//! GC: removes what belongs to attachments that the runtime no longer knows.

use std::collections::BTreeSet;

use super::conf::Network;
use super::{Error, runtime, veth};
use crate::ipam::{Owner, Store};
use crate::kernel::Netlink;

/// Where the runtime lists the attachments that are still valid.
const VALID: &str = "cni.dev/valid-attachments";

/// Removes veth pairs and addresses of every attachment that is not listed as valid.
///
/// # Errors
/// There is no list: that is a fault of the runtime, and nothing is removed. Or something could not
/// be removed; everything else has been.
pub fn gc(network: &Network) -> Result<(), Error> {
    let valid = valid_attachments(network)?;
    let store = Store::new(&network.data_dir, &network.name);
    let owners = store.owners()?;
    runtime()?.block_on(async {
        let host = Netlink::open()?;
        let mut failures = Vec::new();
        for owner in owners.iter().filter(|owner| !is_valid(&valid, owner)) {
            failures.extend(remove(&host, network, &store, owner).await.err());
        }
        Error::first_of(failures)
    })
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

async fn remove(host: &Netlink, network: &Network, store: &Store, owner: &Owner) -> Result<(), Error> {
    if let Some(link) = host.link(&veth::name(&network.name, owner)).await? {
        host.delete_link(link.index).await?;
    }
    store.release(owner)?;
    Ok(())
}
