//! The plugin `host-local`: gives addresses for another plugin to configure (CNI specification,
//! section 4).
//!
//! It is handed the other plugin's whole configuration and looks at `ipam`, `name` and what runtimes
//! ask for. The store is the one that the plugin of this crate uses itself, so that a node may have
//! both at once. Beyond the reference: ranges are narrowed to the node's pod CIDRs, and without
//! ranges, under `ipam.type` other than `host-local`, the pod CIDRs are the ranges; STATUS and GC.

use serde_json::Value;

use super::addressing::Addressing;
use super::conf::Network;
use super::environment::Attachment;
use super::gc::valid_attachments;
use super::result::Success;
use super::{Code, Error, lease};
use crate::ipam::{NodeFile, Owner, RangeSet};

/// Gives the attachment an address out of each range set.
///
/// # Errors
/// The configuration is wrong, or an address is not to be had. Nothing is reserved then.
pub fn add(attachment: &Attachment, network: &Network) -> Result<Value, Error> {
    let addressing = Addressing::of_store(network, &attachment.args)?;
    let sets = sets(&addressing, network)?;
    let taken = lease::from_store(attachment, network, &addressing, &sets, None)?;
    let routes = addressing.routes.unwrap_or_default();
    Ok(Success { routes, ..taken }.document(network.version, None))
}

/// Takes the attachment's addresses back. The ranges, which may have changed since, do not matter.
///
/// # Errors
/// The store cannot be written.
pub fn del(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    network.store().release(&attachment.owner)?;
    Ok(())
}

/// Whether the attachment holds an address. As in the reference, which one does not matter.
///
/// # Errors
/// It holds none.
pub fn check(attachment: &Attachment, network: &Network) -> Result<(), Error> {
    let held = network.store().held_by(&attachment.owner)?;
    if held.is_empty() {
        let Owner { container_id, interface } = &attachment.owner;
        let message = format!("container {container_id} holds no address for {interface}");
        return Err(Error::new(Code::Changed, message, "DEL it and ADD it again"));
    }
    Ok(())
}

/// Whether there are free addresses.
///
/// # Errors
/// There are none, or the configuration is wrong.
pub fn status(network: &Network) -> Result<(), Error> {
    let ready = || {
        let addressing = Addressing::of_store(network, &[])?;
        lease::status(network, &addressing, &sets(&addressing, network)?)
    };
    ready().map_err(lease::as_status)
}

/// Takes back the addresses of every attachment that is not listed as valid.
///
/// # Errors
/// There is no list, and nothing is taken back; or the store cannot be written.
pub fn gc(network: &Network) -> Result<(), Error> {
    let valid = valid_attachments(network)?;
    let store = network.store();
    let owners = store.owners()?;
    let stale = owners.iter().filter(|owner| !super::gc::is_valid(&valid, owner));
    Error::first_of(stale.filter_map(|owner| store.release(owner).err().map(Error::from)).collect())
}

fn sets(addressing: &Addressing, network: &Network) -> Result<Vec<RangeSet>, Error> {
    addressing.sets(network, NodeFile::read(network.node_file()?)?.as_ref())
}
